"""The desk: work lists, counters, who works on a dossier; the citizens' own list is one too."""

from typing import Annotated

from fastapi import Query
from sqlalchemy import ColumnElement, CursorResult, delete, select, update

from loadtests.portal.access import desk_dossier, readable_dossier
from loadtests.portal.conventions import (
    MAX_ID,
    CodeText,
    End,
    RowId,
    Start,
    bad_request,
    business_error,
    listing,
    page,
)
from loadtests.portal.forms import FormBody, form_schema
from loadtests.portal.search import (
    DossierSearch,
    Found,
    count_by_step,
    count_one_by_one,
    search,
)
from loadtests.portal.store.models import (
    Action,
    Assignment,
    Dossier,
    ProcessOption,
    Service,
    ServiceConfig,
    SyncRow,
    User,
)
from loadtests.portal.views import Json, dossier_row, to_user
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit
from loadtests.portal.workflow import STATUS_NAMES, STEP_NAMES, SUB_STATUS_NAMES

router = PortalRouter(prefix="/o/rest/v2", tags=["desk"])

Search = Annotated[DossierSearch, Query()]


@router.get("/dossiers/todo")
def todo(visit: CurrentVisit, asked: Search) -> Json:
    """List one's own dossiers, or for officers those assigned to them; ``end=0``: all."""
    user = visit.signed_in()
    found = search(visit.db, asked, user, visit.now)
    if "todo-rows" in visit.settings.slow_modes:
        _look_up_each(visit, found)
    return listing(found.total, [dossier_row(dossier, visit.now) for dossier in found.dossiers])


def _look_up_each(visit: Visit, found: Found) -> None:
    """Ask for action, user and roles of each row, as the published server does."""
    for dossier in found.dossiers:
        visit.db.execute(select(Action.code).where(Action.action_id == dossier.action_id)).all()
        visit.db.execute(select(User.name).where(User.user_id == dossier.user_id)).all()
        visit.db.execute(
            select(Assignment.user_id).where(Assignment.dossier_id == dossier.dossier_id)
        ).all()


@router.get("/statistics/dossiers/todo")
def counters(visit: CurrentVisit, asked: Search) -> Json:
    """Count one's dossiers at each step."""
    user = visit.signed_in()
    is_slow = "todo-counts" in visit.settings.slow_modes
    count = count_one_by_one if is_slow else count_by_step
    rows = [
        {
            "stepCode": step,
            "stepName": STEP_NAMES.get(step, step),
            "dossierStatus": status,
            "dossierStatusText": STATUS_NAMES.get(status, status),
            "dossierSubStatus": sub_status,
            "dossierSubStatusText": SUB_STATUS_NAMES.get(sub_status, sub_status),
            "totalCount": number,
        }
        for (step, status, sub_status), number in sorted(
            count(visit.db, asked, user, visit.now).items()
        )
    ]
    return listing(sum(int(str(row["totalCount"])) for row in rows), rows)


@router.get("/onegate/serviceconfigs/processes")
def receivable(
    visit: CurrentVisit,
    start: Start = 0,
    end: End = 0,
    domain: CodeText = "",
) -> Json:
    """List the services of the officer's agency with their processes."""
    officer = visit.officer()
    query = (
        select(Service, ServiceConfig, ProcessOption)
        .join(ServiceConfig, ServiceConfig.service_id == Service.service_id)
        .join(ProcessOption, ProcessOption.config_id == ServiceConfig.config_id)
        .where(ServiceConfig.agency_code == officer.agency_code)
        .order_by(ServiceConfig.config_id)
    )
    if domain:
        query = query.where(Service.domain_code == domain)
    found = visit.db.execute(query).all()
    offset, limit = page(start, end)
    rows = [
        {
            "serviceConfigId": config.config_id,
            "serviceInfoId": service.service_id,
            "serviceCode": service.code,
            "serviceInfoCode": service.code,
            "serviceInfoName": service.name,
            "domainCode": service.domain_code,
            "domainName": service.domain_name,
            "govAgencyCode": config.agency_code,
            "govAgencyName": config.agency_name,
            "serviceLevel": config.level,
            "processOptionId": option.option_id,
            "serviceProcessId": option.process_id,
            "processNo": option.process_no,
            "templateNo": option.template_no,
            "optionName": option.name,
        }
        for service, config, option in found[offset : offset + limit]
    ]
    return listing(len(found), rows)


