"""Signing in and out, registration, profile, the personal page's menu."""

from typing import Annotated, Any

from fastapi import Form, Header, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from loadtests.portal.accounts import (
    COOKIE,
    TOKEN_HEADER,
    Applicant,
    SignedIn,
    basic_credentials,
)
from loadtests.portal.captcha import picture
from loadtests.portal.conventions import (
    CodeText,
    NameText,
    RowId,
    gateway_failed,
    json_answer,
    listing,
    not_allowed,
    not_signed_in,
    text_answer,
)
from loadtests.portal.gateway_client import GatewayError
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit
from loadtests.portal.waiting_citizens import provide, state_for
from loadtests.portal.workflow import STATES, STATUS_NAMES, STEP_NAMES, SUB_STATUS_NAMES

router = PortalRouter(tags=["account"])

Json = dict[str, Any]
CAPTCHA_ANSWER = "j_captcha_response"
CITIZEN_CLASS = "org.opencps.usermgt.model.Applicant"
OFFICER_CLASS = "org.opencps.usermgt.model.Employee"
NO_PERMISSION = "permission denied"


class CaptchaForm(BaseModel):
    """Body of a sign-in."""

    j_captcha_response: CodeText | None = None


NO_CAPTCHA = CaptchaForm()


class RegistrationForm(BaseModel):
    """Body of a registration, by the wire's names."""

    model_config = ConfigDict(populate_by_name=True)

    applicant_name: NameText = Field(alias="applicantName", min_length=1)
    applicant_id_no: CodeText = Field(alias="applicantIdNo")
    applicant_id_type: CodeText = Field("citizen", alias="applicantIdType")
    contact_email: NameText = Field("", alias="contactEmail")
    contact_tel_no: CodeText = Field("", alias="contactTelNo")
    j_captcha_response: CodeText = ""


@router.get("/o/rest/v2/applicants/jcaptcha", response_class=Response)
@router.get("/o/v1/opencps/users/login/jcaptcha", response_class=Response)
def captcha(visit: CurrentVisit) -> Response:
    """Return a captcha's picture."""
    del visit
    return Response(picture(), headers={"Cache-Control": "no-store"}, media_type="image/png")


@router.post(
    "/o/v1/opencps/login",
    response_class=PlainTextResponse,
    responses={203: {"description": "Wrong captcha", "content": {"text/plain": {}}}},
)
def login(
    visit: CurrentVisit,
    form: Annotated[CaptchaForm, Form()] = NO_CAPTCHA,
    authorization: Annotated[str, Header()] = "",
) -> Response:
    """Sign in with user name and password: the answer's text says what came of it.

    ``ok`` a citizen, ``/c`` an officer, ``pending``, ``lockout``, ``captcha`` (with 203), nothing:
    wrong user name or password. A captcha is checked when an answer comes with the request. A
    citizen is known to single sign-on, which is asked twice: for a token and for the person.
    """
    accounts = visit.world.accounts
    if form.j_captcha_response is not None and not accounts.is_captcha(form.j_captcha_response):
        return Response("captcha", 203, media_type="text/plain")
    credentials = basic_credentials(authorization)
    if credentials is None:
        return text_answer("")
    found = accounts.check(*credentials, visit.now)
    if found.user is None or found.state == "pending":
        headers = {"userId": str(found.user.user_id)} if found.user else {}
        return text_answer("" if found.state == "refused" else found.state, headers=headers)
    if found.state == "ok":
        _ask_single_sign_on(visit, found.user)
        _provide_what_waits(visit, found.user)
    answer = text_answer("/c" if found.state == "officer" else "ok")
    start_session(visit, found.user, answer)
    return answer


def _provide_what_waits(visit: Visit, user: SignedIn) -> None:
    """Let a dossier wait for a test citizen who comes to pay or to supplement."""
    if state_for(user.id_no) is not None:
        with visit.world.database.writing() as db:
            provide(db, visit.world.rules, user, visit.settings.group_id, visit.now)


