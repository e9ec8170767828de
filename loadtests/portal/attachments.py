"""Papers, electronic forms and marks of a dossier; rows only, the bytes are in the blob store."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from loadtests.portal.blobs import StoredBlob
from loadtests.portal.conventions import bad_request, business_error, not_found
from loadtests.portal.forms import Fields
from loadtests.portal.store.models import Dossier, DossierFile, Mark, TemplatePart
from loadtests.portal.uploads import extension
from loadtests.portal.workflow import RECEPTION_SUPPLEMENT, SAVED, SUPPLEMENT

ALLOWED_EXTENSIONS = frozenset(
    ["png", "pdf", "doc", "docx", "xls", "xlsx", "jpg", "jpeg", "txt", "rtf", "xml", "zip"]
)  # source: OpenCPS server, CheckFileUtils
"""Kinds of files that are taken; nothing is unpacked, a zip archive is only bytes here."""

PROOF_EXTENSIONS = frozenset({"png", "jpg", "jpeg"})
"""Kinds of proofs of payment. # source: OpenCPS front end, payment component."""

EDITABLE_STEPS = frozenset({SAVED.step, RECEPTION_SUPPLEMENT.step, SUPPLEMENT.step})
"""Steps at which the citizen may change papers and data."""

RENDER_DELAY_S = (1.0, 3.0)
"""How long after a form is saved its PDF is made, s. # source: OpenCPS front end waits 1-3 s."""

NO_FORM_PART_TYPE = 1
"""Type of a part that the template does not know: a paper."""

_GOLDEN_RATIO = 0.6180339887498949
"""Multiples of it, modulo 1, spread evenly."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A file that comes with a dossier.

    Attributes
    ----------
    blob : StoredBlob
        Its bytes, kept already.
    file_name, display_name : str
        As the client calls it.
    part_no, file_template_no : str
        Which part of the template it is for.
    reference_uid : str
        The client's own key, or empty.
    """

    blob: StoredBlob
    file_name: str
    display_name: str
    part_no: str
    file_template_no: str = ""
    reference_uid: str = ""

    def for_part(self, part_no: str) -> "Paper":
        """Return the same paper for a part of the template."""
        return replace(self, part_no=part_no)


def check_extension(file_name: str, allowed: frozenset[str] = ALLOWED_EXTENSIONS) -> None:
    """Refuse a file of a kind that is not taken: 403."""
    kind = extension(file_name)
    if kind not in allowed:
        raise business_error(f"FileExtensionException: {kind or 'no'} extension is not allowed")


def check_editable(dossier: Dossier, *, by_officer: bool) -> None:
    """Refuse a citizen's change of a dossier that is with the officers: 403."""
    if not by_officer and dossier.step_code not in EDITABLE_STEPS:
        raise business_error(
            f"DossierAccessException: no changes while the dossier is at step {dossier.step_code}"
        )


def part_of(session: Session, dossier: Dossier, part_no: str) -> TemplatePart:
    """Return a part of the dossier's template.

    Raises
    ------
    WireError
        403, when the template has no such part.
    """
    query = select(TemplatePart).where(
        TemplatePart.template_no == dossier.template_no, TemplatePart.part_no == part_no
    )
    part = session.scalars(query).first()
    if part is None:
        raise not_found("DossierPart", part_no)
    return part


def add_paper(session: Session, dossier: Dossier, paper: Paper, now: float) -> DossierFile:
    """Attach a file to a dossier.

    The client's own reference makes it repeatable: the same reference with the same bytes gives
    the row that is there.

    Raises
    ------
    WireError
        403, when the kind is not taken, the part is unknown, or the reference is used otherwise.
    """
    check_extension(paper.file_name)
    known = _known(session, dossier, paper)
    if known is not None:
        return known
    part = part_of(session, dossier, paper.part_no)
    file = DossierFile(
        dossier_id=dossier.dossier_id,
        reference_uid=paper.reference_uid or str(uuid.uuid4()),
        template_no=dossier.template_no,
        part_no=part.part_no,
        part_type=part.part_type,
        part_name=part.name,
        file_template_no=paper.file_template_no or part.file_template_no,
        display_name=paper.display_name or paper.file_name,
        file_type=extension(paper.file_name),
        size_bytes=paper.blob.size_bytes,
        sha256=paper.blob.sha256,
        created_at=now,
        modified_at=now,
    )
    session.add(file)
    session.flush()
    return file


def _known(session: Session, dossier: Dossier, paper: Paper) -> DossierFile | None:
    if not paper.reference_uid:
        return None
    query = select(DossierFile).where(DossierFile.reference_uid == paper.reference_uid)
    file = session.scalars(query).first()
    if file is None:
        return None
    if file.dossier_id != dossier.dossier_id or file.sha256 != paper.blob.sha256:
        raise business_error("DuplicateReferenceUidException: the reference is taken")
    return file


