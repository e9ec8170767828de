"""What items of background work have in common: the world they see, and how they fail."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from loadtests.portal.blobs import BlobStore
from loadtests.portal.gateway_client import Gateways
from loadtests.portal.jobs.queue import Item, SyncQueue
from loadtests.portal.store import Database
from sim.scenario.portal import Job


class WorkError(Exception):
    """An item cannot be done now; its text says why. It goes back to the queue."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """What every item of work may use.

    Attributes
    ----------
    database : Database
        The portal's.
    gateways : Gateways
        Services of others.
    blobs : BlobStore
        Stored papers.
    seed : int
        The scenario's, for random delays.
    """

    database: Database
    gateways: Gateways
    blobs: BlobStore
    seed: int


@dataclass(frozen=True, slots=True)
class Desk:
    """One job as its items see it.

    Attributes
    ----------
    place : Workplace
        What all jobs share.
    queue : SyncQueue
        Its rows.
    spec : Job
        Its block of the scenario.
    stopping : Event
        Set when the process is to end: items that wait give up waiting.
    clock : callable
        Present time, s since 1970.
    """

    place: Workplace
    queue: SyncQueue
    spec: Job
    stopping: threading.Event
    clock: Callable[[], float]


Work = Callable[[Desk, Item], None]
"""Does one item and marks it as done, or raises WorkError or GatewayError."""
