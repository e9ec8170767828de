"""The dialect of the National Public Service Portal: POST and JSON, answers 201.

Two parties speak it. Citizens do, on the portal itself; and the portal does, when it hands a
dossier over to the city. Officers, and those who look dossiers up at the city, speak OpenCPS.

Paths for signing in, uploads, lists and details are assumptions: none of them is published.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from loadtests.dialects import visiting
from loadtests.dialects.base import (
    Acknowledgement,
    Answer,
    Call,
    Credentials,
    Reading,
    Service,
    Visitor,
)
from loadtests.dialects.encoding import (
    JSON_TYPE,
    Json,
    Upload,
    WrongContentError,
    excerpt,
    json_body,
    json_object,
    multipart,
    multipart_type,
    text_of,
)
from loadtests.dialects.opencps.dialect import OpencpsDialect, opencps_dialect, role_of
from loadtests.dialects.papers import WRONG_TYPE, paper, usual_type
from loadtests.dialects.people import PLAIN, SUPPLEMENTERS, Citizen, basic, citizen, password
from loadtests.dialects.visiting import OK, Check, Exchange, Moment, PageVisitor
from sim.scenario import Scenario
from sim.streams import mix

PREFIX = "/api/v1"
PAGE_ROWS = 20  # source: clients of the national portal ask for 20 to 200

_SENT_STATE = "PENDING_SUBMISSION"  # source: design of the portal's back end
_WAITING_STATE = "PENDING_SUPPLEMENT"  # assumption: in the manner of the other states
_DRAFT_STEP = "110"
_SYNC_WAITING = "1"

Role = Literal["citizen", "supplementer", "front"]
"""``front``: the national portal hands dossiers over to the city."""


@dataclass(slots=True)
class Session:
    """What one visitor knows.

    Attributes
    ----------
    run_reference : str
        ``hoso-<run id>``.
    index, key : int
        Index of the session in the trace; what decides whatever it invents.
    service : Service
        What it comes for.
    person : Citizen
        Whose dossier it is.
    user_name : str
        Account it signs in with.
    credentials : Credentials
        Secrets of the test.
    signs_in : bool
        Whether a request of its own signs it in; otherwise credentials go with every request.
    """

    run_reference: str
    index: int
    key: int
    service: Service
    person: Citizen
    user_name: str
    credentials: Credentials
    signs_in: bool
    boundary: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    uploading: Mapping[str, str] = field(default_factory=dict)
    formality: str = ""
    blank_form: str = ""
    dossier: str = ""
    note: str = ""
    files: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin without a token."""
        self.boundary = f"hoso{self.key:016x}"
        if self.signs_in:
            self.use_headers({})
        else:
            secret = self.credentials.user_secret
            self.use_headers({"Authorization": f"Basic {basic(secret, self.user_name)}"})

    def use_headers(self, more: Mapping[str, str]) -> None:
        """Send these headers with every request from now on."""
        self.headers = {"Accept": JSON_TYPE, "Content-Type": JSON_TYPE, **more}
        self.uploading = {**self.headers, "Content-Type": multipart_type(self.boundary)}

    def reference(self, request: int) -> str:
        """Return the run reference of one request."""
        return f"{self.run_reference}/{self.index}/{request}"

    def part(self, n: int) -> str:
        """Return the component that the ``n``-th paper is for."""
        return f"TP{n % max(1, self.service.upload_slots) + 1:02d}"


def _post(s: Session, path: str, body: Json, check: Check) -> Exchange:
    return Exchange(Call("POST", f"{PREFIX}{path}", s.headers, json_body(body)), check)


def _data(answer: Answer) -> Json:
    """Return what an answer of the portal holds.

    Raises
    ------
    WrongContentError
        When its code is not OK.
    """
    row = json_object(answer.body)
    data = row.get("data")
    if row.get("code") != "OK" or not isinstance(data, dict):
        raise WrongContentError(f"code OK expected: {excerpt(answer.body)}")
    return data