def save_form(
    session: Session, dossier: Dossier, part_no: str, form_data: str, now: float
) -> DossierFile:
    """Save an electronic form; its PDF is made a little later, as ``render_due_at`` says.

    A form that is saved again keeps its row and gets a new version.

    Raises
    ------
    WireError
        403, when the part is no form.
    """
    part = part_of(session, dossier, part_no)
    if not part.e_form:
        raise business_error(f"DossierPartException: part {part_no} is not an electronic form")
    query = select(DossierFile).where(
        DossierFile.dossier_id == dossier.dossier_id,
        DossierFile.part_no == part_no,
        DossierFile.e_form.is_(True),
        DossierFile.removed.is_(False),
    )
    file = session.scalars(query).first()
    if file is None:
        file = DossierFile(
            dossier_id=dossier.dossier_id,
            reference_uid=str(uuid.uuid4()),
            template_no=dossier.template_no,
            part_no=part.part_no,
            part_type=part.part_type,
            part_name=part.name,
            file_template_no=part.file_template_no,
            display_name=part.name,
            file_type="pdf",
            file_version=1,
            e_form=True,
            created_at=now,
        )
        session.add(file)
    else:
        file.file_version += 1
    write_form(file, form_data, now)
    session.flush()
    return file


def write_form(file: DossierFile, form_data: str, now: float) -> None:
    """Replace the data of a form and ask for its PDF."""
    low, high = RENDER_DELAY_S
    turn = (file.file_version + file.dossier_id) * _GOLDEN_RATIO % 1.0
    file.form_data = form_data
    file.modified_at = now
    file.size_bytes, file.sha256 = 0, ""
    file.render_state = "queued"
    file.render_due_at = now + low + (high - low) * turn


def form_data_of(session: Session, dossier_id: int, part_no: str) -> str:
    """Return the data of a saved form; nothing where none was saved."""
    query = select(DossierFile.form_data).where(
        DossierFile.dossier_id == dossier_id,
        DossierFile.part_no == part_no,
        DossierFile.e_form.is_(True),
        DossierFile.removed.is_(False),
    )
    return session.scalars(query).first() or ""


def files_of(session: Session, dossier_id: int) -> Sequence[DossierFile]:
    """Return the files of a dossier that were not removed, oldest first."""
    query = (
        select(DossierFile)
        .where(DossierFile.dossier_id == dossier_id, DossierFile.removed.is_(False))
        .order_by(DossierFile.file_id)
    )
    return session.scalars(query).all()


def file_of(session: Session, dossier_id: int, reference_uid: str) -> DossierFile:
    """Return one file of a dossier.

    Raises
    ------
    WireError
        403, when there is none.
    """
    query = select(DossierFile).where(
        DossierFile.dossier_id == dossier_id,
        DossierFile.reference_uid == reference_uid,
        DossierFile.removed.is_(False),
    )
    file = session.scalars(query).first()
    if file is None:
        raise not_found("DossierFile", reference_uid)
    return file


def replace_bytes(file: DossierFile, paper: Paper, now: float) -> None:
    """Give a file other bytes and a new version."""
    check_extension(paper.file_name)
    file.sha256, file.size_bytes = paper.blob.sha256, paper.blob.size_bytes
    file.file_type = extension(paper.file_name)
    file.display_name = paper.display_name or paper.file_name
    file.file_version += 1
    file.modified_at = now


def remove_by_template(
    session: Session, dossier_id: int, file_template_no: str, now: float
) -> None:
    """Remove every file for one form template."""
    session.execute(
        update(DossierFile)
        .where(
            DossierFile.dossier_id == dossier_id,
            DossierFile.file_template_no == file_template_no,
        )
        .values(removed=True, modified_at=now),
        execution_options={"synchronize_session": False},
    )


def copy_of(
    session: Session, dossier: Dossier, source: DossierFile, part_no: str, now: float
) -> DossierFile:
    """Attach the bytes of another file of the same applicant again."""
    name = f"{source.display_name}.{source.file_type}"
    blob = StoredBlob(source.sha256, source.size_bytes)
    paper = Paper(blob, name, source.display_name, part_no or source.part_no)
    return add_paper(session, dossier, paper, now)


def save_mark(session: Session, dossier: Dossier, part_no: str, form: Fields, now: float) -> Mark:
    """Write how the papers of one part were handed in.

    Raises
    ------
    WireError
        400, when a number is none; 403, when the template has no such part.
    """
    part = part_of(session, dossier, part_no)
    query = select(Mark).where(Mark.dossier_id == dossier.dossier_id, Mark.part_no == part_no)
    mark = session.scalars(query).first()
    if mark is None:
        mark = Mark(
            dossier_id=dossier.dossier_id,
            part_no=part_no,
            file_mark=0,
            file_check=0,
            file_comment="",
            record_count="",
        )
        session.add(mark)
    mark.part_type = part.part_type
    mark.file_mark = form.integer("fileMark", mark.file_mark)
    mark.file_check = form.integer("fileCheck", mark.file_check)
    mark.file_comment = form.text("fileComment", mark.file_comment)
    mark.record_count = form.code("recordCount", mark.record_count)
    mark.modified_at = now
    session.flush()
    return mark


def marks_of(session: Session, dossier_id: int, part_type: int | None) -> Sequence[Mark]:
    """Return the marks of a dossier, of one type of part where one is named."""
    query = select(Mark).where(Mark.dossier_id == dossier_id).order_by(Mark.part_no)
    if part_type is not None:
        query = query.where(Mark.part_type == part_type)
    return session.scalars(query).all()


def check_form_data(text: str) -> str:
    """Return the data of a form unless it is longer than a form can be: 400."""
    if len(text) > FORM_LENGTH:
        raise bad_request(f"formData: at most {FORM_LENGTH} characters")
    return text


FORM_LENGTH = 500_000
"""Longest data of a form, characters; the longest seen is 30 kB. # assumption"""
