"""Signing in to the stand-in portal: passwords, sessions, tokens, captchas, lock-outs, roles."""

import base64
import hashlib
import hmac
import itertools
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

LOGIN = "/o/v1/opencps/login"
SECRET, CAPTCHA = "a secret for tests", "four letters"

_serials = itertools.count(990_000)


@pytest.fixture
def client(portal_app: Any) -> TestClient:
    return TestClient(portal_app)


def new_citizen() -> str:
    """Return a user name nobody has used."""
    return f"c031085{next(_serials)}"


def password_of(login: str) -> str:
    return hmac.new(SECRET.encode(), login.encode(), hashlib.sha256).hexdigest()


def basic(login: str, password: str | None = None) -> dict[str, str]:
    pair = f"{login}:{password_of(login) if password is None else password}"
    return {"Authorization": f"BASIC {base64.b64encode(pair.encode()).decode()}"}


def sign_in(client: TestClient, login: str, **form: str) -> Any:
    return client.post(LOGIN, headers=basic(login), data=form)


def test_a_citizen_signs_in_and_is_known_by_the_cookie(client: TestClient) -> None:
    answer = sign_in(client, new_citizen())

    assert (answer.status_code, answer.text) == (200, "ok")
    assert client.cookies["JSESSIONID"]
    roles = client.get("/o/v1/opencps/users/login").json()
    assert [(row["role"], str(row["userId"])) for row in roles] == [
        ("applicant", answer.headers["userid"])
    ]


def test_an_account_is_created_once(client: TestClient) -> None:
    login = new_citizen()

    first, second = sign_in(client, login), sign_in(client, login)

    assert first.headers["userid"] == second.headers["userid"]


def test_an_officer_is_sent_to_the_desk(client: TestClient) -> None:
    answer = sign_in(client, "o0003")

    assert answer.text == "/c"
    assert client.get("/o/rest/v2/users/login").json()[0]["role"] == "employee"


@pytest.mark.parametrize(
    "login", ["o9999", "o", "c", "c12", "", "admin", "c" + "٠" * 12, "' OR 1=1 --", "c0\x00"]
)
def test_nobody_else_has_an_account(client: TestClient, login: str) -> None:
    answer = sign_in(client, login)

    assert (answer.status_code, answer.text) == (200, "")
    assert "JSESSIONID" not in client.cookies


@pytest.mark.parametrize(
    "header", ["", "BASIC", "BASIC ###", "BASIC " + "x" * 5000, "Bearer a.b.c", "Digest x"]
)
def test_an_unreadable_authorization_is_a_wrong_password(client: TestClient, header: str) -> None:
    answer = client.post(LOGIN, headers={"Authorization": header})

    assert (answer.status_code, answer.text) == (200, "")


def test_five_wrong_passwords_lock_the_account(client: TestClient) -> None:
    login = new_citizen()
    sign_in(client, login)

    texts = [client.post(LOGIN, headers=basic(login, "wrong")).text for _ in range(5)]

    assert texts == ["", "", "", "", "lockout"]
    assert sign_in(client, login).text == "lockout"


def test_a_right_password_forgets_the_wrong_ones_before(client: TestClient) -> None:
    login = new_citizen()
    sign_in(client, login)

    for _ in range(3):
        wrong = [client.post(LOGIN, headers=basic(login, "wrong")).text for _ in range(4)]
        assert wrong == [""] * 4
        assert sign_in(client, login).text == "ok"


def test_a_wrong_captcha_is_refused_with_203(client: TestClient) -> None:
    answer = sign_in(client, new_citizen(), j_captcha_response="wrong")

    assert (answer.status_code, answer.text) == (203, "captcha")
    assert "JSESSIONID" not in client.cookies


def test_the_right_captcha_is_accepted(client: TestClient) -> None:
    assert sign_in(client, new_citizen(), j_captcha_response=CAPTCHA).text == "ok"