# Looking around


def provinces(s: Session, _m: Moment) -> Exchange:
    """Provinces."""
    body: Json = {"limit": PAGE_ROWS, "lastId": ""}
    return _post(s, "/configuring/province-vn/list-by-citizen", body, _rows)


def departments(s: Session, _m: Moment) -> Exchange:
    """Agencies."""
    body: Json = {"limit": PAGE_ROWS, "lastId": ""}
    return _post(s, "/configuring/citizen/department/list-with-location", body, _rows)


def _rows(answer: Answer) -> Reading:
    rows = _data(answer).get("rows")
    if not isinstance(rows, list) or not rows:
        raise WrongContentError("rows missing")
    return OK


_LIST = "/submitting/formality/list-all-public-formality-by-citizen"


def first_page(s: Session, _m: Moment) -> Exchange:
    """First page of all services."""
    body: Json = {"limit": PAGE_ROWS, "lastId": "", "q": ""}
    return _post(s, _LIST, body, partial(_services, s, ""))


def search(s: Session, _m: Moment) -> Exchange:
    """Search for the service the visitor comes for."""
    body: Json = {"limit": PAGE_ROWS, "lastId": "", "q": s.service.code}
    return _post(s, _LIST, body, partial(_services, s, s.service.code))


def _services(s: Session, wanted: str, answer: Answer) -> Reading:
    data = _data(answer)
    items = data.get("items")
    if not isinstance(items, list) or not items or not isinstance(data.get("total"), int):
        raise WrongContentError("items or total missing")
    if not wanted:
        return OK
    for item in items:
        if isinstance(item, dict) and item.get("codeNotation") == wanted:
            s.formality = text_of(item.get("id"))
            return OK
    raise WrongContentError(f"{wanted} is not among {len(items)} services")


def service(s: Session, _m: Moment) -> Exchange:
    """One service with all its texts."""
    body: Json = {"id": s.formality or s.service.code}
    check = partial(_service, s)
    return _post(s, "/configuring/formality/get-formality-by-citizen", body, check)


def _service(s: Session, answer: Answer) -> Reading:
    data = _data(answer)
    if data.get("codeNotation") != s.service.code:
        raise WrongContentError(f"{data.get('codeNotation')}, asked for {s.service.code}")
    s.formality = text_of(data.get("id"))
    s.blank_form = _first_attachment(data)
    return OK


def _first_attachment(data: Json) -> str:
    """Return the id of the first blank form of a service, or nothing."""
    cases = data.get("cases")
    if isinstance(cases, list) and cases and isinstance(cases[0], dict):
        for component in cases[0].get("profileComponents") or ():
            for attachment in component.get("attachments") or ():
                return text_of(attachment.get("id"))
    return ""


def form_schema(s: Session, _m: Moment) -> Exchange:
    """Schema of the service's form."""
    number = s.formality or s.service.code
    body: Json = {"id": number, "formalityCaseId": number}
    return _post(s, "/configuring/formality/get-formality-form-by-citizen", body, _schema)


def _schema(answer: Answer) -> Reading:
    if not _data(answer).get("formJson"):
        raise WrongContentError("formJson missing")
    return OK


def blank_form(s: Session, m: Moment) -> Exchange:
    """Download of a blank form; before one is known, the service once more."""
    if not s.blank_form:
        return service(s, m)
    return _post(s, "/submitting/preview-attachment", {"fileId": s.blank_form}, _some_bytes)


def _some_bytes(answer: Answer) -> Reading:
    if not answer.body:
        raise WrongContentError("the form is empty")
    return OK


# Signing in


def sign_in(s: Session, _m: Moment) -> Exchange:
    """Sign in: a token comes back."""
    call = _login(s, password(s.credentials.user_secret, s.user_name))
    return Exchange(call, partial(_signed_in, s))


def _login(s: Session, secret: str) -> Call:
    body: Json = {"username": s.user_name, "password": secret}
    return Call("POST", f"{PREFIX}/auth/login", s.headers, json_body(body))


