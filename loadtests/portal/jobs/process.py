"""The portal's one process of background work.

A lock on a file of the data folder, which the system takes back from a process that dies, lets one
at a time work: so whatever is claimed when it starts belongs to a process that is gone.
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.portal.blobs import BlobStore
from loadtests.portal.gateway_client import Gateways
from loadtests.portal.jobs.job import Job, Ticker
from loadtests.portal.jobs.national import tell_national_portal
from loadtests.portal.jobs.notification import notify_applicant
from loadtests.portal.jobs.one_stop import mark_lost, sync_to_one_stop
from loadtests.portal.jobs.queue import SyncQueue
from loadtests.portal.jobs.rendering import PERIOD_S, render_forms
from loadtests.portal.jobs.work import Desk, Work, Workplace
from loadtests.portal.settings import PortalSettings
from loadtests.portal.store import Database, open_database
from sim.scenario.portal import Job as JobSpec
from sim.scenario.scenario import Scenario

logger = logging.getLogger(__name__)

LOCK_FILE = "jobs.lock"
LOCK_PERIOD_S = 0.2
"""How often a process that waits for the lock tries again."""

SPARE_CONNECTIONS = 2
"""Database connections beside one per worker: for ticks and for rendering."""

DEFAULT_JOBS: dict[str, JobSpec] = {
    # source: OpenCPS DossierSyncProcessingScheduler
    "one_stop_sync": JobSpec(period_s=45.0, batch=15, workers=5, retries=10, then="national_sync"),
    # source: OpenCPS PublishEventHSKMScheduler
    "national_sync": JobSpec(period_s=20.0, batch=100, workers=15, retries=10, then="notification"),
    # source: OpenCPS NotificationScheduler; assumption: batch, workers, retries
    "notification": JobSpec(period_s=45.0, batch=500, workers=10, retries=3),
}
"""Jobs where the scenario states none."""

_WORK: dict[str, Work] = {
    "one_stop_sync": sync_to_one_stop,
    "national_sync": tell_national_portal,
    "notification": notify_applicant,
}


def job_specs(scenario: Scenario) -> dict[str, JobSpec]:
    """Return the job of every queue, as the scenario states it or by default.

    A job of the scenario that hands its items to one that is no queue here ends the chain.
    """
    stated = scenario.portal.jobs
    specs = {name: stated.get(name, default) for name, default in DEFAULT_JOBS.items()}
    return {
        name: spec if spec.then in (None, *specs) else spec.model_copy(update={"then": None})
        for name, spec in specs.items()
    }


class Jobs:
    """All background work of a portal.

    Parameters
    ----------
    scenario : Scenario
        States periods, batches, workers and retries.
    place : Workplace
        What items use.
    """

    def __init__(self, scenario: Scenario, place: Workplace) -> None:
        self._place = place
        self._stopping = threading.Event()
        self._specs = job_specs(scenario)
        owner = f"{os.uname().nodename}:{os.getpid()}"
        self._queues = {name: SyncQueue(place.database, name, owner) for name in self._specs}
        self._jobs = {
            name: Job(
                Desk(place, self._queues[name], spec, self._stopping, time.time),
                _WORK[name],
                mark_lost if name == "one_stop_sync" else None,
            )
            for name, spec in self._specs.items()
        }

    def recover(self) -> int:
        """Queue again what a process that is gone had claimed; return how many rows."""
        return sum(queue.recover() for queue in self._queues.values())

    def run_once(self) -> int:
        """Do one tick of every job, one after the other, and wait; return the items worked on.

        For tests, and for a portal without a job process: nothing waits for its period.
        """
        rendered = render_forms(self._place, time.time())
        taken = 0
        for job in self._jobs.values():
            taken += job.tick()
            job.wait()
        return rendered + taken

    def run(self, started_s: float, stopping: threading.Event) -> None:
        """Work at every tick until told to stop.

        Parameters
        ----------
        started_s : float
            When the portal started, s since 1970: ticks count from it.
        stopping : Event
            Set by the caller: what is in hand is finished, the rest waits for the next process.
        """
        tickers = [
            Ticker(
                name,
                self._jobs[name].tick,
                period_s=spec.period_s,
                offset_s=spec.offset_s,
                started_s=started_s,
                stopping=self._stopping,
                clock=time.time,
            )
            for name, spec in self._specs.items()
        ]
        tickers.append(
            Ticker(
                "rendering",
                lambda: render_forms(self._place, time.time()),
                period_s=PERIOD_S,
                offset_s=0.0,
                started_s=started_s,
                stopping=self._stopping,
                clock=time.time,
            )
        )
        stopping.wait()
        self._stopping.set()
        for ticker in tickers:
            ticker.join()
        self.close()

    def close(self) -> None:
        """End the workers; what is in hand is finished."""
        self._stopping.set()
        for job in self._jobs.values():
            job.close()


def run_jobs(settings: PortalSettings, started_s: float, stopping: threading.Event) -> None:
    """Do the background work of a portal until told to stop.

    Parameters
    ----------
    settings : PortalSettings
        What the portal was started with.
    started_s : float
        When it started, s since 1970.
    stopping : Event
        Ends the work.
    """
    with only_one(settings.data, stopping) as is_mine:
        if is_mine:
            _run(settings, started_s, stopping)


def _run(settings: PortalSettings, started_s: float, stopping: threading.Event) -> None:
    workers = sum(spec.workers for spec in job_specs(settings.scenario).values())
    database = open_database(settings.database, settings.data, pool=workers + SPARE_CONNECTIONS)
    key = settings.secrets.monitor_key
    gateways = Gateways.connect(settings.scenario, settings.gateways, key, settings.data)
    try:
        jobs = Jobs(settings.scenario, workplace(settings, database, gateways))
        recovered = jobs.recover()
        if recovered:
            logger.info("jobs: %d rows of a process that is gone are queued again", recovered)
        jobs.run(started_s, stopping)
    finally:
        gateways.close()
        database.close()


def workplace(settings: PortalSettings, database: Database, gateways: Gateways) -> Workplace:
    """Return what items of background work use."""
    return Workplace(database, gateways, BlobStore(settings.blobs), settings.scenario.seed)


@contextmanager
def only_one(folder: Path, stopping: threading.Event) -> Iterator[bool]:
    """Wait until no other process does this portal's background work; give whether it is ours.

    Parameters
    ----------
    folder : Path
        The portal's data.
    stopping : Event
        Ends the waiting, without the lock.
    """
    with (folder / LOCK_FILE).open("w") as file:
        while not _lock(file.fileno()):
            if stopping.wait(LOCK_PERIOD_S):
                yield False
                return
        yield True


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
