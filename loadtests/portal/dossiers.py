"""Dossiers from the first draft on: creating, finding, filling, deleting."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from loadtests.portal.accounts import SignedIn
from loadtests.portal.conventions import (
    bad_request,
    business_error,
    instant_of,
    local_time,
    not_found,
)
from loadtests.portal.forms import Fields
from loadtests.portal.store.models import (
    Action,
    Dossier,
    DossierFile,
    DossierLog,
    DossierMetadata,
    Mark,
    Payment,
    ProcessOption,
    Service,
    ServiceConfig,
    ServiceProcess,
    Template,
)
from loadtests.portal.transitions import Rules
from loadtests.portal.views import EDITABLE_FIELDS
from loadtests.portal.workflow import BLANK
from loadtests.portal.working_time import due_date, duration_hours

ONLINE = 1
AT_THE_COUNTER = 3
"""Originality of a dossier: filed online, or at the one-stop shop's counter."""

REFERENCE_LENGTH = 200
"""Characters of the applicant's note by which load tests find their dossiers."""

DUPLICATE = "DuplicateDossierCounterException: Duplicate DossierCounter"
"""What the published server answers to the loser of two simultaneous creations."""


@dataclass(frozen=True, slots=True)
class NewDossier:
    """What a draft is created from.

    Attributes
    ----------
    service_code : str
        Required.
    agency_code, template_no : str
        Which agency and template; empty: the first that the service offers.
    originality : int
        ``ONLINE`` or ``AT_THE_COUNTER``.
    reference_uid : str
        The client's own key; the same key gives the same dossier. Empty: a new one.
    group_id : int
        Site.
    """

    service_code: str
    agency_code: str
    template_no: str
    originality: int
    reference_uid: str
    group_id: int


@dataclass(frozen=True, slots=True)
class _Offer:
    """Who offers a service, by which process and with which template."""

    service: Service
    config: ServiceConfig
    option: ProcessOption
    process: ServiceProcess
    template: Template


def create_draft(
    session: Session, rules: Rules, user: SignedIn, new: NewDossier, now: float
) -> Dossier:
    """Return the user's unsent draft of a service: the one there is, or a new one.

    Parameters
    ----------
    session : Session
        In a writing transaction; the caller commits.
    rules : Rules
        The installation.
    user : SignedIn
        Who files it.
    new : NewDossier
        What is filed.
    now : float
        Present time, s since 1970.

    Raises
    ------
    WireError
        403, when nobody offers the service so, when the reference belongs to somebody else, and
        (``DUPLICATE``) when the same user creates it twice at the same moment.
    """
    known = find_reference(session, user, new.reference_uid)
    if known is not None:
        return known
    offer = _offer(session, new)
    draft_key = "|".join(
        (str(user.user_id), str(new.group_id), offer.service.code, offer.config.agency_code,
         offer.template.template_no, str(new.originality))
    )  # fmt: skip
    draft = session.scalars(select(Dossier).where(Dossier.draft_key == draft_key)).first()
    if draft is not None:
        return draft
    dossier = _draft(rules, user, new, offer, now)
    dossier.draft_key = draft_key
    session.add(dossier)
    try:
        session.flush()
    except IntegrityError as error:
        raise business_error(DUPLICATE) from error
    dossier.indexed_at = rules.indexed_at(dossier.dossier_id, 0, now)
    session.add(_payment(dossier, now))
    session.flush()
    return dossier


def find_reference(session: Session, user: SignedIn, reference_uid: str) -> Dossier | None:
    """Return the user's dossier with a reference of the client's own, or None.

    Raises
    ------
    WireError
        403, when it is somebody else's.
    """
    if not reference_uid:
        return None
    query = select(Dossier).where(Dossier.reference_uid == reference_uid)
    dossier = session.scalars(query).first()
    if dossier is not None and dossier.user_id != user.user_id:
        raise business_error("DuplicateReferenceUidException: the reference is taken")
    return dossier


def _offer(session: Session, new: NewDossier) -> _Offer:
    query = (
        select(Service, ServiceConfig, ProcessOption, ServiceProcess, Template)
        .join(ServiceConfig, ServiceConfig.service_id == Service.service_id)
        .join(ProcessOption, ProcessOption.config_id == ServiceConfig.config_id)
        .join(ServiceProcess, ServiceProcess.process_id == ProcessOption.process_id)
        .join(Template, Template.template_id == ProcessOption.template_id)
        .where(Service.code == new.service_code)
        .order_by(ProcessOption.option_id)
    )
    if new.agency_code:
        query = query.where(ServiceConfig.agency_code == new.agency_code)
    if new.template_no:
        query = query.where(Template.template_no == new.template_no)
    row = session.execute(query.limit(1)).first()
    if row is None:
        raise not_found("ServiceConfig", f"{new.service_code} of {new.agency_code or 'any agency'}")
    return _Offer(*row)


