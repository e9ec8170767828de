"""Teams: one queue, and as many servers as officers are present."""

from heapq import heappop, heappush

from simpy import Environment, Event, Timeout

from sim.backoffice.clock import OfficeClock
from sim.backoffice.dossier import NOT_BEGUN, OFFICER, WORKING, Dossier
from sim.backoffice.draws import WorkOfTeam
from sim.backoffice.levels import Level
from sim.backoffice.recorder import Recorder


class Team:
    """Officers of one office with the same skills.

    Officers who come in the morning or after lunch are told by :meth:`open`; nobody tells that the
    office closes: what is in hand goes on at the next opening, since it is timed in working time.
    """

    def __init__(
        self,
        env: Environment,
        number: int,
        clock: OfficeClock,
        work: WorkOfTeam,
        level: Level,
        log: Recorder,
        *,
        is_due_first: bool,
    ) -> None:
        self._env = env
        self._number = number
        self._clock = clock
        self._work = work
        self._level = level
        self._log = log
        self._is_due_first = is_due_first
        self._queue: list[tuple[float, int, Dossier]] = []
        self._in_hand: dict[Dossier, None] = {}  # in the order in which they were begun
        self._present = 0
        self._comings = 0

    def come(self, dossier: Dossier) -> Event:
        """Bring a dossier; what is returned happens when its task is done."""
        env, level = self._env, self._level
        now = env.now
        self._comings += 1
        dossier.number = self._comings
        dossier.rank = dossier.due_s if self._is_due_first else now
        dossier.visit = NOT_BEGUN
        dossier.turn = turn = Event(env)
        level.advance(now)
        level.arrivals += 1
        if level.busy < self._present and self._clock.is_open(now):
            self._begin(dossier, now)
        else:
            self._queue_up(dossier)
        return turn

    def open(self, present: int) -> None:
        """Officers come: what they cannot go on with waits, what waits is taken."""
        level = self._level
        level.advance(self._env.now)
        self._present = level.capacity = present
        while level.busy > present:
            self._put_back(next(reversed(self._in_hand)))
        self._take()

    def _take(self) -> None:
        """Begin what waits, as long as somebody is free."""
        level, now = self._level, self._env.now
        if not self._queue or not self._clock.is_open(now):
            return
        while self._queue and level.busy < self._present:
            level.queue -= 1
            self._begin(heappop(self._queue)[2], now)

    def _begin(self, dossier: Dossier, now: float) -> None:
        """Begin a task, or go on with it; the level stands at now."""
        if dossier.visit == NOT_BEGUN:
            dossier.work_s = self._work.draw(
                dossier.key, dossier.state, dossier.visits_before, dossier.examination.effort
            )
            dossier.visit = self._log.begin(dossier, self._number, now)
        dossier.spend(now, WORKING)
        self._level.busy += 1
        self._in_hand[dossier] = None
        delay_s = self._clock.add(now, dossier.work_s) - now
        dossier.timer = timer = Timeout(self._env, delay_s, dossier)
        timer.callbacks.append(self._finish)

    def _put_back(self, dossier: Dossier) -> None:
        """Put a task in hand back to its place in the queue, with the work that is left."""
        assert dossier.timer is not None
        dossier.timer.callbacks = []
        now, begun_s = self._env.now, dossier.since
        done_s = self._clock.worked(now) - self._clock.hours.worked(begun_s)
        dossier.work_s = max(dossier.work_s - done_s, 0.0)
        dossier.spend(now, OFFICER)
        del self._in_hand[dossier]
        self._level.busy -= 1
        self._queue_up(dossier)

    def _queue_up(self, dossier: Dossier) -> None:
        self._level.queue += 1
        heappush(self._queue, (dossier.rank, dossier.number, dossier))

    def _finish(self, timer: Event) -> None:
        """A task ends: its team takes the next, then the dossier goes on."""
        dossier = timer.value
        assert isinstance(dossier, Dossier)
        level, now = self._level, self._env.now
        self._log.end(dossier.visit, now)
        dossier.timer = None  # which knows the dossier: a circle would outlive both
        del self._in_hand[dossier]
        level.advance(now)
        level.departures += 1
        level.busy -= 1
        self._take()
        assert dossier.turn is not None
        dossier.turn.succeed()