def _signed_in(s: Session, answer: Answer) -> Reading:
    token = text_of(_data(answer).get("accessToken"))
    if not token:
        raise WrongContentError("accessToken missing")
    s.use_headers({"Authorization": f"Bearer {token}"})
    return OK


def sign_in_refused(s: Session, _m: Moment) -> Exchange:
    """Sign in with a wrong password: the portal must refuse."""
    return Exchange(_login(s, _WRONG_PASSWORD), _signed_in_wrongly, _refused_password)


_WRONG_PASSWORD = "wrong"


def _refused_password(answer: Answer) -> Reading | None:
    return OK if answer.status in (203, 401, 403) else None


def _signed_in_wrongly(_answer: Answer) -> Reading:
    raise WrongContentError("a wrong password was accepted")


def own_dossiers(s: Session, _m: Moment) -> Exchange:
    """The citizen's dossiers."""
    body: Json = {"limit": PAGE_ROWS, "lastId": ""}
    return _post(s, "/submitting/list-dossier-by-citizen", body, _own_dossiers)


def _own_dossiers(answer: Answer) -> Reading:
    if not isinstance(_data(answer).get("rows"), list):
        raise WrongContentError("rows missing")
    return OK


def look_up_citizen(s: Session, _m: Moment) -> Exchange:
    """The population data base fills the applicant's block, and locks it."""
    person = s.person
    body: Json = {
        "code": person.personal_number,
        "name": person.name,
        "birthDate": person.birth_date,
    }
    return _post(s, "/configuring/citizen/get-citizen-by-code", body, _looked_up)


def _looked_up(answer: Answer) -> Reading:
    if json_object(answer.body).get("code") != "OK":
        raise WrongContentError(f"code OK expected: {excerpt(answer.body)}")
    return OK


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
    return _post(s, "/submitting/create-dossier-by-citizen", body, check)


def _created(s: Session, note: str, is_draft: bool, answer: Answer) -> Reading:
    data = _data(answer)
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
    return _post(s, "/submitting/get-dossier-by-citizen", body, check)


def _dossier(number: str, known: Mapping[str, int], answer: Answer) -> Reading:
    data = _data(answer)
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
    state = _data(answer).get("dossierSyncState")
    return Reading("ok", synced=text_of(state) != _SYNC_WAITING)


def update(s: Session, _m: Moment) -> Exchange:
    """Save the draft."""
    body: Json = {"dossierId": s.dossier, "isDraft": True, "applicantNote": s.note}
    return _post(s, "/submitting/dossier/update-by-citizen", body, partial(_updated, s.dossier))


def _updated(number: str, answer: Answer) -> Reading:
    data = _data(answer)
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


def _send(
    s: Session, m: Moment, verify: visiting.Verify, filed: Acknowledgement | None
) -> Exchange:
    body: Json = {"dossierId": s.dossier, "isDraft": False}
    call = Call(
        "POST", f"{PREFIX}/submitting/dossier/update-by-citizen", s.headers, json_body(body)
    )
    before = partial(_done_before, filed) if m.attempt else None
    return Exchange(call, partial(_sent, s, verify, filed), before)


def _sent(
    s: Session, verify: visiting.Verify, filed: Acknowledgement | None, answer: Answer
) -> Reading:
    _updated(s.dossier, answer)
    data = _data(answer)
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
    return Exchange(call, visiting.accepted_wrongly, visiting.refused)


def _upload(
    s: Session, m: Moment, name: str, media_type: str, chunks: tuple[bytes | memoryview, ...]
) -> Call:
    fields = {"profileComponentId": s.part(m.n), "referenceUid": s.reference(m.request)}
    if s.dossier:
        fields["dossierId"] = s.dossier
    body = multipart(s.boundary, fields, [Upload("file", name, media_type, chunks)])
    return Call("POST", f"{PREFIX}/submitting/upload-attachment", s.uploading, body)


