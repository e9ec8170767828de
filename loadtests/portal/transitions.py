"""Moving a dossier from one state to the next, once, with everything that belongs to the move.

The state, the action, the history, the payment and the rows for other systems are written in one
transaction. The update of the state names the state it starts from: of two callers that both saw
it, the second changes nothing and is told so.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from loadtests.portal.conventions import local_time
from loadtests.portal.settings import PortalSettings
from loadtests.portal.store.models import (
    Action,
    Assignment,
    Dossier,
    DossierLog,
    Payment,
    SyncRow,
    User,
)
from loadtests.portal.views import SYNC_WAITING, state_of
from loadtests.portal.workflow import (
    GOTO_CODE,
    NATIONAL,
    ONE_STOP,
    ROLLBACK_CODE,
    STEP_STATES,
    Actor,
    State,
    find_action,
    national_status,
)
from loadtests.portal.working_time import due_date, duration_hours, working_hours_between
from sim.calendars import OfficeCalendar

PAYMENT_ADVANCE = 1
PAYMENT_ASKED = 2
PAYMENT_REPORTED = 3
PAYMENT_CONFIRMED = 5
"""Payment statuses of OpenCPS."""

REQUEST_FINAL_FEE = 3
"""``requestPayment`` of a fee asked in full. # source: OpenCPS, 0 to 5."""

_GOLDEN_RATIO = 0.6180339887498949
"""Multiples of it, modulo 1, spread evenly: a delay per dossier without a random generator."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the domain needs to know of the installation.

    Attributes
    ----------
    calendar : OfficeCalendar
        When offices are open.
    index_lag_s : tuple of float
        Least and greatest time until search lists show a change, s.
    """

    calendar: OfficeCalendar = field(default_factory=OfficeCalendar)
    index_lag_s: tuple[float, float] = (0.3, 1.0)

    def indexed_at(self, dossier_id: int, version: int, now: float) -> float:
        """Return from when search lists show a change made now."""
        low, high = self.index_lag_s
        return now + low + (high - low) * ((dossier_id + version) * _GOLDEN_RATIO % 1.0)


