"""A citizen's dossier on an OpenCPS portal: draft, forms, papers, marks, sending, polls."""

import json
from functools import partial

from loadtests.dialects.base import Acknowledgement, Answer, Call, Reading
from loadtests.dialects.encoding import (
    Fields,
    Json,
    WrongContentError,
    excerpt,
    form,
    in_path,
    json_body,
    json_object,
    listing,
    multipart,
    says,
    text_of,
)
from loadtests.dialects.opencps.services import any_list, get
from loadtests.dialects.opencps.session import MAIN, MENUS, NextAction, Part, Session
from loadtests.dialects.people import CITY_CODE
from loadtests.dialects.visiting import OK, Exchange, Moment, Verify

ONLINE = 1
"""Originality of a dossier filed online. # source: OpenCPS."""

SAVE_ACTION, SEND_ACTION = "1100", "1300"
"""Actions of a citizen. # source: OpenCPS."""

DRAFT_STEP = "110"
"""Step of a dossier that is not sent. # source: default service process of OpenCPS."""

IN_ORIGINAL = 2
"""Mark of a paper: handed in as a scan of the original. # assumption: any of OpenCPS's marks."""

NEVER_ENABLED = "listener"
"""Automatic event whose actions the front end does not show."""

_SYNC_WAITING = "1"
"""``dossierSyncState`` of a dossier on its way to the one-stop shop. # source: OpenCPS."""


def of(s: Session, path: str = "") -> str:
    """Return the path of the session's dossier, or of something below it."""
    return f"{MAIN}/dossiers/{in_path(s.dossier.number or '0')}{path}"


# The draft


def create(s: Session, _m: Moment) -> Exchange:
    """Create the draft, or get the unsent one back."""
    fields: Fields = {
        "serviceCode": s.service.code,
        "govAgencyCode": s.agency,
        "dossierTemplateNo": s.template,
        "originality": ONLINE,
    }
    call = Call("POST", f"{MAIN}/dossiers", s.headers.form, form(fields))
    return Exchange(call, partial(_created, s, s.service.code))


def _created(s: Session, code: str, answer: Answer) -> Reading:
    row = json_object(answer.body)
    if not text_of(row.get("dossierId")) or row.get("serviceCode") != code:
        raise WrongContentError(f"no dossierId, or serviceCode {row.get('serviceCode')}")
    s.learn_dossier(row)
    return OK


def read(s: Session, _m: Moment) -> Exchange:
    """Read the dossier."""
    return get(s, of(s), partial(_dossier, s, s.dossier.number))


def _dossier(s: Session, number: str, answer: Answer) -> Reading:
    row = _same_dossier(number, answer)
    note = s.dossier.note
    if note and row.get("applicantNote") != note:
        raise WrongContentError(f"applicantNote {row.get('applicantNote')}, saved was {note}")
    s.learn_dossier(row)
    return OK


def _same_dossier(number: str, answer: Answer) -> Json:
    row = json_object(answer.body)
    if text_of(row.get("dossierId")) != number:
        raise WrongContentError(f"dossierId {row.get('dossierId')}, asked for {number}")
    return row


# The form page


def template(s: Session, _m: Moment) -> Exchange:
    """Read the dossier template: which parts there are."""
    number = s.dossier.template or s.template
    path = f"{MAIN}/dossiertemplates/{in_path(number)}"
    return get(s, path, partial(_template, s, number))


def _template(s: Session, number: str, answer: Answer) -> Reading:
    if (s.parts or s.form_parts) and says(answer.body, "templateNo", number):
        return OK
    row = json_object(answer.body)
    if row.get("templateNo") != number:
        raise WrongContentError(f"templateNo {row.get('templateNo')}, asked for {number}")
    data = row.get("dossierParts", [])
    rows = [data] if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise WrongContentError("dossierParts missing")
    parts = [_part(row) for row in rows]
    s.parts = [part for part in parts if not part.is_form]
    s.form_parts = [part for part in parts if part.is_form]
    return OK


def _part(row: Json) -> Part:
    return Part(
        number=text_of(row.get("partNo")),
        name=text_of(row.get("partName")),
        file_template=text_of(row.get("fileTemplateNo")),
        is_form=text_of(row.get("eForm")).lower() == "true",
    )


