"""Background work of the stand-in portal: queues, retries, order, restarts, PDFs."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from loadtests.portal.app import make_app
from loadtests.portal.asgi_server import AsgiServer
from loadtests.portal.blobs import BlobStore
from loadtests.portal.board import BOARD_FILE, Board, ProcessLevel
from loadtests.portal.child import Order
from loadtests.portal.gateway_client import Gateways
from loadtests.portal.gateways.app import GatewayServer
from loadtests.portal.gateways.ledger import Ledger
from loadtests.portal.gateways.wire import Query, Reply
from loadtests.portal.jobs.job import Ticker, _by_dossier
from loadtests.portal.jobs.pdf import form_pdf
from loadtests.portal.jobs.process import Jobs, job_specs, only_one
from loadtests.portal.jobs.queue import Item, SyncQueue, queue_levels
from loadtests.portal.jobs.work import Workplace
from loadtests.portal.listening import listen, url_of
from loadtests.portal.settings import PortalSettings, Secrets
from loadtests.portal.store import Database, open_database
from loadtests.portal.store.models import Action, Base, Dossier, DossierFile, SyncRow
from sim.scenario import load_scenario
from sim.scenario.scenario import Scenario

KEY = "a key for tests"
QUICK = (
    "portal.jobs.one_stop_sync.period_s=0.1",
    "portal.jobs.national_sync.period_s=0.1",
    "portal.jobs.notification.period_s=0.1",
)


def scenario_with(*overrides: str) -> Scenario:
    return load_scenario("peak-hour", overrides)


DatabaseIn = Callable[[Path], AbstractContextManager[Database]]


@pytest.fixture
def database_in(database_url: str | None) -> DatabaseIn:
    """Return what gives an empty database of the kind that is tested."""

    @contextmanager
    def opened(folder: Path) -> Iterator[Database]:
        database = open_database(database_url, folder, pool=40)
        database.create_tables()
        yield database
        Base.metadata.drop_all(database.engine.execution_options(writes=True))
        database.close()

    return opened


def new_dossier(database: Database, number: int, **more: Any) -> int:
    """Insert a dossier that was just sent, with one stored paper."""
    values: dict[str, Any] = {
        "reference_uid": f"reference-{number:04d}",
        "group_id": 1,
        "user_id": 1,
        "draft_key": None,
        "counter": None,
        "service_id": 1,
        "service_code": "1.000001",
        "service_name": "Đăng ký khai sinh",
        "agency_code": "H24.01",
        "agency_name": "UBND",
        "template_no": "T1",
        "template_name": "T1",
        "process_id": 1,
        "process_no": "P1",
        "originality": 1,
        "status": "receiving",
        "step_code": "130",
        "sync_state": 1,
        "duration_count": 8.0,
        "duration_unit": 1,
        "details": {"contactTelNo": "0900000000"},
        "created_at": 0.0,
        "modified_at": 0.0,
    }
    with database.writing() as session:
        dossier = Dossier(**(values | more))
        session.add(dossier)
        session.flush()
        return dossier.dossier_id


def new_file(database: Database, dossier_id: int, **more: Any) -> int:
    values: dict[str, Any] = {
        "dossier_id": dossier_id,
        "reference_uid": f"file-{dossier_id}-{more.get('part_no', '1')}",
        "template_no": "T1",
        "part_no": "1",
        "part_type": 1,
        "part_name": "Giấy tờ",
        "created_at": 0.0,
        "modified_at": 0.0,
    }
    with database.writing() as session:
        file = DossierFile(**(values | more))
        session.add(file)
        session.flush()
        return file.file_id


def queue_row(database: Database, queue: str, dossier_id: int, sequence: int, status: str) -> None:
    with database.writing() as session:
        action = Action(
            dossier_id=dossier_id,
            sequence=sequence,
            user_id=1,
            user_name="Nguyễn Văn Mẫu",
            code="1300",
            name="Gửi hồ sơ",
            from_step="110",
            to_step="130",
            at=0.0,
        )
        session.add(action)
        session.flush()
        row = SyncRow(
            queue=queue,
            dossier_id=dossier_id,
            action_id=action.action_id,
            sequence=sequence,
            status_code=status,
            position=float(sequence),
            queued_at=100.0,
        )
        session.add(row)


def rows_of(database: Database, queue: str) -> list[SyncRow]:
    with database.reading() as session:
        found = select(SyncRow).where(SyncRow.queue == queue).order_by(SyncRow.sync_id)
        return list(session.scalars(found))


@contextmanager
def jobs_of(
    database: Database, folder: Path, scenario: Scenario, url: str | None = None
) -> Iterator[Jobs]:
    gateways = Gateways.connect(scenario, url, KEY)
    jobs = Jobs(scenario, Workplace(database, gateways, BlobStore(folder / "blobs"), 1))
    yield jobs
    jobs.close()
    gateways.close()


@contextmanager
def gateways_of(scenario: Scenario) -> Iterator[tuple[str, Ledger]]:
    """Serve the gateways of a scenario on a free port."""
    ledger, socket = Ledger(), listen("127.0.0.1", 0)
    ready = threading.Event()
    server = AsgiServer(GatewayServer(scenario, KEY, ledger).app(), grace_s=1, on_ready=ready.set)
    thread = threading.Thread(target=server.serve_on, args=[socket])
    thread.start()
    assert ready.wait(30)
    yield url_of(socket), ledger
    server.should_exit = True
    thread.join()
    socket.close()
    ledger.close()


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def no_delay(scenario: Scenario) -> Scenario:
    """Leave out the way between the sites."""
    jobs = scenario.portal.jobs
    quick = jobs["one_stop_sync"].model_copy(update={"program": ()})
    portal = scenario.portal.model_copy(update={"jobs": {**jobs, "one_stop_sync": quick}})
    return scenario.model_copy(update={"portal": portal})


def test_jobs_are_those_of_the_scenario() -> None:
    specs = job_specs(scenario_with("portal.jobs.one_stop_sync.batch=7"))
    assert specs["one_stop_sync"].batch == 7
    assert specs["one_stop_sync"].period_s == 45.0
    assert specs["one_stop_sync"].workers == 5
    assert specs["one_stop_sync"].then == "national_sync"
    assert (specs["national_sync"].period_s, specs["national_sync"].batch) == (20.0, 100)
    assert specs["national_sync"].workers == 15


def test_a_sent_dossier_passes_all_queues_once(tmp_path: Path, database_in: DatabaseIn) -> None:
    with (
        database_in(tmp_path) as database,
        jobs_of(database, tmp_path, no_delay(scenario_with())) as jobs,
    ):
        blob = BlobStore(tmp_path / "blobs").put(b"paper")
        dossier = new_dossier(database, 1)
        new_file(database, dossier, sha256=blob.sha256, size_bytes=blob.size_bytes)
        queue_row(database, "one_stop_sync", dossier, 2, "1")
        assert jobs.run_once() == 3
        assert jobs.run_once() == 0
        for queue in ("one_stop_sync", "national_sync", "notification"):
            (row,) = rows_of(database, queue)
            assert (row.state, row.sequence, row.attempts) == ("done", 2, 0)
        with database.reading() as session:
            assert session.scalars(select(Dossier.sync_state)).one() == 3
            assert session.scalars(select(DossierFile.is_sync)).one()


def test_a_dossier_stays_unsynchronised_while_another_change_waits(
    tmp_path: Path, database_in: DatabaseIn
) -> None:
    scenario = no_delay(scenario_with("portal.jobs.one_stop_sync.batch=1"))
    with database_in(tmp_path) as database, jobs_of(database, tmp_path, scenario) as jobs:
        dossier = new_dossier(database, 1)
        queue_row(database, "one_stop_sync", dossier, 1, "1")
        queue_row(database, "one_stop_sync", dossier, 2, "5")
        states = []
        for _ in range(2):
            jobs.run_once()
            with database.reading() as session:
                states.append(session.scalars(select(Dossier.sync_state)).one())
        assert states == [1, 3]


def test_a_batch_takes_the_first_rows_only(tmp_path: Path, database_in: DatabaseIn) -> None:
    scenario = no_delay(scenario_with("portal.jobs.one_stop_sync.batch=3"))
    with database_in(tmp_path) as database, jobs_of(database, tmp_path, scenario) as jobs:
        for number in range(1, 6):
            queue_row(database, "one_stop_sync", new_dossier(database, number), number, "1")
        jobs.run_once()
        states = [row.state for row in rows_of(database, "one_stop_sync")]
        assert states == ["done", "done", "done", "queued", "queued"]


def test_a_damaged_paper_sends_the_row_back_until_it_is_given_up(
    tmp_path: Path, database_in: DatabaseIn
) -> None:
    scenario = no_delay(scenario_with("portal.jobs.one_stop_sync.retries=2"))
    with database_in(tmp_path) as database, jobs_of(database, tmp_path, scenario) as jobs:
        store = BlobStore(tmp_path / "blobs")
        blob = store.put(b"paper")
        store.path(blob.sha256).write_bytes(b"eaten")
        dossier = new_dossier(database, 1)
        new_file(
            database,
            dossier,
            sha256=blob.sha256,
            size_bytes=blob.size_bytes,
            display_name="giay-to.pdf",
        )
        queue_row(database, "one_stop_sync", dossier, 1, "1")
        found = []
        for _ in range(4):
            jobs.run_once()
            (row,) = rows_of(database, "one_stop_sync")
            found.append((row.state, row.attempts))
        assert found == [("queued", 1), ("queued", 2), ("given_up", 3), ("given_up", 3)]
        assert "giay-to.pdf" in row.problem
        with database.reading() as session:
            assert session.scalars(select(Dossier.sync_state)).one() == 4
        assert rows_of(database, "national_sync") == []


def test_a_row_whose_gateway_is_down_goes_behind_the_others(
    tmp_path: Path, database_in: DatabaseIn
) -> None:
    scenario = scenario_with("portal.jobs.national_sync.batch=1")
    with database_in(tmp_path) as database:
        first, second = new_dossier(database, 1), new_dossier(database, 2)
        queue_row(database, "national_sync", first, 1, "1")
        queue_row(database, "national_sync", second, 2, "1")
        with jobs_of(database, tmp_path, scenario, "http://127.0.0.1:9") as jobs:
            jobs.run_once()
        waiting = SyncQueue(database, "national_sync", "another").claim(10, 0.0)
        assert [(item.dossier_id, item.attempts) for item in waiting] == [(second, 0), (first, 1)]


def test_later_changes_of_a_dossier_wait_for_the_one_that_failed(
    tmp_path: Path, database_in: DatabaseIn
) -> None:
    with database_in(tmp_path) as database:
        dossier, other = new_dossier(database, 1), new_dossier(database, 2)
        for sequence in (1, 2, 3):
            queue_row(database, "national_sync", dossier, sequence, "1")
        queue_row(database, "national_sync", other, 9, "1")
        queue = SyncQueue(database, "national_sync", "me")
        first, second = queue.claim(2, now=10.0)
        assert queue.fail(first, now=50.0, retries=10, problem="down")
        queue.postpone([second], now=50.0)
        order = [(item.dossier_id, item.sequence) for item in queue.claim(10, now=60.0)]
        assert order == [(other, 9), (dossier, 1), (dossier, 2), (dossier, 3)]


def test_items_of_one_dossier_are_one_piece_of_work() -> None:
    items = [Item(0, dossier, 0, sequence, "", 0) for dossier, sequence in ((7, 2), (5, 1), (7, 1))]
    groups = [[(item.dossier_id, item.sequence) for item in group] for group in _by_dossier(items)]
    assert groups == [[(7, 1), (7, 2)], [(5, 1)]]


def test_a_row_that_is_no_longer_mine_cannot_be_finished(
    tmp_path: Path, database_in: DatabaseIn
) -> None:
    with database_in(tmp_path) as database:
        queue_row(database, "national_sync", new_dossier(database, 1), 1, "1")
        slow, fast = (SyncQueue(database, "national_sync", name) for name in ("slow", "fast"))
        (item,) = slow.claim(1, now=1.0)
        assert fast.recover() == 1
        assert len(fast.claim(1, now=2.0)) == 1
        with database.writing() as session:
            assert not slow.finish(session, item, 3.0, "notification")
        assert rows_of(database, "notification") == []


def test_levels_count_every_arrival_and_departure(tmp_path: Path, database_in: DatabaseIn) -> None:
    with database_in(tmp_path) as database:
        for number in range(1, 7):
            queue_row(database, "national_sync", new_dossier(database, number), number, "1")
        queue = SyncQueue(database, "national_sync", "me")
        done, failed, lost, _ = queue.claim(4, now=1.0)
        with database.writing() as session:
            queue.finish(session, done, 2.0, None)
        queue.fail(failed, 2.0, retries=1, problem="")
        queue.fail(lost, 2.0, retries=0, problem="")
        with database.reading() as session:
            level = queue_levels(session)["national_sync"]
        assert (level.queue, level.claimed, level.oldest_at) == (3, 1, 100.0)
        assert (level.arrivals, level.departures) == (7, 3)
        assert level.arrivals - level.departures == level.queue + level.claimed


def test_national_calls_are_five_at_first_and_three_later(
    tmp_path: Path, database_in: DatabaseIn
) -> None:
    scenario = scenario_with("portal.gateways.national_portal.latency=0")
    with (
        database_in(tmp_path) as database,
        gateways_of(scenario) as (url, ledger),
        jobs_of(database, tmp_path, scenario, url) as jobs,
    ):
        import httpx

        counts = []
        dossier = new_dossier(database, 1)
        for sequence in (1, 2):
            queue_row(database, "national_sync", dossier, sequence, str(sequence))
            jobs.run_once()
            answer = httpx.get(f"{url}/control/national_portal", headers={"X-Hoso-Key": KEY})
            counts.append(answer.json()["counts"]["answered"])
        assert counts == [5, 8]
        assert ledger.audit()["data"] == [
            {
                "MaHoSo": "reference-0001",
                "TrangThaiHoSo": "2",
                "creates": 1,
                "updates": 1,
                "progress": {"1": 1, "2": 1},
            }
        ]


def test_the_pdf_of_a_saved_form_appears_when_its_time_has_come(
    tmp_path: Path, database_in: DatabaseIn
) -> None:
    with (
        database_in(tmp_path) as database,
        jobs_of(database, tmp_path, scenario_with()) as jobs,
    ):
        form: dict[str, Any] = {"e_form": True, "render_state": "queued", "form_data": '{"a": "b"}'}
        due = new_file(database, 1, part_no="due", render_due_at=time.time() - 1.0, **form)
        later = new_file(database, 1, part_no="later", render_due_at=time.time() + 1e6, **form)
        assert jobs.run_once() == 1
        with database.reading() as session:
            made, waiting = session.get(DossierFile, due), session.get(DossierFile, later)
        assert made is not None
        assert waiting is not None
        assert (made.render_state, made.file_type) == ("done", "pdf")
        assert made.size_bytes > 0
        assert BlobStore(tmp_path / "blobs").is_whole(made.sha256, made.size_bytes)
        assert (waiting.render_state, waiting.size_bytes) == ("queued", 0)


def test_a_pdf_has_right_offsets_and_any_text() -> None:
    pdf = form_pdf("Đơn (mẫu)", '{"họ tên": "Nguyễn \\\\ (A)", "danh sách": [1, 2]}')
    assert pdf.startswith(b"%PDF-1.4")
    assert b"(Don \\(mau\\)) Tj" in pdf
    start = int(pdf.rsplit(b"startxref\n", 1)[1].split()[0])
    assert pdf[start:].startswith(b"xref\n")
    for number, line in enumerate(pdf[start:].split(b"\n")[3:8], 1):
        assert pdf[int(line[:10]) :].startswith(b"%d 0 obj" % number)
    assert form_pdf("", "no JSON" * 5000).count(b"/Type /Page ") > 1


def test_ticks_keep_their_rhythm_and_a_long_one_leaves_some_out() -> None:
    stopping, now, ticks = threading.Event(), [1000.0], []

    def action() -> None:
        ticks.append(now[0])
        now[0] += 25.0  # takes longer than two periods
        if len(ticks) == 3:
            stopping.set()

    class Clock(threading.Event):
        """Time passes by waiting."""

        def wait(self, timeout: float | None = None) -> bool:
            now[0] += timeout or 0.0
            return stopping.is_set()

    ticker = Ticker(
        "ticks",
        action,
        period_s=10.0,
        offset_s=3.0,
        started_s=1000.0,
        stopping=Clock(),
        clock=lambda: now[0],
    )
    ticker.join()
    assert ticks == [1003.0, 1033.0, 1063.0]


def test_only_one_process_does_the_background_work(tmp_path: Path) -> None:
    stopping = threading.Event()
    with only_one(tmp_path, stopping) as first:
        assert first
        stopping.set()
        with only_one(tmp_path, stopping) as second:
            assert not second
    with only_one(tmp_path, threading.Event()) as third:
        assert third


@contextmanager
def job_process(settings: PortalSettings, listening: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtests.portal.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        pass_fds=[listening],
    )
    assert process.stdin is not None
    Order("jobs", 0, settings, time.time(), listening).write(process.stdin)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def state_counts(database: Database) -> dict[tuple[str, str], int]:
    with database.reading() as session:
        rows = session.execute(
            select(SyncRow.queue, SyncRow.state, func.count()).group_by(
                SyncRow.queue, SyncRow.state
            )
        )
        return {(queue, state): count for queue, state, count in rows}


def test_what_a_killed_job_process_had_in_hand_is_done_exactly_once(
    tmp_path: Path, database_in: DatabaseIn, database_url: str | None
) -> None:
    scenario = no_delay(
        scenario_with(
            *QUICK,
            "portal.gateways.national_portal.latency=exponential 50 ms",
            "portal.gateways.sms.latency=exponential 10 ms",
        )
    )
    dossiers = 40
    Board.create(tmp_path / BOARD_FILE, 1).close()
    with database_in(tmp_path) as database, gateways_of(scenario) as (url, ledger):
        for number in range(dossiers):
            dossier = new_dossier(database, number)
            queue_row(database, "one_stop_sync", dossier, 1, "1")
            queue_row(database, "national_sync", dossier, 2, "2")
            queue_row(database, "national_sync", dossier, 3, "4")
        settings = PortalSettings(
            scenario,
            tmp_path,
            database=database_url,
            gateways=url,
            secrets=Secrets(monitor_key=KEY),
        )
        listening = os.open(os.devnull, os.O_RDONLY)
        with job_process(settings, listening) as process:
            until(lambda: state_counts(database).get(("national_sync", "done"), 0) >= 10)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        left = state_counts(database)
        assert left.get(("national_sync", "claimed"), 0) > 0, "killed between two batches"
        with job_process(settings, listening):
            until(lambda: state_counts(database).get(("notification", "done")) == 3 * dossiers)
        os.close(listening)
        assert state_counts(database) == {
            ("one_stop_sync", "done"): dossiers,
            ("national_sync", "done"): 3 * dossiers,
            ("notification", "done"): 3 * dossiers,
        }
        audit = ledger.audit()
        assert audit["total"] == dossiers
        assert audit["texts"] == 3 * dossiers
        assert all(
            (row["creates"], row["updates"], row["progress"]) == (1, 2, {"1": 1, "2": 1, "4": 1})
            for row in audit["data"]
        )


def test_a_board_adds_up_what_processes_write(tmp_path: Path) -> None:
    board = Board.create(tmp_path / BOARD_FILE, 3)
    board.write(0, ProcessLevel(busy=2, requests=10))
    board.write(2, ProcessLevel(busy=3, cpu_s=0.5))
    other = Board(tmp_path / BOARD_FILE)
    total = sum(other.read_all(), ProcessLevel())
    assert (total.busy, total.requests, total.cpu_s) == (5, 10, 0.5)
    board.close()
    other.close()


class Recording:
    """A transport that notes who is sent a message."""

    def __init__(self) -> None:
        self.recipients: list[str] = []

    def call(self, gateway: str, query: Query) -> Reply:
        assert gateway == "sms"
        self.recipients.append(str(query.fields["to"]))
        return Reply(200, {})

    def close(self) -> None:
        pass


@pytest.mark.parametrize("number", ["", "0900000000"])
def test_who_has_no_telephone_is_not_told(
    tmp_path: Path, database_in: DatabaseIn, number: str
) -> None:
    with database_in(tmp_path) as database:
        provider = Recording()
        place = Workplace(database, Gateways(provider, KEY), BlobStore(tmp_path / "blobs"), 1)
        jobs = Jobs(scenario_with(), place)
        dossier = new_dossier(database, 1, details={"contactTelNo": number})
        queue_row(database, "notification", dossier, 1, "1")
        jobs.run_once()
        jobs.close()
        assert provider.recipients == [number] * bool(number)
        assert rows_of(database, "notification")[0].state == "done"


def test_the_monitor_tells_queues_threads_and_connections_to_who_has_the_key(
    tmp_path: Path,
    database_in: DatabaseIn,
) -> None:
    settings = PortalSettings(
        scenario_with(), tmp_path, threads=7, pool=3, secrets=Secrets(monitor_key=KEY)
    )
    with database_in(tmp_path) as database:
        queue_row(database, "one_stop_sync", new_dossier(database, 1), 1, "1")
        with TestClient(make_app(settings, database)) as client:
            assert client.get("/o/hoso/monitor").status_code == 401
            client.get("/o/rest/v2/ping")
            told = client.get("/o/hoso/monitor", headers={"X-Hoso-Key": KEY}).json()
    assert {name: (job["queue"], job["arrivals"]) for name, job in told["jobs"].items()} == {
        "one_stop_sync": (1, 1),
        "national_sync": (0, 0),
        "notification": (0, 0),
    }
    assert told["jobs"]["one_stop_sync"]["age_s"] == pytest.approx(told["now"] - 100.0)
    assert told["workers"] == {"busy": 0, "queue": 0, "capacity": 7}
    assert told["db_connections"]["capacity"] == 40
    assert told["cpu_s"] > 0.0
