"""Intake and publication: rows that a job of the portal takes in batches, and that may fail."""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from simpy import Environment, Event
from simpy.events import ProcessGenerator

from sim.backoffice.draws import ANSWER_SLOT, CHANGE, COIN_SLOT, child, number, sampler
from sim.backoffice.levels import RowLevel
from sim.scenario.backoffice import Sync
from sim.scenario.portal import Job
from sim.scenario.run import Fault


@dataclass(frozen=True, slots=True)
class Stops:
    """When a job is stopped.

    Attributes
    ----------
    times_s : tuple of float
        When it stops or goes on, s, ascending.
    is_stopped : tuple of bool
        Whether it is stopped from then on.
    """

    times_s: tuple[float, ...]
    is_stopped: tuple[bool, ...]

    @classmethod
    def of(cls, job: str, faults: Iterable[Fault]) -> "Stops":
        """Return the stops of a job; at one moment it goes on before it stops."""
        own = [fault for fault in faults if fault.kind == "job_stopped" and fault.target == job]
        moments = sorted([(f.from_s, True) for f in own] + [(f.to_s, False) for f in own])
        return cls(tuple(at for at, _ in moments), tuple(stops for _, stops in moments))

    def at(self, now: float) -> bool:
        """Say whether the job is stopped; at the moment of a change it has changed."""
        last = bisect_right(self.times_s, now) - 1
        return last >= 0 and self.is_stopped[last]


class Row:
    """One row that waits to be sent.

    Attributes
    ----------
    since : float
        When it was first queued, s.
    sent : Event or None
        Happens when it has succeeded.
    tries, given_up : int
        How often it was tried, and given up.
    tries_left : int
        How often it is tried again before it is given up.
    """

    __slots__ = ("_change", "_key", "given_up", "sent", "since", "tries", "tries_left")

    def __init__(
        self, key: int, change: int | None, since: float, sent: Event | None, tries_left: int
    ) -> None:
        self._key = key
        self._change = change
        self.since = since
        self.sent = sent
        self.tries = self.given_up = 0
        self.tries_left = tries_left

    @property
    def key(self) -> int:
        """Key of its random numbers."""
        # Found when it is asked for: few rows need one.
        return self._key if self._change is None else child(self._key, CHANGE + self._change)


class RowQueue:
    """A queue of rows that a job of the portal empties, batch by batch."""

    def __init__(
        self, env: Environment, spec: Sync, job: Job, stops: Stops, level: RowLevel
    ) -> None:
        self._env = env
        self._error_share = spec.error_share
        self._resend = sampler(spec.resend)
        self._job = job
        self._stops = stops
        self._level = level
        self._rows: deque[Row] = deque()
        level.head_since = lambda: self._rows[0].since if self._rows else None

    def put(self, key: int, change: int | None = None, sent: Event | None = None) -> None:
        """Queue a new row.

        Parameters
        ----------
        key : int
            The dossier's.
        change : int, optional
            Which change of the dossier it tells, from 0; absent: the dossier itself.
        sent : Event, optional
            Happens when the row has succeeded.
        """
        self._append(Row(key, change, self._env.now, sent, self._job.retries))

    def tick(self) -> ProcessGenerator:
        """Take a batch at every multiple of the period, unless the job is stopped."""
        env, job, count = self._env, self._job, 0
        while True:
            yield env.timeout(job.offset_s + count * job.period_s - env.now)
            if not self._stops.at(env.now):
                for _ in range(min(job.batch, len(self._rows))):
                    self._try(self._take_first())
            count += 1

    def _append(self, row: Row) -> None:
        # The level first: it closes intervals in which the row was not here.
        self._level.join(self._env.now)
        self._rows.append(row)

    def _take_first(self) -> Row:
        self._level.leave(self._env.now, self._rows[0].since)
        return self._rows.popleft()

    def _try(self, row: Row) -> None:
        """Try a row: it is sent, or waits again, or lies until somebody sends it again."""
        row.tries += 1
        if not self._fails(row):
            self._level.departures += 1
            if row.sent is not None:
                row.sent.succeed()
        elif row.tries_left > 0:
            row.tries_left -= 1
            self._append(row)
        else:
            row.given_up += 1
            lies_s = self._resend(row.key, row.given_up - 1, ANSWER_SLOT)
            self._env.timeout(lies_s, row).callbacks.append(self._come_back)

    def _fails(self, row: Row) -> bool:
        share = self._error_share
        return share > 0.0 and number(row.key, row.tries - 1, COIN_SLOT) < share

    def _come_back(self, timer: Event) -> None:
        """Queue a row again that was given up; it has all its tries."""
        row = timer.value
        assert isinstance(row, Row)
        row.tries_left = self._job.retries
        self._append(row)
