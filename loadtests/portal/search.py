"""Finding dossiers: lists of people and desks, counters by step, anonymous tracking.

Lists show a dossier a moment after it changed, as a search index does.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from loadtests.portal.accounts import SignedIn
from loadtests.portal.conventions import MAX_ID, ZONE, CodeText, NameText, instant_of, page
from loadtests.portal.store.models import Assignment, Dossier, Payment, Service
from loadtests.portal.workflow import STEP_NAMES

MAX_STEPS = 50
"""Most steps named in one list."""


def _nothing_is_zero(value: object) -> object:
    return 0 if value in ("", "null", "undefined") else value


Number = Annotated[int, BeforeValidator(_nothing_is_zero), Field(ge=0, le=MAX_ID)]


def _checked_steps(text: str) -> str:
    if text.count(",") >= MAX_STEPS:
        raise ValueError(f"at most {MAX_STEPS} steps")
    return text


Steps = Annotated[NameText, AfterValidator(_checked_steps)]


class DossierSearch(BaseModel):
    """What a list is asked for; names as on the wire, empty means any."""

    start: Number = 0
    end: Number = 0
    order: CodeText = ""
    sort: CodeText = ""
    owner: CodeText = ""
    step: Steps = ""
    status: NameText = ""
    substatus: NameText = ""
    agency: CodeText = ""
    service: CodeText = ""
    template: CodeText = ""
    domain: CodeText = ""
    keyword: NameText = ""
    dossierNo: CodeText = ""  # noqa: N815 - the wire's names
    applicantIdNo: CodeText = ""  # noqa: N815
    applicantName: NameText = ""  # noqa: N815
    originality: Number = 0
    paymentStatus: CodeText = ""  # noqa: N815
    register_no: Annotated[CodeText, Field(alias="register")] = ""
    year: Number = 0
    month: Number = 0
    day: Number = 0
    fromReceiveDate: CodeText = ""  # noqa: N815
    toReceiveDate: CodeText = ""  # noqa: N815
    fromSubmitDate: CodeText = ""  # noqa: N815
    toSubmitDate: CodeText = ""  # noqa: N815
    fromReleaseDate: CodeText = ""  # noqa: N815
    toReleaseDate: CodeText = ""  # noqa: N815
    top: CodeText = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of dossiers and how many there are in all."""

    total: int
    dossiers: list[Dossier]


def search(
    session: Session,
    asked: DossierSearch,
    user: SignedIn | None,
    now: float,
    *,
    zero_means_all: bool = True,
) -> Found:
    """Return one page of the dossiers that somebody may see.

    Parameters
    ----------
    session : Session
        For reading.
    asked : DossierSearch
        Filters and page.
    user : SignedIn or None
        A citizen sees their own, an officer those assigned to them (with ``owner`` their own);
        None, who tracks a dossier, sees sent ones.
    now : float
        Present time, s since 1970.
    zero_means_all : bool
        What ``end=0`` asks for.
    """
    conditions = [_whose(asked, user), *_conditions(asked, now)]
    query = select(Dossier).where(*conditions)
    count = select(func.count()).select_from(Dossier).where(*conditions)
    offset, limit = page(asked.start, asked.end, zero_means_all=zero_means_all)
    rows = session.scalars(_ordered(query, asked).offset(offset).limit(limit))
    return Found(session.scalar(count) or 0, list(rows))


def count_by_step(
    session: Session, asked: DossierSearch, user: SignedIn, now: float
) -> Mapping[tuple[str, str, str], int]:
    """Return how many dossiers somebody has at each (step, status, sub-status)."""
    columns = (Dossier.step_code, Dossier.status, Dossier.sub_status)
    query = select(*columns, func.count()).where(_whose(asked, user), *_conditions(asked, now))
    rows = session.execute(query.group_by(*columns))
    return {(step, status, sub_status): count for step, status, sub_status, count in rows}


def count_one_by_one(
    session: Session, asked: DossierSearch, user: SignedIn, now: float
) -> Mapping[tuple[str, str, str], int]:
    """Return the same numbers with one query per step, as the published server does."""
    counts: dict[tuple[str, str, str], int] = {}
    for step in STEP_NAMES:
        own = asked.model_copy(update={"step": step})
        counts |= count_by_step(session, own, user, now)
    return counts