def test_without_a_known_answer_every_captcha_is_refused(
    small_settings: Any, tmp_path: Any
) -> None:
    from loadtests.portal.accounts import Accounts
    from loadtests.portal.settings import Secrets
    from loadtests.portal.store import open_database

    settings = small_settings(tmp_path, secrets=Secrets("a secret"))
    database = open_database(None, tmp_path)

    assert not Accounts(settings, database).is_captcha("")
    database.close()


def test_a_captcha_is_a_picture_and_always_another_one(client: TestClient) -> None:
    first, second = (client.get("/o/rest/v2/applicants/jcaptcha") for _ in range(2))

    assert first.headers["content-type"] == "image/png"
    assert first.content.startswith(b"\x89PNG\r\n")
    assert first.content != second.content


def test_a_captcha_can_be_opened(client: TestClient) -> None:
    import io

    from matplotlib.image import imread

    picture = imread(io.BytesIO(client.get("/o/rest/v2/applicants/jcaptcha").content), "png")

    assert picture.shape[:2] == (50, 150)


def test_whoever_is_not_signed_in_is_answered_203(client: TestClient) -> None:
    answer = client.get("/o/rest/v2_1/menuconfigs/todo")

    assert answer.status_code == 203
    assert answer.json()["code"] == 203


def test_a_token_of_another_session_signs_nobody_in(client: TestClient) -> None:
    token = sign_in(client, new_citizen()).headers["token"]

    assert client.get("/o/rest/v2_1/menuconfigs/todo", headers={"Token": token}).status_code == 200
    assert client.get("/o/rest/v2_1/menuconfigs/todo", headers={"Token": "x"}).status_code == 203


def test_a_profile_needs_the_sessions_token(client: TestClient) -> None:
    answer = sign_in(client, new_citizen())
    path = f"/o/v1/opencps/users/{answer.headers['userid']}"

    without = client.get(path)
    profile = client.get(path, headers={"Token": answer.headers["token"]})

    assert (without.status_code, without.json()["description"]) == (401, "permission denied")
    assert profile.json()["userId"] == int(answer.headers["userid"])
    assert profile.headers["jwt-token"].count(".") == 2


def test_a_citizen_may_not_see_another_ones_profile(client: TestClient) -> None:
    token = sign_in(client, new_citizen()).headers["token"]

    answer = client.get("/o/v1/opencps/users/1", headers={"Token": token})

    assert (answer.status_code, answer.json()["code"]) == (401, 203)


def test_an_officer_may_see_profiles(client: TestClient) -> None:
    profile = client.get("/o/v1/opencps/users/2", headers=basic("o0000")).json()

    assert profile["screenName"] == "o0001"


