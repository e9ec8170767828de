"""Services: facets, search, detail, form templates, who offers them and how."""

import functools
import io
import zipfile
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Response
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from loadtests.portal.conventions import (
    CodeText,
    End,
    NameText,
    RowId,
    Start,
    listing,
    not_found,
    page,
    wire_date,
)
from loadtests.portal.service_texts import texts_of
from loadtests.portal.store.catalogue_rows import plain
from loadtests.portal.store.models import (
    Agency,
    FileTemplate,
    ProcessOption,
    Service,
    ServiceConfig,
    ServiceProcess,
    Tracking,
)
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit

router = PortalRouter(prefix="/o/rest/v2", tags=["catalogue"])

Json = dict[str, Any]

LEVEL_NAMES = {2: "Mức độ 2", 3: "Một phần", 4: "Toàn trình"}


@router.get("/serviceinfos/statistics/agencies")
def agencies(visit: CurrentVisit, sort: CodeText = "") -> Json:
    """Count services by agency."""
    del sort  # there is one order
    return _facet(
        visit.db,
        (Service.agency_code, "administrationCode"),
        (Service.agency_name, "administrationName"),
    )


@router.get("/serviceinfos/statistics/domains")
def domains(visit: CurrentVisit, agency: CodeText = "", sort: CodeText = "") -> Json:
    """Count services by domain, of one agency or of all."""
    del sort
    chosen = [Service.agency_code == agency] if agency else []
    return _facet(
        visit.db, (Service.domain_code, "domainCode"), (Service.domain_name, "domainName"), chosen
    )


@router.get("/serviceinfos/statistics/levels")
def levels(visit: CurrentVisit, agency: CodeText = "", domain: CodeText = "") -> Json:
    """Count services by online level."""
    query = select(Service.max_level, func.count()).group_by(Service.max_level)
    if agency:
        query = query.where(Service.agency_code == agency)
    if domain:
        query = query.where(Service.domain_code == domain)
    rows = [
        {"level": level, "levelName": LEVEL_NAMES[level], "count": count}
        for level, count in visit.db.execute(query.order_by(Service.max_level)).all()
    ]
    return listing(len(rows), rows)


def _facet(
    db: Session,
    code: tuple[Any, str],
    name: tuple[Any, str],
    chosen: Sequence[ColumnElement[bool]] = (),
) -> Json:
    columns = (code[0], name[0])
    query = select(*columns, func.count()).where(*chosen).group_by(*columns).order_by(code[0])
    rows = [
        {code[1]: key, name[1]: title, "count": count}
        for key, title, count in db.execute(query).all()
    ]
    return listing(len(rows), rows)


@router.get("/onegate/serviceconfigs/govagencies")
def receiving_agencies(visit: CurrentVisit) -> Json:
    """List the agencies that receive dossiers."""
    found = visit.db.scalars(select(Agency).order_by(Agency.code)).all()
    rows = [{"govAgencyCode": one.code, "govAgencyName": one.name} for one in found]
    return listing(len(rows), rows)


@router.get("/serviceinfos")
def services(  # the query's names are those of the wire
    visit: CurrentVisit,
    start: Start = 0,
    end: End = 0,
    keyword: NameText = "",
    administration: CodeText = "",
    agency: CodeText = "",
    domain: CodeText = "",
    level: Annotated[int, Query(ge=0, le=9)] = 0,
    tag_code: Annotated[CodeText, Query(alias="tagCode")] = "",
    sort: CodeText = "",
    order: CodeText = "",
) -> Json:
    """Search services, one page of them; ``end=0`` asks for all."""
    del sort
    conditions: list[ColumnElement[bool]] = _matching(keyword, agency or administration, domain)
    if level:
        conditions.append(Service.max_level == level)
    if tag_code:
        conditions.append(Service.tag_code == tag_code)
    if agency and "service-counts" in visit.settings.slow_modes:
        _count_one_by_one(visit.db, agency)
    query = select(Service).where(*conditions)
    total = _count(visit.db, query)
    direction = Service.code.desc() if order.lower() == "true" else Service.code
    offset, limit = page(start, end)
    found = visit.db.scalars(query.order_by(direction).offset(offset).limit(limit)).all()
    configs = _configs_of(visit.db, found)
    rows = [_service_info(service, configs.get(service.service_id, [])) for service in found]
    _track(visit, "list")
    return listing(total, rows)


def _matching(keyword: str, agency: str, domain: str) -> list[ColumnElement[bool]]:
    """Return the conditions of a search; every word of the keyword must occur."""
    conditions: list[ColumnElement[bool]] = [
        Service.search_text.contains(word, autoescape=True) for word in plain(keyword).split()[:20]
    ]
    if agency:
        conditions.append(Service.agency_code == agency)
    if domain:
        conditions.append(Service.domain_code == domain)
    return conditions


