"""Dossiers: create, read, fill, delete; their templates, flags and electronic forms' scripts."""

import json
from typing import Annotated

from fastapi import Path, Query
from sqlalchemy import select

from loadtests.portal.access import (
    group_id_of,
    is_at_desk,
    readable_dossier,
    writable_dossier,
)
from loadtests.portal.attachments import check_editable
from loadtests.portal.conventions import (
    CodeText,
    RowId,
    bad_request,
    business_error,
    not_found,
)
from loadtests.portal.dossiers import (
    AT_THE_COUNTER,
    ONLINE,
    NewDossier,
    create_draft,
    delete_draft,
    fill_from_form,
    metadata_value,
    set_metadata,
)
from loadtests.portal.forms import Fields, FormBody, form_schema, parsed_json
from loadtests.portal.store.models import Action, Dossier, Template, TemplatePart
from loadtests.portal.views import Json, dossier_detail
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit

router = PortalRouter(prefix="/o/rest/v2", tags=["dossiers"])

PartNo = Annotated[CodeText, Path()]

CREATE_FIELDS = (
    "serviceCode!",
    "govAgencyCode",
    "dossierTemplateNo",
    "originality",
    "referenceUid",
)
APPLICANT_FIELDS = (
    "applicantName", "applicantIdType", "applicantIdNo", "applicantIdDate", "address", "cityCode",
    "districtCode", "wardCode", "contactName", "contactTelNo", "contactEmail", "applicantNote",
    "viaPostal", "postalAddress", "postalCityCode", "postalTelNo", "delegateName", "delegateIdNo",
    "delegateTelNo", "delegateEmail", "delegateAddress", "sampleCount", "briefNote",
    "dossierName", "formMeta", "metaData",
)  # fmt: skip


@router.post("/dossiers", openapi_extra=form_schema(*CREATE_FIELDS, *APPLICANT_FIELDS))
def create(visit: CurrentVisit, form: FormBody) -> Json:
    """Create a draft, or return the unsent one of the same user, service and agency."""
    user = visit.signed_in()
    new = new_dossier(visit, form)
    dossier = create_draft(visit.db, visit.world.rules, user, new, visit.now)
    fill_from_form(dossier, form, visit.now)
    visit.db.flush()
    return dossier_detail(dossier)


def new_dossier(visit: Visit, form: Fields) -> NewDossier:
    """Return what a form asks to be created."""
    originality = form.integer("originality", ONLINE)
    if originality not in (ONLINE, AT_THE_COUNTER):
        raise business_error(f"OriginalityException: {originality} cannot be created here")
    if originality == AT_THE_COUNTER:
        visit.officer()
    return NewDossier(
        service_code=form.required("serviceCode"),
        agency_code=form.code("govAgencyCode"),
        template_no=form.code("dossierTemplateNo"),
        originality=originality,
        reference_uid=form.code("referenceUid"),
        group_id=group_id_of(visit),
    )


@router.get("/dossiers/{dossier_id:int}")
def detail(
    visit: CurrentVisit,
    dossier_id: RowId,
    secret: Annotated[CodeText, Query(alias="secretKey")] = "",
) -> Json:
    """Return a dossier."""
    return with_last_action(visit, readable_dossier(visit, dossier_id, secret))


def with_last_action(visit: Visit, dossier: Dossier) -> Json:
    """Return a dossier and the name of its last action."""
    last = visit.db.get(Action, dossier.action_id) if dossier.action_id else None
    return dossier_detail(dossier, last)


