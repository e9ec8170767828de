"""What the National Public Service Portal shows, made from this portal's rows."""

import json
from collections.abc import Sequence

from loadtests.portal.service_texts import texts_of
from loadtests.portal.store.models import Dossier, Service, TemplatePart
from loadtests.portal.views import Json
from loadtests.portal.workflow import State

PUBLISHED_CITY = "019d2be3-6a85-74ec-a349-88e0abf6a032"
"""Department of the city. # source: national portal, unit H24."""

PROVINCE = ("019bad30-cd83-76ea-9f9a-bc6cebad4138", "31", "Thành phố Hải Phòng")
"""Id, code and name of the city in the address tree. # source: national portal."""

_ID_PREFIX = "019d2be3-0000-7000-8000-"
FORM_VERSION = 1
"""Version of every form's schema."""


def formality_id(service_id: int) -> str:
    """Return the national id of a service: a UUID that holds its number."""
    return f"{_ID_PREFIX}{service_id:012x}"


def service_id_of(text: str) -> int | None:
    """Return the service that a national id means, or None."""
    if not text.startswith(_ID_PREFIX) or len(text) != len(_ID_PREFIX) + 12:
        return None
    try:
        number = int(text[len(_ID_PREFIX) :], 16)
    except ValueError:
        return None
    return number if 0 < number < 2**31 else None


def item(service: Service) -> Json:
    """Return one row of the catalogue (about 700 bytes, as observed)."""
    number = formality_id(service.service_id)
    return {
        "id": number,
        "name": service.name,
        "code": service.code.split(".000.")[0],
        "codeNotation": service.code,
        "categories": [{"id": service.domain_code, "name": service.domain_name}],
        "categoryIds": [service.domain_code],
        "departments": [{"id": service.agency_code, "name": service.agency_name}],
        "departmentPromulgate": "UBND Thành phố Hải Phòng",
        "departmentPromulgateId": PUBLISHED_CITY,
        "formalityTargetType": ["VIETNAMESE_CITIZEN", "ENTERPRISE"],
        "state": "ACTIVE",
        "type": "STANDARD",
    }


def detail(service: Service, parts: Sequence[TemplatePart]) -> Json:
    """Return a whole procedure; the observed ones have 24 KB, these 5 to 15."""
    texts = texts_of(service)
    components = [component(part) for part in parts]
    days = max(1, round(service.limit_h / 8))
    method = {
        "processingTime": days,
        "processingTimeUnit": "WORKING_DAY",
        "description": texts["durationText"],
        "fees": [{"type": "FEE", "value": service.fee_vnd, "currencyId": "VND",
                  "attachment": None, "description": texts["feeText"]}],
    }  # fmt: skip
    case = {
        "id": formality_id(service.service_id),
        "name": "Trường hợp chung",
        "code": f"{service.code}.01",
        "processingDay": {"qty": days, "type": "WORKING_DAY"},
        "profileComponents": components,
    }
    return {
        **item(service),
        "formalityType": "STANDARD",
        "decisionNo": "",
        "description": texts["conditionText"],
        "executionSteps": [
            {"name": f"Bước {number}", "description": step}
            for number, step in enumerate(texts["processText"].split("\n"), 1)
        ],
        "executionMethods": [
            {"submissionMethod": name, **method} for name in ("DIRECT", "ONLINE", "POSTAL")
        ],
        "executionCases": [{"name": "Trường hợp chung", "profileComponents": components}],
        "cases": [case],
        "returningMethods": [{"type": "OFFLINE", "value": ["AT_HOME", "AT_SUBMISSION_PLACE"]}],
        "legalBasisesDetails": [{"name": texts["regularText"]}],
        "resultsDetails": [{"name": texts["resultText"]}],
        "categoriesDetails": [{"id": service.domain_code, "name": service.domain_name}],
        "subjectTypesDetails": [{"name": texts["applicantText"]}],
        "departmentsExecuting": [{"id": service.agency_code, "name": service.agency_name}],
        "departmentsAuthority": [],
        "departmentsAuthorized": [],
        "departmentsCoordinating": [],
        "isWard": False,
        "isProvince": True,
        "isMinistry": False,
        "isFullProcess": service.max_level == 4,
        "isOfflineOnly": service.max_level < 3,
        "createdAt": int(service.created_at * 1000),
        "updatedAt": int(service.created_at * 1000),
        "keywords": service.search_text,
    }


def component(part: TemplatePart) -> Json:
    """Return one component of a dossier: a paper, or a form."""
    return {
        "profileComponentId": part.part_no,
        "name": part.name,
        "code": part.file_template_no,
        "originalQty": 1,
        "copyQty": 0,
        "required": False,
        "hasElectronicForm": part.e_form,
        "isProcessingResult": False,
        "attachments": [{"id": part.file_template_no, "fileName": f"{part.name}.docx",
                         "bucketName": "formality", "filePath": part.file_template_no}],
    }  # fmt: skip


_QUESTIONS = (
    ("hoVaTen", "Họ và tên", "text"),
    ("soDinhDanh", "Số định danh cá nhân", "text"),
    ("ngaySinh", "Ngày sinh", "text"),
    ("gioiTinh", "Giới tính", "dropdown"),
    ("diaChi", "Nơi thường trú", "comment"),
    ("noiDung", "Nội dung đề nghị", "comment"),
)


def form_schema_of(service: Service) -> str:
    """Return the SurveyJS schema of a service's form as text; question names are versioned."""
    suffix = f"__{formality_id(service.service_id)}"
    elements = [
        {"type": kind, "name": f"{name}{suffix}", "title": title, "isRequired": True}
        for name, title, kind in _QUESTIONS
    ]
    schema = {"title": service.name, "pages": [{"name": "page1", "elements": elements}]}
    return json.dumps(schema, ensure_ascii=False)


_NATIONAL_STATES = {
    "": "DRAFT",
    "new": "DRAFT",
    "receiving": "PENDING_SUBMISSION",
    "waiting": "PENDING_SUPPLEMENT",
    "denied": "REJECTED",
    "done": "COMPLETED",
    "cancelled": "CANCELLED",
}
"""States of dossiers. # source: national portal for the first two; the others are assumptions."""


def national_state(state: State) -> str:
    """Return a dossier's state in the words of this façade."""
    return _NATIONAL_STATES.get(state.status, "PROCESSING")


def dossier_view(dossier: Dossier) -> Json:
    """Return one of a citizen's dossiers."""
    state = State(dossier.step_code, dossier.status, dossier.sub_status)
    return {
        "id": str(dossier.dossier_id),
        "dossierId": dossier.dossier_id,
        "referenceUid": dossier.reference_uid,
        "code": dossier.dossier_no or dossier.reference_uid,
        "state": national_state(state),
        "stepCode": dossier.step_code,
        "formalityId": formality_id(dossier.service_id),
        "formalityName": dossier.service_name,
        "departmentId": dossier.agency_code,
        "departmentName": dossier.agency_name,
        "applicantName": dossier.applicant_name,
        "applicantNote": dossier.applicant_note,
        "dossierSyncState": str(dossier.sync_state),
        "createdAt": int(dossier.created_at * 1000),
        "submittedAt": int((dossier.submit_at or 0) * 1000),
    }
