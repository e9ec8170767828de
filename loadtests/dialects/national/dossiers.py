"""A dossier on the national portal: drafted, filed or handed over, with its papers."""

import json
from collections.abc import Mapping
from functools import partial

from loadtests.dialects.base import Acknowledgement, Answer, Call, Reading
from loadtests.dialects.encoding import (
    Json,
    Upload,
    WrongContentError,
    json_body,
    multipart,
    text_of,
)
from loadtests.dialects.national.session import PREFIX, Session, data_of, post
from loadtests.dialects.papers import WRONG_TYPE, paper, usual_type
from loadtests.dialects.visiting import (
    OK,
    Check,
    Exchange,
    Moment,
    Verify,
    accepted_wrongly,
    refused,
)

_SENT_STATE = "PENDING_SUBMISSION"  # source: design of the portal's back end
_WAITING_STATE = "PENDING_SUPPLEMENT"  # assumption: in the manner of the other states
_DRAFT_STEP = "110"
_SYNC_WAITING = "1"


# The dossier


def create_draft(s: Session, m: Moment) -> Exchange:
    """Create a draft."""
    return _create(s, m, is_draft=True)


def intake(s: Session, m: Moment) -> Exchange:
    """Hand a dossier over: it is filed at once."""
    return _create(s, m, is_draft=False)


def _create(s: Session, m: Moment, *, is_draft: bool) -> Exchange:
    note = s.reference(m.request)
    person = s.person
    applicant = {
        "identity": person.personal_number,
        "name": person.name,
        "phone": person.phone,
        "email": person.email,
    }
    components = [{"profileComponentId": s.part(n)} for n in range(s.service.upload_slots)]
    form = json.dumps({"hoVaTen": person.name, "ma": note}, ensure_ascii=False)
    body: Json = {
        "applicant": {"citizen": applicant},
        "type": "CITIZEN",
        "formalityId": s.formality or s.service.code,
        "formJson": form,
        "profileComponents": components,
        "fees": [],
        "returning": "AT_DEPARTMENT",
        "isDraft": is_draft,
        "referenceUid": note,
        "applicantNote": note,
    }
    check = partial(_created, s, note, is_draft)
    return post(s, "/submitting/create-dossier-by-citizen", body, check)


def _created(s: Session, note: str, is_draft: bool, answer: Answer) -> Reading:
    data = data_of(answer)
    s.dossier, s.note = text_of(data.get("dossierId")), note
    if not s.dossier or data.get("applicantNote") != note:
        raise WrongContentError(f"dossierId missing, or applicantNote is not {note}")
    if is_draft:
        return OK
    _check_sent(data)
    return Reading("ok", acknowledged=Acknowledgement("dossier", s.dossier, note))


def _check_sent(data: Json) -> None:
    if data.get("state") != _SENT_STATE or text_of(data.get("stepCode")) in ("", _DRAFT_STEP):
        raise WrongContentError(f"state {data.get('state')}: the dossier is not sent")


def read(s: Session, _m: Moment) -> Exchange:
    """The dossier and its papers; every acknowledged one is among them."""
    body: Json = {"dossierId": s.dossier}
    check = partial(_dossier, s.dossier, dict(s.files))
    return post(s, "/submitting/get-dossier-by-citizen", body, check)


def _dossier(number: str, known: Mapping[str, int], answer: Answer) -> Reading:
    data = data_of(answer)
    if text_of(data.get("dossierId")) != number:
        raise WrongContentError(f"dossierId {data.get('dossierId')}, asked for {number}")
    if known:
        files = data.get("files")
        rows = files if isinstance(files, list) else []
        sizes = {text_of(row.get("referenceUid")): row.get("fileSize") for row in rows}
        for reference, size in known.items():
            if text_of(sizes.get(reference)) != str(size):
                raise WrongContentError(f"file {reference} of {size} bytes is not listed")
    return OK


def poll(s: Session, m: Moment) -> Exchange:
    """The dossier, and whether the city has it."""
    call, check, _ = read(s, m)
    return Exchange(call, partial(_polled, check))


def _polled(check: Check, answer: Answer) -> Reading:
    check(answer)
    state = data_of(answer).get("dossierSyncState")
    return Reading("ok", synced=text_of(state) != _SYNC_WAITING)


