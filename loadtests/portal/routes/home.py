"""The home page: liveness, the page itself, statistics and the list of published results."""

import calendar
import datetime as dt
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from sqlalchemy import func, select

from loadtests.portal.conventions import (
    ZONE,
    CodeText,
    End,
    NameText,
    Start,
    instant_of,
    listing,
    page,
    wire_date,
)
from loadtests.portal.store.models import Dossier
from loadtests.portal.visits import CurrentVisit, PortalRouter

router = PortalRouter(tags=["home"])

Json = dict[str, Any]

_PAGE = """<!DOCTYPE html><html lang="vi"><head><meta charset="utf-8">
<title>Cổng dịch vụ công</title></head><body><h1>Cổng dịch vụ công</h1>
<p>Cổng mô phỏng: dữ liệu tổng hợp, không có người thật.</p></body></html>"""


@router.get("/o/rest/v2/ping", response_class=PlainTextResponse)
async def ping() -> Response:
    """Say that the process lives; needs no thread and no database."""
    return Response("ok", media_type="text/plain")


@router.get("/", response_class=HTMLResponse)
async def home() -> Response:
    """Return the page a browser starts with."""
    return Response(_PAGE, media_type="text/html")


@router.get("/o/rest/statistics")
def statistics(
    visit: CurrentVisit,
    year: Annotated[int, Query(ge=2000, le=2100)],
    month: Annotated[int, Query(ge=0, le=12)] = 0,
    agency: CodeText = "",
    domain: CodeText = "",
) -> Json:
    """Return the dossiers filed in a month or a year: how many, how many on time."""
    del domain  # a dossier does not keep it; one number serves all widgets
    start, end = _span(year, month)
    conditions = [Dossier.submit_at >= start, Dossier.submit_at < end]
    if agency:
        conditions.append(Dossier.agency_code == agency)
    total, received, released, late = visit.db.execute(
        select(
            func.count(),
            func.count(Dossier.receive_at),
            func.count(Dossier.release_at),
            func.count().filter(Dossier.release_at > Dossier.due_at),
        ).where(*conditions)
    ).one()
    row = {
        "year": year,
        "month": month,
        "govAgencyCode": agency,
        "totalCount": total,
        "receivedCount": received,
        "releaseCount": released,
        "betimesCount": released - late,
        "overtimeCount": late,
        "processingCount": received - released,
        "waitingCount": total - received,
    }
    return listing(1, [row])


def _span(year: int, month: int) -> tuple[float, float]:
    """Return the ends of a month, or with month 0 of a year, s since 1970."""
    first, last = (month, month) if month else (1, 12)
    start = dt.datetime(year, first, 1, tzinfo=ZONE)
    days = calendar.monthrange(year, last)[1]
    end = dt.datetime(year, last, days, tzinfo=ZONE) + dt.timedelta(days=1)
    return start.timestamp(), end.timestamp()


@router.get("/o/rest/v2/dossiers/publish/searchDossiers")
def published(
    visit: CurrentVisit,
    step: NameText = "300,310,400",
    from_release_date: Annotated[CodeText, Query(alias="fromReleaseDate")] = "",
    to_release_date: Annotated[CodeText, Query(alias="toReleaseDate")] = "",
    start: Start = 0,
    end: End = 0,
) -> Json:
    """List the dossiers that have a result, newest first."""
    steps = [code.strip() for code in step.split(",")][:20]
    query = select(Dossier).where(
        Dossier.step_code.in_(steps),
        Dossier.release_at.is_not(None),
        Dossier.indexed_at <= visit.now,
    )
    since, until = instant_of(from_release_date), instant_of(to_release_date)
    if since is not None:
        query = query.where(Dossier.release_at >= since)
    if until is not None:
        query = query.where(Dossier.release_at <= until)
    total = visit.db.execute(select(func.count()).select_from(query.subquery())).scalar_one()
    offset, limit = page(start, end, zero_means_all=False)
    ordered = query.order_by(Dossier.release_at.desc(), Dossier.dossier_id)
    found = visit.db.scalars(ordered.offset(offset).limit(limit)).all()
    return listing(total, [_published(dossier) for dossier in found])


def _published(dossier: Dossier) -> Json:
    """Return what everybody may know of a dossier: nothing of the person."""
    return {
        "dossierId": dossier.dossier_id,
        "dossierNo": dossier.dossier_no,
        "serviceName": dossier.service_name,
        "govAgencyName": dossier.agency_name,
        "stepCode": dossier.step_code,
        "receiveDate": wire_date(dossier.receive_at),
        "dueDate": wire_date(dossier.due_at),
        "releaseDate": wire_date(dossier.release_at),
    }