def rules_of(settings: PortalSettings) -> Rules:
    """Return the rules of an installation."""
    days = settings.scenario.demand.calendar
    calendar = OfficeCalendar(frozenset(days.holidays), frozenset(days.working_weekends))
    return Rules(calendar, settings.index_lag_s)


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks to be done.

    Attributes
    ----------
    actor : str
        In which role.
    user_id : int
        Who; 0 for the portal itself.
    user_name : str
        Their name.
    codes : str
        Action codes separated by commas; the first permitted one wins.
    note, payload : str
        What comes with it.
    """

    actor: Actor
    user_id: int
    user_name: str
    codes: str
    note: str = ""
    payload: str = ""


@dataclass(frozen=True, slots=True)
class _Move:
    """One change of state that is permitted."""

    code: str
    name: str
    after: State
    queue: str
    sets: frozenset[str]
    is_undoable: bool


def act(
    session: Session, rules: Rules, dossier: Dossier, asked: Asked, now: float
) -> Action | None:
    """Do an action on a dossier.

    Parameters
    ----------
    session : Session
        In a writing transaction; the caller commits.
    rules : Rules
        The installation.
    dossier : Dossier
        As read in this transaction.
    asked : Asked
        Who asks for what.
    now : float
        Present time, s since 1970.

    Returns
    -------
    Action or None
        None when no such action is permitted in the dossier's state, or somebody was faster.
    """
    edge = find_action(state_of(dossier), asked.actor, asked.codes)
    if edge is None or not _is_payment_in_order(session, dossier, edge.sets, asked.actor):
        return None
    is_undoable = asked.actor == "officer"
    move = _Move(edge.code, edge.name, edge.after, edge.queue, edge.sets, is_undoable)
    return _move(session, rules, dossier, asked, move, now)


def roll_back(
    session: Session, rules: Rules, dossier: Dossier, asked: Asked, now: float
) -> Action | None:
    """Undo the last action, where it can be undone; parameters and result as of ``act``."""
    last = session.get(Action, dossier.action_id)
    if last is None or not last.rollbackable:
        return None
    after = State(last.from_step, last.from_status, last.from_sub_status)
    move = _Move(ROLLBACK_CODE, "Quay lui", after, NATIONAL, frozenset({"reopen"}), False)
    return _move(session, rules, dossier, asked, move, now)


def go_to(
    session: Session, rules: Rules, dossier: Dossier, asked: Asked, step: str, now: float
) -> Action | None:
    """Jump to a step; parameters and result as of ``act``, None also for an unknown step."""
    after = STEP_STATES.get(step)
    if after is None or after == state_of(dossier) or not dossier.status:
        return None
    move = _Move(GOTO_CODE, "Chuyển bước", after, NATIONAL, frozenset({"reopen"}), False)
    return _move(session, rules, dossier, asked, move, now)


def _is_payment_in_order(
    session: Session, dossier: Dossier, sets: frozenset[str], actor: Actor
) -> bool:
    """Tell whether a citizen who says "paid" has paid."""
    if "pay" not in sets or actor == "officer":
        return True
    status = session.scalar(select(Payment.status).where(Payment.dossier_id == dossier.dossier_id))
    return status in (PAYMENT_REPORTED, PAYMENT_CONFIRMED)


def _move(
    session: Session, rules: Rules, dossier: Dossier, asked: Asked, move: _Move, now: float
) -> Action | None:
    before = state_of(dossier)
    sequence = dossier.n_actions + 1
    action = Action(
        dossier_id=dossier.dossier_id,
        sequence=sequence,
        user_id=asked.user_id,
        user_name=asked.user_name,
        code=move.code,
        name=move.name,
        from_step=before.step,
        from_status=before.status,
        from_sub_status=before.sub_status,
        to_step=move.after.step,
        note=asked.note,
        payload=asked.payload,
        previous_action_id=dossier.action_id,
        rollbackable=move.is_undoable,
        at=now,
    )
    changes = _changes(session, rules, dossier, move, now)
    if not _take(session, dossier, before, changes):
        return None
    action.due_at = changes.get("due_at", dossier.due_at)
    session.add(action)
    session.flush()
    session.execute(
        update(Dossier)
        .where(Dossier.dossier_id == dossier.dossier_id)
        .values(action_id=action.action_id),
        execution_options={"synchronize_session": False},
    )
    session.add_all(_followers(action, move, dossier, now))
    _settle(session, dossier.dossier_id, move.sets, now)
    if "submit" in move.sets:
        assign(session, dossier.dossier_id, dossier.agency_code, now)
    session.flush()
    session.refresh(dossier)
    return action


def _take(session: Session, dossier: Dossier, before: State, changes: dict[str, Any]) -> bool:
    """Write the new state if the dossier still is where it was read; tell whether it was."""
    statement = (
        update(Dossier)
        .where(
            Dossier.dossier_id == dossier.dossier_id,
            Dossier.step_code == before.step,
            Dossier.status == before.status,
            Dossier.sub_status == before.sub_status,
            Dossier.n_actions == dossier.n_actions,
        )
        .values(**changes, version=Dossier.version + 1)
    )
    options = {"synchronize_session": False}
    result = session.execute(statement, execution_options=options)
    assert isinstance(result, CursorResult)
    return result.rowcount == 1


def _changes(
    session: Session, rules: Rules, dossier: Dossier, move: _Move, now: float
) -> dict[str, Any]:
    """Return the columns of the dossier that a move writes."""
    changes: dict[str, Any] = {
        "step_code": move.after.step,
        "status": move.after.status,
        "sub_status": move.after.sub_status,
        "n_actions": dossier.n_actions + 1,
        "modified_at": now,
        "indexed_at": rules.indexed_at(dossier.dossier_id, dossier.version, now),
    }
    if move.after.step != "110":
        changes["draft_key"] = None
    if move.queue == ONE_STOP:
        changes["sync_state"] = SYNC_WAITING
    for name, column in _DATES.items():
        if name in move.sets:
            changes[column] = now
    if "reopen" in move.sets:
        changes |= {"release_at": None, "finish_at": None, "paused_at": None, "lock_state": ""}
    if "receive" in move.sets:
        changes |= _reception(session, rules, dossier, now)
    if "pause" in move.sets:
        changes |= {"paused_at": now, "lock_state": "PAUSE"}
    if "resume" in move.sets:
        changes |= _resumption(rules, dossier, now)
    return changes


_DATES = {
    "submit": "submit_at",
    "receive": "receive_at",
    "process": "process_at",
    "release": "release_at",
    "finish": "finish_at",
}


def _reception(session: Session, rules: Rules, dossier: Dossier, now: float) -> dict[str, Any]:
    """Return due date and number, which a dossier gets when it is received."""
    hours = duration_hours(dossier.duration_count, dossier.duration_unit)
    received = local_time(now)
    number = dossier.dossier_no or dossier_number(session, dossier.agency_code, now)
    return {
        "due_at": due_date(rules.calendar, received, hours).timestamp(),
        "dossier_no": number,
    }


def _resumption(rules: Rules, dossier: Dossier, now: float) -> dict[str, Any]:
    """Return the due date moved on by the working hours the dossier waited."""
    changes: dict[str, Any] = {"paused_at": None, "lock_state": ""}
    if dossier.paused_at is not None and dossier.due_at is not None:
        waited = working_hours_between(
            rules.calendar, local_time(dossier.paused_at), local_time(now)
        )
        due = due_date(rules.calendar, local_time(dossier.due_at), waited)
        changes["due_at"] = due.timestamp()
    return changes


def dossier_number(session: Session, agency_code: str, now: float) -> str:
    """Return the next dossier number of an agency: agency, date, running number of the year.

    Unique and without gaps among committed transactions.
    """
    day = local_time(now)
    statement = text(
        "INSERT INTO counters (key, value) VALUES (:key, 1) "
        "ON CONFLICT (key) DO UPDATE SET value = counters.value + 1 RETURNING value"
    )
    number = session.execute(statement, {"key": f"dossierNo {agency_code} {day.year}"}).scalar_one()
    return f"{agency_code}-{day:%y%m%d}-{number:04d}"


def _followers(
    action: Action, move: _Move, dossier: Dossier, now: float
) -> list[DossierLog | SyncRow]:
    """Return the line of history, and the row that tells other systems."""
    rows: list[DossierLog | SyncRow] = [
        DossierLog(
            dossier_id=dossier.dossier_id,
            at=now,
            author=action.user_name,
            content=action.name if not action.note else f"{action.name}: {action.note}",
            notification_type="PROCESS_TYPE",
        )
    ]
    if move.queue:
        rows.append(
            SyncRow(
                queue=move.queue,
                dossier_id=dossier.dossier_id,
                action_id=action.action_id,
                sequence=action.sequence,
                status_code=str(national_status(move.after)),
                position=now,
                queued_at=now,
            )
        )
    return rows


def _settle(session: Session, dossier_id: int, sets: frozenset[str], now: float) -> None:
    """Write to the payment what a move means for it."""
    changes: dict[str, Any] = {}
    if "request_payment" in sets:
        changes = {"request_payment": REQUEST_FINAL_FEE, "status": PAYMENT_ASKED}
    elif "cancel_payment" in sets:
        changes = {"request_payment": 0, "status": 0}
    elif "pay" in sets:
        changes = {"status": PAYMENT_CONFIRMED, "confirmed_at": now}
    if changes:
        session.execute(
            update(Payment)
            .where(Payment.dossier_id == dossier_id)
            .values(**changes, modified_at=now),
            execution_options={"synchronize_session": "fetch"},
        )


def assign(session: Session, dossier_id: int, agency_code: str, now: float) -> None:
    """Give a dossier to an officer of its agency, in turn; without officers to nobody."""
    of_agency = (User.role == "officer", User.agency_code == agency_code)
    count = session.scalar(select(func.count()).select_from(User).where(*of_agency)) or 0
    if count == 0:
        return
    turn = select(User.user_id).where(*of_agency).order_by(User.user_id)
    user_id = session.scalars(turn.offset(dossier_id % count).limit(1)).one()
    session.add(Assignment(dossier_id=dossier_id, user_id=user_id, at=now))
