"""Asking others: population data base, business register, shared data, the one-stop server."""

import re
from typing import Annotated

from fastapi import Path, Query, Response
from sqlalchemy import select

from loadtests.portal.access import readable_dossier
from loadtests.portal.conventions import (
    CodeText,
    business_error,
    json_answer,
    listing,
    not_allowed,
    not_found,
)
from loadtests.portal.forms import FormBody, JsonBody, form_schema, json_schema
from loadtests.portal.gateway_client import GatewayError
from loadtests.portal.store.models import Agency, Service
from loadtests.portal.views import Json, dossier_detail
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit
from loadtests.portal.warehouse_lookup import records_of

router = PortalRouter(prefix="/o/rest/v2", tags=["look-ups"])

Code = Annotated[CodeText, Path()]

WHOLE_NUMBER = re.compile(r"[0-9]{9}|[0-9]{12}")
"""A personal number: 12 digits, or 9 of an old card."""

TAX_CODE = re.compile(r"[0-9]{10}(-[0-9]{3})?")

_ERRORS = {
    "MaDVC": "001",
    "GovAgencyCode": "002",
    "StaffEmail": "003",
}
"""Error codes of missing fields. # source: OpenCPS, QLCDManagementImpl."""

UNKNOWN_SERVICE = "004"
NOT_REACHED = "500"
"""Error code of a register that did not answer. # assumption"""

SHARED_SET = "DS001"
"""Which shared-data set is asked besides."""

_CITIZEN_FIELDS = json_schema(
    MaYeuCau="string", MaTichHop="string", StaffEmail="string", GovAgencyCode="string",
    MaDVC="string", HoVaTen="string", type="string", NgayThangNamSinh="string",
    SoDinhDanh="string", SoCMND="string",
)  # fmt: skip


def _refused(code: str) -> Response:
    """Return an error in the words of this interface: 400."""
    return json_answer({"message": "Error", "errorCode": code}, status=400)


@router.post("/qldc/dvcqg", openapi_extra=_CITIZEN_FIELDS)
def citizen_for_form(visit: CurrentVisit, body: JsonBody) -> object:
    """Look a citizen up while a form is filled in."""
    return _citizen(visit, body)


@router.post("/qldc", openapi_extra=_CITIZEN_FIELDS)
def citizen(visit: CurrentVisit, body: JsonBody) -> object:
    """Look a citizen up in the population data base."""
    return _citizen(visit, body)


def _citizen(visit: Visit, body: Json) -> object:
    visit.signed_in()
    visit.begin_reading()
    for name, code in _ERRORS.items():
        if not _text(body, name):
            return _refused(code)
    if visit.db.scalar(select(Service.code).where(Service.code == _text(body, "MaDVC"))) is None:
        return _refused(UNKNOWN_SERVICE)
    number = _text(body, "SoDinhDanh") or _text(body, "SoCMND")
    if not WHOLE_NUMBER.fullmatch(number):
        return _refused("006")
    visit.close()
    try:
        found = visit.gateways.population(
            number, _text(body, "HoVaTen"), _text(body, "NgayThangNamSinh")
        )
    except GatewayError:
        return _refused(NOT_REACHED)
    person = found.get("CongDan") or {}
    return {
        "Body": {"Envelope": {"CongdanCollection": {"CongDan": person}}},
        "DuLieuDungChung": _shared(visit, number),
    }


def _shared(visit: Visit, subject: str) -> object:
    """Return what the shared-data platform adds; nothing when it does not answer."""
    try:
        return visit.gateways.shared_data(SHARED_SET, subject).get("data") or {}
    except GatewayError:
        return {}


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    return "" if value is None or isinstance(value, dict | list) else str(value).strip()


@router.get("/qldc/role/employee")
def may_look_up(
    visit: CurrentVisit, service_code: Annotated[CodeText, Query(alias="serviceCode")] = ""
) -> Json:
    """Tell whether an officer may look citizens up for a service."""
    visit.officer()
    known = visit.db.scalar(select(Service.code).where(Service.code == service_code))
    return {"serviceCode": service_code, "hasPermission": known is not None}


@router.post("/qldc/doanhnghiep", openapi_extra=json_schema(type="string", msdn="string"))
def enterprise(visit: CurrentVisit, body: JsonBody) -> object:
    """Look an enterprise up in the business register."""
    visit.signed_in()
    tax_code = _text(body, "msdn")
    if not TAX_CODE.fullmatch(tax_code):
        return _refused("006")
    try:
        return visit.gateways.enterprise(tax_code)
    except GatewayError:
        return _refused(NOT_REACHED)


@router.get("/applicants/checkenterprisedvcqg")
def is_enterprise(visit: CurrentVisit) -> Json:
    """Tell whether who is signed in is an enterprise."""
    user = visit.signed_in()
    return {"isEnterprise": user.id_type == "business", "applicantIdNo": user.id_no}


@router.get("/applicants/enterprisedvcqg/{tax_code}")
def enterprise_by_code(visit: CurrentVisit, tax_code: Code) -> object:
    """Look an enterprise up."""
    visit.signed_in()
    if not TAX_CODE.fullmatch(tax_code):
        raise not_found("Enterprise", tax_code)
    try:
        return visit.gateways.enterprise(tax_code)
    except GatewayError as error:
        raise business_error(f"EnterpriseException: {error.kind}") from error


@router.get("/applicants/ngsp/{id_no}")
def applicant_by_number(visit: CurrentVisit, id_no: Code) -> object:
    """Look an applicant up: oneself, or as an officer anybody."""
    user = visit.signed_in()
    if id_no != user.id_no and not user.is_officer:
        raise not_allowed()
    if not WHOLE_NUMBER.fullmatch(id_no):
        raise not_found("Applicant", id_no)
    try:
        return visit.gateways.population(id_no)
    except GatewayError as error:
        raise business_error(f"ApplicantException: {error.kind}") from error


@router.get("/shareddata/{subject}")
def shared_records(visit: CurrentVisit, subject: Code) -> Json:
    """List what the city's warehouse knows about oneself, or for officers about anybody."""
    user = visit.signed_in()
    if subject != user.id_no and not user.is_officer:
        raise not_allowed()
    rows = records_of(visit.db, subject)
    return listing(len(rows), rows)


_FORWARDED = re.compile(r"/dossiers/([0-9]{1,9})/?")


@router.post("/proxy", openapi_extra=form_schema("method!", "url!", "serverCode!", "data"))
def proxy(visit: CurrentVisit, form: FormBody) -> Json:
    """Ask the one-stop server of an agency for a dossier; nothing else is ever asked.

    The servers are ``SERVER_`` and the code of an agency of this installation, so the answer comes
    from here and no request leaves the portal.
    """
    agency_code = form.required("serverCode").removeprefix("SERVER_")
    agency = visit.db.get(Agency, agency_code)
    match = _FORWARDED.fullmatch(form.line("url").strip())
    if agency is None or match is None or form.required("method").upper() != "GET":
        raise business_error("ProxyException: no such server, or nothing that is forwarded")
    dossier = readable_dossier(visit, int(match[1]))
    if dossier.agency_code != agency_code:
        raise not_found("Dossier", match[1])
    return dossier_detail(dossier)