def next_actions(s: Session, _m: Moment) -> Exchange:
    """Read what may be done with the dossier now."""
    return get(s, of(s, "/nextactions"), partial(_next_actions, s))


def _next_actions(s: Session, answer: Answer) -> Reading:
    _, rows = listing(answer.body)
    s.actions = [
        NextAction(
            number=text_of(row.get("processActionId")),
            code=text_of(row.get("actionCode")),
            after_step=text_of(row.get("postStepCode")),
        )
        for row in rows
        if text_of(row.get("enable")) == "1" and row.get("autoEvent") != NEVER_ENABLED
    ]
    return OK


def action_dialog(s: Session, m: Moment) -> Exchange:
    """Open the dialog of the first possible action; without a known one, read which there are."""
    action = s.chosen or (s.actions[0] if s.actions else None)
    if action is None:
        return next_actions(s, m)
    return get(s, of(s, f"/nextactions/{in_path(action.number)}"), _object)


def _object(answer: Answer) -> Reading:
    json_object(answer.body)
    return OK


def sms_flag(s: Session, _m: Moment) -> Exchange:
    """Read whether text messages are wanted."""
    return get(s, of(s, "/metadata/smsNotify"), _anything)


def email_flag(s: Session, _m: Moment) -> Exchange:
    """Read whether e-mails are wanted."""
    return get(s, of(s, "/metadata/emailNotify"), _anything)


def _anything(_answer: Answer) -> Reading:
    return OK


def marks(s: Session, _m: Moment) -> Exchange:
    """Read how the papers are handed in."""
    return get(s, of(s, "/marks?type=1"), any_list)


def is_enterprise(s: Session, _m: Moment) -> Exchange:
    """Ask whether the applicant is an enterprise of the national register."""
    return get(s, f"{MAIN}/applicants/checkenterprisedvcqg", _anything)


def known_papers(s: Session, _m: Moment) -> Exchange:
    """Ask for papers of the applicant that can be used again."""
    templates = ",".join(part.file_template for part in s.parts) or "0"
    number = s.dossier.applicant_id or s.person.personal_number
    path = f"/applicant/{in_path(number)}/files/{in_path(templates)}/search"
    return get(s, of(s, path), any_list)


def form_script(s: Session, m: Moment) -> Exchange:
    """Read the script of the electronic form."""
    part = _form_part(s)
    number = in_path(s.dossier.template or s.template)
    path = f"{MAIN}/dossiertemplates/{number}/parts/{in_path(part)}/formscript?t={m.now_ms}"
    return get(s, path, _some_text)


def form_data(s: Session, _m: Moment) -> Exchange:
    """Read what the electronic form holds."""
    return get(s, of(s, f"/eforms/{in_path(_form_part(s))}/formdata"), _anything)


def _form_part(s: Session) -> str:
    return s.form_parts[0].number if s.form_parts else "0"


def _some_text(answer: Answer) -> Reading:
    if not answer.body.strip():
        raise WrongContentError("the form script is empty")
    return OK


def files(s: Session, _m: Moment) -> Exchange:
    """List the files; every acknowledged one is among them."""
    return get(s, of(s, "/files"), partial(_files, dict(s.files)))


def _files(known: dict[str, int], answer: Answer) -> Reading:
    if not known:
        return any_list(answer)
    _, rows = listing(answer.body)
    sizes = {text_of(row.get("referenceUid")): text_of(row.get("fileSize")) for row in rows}
    for reference, size in known.items():
        if sizes.get(reference) != str(size):
            raise WrongContentError(
                f"file {reference} of {size} bytes is listed as {sizes.get(reference)}"
            )
    return OK


def look_up_citizen(s: Session, m: Moment) -> Exchange:
    """Look the applicant up in the population data base."""
    number = s.dossier.applicant_id or s.person.personal_number
    body = {
        "MaYeuCau": str(m.now_ms),
        "MaTichHop": "037",  # source: OpenCPS front end
        "StaffEmail": s.person.email,
        "GovAgencyCode": s.agency,
        "MaDVC": s.service_code,
        "HoVaTen": s.dossier.applicant_name or s.person.name,
        "type": "TraCuuThongTinCongDan",
        "NgayThangNamSinh": s.person.birth_date,
        "SoDinhDanh": number,
    }
    call = Call("POST", f"{MAIN}/qldc/dvcqg", s.headers.json, json_body(body))
    return Exchange(call, partial(_citizen, number), _register_silent)


