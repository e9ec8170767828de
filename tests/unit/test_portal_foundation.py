"""What the stand-in portal stands on: seed, database, threads and queue, guards, conventions."""

import datetime as dt
import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import Response
from sqlalchemy import func, select, update
from starlette.testclient import TestClient

from loadtests.portal import conventions
from loadtests.portal.app import make_app
from loadtests.portal.seed import SeedMismatchError, seed
from loadtests.portal.store import Database, DatabaseUnavailableError, insert_new, open_database
from loadtests.portal.store import models as m
from loadtests.portal.store.warehouse import data_sets, personal_number
from loadtests.portal.visits import CurrentVisit, PortalRouter
from sim.demand import catalogue_of
from sim.scenario import load_scenario

Settings = Callable[..., Any]


@pytest.fixture
def database(portal_app: Any) -> Database:
    found: Database = portal_app.state.world.database
    return found


def count(database: Database, model: type[m.Base], *conditions: Any) -> int:
    with database.reading() as db:
        query = select(func.count()).select_from(model).where(*conditions)
        return db.execute(query).scalar_one()


# Seed


def test_the_warehouse_has_the_citys_published_size() -> None:
    scenario = load_scenario("haiphong-2024")
    assert scenario.shared_data is not None

    sets = data_sets(scenario.shared_data, scenario.shared_data.records)

    assert len(sets) == 192
    assert sum(len(one.fields) for one in sets) == 1941
    assert sum(one.records for one in sets) == 437_000
    assert [one.records for one in sets] == sorted((one.records for one in sets), reverse=True)


def test_the_seed_fills_what_the_scenario_says(database: Database) -> None:
    assert count(database, m.Service) == 10
    assert count(database, m.SharedDataSet) == 5
    assert count(database, m.SharedField) == 40
    assert count(database, m.SharedRecord) == 200
    assert count(database, m.User, m.User.role == "officer") == 4


def test_every_template_has_its_services_papers_and_form(
    database: Database, small_settings: Settings, tmp_path: Path
) -> None:
    services = catalogue_of(small_settings(tmp_path).scenario).services

    for row, code in enumerate(services.code):
        with database.reading() as db:
            service = db.scalars(select(m.Service).where(m.Service.code == code)).one()
            option = db.scalars(
                select(m.ProcessOption).where(m.ProcessOption.config_id == service.service_id)
            ).one()
        no = m.TemplatePart.template_no == option.template_no
        papers = count(database, m.TemplatePart, no, ~m.TemplatePart.e_form)
        forms = count(database, m.TemplatePart, no, m.TemplatePart.e_form)
        assert (papers, forms) == (services.upload_slots[row], services.e_form[row])


def test_every_officer_has_dossiers_of_the_own_agency_to_receive(database: Database) -> None:
    with database.reading() as db:
        rows = db.execute(
            select(m.User.agency_code, m.Dossier.agency_code, m.Dossier.step_code)
            .join(m.Assignment, m.Assignment.user_id == m.User.user_id)
            .join(m.Dossier, m.Dossier.dossier_id == m.Assignment.dossier_id)
        ).all()

    assert len(rows) >= 8
    assert {own == of_dossier for own, of_dossier, _ in rows} == {True}


def test_people_of_the_warehouse_are_synthetic_and_different() -> None:
    numbers = [personal_number(index) for index in range(50_000)]

    assert len(set(numbers)) == len(numbers)
    assert all(len(n) == 12 and n.startswith("031") and n[6] == "9" for n in numbers)


def test_a_person_is_found_by_personal_number_with_values_for_every_field(
    database: Database,
) -> None:
    import json

    with database.reading() as db:
        records = db.scalars(
            select(m.SharedRecord).where(m.SharedRecord.subject == personal_number(0))
        ).all()
        for record in records:
            fields = db.scalars(
                select(m.SharedField).where(m.SharedField.data_set_id == record.data_set_id)
            ).all()
            assert len(json.loads(record.content)) == len(fields)
    assert len(records) == 4  # five sets, one of them about firms


def test_a_second_seeding_changes_nothing(database: Database, portal_app: Any) -> None:
    settings = portal_app.state.world.settings

    assert seed(settings, database) is False


def test_another_scenarios_data_are_not_used(database: Database, portal_app: Any) -> None:
    settings = replace(portal_app.state.world.settings, officers=5)

    with pytest.raises(SeedMismatchError, match="officers"):
        seed(settings, database)


