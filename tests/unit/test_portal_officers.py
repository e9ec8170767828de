"""The desk of the stand-in portal: work lists, counters, who works on what."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from loadtests.portal.store import Database
from loadtests.portal.store.models import Assignment, Dossier, Service, SyncRow, User

MAIN = "/o/rest/v2"
STEPS = "130,200,210,300"

Browser = Callable[..., httpx.Client]


@pytest.fixture
def database(portal_app: Any) -> Database:
    found: Database = portal_app.state.world.database
    return found


def rows(listing: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a list, one alone too."""
    data = listing["data"]
    return [data] if isinstance(data, dict) else data


def do(client: httpx.Client, number: int, code: str) -> httpx.Response:
    return client.post(f"{MAIN}/dossiers/{number}/actions", data={"actionCode": code})


def file_one(citizen: Browser, database: Database) -> int:
    me = citizen()
    with database.reading() as db:
        code = db.scalars(select(Service.code)).first()
    number = int(me.post(f"{MAIN}/dossiers", data={"serviceCode": code}).json()["dossierId"])
    for action in ("1100", "1300"):
        assert do(me, number, action).status_code == 200
    return number


def number_of_officer(database: Database, dossier: int) -> int:
    """Return the number of the officer to whom a dossier is assigned."""
    with database.reading() as db:
        query = select(User.login).join(Assignment, Assignment.user_id == User.user_id)
        return int(db.scalars(query.where(Assignment.dossier_id == dossier)).one()[1:])


def test_a_sent_dossier_comes_to_the_list_of_one_officer_of_its_agency(
    citizen: Browser, officer: Browser, database: Database
) -> None:
    number = file_one(citizen, database)
    mine = number_of_officer(database, number)

    holders = [
        login
        for login in range(4)
        for row in rows(officer(login).get(f"{MAIN}/dossiers/todo?step={STEPS}&end=0").json())
        if row["dossierId"] == number
    ]

    assert holders == [mine]
    with database.reading() as db:
        agency = db.get_one(Dossier, number).agency_code
        of_officer = db.scalars(select(User).where(User.login == f"o{mine:04d}")).one()
    assert of_officer.agency_code == agency


def test_an_agencys_dossiers_go_round_its_officers(citizen: Browser, database: Database) -> None:
    numbers = [file_one(citizen, database) for _ in range(8)]

    officers = [number_of_officer(database, number) for number in numbers]

    with database.reading() as db:
        agency = db.get_one(Dossier, numbers[0]).agency_code
        colleagues = db.scalars(select(User.user_id).where(User.agency_code == agency)).all()
    assert len(set(officers)) == min(len(colleagues), 8)


def test_a_dossier_goes_the_straight_way_to_its_end(
    citizen: Browser, officer: Browser, database: Database
) -> None:
    number = file_one(citizen, database)
    desk = officer(number_of_officer(database, number))
    steps = []
    while offered := rows(desk.get(f"{MAIN}/dossiers/{number}/nextactions").json()):
        assert all(row["enable"] == 1 and row["autoEvent"] == "" for row in offered)
        dialog = desk.get(f"{MAIN}/dossiers/{number}/nextactions/{offered[0]['processActionId']}")
        assert dialog.json()["actionCode"] == offered[0]["actionCode"]
        steps.append(do(desk, number, offered[0]["actionCode"]).json()["stepCode"])

    assert steps == ["200", "200", "200", "300", "400"]
    row = desk.get(f"{MAIN}/dossiers/{number}").json()
    assert row["dossierStatus"] == "done"
    assert row["finishDate"]
    with database.reading() as db:
        query = select(SyncRow).where(SyncRow.dossier_id == number).order_by(SyncRow.sequence)
        told = [(sync.queue, sync.status_code) for sync in db.scalars(query)]
    assert told == [("one_stop_sync", "1")] + [
        ("national_sync", code) for code in ("4", "4", "4", "9", "10")
    ]


def test_officers_see_and_do_nothing_at_other_agencies(
    citizen: Browser, officer: Browser, database: Database
) -> None:
    number = file_one(citizen, database)
    with database.writing() as db:
        moved = update(Dossier).where(Dossier.dossier_id == number)
        db.execute(moved.values(agency_code="H24.99"))

    assert officer().get(f"{MAIN}/dossiers/{number}").status_code == 401
    assert do(officer(), number, "1100").status_code == 401


