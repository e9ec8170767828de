"""A background queue whose rows live in the database: claimed, done, put back, given up.

A row is claimed by one process at a time. What a killed process had claimed is queued again by the
next one, in its old place; only one job process runs on a portal (see ``process``).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import case, func, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from loadtests.portal.store import Database, insert_new
from loadtests.portal.store.models import SyncRow

QUEUED, CLAIMED, DONE, GIVEN_UP = "queued", "claimed", "done", "given_up"
"""States of a row."""

_PROBLEM_LENGTH = 500
_NO_SYNC = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class Item:
    """One claimed row.

    Attributes
    ----------
    sync_id : int
        Number of the row.
    dossier_id, action_id : int
        What it is about.
    sequence : int
        Of the action within its dossier; with the dossier the key that makes work idempotent.
    status_code : str
        National code of the dossier's status after the action.
    attempts : int
        How often it has failed so far.
    """

    sync_id: int
    dossier_id: int
    action_id: int
    sequence: int
    status_code: str
    attempts: int


@dataclass(frozen=True, slots=True)
class QueueLevel:
    """One queue at one moment.

    Attributes
    ----------
    queue : int
        Rows that wait for a tick.
    claimed : int
        Rows of the batch that is worked on.
    oldest_at : float or None
        When the oldest waiting row was first queued, s since 1970.
    arrivals, departures : int
        Rows queued so far, put back ones again; rows worked on so far, whatever came of it.
    """

    queue: int = 0
    claimed: int = 0
    oldest_at: float | None = None
    arrivals: int = 0
    departures: int = 0


class SyncQueue:
    """One queue by name.

    Parameters
    ----------
    database : Database
        Where its rows are.
    name : str
        Name of the job in the scenario.
    owner : str
        Who claims rows: names this process, for people who look into the table.
    """

    def __init__(self, database: Database, name: str, owner: str) -> None:
        self._database = database
        self._name = name
        self._owner = owner

    def recover(self) -> int:
        """Queue again, in its place, what a process that is gone had claimed; return how many."""
        statement = update(SyncRow).where(SyncRow.queue == self._name, SyncRow.state == CLAIMED)
        with self._database.writing() as session:
            return _changed(
                session, statement.values(state=QUEUED, claimed_at=None, claimed_by=None)
            )

    def claim(self, limit: int, now: float) -> list[Item]:
        """Claim the first rows of the queue.

        Parameters
        ----------
        limit : int
            At most so many.
        now : float
            Present time, s since 1970.
        """
        waiting = (
            select(SyncRow)
            .where(SyncRow.queue == self._name, SyncRow.state == QUEUED)
            .order_by(SyncRow.position, SyncRow.sequence, SyncRow.sync_id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._database.writing() as session:
            items = [_item(row) for row in session.scalars(waiting)]
            if items:
                numbers = [item.sync_id for item in items]
                claimed = update(SyncRow).where(SyncRow.sync_id.in_(numbers))
                session.execute(
                    claimed.values(state=CLAIMED, claimed_at=now, claimed_by=self._owner),
                    execution_options=_NO_SYNC,
                )
        return items

    def finish(self, session: Session, item: Item, now: float, then: str | None) -> bool:
        """Mark a row as done and queue what follows, in the caller's transaction.

        Returns
        -------
        bool
            False when the row is not this process's any more: the caller must undo everything.
        """
        if not self._close(session, item, DONE, now, ""):
            return False
        if then is not None:
            follower = {
                "queue": then,
                "dossier_id": item.dossier_id,
                "action_id": item.action_id,
                "sequence": item.sequence,
                "status_code": item.status_code,
                "state": QUEUED,
                "position": now,
                "attempts": 0,
                "queued_at": now,
                "problem": "",
                "payload": {},
            }
            insert_new(session, SyncRow, follower)
        return True

    def fail(
        self,
        item: Item,
        now: float,
        retries: int,
        problem: str,
        on_given_up: Callable[[Session, Item], None] | None = None,
    ) -> bool:
        """Put a row back to the end of the queue; return False when it is given up instead.

        Later rows of the same dossier go behind it, so that its changes stay in order.

        Parameters
        ----------
        item : Item
            The row.
        now : float
            Present time, s since 1970.
        retries : int
            How often a row is put back.
        problem : str
            Why it failed.
        on_given_up : callable, optional
            What else to write when it is given up, in the same transaction.
        """
        attempts = item.attempts + 1
        with self._database.writing() as session:
            if attempts > retries:
                is_closed = self._close(session, item, GIVEN_UP, now, problem, attempts=attempts)
                if is_closed and on_given_up is not None:
                    on_given_up(session, item)
                return False
            self._put_back(session, item, now, attempts, problem)
        return True

    def postpone(self, items: Sequence[Item], now: float) -> None:
        """Put rows back that were not tried, because an earlier change of their dossier failed."""
        with self._database.writing() as session:
            for item in items:
                self._put_back(session, item, now, item.attempts, "")

    def has_done(self, session: Session, dossier_id: int) -> bool:
        """Whether a row of a dossier was done before."""
        found = select(SyncRow.sync_id).where(
            SyncRow.queue == self._name, SyncRow.dossier_id == dossier_id, SyncRow.state == DONE
        )
        return session.scalar(found.limit(1)) is not None

    def is_open(self, session: Session, dossier_id: int) -> bool:
        """Whether a row of a dossier waits or is worked on."""
        found = select(SyncRow.sync_id).where(
            SyncRow.queue == self._name,
            SyncRow.dossier_id == dossier_id,
            SyncRow.state.in_((QUEUED, CLAIMED)),
        )
        return session.scalar(found.limit(1)) is not None

    def _mine(self, item: Item) -> tuple[object, ...]:
        return (
            SyncRow.sync_id == item.sync_id,
            SyncRow.state == CLAIMED,
            SyncRow.claimed_by == self._owner,
        )

    def _close(
        self, session: Session, item: Item, state: str, now: float, problem: str, **more: int
    ) -> bool:
        statement = update(SyncRow).where(*self._mine(item))  # type: ignore[arg-type]
        values = statement.values(
            state=state, done_at=now, problem=problem[:_PROBLEM_LENGTH], **more
        )
        return _changed(session, values) == 1

    def _put_back(
        self, session: Session, item: Item, now: float, attempts: int, problem: str
    ) -> None:
        back = update(SyncRow).where(*self._mine(item))  # type: ignore[arg-type]
        _changed(
            session,
            back.values(
                state=QUEUED,
                position=now,
                attempts=attempts,
                claimed_at=None,
                claimed_by=None,
                problem=problem[:_PROBLEM_LENGTH],
            ),
        )
        behind = update(SyncRow).where(
            SyncRow.queue == self._name,
            SyncRow.dossier_id == item.dossier_id,
            SyncRow.state == QUEUED,
            SyncRow.sequence > item.sequence,
            SyncRow.position < now,
        )
        _changed(session, behind.values(position=now))


def queue_levels(session: Session) -> dict[str, QueueLevel]:
    """Return the levels of all queues that ever had a row, by name."""
    is_waiting = SyncRow.state == QUEUED
    rows = session.execute(
        select(
            SyncRow.queue,
            SyncRow.state,
            func.count(),
            func.sum(SyncRow.attempts),
            func.min(case((is_waiting, SyncRow.queued_at))),
        ).group_by(SyncRow.queue, SyncRow.state)
    ).all()
    names = sorted({row[0] for row in rows})
    return {name: _level([row[1:] for row in rows if row[0] == name]) for name in names}


def _level(rows: Sequence[tuple[str, int, int, float | None]]) -> QueueLevel:
    counts = {state: count for state, count, _, _ in rows}
    failures = sum(attempts for _, _, attempts, _ in rows)
    given_up = counts.get(GIVEN_UP, 0)
    return QueueLevel(
        queue=counts.get(QUEUED, 0),
        claimed=counts.get(CLAIMED, 0),
        oldest_at=next((oldest for state, _, _, oldest in rows if state == QUEUED), None),
        arrivals=sum(counts.values()) + failures - given_up,
        departures=counts.get(DONE, 0) + failures,
    )


def _item(row: SyncRow) -> Item:
    return Item(
        row.sync_id, row.dossier_id, row.action_id, row.sequence, row.status_code, row.attempts
    )


def _changed(session: Session, statement: object) -> int:
    result = session.execute(statement, execution_options=_NO_SYNC)  # type: ignore[call-overload]
    assert isinstance(result, CursorResult)
    return result.rowcount
