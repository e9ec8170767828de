"""From the citizens' site to the one-stop shop: a dossier with its papers, one row at a time.

Both sites are one database here, so what travels is checked instead of copied: every paper is read
and must still have its hash. The way between the sites takes the delays of the scenario's job.
"""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from loadtests.portal.jobs.queue import Item
from loadtests.portal.jobs.work import Desk, WorkError
from loadtests.portal.store.models import Dossier, DossierFile
from sim.demand.variates import variate_of
from sim.scenario.portal import Delay
from sim.streams import child_key, uniform

SYNC_ACKNOWLEDGED = 3
SYNC_ERROR = 4
"""States of a dossier's synchronisation. # source: OpenCPS, 0 none … 3 acknowledged, 4 error."""


def sync_to_one_stop(desk: Desk, item: Item) -> None:
    """Take one change of a dossier to the one-stop shop.

    Raises
    ------
    WorkError
        When a paper of the dossier is not whole, or the process is to end.
    """
    if desk.stopping.wait(_way_s(desk, item)):
        raise WorkError("the portal stops")
    _check_papers(desk, item)
    with desk.place.database.writing() as session:
        dossier = session.get(Dossier, item.dossier_id, with_for_update=True)
        if not desk.queue.finish(session, item, desk.clock(), desk.spec.then):
            session.rollback()
            return
        if dossier is None:  # withdrawn as a draft meanwhile: nothing is left to take over
            return
        session.execute(
            update(DossierFile)
            .where(DossierFile.dossier_id == item.dossier_id, DossierFile.is_sync.is_(False))
            .values(is_sync=True)
        )
        if not desk.queue.is_open(session, item.dossier_id):
            dossier.sync_state = SYNC_ACKNOWLEDGED


def mark_lost(session: Session, item: Item) -> None:
    """Show on the dossier that its synchronisation was given up."""
    session.execute(
        update(Dossier).where(Dossier.dossier_id == item.dossier_id).values(sync_state=SYNC_ERROR)
    )


def _way_s(desk: Desk, item: Item) -> float:
    """Return how long requests between the sites are under way: a function of the row."""
    key = child_key(child_key(desk.place.seed, item.dossier_id), item.sequence)
    delays = [step.delay for step in desk.spec.program if isinstance(step, Delay)]
    return sum(
        variate_of(
            delay, uniform(key, item.attempts, slot, 0), uniform(key, item.attempts, slot, 1)
        )
        for slot, delay in enumerate(delays)
    )


def _check_papers(desk: Desk, item: Item) -> None:
    papers = select(DossierFile.sha256, DossierFile.size_bytes, DossierFile.display_name).where(
        DossierFile.dossier_id == item.dossier_id,
        DossierFile.removed.is_(False),
        DossierFile.sha256 != "",
    )
    with desk.place.database.reading() as session:
        rows = session.execute(papers).all()
    for sha256, size_bytes, name in rows:
        if not desk.place.blobs.is_whole(sha256, size_bytes):
            raise WorkError(f"{name} is missing or damaged in the store")
