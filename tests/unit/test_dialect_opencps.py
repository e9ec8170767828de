"""The OpenCPS dialect: what it sends, and what it makes of hand-made answers."""

import hashlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.dialects import (
    Answer,
    Call,
    Credentials,
    DialectError,
    Reading,
    Service,
    check_endpoints,
    make_dialect,
)
from loadtests.dialects.opencps import OpencpsDialect
from loadtests.dialects.opencps.officers import OTHER_AGENCY_SHARE
from loadtests.dialects.people import password
from sim.demand import catalogue_of
from sim.scenario import Scenario, load_scenario, shipped_scenarios

SCENARIO = load_scenario("haiphong-2024")
CREDENTIALS = Credentials(user_secret="a secret", captcha="four letters")
SERVICE = Service("1.000005.000.00.00.H24", upload_slots=2, e_form=True, fee_vnd=10_000)
RUN = "hoso-ab12"
NOW_MS = 1_732_500_030_500


def dialect() -> OpencpsDialect:
    made = make_dialect("opencps", SCENARIO, RUN, CREDENTIALS)
    assert isinstance(made, OpencpsDialect)
    return made


class Talk:
    """One session; every request gets the answer that the test wrote down."""

    def __init__(
        self,
        journey: str,
        *,
        session: int = 7,
        key: int = 12345,
        of: OpencpsDialect | None = None,
        service: Service = SERVICE,
    ) -> None:
        self.visitor = (of or dialect()).visitor(session, journey, service, key)
        self.request = -1

    def call(self, endpoint: str, bytes_up: int = 0, now_ms: int = NOW_MS) -> Call:
        """Make the next request's call."""
        self.request += 1
        return self.again(endpoint, 0, bytes_up, now_ms)

    def again(self, endpoint: str, attempt: int, bytes_up: int = 0, now_ms: int = NOW_MS) -> Call:
        """Make the last request's call once more."""
        return self.visitor.call(
            endpoint, request=self.request, attempt=attempt, bytes_up=bytes_up, now_ms=now_ms
        )

    def read(
        self,
        endpoint: str,
        body: object = b"",
        status: int = 200,
        attempt: int = 0,
        **headers: str,
    ) -> Reading:
        """Read an answer to the last request."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.visitor.read(endpoint, self.request, attempt, Answer(status, headers, content))

    def ask(self, endpoint: str, body: object = b"", status: int = 200, **headers: str) -> Reading:
        """Make the next request and read its answer."""
        self.call(endpoint)
        return self.read(endpoint, body, status, **headers)


def row_of_service(**more: object) -> dict[str, Any]:
    config = {"serviceConfigId": 21, "govAgencyCode": "H24.01", "serviceLevel": 4}
    return {"serviceCode": SERVICE.code, "serviceConfigs": [config], **more}


def row_of_dossier(**more: object) -> dict[str, Any]:
    return {
        "dossierId": 501,
        "referenceUid": "u-501",
        "serviceCode": SERVICE.code,
        "dossierTemplateNo": "T5",
        "stepCode": "110",
        "applicantNote": "",
        **more,
    }


TEMPLATE = {
    "templateNo": "T5",
    "dossierParts": [
        {"partNo": "TK01", "partType": 3, "fileTemplateNo": "F0", "eForm": "true"},
        {"partNo": "TP01", "partType": 1, "fileTemplateNo": "F1", "eForm": "false"},
        {"partNo": "TP02", "partType": 1, "fileTemplateNo": "F2", "eForm": "false"},
    ],
}


def filing(session: int = 7, of: OpencpsDialect | None = None) -> Talk:
    """A citizen who has a draft and knows its parts."""
    talk = Talk("submit", session=session, of=of)
    assert talk.ask("login", b"ok", token="tk", userid="9").outcome == "ok"
    assert talk.ask("dossier_create", row_of_dossier()).outcome == "ok"
    assert talk.ask("template_get", TEMPLATE).outcome == "ok"
    return talk


def saved(talk: Talk) -> str:
    """Save the applicant; return the note that was sent."""
    note = f"{RUN}/7/{talk.request + 1}"
    assert talk.ask("dossier_save", row_of_dossier(applicantNote=note)).outcome == "ok"
    return note


def fields_of(call: Call) -> dict[str, str]:
    from urllib.parse import parse_qsl

    assert call.body is not None
    return dict(parse_qsl(call.body.decode(), keep_blank_values=True))


# What is sent


def test_two_workers_send_the_same_bytes() -> None:
    one, other = filing(), filing()
    for endpoint in ("e_form_save", "file_upload", "dossier_save", "mark_save", "submit"):
        assert one.call(endpoint, 5000) == other.call(endpoint, 5000)


def test_another_session_sends_other_papers() -> None:
    of = dialect()
    bodies = {filing(session, of).call("file_upload", 5000).body for session in range(5)}
    assert len(bodies) == 5


def test_two_runs_have_different_citizens() -> None:
    runs = [make_dialect("opencps", SCENARIO, f"hoso-{n}", CREDENTIALS) for n in range(3)]
    names = {
        Talk("submit", of=run).call("login").headers["Authorization"]  # type: ignore[arg-type]
        for run in runs
    }
    assert len(names) == 3


def test_a_repetition_is_the_same_request_once_more() -> None:
    talk = filing()
    first = talk.call("form_get")
    assert talk.again("form_get", 1) == first
    assert talk.call("form_get").path != first.path


def test_calls_of_a_group_can_all_be_made_before_any_answer_is_read() -> None:
    talk = Talk("browse")
    paths = {talk.call("facets").path for _ in range(5)}
    assert len(paths) == 5
    for request in range(5):
        answer = Answer(200, {}, b'{"total":1,"data":{"administrationCode":"a","domainCode":"d"}}')
        talk.visitor.read("facets", request, 0, answer)


def test_the_token_of_the_sign_in_goes_with_every_later_request() -> None:
    talk = Talk("submit")
    assert talk.call("login").headers["Token"] == ""
    talk.read("login", b"ok", token="secret token", userid="9")
    call = talk.call("profile")
    assert call.headers["Token"] == "secret token"
    assert call.path.endswith("/users/9")


def test_without_a_token_the_credentials_go_with_every_later_request() -> None:
    talk = Talk("submit")
    talk.ask("login", b"ok")
    assert talk.call("counters").headers["Authorization"].startswith("Basic ")


def test_the_password_is_the_keyed_hash_of_the_user_name() -> None:
    import base64

    header = Talk("submit").call("login").headers["Authorization"]
    name, _, secret = base64.b64decode(header.removeprefix("BASIC ")).decode().partition(":")
    assert secret == password("a secret", name)


def test_the_tracking_key_is_that_of_the_minute() -> None:
    key = Talk("track").call("track_search").headers["authenKey"]
    minute_ms = NOW_MS // 60_000 * 60_000
    assert key == hashlib.md5(f"hoso-tracuu-{minute_ms}".encode()).hexdigest()


def test_the_tracking_key_follows_the_clock() -> None:
    talk = Talk("track")
    first = talk.call("track_search").headers["authenKey"]
    row = {"dossierId": 1, "applicantIdNo": _tracked_number(talk)}
    talk.read("track_search", {"total": 1, "data": row})
    assert talk.call("dossier_get", now_ms=NOW_MS + 60_000).headers["authenKey"] != first


def _tracked_number(talk: Talk) -> str:
    from urllib.parse import parse_qs, urlsplit

    return parse_qs(urlsplit(talk.again("track_search", 0).path).query)["applicantIdNo"][0]


def test_a_paper_is_sent_with_its_size_and_its_bytes() -> None:
    call = filing().call("file_upload", 70_000)
    assert call.body is not None
    head, _, rest = call.body.partition(b"Content-Type: ")
    assert b'name="fileSize"\r\n\r\n70000\r\n' in head
    content = rest.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
    assert len(content) == 70_000


def test_papers_are_for_the_parts_in_turn() -> None:
    talk = filing()
    parts = []
    for _ in range(3):
        body = talk.call("file_upload", 1000).body or b""
        parts.append(body.partition(b'name="dossierPartNo"\r\n\r\n')[2][:4])
    assert parts == [b"TP01", b"TP02", b"TP01"]


def test_the_note_carries_run_session_and_request() -> None:
    talk = filing()
    call = talk.call("dossier_save")
    assert fields_of(call)["applicantNote"] == f"{RUN}/7/{talk.request}"


def test_an_enterprise_sends_all_papers_in_one_request() -> None:
    talk = Talk("enterprise_bulk")
    talk.ask("template_get", TEMPLATE)
    body = talk.call("bulk_submit", 100_000).body or b""
    assert body.count(b"%PDF-") + body.count(b"JFIF") + body.count(b"PNG\r\n") == 2
    assert 100_000 <= len(body) < 110_000


# What answers mean


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(429, "rejected"), (503, "rejected"), (408, "timed_out"), (504, "timed_out")]
    + [(code, "failed") for code in (203, 301, 400, 401, 403, 404, 405, 500, 502)],
)
def test_a_status_that_is_no_success_has_its_outcome(status: int, outcome: str) -> None:
    reading = Talk("submit").ask("facets", {"description": "the reason"}, status)
    assert reading.outcome == outcome
    assert reading.problem.startswith(f"{status}: ")
    assert "the reason" in reading.problem


def test_203_is_said_to_mean_not_signed_in() -> None:
    assert "not signed in" in Talk("submit").ask("counters", b"", 203).problem


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Request Rejected</html>",
        b"",
        {"data": []},
        {"total": "many", "data": []},
        {"total": 1},
        {"total": 1, "data": [1]},
        {"total": 0, "data": [{"level": 1}]},
        {"total": 0, "data": []},
        [],
    ],
)
def test_a_good_status_with_wrong_content_is_a_failure(body: object) -> None:
    assert Talk("submit").ask("facets", body).outcome == "failed"


def test_a_single_row_may_stand_without_brackets() -> None:
    for data in (row_of_service(), [row_of_service()]):
        talk = Talk("browse")
        talk.ask("service_list", {"total": 1, "data": [row_of_service()]})
        assert talk.ask("service_list", {"total": 1, "data": data}).outcome == "ok"
        paths = [talk.call("service_detail").path for _ in range(3)]
        assert paths[2].endswith("/serviceconfigs/21/processes")


def test_a_search_that_does_not_find_the_service_has_failed() -> None:
    talk = Talk("browse")
    talk.ask("service_list", {"total": 1, "data": row_of_service()})
    other = {"total": 1, "data": row_of_service(serviceCode="1.999999")}
    assert SERVICE.code in talk.ask("service_list", other).problem


@pytest.mark.parametrize("text", [b"", b"captcha", b"lockout", b"pending", b"verify", b"hello"])
def test_a_sign_in_with_any_other_word_has_failed(text: bytes) -> None:
    assert Talk("submit").ask("login", text).outcome == "failed"


def test_a_wrong_captcha_must_be_refused() -> None:
    talk = Talk("submit")
    assert talk.ask("login_refused", b"captcha", 203).outcome == "ok"
    assert talk.ask("login_refused", b"ok").outcome == "failed"
    assert talk.ask("login_refused", b"", 500).outcome == "failed"


@pytest.mark.parametrize("status", [400, 403, 413, 415])
def test_a_paper_of_a_wrong_type_must_be_refused(status: int) -> None:
    talk = filing()
    body = talk.call("upload_refused", 1000).body or b""
    assert b".exe" in body
    assert talk.read("upload_refused", {"description": "no"}, status).outcome == "ok"


def test_a_wrong_paper_that_is_accepted_is_a_failure() -> None:
    assert filing().ask("upload_refused", {"referenceUid": "u"}).outcome == "failed"


def test_a_refusal_out_of_overload_is_none_of_the_paper() -> None:
    assert filing().ask("upload_refused", b"", 503).outcome == "rejected"


def test_another_dossier_than_asked_for_is_a_failure() -> None:
    reading = filing().ask("dossier_get", row_of_dossier(dossierId=502))
    assert reading.outcome == "failed"
    assert "502" in reading.problem


def test_a_draft_of_another_service_is_a_failure() -> None:
    talk = Talk("submit")
    assert talk.ask("dossier_create", row_of_dossier(serviceCode="1.1")).outcome == "failed"


def test_a_lost_note_is_a_failure() -> None:
    talk = filing()
    saved(talk)
    assert talk.ask("dossier_get", row_of_dossier(applicantNote="")).outcome == "failed"


def test_an_upload_is_acknowledged_with_the_hash_of_its_bytes() -> None:
    talk = filing()
    call = talk.call("file_upload", 70_000)
    answer = {"referenceUid": "f-1", "dossierPartNo": "TP01", "fileSize": 70_000}
    told = talk.read("file_upload", answer).acknowledged
    content = (call.body or b"").partition(b"filename=")[2].partition(b"\r\n\r\n")[2]
    content = content.rpartition(b"\r\n--")[0]
    assert told is not None
    assert (told.kind, told.dossier, told.reference, told.bytes) == (
        "attachment", "501", "f-1", 70_000,
    )  # fmt: skip
    assert told.detail == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "change", [{"fileSize": 69_999}, {"dossierPartNo": "TP09"}, {"referenceUid": ""}]
)
def test_an_upload_answered_differently_is_a_failure(change: dict[str, object]) -> None:
    talk = filing()
    talk.call("file_upload", 70_000)
    answer = {"referenceUid": "f-1", "dossierPartNo": "TP01", "fileSize": 70_000, **change}
    assert talk.read("file_upload", answer).outcome == "failed"


def test_a_list_without_an_acknowledged_file_is_a_failure() -> None:
    talk = filing()
    talk.call("file_upload", 70_000)
    file = {"referenceUid": "f-1", "dossierPartNo": "TP01", "fileSize": 70_000}
    talk.read("file_upload", file)
    assert talk.ask("files_list", {"total": 1, "data": file}).outcome == "ok"
    assert talk.ask("files_list", {"total": 0, "data": []}).outcome == "failed"
    smaller = file | {"fileSize": 1}
    assert talk.ask("files_list", {"total": 1, "data": smaller}).outcome == "failed"


def test_a_submission_is_acknowledged_with_its_reference() -> None:
    talk = filing()
    note = saved(talk)
    told = talk.ask("submit", {"dossierId": 501, "stepCode": "130"}).acknowledged
    assert told is not None
    assert (told.kind, told.dossier, told.reference) == ("dossier", "501", note)


@pytest.mark.parametrize("step", ["110", "", None])
def test_a_submission_that_did_not_move_the_dossier_has_failed(step: str | None) -> None:
    reading = filing().ask("submit", {"dossierId": 501, "stepCode": step})
    assert reading.outcome == "failed"
    assert reading.acknowledged is None


def test_a_repeated_submission_answered_405_was_done_before() -> None:
    talk = filing()
    note = saved(talk)
    talk.call("submit")
    talk.again("submit", 1)
    reading = talk.read("submit", b"", 405, attempt=1)
    assert reading.outcome == "ok"
    assert reading.acknowledged is not None
    assert reading.acknowledged.reference == note


def test_a_first_submission_answered_405_has_failed() -> None:
    assert filing().ask("submit", b"", 405).outcome == "failed"


def test_polls_say_whether_the_dossier_is_synchronised() -> None:
    talk = filing()
    waits, done = (row_of_dossier(dossierSyncState=state) for state in ("1", "3"))
    assert talk.ask("sync_poll", waits).synced is False
    assert talk.ask("sync_poll", {"total": 0, "data": []}).synced is None
    talk.ask("sync_poll", {})
    assert talk.ask("sync_poll", done).synced is True


def test_a_poll_without_the_state_has_failed() -> None:
    assert filing().ask("sync_poll", row_of_dossier()).outcome == "failed"


def test_dossiers_of_somebody_else_are_a_failure_of_tracking() -> None:
    row = {"dossierId": 1, "applicantIdNo": "031085912345"}
    assert Talk("track").ask("track_search", {"total": 1, "data": row}).outcome == "failed"


def test_an_order_without_an_address_to_pay_at_has_failed() -> None:
    good = {"MaLoi": "00", "UrlThanhToan": "https://pay.test/1"}
    assert Talk("pay").ask("payment_init", good).outcome == "ok"
    assert Talk("pay").ask("payment_init", {"MaLoi": "99"}).outcome == "failed"


def test_a_supplement_is_sent_with_the_action_the_portal_offers() -> None:
    talk = Talk("supplement")
    talk.ask("login", b"ok", token="tk")
    mine = row_of_dossier(stepCode="131")
    talk.ask("track_search", {"total": 1, "data": mine})
    action = {"processActionId": 3, "actionCode": "1250", "postStepCode": "130", "enable": 1}
    talk.ask("form_get", {"total": 1, "data": action})
    assert fields_of(talk.call("supplement_submit"))["actionCode"] == "1250"
    told = talk.read("supplement_submit", {"dossierId": 501, "stepCode": "130"}).acknowledged
    assert told is not None
    assert (told.kind, told.detail) == ("action", "1250")


# Officers


def backlog(*numbers: int) -> dict[str, Any]:
    rows = [row_of_dossier(dossierId=number, stepCode="130") for number in numbers]
    return {"total": len(rows), "data": rows}


ACTIONS = {
    "total": 3,
    "data": [
        {"processActionId": 1, "actionCode": "A", "postStepCode": "300", "enable": 1},
        {"processActionId": 2, "actionCode": "B", "postStepCode": "210", "enable": 1},
        {"processActionId": 3, "actionCode": "C", "postStepCode": "400", "enable": 0},
    ],
}


def officer_at(of: OpencpsDialect, session: int, *numbers: int, key: int = 1) -> Talk:
    talk = Talk("officer", session=session, key=key, of=of)
    assert talk.ask("officer_list", backlog(*numbers)).outcome == "ok"
    return talk


def test_an_officer_signs_in_with_every_request() -> None:
    assert Talk("officer").call("officer_list").headers["Authorization"].startswith("Basic ")


def test_no_two_officers_take_the_same_dossier() -> None:
    of = dialect()
    talks = [officer_at(of, session, 1, 2, 3, key=session * 17) for session in range(3)]
    paths = {talk.call("officer_detail").path for talk in talks}
    assert len(paths) == 3
    assert Talk("officer", of=of).ask("officer_list", backlog(1, 2, 3)).outcome == "failed"


def test_a_dossier_that_moved_on_can_be_taken_again() -> None:
    of = dialect()
    talk = officer_at(of, 1, 1)
    talk.visitor.call("officer_detail", request=9, attempt=0, bytes_up=0, now_ms=NOW_MS)
    for _ in range(2):
        talk.call("officer_detail")
    talk.read("officer_detail", ACTIONS)
    code = fields_of(talk.call("officer_action"))["actionCode"]
    step = {"A": "300", "B": "210"}[code]
    told = talk.read("officer_action", {"dossierId": 1, "stepCode": step}).acknowledged
    assert told is not None
    assert (told.kind, told.dossier, told.detail) == ("action", "1", code)
    assert officer_at(of, 2, 1)


@pytest.mark.parametrize("processes", [2, 3, 4, 6])
def test_no_officer_works_for_two_processes(processes: int) -> None:
    of = make_dialect("opencps", SCENARIO, RUN, Credentials("s", officers=400))
    assert isinstance(of, OpencpsDialect)
    agencies = set(catalogue_of(SCENARIO).services.agency)
    seen: dict[str, int] = {}
    for agency in agencies:
        for session in range(1000):
            officer = of.officer(session, Service("1", agency=agency))
            assert seen.setdefault(officer, session % processes) == session % processes
    assert len(seen) > len(agencies)


def test_an_action_that_leads_elsewhere_has_failed() -> None:
    talk = officer_at(dialect(), 1, 1)
    for _ in range(3):
        talk.call("officer_detail")
    talk.read("officer_detail", ACTIONS)
    talk.call("officer_action")
    answer = {"dossierId": 1, "stepCode": "131"}
    assert talk.read("officer_action", answer).outcome == "failed"


def test_another_agency_is_asked_as_often_as_the_officers_work_says() -> None:
    of, n, asked = dialect(), 2000, 0
    for session in range(n):
        talk = officer_at(of, session, session, key=session)
        for _ in range(3):
            talk.call("officer_detail")
        talk.read("officer_detail", ACTIONS)
        code = fields_of(talk.call("officer_action"))["actionCode"]
        assert code in "AB"
        asked += code == "B"
    error = np.sqrt(OTHER_AGENCY_SHARE * (1 - OTHER_AGENCY_SHARE) / n)
    assert abs(asked / n - OTHER_AGENCY_SHARE) < 4 * error


def test_an_empty_work_list_says_what_the_portal_needs() -> None:
    reading = Talk("officer").ask("officer_list", backlog())
    assert reading.outcome == "failed"
    assert "more officers" in reading.problem


# Choosing a dialect


@pytest.mark.parametrize("name", sorted(shipped_scenarios()))
def test_every_shipped_scenario_can_be_sent(name: str) -> None:
    scenario = load_scenario(name)
    chosen = "national" if scenario.topology == "national_front" else "opencps"
    check_endpoints(scenario, make_dialect(chosen, scenario, RUN, CREDENTIALS))


def test_a_scenario_with_other_endpoints_is_refused_with_their_names() -> None:
    steps = {"step": "odd", "calls": {"facets": 1, "video_call": 2}}
    whole = SCENARIO.model_dump(mode="json")
    whole["journeys"]["browse"]["steps"] = [steps]
    whole["portal"]["endpoints"]["video_call"] = whole["portal"]["endpoints"]["facets"]
    scenario = Scenario.model_validate(whole)
    with pytest.raises(DialectError, match=r"video_call \(sent by browse\)"):
        check_endpoints(scenario, dialect())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("opencsp", "opencps, national"),
        ("no.such.module:factory", "no.such.module"),
        ("json:factory", "no function factory"),
        ("json:", "module:factory"),
    ],
)
def test_a_dialect_that_cannot_be_loaded_is_said_clearly(name: str, said: str) -> None:
    with pytest.raises(DialectError, match=said):
        make_dialect(name, SCENARIO, RUN, CREDENTIALS)


def test_a_factory_that_returns_no_dialect_is_said_clearly(monkeypatch: Any) -> None:
    module = types.ModuleType("half_a_dialect")
    module.make = lambda *_: types.SimpleNamespace(name="half")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "half_a_dialect", module)
    with pytest.raises(DialectError, match="has no endpoints, no visitor"):
        make_dialect("half_a_dialect:make", SCENARIO, RUN, CREDENTIALS)


def test_credentials_come_from_the_environment() -> None:
    environment = {"HOSO_PORTAL_USER_SECRET": "s", "HOSO_CAPTCHA": "c", "HOSO_OFFICERS": "12"}
    made = Credentials.from_environment(environment)
    assert (made.user_secret, made.captcha, made.officers) == ("s", "c", 12)
    assert "s'" not in repr(made)


@pytest.mark.parametrize("text", ["0", "-3", "many", ""])
def test_a_wrong_number_of_officers_is_refused(text: str) -> None:
    with pytest.raises(DialectError, match="HOSO_OFFICERS"):
        Credentials.from_environment({"HOSO_OFFICERS": text})


def test_the_example_of_the_manual_is_a_dialect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manual = Path(__file__).parents[2] / "docs" / "dialects.md"
    (code,) = (
        block.partition("```")[0]
        for block in manual.read_text("utf-8").split("```python\n")
        if "class Dialect" in block
    )
    (tmp_path / "my_portal_of_the_manual.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = make_dialect("my_portal_of_the_manual:make", SCENARIO, RUN, CREDENTIALS)
    visitor = made.visitor(3, "submit", SERVICE, 9)
    call = visitor.call("submit", request=2, attempt=0, bytes_up=0, now_ms=NOW_MS)
    assert json.loads(call.body or b"")["note"] == f"{RUN}/3/2"
    told = visitor.read("submit", 2, 0, Answer(201, {}, b'{"id": 77}')).acknowledged
    assert told is not None
    assert (told.dossier, told.reference) == ("77", f"{RUN}/3/2")
    assert visitor.read("submit", 2, 0, Answer(503, {}, b"")).outcome == "rejected"
    with pytest.raises(DialectError, match="my_portal cannot send"):
        check_endpoints(SCENARIO, made)
