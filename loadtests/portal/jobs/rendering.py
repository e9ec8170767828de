"""Making the PDF of saved electronic forms, a second or more after they were saved.

The row of the form says that its PDF is wanted, and from when; so nothing is forgotten when a
process dies, and making one twice gives the same file.
"""

import logging
from dataclasses import dataclass

from sqlalchemy import select, update

from loadtests.portal.jobs.pdf import form_pdf
from loadtests.portal.jobs.work import Workplace
from loadtests.portal.store.models import DossierFile

logger = logging.getLogger(__name__)

PERIOD_S = 0.25
"""How often saved forms are looked for. # source: a message bus delivers without a period; this
is short beside the 1 to 3 s that a PDF takes."""

BATCH = 50


@dataclass(frozen=True, slots=True)
class _Form:
    """A saved form whose PDF is wanted."""

    file_id: int
    version: int
    title: str
    data: str


def render_forms(place: Workplace, now: float) -> int:
    """Make the PDF of forms whose time has come; return of how many."""
    forms = _due(place, now)
    for form in forms:
        _render(place, form, now)
    return len(forms)


def _due(place: Workplace, now: float) -> list[_Form]:
    due = (
        select(DossierFile)
        .where(DossierFile.render_state == "queued", DossierFile.render_due_at <= now)
        .order_by(DossierFile.render_due_at)
        .limit(BATCH)
    )
    with place.database.reading() as session:
        return [
            _Form(row.file_id, row.file_version, row.display_name or row.part_name, row.form_data)
            for row in session.scalars(due)
        ]


def _render(place: Workplace, form: _Form, now: float) -> None:
    """Store the PDF, then point the row to it unless the form was saved anew meanwhile."""
    blob = place.blobs.put(form_pdf(form.title, form.data))
    with place.database.writing() as session:
        session.execute(
            update(DossierFile)
            .where(
                DossierFile.file_id == form.file_id,
                DossierFile.file_version == form.version,
                DossierFile.form_data == form.data,
                DossierFile.render_state == "queued",
            )
            .values(
                sha256=blob.sha256,
                size_bytes=blob.size_bytes,
                file_type="pdf",
                render_state="done",
                modified_at=now,
            )
        )
