"""Filing in one request: a dossier with its papers and marks, sent at once."""

import json
from collections.abc import Mapping

from loadtests.portal.attachments import Paper, check_extension
from loadtests.portal.conventions import bad_request, too_large
from loadtests.portal.filing import Filing, file_whole
from loadtests.portal.forms import Fields, FilesBody, form_schema
from loadtests.portal.routes.dossiers import (
    APPLICANT_FIELDS,
    CREATE_FIELDS,
    new_dossier,
    with_last_action,
)
from loadtests.portal.uploads import IncomingForm
from loadtests.portal.views import Json
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit

router = PortalRouter(prefix="/o/rest/v2", tags=["dossiers"])

_JSON_FIELDS = ("dossiers", "dossierFileArr", "dossierMarkArr", "payment")


@router.post(
    "/dossiers/create/all",
    openapi_extra=form_schema(*CREATE_FIELDS, *APPLICANT_FIELDS, *_JSON_FIELDS, file="file"),
)
def create_all(visit: CurrentVisit, form: FilesBody) -> Json:
    """Create a dossier with all its papers and marks, and send it, in one transaction.

    Multipart: the fields of a creation; ``dossiers`` a JSON object of further fields of the
    dossier; ``dossierFileArr`` a JSON list of {fileName, dossierPartNo, displayName,
    fileTemplateNo, referenceUid, formData}, where ``fileName`` is the name of a file of this
    request and an entry without one is an electronic form; ``dossierMarkArr`` a JSON list of
    {dossierPartNo, fileMark, fileCheck, fileComment, recordCount}; ``payment`` a JSON object
    {paymentNote}. Files that ``dossierFileArr`` does not name go to the parts in turn. The same
    ``referenceUid`` gives the same dossier.
    """
    user = visit.signed_in()
    filing = _filing(visit, form)
    dossier = file_whole(visit.db, visit.world.rules, user, filing, visit.now)
    return with_last_action(visit, dossier)


def _filing(visit: Visit, form: IncomingForm) -> Filing:
    fields = Fields(form.fields)
    new = new_dossier(visit, fields)
    entries = _objects(fields, "dossierFileArr")
    further = _object(fields, "dossiers")
    payment = _object(fields, "payment")
    marks = _objects(fields, "dossierMarkArr")
    papers = kept_papers(visit, form)
    named = {entry.line("fileName"): entry for entry in entries}
    return Filing(
        new=new,
        values={**fields.items(), **further.items()},
        papers=tuple(_described(paper, named.get(paper.file_name)) for paper in papers),
        forms=tuple(
            (entry.code("dossierPartNo"), entry.text("formData"))
            for entry in entries
            if not entry.line("fileName")
        ),
        marks=tuple((mark.code("dossierPartNo"), mark) for mark in marks),
        payment_note=payment.text("paymentNote"),
    )


def kept_papers(visit: Visit, form: IncomingForm) -> tuple[Paper, ...]:
    """Put the files of a request safely on disk; before the transaction begins.

    Raises
    ------
    WireError
        403 for a kind of file that is not taken, 413 for too large a file; none is kept then.
    """
    for file in form.files:
        if file.too_large:
            raise too_large(visit.settings.max_upload_bytes)
        check_extension(file.file_name)
    return tuple(
        Paper(file.blob.keep(), file.file_name, file.file_name, part_no="") for file in form.files
    )


def _described(paper: Paper, entry: Fields | None) -> Paper:
    if entry is None:
        return paper
    return Paper(
        paper.blob,
        paper.file_name,
        entry.line("displayName"),
        entry.code("dossierPartNo"),
        entry.code("fileTemplateNo"),
        entry.code("referenceUid"),
    )


def _object(fields: Fields, name: str) -> Fields:
    """Return the JSON object of a field, or the first of a list; empty where there is none."""
    return next(iter(_objects(fields, name)), Fields({}))


def _objects(fields: Fields, name: str) -> list[Fields]:
    """Return the JSON objects of a field: a list, or one alone."""
    value = fields.json(name)
    rows = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(row, dict) for row in rows):
        raise bad_request(f"{name}: must be a JSON object or a list of them")
    return [Fields(_texts(row)) for row in rows]


def _texts(row: Mapping[str, object]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else "" if value is None else json.dumps(value)
        for key, value in row.items()
    }
