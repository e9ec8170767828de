"""A thin façade of the National Public Service Portal, its reading side: POST, JSON, 201.

Every answer is ``{code: "OK", message: "OK", data}``; lists go on behind ``lastId``.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from sqlalchemy import func, select

from loadtests.portal.conventions import (
    bad_request,
    gateway_failed,
    json_answer,
    not_found,
    row_id,
)
from loadtests.portal.forms import JsonBody, json_schema
from loadtests.portal.gateway_client import GatewayError
from loadtests.portal.national_views import (
    FORM_VERSION,
    PROVINCE,
    detail,
    form_schema_of,
    formality_id,
    item,
    service_id_of,
)
from loadtests.portal.store.catalogue_rows import plain
from loadtests.portal.store.models import (
    Agency,
    Dossier,
    FileTemplate,
    ProcessOption,
    Service,
    ServiceConfig,
    TemplatePart,
)
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit

router = PortalRouter(prefix="/api/v1", tags=["national"])

DEFAULT_LIMIT = 20
MOST_ROWS = 200
"""Rows of one page. # source: 20 to 200 are used by the national portal's clients."""


def ok(data: object) -> Response:
    """Return a success of the façade."""
    return json_answer({"code": "OK", "message": "OK", "data": data}, status=201)


def text_of(body: Mapping[str, Any], name: str, limit: int = 500) -> str:
    """Return a field as text, at most ``limit`` characters; empty when it is absent or no text."""
    value = body.get(name)
    if value is None or isinstance(value, dict | list | bool):
        return ""
    text = str(value).strip()
    if len(text) > limit:
        raise bad_request(f"{name}: at most {limit} characters")
    return text


def limit_of(body: Mapping[str, Any]) -> int:
    """Return how many rows a page has."""
    limit = row_id(text_of(body, "limit")) if text_of(body, "limit") else DEFAULT_LIMIT
    if limit is None or not 1 <= limit <= MOST_ROWS:
        raise bad_request(f"limit: 1 to {MOST_ROWS}")
    return limit


def service_named(visit: Visit, text: str) -> Service:
    """Return the service with a national id, or with a code.

    Raises
    ------
    WireError
        403, when there is none.
    """
    number = service_id_of(text)
    condition = Service.code == text if number is None else Service.service_id == number
    service = visit.db.scalars(select(Service).where(condition)).first()
    if service is None:
        raise not_found("Formality", text[:100])
    return service


_PAGE = json_schema(limit="integer", lastId="string", q="string", categoryId="string",
                    departmentCode="string")  # fmt: skip


@router.post(
    "/submitting/formality/list-all-public-formality-by-citizen",
    status_code=201,
    openapi_extra=_PAGE,
)
@router.post(
    "/submitting/formality/list-all-formality-by-citizen", status_code=201, openapi_extra=_PAGE
)
def formalities(visit: CurrentVisit, body: JsonBody) -> Response:
    """List services, one page behind ``lastId``."""
    visit.begin_reading()
    conditions = []
    if search := text_of(body, "q"):
        conditions.append(Service.search_text.contains(plain(search), autoescape=True))
    if category := text_of(body, "categoryId"):
        conditions.append(Service.domain_code == category)
    if department := text_of(body, "departmentCode"):
        conditions.append(Service.agency_code == department)
    total = visit.db.scalar(select(func.count()).select_from(Service).where(*conditions)) or 0
    after = service_id_of(text_of(body, "lastId")) or 0
    query = select(Service).where(*conditions, Service.service_id > after)
    rows = visit.db.scalars(query.order_by(Service.service_id).limit(limit_of(body))).all()
    last_id = formality_id(rows[-1].service_id) if rows else text_of(body, "lastId")
    return ok({"items": [item(row) for row in rows], "lastId": last_id, "total": total})


@router.post(
    "/configuring/formality/get-formality-by-citizen",
    status_code=201,
    openapi_extra=json_schema(id="string"),
)
def formality(visit: CurrentVisit, body: JsonBody) -> Response:
    """Return one service with all its texts and components."""
    visit.begin_reading()
    service = service_named(visit, text_of(body, "id"))
    return ok(detail(service, _parts(visit, service)))


def _parts(visit: Visit, service: Service) -> list[TemplatePart]:
    query = (
        select(TemplatePart)
        .join(ProcessOption, ProcessOption.template_no == TemplatePart.template_no)
        .join(ServiceConfig, ServiceConfig.config_id == ProcessOption.config_id)
        .where(ServiceConfig.service_id == service.service_id)
        .order_by(TemplatePart.part_no)
    )
    return list(visit.db.scalars(query))