def _ask_single_sign_on(visit: Visit, user: SignedIn) -> None:
    try:
        token = visit.gateways.sso_token(user.login)
        visit.gateways.sso_userinfo(str(token.get("access_token", "")))
    except GatewayError as error:
        raise gateway_failed(f"SSOException: single sign-on failed: {error}") from error


def start_session(visit: Visit, user: SignedIn, answer: Response) -> None:
    """Start a session and give the answer its cookie, token and user number."""
    session_id, token = visit.world.accounts.start_session(user.user_id, visit.now)
    answer.set_cookie(COOKIE, session_id, path="/", httponly=True)
    answer.headers[TOKEN_HEADER] = token
    answer.headers["userId"] = str(user.user_id)


@router.get("/c/portal/logout", response_class=PlainTextResponse)
@router.post("/o/v1/opencps/logout", response_class=PlainTextResponse)
def logout(visit: CurrentVisit) -> Response:
    """End the session."""
    visit.world.accounts.sign_out(visit.request.cookies.get(COOKIE, ""))
    answer = text_answer("ok")
    answer.delete_cookie(COOKIE)
    return answer


@router.post("/o/rest/v2/login")
def bearer_login(visit: CurrentVisit) -> Response:
    """Return the user and, as a header, a token for 15 minutes."""
    user = visit.signed_in()
    token = visit.world.accounts.bearer_token(user, visit.now)
    return json_answer(_profile(user), headers={"jwt-token": token})


@router.get("/o/v1/opencps/users/login")
@router.get("/o/rest/v2/users/login")
def roles(visit: CurrentVisit) -> Response:
    """Return who is signed in and in which role, as a list of one."""
    user = visit.signed_in()
    role = "employee" if user.is_officer else "applicant"
    row = {"userId": user.user_id, "userName": user.name, "email": user.email, "role": role}
    return json_answer([row])


@router.get("/o/v1/opencps/users/avatar/{class_name}/{key}")
def avatar(visit: CurrentVisit, class_name: CodeText, key: CodeText) -> str:
    """Return the address of a user's picture."""
    _check_token(visit)
    del class_name, key
    return "/image/user_male_portrait?img_id=0"


@router.get("/o/v1/opencps/users/{user_id}")
def user_profile(visit: CurrentVisit, user_id: RowId) -> Response:
    """Return one's own profile, or for officers anybody's; a token comes as a header."""
    _check_token(visit)
    user = visit.signed_in()
    if user_id != user.user_id and not user.is_officer:
        raise not_allowed()
    shown = user if user_id == user.user_id else visit.world.accounts.profile(user_id)
    token = visit.world.accounts.bearer_token(user, visit.now)
    return json_answer(_profile(shown), headers={"jwt-token": token})


def _check_token(visit: Visit) -> None:
    """Answer 401 unless the session's token comes with its cookie."""
    user = visit.user
    if user is None:
        raise not_allowed(NO_PERMISSION)
    sent = visit.request.headers.get(TOKEN_HEADER, "")
    if user.session_token is not None and sent != user.session_token:
        raise not_allowed(NO_PERMISSION)


def _profile(user: SignedIn) -> Json:
    return {
        "userId": user.user_id,
        "screenName": user.login,
        "fullName": user.name,
        "email": user.email,
        "telNo": user.tel_no,
        "className": OFFICER_CLASS if user.is_officer else CITIZEN_CLASS,
        "classPK": user.user_id,
        "applicantIdNo": user.id_no,
        "applicantIdType": user.id_type,
        "govAgencyCode": user.agency_code,
    }


@router.post("/o/rest/v2/applicants/withcaptcha")
def register_with_captcha(visit: CurrentVisit, form: Annotated[RegistrationForm, Form()]) -> Json:
    """Register a citizen; the captcha must be right."""
    visit.check_captcha(form.j_captcha_response)
    return _register(visit, form)