def test_a_killed_seeding_leaves_nothing_and_is_done_again(
    small_settings: Settings, tmp_path: Path
) -> None:
    settings = small_settings(tmp_path)
    database = open_database(None, tmp_path)

    def killed(done: int, total: int, what: str) -> None:
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seed(settings, database, killed)
    assert count(database, m.Service) == 0
    assert seed(settings, database) is True
    assert count(database, m.SharedRecord) == 200
    database.close()


def test_numbers_go_on_after_the_seeded_ones(database: Database) -> None:
    row = {"at": 0.0, "kind": "list", "user_id": 0, "service_id": 0}
    user = {
        "login": "c-one-more", "role": "citizen", "name": "", "id_no": "", "id_type": "",
        "email": "", "tel_no": "", "agency_code": "", "status": "active", "failed_logins": 0,
        "locked_until_at": 0.0, "created_at": 0.0,
    }  # fmt: skip

    with database.writing() as db:
        assert insert_new(db, m.Tracking, row)
        assert insert_new(db, m.User, user)
        assert not insert_new(db, m.User, user)


# Database


def rename_everybody_and_fail(database: Database) -> None:
    with database.writing() as db:
        db.execute(update(m.User).values(name="nobody"))
        raise ZeroDivisionError


def test_writers_take_turns_and_lose_nothing(database: Database) -> None:
    with database.writing() as db:
        insert_new(db, m.Counter, {"key": "turns", "value": 0})

    def add() -> None:
        for _ in range(10):
            with database.writing() as db:
                counter = db.get_one(m.Counter, "turns", with_for_update=True)
                counter.value += 1

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(add) for _ in range(8)]:
            done.result()

    with database.reading() as db:
        assert db.get_one(m.Counter, "turns").value == 80


def test_a_failed_transaction_lets_the_next_writer_go_on(database: Database) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            rename_everybody_and_fail(database)

    with database.writing() as db:
        db.execute(update(m.User).where(m.User.login == "o0000").values(email="new"))
    assert count(database, m.User, m.User.name == "nobody") == 0


def test_nothing_read_stays_open(database: Database) -> None:
    count(database, m.Service)

    assert database.level().busy == 0


@pytest.mark.parametrize(
    ("url", "words", "is_right"),
    [
        ("nonsense", "is not a database's URL", False),
        ("mysql://localhost/portal", "not supported", False),
        ("postgresql://nobody@127.0.0.1:1/portal", "does not answer", True),
    ],
)
def test_an_unusable_database_is_said_in_one_sentence(
    tmp_path: Path, url: str, words: str, is_right: bool
) -> None:
    with pytest.raises(DatabaseUnavailableError, match=words) as caught:
        open_database(url, tmp_path)

    assert "\n" not in str(caught.value)
    assert caught.value.is_right_url == is_right


# Threads, queue, transactions


def portal_with(settings: Any, router: PortalRouter) -> TestClient:
    """Return a client of a portal with further routes; every failure is answered."""
    database = open_database(settings.database, settings.data, pool=settings.pool)
    seed(settings, database)
    app = make_app(settings, database)
    app.include_router(router)
    return TestClient(app, raise_server_exceptions=False)


def test_requests_beyond_threads_and_queue_are_rejected_at_once(
    small_settings: Settings, tmp_path: Path
) -> None:
    router = PortalRouter()
    going_on = threading.Event()
    inside = threading.Semaphore(0)

    @router.get("/slow")
    def slow(visit: CurrentVisit) -> str:
        inside.release()
        going_on.wait(30)
        return "done"

    settings = small_settings(tmp_path, threads=2, queue_limit=3)
    with portal_with(settings, router) as client, ThreadPoolExecutor(9) as pool:
        world = client.app.state.world  # type: ignore[attr-defined]
        first = [pool.submit(client.get, "/slow") for _ in range(2)]
        inside.acquire()
        inside.acquire()
        first += [pool.submit(client.get, "/slow") for _ in range(3)]
        while world.workers.level().queue < 3:
            time.sleep(0.001)
        refused = [client.get("/slow").status_code for _ in range(4)]
        level = world.workers.level()
        going_on.set()
        answers = [one.result().status_code for one in first]
        world.database.close()

    assert refused == [503] * 4
    assert answers == [200] * 5
    assert (level.busy, level.queue, level.rejected) == (2, 3, 4)


def test_a_handler_that_fails_keeps_nothing_and_shows_nothing(
    small_settings: Settings, tmp_path: Path
) -> None:
    router = PortalRouter()

    @router.post("/broken")
    def broken(visit: CurrentVisit) -> str:
        visit.db.execute(update(m.Service).values(name="gone"))
        raise RuntimeError("a secret of the server")

    client = portal_with(small_settings(tmp_path), router)
    answer = client.post("/broken")
    database = client.app.state.world.database  # type: ignore[attr-defined]

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert count(database, m.Service, m.Service.name == "gone") == 0
    assert database.level().busy == 0
    database.close()


