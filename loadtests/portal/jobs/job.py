"""One background job: at every tick a batch from its queue, worked on by a few threads."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from loadtests.portal.gateway_client import GatewayError
from loadtests.portal.jobs.queue import Item
from loadtests.portal.jobs.work import Desk, Work, WorkError

logger = logging.getLogger(__name__)


class Job:
    """A queue, what is done with its items, and the threads that do it.

    Items of one dossier are worked on one after the other, in their order; when one fails, the
    later ones wait for it.

    Parameters
    ----------
    desk : Desk
        Queue, scenario's block and world.
    work : Work
        Does one item.
    on_given_up : callable, optional
        What else to write when an item is given up.
    """

    def __init__(
        self, desk: Desk, work: Work, on_given_up: Callable[[Session, Item], None] | None = None
    ) -> None:
        self._desk = desk
        self._work = work
        self._on_given_up = on_given_up
        self._pool = ThreadPoolExecutor(desk.spec.workers)
        self._running: set[Future[None]] = set()
        self._left_claimed = False

    def tick(self) -> int:
        """Take a batch, unless the last one still runs and ticks are to be skipped then.

        Returns
        -------
        int
            Items taken.
        """
        self._running = {future for future in self._running if not future.done()}
        if self._running and self._desk.spec.skip_if_running:
            return 0
        if self._left_claimed and not self._running:
            self._left_claimed = False
            self._desk.queue.recover()
        items = self._desk.queue.claim(self._desk.spec.batch, self._desk.clock())
        for group in _by_dossier(items):
            self._running.add(self._pool.submit(self._do_all, group))
        return len(items)

    def wait(self) -> None:
        """Wait until everything taken is finished."""
        for future in list(self._running):
            future.result()

    def close(self) -> None:
        """Finish what is in hand, put the rest back."""
        self._pool.shutdown(wait=True)

    def _do_all(self, items: Sequence[Item]) -> None:
        """Work on the items of one dossier; a database that refuses leaves them to a later tick."""
        try:
            for done, item in enumerate(items):
                if self._desk.stopping.is_set():
                    self._desk.queue.postpone(items[done:], self._desk.clock())
                    return
                if not self._do(item):
                    self._desk.queue.postpone(items[done + 1 :], self._desk.clock())
                    return
        except SQLAlchemyError as error:
            logger.warning("the database refused, rows wait for a later tick: %s", error)
            self._left_claimed = True

    def _do(self, item: Item) -> bool:
        """Work on one item; return whether it is done."""
        try:
            self._work(self._desk, item)
        except (GatewayError, WorkError) as error:
            self._failed(item, str(error))
            return False
        except SQLAlchemyError as error:
            logger.warning("dossier %d, change %d: %s", item.dossier_id, item.sequence, error)
            self._failed(item, str(error.args[0]) if error.args else "database")
            return False
        return True

    def _failed(self, item: Item, problem: str) -> None:
        if self._desk.stopping.is_set():
            self._desk.queue.postpone([item], self._desk.clock())
            return
        desk = self._desk
        is_kept = desk.queue.fail(item, desk.clock(), desk.spec.retries, problem, self._on_given_up)
        if not is_kept:
            logger.warning(
                "dossier %d, change %d is given up after %d attempts: %s",
                item.dossier_id,
                item.sequence,
                item.attempts + 1,
                problem,
            )


class Ticker:
    """A thread that calls something at every multiple of a period.

    Parameters
    ----------
    name : str
        Name of the thread.
    action : callable
        What happens at a tick; a tick that falls into it is left out.
    period_s, offset_s : float
        Ticks come at ``started_s + offset_s + k · period_s``.
    started_s : float
        s since 1970.
    stopping : Event
        Ends the thread.
    clock : callable
        Present time, s since 1970.
    """

    def __init__(
        self,
        name: str,
        action: Callable[[], object],
        *,
        period_s: float,
        offset_s: float,
        started_s: float,
        stopping: threading.Event,
        clock: Callable[[], float],
    ) -> None:
        self._action = action
        self._period_s = period_s
        self._first_s = started_s + offset_s
        self._stopping = stopping
        self._clock = clock
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._until_next_s()):
            try:
                self._action()
            except SQLAlchemyError as error:
                logger.warning("%s: the database refused a tick: %s", self._thread.name, error)

    def _until_next_s(self) -> float:
        """Return the time to the next tick; to the first one when it is still to come."""
        since_s = self._clock() - self._first_s
        if since_s < 0:
            return -since_s
        return self._period_s - since_s % self._period_s


def _by_dossier(items: Sequence[Item]) -> list[list[Item]]:
    """Group items by dossier, dossiers in the order in which they come first."""
    first: dict[int, int] = {}
    for place, item in enumerate(items):
        first.setdefault(item.dossier_id, place)
    ordered = sorted(items, key=lambda item: (first[item.dossier_id], item.sequence))
    return [list(group) for _, group in groupby(ordered, key=lambda item: item.dossier_id)]
