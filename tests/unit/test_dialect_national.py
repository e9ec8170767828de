"""The national portal's dialect: what it sends, and what it makes of hand-made answers."""

import hashlib
import json
from typing import Any

import pytest

from loadtests.dialects import Answer, Call, Credentials, Dialect, Reading, Service, make_dialect
from loadtests.dialects.people import SUPPLEMENTERS, citizen, is_synthetic
from sim.scenario import load_scenario

SCENARIO = load_scenario("haiphong-2025-merged")
OWN = load_scenario("haiphong-2024")
CREDENTIALS = Credentials(user_secret="a secret", captcha="four letters")
SERVICE = Service("1.000005.000.00.00.H24", upload_slots=2, e_form=True)
RUN = "hoso-ab12"
NOW_MS = 1_732_500_030_500


def dialect() -> Dialect:
    return make_dialect("national", SCENARIO, RUN, CREDENTIALS)


class Talk:
    """One session; every request gets the answer that the test wrote down."""

    def __init__(self, journey: str, *, session: int = 7, of: Dialect | None = None) -> None:
        self.visitor = (of or dialect()).visitor(session, journey, SERVICE, 12345)
        self.request = -1

    def call(self, endpoint: str, bytes_up: int = 0) -> Call:
        self.request += 1
        return self.again(endpoint, 0, bytes_up)

    def again(self, endpoint: str, attempt: int, bytes_up: int = 0) -> Call:
        return self.visitor.call(
            endpoint, request=self.request, attempt=attempt, bytes_up=bytes_up, now_ms=NOW_MS
        )

    def read(self, endpoint: str, data: Any, status: int = 201, attempt: int = 0) -> Reading:
        body = json.dumps({"code": "OK", "message": "OK", "data": data}).encode()
        return self.visitor.read(endpoint, self.request, attempt, Answer(status, {}, body))

    def ask(self, endpoint: str, data: Any, status: int = 201) -> Reading:
        self.call(endpoint)
        return self.read(endpoint, data, status)


def filed(**more: object) -> dict[str, Any]:
    note = f"{RUN}/7/0"
    row = {"dossierId": 501, "applicantNote": note, "state": "PENDING_SUBMISSION"}
    return {**row, "stepCode": "130", **more}


def body_of(call: Call) -> dict[str, Any]:
    whole = json.loads(call.body or b"")
    assert isinstance(whole, dict)
    return whole


def test_two_workers_send_the_same_bytes() -> None:
    one, other = Talk("national_intake"), Talk("national_intake")
    assert one.call("dossier_intake") == other.call("dossier_intake")
    for talk in (one, other):
        talk.read("dossier_intake", filed())
    assert one.call("attachment_intake", 70_000) == other.call("attachment_intake", 70_000)


def test_a_dossier_that_is_handed_over_names_its_citizen_and_its_run() -> None:
    body = body_of(Talk("national_intake").call("dossier_intake"))
    assert is_synthetic(body["applicant"]["citizen"]["identity"])
    assert body["applicantNote"] == f"{RUN}/7/0"
    assert body["isDraft"] is False


def test_every_session_hands_over_another_citizens_dossier() -> None:
    of = dialect()
    bodies = [
        body_of(Talk("national_intake", session=n, of=of).call("dossier_intake")) for n in range(20)
    ]
    assert len({body["applicant"]["citizen"]["identity"] for body in bodies}) == 20


def test_a_dossier_that_is_handed_over_is_acknowledged() -> None:
    told = Talk("national_intake").ask("dossier_intake", filed()).acknowledged
    assert told is not None
    assert (told.kind, told.dossier, told.reference) == ("dossier", "501", f"{RUN}/7/0")


@pytest.mark.parametrize(
    "change",
    [
        {"dossierId": None},
        {"applicantNote": "other"},
        {"state": "DRAFT"},
        {"stepCode": "110"},
        {"stepCode": None},
    ],
)
def test_a_dossier_that_is_not_filed_as_sent_is_a_failure(change: dict[str, object]) -> None:
    reading = Talk("national_intake").ask("dossier_intake", filed(**change))
    assert reading.outcome == "failed"
    assert reading.acknowledged is None


def test_another_code_than_ok_is_a_failure() -> None:
    talk = Talk("national_intake")
    talk.call("dossier_intake")
    body = b'{"code":"FORMALITY_NOT_FOUND","message":"no","data":{}}'
    reading = talk.visitor.read("dossier_intake", 0, 0, Answer(201, {}, body))
    assert reading.outcome == "failed"
    assert "FORMALITY_NOT_FOUND" in reading.problem


def test_a_page_of_the_firewall_is_a_failure() -> None:
    talk = Talk("national_intake")
    talk.call("dossier_intake")
    page = Answer(200, {}, b"<html>Request Rejected</html>")
    assert talk.visitor.read("dossier_intake", 0, 0, page).outcome == "failed"


@pytest.mark.parametrize(("status", "outcome"), [(503, "rejected"), (504, "timed_out")])
def test_an_overloaded_portal_is_no_failure_of_content(status: int, outcome: str) -> None:
    assert Talk("national_intake").ask("dossier_intake", {}, status).outcome == outcome