def test_a_request_without_a_connection_in_time_is_timed_out(
    small_settings: Settings, tmp_path: Path
) -> None:
    settings = small_settings(tmp_path, pool=1)
    database = open_database(None, tmp_path, pool=1, wait_s=0.05)
    seed(settings, database)
    client = TestClient(make_app(settings, database))

    with database.reading() as db:
        db.execute(select(func.count()).select_from(m.Service))
        answer = client.get("/o/rest/v2/serviceinfos")
    database.close()

    assert answer.status_code == 504


def test_a_handler_needs_its_visit() -> None:
    def handler() -> str:
        return ""

    with pytest.raises(TypeError, match="visit"):
        PortalRouter().get("/")(handler)


def test_a_get_that_writes_says_so_first(small_settings: Settings, tmp_path: Path) -> None:
    router = PortalRouter()

    @router.get("/writes")
    def writes(visit: CurrentVisit) -> Response:
        visit.begin_writing()
        visit.db.add(m.Tracking(at=0.0, kind="written", user_id=0, service_id=0))
        return Response("ok")

    client = portal_with(small_settings(tmp_path), router)
    database = client.app.state.world.database  # type: ignore[attr-defined]

    assert client.get("/writes").status_code == 200
    assert count(database, m.Tracking, m.Tracking.kind == "written") == 1
    database.close()


# Guards


def test_too_large_a_form_is_refused(portal_app: Any) -> None:
    client = TestClient(portal_app)

    declared = client.post("/o/v1/opencps/login", data={"x": "y" * 2_000_001})
    streamed = client.post(
        "/o/v1/opencps/login",
        content=(b"x=" + b"y" * 500_000 for _ in range(5)),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )

    assert (declared.status_code, streamed.status_code) == (413, 413)


def test_the_front_door_lets_browsers_in_that_saw_a_page(
    small_settings: Settings, tmp_path: Path
) -> None:
    client = portal_with(small_settings(tmp_path, waf=True), PortalRouter())
    browser = {"User-Agent": "Mozilla/5.0"}
    path = "/o/rest/v2/serviceinfos/statistics/levels"

    program = client.get(path)
    stranger = client.get(path, headers=browser)
    client.get("/", headers=browser)
    known = client.get(path, headers=browser)
    client.app.state.world.database.close()  # type: ignore[attr-defined]

    assert "Request Rejected" in program.text
    assert "Request Rejected" in stranger.text
    assert known.json()["total"] > 0


def test_reading_services_writes_a_row_each_time(portal_app: Any, database: Database) -> None:
    client = TestClient(portal_app)
    before = count(database, m.Tracking)

    client.get("/o/rest/v2/serviceinfos?start=0&end=2")
    client.get("/o/rest/v2/serviceinfos/1")

    assert count(database, m.Tracking) == before + 2


# Conventions


def test_dates_are_those_of_viet_nam() -> None:
    noon = dt.datetime(2024, 11, 25, 5, 0, 1, tzinfo=dt.UTC).timestamp()

    assert conventions.wire_date(noon) == "25/11/2024 12:00:01"
    assert conventions.instant_of("25/11/2024 12:00:01") == noon
    assert conventions.wire_date(None) == ""


@pytest.mark.parametrize("text", ["2024-11-25", "32/01/2024", "x", "99/99/9999 99:99:99"])
def test_a_date_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(conventions.WireError) as caught:
        conventions.instant_of(text)

    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [(0, 15, (0, 15)), (15, 30, (15, 15)), (5, 2, (5, 0)), (3, 0, (0, conventions.MAX_ROWS))],
)
def test_pages_begin_inclusive_and_end_exclusive(
    start: int, end: int, rows: tuple[int, int]
) -> None:
    assert conventions.page(start, end) == rows


def test_end_zero_of_dossiers_means_ten() -> None:
    assert conventions.page(3, 0, zero_means_all=False) == (0, 10)


def test_a_tracking_key_is_good_for_its_minute() -> None:
    at = 1_732_500_035.0  # 35 s after a minute began
    key = hashlib.md5(b"p-1732500000000", usedforsecurity=False).hexdigest()

    assert conventions.is_tracking_key(key, "p-", at)
    assert conventions.is_tracking_key(key.upper(), "p-", at)
    assert not conventions.is_tracking_key(key, "p-", at + 60)
    assert not conventions.is_tracking_key("é", "p-", at)
