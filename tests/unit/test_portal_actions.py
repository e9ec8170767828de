"""Actions of the stand-in portal: once each, in order, with all that belongs to them."""

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import select

from loadtests.portal import workflow
from loadtests.portal.store import Database
from loadtests.portal.store.models import Action, Dossier, Payment, Service, SyncRow
from loadtests.portal.transitions import Asked, Rules, act
from loadtests.portal.working_time import due_date, working_hours_between
from sim.calendars import OfficeCalendar

MAIN = "/o/rest/v2"
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
HOLIDAY = dt.date(2024, 9, 2)
CALENDAR = OfficeCalendar(
    holidays=frozenset({HOLIDAY}), working_weekends=frozenset({dt.date(2024, 8, 31)})
)

Citizen = Callable[..., httpx.Client]


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=ZONE)


@pytest.fixture
def database(portal_app: Any) -> Database:
    found: Database = portal_app.state.world.database
    return found


def do(client: httpx.Client, number: int, code: str, **fields: str) -> httpx.Response:
    form = {"actionCode": code} | fields
    return client.post(f"{MAIN}/dossiers/{number}/actions", data=form)


def file_one(client: httpx.Client, database: Database, *, fee: bool = False) -> int:
    with database.reading() as db:
        wanted = Service.fee_vnd > 0 if fee else Service.fee_vnd == 0
        code = db.scalars(select(Service.code).where(wanted)).first()
    number = int(client.post(f"{MAIN}/dossiers", data={"serviceCode": code}).json()["dossierId"])
    assert do(client, number, "1100,1300").status_code == 200
    assert do(client, number, "1100,1300").status_code == 200
    return number


def desk_of(database: Database, officer: Callable[..., httpx.Client], number: int) -> httpx.Client:
    """Return the browser of the officer to whom a dossier is assigned."""
    from loadtests.portal.store.models import Assignment, User

    with database.reading() as db:
        query = (
            select(User.login)
            .join(Assignment, Assignment.user_id == User.user_id)
            .where(Assignment.dossier_id == number)
        )
        login = db.scalars(query).one()
    return officer(int(login[1:]))


def state(client: httpx.Client, number: int) -> tuple[str, str, str]:
    row = client.get(f"{MAIN}/dossiers/{number}").json()
    return row["stepCode"], row["dossierStatus"], row["dossierSubStatus"]


def test_a_list_of_codes_does_the_first_that_is_permitted(
    citizen: Citizen, database: Database
) -> None:
    number = file_one(citizen(), database)

    with database.reading() as db:
        query = select(Action.code).where(Action.dossier_id == number).order_by(Action.sequence)
        assert list(db.scalars(query)) == ["1100", "1300"]


@pytest.mark.parametrize("code", ["1300", "1100", "", "9999", "no such code", "1300,1300", ","])
def test_an_action_that_was_done_or_is_none_is_answered_405(
    citizen: Citizen, database: Database, code: str
) -> None:
    me = citizen()
    number = file_one(me, database)

    answer = do(me, number, code)

    assert answer.status_code == 405
    assert answer.json()["code"] == 405
    assert state(me, number) == ("130", "receiving", "")


def test_an_unknown_dossier_is_answered_405(citizen: Citizen) -> None:
    assert do(citizen(), 2**31 - 1, "1300").status_code == 405


def test_of_simultaneous_calls_exactly_one_succeeds(
    portal_url: str, citizen: Citizen, database: Database
) -> None:
    me = citizen()
    with database.reading() as db:
        code = db.scalars(select(Service.code)).first()
    number = me.post(f"{MAIN}/dossiers", data={"serviceCode": code}).json()["dossierId"]
    do(me, number, "1100")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(
            pool.map(
                lambda _: (
                    httpx.post(
                        f"{portal_url}{MAIN}/dossiers/{number}/actions",
                        data={"actionCode": "1300"},
                        headers={"Authorization": me.headers["authorization"]},
                        timeout=60,
                    ).status_code
                ),
                range(8),
            )
        )

    assert sorted(statuses) == [200] + [405] * 7
    with database.reading() as db:
        rows = db.scalars(select(SyncRow).where(SyncRow.dossier_id == number)).all()
    assert len(rows) == 1