@router.post("/o/rest/v2/applicants/withindentifies")
def register_with_identity(visit: CurrentVisit, form: Annotated[RegistrationForm, Form()]) -> Json:
    """Register the citizen that single sign-on vouched for: whoever is signed in."""
    user = visit.signed_in()
    if user.id_no != form.applicant_id_no:
        raise not_signed_in("Not the person who signed in.")
    return _register(visit, form)


def _register(visit: Visit, form: RegistrationForm) -> Json:
    applicant = Applicant(
        id_no=form.applicant_id_no,
        name=form.applicant_name,
        email=form.contact_email,
        tel_no=form.contact_tel_no,
    )
    user, code = visit.world.accounts.register(applicant, visit.now)
    # A real portal sends the code by e-mail; a load test has no mailbox.
    return _profile(user) | {"applicantId": user.user_id, "activationCode": code}


@router.get("/o/rest/v2/applicants/{applicant_id}/activate/{code}")
def activate(visit: CurrentVisit, applicant_id: RowId, code: CodeText) -> Json:
    """Open a registered account."""
    return _profile(visit.world.accounts.activate(applicant_id, code))


_CITIZEN_MENU = (
    ("Hồ sơ nháp", ("110",)),
    ("Hồ sơ chờ tiếp nhận", ("120", "130")),
    ("Hồ sơ cần bổ sung, thanh toán", ("131", "132", "201", "202")),
    ("Hồ sơ đang xử lý", ("200", "210")),
    ("Hồ sơ đã có kết quả", ("300", "302", "310", "400")),
    ("Hồ sơ đã hủy", ("410",)),
)
_OFFICER_MENU = (
    ("Chờ tiếp nhận", ("130",)),
    ("Chờ bổ sung khi tiếp nhận", ("131", "132")),
    ("Đang xử lý", ("200", "210")),
    ("Chờ bổ sung khi xử lý", ("201", "202")),
    ("Chờ trả kết quả", ("300", "302", "310")),
    ("Đã trả kết quả", ("400",)),
)


@router.get("/o/rest/v2_1/menuconfigs/todo")
def menu(visit: CurrentVisit) -> Json:
    """Return the personal page's menu: groups of steps, each with the query of its list."""
    user = visit.signed_in()
    entries = _OFFICER_MENU if user.is_officer else _CITIZEN_MENU
    owner = "" if user.is_officer else "&owner=true"
    rows = [
        {
            "menuConfigId": number,
            "menuGroup": f"menu_{number}",
            "menuName": name,
            "menuType": 0,
            "order": number,
            "queryParams": f"/o/rest/v2/dossiers/todo?order=true{owner}&step={','.join(codes)}",
            "steps": [{"stepCode": code, "stepName": STEP_NAMES[code]} for code in codes],
        }
        for number, (name, codes) in enumerate(entries, 1)
    ]
    return listing(len(rows), rows)


@router.get("/o/rest/v2_1/stepconfigs/status/{status}")
@router.get("/o/rest/v2_1/stepconfigs/status/{status}/")
def steps_of_status(visit: CurrentVisit, status: CodeText) -> Json:
    """Return the steps that have this status."""
    return _steps(visit, status, "")


@router.get("/o/rest/v2_1/stepconfigs/status/{status}/{sub_status}")
def steps_of_sub_status(visit: CurrentVisit, status: CodeText, sub_status: CodeText) -> Json:
    """Return the steps that have this status and sub-status."""
    return _steps(visit, status, sub_status)


def _steps(visit: Visit, status: str, sub_status: str) -> Json:
    visit.signed_in()
    rows = [
        {
            "stepCode": state.step,
            "stepName": STEP_NAMES[state.step],
            "dossierStatus": state.status,
            "dossierStatusText": STATUS_NAMES.get(state.status, state.status),
            "dossierSubStatus": state.sub_status,
            "dossierSubStatusText": SUB_STATUS_NAMES.get(state.sub_status, state.sub_status),
        }
        for state in STATES
        if state.status == status and sub_status in ("", state.sub_status)
    ]
    return listing(len(rows), rows)