_WRONG_REQUESTS = frozenset({"001", "002", "003", "004", "005", "006"})
"""Error codes of requests that lack something. # source: OpenCPS, QLCDManagementImpl."""


def _citizen(number: str, answer: Answer) -> Reading:
    json_object(answer.body)
    if b'"SoDinhDanh"' in answer.body and not says(answer.body, "SoDinhDanh", number):
        raise WrongContentError(f"the register answers about somebody else than {number}")
    return OK


def _register_silent(answer: Answer) -> Reading | None:
    """Accept that the register does not answer: fields stay empty, and the citizen types."""
    if answer.status != 400:
        return None
    try:
        code = text_of(json_object(answer.body).get("errorCode"))
    except WrongContentError:
        return None
    return OK if code and code not in _WRONG_REQUESTS else None


# Forms and papers


def save_form(s: Session, m: Moment) -> Exchange:
    """Save the electronic form for the first time."""
    part = _form_part(s)
    content = json.dumps(form_content(s, m), ensure_ascii=False)
    body = multipart(s.boundary, {"formData": content, "file": ""})
    path = of(s, f"/eforms/{in_path(part)}")
    return Exchange(Call("POST", path, s.headers.multipart, body), partial(_form_saved, part))


_FORM_FIELDS = 35  # source: published sample of a civil-status form, about 35 fields
_FIELD_TEXT = "nội dung khai báo của người nộp hồ sơ trên tờ khai điện tử"


def form_content(s: Session, m: Moment) -> Json:
    """Return about 3 kB of form data. # assumption: 2 to 8 kB, no sample is published."""
    person = s.person
    fields: Json = {f"muc_{index:02d}": f"{_FIELD_TEXT} {index}" for index in range(_FORM_FIELDS)}
    return fields | {
        "hoTen": person.name,
        "soDinhDanh": person.personal_number,
        "ngaySinh": person.birth_date,
        "diaChi": person.address,
        "soDienThoai": person.phone,
        "ma": s.reference(m.request),
    }


def _form_saved(part: str, answer: Answer) -> Reading:
    row = json_object(answer.body)
    if not row.get("referenceUid") or row.get("dossierPartNo") != part:
        raise WrongContentError(f"no referenceUid, or part {row.get('dossierPartNo')} for {part}")
    return OK


def mark_paper(s: Session, m: Moment) -> Exchange:
    """Say how one paper is handed in."""
    part = part_of(s, m.n).number
    fields: Fields = {"fileMark": IN_ORIGINAL, "recordCount": 1}
    path = of(s, f"/marks/{in_path(part)}")
    return Exchange(Call("POST", path, s.headers.form, form(fields)), _object)


def part_of(s: Session, n: int) -> Part:
    """Return the part that the ``n``-th paper of the session belongs to."""
    return s.parts[n % len(s.parts)] if s.parts else Part("0", "", "", is_form=False)


# Saving and sending


def save(s: Session, m: Moment) -> Exchange:
    """Save who applies; the note carries the run reference."""
    person = s.person
    note = s.reference(m.request)
    fields: Fields = {
        "applicantName": person.name,
        "applicantIdType": "citizen",
        "applicantIdNo": person.personal_number,
        "address": person.address,
        "cityCode": CITY_CODE,
        "wardCode": s.ward,
        "contactName": person.name,
        "contactTelNo": person.phone,
        "contactEmail": person.email,
        "isSameAsApplicant": "true",
        "delegateName": person.name,
        "delegateIdNo": person.personal_number,
        "delegateTelNo": person.phone,
        "delegateAddress": person.address,
        "viaPostal": 0,
        "sampleCount": 1,
        "applicantNote": note,
    }
    call = Call("PUT", of(s), s.headers.form, form(fields))
    return Exchange(call, partial(_saved, s, s.dossier.number, note))


def _saved(s: Session, number: str, note: str, answer: Answer) -> Reading:
    row = _same_dossier(number, answer)
    if row.get("applicantNote") != note:
        raise WrongContentError(f"applicantNote {row.get('applicantNote')}, sent was {note}")
    s.dossier.note = note
    return OK


def set_sms_flag(s: Session, _m: Moment) -> Exchange:
    """Want no text messages."""
    return _set_flag(s, "smsNotify")