def test_counters_are_the_lists_in_numbers(officer: Browser) -> None:
    desk = officer(1)
    listed = rows(desk.get(f"{MAIN}/dossiers/todo?end=0").json())

    counters = rows(desk.get(f"{MAIN}/statistics/dossiers/todo").json())

    assert {row["stepCode"]: row["totalCount"] for row in counters}["130"] == sum(
        row["stepCode"] == "130" for row in listed
    )
    assert sum(row["totalCount"] for row in counters) == len(listed)


@pytest.mark.parametrize("mode", ["todo-rows", "todo-counts"])
def test_slow_modes_answer_the_same(portal_app: Any, officer: Browser, mode: str) -> None:
    import dataclasses

    from starlette.testclient import TestClient

    from loadtests.portal.app import make_app

    world = portal_app.state.world
    settings = dataclasses.replace(world.settings, slow_modes=frozenset({mode}))
    desk = officer(1)
    slow = TestClient(make_app(settings, world.database), headers=desk.headers)

    for path in (f"{MAIN}/statistics/dossiers/todo", f"{MAIN}/dossiers/todo?end=0"):
        assert slow.get(path).json() == desk.get(path).json()


def test_work_is_given_to_colleagues_only(
    citizen: Browser, officer: Browser, database: Database
) -> None:
    number = file_one(citizen, database)
    desk = officer(number_of_officer(database, number))
    path = f"{MAIN}/dossiers/{number}"
    colleague = rows(desk.get(f"{path}/reassign").json())[-1]["userId"]

    given = desk.put(f"{path}/reassign", data={"toUsers": json.dumps([{"userId": colleague}])})
    assert [row["userId"] for row in rows(given.json())] == [colleague]
    more = desk.post(f"{path}/users", data={"assignUsers": json.dumps([{"userId": colleague}])})
    assert [row["userId"] for row in rows(more.json())] == [colleague]
    for wrong in ("[]", '[{"userId": 999999}]', '[{"userId": "x"}]', "no json", "[1, 1]", "[true]"):
        assert desk.put(f"{path}/reassign", data={"toUsers": wrong}).status_code in (400, 403)


def test_a_batch_is_done_whole_or_not_at_all(
    citizen: Browser, officer: Browser, database: Database
) -> None:
    numbers = [file_one(citizen, database) for _ in range(3)]
    desk = officer(number_of_officer(database, numbers[0]))

    def batch(*ids: object) -> httpx.Response:
        form = {"dossierIds": ",".join(map(str, ids))}
        return desk.post(f"{MAIN}/dossiers/actions/1100/groupDossier", data=form)

    def status(number: int) -> str:
        return str(desk.get(f"{MAIN}/dossiers/{number}").json()["dossierStatus"])

    assert batch(numbers[0], numbers[1], numbers[0]).status_code == 405
    assert [status(number) for number in numbers] == ["receiving"] * 3
    assert batch(*numbers[:2]).json()["total"] == 2
    assert [status(number) for number in numbers] == ["processing", "processing", "receiving"]
    assert batch("x").status_code == batch().status_code == 400


def test_a_dossier_is_entered_at_the_counter(officer: Browser, database: Database) -> None:
    desk = officer(0)
    offered = rows(desk.get(f"{MAIN}/onegate/serviceconfigs/processes?start=0&end=2").json())
    form = {
        "serviceCode": offered[0]["serviceCode"],
        "govAgencyCode": offered[0]["govAgencyCode"],
        "originality": "3",
        "serviceLevel": "2",
        "applicantName": "Người đến quầy",
        "applicantIdNo": "031090999999",
    }

    number = desk.post(f"{MAIN}/dossiers", data=form).json()["dossierId"]
    steps = [do(desk, number, code).json()["stepCode"] for code in ("1100", "1300", "1100")]

    assert steps == ["110", "130", "200"]
    row = desk.get(f"{MAIN}/dossiers/{number}").json()
    assert (row["applicantName"], row["originality"]) == ("Người đến quầy", 3)


