"""Filing a whole dossier at once: draft, data, papers, forms, marks, and sent in one transaction.

This is how programs file: those of enterprises, and the National Public Service Portal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from loadtests.portal.accounts import SignedIn
from loadtests.portal.attachments import Paper, add_paper, save_form, save_mark
from loadtests.portal.conventions import business_error
from loadtests.portal.dossiers import NewDossier, create_draft, fill, find_reference
from loadtests.portal.forms import Fields
from loadtests.portal.store.models import Dossier, Payment, TemplatePart
from loadtests.portal.transitions import Asked, Rules, act

SAVE, SEND = "1100", "1300"
"""Codes of the two actions a citizen does to file a dossier."""


@dataclass(frozen=True, slots=True)
class Filing:
    """A dossier with everything that comes with it.

    Attributes
    ----------
    new : NewDossier
        Which service, where; its ``reference_uid`` makes the filing repeatable.
    values : mapping
        Fields of DossierInput by wire name.
    papers : tuple of Paper
        Kept files; one without ``part_no`` goes to the next part that takes papers.
    forms : tuple of (str, str)
        Part number and data of electronic forms.
    marks : tuple of (str, Fields)
        Part number and fields of marks.
    payment_note : str
        What the payer wrote.
    """

    new: NewDossier
    values: Mapping[str, Any] = field(default_factory=dict)
    papers: tuple[Paper, ...] = ()
    forms: tuple[tuple[str, str], ...] = ()
    marks: tuple[tuple[str, Fields], ...] = ()
    payment_note: str = ""


def file_whole(
    session: Session, rules: Rules, user: SignedIn, filing: Filing, now: float
) -> Dossier:
    """Create, fill and send a dossier; one that was sent with this reference is returned again.

    Parameters
    ----------
    session : Session
        In a writing transaction; the caller commits.
    rules : Rules
        The installation.
    user : SignedIn
        Who files it.
    filing : Filing
        What is filed.
    now : float
        Present time, s since 1970.

    Raises
    ------
    WireError
        400 or 403 for whatever of it is refused; nothing is filed then.
    """
    known = find_reference(session, user, filing.new.reference_uid)
    if known is not None and known.status:
        return known
    dossier = create_draft(session, rules, user, filing.new, now)
    fill(dossier, filing.values, now)
    session.flush()
    for part_no, form_data in filing.forms:
        save_form(session, dossier, part_no, form_data, now)
    _attach(session, dossier, filing.papers, now)
    for part_no, fields in filing.marks:
        save_mark(session, dossier, part_no, fields, now)
    if filing.payment_note:
        query = select(Payment).where(Payment.dossier_id == dossier.dossier_id)
        session.scalars(query).one().note = filing.payment_note
    send(session, rules, dossier, user, now)
    return dossier


def send(session: Session, rules: Rules, dossier: Dossier, user: SignedIn, now: float) -> None:
    """Save and send a draft.

    Raises
    ------
    WireError
        403, when it was sent already.
    """
    if not dossier.status:
        act(session, rules, dossier, Asked("citizen", user.user_id, user.name, SAVE), now)
    asked = Asked("citizen", user.user_id, user.name, SEND)
    if act(session, rules, dossier, asked, now) is None:
        raise business_error("DossierAccessException: the dossier was sent already")


def _attach(session: Session, dossier: Dossier, papers: tuple[Paper, ...], now: float) -> None:
    """Attach papers; those without a part go to the parts in turn."""
    unnamed = 0
    parts = _paper_parts(session, dossier) if papers else []
    for paper in papers:
        part_no = paper.part_no
        if not part_no:
            if not parts:
                raise business_error("DossierPartException: the service takes no papers")
            part_no = parts[unnamed % len(parts)]
            unnamed += 1
        add_paper(session, dossier, paper.for_part(part_no), now)


def _paper_parts(session: Session, dossier: Dossier) -> list[str]:
    query = (
        select(TemplatePart.part_no)
        .where(TemplatePart.template_no == dossier.template_no, TemplatePart.e_form.is_(False))
        .order_by(TemplatePart.part_no)
    )
    return list(session.scalars(query))