def set_email_flag(s: Session, _m: Moment) -> Exchange:
    """Want no e-mails."""
    return _set_flag(s, "emailNotify")


def _set_flag(s: Session, name: str) -> Exchange:
    body = form({"data": json.dumps({name: False})})
    return Exchange(Call("PUT", of(s, "/metadata"), s.headers.form, body), _anything)


def save_draft(s: Session, m: Moment) -> Exchange:
    """Do the action "save"."""
    return act(s, m, SAVE_ACTION, partial(is_at, DRAFT_STEP))


def send(s: Session, m: Moment) -> Exchange:
    """Send the dossier to the one-stop shop."""
    filed = Acknowledgement("dossier", s.dossier.number, s.dossier.note)
    return act(s, m, SEND_ACTION, partial(has_left, DRAFT_STEP), filed)


def send_supplement(s: Session, m: Moment) -> Exchange:
    """Say that the missing papers are there: the first action the portal offers for it."""
    code = s.actions[0].code if s.actions else ""
    moved = Acknowledgement("action", s.dossier.number, s.dossier.note, code)
    return act(s, m, code, partial(has_left, s.dossier.step), moved)


def act(
    s: Session,
    m: Moment,
    code: str,
    verify: Verify,
    acknowledged: Acknowledgement | None = None,
    note: str = "",
) -> Exchange:
    """Do an action; ``verify`` looks at what it led to.

    A repetition answered 405 means that the lost first attempt was done: it counts as done.
    """
    fields: Fields = {"actionCode": code, "actionNote": note, "payload": "{}"}
    call = Call("POST", of(s, "/actions"), s.headers.form, form(fields))
    done = Reading("ok", acknowledged=acknowledged)
    before = partial(_done_before, done) if m.attempt else None
    return Exchange(call, partial(_acted, s.dossier.number, verify, done), before)


def _acted(number: str, verify: Verify, done: Reading, answer: Answer) -> Reading:
    verify(_same_dossier(number, answer))
    return done


def _done_before(done: Reading, answer: Answer) -> Reading | None:
    return done if answer.status == 405 else None


def is_at(step: str, row: Json) -> None:
    """Check that an action led to this step.

    Raises
    ------
    WrongContentError
        When it led elsewhere.
    """
    if text_of(row.get("stepCode")) != step:
        raise WrongContentError(f"stepCode {row.get('stepCode')}, expected {step}")


def has_left(step: str, row: Json) -> None:
    """Check that an action led away from this step.

    Raises
    ------
    WrongContentError
        When it did not.
    """
    if text_of(row.get("stepCode")) in ("", step):
        raise WrongContentError(f"stepCode {row.get('stepCode')}: the dossier has not moved on")


# The dossier page and the polls


def step_labels(s: Session, _m: Moment) -> Exchange:
    """Read the labels of the dossier's status."""
    status, sub = in_path(s.dossier.status or "new"), in_path(s.dossier.sub_status)
    return get(s, f"{MENUS}/stepconfigs/status/{status}/{sub}", _anything)


def payment(s: Session, _m: Moment) -> Exchange:
    """Read what is to be paid."""
    return get(s, of(s, "/payment"), _anything)


def history(s: Session, _m: Moment) -> Exchange:
    """Read the dossier's history."""
    return get(s, f"{MAIN}/dossierlogs/{in_path(s.dossier.number)}/logs", any_list)


def steps_done(s: Session, _m: Moment) -> Exchange:
    """Read the steps the dossier went through."""
    return get(s, of(s, "/sequences"), any_list)


def votings(s: Session, _m: Moment) -> Exchange:
    """Read what the citizen is asked about the service."""
    path = f"/o/rest/v2/postal/votings/dossier/{in_path(s.dossier.number)}"
    return get(s, path, any_list)


def poll(s: Session, _m: Moment) -> Exchange:
    """Read the dossier and whether it is synchronised."""
    return get(s, of(s), partial(_polled, s, s.dossier.number))


def _polled(s: Session, number: str, answer: Answer) -> Reading:
    row = _same_dossier(number, answer)
    state = row.get("dossierSyncState")
    if state is None:
        raise WrongContentError(f"dossierSyncState missing: {excerpt(answer.body)}")
    s.is_synced = text_of(state) != _SYNC_WAITING
    s.learn_dossier(row)
    return Reading("ok", synced=s.is_synced)