@router.put("/dossiers/{dossier_id:int}", openapi_extra=form_schema(*APPLICANT_FIELDS))
def save(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Write the applicant's, delegate's and postal fields."""
    dossier = writable_dossier(visit, dossier_id)
    check_editable(dossier, by_officer=is_at_desk(visit, dossier))
    fill_from_form(dossier, form, visit.now)
    visit.db.flush()
    return with_last_action(visit, dossier)


@router.delete("/dossiers/{dossier_id:int}")
def delete(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """Delete a draft with all that belongs to it."""
    dossier = writable_dossier(visit, dossier_id)
    view = dossier_detail(dossier)
    delete_draft(visit.db, dossier)
    return view


@router.get("/dossiers/{dossier_id:int}/metadata/{key}")
def metadata(visit: CurrentVisit, dossier_id: RowId, key: CodeText) -> str:
    """Return one flag as text."""
    dossier = readable_dossier(visit, dossier_id)
    return metadata_value(visit.db, dossier.dossier_id, key)


@router.put(
    "/dossiers/{dossier_id:int}/metadata", openapi_extra=form_schema("data!", "key", "value")
)
def save_metadata(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Write flags: ``data`` is a JSON object, or ``key`` and ``value`` name one."""
    dossier = writable_dossier(visit, dossier_id)
    if "data" in form:
        values = parsed_json(form.text("data"), "data")
        if not isinstance(values, dict):
            raise bad_request("data: must be a JSON object")
    else:
        values = {form.required("key"): form.text("value")}
    texts = {key: value if isinstance(value, str) else json.dumps(value)
             for key, value in values.items()}  # fmt: skip
    if any(len(key) > 120 for key in texts):
        raise bad_request("data: a key has at most 120 characters")
    set_metadata(visit.db, dossier.dossier_id, texts)
    return texts


@router.get("/dossiertemplates/{template_no}")
def template(visit: CurrentVisit, template_no: CodeText) -> Json:
    """Return a template and its parts."""
    found = visit.db.scalars(select(Template).where(Template.template_no == template_no)).first()
    if found is None:
        raise not_found("DossierTemplate", template_no)
    query = select(TemplatePart).where(TemplatePart.template_no == template_no)
    parts = visit.db.scalars(query.order_by(TemplatePart.part_no))
    return {
        "dossierTemplateId": found.template_id,
        "templateNo": found.template_no,
        "templateName": found.name,
        "description": "",
        "newFormScript": "",
        "formMeta": "",
        "dossierParts": [_part(part) for part in parts],
    }


def _part(part: TemplatePart) -> Json:
    tip = {"tip": "", "maxSize": part.max_size_mb, "extensions": part.extensions}
    is_form = "true" if part.e_form else "false"
    return {
        "partNo": part.part_no,
        "partName": part.name,
        "partTip": json.dumps(tip, separators=(",", ":")),
        "partType": part.part_type,
        "multiple": "true" if part.multiple else "false",
        "required": "true" if part.required else "false",
        "fileTemplateNo": part.file_template_no,
        "esign": "false",
        "hasForm": is_form,
        "typeCode": "",
        "deliverableAction": 0,
        "fileMark": 0,
        "eForm": is_form,
        "deliverableType": "",
        "deliverableTypeName": "",
    }


@router.get("/dossiertemplates/{template_no}/parts/{part_no}/formscript")
def form_script(visit: CurrentVisit, template_no: CodeText, part_no: PartNo) -> str:
    """Return the script of an electronic form: an Alpaca form as JSON text."""
    query = select(TemplatePart).where(
        TemplatePart.template_no == template_no, TemplatePart.part_no == part_no
    )
    part = visit.db.scalars(query).first()
    if part is None:
        raise not_found("DossierPart", part_no)
    return json.dumps(_script(part.name), ensure_ascii=False)


FORM_FIELDS = (
    ("hoVaTen", "Họ và tên"),
    ("soDinhDanh", "Số định danh cá nhân"),
    ("ngaySinh", "Ngày sinh"),
    ("gioiTinh", "Giới tính"),
    ("diaChi", "Địa chỉ thường trú"),
    ("maXa", "Đơn vị hành chính cấp xã"),
    ("dienThoai", "Số điện thoại"),
    ("thuDienTu", "Thư điện tử"),
    ("noiDung", "Nội dung đề nghị"),
)
"""Fields of every electronic form. # assumption: what most declarations ask for"""


def _script(title: str) -> Json:
    properties = {name: {"type": "string", "title": label} for name, label in FORM_FIELDS}
    return {
        "schema": {"title": title, "type": "object", "properties": properties},
        "options": {"fields": {name: {"type": "text"} for name, _ in FORM_FIELDS}},
        "view": "bootstrap-edit",
    }