def _count(db: Session, query: Select[Any]) -> int:
    return db.execute(select(func.count()).select_from(query.subquery())).scalar_one()


def _count_one_by_one(db: Session, agency: str) -> None:
    """Count offers service by service, as the published server does before it pages in memory."""
    for service_id in db.scalars(select(Service.service_id)).all():
        offered = (ServiceConfig.service_id == service_id, ServiceConfig.agency_code == agency)
        db.execute(select(func.count()).select_from(ServiceConfig).where(*offered)).scalar_one()


def _configs_of(db: Session, found: Sequence[Service]) -> dict[int, list[ServiceConfig]]:
    if not found:
        return {}
    ids = [service.service_id for service in found]
    query = select(ServiceConfig).where(ServiceConfig.service_id.between(min(ids), max(ids)))
    configs: dict[int, list[ServiceConfig]] = {}
    for config in db.scalars(query).all():
        configs.setdefault(config.service_id, []).append(config)
    return configs


def _service_info(service: Service, configs: Sequence[ServiceConfig]) -> Json:
    """Return the wire's ServiceInfo."""
    created = wire_date(service.created_at)
    return {
        "serviceInfoId": service.service_id,
        "createDate": created,
        "modifiedDate": created,
        "serviceCode": service.code,
        "serviceName": service.name,
        "serviceCodeDVCQG": service.code,
        "serviceNameDVCQG": service.name,
        "administrationCode": service.agency_code,
        "administrationName": service.agency_name,
        "domainCode": service.domain_code,
        "domainName": service.domain_name,
        "maxLevel": service.max_level,
        "tagCode": service.tag_code,
        "tagName": service.tag_code,
        "mappingClassPK": service.service_id,
        "synced": 1,
        "active": True,
        **texts_of(service),
        "serviceConfigs": [_offer(config) for config in configs],
    }


def _offer(config: ServiceConfig) -> Json:
    return {
        "serviceConfigId": config.config_id,
        "govAgencyCode": config.agency_code,
        "govAgencyName": config.agency_name,
        "serviceInstruction": "",
        "serviceLevel": config.level,
        "serviceUrl": "",
    }


def _track(visit: Visit, kind: str, service_id: int = 0) -> None:
    """Write that somebody looked, after giving the reading connection back."""
    if not visit.settings.tracks_reads:
        return
    visit.close()
    user_id = 0 if visit.user is None else visit.user.user_id
    with visit.world.database.writing() as db:
        db.add(Tracking(at=visit.now, kind=kind, user_id=user_id, service_id=service_id))


def find_service(db: Session, id_or_code: str) -> Service:
    """Return the service with this number or code, or answer 403."""
    found = db.scalars(select(Service).where(Service.code == id_or_code)).first()
    if found is None and id_or_code.isascii() and id_or_code.isdigit() and len(id_or_code) < 10:
        found = db.get(Service, int(id_or_code))
    if found is None:
        raise not_found("ServiceInfo", id_or_code)
    return found


@router.get("/serviceinfos/{id_or_code}")
def service(visit: CurrentVisit, id_or_code: CodeText) -> Json:
    """Return one service with who offers it and its form templates."""
    found = find_service(visit.db, id_or_code)
    configs = visit.db.scalars(
        select(ServiceConfig).where(ServiceConfig.service_id == found.service_id)
    ).all()
    forms = visit.db.scalars(
        select(FileTemplate).where(FileTemplate.service_id == found.service_id)
    ).all()
    body = _service_info(found, configs) | {
        "govAgencyText": ", ".join(config.agency_name for config in configs),
        "isNotarization": False,
        "fileTemplates": [_form(form) for form in forms],
    }
    _track(visit, "detail", found.service_id)
    return body


@router.get("/serviceinfos/{id_or_code}/filetemplates")
def form_templates(
    visit: CurrentVisit,
    id_or_code: CodeText,
    e_form: Annotated[bool | None, Query(alias="eForm")] = None,
) -> Json:
    """List the blank forms of a service."""
    found = find_service(visit.db, id_or_code)
    query = select(FileTemplate).where(FileTemplate.service_id == found.service_id)
    if e_form is not None:
        query = query.where(FileTemplate.e_form == e_form)
    forms = visit.db.scalars(query.order_by(FileTemplate.file_template_no)).all()
    return listing(len(forms), [_form(form) for form in forms])