def test_who_saw_an_old_state_changes_nothing(citizen: Citizen, database: Database) -> None:
    me = citizen()
    number = file_one(me, database)
    asked = Asked("citizen", 1, "x", "9100")
    with database.reading() as db:
        seen = db.get_one(Dossier, number)
    assert do(me, number, "9100").status_code == 200
    with database.writing() as db:
        db.add(seen)
        assert act(db, Rules(), seen, asked, 0.0) is None

    with database.reading() as db:
        rows = db.scalars(select(Action.code).where(Action.dossier_id == number)).all()
    assert list(rows) == ["1100", "1300", "9100"]


def test_a_supplement_goes_to_the_citizen_and_back(
    citizen: Citizen, officer: Citizen, database: Database
) -> None:
    me = citizen()
    number = file_one(me, database)
    desk = desk_of(database, officer, number)

    assert do(desk, number, "1200", actionNote="Thiếu giấy tờ").json()["stepCode"] == "131"
    assert do(desk, number, "1250").status_code == 405
    note = me.get(f"{MAIN}/dossiers/{number}").json()["lastActionNote"]
    saved = me.put(f"{MAIN}/dossiers/{number}", data={"applicantName": "Đủ"})
    offered = me.get(f"{MAIN}/dossiers/{number}/nextactions").json()["data"]

    assert note == "Thiếu giấy tờ"
    assert saved.status_code == 200
    assert [row["actionCode"] for row in offered] == ["1250", "9100"]
    assert do(me, number, "1250").json()["stepCode"] == "130"


def test_waiting_for_papers_moves_the_due_date(citizen: Citizen, database: Database) -> None:
    number = file_one(citizen(), database)
    rules = Rules(CALENDAR)
    times = {
        "1100": at("2024-08-26T08:00"),
        "2100": at("2024-08-26T09:00"),
        "2400": at("2024-08-26T10:00"),
        "2450": at("2024-08-27T10:00"),
    }
    due = []
    for code, moment in times.items():
        with database.writing() as db:
            dossier = db.get_one(Dossier, number)
            actor = "citizen" if code == "2450" else "officer"
            asked = Asked(actor, 1, "x", code)
            assert act(db, rules, dossier, asked, moment.timestamp()) is not None
            due.append((dossier.due_at, dossier.lock_state))

    with database.reading() as db:
        hours = db.get_one(Dossier, number).duration_count
    first = due_date(CALENDAR, at("2024-08-26T08:00"), hours)
    assert due[0] == due[1] == (first.timestamp(), "")
    assert due[2] == (first.timestamp(), "PAUSE")
    assert due[3] == (due_date(CALENDAR, first, 8.0).timestamp(), "")


def test_reception_gives_number_and_dates(
    citizen: Citizen, officer: Citizen, database: Database
) -> None:
    me = citizen()
    first, second = file_one(me, database), file_one(me, database)
    for number in (first, second):
        assert do(desk_of(database, officer, number), number, "1100").json()["stepCode"] == "200"

    rows = [me.get(f"{MAIN}/dossiers/{number}").json() for number in (first, second)]
    assert all(row["receiveDate"] and row["dueDate"] and row["processDate"] for row in rows)
    numbers = [row["dossierNo"] for row in rows]
    assert numbers[0].startswith("H24.")
    assert int(numbers[1].rsplit("-", 1)[1]) == int(numbers[0].rsplit("-", 1)[1]) + 1


def test_a_citizen_withdraws_before_reception_and_asks_afterwards(
    citizen: Citizen, officer: Citizen, database: Database
) -> None:
    me = citizen()
    early, late = file_one(me, database), file_one(me, database)
    desk = desk_of(database, officer, late)
    do(desk, late, "1100")

    assert me.post(f"{MAIN}/dossiers/{early}/cancel").json()["dossierStatus"] == "cancelled"
    asked = me.get(f"{MAIN}/dossiers/{late}/cancelling").json()
    assert (asked["dossierStatus"], bool(asked["cancellingDate"])) == ("processing", True)
    assert me.post(f"{MAIN}/dossiers/{late}/correcting").json()["correctingDate"]
    assert desk.post(f"{MAIN}/dossiers/{late}/cancelling").json()["dossierStatus"] == "cancelled"
    assert me.post(f"{MAIN}/dossiers/{early}/cancelling").status_code == 403