def test_a_paper_is_acknowledged_with_the_hash_of_its_bytes() -> None:
    talk = Talk("national_intake")
    talk.ask("dossier_intake", filed())
    call = talk.call("attachment_intake", 70_000)
    content = (call.body or b"").partition(b"filename=")[2].partition(b"\r\n\r\n")[2]
    content = content.rpartition(b"\r\n--")[0]
    reference = f"{RUN}/7/{talk.request}"
    answer = {"dossierId": 501, "referenceUid": reference, "fileSize": 70_000}
    told = talk.read("attachment_intake", answer).acknowledged
    assert told is not None
    assert (told.dossier, told.reference, told.bytes) == ("501", reference, 70_000)
    assert told.detail == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "change", [{"dossierId": 502}, {"referenceUid": "other"}, {"fileSize": 69_999}]
)
def test_a_paper_that_is_stored_differently_is_a_failure(change: dict[str, object]) -> None:
    talk = Talk("national_intake")
    talk.ask("dossier_intake", filed())
    talk.call("attachment_intake", 70_000)
    answer = {"dossierId": 501, "referenceUid": f"{RUN}/7/1", "fileSize": 70_000, **change}
    assert talk.read("attachment_intake", answer).outcome == "failed"


def test_supplements_are_for_the_dossier_that_waits_for_the_citizen() -> None:
    talk = Talk("national_supplement")
    call = talk.call("attachment_intake", 1000)
    assert b'name="dossierId"' not in (call.body or b"")
    answer = {"dossierId": 9, "referenceUid": f"{RUN}/7/0", "fileSize": 1000}
    assert talk.read("attachment_intake", answer).outcome == "ok"
    assert b'name="dossierId"\r\n\r\n9\r\n' in (talk.call("attachment_intake", 1000).body or b"")
    assert body_of(talk.call("supplement_submit"))["dossierId"] == "9"


def test_citizens_who_supplement_are_of_their_own_kind() -> None:
    import base64

    header = Talk("national_supplement").call("attachment_intake").headers["Authorization"]
    name = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")[0]
    serials = {citizen(n, SUPPLEMENTERS).personal_number[6:8] for n in range(1000)}
    assert name[7:9] in serials


def test_a_supplement_that_left_the_dossier_waiting_has_failed() -> None:
    talk = Talk("national_supplement")
    talk.call("attachment_intake", 1000)
    answer = {"dossierId": 9, "referenceUid": f"{RUN}/7/0", "fileSize": 1000}
    talk.read("attachment_intake", answer)
    row = {"dossierId": 9, "stepCode": "131", "state": "PENDING_SUPPLEMENT"}
    assert talk.ask("supplement_submit", row).outcome == "failed"
    row = {"dossierId": 9, "stepCode": "130", "state": "PENDING_SUBMISSION", "actionCode": "1250"}
    told = talk.ask("supplement_submit", row).acknowledged
    assert told is not None
    assert (told.kind, told.detail) == ("action", "1250")


def test_a_repeated_supplement_answered_405_was_done_before() -> None:
    talk = Talk("national_supplement")
    talk.call("supplement_submit")
    talk.again("supplement_submit", 1)
    assert talk.read("supplement_submit", {}, 405, attempt=1).outcome == "ok"
    assert talk.ask("supplement_submit", {}, 405).outcome == "failed"


@pytest.mark.parametrize("journey", ["officer", "track"])
def test_the_city_itself_speaks_opencps(journey: str) -> None:
    endpoint = "officer_list" if journey == "officer" else "track_search"
    call = Talk(journey).call(endpoint)
    assert call.path.startswith("/o/rest/v2/dossiers")


def test_a_citizen_signs_in_once_and_carries_the_token() -> None:
    talk = Talk("submit", of=make_dialect("national", OWN, RUN, CREDENTIALS))
    assert "Authorization" not in talk.call("login").headers
    talk.read("login", {"accessToken": "the token"})
    assert talk.call("profile").headers["Authorization"] == "Bearer the token"


def test_a_wrong_password_must_be_refused() -> None:
    talk = Talk("mistaken", of=make_dialect("national", OWN, RUN, CREDENTIALS))
    assert talk.ask("login_refused", {}, 203).outcome == "ok"
    assert talk.ask("login_refused", {"accessToken": "t"}).outcome == "failed"


def test_a_search_must_find_the_service() -> None:
    talk = Talk("browse", of=make_dialect("national", OWN, RUN, CREDENTIALS))
    item = {"id": "uuid-5", "codeNotation": SERVICE.code}
    page = {"items": [item], "total": 1, "lastId": "uuid-5"}
    assert talk.ask("service_list", page).outcome == "ok"
    assert talk.ask("service_list", page).outcome == "ok"
    assert body_of(talk.call("service_detail"))["id"] == "uuid-5"
    talk.call("service_list")
    talk.call("service_list")
    other = {"items": [item | {"codeNotation": "1.9"}], "total": 1}
    assert talk.read("service_list", other).outcome == "failed"


def test_polls_say_whether_the_city_has_the_dossier() -> None:
    talk = Talk("submit", of=make_dialect("national", OWN, RUN, CREDENTIALS))
    draft = filed(state="DRAFT", stepCode="110")
    assert talk.ask("dossier_create", draft).outcome == "ok"
    for state, synced in (("1", False), ("3", True)):
        assert talk.ask("sync_poll", filed(dossierSyncState=state)).synced is synced
    assert talk.ask("sync_poll", filed(dossierId=502)).outcome == "failed"
