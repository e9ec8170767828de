"""Papers of a dossier: electronic forms, uploads, marks, downloads."""

import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import Path, Query, Response
from sqlalchemy import select
from starlette.responses import StreamingResponse

from loadtests.portal.access import (
    check_before_keeping,
    confidential_dossier,
    is_at_desk,
    writable_dossier,
)
from loadtests.portal.attachments import (
    Paper,
    add_paper,
    check_editable,
    check_extension,
    check_form_data,
    copy_of,
    file_of,
    files_of,
    form_data_of,
    marks_of,
    remove_by_template,
    replace_bytes,
    save_form,
    save_mark,
    write_form,
)
from loadtests.portal.conventions import (
    CodeText,
    RowId,
    bad_request,
    listing,
    not_allowed,
    not_found,
    too_large,
)
from loadtests.portal.forms import Fields, FilesBody, FormBody, form_schema, parsed_json
from loadtests.portal.store.models import Dossier, DossierFile
from loadtests.portal.uploads import IncomingForm
from loadtests.portal.views import Json, file_view, mark_view
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit
from loadtests.portal.warehouse_lookup import prefilled

router = PortalRouter(prefix="/o/rest/v2", tags=["files"])

Code = Annotated[CodeText, Path()]
_FILES = "/dossiers/{dossier_id:int}/files"

CONTENT_TYPES = {
    "pdf": "application/pdf",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "txt": "text/plain; charset=utf-8",
    "xml": "application/xml",
    "zip": "application/zip",
}
"""Content types of downloads; the others go as bytes."""

MAX_REUSABLE = 50
"""Most documents of an applicant that are offered again. # assumption"""


def _editable(visit: Visit, dossier_id: int) -> Dossier:
    dossier = writable_dossier(visit, dossier_id)
    check_editable(dossier, by_officer=is_at_desk(visit, dossier))
    return dossier


def _form_data(text: str) -> str:
    """Return the data of a form: any JSON object as text."""
    data = check_form_data(text.strip() or "{}")
    if not isinstance(parsed_json(data, "formData"), dict):
        raise bad_request("formData: must be a JSON object")
    return data


@router.post(
    "/dossiers/{dossier_id:int}/eforms/{part_no}",
    openapi_extra=form_schema("formData!", "removed", "eForm", multipart=True, file="file"),
)
def save_eform(visit: CurrentVisit, dossier_id: RowId, part_no: Code, form: FilesBody) -> Json:
    """Save an electronic form; its PDF, and so ``fileSize``, follows 1-3 s later."""
    visit.signed_in()
    data = _form_data(Fields(form.fields).text("formData"))
    dossier = _editable(visit, dossier_id)
    return file_view(save_form(visit.db, dossier, part_no, data, visit.now))


@router.get("/dossiers/{dossier_id:int}/eforms/{part_no}/formdata")
def eform_data(visit: CurrentVisit, dossier_id: RowId, part_no: Code) -> str:
    """Return the data of an electronic form as JSON text.

    A form that was not saved yet is filled with what the city's shared data know.
    """
    dossier = confidential_dossier(visit, dossier_id)
    saved = form_data_of(visit.db, dossier.dossier_id, part_no)
    if saved:
        return saved
    known = prefilled(visit.db, dossier.applicant_id_no)
    return json.dumps(known, ensure_ascii=False)


