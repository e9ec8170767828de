"""Filling an empty database from the scenario, all in one transaction.

A killed seeding leaves nothing behind and is simply done again; a finished one is recognised and
left as it is.
"""

import hashlib
import json
import time
from typing import Any

from sqlalchemy import Connection, insert, select, text

from loadtests.portal.settings import PortalSettings
from loadtests.portal.store import backlog, catalogue_rows
from loadtests.portal.store.backlog import seed_backlog, seed_people
from loadtests.portal.store.catalogue_rows import seed_catalogue
from loadtests.portal.store.database import Database, reset_sequences
from loadtests.portal.store.models import Meta
from loadtests.portal.store.warehouse import Progress, seed_warehouse
from sim.demand import catalogue_of

SEED = "seed"
"""Key of the row that says what the database was seeded with."""

_LOCK = 20_241_125
"""PostgreSQL advisory lock: two portals that start at once seed once. Any fixed number."""


class SeedMismatchError(Exception):
    """The database holds another scenario's data; its text says what to do."""


def seed(settings: PortalSettings, database: Database, progress: Progress | None = None) -> bool:
    """Create the tables and fill them, unless that was done before.

    Parameters
    ----------
    settings : PortalSettings
        Scenario, number of records, officers and backlog.
    database : Database
        Empty, or seeded before.
    progress : callable, optional
        Told how many records are written.

    Returns
    -------
    bool
        Whether anything was written.

    Raises
    ------
    SeedMismatchError
        When the database was seeded with something else.
    """
    wanted = _fingerprint(settings)
    database.create_tables()
    with database.transaction() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        found = connection.execute(select(Meta.value).where(Meta.key == SEED)).scalar()
        if found is not None:
            _check(json.loads(found), wanted)
            return False
        _fill(connection, settings, progress or _silent)
        connection.execute(
            insert(Meta).values(key=SEED, value=json.dumps(wanted, ensure_ascii=False))
        )
    database.refresh_statistics()
    return True


def _fill(connection: Connection, settings: PortalSettings, progress: Progress) -> None:
    now = time.time()
    offered = seed_catalogue(connection, catalogue_of(settings.scenario), now)
    seed_people(connection, settings, offered, now)
    seed_backlog(connection, settings, offered, now)
    shared = settings.scenario.shared_data
    if shared is not None:
        seed_warehouse(connection, shared, n_records(settings), progress)
    reset_sequences(connection, (*catalogue_rows.SEEDED, *backlog.SEEDED))


def n_records(settings: PortalSettings) -> int:
    """Return how many records the shared-data warehouse gets."""
    shared = settings.scenario.shared_data
    if shared is None:
        return 0
    return shared.records if settings.records is None else settings.records


def _fingerprint(settings: PortalSettings) -> dict[str, Any]:
    """Return what decides the content of a seeded database."""
    scenario = settings.scenario
    catalogue = f"{scenario.seed} {scenario.catalogue.model_dump_json(exclude={'file'})}"
    if scenario.catalogue.file is not None:
        services = catalogue_of(scenario).services
        catalogue += "|".join(services.code)
    return {
        "scenario": scenario.name,
        "catalogue": hashlib.sha256(catalogue.encode()).hexdigest()[:16],
        "records": n_records(settings),
        "officers": settings.officers,
        "backlog_per_officer": settings.backlog_per_officer,
    }


def _check(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Accept a database of the same content; the scenario's name does not matter."""
    differing = [key for key in wanted if key != "scenario" and found.get(key) != wanted[key]]
    if differing:
        raise SeedMismatchError(
            f"the database holds the data of scenario {found.get('scenario')} with other "
            f"{', '.join(differing)}; give another --data folder or --database, or empty this one"
        )


def _silent(done: int, total: int, what: str) -> None:
    """Tell nobody."""