def _uploaded(s: Session, stored: Acknowledgement, answer: Answer) -> Reading:
    data = _data(answer)
    number, size = text_of(data.get("dossierId")), text_of(data.get("fileSize"))
    if not number or (s.dossier and number != s.dossier):
        raise WrongContentError(f"dossierId {number}, sent for {s.dossier}")
    if data.get("referenceUid") != stored.reference or size != str(stored.bytes):
        raise WrongContentError(f"fileSize {size}, sent were {stored.bytes} bytes")
    s.dossier = number
    s.files[stored.reference] = stored.bytes
    told = Acknowledgement("attachment", number, stored.reference, stored.detail, stored.bytes)
    return Reading("ok", acknowledged=told)


_ASKS: visiting.Asks[Session] = {
    "facets": (provinces, departments),
    "service_list": (first_page, search),
    "service_detail": (service, form_schema, blank_form),
    "dictionary": (provinces, departments),
    "login": (sign_in,),
    "login_refused": (sign_in_refused,),
    "profile": (own_dossiers,),
    "counters": (own_dossiers,),
    "service_choice": (search,),
    "dossier_create": (create_draft,),
    "dossier_get": (read,),
    "template_get": (service,),
    "form_get": (form_schema,),
    "citizen_lookup": (look_up_citizen,),
    "files_list": (read,),
    "e_form_save": (update,),
    "file_upload": (upload,),
    "upload_refused": (upload_refused,),
    "mark_save": (update,),
    "dossier_save": (update,),
    "draft_action": (update,),
    "submit": (submit,),
    "supplement_submit": (supplement,),
    "sync_poll": (poll,),
    "track_search": (own_dossiers,),
    "dossier_intake": (intake,),
    "attachment_intake": (upload,),
}

CITY_ENDPOINTS = frozenset({"officer_list", "officer_detail", "officer_action"})
"""What is sent to the city's own system in OpenCPS."""


class NationalDialect:
    """Makes the visitors of the national portal, and of the city behind it."""

    name = "national"
    endpoints = frozenset(_ASKS) | CITY_ENDPOINTS

    def __init__(
        self,
        run_reference: str,
        credentials: Credentials,
        city: OpencpsDialect,
        roles: Mapping[str, Role],
    ) -> None:
        self._run_reference = run_reference
        self._credentials = credentials
        self._city = city
        self._roles = roles
        self._first = mix(zlib.crc32(run_reference.encode()))

    def visitor(self, session: int, journey: str, service: Service, key: int) -> Visitor:
        """Return the visitor of one session; see :class:`loadtests.dialects.Dialect`."""
        role = self._roles.get(journey)
        if role is None:
            return self._city.visitor(session, journey, service, key)
        block = SUPPLEMENTERS if role == "supplementer" else PLAIN
        person = citizen(self._first + session, block)
        is_front = role == "front"
        state = Session(
            run_reference=self._run_reference,
            index=session,
            key=key,
            service=service,
            person=person,
            user_name=self._city.officer(session, service) if is_front else person.user_name,
            credentials=self._credentials,
            signs_in=role == "citizen",
        )
        return PageVisitor(state, key, _ASKS)


def national_dialect(
    scenario: Scenario, run_reference: str, credentials: Credentials
) -> NationalDialect:
    """Return the dialect of one run; see :func:`loadtests.dialects.make_dialect`."""
    city = opencps_dialect(scenario, run_reference, credentials)
    roles: dict[str, Role] = {}
    for name, journey in scenario.journeys.items():
        role = _role({endpoint for step in journey.steps for endpoint in step.calls})
        if role is not None:
            roles[name] = role
    return NationalDialect(run_reference, credentials, city, roles)


def _role(endpoints: set[str]) -> Role | None:
    """Return who sends these endpoints; None: somebody who speaks OpenCPS."""
    if "dossier_intake" in endpoints:
        return "front"
    if "attachment_intake" in endpoints:
        return "supplementer"
    return None if role_of(endpoints) in ("officer", "tracker") else "citizen"