@router.get("/dossiers/{dossier_id:int}/users")
def assigned(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """List who works on a dossier."""
    dossier = readable_dossier(visit, dossier_id)
    rows = _assigned(visit, dossier)
    return listing(len(rows), rows)


def _assigned(visit: Visit, dossier: Dossier) -> list[Json]:
    query = (
        select(User)
        .join(Assignment, Assignment.user_id == User.user_id)
        .where(Assignment.dossier_id == dossier.dossier_id)
        .order_by(User.user_id)
    )
    return [to_user(user) | {"assigned": 1} for user in visit.db.scalars(query)]


@router.post(
    "/dossiers/{dossier_id:int}/users", openapi_extra=form_schema("assignUsers!", "delegacy")
)
def assign_users(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Let officers work on a dossier too: ``assignUsers`` is a JSON list of {userId}."""
    dossier = desk_dossier(visit, dossier_id)
    known = {int(row["userId"]) for row in _assigned(visit, dossier)}
    for user_id in _officers_named(visit, dossier, form.json("assignUsers")):
        if user_id not in known:
            visit.db.add(Assignment(dossier_id=dossier_id, user_id=user_id, at=visit.now))
    visit.db.flush()
    rows = _assigned(visit, dossier)
    return listing(len(rows), rows)


@router.get("/dossiers/{dossier_id:int}/delegacy")
def delegates(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """List who acts for the officers of a dossier: nobody in this installation."""
    readable_dossier(visit, dossier_id)
    return listing(0, [])


@router.post("/dossiers/{dossier_id:int}/resync")
def resync(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """Tell other systems again what they were not told of one dossier."""
    desk_dossier(visit, dossier_id)
    return {"total": _queue_again(visit, SyncRow.dossier_id == dossier_id)}


@router.post("/dossiers/queue/republish")
def republish(visit: CurrentVisit) -> Json:
    """Tell other systems again whatever was given up, of every dossier of the officer's agency."""
    officer = visit.officer()
    mine = select(Dossier.dossier_id).where(Dossier.agency_code == officer.agency_code)
    return {"total": _queue_again(visit, SyncRow.dossier_id.in_(mine))}


def _queue_again(visit: Visit, chosen: ColumnElement[bool]) -> int:
    """Put given-up rows back into their queues; return how many."""
    result = visit.db.execute(
        update(SyncRow)
        .where(chosen, SyncRow.state == "given_up")
        .values(state="queued", attempts=0, position=visit.now),
        execution_options={"synchronize_session": False},
    )
    assert isinstance(result, CursorResult)
    return result.rowcount


@router.get("/dossiers/{dossier_id:int}/reassign")
def reassignable(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """List the officers to whom a dossier can be given."""
    dossier = desk_dossier(visit, dossier_id)
    query = select(User).where(User.role == "officer", User.agency_code == dossier.agency_code)
    rows = [to_user(user) for user in visit.db.scalars(query.order_by(User.user_id))]
    return listing(len(rows), rows)


@router.put("/dossiers/{dossier_id:int}/reassign", openapi_extra=form_schema("toUsers!"))
def reassign(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Give a dossier to other officers: ``toUsers`` is a JSON list of {userId}."""
    dossier = desk_dossier(visit, dossier_id)
    officers = _officers_named(visit, dossier, form.json("toUsers"))
    if not officers:
        raise bad_request("toUsers: names nobody")
    visit.db.execute(delete(Assignment).where(Assignment.dossier_id == dossier_id))
    for user_id in officers:
        visit.db.add(Assignment(dossier_id=dossier_id, user_id=user_id, at=visit.now))
    visit.db.flush()
    rows = _assigned(visit, dossier)
    return listing(len(rows), rows)


MAX_ASSIGNED = 50
"""Most officers of one dossier. # assumption"""


def _officers_named(visit: Visit, dossier: Dossier, value: object) -> list[int]:
    """Return the officers of a JSON list of {userId}; all must be of the dossier's agency."""
    rows = value if isinstance(value, list) else [] if value is None else [value]
    ids = [row.get("userId") if isinstance(row, dict) else row for row in rows]
    numbers = list(dict.fromkeys(number for number in map(_id, ids) if number))
    if len(numbers) != len(ids) or len(numbers) > MAX_ASSIGNED:
        raise bad_request(f"a JSON list of at most {MAX_ASSIGNED} different {{userId}} is expected")
    query = select(User.user_id).where(
        User.user_id.in_(numbers),
        User.role == "officer",
        User.agency_code == dossier.agency_code,
    )
    if len(list(visit.db.scalars(query))) != len(numbers):
        raise business_error("NoSuchUserException: not all are officers of this agency")
    return numbers


def _id(value: object) -> int:
    """Return a number of a row, or 0 for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_ID:
        return value
    return 0
