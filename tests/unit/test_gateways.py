"""The gateways: delays, limits, faults, their control, what they remember, how they are called."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from loadtests.commands.gateways import gateways as command
from loadtests.gateway_control import RemoteError, RemoteGateways
from loadtests.gateway_faults import FaultClock, apply_faults, fault_moments
from loadtests.portal.asgi_server import AsgiServer
from loadtests.portal.gateway_client import GatewayError, Gateways
from loadtests.portal.gateway_transports import HttpTransport, Limits, limits_of
from loadtests.portal.gateways.app import GatewayServer
from loadtests.portal.gateways.callbacks import may_call_back
from loadtests.portal.gateways.control import Behaviour, ControlError, changed
from loadtests.portal.gateways.gate import Gate, TokenBucket
from loadtests.portal.gateways.ledger import Ledger
from loadtests.portal.gateways.wire import Fields, is_signed, sign
from loadtests.portal.listening import ListenError, listen, url_of
from sim.scenario import load_scenario
from sim.scenario.run import Fault
from sim.scenario.scenario import Scenario
from sim.streams import stream

KEY = "a key for tests"
CITIZEN = "031085912345"
AT_ONCE = tuple(
    f"portal.gateways.{name}.latency=0"
    for name in ("sso", "population_db", "payment", "national_portal", "shared_data", "sms")
)


def scenario_with(*overrides: str) -> Scenario:
    return load_scenario("peak-hour", (*AT_ONCE, *overrides))


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Serve an application on a free port; give its URL."""
    socket, ready = listen("127.0.0.1", 0), threading.Event()
    server = AsgiServer(app, grace_s=1, on_ready=ready.set)
    thread = threading.Thread(target=server.serve_on, args=[socket])
    thread.start()
    assert ready.wait(30)
    yield url_of(socket)
    server.should_exit = True
    thread.join()
    socket.close()


@contextmanager
def gateways_of(*overrides: str) -> Iterator[tuple[str, Gateways, RemoteGateways]]:
    """Serve gateways; give their URL, a client and their control."""
    scenario, ledger = scenario_with(*overrides), Ledger()
    with served(GatewayServer(scenario, KEY, ledger).app()) as url:
        client, remote = Gateways.connect(scenario, url, KEY), RemoteGateways(url, KEY)
        yield url, client, remote
        client.close()
        remote.close()
    ledger.close()


def counts(remote: RemoteGateways, gateway: str) -> dict[str, Any]:
    state = remote.states()[gateway]
    assert isinstance(state, dict)
    found = state["counts"]
    assert isinstance(found, dict)
    return found


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(GatewayError) as caught:
        call()
    return caught.value.kind