@router.get(_FILES)
def files(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """List the files of a dossier."""
    dossier = confidential_dossier(visit, dossier_id)
    rows = [file_view(file) for file in files_of(visit.db, dossier.dossier_id)]
    return listing(len(rows), rows)


_UPLOAD = (
    "displayName", "fileType", "fileSize", "isSync", "dossierPartNo!", "dossierTemplateNo",
    "fileTemplateNo", "formData", "referenceUid",
)  # fmt: skip


@router.post(_FILES, openapi_extra=form_schema(*_UPLOAD, file="file"))
def upload(visit: CurrentVisit, dossier_id: RowId, form: FilesBody) -> Json:
    """Upload one file; kinds and size are limited, nothing is unpacked."""
    check_before_keeping(visit, _editable, dossier_id)
    paper = _one_paper(visit, form)
    dossier = _editable(visit, dossier_id)
    return file_view(add_paper(visit.db, dossier, paper, visit.now))


def _one_paper(visit: Visit, form: IncomingForm) -> Paper:
    """Put the file of an upload safely on disk, outside any transaction."""
    fields = Fields(form.fields)
    if len(form.files) != 1:
        raise bad_request("file: exactly one file is expected")
    file = form.files[0]
    if file.too_large:
        raise too_large(visit.settings.max_upload_bytes)
    check_extension(file.file_name)
    display_name, part_no = fields.line("displayName"), fields.code("dossierPartNo")
    template_no, reference = fields.code("fileTemplateNo"), fields.code("referenceUid")
    if len(file.file_name) > 500:
        raise bad_request("file: its name has at most 500 characters")
    blob = file.blob.keep()
    return Paper(blob, file.file_name, display_name, part_no, template_no, reference)


@router.post(f"{_FILES}/copyfile", openapi_extra=form_schema("dossierFileId!", "dossierPartNo"))
def copy_file(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Attach a file of an earlier dossier of the same applicant again."""
    dossier = _editable(visit, dossier_id)
    source = _own_file(visit, dossier, form.integer("dossierFileId"))
    return file_view(copy_of(visit.db, dossier, source, form.code("dossierPartNo"), visit.now))


@router.post(
    f"{_FILES}/applicantdata",
    openapi_extra=form_schema(
        "dossierTemplateNo", "dossierPartNo!", "uri", "displayName", "fileType", "fileEntryId!"
    ),
)
def applicant_data(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Attach a document of the applicant's own store: here, one of an earlier dossier."""
    dossier = _editable(visit, dossier_id)
    source = _own_file(visit, dossier, form.integer("fileEntryId"))
    part_no = form.required("dossierPartNo")
    return file_view(copy_of(visit.db, dossier, source, part_no, visit.now))


def _own_file(visit: Visit, dossier: Dossier, file_id: int) -> DossierFile:
    """Return a stored file whose dossier has the same owner."""
    source = visit.db.get(DossierFile, file_id)
    if source is None or not source.sha256:
        raise not_found("DossierFile", file_id)
    origin = visit.db.get(Dossier, source.dossier_id)
    if origin is None or origin.user_id != dossier.user_id:
        raise not_allowed()
    return source


@router.post(f"{_FILES}/{{reference_uid}}", openapi_extra=form_schema("displayName", file="file"))
def replace_file(
    visit: CurrentVisit, dossier_id: RowId, reference_uid: Code, form: FilesBody
) -> Json:
    """Give a file other bytes."""
    check_before_keeping(visit, _editable, dossier_id)
    paper = _one_paper(visit, form)
    dossier = _editable(visit, dossier_id)
    file = file_of(visit.db, dossier.dossier_id, reference_uid)
    replace_bytes(file, paper, visit.now)
    visit.db.flush()
    return file_view(file)


@router.delete(f"{_FILES}/{{reference_uid}}")
def delete_file(visit: CurrentVisit, dossier_id: RowId, reference_uid: Code) -> Json:
    """Remove a file; a removed one stays on file for the officers' history."""
    dossier = _editable(visit, dossier_id)
    file = file_of(visit.db, dossier.dossier_id, reference_uid)
    file.removed = True
    file.modified_at = visit.now
    visit.db.flush()
    return file_view(file)


@router.delete(f"{_FILES}/{{file_template_no}}/all")
def delete_all(visit: CurrentVisit, dossier_id: RowId, file_template_no: Code) -> Json:
    """Remove every file for one form template."""
    dossier = _editable(visit, dossier_id)
    remove_by_template(visit.db, dossier.dossier_id, file_template_no, visit.now)
    return {"dossierId": dossier.dossier_id, "fileTemplateNo": file_template_no}


@router.put(f"{_FILES}/{{reference_uid}}/formdata", openapi_extra=form_schema("formdata!"))
def update_form(visit: CurrentVisit, dossier_id: RowId, reference_uid: Code, form: FormBody) -> str:
    """Save an electronic form again; answers its data as text."""
    data = _form_data(form.text("formdata"))
    dossier = _editable(visit, dossier_id)
    file = _form_file(visit, dossier, reference_uid)
    file.file_version += 1
    write_form(file, data, visit.now)
    return data


@router.put(f"{_FILES}/{{reference_uid}}/resetformdata")
def reset_form(visit: CurrentVisit, dossier_id: RowId, reference_uid: Code) -> Json:
    """Empty an electronic form."""
    dossier = _editable(visit, dossier_id)
    file = _form_file(visit, dossier, reference_uid)
    file.file_version += 1
    write_form(file, "{}", visit.now)
    visit.db.flush()
    return file_view(file)


def _form_file(visit: Visit, dossier: Dossier, reference_uid: str) -> DossierFile:
    file = file_of(visit.db, dossier.dossier_id, reference_uid)
    if not file.e_form:
        raise not_found("EForm", reference_uid)
    return file


@router.get(f"{_FILES}/{{reference_uid}}", response_class=Response)
def download(visit: CurrentVisit, dossier_id: RowId, reference_uid: Code) -> Response:
    """Return the bytes of a file."""
    return _bytes(visit, dossier_id, reference_uid, "attachment")


@router.get(f"{_FILES}/{{reference_uid}}/preview.pdf", response_class=Response)
def preview(visit: CurrentVisit, dossier_id: RowId, reference_uid: Code) -> Response:
    """Return the bytes of a file, to be shown."""
    return _bytes(visit, dossier_id, reference_uid, "inline")


@router.get("/dossiers/{dossier_id:int}/documents/{reference_uid}", response_class=Response)
def document(visit: CurrentVisit, dossier_id: RowId, reference_uid: Code) -> Response:
    """Return the bytes of a result."""
    return _bytes(visit, dossier_id, reference_uid, "attachment")


def _bytes(visit: Visit, dossier_id: int, reference_uid: str, disposition: str) -> Response:
    dossier = confidential_dossier(visit, dossier_id)
    file = file_of(visit.db, dossier.dossier_id, reference_uid)
    if not file.sha256:
        raise not_found("FileEntry", f"{reference_uid}; its PDF is not ready yet")
    pieces = _opened(visit, file)
    name = f"{_plain(reference_uid)}.{file.file_type}"
    headers = {
        "Content-Length": str(file.size_bytes),
        "Content-Disposition": f'{disposition}; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    kind = CONTENT_TYPES.get(file.file_type, "application/octet-stream")
    return StreamingResponse(pieces, headers=headers, media_type=kind)


def _plain(text: str) -> str:
    """Return a text as it may stand between the quotation marks of a header."""
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in text)


def _opened(visit: Visit, file: DossierFile) -> Iterator[bytes]:
    """Return the pieces of a file that is there."""
    if not visit.world.blobs.path(file.sha256).is_file():
        raise not_found("FileEntry", file.reference_uid)
    return visit.world.blobs.pieces(file.sha256)


@router.get("/dossiers/{dossier_id:int}/applicant/{id_no}/files/{file_template_nos}/search")
def reusable(visit: CurrentVisit, dossier_id: RowId, id_no: Code, file_template_nos: Code) -> Json:
    """List documents of the applicant's earlier dossiers that fit these form templates."""
    dossier = confidential_dossier(visit, dossier_id)
    query = (
        select(DossierFile)
        .join(Dossier, Dossier.dossier_id == DossierFile.dossier_id)
        .where(
            Dossier.applicant_id_no == id_no,
            Dossier.user_id == dossier.user_id,
            Dossier.dossier_id != dossier_id,
            DossierFile.file_template_no.in_(file_template_nos.split(",")),
            DossierFile.removed.is_(False),
            DossierFile.sha256 != "",
        )
        .order_by(DossierFile.file_id.desc())
        .limit(MAX_REUSABLE)
    )
    rows = [file_view(file) for file in visit.db.scalars(query)]
    return listing(len(rows), rows)


@router.get("/dossiers/{dossier_id:int}/marks")
def marks(
    visit: CurrentVisit,
    dossier_id: RowId,
    part_type: Annotated[int | None, Query(alias="type", ge=0, le=100)] = None,
) -> Json:
    """List the marks of a dossier."""
    dossier = confidential_dossier(visit, dossier_id)
    rows = [mark_view(mark) for mark in marks_of(visit.db, dossier.dossier_id, part_type)]
    return listing(len(rows), rows)


@router.post(
    "/dossiers/{dossier_id:int}/marks/{part_no}",
    openapi_extra=form_schema("fileMark", "fileCheck", "fileComment", "recordCount"),
)
def mark(visit: CurrentVisit, dossier_id: RowId, part_no: Code, form: FormBody) -> Json:
    """Write how the papers of one part were handed in."""
    dossier = _editable(visit, dossier_id)
    return mark_view(save_mark(visit.db, dossier, part_no, form, visit.now))