def update(s: Session, _m: Moment) -> Exchange:
    """Save the draft."""
    body: Json = {"dossierId": s.dossier, "isDraft": True, "applicantNote": s.note}
    return post(s, "/submitting/dossier/update-by-citizen", body, partial(_updated, s.dossier))


def _updated(number: str, answer: Answer) -> Reading:
    data = data_of(answer)
    if text_of(data.get("dossierId")) != number:
        raise WrongContentError(f"dossierId {data.get('dossierId')}, asked for {number}")
    return OK


def submit(s: Session, m: Moment) -> Exchange:
    """Send the draft."""
    filed = Acknowledgement("dossier", s.dossier, s.note)
    return _send(s, m, _check_sent, filed)


def supplement(s: Session, m: Moment) -> Exchange:
    """Say that the missing papers are there."""
    return _send(s, m, _check_moved, None)


def _check_moved(data: Json) -> None:
    if data.get("state") in (None, _WAITING_STATE):
        raise WrongContentError(f"state {data.get('state')}: the dossier still waits")


def _send(s: Session, m: Moment, verify: Verify, filed: Acknowledgement | None) -> Exchange:
    body: Json = {"dossierId": s.dossier, "isDraft": False}
    call = Call(
        "POST", f"{PREFIX}/submitting/dossier/update-by-citizen", s.headers, json_body(body)
    )
    before = partial(_done_before, filed) if m.attempt else None
    return Exchange(call, partial(_sent, s, verify, filed), before)


def _sent(s: Session, verify: Verify, filed: Acknowledgement | None, answer: Answer) -> Reading:
    _updated(s.dossier, answer)
    data = data_of(answer)
    verify(data)
    moved = Acknowledgement("action", s.dossier, s.note, text_of(data.get("actionCode")))
    return Reading("ok", acknowledged=filed or moved)


def _done_before(filed: Acknowledgement | None, answer: Answer) -> Reading | None:
    """Accept that the first attempt, whose answer was lost, was done."""
    return Reading("ok", acknowledged=filed) if answer.status == 405 else None


# Papers


def upload(s: Session, m: Moment) -> Exchange:
    """Upload one paper; without a known dossier, for the one that waits for the citizen."""
    reference = s.reference(m.request)
    sent = paper(usual_type(m.key), reference, m.bytes_up)
    call = _upload(s, m, sent.name, sent.media_type, sent.chunks)
    stored = Acknowledgement("attachment", s.dossier, reference, sent.sha256, sent.size)
    return Exchange(call, partial(_uploaded, s, stored))


def upload_refused(s: Session, m: Moment) -> Exchange:
    """Upload a program: the portal must refuse."""
    sent = paper(WRONG_TYPE, s.reference(m.request), m.bytes_up)
    call = _upload(s, m, sent.name, sent.media_type, sent.chunks)
    return Exchange(call, accepted_wrongly, refused)


def _upload(
    s: Session, m: Moment, name: str, media_type: str, chunks: tuple[bytes | memoryview, ...]
) -> Call:
    fields = {"profileComponentId": s.part(m.n), "referenceUid": s.reference(m.request)}
    if s.dossier:
        fields["dossierId"] = s.dossier
    body = multipart(s.boundary, fields, [Upload("file", name, media_type, chunks)])
    return Call("POST", f"{PREFIX}/submitting/upload-attachment", s.uploading, body)


def _uploaded(s: Session, stored: Acknowledgement, answer: Answer) -> Reading:
    data = data_of(answer)
    number, size = text_of(data.get("dossierId")), text_of(data.get("fileSize"))
    if not number or (s.dossier and number != s.dossier):
        raise WrongContentError(f"dossierId {number}, sent for {s.dossier}")
    if data.get("referenceUid") != stored.reference or size != str(stored.bytes):
        raise WrongContentError(f"fileSize {size}, sent were {stored.bytes} bytes")
    s.dossier = number
    s.files[stored.reference] = stored.bytes
    told = Acknowledgement("attachment", number, stored.reference, stored.detail, stored.bytes)
    return Reading("ok", acknowledged=told)
