"""Looking around on the national portal, and signing in to it."""

from functools import partial

from loadtests.dialects.base import Answer, Call, Reading
from loadtests.dialects.encoding import (
    Json,
    WrongContentError,
    excerpt,
    json_body,
    json_object,
    text_of,
)
from loadtests.dialects.national.session import PAGE_ROWS, PREFIX, Session, data_of, post
from loadtests.dialects.people import password
from loadtests.dialects.visiting import OK, Exchange, Moment

# Looking around


def provinces(s: Session, _m: Moment) -> Exchange:
    """Provinces."""
    body: Json = {"limit": PAGE_ROWS, "lastId": ""}
    return post(s, "/configuring/province-vn/list-by-citizen", body, _rows)


def departments(s: Session, _m: Moment) -> Exchange:
    """Agencies."""
    body: Json = {"limit": PAGE_ROWS, "lastId": ""}
    return post(s, "/configuring/citizen/department/list-with-location", body, _rows)


def _rows(answer: Answer) -> Reading:
    rows = data_of(answer).get("rows")
    if not isinstance(rows, list) or not rows:
        raise WrongContentError("rows missing")
    return OK


_LIST = "/submitting/formality/list-all-public-formality-by-citizen"


def first_page(s: Session, _m: Moment) -> Exchange:
    """First page of all services."""
    body: Json = {"limit": PAGE_ROWS, "lastId": "", "q": ""}
    return post(s, _LIST, body, partial(_services, s, ""))


def search(s: Session, _m: Moment) -> Exchange:
    """Search for the service the visitor comes for."""
    body: Json = {"limit": PAGE_ROWS, "lastId": "", "q": s.service.code}
    return post(s, _LIST, body, partial(_services, s, s.service.code))


def _services(s: Session, wanted: str, answer: Answer) -> Reading:
    data = data_of(answer)
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
    return post(s, "/configuring/formality/get-formality-by-citizen", body, check)


def _service(s: Session, answer: Answer) -> Reading:
    data = data_of(answer)
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
    return post(s, "/configuring/formality/get-formality-form-by-citizen", body, _schema)


def _schema(answer: Answer) -> Reading:
    if not data_of(answer).get("formJson"):
        raise WrongContentError("formJson missing")
    return OK


def blank_form(s: Session, m: Moment) -> Exchange:
    """Download of a blank form; before one is known, the service once more."""
    if not s.blank_form:
        return service(s, m)
    return post(s, "/submitting/preview-attachment", {"fileId": s.blank_form}, _some_bytes)


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
    token = text_of(data_of(answer).get("accessToken"))
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
    return post(s, "/submitting/list-dossier-by-citizen", body, _own_dossiers)


def _own_dossiers(answer: Answer) -> Reading:
    if not isinstance(data_of(answer).get("rows"), list):
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
    return post(s, "/configuring/citizen/get-citizen-by-code", body, _looked_up)


def _looked_up(answer: Answer) -> Reading:
    if json_object(answer.body).get("code") != "OK":
        raise WrongContentError(f"code OK expected: {excerpt(answer.body)}")
    return OK