class Loop:
    """Time of its own for a gate: sleeping passes it, nothing waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        loop = asyncio.new_event_loop()
        loop.time = lambda: self.now  # type: ignore[method-assign]
        select = loop._selector.select  # type: ignore[attr-defined]

        def jump(timeout: float | None) -> Any:
            self.now += timeout or 0.0
            return select(0)

        loop._selector.select = jump  # type: ignore[attr-defined]
        try:
            return loop.run_until_complete(work)
        finally:
            loop.close()

    def gate(self, **behaviour: Any) -> Gate:
        rng = stream(1, 0, "tests.gate")
        return Gate(Behaviour.model_validate(behaviour), rng, lambda: self.now)


def test_delays_have_the_mean_of_their_distribution(
    assert_agrees: Callable[[list[float], float], None],
) -> None:
    loop = Loop()

    async def delays(gate: Gate) -> list[float]:
        found = []
        for _ in range(4000):
            start = loop.now
            await gate.admit()
            found.append(loop.now - start)
        return found

    lognormal = loop.run(delays(loop.gate(latency="lognormal 400 ms cv 1")))
    assert_agrees(lognormal, 0.4)
    slow = loop.run(delays(loop.gate(latency="exponential 100 ms", latency_factor=10.0)))
    assert_agrees(slow, 1.0)


def test_errors_have_the_share_that_is_asked_for() -> None:
    loop, n, share = Loop(), 4000, 0.2
    gate = loop.gate(error_share=share)

    async def all_calls() -> list[str | None]:
        return [await gate.admit() for _ in range(n)]

    errors = loop.run(all_calls()).count("error")
    assert abs(errors - n * share) < 4 * (n * share * (1 - share)) ** 0.5


def test_the_same_calls_meet_the_same_delays() -> None:
    async def moments(loop: Loop, gate: Gate) -> list[float]:
        found = []
        for _ in range(20):
            await gate.admit()
            found.append(loop.now)
        return found

    runs = []
    for _ in range(2):
        loop = Loop()
        runs.append(loop.run(moments(loop, loop.gate(latency="lognormal 1 s cv 2"))))
    assert runs[0] == runs[1]


def test_a_rate_limit_lets_burst_and_rate_through_exactly() -> None:
    bucket = TokenBucket(rate_per_s=8.0, burst=5, now_s=0.0)
    # 64 calls a second for 10 s, in steps that binary numbers hold exactly
    taken = sum(bucket.take(tick / 64.0) for tick in range(640))
    assert taken == 5 + 8 * 10 - 1  # the token of the 10th second's end comes after the last call
    assert sum(bucket.take(1000.0) for _ in range(20)) == 5


def test_calls_beyond_the_concurrency_wait_in_turn() -> None:
    loop = Loop()
    gate = loop.gate(latency=1.0, concurrency=2)

    async def call() -> float:
        await gate.admit()
        return loop.now

    async def all_calls() -> list[float]:
        return list(await asyncio.gather(*(call() for _ in range(5))))

    assert loop.run(all_calls()) == pytest.approx([1.0, 1.0, 2.0, 2.0, 3.0])


def test_a_caller_that_leaves_frees_its_place() -> None:
    loop = Loop()
    gate = loop.gate(latency=10.0, concurrency=1)

    async def all_calls() -> float:
        first = asyncio.ensure_future(gate.admit())
        second = asyncio.ensure_future(gate.admit())
        third = asyncio.ensure_future(gate.admit())
        await asyncio.sleep(1.0)
        first.cancel()
        second.cancel()
        await third
        return loop.now

    assert loop.run(all_calls()) == pytest.approx(11.0)
    assert (gate.counts.left, gate.counts.answered) == (2, 1)


def test_more_places_let_waiting_calls_in_at_once() -> None:
    loop = Loop()
    gate = loop.gate(latency=10.0, concurrency=1)

    async def all_calls() -> float:
        calls = [asyncio.ensure_future(gate.admit()) for _ in range(3)]
        await asyncio.sleep(1.0)
        gate.change(changed(gate.behaviour, {"concurrency": None}, "sso"))
        await asyncio.gather(*calls)
        return loop.now

    assert loop.run(all_calls()) == pytest.approx(11.0)


def test_a_silent_gateway_answers_when_the_silence_has_ended() -> None:
    loop = Loop()
    gate = loop.gate(latency=1.0, silent=True)

    async def all_calls() -> float:
        call = asyncio.ensure_future(gate.admit())
        await asyncio.sleep(60.0)
        assert not call.done()
        gate.change(changed(gate.behaviour, {"silent": False}, "sso"))
        await call
        return loop.now

    assert loop.run(all_calls()) == pytest.approx(61.0)


def test_every_wrong_change_is_named() -> None:
    with pytest.raises(ControlError) as caught:
        changed(Behaviour(), {"latency_factor": 0, "down": "yes", "speed": 1}, "payment")
    message = str(caught.value)
    assert "payment.latency_factor: 0 must be greater than 0" in message
    assert "payment.down: 'yes'" in message
    assert "payment.speed: unknown; allowed: latency, latency_factor" in message


def test_every_gateway_answers_over_the_wire_and_without_a_server() -> None:
    with gateways_of() as (_, remote_client, _):
        local = Gateways.connect(scenario_with(), None, KEY)
        for client in (remote_client, local):
            token = client.sso_token(f"c{CITIZEN}.once")
            user = client.sso_userinfo(str(token["access_token"]))
            assert user["SoDinhDanh"] == CITIZEN
            citizen = client.population(CITIZEN)["CongDan"]
            assert isinstance(citizen, dict)
            assert citizen["GioiTinh"] == "1"
            assert citizen["NgayThangNamSinh"].startswith("1985")  # type: ignore[union-attr]
            assert client.population("999")["CongDan"] == {}
            assert client.shared_data("DS001", CITIZEN)["found"] is True
            assert client.enterprise("0201234567")["Data"]
            assert client.sms("0900000000", "text", "1-1")["message"] == "sent"
            assert client.sms("0900000000", "text", "1-1")["message"] == "sent before"
            assert client.national_call("TraCuuHoSo", {"mahoso": "none"})["result"] == []
        local.close()


def test_a_forged_token_names_nobody() -> None:
    client = Gateways.connect(scenario_with(), None, KEY)
    assert refusal(lambda: client.sso_userinfo(f"{CITIZEN}.{'0' * 64}")) == "error"
    assert refusal(lambda: client.sso_token("anybody")) == "error"
    client.close()


def test_an_outage_a_limit_an_error_and_silence_are_told_apart() -> None:
    limits = {"sso": Limits(0.3, None)}
    with gateways_of() as (url, _, remote):
        client = Gateways(HttpTransport(url, limits), KEY)
        found = {}
        for name, changes in {
            "down": {"down": True},
            "limited": {"rate_limit_per_s": 1e-6, "burst": 1},
            "error": {"error_share": 1.0},
            "silent": {"silent": True},
        }.items():
            remote.change("sso", {**Behaviour().model_dump(), **changes})
            if name == "limited":
                client.sso_token(CITIZEN)
            found[name] = refusal(lambda: client.sso_token(CITIZEN))
        client.close()
        assert found == {
            "down": "refused",
            "limited": "refused",
            "error": "error",
            "silent": "timed_out",
        }
        until(lambda: counts(remote, "sso")["left"] == 1)
        assert counts(remote, "sso")["queue"] == 0
        assert counts(remote, "sso")["busy"] == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.01)


def test_a_server_that_is_not_there_refuses() -> None:
    client = Gateways.connect(scenario_with(), "http://127.0.0.1:9", KEY)
    assert refusal(lambda: client.sso_token(CITIZEN)) == "refused"
    client.close()


def test_waiting_for_a_turn_counts_against_the_time_out() -> None:
    """Three callers of one connection: one after the other they would take 2, 4 and 6 s."""
    with gateways_of() as (url, _, remote):
        remote.change("sso", {"silent": True})
        client = Gateways(HttpTransport(url, {"sso": Limits(2.0, 1)}), KEY)

        def ask(_: int) -> tuple[str, float]:
            started = time.monotonic()
            return refusal(lambda: client.sso_token(CITIZEN)), time.monotonic() - started

        try:
            with ThreadPoolExecutor(3) as pool:
                asked = list(pool.map(ask, range(3)))
        finally:
            client.close()
        assert [kind for kind, _ in asked] == ["timed_out"] * 3
        assert max(waited_s for _, waited_s in asked) < 3.9


def test_timeouts_are_the_scenarios_or_those_of_the_published_server() -> None:
    stated = limits_of(scenario_with("portal.gateways.sso.timeout_s=7"))
    assert stated["sso"] == Limits(7.0, None)
    assert stated["national_portal"].timeout_s == 6.0
    assert stated["population_db"].concurrency == 20


def test_one_login_serves_many_national_calls_and_a_lost_session_is_renewed() -> None:
    with gateways_of() as (_, client, remote):
        for _ in range(3):
            client.national_call("LayThuTuc", {"maTTHC": "1.000001"})
        assert counts(remote, "national_portal")["answered"] == 4
        client._session = "forgotten"
        client.national_call("LayThuTuc", {"maTTHC": "1.000001"})
        assert counts(remote, "national_portal")["answered"] == 7


def test_what_comes_twice_counts_once() -> None:
    with gateways_of() as (_, client, remote):
        record: Fields = {"MaHoSo": "H1", "MaTTHC": "1", "SoThuTu": "1", "TrangThaiHoSo": "1"}
        line: Fields = {"MaHoSo": "H1", "SoThuTu": "1", "TrangThai": "1"}
        for _ in range(2):
            client.national_call("DongBoHoSoMC", {"isUpdating": "False", "data": [record]})
            client.national_call("CapNhatTienDoHoSoMC", {"data": [line]})
        audit = remote.audit()
        assert audit["total"] == 1
        assert audit["repeats"] == 2
        assert audit["data"] == [
            {
                "MaHoSo": "H1",
                "TrangThaiHoSo": "1",
                "creates": 1,
                "updates": 0,
                "progress": {"1": 1},
            }
        ]


def test_a_progress_line_of_an_unknown_dossier_is_refused() -> None:
    client = Gateways.connect(scenario_with(), None, KEY)
    line: Fields = {"MaHoSo": "H1", "SoThuTu": "1", "TrangThai": "1"}
    assert refusal(lambda: client.national_call("CapNhatTienDoHoSoMC", {"data": [line]})) == "error"
    client.close()


def test_what_was_received_survives_the_process(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.receive_dossier("H1", "1", "1", {})
    ledger.place_order("R1", "1000", "")
    other = Ledger(tmp_path / "ledger")  # as after a kill: the first one was never closed
    assert other.has_dossier("H1")
    assert not other.receive_dossier("H1", "1", "1", {})
    assert not other.place_order("R1", "2000", "")
    assert other.audit()["repeats"] == 1
    other.close()
    ledger.close()


def test_an_order_is_paid_once_and_the_portal_is_told_in_signed_words() -> None:
    heard: list[dict[str, Any]] = []

    async def hear(request: Request) -> JSONResponse:
        heard.append(await request.json())
        return JSONResponse({}, 503 if len(heard) == 1 else 200)

    with (
        gateways_of() as (_, client, remote),
        served(Starlette(routes=[Route("/told", hear, methods=["POST"])])) as portal,
    ):
        order: Fields = {
            "MaThamChieu": "R1",
            "SoTien": "50000",
            "UrlThongBao": f"{portal}/told",
        }
        answer = client.payment_init(order)
        assert answer["MaLoi"] == "00"
        assert str(answer["UrlThanhToan"]).endswith("/payment/pay/R1")
        until(lambda: len(heard) == 2)  # again after the refusal
        assert heard[0] == heard[1]
        assert (heard[1]["MaThamChieu"], heard[1]["SoTien"]) == ("R1", "50000")
        assert client.is_genuine(heard[1])
        assert not client.is_genuine(heard[1] | {"SoTien": "1"})
        assert client.payment_query("R1")["TrangThai"] == "da_thanh_toan"
        assert client.payment_init(order | {"SoTien": "1"})["MaLoi"] == "03"
        assert (remote.audit()["orders"], remote.audit()["paid"]) == (1, 1)


def test_processes_of_a_portal_without_gateways_share_their_orders(tmp_path: Path) -> None:
    one, other = (Gateways.connect(scenario_with(), None, KEY, tmp_path) for _ in range(2))
    order: Fields = {"MaThamChieu": "R1", "SoTien": 1, "UrlThongBao": "http://127.0.0.1/"}
    assert one.payment_init(order)["MaLoi"] == "00"
    assert other.payment_query("R1")["TrangThai"] == "da_thanh_toan"
    one.close()
    other.close()


def test_an_order_without_callback_is_paid_when_its_page_is_opened() -> None:
    with gateways_of() as (_, client, _):
        page = client.payment_init({"MaThamChieu": "R1", "SoTien": 50000})["UrlThanhToan"]
        assert client.payment_query("R1")["TrangThai"] == "cho"
        httpx.get(str(page))
        assert client.payment_query("R1")["TrangThai"] == "da_thanh_toan"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8080/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:8080/x", True),
        ("http://10.1.2.3/x", True),  # the caller itself
        ("http://10.1.2.4/x", False),
        ("https://127.0.0.1/x", False),
        ("http://example.org/x", False),
        ("http://127.0.0.1.example.org/x", False),
        ("http://127.0.0.1@example.org/x", False),
        ("http://127.0.0.1:x/", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_nobody_but_the_caller_is_called_back(url: str, allowed: bool) -> None:
    assert may_call_back(url, "10.1.2.3") is allowed


def test_a_signature_belongs_to_its_message_and_key() -> None:
    message: Fields = {"MaThamChieu": "R1", "SoTien": "50000"}
    message["MaXacThuc"] = sign(message, KEY)
    assert is_signed(message, KEY)
    assert not is_signed(message, "another key")
    assert not is_signed(message | {"SoTien": "5"}, KEY)
    assert not is_signed({"MaThamChieu": "R1"}, KEY)


def test_control_and_audit_need_the_key() -> None:
    with gateways_of() as (url, _, _):
        for path in ("/control", "/control/sso", "/audit"):
            assert httpx.get(url + path).status_code == 401
            assert httpx.get(url + path, headers={"X-Hoso-Key": "wrong"}).status_code == 401
        stranger = RemoteGateways(url, "wrong")
        with pytest.raises(RemoteError, match="HOSO_MONITOR_KEY"):
            stranger.states()
        stranger.close()


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"\xff", b'{"code": "\\ud800"}', b"[" * 100_000, b"x" * 2_000_000]
)
def test_nonsense_is_refused_without_an_accident(body: bytes) -> None:
    with gateways_of() as (url, client, _):
        for path in ("sso/token", "payment/query", "national_portal/login", "sms/send"):
            answer = httpx.post(f"{url}/{path}", content=body)
            assert answer.status_code in (200, 400)
        assert client.sso_token(CITIZEN)
        assert httpx.post(f"{url}/no/such").status_code == 404


def test_a_planner_changes_a_running_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSO_MONITOR_KEY", KEY)
    monkeypatch.setenv("COLUMNS", "200")
    with gateways_of() as (url, client, _):
        change = ["--url", url, "--change", "sso.down=true", "--change"]
        answer = CliRunner().invoke(command, [*change, "payment.latency=lognormal 2 s cv 1"])
        assert answer.exit_code == 0, answer.output
        assert "lognormal 2 s" in answer.output
        assert refusal(lambda: client.sso_token(CITIZEN)) == "refused"
        wrong = CliRunner().invoke(command, [*change, "payment.latency=quick"])
        assert wrong.exit_code == 2
        assert "payment.latency: 'quick' must be a duration" in wrong.output


def test_a_busy_port_is_said_in_one_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port} of 127.0.0.1 is taken"):
            listen("127.0.0.1", port)


def test_faults_break_and_mend_in_order() -> None:
    faults = [
        Fault(kind="gateway_slow", target="sso", from_s=10, to_s=20, factor=5),
        Fault(kind="gateway_slow", target="sso", from_s=20, to_s=30, factor=7),
        Fault(kind="gateway_down", target="sms", from_s=5, to_s=20),
        Fault(kind="server_lost", target="app", from_s=1, to_s=2, servers=1),
    ]
    moments = [(moment.at_s, moment.gateway, moment.changes) for moment in fault_moments(faults)]
    assert moments == [
        (5, "sms", {"down": True}),
        (10, "sso", {"latency_factor": 5}),
        (20, "sso", {"latency_factor": 1.0}),
        (20, "sms", {"down": False}),
        (20, "sso", {"latency_factor": 7}),
        (30, "sso", {"latency_factor": 1.0}),
    ]


def test_the_clock_breaks_a_gateway_and_stopping_mends_it() -> None:
    fault = '[{"kind": "gateway_silent", "target": "shared_data", "from_s": 0, "to_s": 600}]'
    scenario = scenario_with(f"faults={fault}")
    with gateways_of() as (url, _, remote):

        def is_silent() -> bool:
            state = remote.states()["shared_data"]
            assert isinstance(state, dict)
            behaviour = state["behaviour"]
            assert isinstance(behaviour, dict)
            return behaviour["silent"] is True

        clock = apply_faults(scenario, url, time.time(), KEY)
        until(is_silent)
        clock.stop()
        assert not is_silent()
        assert clock.problems == []


def test_a_fault_that_could_not_strike_is_remembered() -> None:
    remote = RemoteGateways("http://127.0.0.1:9", KEY)
    moments = fault_moments([Fault(kind="gateway_down", target="sms", from_s=0, to_s=0.01)])
    clock = FaultClock(moments, remote, time.time())
    until(lambda: len(clock.problems) == 2)
    clock.stop()
    assert "sms" in clock.problems[0]