def _draft(rules: Rules, user: SignedIn, new: NewDossier, offer: _Offer, now: float) -> Dossier:
    hours = duration_hours(offer.process.duration_count, offer.process.duration_unit)
    applicant = user if new.originality == ONLINE else None
    return Dossier(
        reference_uid=new.reference_uid or str(uuid.uuid4()),
        group_id=new.group_id,
        user_id=user.user_id,
        service_id=offer.service.service_id,
        service_code=offer.service.code,
        service_name=offer.service.name,
        agency_code=offer.config.agency_code,
        agency_name=offer.config.agency_name,
        template_no=offer.template.template_no,
        template_name=offer.template.name,
        process_id=offer.process.process_id,
        process_no=offer.process.process_no,
        originality=new.originality,
        step_code=BLANK.step,
        online=new.originality == ONLINE,
        duration_count=offer.process.duration_count,
        duration_unit=offer.process.duration_unit,
        due_at=due_date(rules.calendar, local_time(now), hours).timestamp(),
        fee_vnd=offer.service.fee_vnd,
        applicant_name=applicant.name if applicant else "",
        applicant_id_type=applicant.id_type if applicant else "citizen",
        applicant_id_no=applicant.id_no if applicant else "",
        details=(
            {"contactName": user.name, "contactTelNo": user.tel_no, "contactEmail": user.email}
            if applicant
            else {}
        ),
        created_at=now,
        modified_at=now,
    )


def _payment(dossier: Dossier, now: float) -> Payment:
    return Payment(
        dossier_id=dossier.dossier_id,
        reference_uid=str(uuid.uuid4()),
        fee_vnd=dossier.fee_vnd,
        created_at=now,
        modified_at=now,
    )


_COLUMNS = {
    "applicantName": ("applicant_name", 500),
    "applicantIdType": ("applicant_id_type", 120),
    "applicantIdNo": ("applicant_id_no", 120),
}

DETAIL_LENGTH = 10_000
"""Longest of the further fields, characters. # assumption"""


def fill(dossier: Dossier, values: Mapping[str, Any], now: float) -> None:
    """Write the fields of DossierInput that may be changed; others are ignored.

    Parameters
    ----------
    dossier : Dossier
        To change.
    values : mapping
        Wire names and values; values that are not text are kept as their text.
    now : float
        Present time.

    Raises
    ------
    WireError
        400, when a value is too long; 403, when a date is none.
    """
    texts = {name: _as_text(value) for name, value in values.items()}
    for name, (column, limit) in _COLUMNS.items():
        if name in texts:
            setattr(dossier, column, _bounded(name, texts[name], limit))
    if "applicantNote" in texts:
        dossier.applicant_note = texts["applicantNote"]
        dossier.run_reference = texts["applicantNote"][:REFERENCE_LENGTH]
    instant_of(texts.get("applicantIdDate", ""))
    known = {
        name: _bounded(name, text, DETAIL_LENGTH)
        for name, text in texts.items()
        if name in EDITABLE_FIELDS
    }
    if known:
        dossier.details = {**dossier.details, **known}
    dossier.modified_at = now


def fill_from_form(dossier: Dossier, form: Fields, now: float) -> None:
    """Write the fields of a form as ``fill`` does."""
    fill(dossier, form.items(), now)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _bounded(name: str, text: str, limit: int) -> str:
    if len(text) > limit:
        raise bad_request(f"{name}: at most {limit} characters")
    return text


def delete_draft(session: Session, dossier: Dossier) -> None:
    """Delete an unsent dossier and all that belongs to it.

    Raises
    ------
    WireError
        403, when it was sent.
    """
    if dossier.step_code != BLANK.step:
        raise business_error("DossierAccessException: only a draft can be deleted")
    for model in (DossierFile, Mark, DossierMetadata, Payment, Action, DossierLog):
        session.execute(delete(model).where(model.dossier_id == dossier.dossier_id))
    session.delete(dossier)


def set_metadata(session: Session, dossier_id: int, values: Mapping[str, str]) -> None:
    """Write named flags of a dossier."""
    query = select(DossierMetadata).where(DossierMetadata.dossier_id == dossier_id)
    known = {row.key: row for row in session.scalars(query)}
    for key, value in values.items():
        if key in known:
            known[key].value = value
        else:
            session.add(DossierMetadata(dossier_id=dossier_id, key=key, value=value))


def metadata_value(session: Session, dossier_id: int, key: str) -> str:
    """Return one named flag of a dossier; empty where it was never set."""
    query = select(DossierMetadata.value).where(
        DossierMetadata.dossier_id == dossier_id, DossierMetadata.key == key
    )
    return session.scalar(query) or ""