def test_old_clients_send_with_a_get(citizen: Citizen, database: Database) -> None:
    me = citizen()
    with database.reading() as db:
        code = db.scalars(select(Service.code)).first()
    number = me.post(f"{MAIN}/dossiers", data={"serviceCode": code}).json()["dossierId"]

    assert me.get(f"{MAIN}/dossiers/{number}/submitting").json()["stepCode"] == "130"
    assert me.get(f"{MAIN}/dossiers/{number}/submitting").status_code == 403


def test_the_last_action_of_an_officer_is_undone_once(
    citizen: Citizen, officer: Citizen, database: Database
) -> None:
    me = citizen()
    number = file_one(me, database)
    desk = desk_of(database, officer, number)
    do(desk, number, "1100")
    do(desk, number, "2100")

    assert desk.post(f"{MAIN}/dossiers/{number}/rollback").json()["stepCode"] == "200"
    assert state(me, number) == ("200", "processing", "")
    assert desk.post(f"{MAIN}/dossiers/{number}/rollback").status_code == 405
    assert me.post(f"{MAIN}/dossiers/{number}/rollback").status_code == 401


def test_an_officer_jumps_to_a_step(citizen: Citizen, officer: Citizen, database: Database) -> None:
    number = file_one(citizen(), database)
    desk = desk_of(database, officer, number)

    assert desk.post(f"{MAIN}/dossiers/{number}/goto/300").json()["stepCode"] == "300"
    assert desk.post(f"{MAIN}/dossiers/{number}/goto/300").status_code == 405
    assert desk.post(f"{MAIN}/dossiers/{number}/goto/999").status_code == 405
    assert do(desk, number, "3100").json()["stepCode"] == "400"


def pay_order(client: httpx.Client, number: int) -> httpx.Response:
    return client.post("/o/pgi/ppdvcqg/inittransaction", data={"dossierId": str(number)})


def test_a_fee_is_asked_ordered_paid_and_acted_upon_once(
    citizen: Citizen, officer: Citizen, database: Database
) -> None:
    me = citizen()
    number = file_one(me, database, fee=True)
    desk = desk_of(database, officer, number)
    assert do(desk, number, "8282").json()["stepCode"] == "132"
    asked = me.get(f"{MAIN}/dossiers/{number}/payment").json()
    assert (asked["paymentStatus"], asked["paymentAmount"] > 0) == (2, True)
    assert do(me, number, "8888").status_code == 405
    assert me.post("/o/pgi/kpdvcqg/paymentconfirm", data={"dossierId": number}).status_code == 403

    order = pay_order(me, number).json()
    assert (order["MaLoi"], bool(order["UrlThanhToan"])) == ("00", True)
    for _ in range(2):
        done = me.post("/o/pgi/kpdvcqg/paymentconfirm", data={"dossierId": str(number)})
        assert done.json()["error"] == "0"

    assert state(me, number) == ("130", "receiving", "")
    assert me.get(f"{MAIN}/dossiers/{number}/payment").json()["paymentStatus"] == 5
    assert pay_order(me, number).status_code == 403
    with database.reading() as db:
        query = select(Action.code).where(Action.dossier_id == number, Action.code == "8888")
        assert len(db.scalars(query).all()) == 1


def test_the_platforms_report_must_be_signed(
    citizen: Citizen, stranger: httpx.Client, database: Database, portal_app: Any
) -> None:
    me = citizen()
    number = file_one(me, database, fee=True)
    reference = pay_order(me, number).json()["MaThamChieu"]
    report = {"MaLoi": "00", "MaThamChieu": reference, "MaGiaoDich": "R1"}
    path = "/o/pgi/ppdvcqg/dpnhankqthanhtoanhs"

    assert stranger.post(path, json=report | {"MaXacThuc": "forged"}).text == "99"
    assert stranger.post(path, data=report).text == "99"
    report["MaXacThuc"] = portal_app.state.world.gateways.sign(report)
    assert stranger.post(path, json=report).text == "00"
    assert stranger.post(path, data=report).text == "00"

    with database.reading() as db:
        payment = db.scalars(select(Payment).where(Payment.dossier_id == number)).one()
    assert (payment.status, payment.transaction_no) == (5, "R1")