def test_a_bearer_token_signs_in(client: TestClient) -> None:
    login = new_citizen()
    token = client.post("/o/rest/v2/login", headers=basic(login)).headers["jwt-token"]

    answer = client.get("/o/rest/v2/users/login", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 200
    head = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert head["alg"] == "HS512"


def test_a_bearer_token_is_good_for_15_minutes(portal_app: Any) -> None:
    from starlette.requests import Request

    accounts = portal_app.state.world.accounts
    user = accounts.check(new := new_citizen(), password_of(new), 1000.0).user
    token = accounts.bearer_token(user, 1000.0)
    header = (b"authorization", f"Bearer {token}".encode())
    request = Request({"type": "http", "headers": [header]})

    assert accounts.who_asks(request, 1899.0).login == new
    assert accounts.who_asks(request, 1901.0) is None


def test_a_changed_bearer_token_signs_nobody_in(client: TestClient) -> None:
    token = client.post("/o/rest/v2/login", headers=basic(new_citizen())).headers["jwt-token"]
    head, claims, signature = token.split(".")
    forged = base64.urlsafe_b64encode(b'{"sub":"o0000","uid":1,"exp":99999999999}').decode()

    for other in (f"{head}.{forged}.{signature}", f"{head}.{claims}.", "..", "é.b.c", "x"):
        bearer = {"Authorization": f"Bearer {other}".encode()}
        assert client.get("/o/rest/v2/users/login", headers=bearer).status_code == 203


def test_sessions_end_with_the_working_day_and_at_sign_out(
    client: TestClient, portal_app: Any
) -> None:
    from starlette.requests import Request

    accounts = portal_app.state.world.accounts
    session_id, _ = accounts.start_session(1, 1000.0)
    cookie = (b"cookie", f"JSESSIONID={session_id}".encode())
    request = Request({"type": "http", "headers": [cookie]})

    assert accounts.who_asks(request, 1000.0 + 8 * 3600 - 1) is not None
    assert accounts.who_asks(request, 1000.0 + 8 * 3600 + 1) is None
    sign_in(client, new_citizen())
    client.post("/o/v1/opencps/logout")
    assert client.get("/o/rest/v2/users/login").status_code == 203


def test_registration_needs_the_captcha_and_an_activation(client: TestClient) -> None:
    login = new_citizen()
    form = {"applicantName": "Nguyễn Văn Thử", "applicantIdNo": login[1:]}
    path = "/o/rest/v2/applicants/withcaptcha"

    assert client.post(path, data=form).status_code == 203
    applicant = client.post(path, data=form | {"j_captcha_response": CAPTCHA}).json()
    assert sign_in(client, login).text == "pending"
    activate = f"/o/rest/v2/applicants/{applicant['applicantId']}/activate"
    assert client.get(f"{activate}/wrong").status_code == 403
    assert client.get(f"{activate}/{applicant['activationCode']}").status_code == 200
    assert sign_in(client, login).text == "ok"
    again = client.post(path, data=form | {"j_captcha_response": CAPTCHA})
    assert again.status_code == 403
    assert "Duplicate" in again.json()["description"]


def test_single_sign_on_leads_to_an_account_of_ones_own(client: TestClient) -> None:
    number = new_citizen()[1:]
    info = client.get("/o/rest/v2/dvcqgsso/userinfo", params={"authToken": number}).json()

    first = client.post("/o/rest/v2/dvcqgsso/auth", json=info).json()
    second = client.post("/o/rest/v2/dvcqgsso/auth", json=info).json()

    assert (first["state"], second["state"]) == ("create", "auth")
    assert first["userId"] == second["userId"]
    assert client.get("/o/rest/v2/users/login").json()[0]["userId"] == first["userId"]


def test_nobody_signs_in_with_another_ones_userinfo(client: TestClient) -> None:
    info = client.get(
        "/o/rest/v2/dvcqgsso/userinfo", params={"authToken": new_citizen()[1:]}
    ).json()

    for forged in (info | {"SoDinhDanh": new_citizen()[1:]}, info | {"encryptData": ""}):
        assert client.post("/o/rest/v2/dvcqgsso/auth", json=forged).status_code == 203


def test_menus_differ_by_role(client: TestClient) -> None:
    citizen = client.get("/o/rest/v2_1/menuconfigs/todo", headers=basic(new_citizen())).json()
    officer = client.get("/o/rest/v2_1/menuconfigs/todo", headers=basic("o0000")).json()

    assert all("owner=true" in row["queryParams"] for row in citizen["data"])
    assert not any("owner=true" in row["queryParams"] for row in officer["data"])


def test_labels_of_a_status(client: TestClient) -> None:
    headers = basic(new_citizen())

    for path in ("receiving", "receiving/"):
        body = client.get(f"/o/rest/v2_1/stepconfigs/status/{path}", headers=headers).json()
        assert body["data"]["stepCode"] == "130"
    waiting = client.get("/o/rest/v2_1/stepconfigs/status/waiting/paying", headers=headers).json()
    assert [row["stepCode"] for row in waiting["data"]] == ["132", "202"]