def test_citizens_are_kept_from_the_desk(citizen: Browser, database: Database) -> None:
    me, number = citizen(), file_one(citizen, database)

    assert me.get(f"{MAIN}/onegate/serviceconfigs/processes").status_code == 401
    assert me.get(f"{MAIN}/dossiers/{number}/reassign").status_code == 401
    form = {"serviceCode": "1.000001", "originality": "3"}
    assert me.post(f"{MAIN}/dossiers", data=form).status_code == 401
    group = me.post(f"{MAIN}/dossiers/actions/1100/groupDossier", data={"dossierIds": str(number)})
    assert group.status_code == 401


def test_look_ups_ask_the_registers_and_answer_errors_in_their_words(citizen: Browser) -> None:
    me = citizen()
    body = {
        "MaDVC": me.get(f"{MAIN}/serviceinfos?start=0&end=1").json()["data"]["serviceCode"],
        "GovAgencyCode": "H24.01",
        "StaffEmail": "a@example.test",
        "SoDinhDanh": "031090930123",
    }

    found = me.post(f"{MAIN}/qldc/dvcqg", json=body).json()
    person = found["Body"]["Envelope"]["CongdanCollection"]["CongDan"]
    assert person["SoDinhDanh"] == "031090930123"
    for missing, code in (("MaDVC", "001"), ("GovAgencyCode", "002"), ("StaffEmail", "003")):
        answer = me.post(f"{MAIN}/qldc/dvcqg", json=body | {missing: ""})
        assert (answer.status_code, answer.json()["errorCode"]) == (400, code)
    firm = me.post(f"{MAIN}/qldc/doanhnghiep", json={"msdn": "0201234567"}).json()
    assert firm["Data"]["MainInformation"]["ENTERPRISE_CODE"] == "0201234567"


@pytest.mark.parametrize(
    ("server", "url", "method"),
    [
        ("http://example.com", "/dossiers/1", "GET"),
        ("SERVER_H24.01", "http://127.0.0.1:9/", "GET"),
        ("SERVER_H24.01", "//example.com/dossiers/1", "GET"),
        ("SERVER_H24.01", "/dossiers/1", "POST"),
        ("SERVER_X", "/dossiers/1", "GET"),
        ("SERVER_H24.01", "/dossiers/1/../../x", "GET"),
    ],
)
def test_the_forwarder_forwards_nowhere(
    citizen: Browser, server: str, url: str, method: str
) -> None:
    form = {"serverCode": server, "url": url, "method": method}

    assert citizen().post(f"{MAIN}/proxy", data=form).status_code == 403


def test_the_forwarder_answers_for_the_own_agencies(citizen: Browser, database: Database) -> None:
    me = citizen()
    with database.reading() as db:
        code = db.scalars(select(Service.code)).first()
    mine = me.post(f"{MAIN}/dossiers", data={"serviceCode": code}).json()
    form = {
        "serverCode": f"SERVER_{mine['govAgencyCode']}",
        "url": f"/dossiers/{mine['dossierId']}",
        "method": "GET",
    }

    assert me.post(f"{MAIN}/proxy", data=form).json()["dossierId"] == mine["dossierId"]


def test_shared_data_are_shown_to_their_subject_and_officers(
    citizen: Browser, officer: Browser
) -> None:
    path = f"{MAIN}/shareddata/031050900000"
    known = rows(citizen("031050900000").get(path).json())

    assert known[0]["dataSet"] == "DS001"
    assert known[0]["values"]["hoVaTen"]
    assert officer().get(path).json()["total"] == len(known)
    assert citizen().get(path).status_code == 401


def test_what_was_given_up_is_queued_again(
    citizen: Browser, officer: Browser, database: Database
) -> None:
    number = file_one(citizen, database)
    desk = officer(number_of_officer(database, number))
    path = f"{MAIN}/dossiers/{number}"
    with database.writing() as db:
        mine = update(SyncRow).where(SyncRow.dossier_id == number)
        db.execute(mine.values(state="given_up", attempts=10))

    assert desk.post(f"{path}/resync").json() == {"total": 1}
    assert desk.post(f"{MAIN}/dossiers/queue/republish").json() == {"total": 0}
    (row,) = rows(desk.get(f"{path}/syncs").json())
    assert (row["state"], row["retry"]) == ("queued", 0)