def _whose(asked: DossierSearch, user: SignedIn | None) -> ColumnElement[bool]:
    """Return which dossiers somebody may see at all."""
    if user is None:
        return Dossier.submit_at.is_not(None)
    if user.is_officer and asked.owner.lower() != "true":
        mine = select(Assignment.dossier_id).where(Assignment.user_id == user.user_id)
        return Dossier.dossier_id.in_(mine)
    return Dossier.user_id == user.user_id


_EQUAL = {
    "agency": Dossier.agency_code,
    "service": Dossier.service_code,
    "template": Dossier.template_no,
    "dossierNo": Dossier.dossier_no,
    "applicantIdNo": Dossier.applicant_id_no,
}

_LISTS = {"step": Dossier.step_code, "status": Dossier.status, "substatus": Dossier.sub_status}

_FROM = {
    "fromReceiveDate": Dossier.receive_at,
    "fromSubmitDate": Dossier.submit_at,
    "fromReleaseDate": Dossier.release_at,
}
_TO = {
    "toReceiveDate": Dossier.receive_at,
    "toSubmitDate": Dossier.submit_at,
    "toReleaseDate": Dossier.release_at,
}

A_DAY_S = 86_400.0


def _conditions(asked: DossierSearch, now: float) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Dossier.indexed_at <= now]
    for name, column in _EQUAL.items():
        if text := getattr(asked, name).strip():
            conditions.append(column == text)
    for name, codes in _LISTS.items():
        if text := getattr(asked, name).strip():
            conditions.append(codes.in_([code.strip() for code in text.split(",")]))
    for name, date in _FROM.items():
        if (since := instant_of(getattr(asked, name))) is not None:
            conditions.append(date >= since)
    for name, date in _TO.items():
        if (until := instant_of(getattr(asked, name))) is not None:
            conditions.append(date < until + A_DAY_S)
    if asked.originality:
        conditions.append(Dossier.originality == asked.originality)
    return conditions + _further(asked)


def _further(asked: DossierSearch) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if asked.year:
        since, until = _span(asked.year, asked.month, asked.day)
        conditions += [Dossier.created_at >= since, Dossier.created_at < until]
    if asked.domain.strip():
        of_domain = select(Service.code).where(Service.domain_code == asked.domain.strip())
        conditions.append(Dossier.service_code.in_(of_domain))
    if asked.paymentStatus.strip().isascii() and asked.paymentStatus.strip().isdigit():
        status = min(int(asked.paymentStatus.strip()[:9]), MAX_ID)
        of_status = select(Payment.dossier_id).where(Payment.status == status)
        conditions.append(Dossier.dossier_id.in_(of_status))
    for text in (asked.keyword.strip(), asked.applicantName.strip()):
        if text:
            conditions.append(
                or_(
                    Dossier.service_name.contains(text, autoescape=True),
                    Dossier.applicant_name.contains(text, autoescape=True),
                    Dossier.dossier_no == text,
                )
            )
    return conditions


def _span(year: int, month: int, day: int) -> tuple[float, float]:
    """Return start and end of a year, a month or a day; nothing for one that does not exist."""
    try:
        start = dt.datetime(year, month or 1, (day if month else 0) or 1, tzinfo=ZONE)
        if month and day:
            end = start + dt.timedelta(days=1)
        elif month:
            end = start.replace(year=year + month // 12, month=month % 12 + 1)
        else:
            end = start.replace(year=year + 1)
        return start.timestamp(), end.timestamp()
    except (ValueError, OverflowError):
        return 0.0, 0.0


_SORTS = {
    "dueDate": Dossier.due_at,
    "submitDate": Dossier.submit_at,
    "receiveDate": Dossier.receive_at,
    "createDate": Dossier.created_at,
    "modified": Dossier.modified_at,
}


def _ordered(query: Select[Dossier], asked: DossierSearch) -> Select[Dossier]:
    """Order by what was asked, oldest first unless ``order=true``."""
    is_descending = asked.order.lower() == "true"
    columns = [column for name, column in _SORTS.items() if name == asked.sort]
    columns.append(Dossier.dossier_id)
    return query.order_by(*(column.desc() if is_descending else column for column in columns))
