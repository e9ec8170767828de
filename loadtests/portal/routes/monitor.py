"""What the portal is doing now: queues, threads, connections; for whoever watches a load test.

The routes answer on the event loop, with a database connection of their own: they must answer when
every thread and every connection is busy.
"""

import hmac
import time
from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from loadtests.portal.board import BOARD_FILE, Board, ProcessLevel, level_of
from loadtests.portal.conventions import ERROR_ANSWERS, WireError, not_allowed
from loadtests.portal.jobs.process import job_specs
from loadtests.portal.jobs.queue import QueueLevel, queue_levels
from loadtests.portal.settings import PortalSettings
from loadtests.portal.store import Database
from loadtests.portal.visits import World

router = APIRouter(prefix="/o/hoso", responses=ERROR_ANSWERS)

Json = dict[str, Any]


def check_monitor_key(request: Request, settings: PortalSettings) -> None:
    """Answer 401 unless the request carries the portal's monitor key."""
    key = settings.secrets.monitor_key
    given = request.headers.get("x-hoso-key", "")
    if not key or not hmac.compare_digest(given.encode(), key.encode()):
        raise not_allowed("The header X-Hoso-Key is missing or wrong.")


@router.get("/monitor")
async def monitor(request: Request) -> Json:
    """Return queues of jobs, handler threads, connections, processor time, requests."""
    world: World = request.app.state.world
    check_monitor_key(request, world.settings)
    limiter = anyio.CapacityLimiter(1)
    read = partial(_queue_levels, world.database)
    try:
        levels = await anyio.to_thread.run_sync(read, limiter=limiter)
    except SQLAlchemyError as error:
        raise WireError(503, 503, "Service Unavailable.", "The database is too busy.") from error
    now = time.time()
    process = _processes(world)
    specs = job_specs(world.settings.scenario)
    return {
        "now": now,
        "jobs": {
            name: _job(levels.get(name, QueueLevel()), spec.workers, now)
            for name, spec in specs.items()
        },
        "workers": _station(process.busy, process.queue, process.capacity),
        "db_connections": _station(process.db_busy, process.db_queue, process.db_capacity),
        "cpu_s": process.cpu_s,
        "requests": int(process.requests),
        "rejected": int(process.rejected),
    }


def _queue_levels(database: Database) -> dict[str, QueueLevel]:
    engine = create_engine(database.engine.url, poolclass=NullPool)
    with Session(engine) as session:
        return queue_levels(session)


def _processes(world: World) -> ProcessLevel:
    """Return the level of all processes together; without a supervisor of this one alone."""
    file = world.settings.data / BOARD_FILE
    if not file.exists():
        return level_of(world)
    board = Board(file)
    try:
        return sum(board.read_all(), ProcessLevel())
    finally:
        board.close()


def _job(level: QueueLevel, workers: int, now: float) -> Json:
    """Return one job; of a claimed batch as many items are worked on as there are workers."""
    return {
        "queue": level.queue,
        "age_s": 0.0 if level.oldest_at is None else max(0.0, now - level.oldest_at),
        "busy": min(level.claimed, workers),
        "arrivals": level.arrivals,
        "departures": level.departures,
    }


def _station(busy: float, queue: float, capacity: float) -> Json:
    return {"busy": int(busy), "queue": int(queue), "capacity": int(capacity)}