def test_a_picture_proves_a_payment(citizen: Citizen, database: Database) -> None:
    me = citizen()
    number = file_one(me, database, fee=True)
    uid = me.get(f"{MAIN}/dossiers/{number}/payment").json()["referenceUid"]
    path = f"{MAIN}/dossiers/{number}/payments/{uid}/confirmfile"

    assert me.put(path, files={"file": ("a.pdf", b"x")}).status_code == 403
    assert me.put(path, files={"file": ("a.png", b"x" * 11_000_000)}).status_code == 413
    assert me.put(path, files={"file": ("a.jpg", b"x")}).json()["paymentStatus"] == 3


def test_nothing_is_ordered_where_nothing_is_due(citizen: Citizen, database: Database) -> None:
    me = citizen()

    assert pay_order(me, file_one(me, database)).status_code == 403
    assert me.post("/o/pgi/ppdvcqg/inittransaction", data={}).status_code == 400
    assert me.post("/o/pgi/ppdvcqg/inittransaction", data={"dossierId": "x"}).status_code == 400


def test_every_state_can_be_reached_and_left_or_is_an_end() -> None:
    reached = {workflow.BLANK}
    while more := {a.after for a in workflow.ACTIONS if a.before in reached} - reached:
        reached |= more

    assert reached == set(workflow.STATES)
    left = {action.before for action in workflow.ACTIONS}
    assert set(workflow.STATES) - left == workflow.ENDS


def test_a_code_means_one_thing_in_a_state() -> None:
    keys = [(action.before, action.actor, action.code) for action in workflow.ACTIONS]

    assert len(set(keys)) == len(keys)
    assert all(action.before != action.after for action in workflow.ACTIONS)
    assert len({action.number for action in workflow.ACTIONS}) == len(keys)


def test_the_straight_way_is_offered_first() -> None:
    path, here = [], workflow.RECEIVING
    while here not in workflow.ENDS:
        action = workflow.next_actions(here, "officer")[0]
        path.append(action.after.step)
        here = action.after

    assert path == ["200", "200", "200", "300", "400"]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (workflow.RECEIVING, 1),
        (workflow.PROCESSING, 4),
        (workflow.SUPPLEMENT, 5),
        (workflow.PAYING, 6),
        (workflow.PICK_UP_PAYING, 6),
        (workflow.DENIED, 3),
        (workflow.UNRESOLVED, 8),
        (workflow.RELEASING, 9),
        (workflow.DONE, 10),
    ],
)
def test_states_have_national_codes(state: workflow.State, code: int) -> None:
    assert workflow.national_status(state) == code


@pytest.mark.parametrize(
    ("start", "hours", "due"),
    [
        ("2024-08-26T08:00", 0, "2024-08-26T08:00"),
        ("2024-08-26T08:00", 3, "2024-08-26T11:00"),
        ("2024-08-26T08:00", 3.5, "2024-08-26T11:30"),
        ("2024-08-26T08:00", 4, "2024-08-26T13:30"),
        ("2024-08-26T06:00", 1, "2024-08-26T08:30"),
        ("2024-08-26T12:00", 1, "2024-08-26T14:00"),
        ("2024-08-26T18:00", 1, "2024-08-27T08:30"),
        ("2024-08-26T07:30", 8, "2024-08-26T17:00"),
        ("2024-08-26T08:00", 8, "2024-08-27T08:00"),
        ("2024-08-30T16:00", 2, "2024-08-31T08:30"),  # the Saturday is worked
        ("2024-08-31T16:00", 2, "2024-09-03T08:30"),  # Sunday, then the holiday
    ],
)
def test_hours_are_counted_while_offices_are_open(start: str, hours: float, due: str) -> None:
    assert due_date(CALENDAR, at(start), hours) == at(due)


def test_waited_hours_and_due_dates_are_each_others_inverse() -> None:
    start = at("2024-08-28T09:10")
    for hours in (0.5, 3.0, 8.0, 21.25, 160.0):
        due = due_date(CALENDAR, start, hours)
        assert working_hours_between(CALENDAR, start, due) == pytest.approx(hours, abs=1e-6)
    assert working_hours_between(CALENDAR, start, start - dt.timedelta(days=1)) == 0


def test_a_calendar_without_open_hours_is_an_error() -> None:
    with pytest.raises(ValueError, match="open hours"):
        due_date(OfficeCalendar(hours=()), at("2024-08-28T09:10"), 1)