def _form(form: FileTemplate) -> Json:
    return {
        "fileTemplateNo": form.file_template_no,
        "templateName": form.name,
        "fileType": form.file_type,
        "fileSize": form.size_bytes,
        "eForm": form.e_form,
        "formScriptFileId": form.file_template_id if form.e_form else 0,
        "formReportFileId": form.file_template_id if form.e_form else 0,
        "eFormNoPattern": "",
        "eFormNamePattern": "",
    }


@router.get("/serviceinfos/{id_or_code}/filetemplates/{file_template_no}", response_class=Response)
def form_template(
    visit: CurrentVisit, id_or_code: CodeText, file_template_no: CodeText
) -> Response:
    """Download a blank form."""
    found = find_service(visit.db, id_or_code)
    form = visit.db.scalars(
        select(FileTemplate).where(
            FileTemplate.service_id == found.service_id,
            FileTemplate.file_template_no == file_template_no,
        )
    ).first()
    if form is None:
        raise not_found("ServiceFileTemplate", file_template_no)
    name = f'attachment; filename="{form.file_template_no}.{form.file_type}"'
    return Response(
        blank_form(form.size_bytes),
        headers={"Content-Disposition": name},
        media_type="application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    )


@functools.lru_cache(maxsize=16)
def blank_form(size_bytes: int) -> bytes:
    """Return a Word document of about this size."""
    text = "<w:p><w:r><w:t>...............................</w:t></w:r></w:p>"
    name = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    repeats = max(size_bytes // len(text), 1)
    document = f'<w:document xmlns:w="{name}"><w:body>{text * repeats}</w:body></w:document>'
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("word/document.xml"), document)
    return packed.getvalue()


@router.get("/serviceconfigs")
def service_configs(  # the query's names are those of the wire
    visit: CurrentVisit,
    start: Start = 0,
    end: End = 0,
    agency: CodeText = "",
    keyword: NameText = "",
    domain: CodeText = "",
    level: CodeText = "",
    service_config_id: Annotated[int, Query(alias="serviceConfigId", ge=0, le=2**31 - 1)] = 0,
    service: CodeText = "",
) -> Json:
    """List offered services, one page of them; ``level`` is a comma list."""
    conditions = _matching(keyword, "", domain)
    wanted = [int(text) for text in level.split(",") if text.strip() in ("2", "3", "4")]
    if wanted:
        conditions.append(ServiceConfig.level.in_(wanted))
    if agency:
        conditions.append(ServiceConfig.agency_code == agency)
    if service_config_id:
        conditions.append(ServiceConfig.config_id == service_config_id)
    if service:
        conditions.append(Service.code == service)
    query = (
        select(ServiceConfig, Service)
        .join(Service, Service.service_id == ServiceConfig.service_id)
        .where(*conditions)
    )
    total = _count(visit.db, query.with_only_columns(ServiceConfig.config_id))
    offset, limit = page(start, end)
    found = visit.db.execute(query.order_by(Service.code).offset(offset).limit(limit)).all()
    return listing(total, [_config(config, offered) for config, offered in found])


def _config(config: ServiceConfig, service: Service) -> Json:
    """Return the wire's ServiceConfig."""
    return _offer(config) | {
        "serviceInfoId": service.service_id,
        "serviceCode": service.code,
        "serviceName": service.name,
        "domainCode": service.domain_code,
        "domainName": service.domain_name,
        "maxLevel": service.max_level,
        "forCitizen": True,
        "forBusiness": True,
        "postService": True,
        "registration": False,
    }


@router.get("/serviceconfigs/{config_id}/processes")
def process_options(visit: CurrentVisit, config_id: RowId) -> Json:
    """List how an offered service can be filed."""
    query = (
        select(ProcessOption, ServiceProcess)
        .join(ServiceProcess, ServiceProcess.process_id == ProcessOption.process_id)
        .where(ProcessOption.config_id == config_id)
        .order_by(ProcessOption.option_id)
    )
    found = visit.db.execute(query).all()
    rows = [_option(number, option, process) for number, (option, process) in enumerate(found, 1)]
    return listing(len(rows), rows)


def _option(number: int, option: ProcessOption, process: ServiceProcess) -> Json:
    return {
        "processOptionId": option.option_id,
        "optionName": option.name,
        "seqOrder": number,
        "autoSelect": "",
        "instructionNote": "",
        "submissionNote": "",
        "dossierTemplateId": option.template_id,
        "templateNo": option.template_no,
        "templateName": option.name,
        "serviceProcessId": option.process_id,
        "processNo": option.process_no,
        "processName": process.name,
        "sampleCount": 1,
        "registerBookCode": "",
    }