@router.post(
    "/configuring/formality/get-formality-form-by-citizen",
    status_code=201,
    openapi_extra=json_schema(id="string", formalityCaseId="string"),
)
def formality_form(visit: CurrentVisit, body: JsonBody) -> Response:
    """Return the schema of a service's form."""
    visit.begin_reading()
    service = service_named(visit, text_of(body, "formalityCaseId") or text_of(body, "id"))
    number = formality_id(service.service_id)
    return ok({"id": number, "version": FORM_VERSION, "formJson": form_schema_of(service)})


@router.post(
    "/configuring/province-vn/list-by-citizen",
    status_code=201,
    openapi_extra=json_schema(limit="integer", lastId="string"),
)
def provinces(visit: CurrentVisit, body: JsonBody) -> Response:
    """List provinces: this installation knows its own city."""
    del visit
    limit_of(body)
    number, code, name = PROVINCE
    rows = [{"id": number, "name": name, "code": code, "state": "ACTIVE"}]
    return ok({"rows": rows, "lastId": number, "total": len(rows)})


@router.post(
    "/configuring/citizen/department/list-with-location",
    status_code=201,
    openapi_extra=json_schema(limit="integer", lastId="string"),
)
def departments(visit: CurrentVisit, body: JsonBody) -> Response:
    """List agencies."""
    visit.begin_reading()
    query = select(Agency).where(Agency.code > text_of(body, "lastId")).order_by(Agency.code)
    found = visit.db.scalars(query.limit(limit_of(body))).all()
    rows = [
        {"id": row.code, "name": row.name, "code": row.code, "level": row.level, "hasChild": False}
        for row in found
    ]
    total = visit.db.scalar(select(func.count()).select_from(Agency)) or 0
    return ok({"rows": rows, "lastId": rows[-1]["id"] if rows else "", "total": total})


@router.post(
    "/configuring/citizen/get-citizen-by-code",
    status_code=201,
    openapi_extra=json_schema(code="string", name="string", birthDate="string"),
)
def citizen(visit: CurrentVisit, body: JsonBody) -> Response:
    """Look a citizen up; the form locks what comes back."""
    visit.signed_in()
    number = text_of(body, "code")
    if len(number) != 12 or row_id(number[3:]) is None:
        raise bad_request("code: a personal number has 12 digits")
    try:
        found = visit.gateways.population(number, text_of(body, "name"), text_of(body, "birthDate"))
    except GatewayError as error:
        raise gateway_failed(f"CitizenException: {error.kind}") from error
    return ok(found.get("CongDan"))


FORM_BYTES = 20_480
"""Size of a blank form. # source: typical .docx form of the national portal."""


@router.post(
    "/submitting/preview-attachment",
    status_code=201,
    response_class=Response,
    openapi_extra=json_schema(fileId="string"),
)
def blank_form(visit: CurrentVisit, body: JsonBody) -> Response:
    """Return a blank form's bytes."""
    visit.begin_reading()
    file_id = text_of(body, "fileId")
    query = select(FileTemplate).where(FileTemplate.file_template_no == file_id)
    template = visit.db.scalars(query).first()
    if template is None:
        raise not_found("Attachment", file_id[:100])
    content = template.name.encode().ljust(template.size_bytes or FORM_BYTES)
    return Response(content, 201, media_type="application/octet-stream")


REPORTS = (
    "transparency", "handling-satisfaction", "dossier-digitized", "dvc-progress-tree",
    "provide-online-tree", "formality-online-payment-tree", "service-results",
)  # fmt: skip


@router.post(
    "/reporting/evaluation/{report}",
    status_code=201,
    openapi_extra=json_schema(timeType="string", year="integer", rootDepartmentId="string",
                              currentPage="integer", pageSize="integer"),
)  # fmt: skip
def evaluation(visit: CurrentVisit, report: str, body: JsonBody) -> Response:
    """Return a report: counts of dossiers by agency."""
    if report not in REPORTS:
        raise not_found("Report", report[:100])
    visit.begin_reading()
    columns = (Dossier.agency_code, Dossier.agency_name)
    query = (
        select(*columns, func.count(), func.count(Dossier.release_at))
        .where(Dossier.submit_at.is_not(None))
        .group_by(*columns)
        .order_by(Dossier.agency_code)
    )
    rows = [
        {"departmentId": code, "departmentName": name, "total": total, "released": released}
        for code, name, total, released in visit.db.execute(query)
    ]
    return ok({"report": report, "year": text_of(body, "year"), "rows": rows, "total": len(rows)})
