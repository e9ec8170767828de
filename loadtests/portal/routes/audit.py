"""What the portal holds of a load test: dossiers, papers with their bytes read again, actions."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated

from fastapi import Query
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from loadtests.portal.blobs import BlobStore
from loadtests.portal.conventions import (
    MAX_ID,
    LongText,
    NameText,
    bad_request,
    row_id,
    wire_date,
)
from loadtests.portal.routes.monitor import check_monitor_key
from loadtests.portal.store.models import Action, Dossier, DossierFile, SyncRow
from loadtests.portal.views import Json
from loadtests.portal.visits import CurrentVisit, PortalRouter
from loadtests.portal.workflow import NATIONAL, ONE_STOP

router = PortalRouter(prefix="/o/hoso/audit", tags=["audit"])

MAX_PAGE = 1000
"""Most dossiers of one answer."""

QUEUED, DONE, GIVEN_UP, NOBODY = "queued", "done", "given_up", "none"
"""Whether other systems know of an action; ``none``: nobody is told."""

_TOLD_QUEUES = (ONE_STOP, NATIONAL)


@router.get("/dossiers")
def dossiers(
    visit: CurrentVisit,
    reference: NameText = "",
    ids: LongText = "",
    after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
) -> Json:
    """List the dossiers whose note begins with ``reference``, or those with these ``ids``.

    ``stored`` of a file is true when its bytes were read again just now and have its hash. Pages
    go on behind the dossier ``after``; ``data`` is a list whatever its length.
    """
    check_monitor_key(visit.request, visit.settings)
    chosen = _chosen(reference, ids)
    total = visit.db.scalar(select(func.count()).select_from(Dossier).where(chosen)) or 0
    query = select(Dossier).where(chosen, Dossier.dossier_id > after)
    page = visit.db.scalars(query.order_by(Dossier.dossier_id).limit(limit)).all()
    rows = _rows(visit.db, page)
    visit.close()  # nobody holds a connection while the bytes are read
    for row in rows:
        for file in row["files"]:
            file["stored"] = _is_stored(visit.world.blobs, file)
    return {"total": total, "data": rows}


def _chosen(reference: str, ids: str) -> ColumnElement[bool]:
    if ids:
        numbers = [word.strip() for word in ids.split(",") if word.strip()]
        known = [number for number in map(row_id, numbers) if number is not None]
        if len(numbers) > MAX_PAGE or len(known) != len(numbers):
            raise bad_request(f"ids: at most {MAX_PAGE} numbers, separated by commas")
        return Dossier.dossier_id.in_(known)
    if not reference:
        raise bad_request("reference or ids: one of them is required")
    return Dossier.run_reference.startswith(reference, autoescape=True)


def _rows(db: Session, page: Sequence[Dossier]) -> list[Json]:
    ids = [dossier.dossier_id for dossier in page]
    files: dict[int, list[Json]] = defaultdict(list)
    of_page = DossierFile.dossier_id.in_(ids)
    query = select(DossierFile).where(of_page, DossierFile.removed.is_(False))
    for file in db.scalars(query.order_by(DossierFile.file_id)):
        if not file.e_form:
            files[file.dossier_id].append(_file(file))
    syncs = _syncs(db, ids)
    actions: dict[int, list[Json]] = defaultdict(list)
    done = select(Action).where(Action.dossier_id.in_(ids)).order_by(Action.action_id)
    for action in db.scalars(done):
        told = syncs[action.dossier_id, action.sequence]
        state = sync_state(state for state, _ in told)
        known = max((at for _, at in told if at is not None), default=None)
        row = {"code": action.code, "at": action.at, "sync": state}
        row["syncedAt"] = known if state == DONE else None
        actions[action.dossier_id].append(row)
    return [
        {
            "dossierId": dossier.dossier_id,
            "referenceUid": dossier.reference_uid,
            "applicantNote": dossier.applicant_note,
            "status": dossier.status,
            "stepCode": dossier.step_code,
            "submitDate": wire_date(dossier.submit_at),
            "files": files[dossier.dossier_id],
            "actions": actions[dossier.dossier_id],
        }
        for dossier in page
    ]


def _file(file: DossierFile) -> Json:
    return {
        "referenceUid": file.reference_uid,
        "displayName": file.display_name,
        "sha256": file.sha256,
        "size": file.size_bytes,
        "stored": False,
    }


def _syncs(
    db: Session, ids: Sequence[int]
) -> dict[tuple[int, int], list[tuple[str, float | None]]]:
    """Return state and end of the rows that tell other systems of each action."""
    rows: dict[tuple[int, int], list[tuple[str, float | None]]] = defaultdict(list)
    query = select(SyncRow.dossier_id, SyncRow.sequence, SyncRow.state, SyncRow.done_at).where(
        SyncRow.dossier_id.in_(ids), SyncRow.queue.in_(_TOLD_QUEUES)
    )
    for dossier_id, sequence, state, done_at in db.execute(query):
        rows[dossier_id, sequence].append((state, done_at))
    return rows


def sync_state(states: Iterable[str]) -> str:
    """Return whether other systems know of an action, from the states of its rows."""
    found = set(states)
    if GIVEN_UP in found:
        return GIVEN_UP
    if not found:
        return NOBODY
    return DONE if found == {DONE} else QUEUED


def _is_stored(blobs: BlobStore, file: Json) -> bool:
    return blobs.is_whole(str(file["sha256"]), int(file["size"]))
