"""Dossiers and what belongs to them, as the wire shows them: names and types of OpenCPS."""

from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.portal.conventions import wire_date
from loadtests.portal.store.models import (
    Action,
    Dossier,
    DossierFile,
    DossierLog,
    Mark,
    Payment,
    User,
)
from loadtests.portal.workflow import (
    STATUS_NAMES,
    STEP_NAMES,
    SUB_STATUS_NAMES,
    State,
)
from loadtests.portal.workflow import Action as Edge

Json = dict[str, Any]
"""One JSON object of an answer."""

EDITABLE_FIELDS = frozenset(
    [
        "applicantIdDate",
        "address",
        "cityCode",
        "cityName",
        "districtCode",
        "districtName",
        "wardCode",
        "wardName",
        "contactName",
        "contactTelNo",
        "contactEmail",
        "viaPostal",
        "postalAddress",
        "postalCityCode",
        "postalCityName",
        "postalDistrictCode",
        "postalDistrictName",
        "postalWardCode",
        "postalWardName",
        "postalTelNo",
        "postalServiceCode",
        "postalServiceName",
        "isSameAsApplicant",
        "delegateName",
        "delegateIdNo",
        "delegateTelNo",
        "delegateEmail",
        "delegateAddress",
        "delegateCityCode",
        "delegateCityName",
        "delegateDistrictCode",
        "delegateDistrictName",
        "delegateWardCode",
        "delegateWardName",
        "sampleCount",
        "briefNote",
        "dossierName",
        "originDossierNo",
        "originDossierId",
        "metaData",
        "systemId",
        "serverNo",
        "dvcqgIntegration",
        "vnpostalStatus",
        "vnpostalProfile",
        "fromViaPostal",
        "formMeta",
        "postalCodeSend",
        "postalCodeReceived",
        "typeCode",
        "serviceLevel",
        "delegateType",
        "documentNo",
        "documentDate",
        "notification",
        "dossierNote",
        "submissionNote",
        "password",
        "importing",
    ]
)
"""Fields of DossierInput that are kept as they come. # source: OpenCPS, DossierInputModel."""

_HIDDEN = frozenset({"password"})

_EMPTY_DETAILS: Mapping[str, str] = dict.fromkeys(sorted(EDITABLE_FIELDS - _HIDDEN), "")


def dossier_detail(dossier: Dossier, last: Action | None = None) -> Json:
    """Return the wire's DossierDetail.

    Parameters
    ----------
    dossier : Dossier
        The dossier.
    last : Action, optional
        Its last action, where the answer should name it.
    """
    state = state_of(dossier)
    shown = {key: value for key, value in dossier.details.items() if key not in _HIDDEN}
    view: Json = {**_EMPTY_DETAILS, **shown}
    view |= _identity(dossier)
    view |= {
        "dossierStatus": state.status,
        "dossierStatusText": STATUS_NAMES.get(state.status, state.status),
        "dossierSubStatus": state.sub_status,
        "dossierSubStatusText": SUB_STATUS_NAMES.get(state.sub_status, state.sub_status),
        "stepCode": state.step,
        "stepName": STEP_NAMES.get(state.step, state.step),
        "stepInstruction": "",
        "lockState": dossier.lock_state,
        "dossierSyncState": str(dossier.sync_state),
        "submitting": dossier.sync_state == SYNC_WAITING,
        "dossierActionId": dossier.action_id,
        "durationCount": dossier.duration_count,
        "durationUnit": dossier.duration_unit,
        "permission": "write",
        "visited": True,
        "pending": False,
        "paymentFee": str(dossier.fee_vnd),
        "lastActionCode": last.code if last else "",
        "lastActionName": last.name if last else "",
        "lastActionUser": last.user_name if last else "",
        "lastActionUserId": last.user_id if last else 0,
        "lastActionNote": last.note if last else "",
        "lastActionDate": wire_date(last.at if last else None),
    }
    return view | _dates(dossier)


SYNC_NONE = 0
SYNC_WAITING = 1
SYNC_DONE = 3
"""Synchronisation with the one-stop shop. # source: OpenCPS, 0 none … 3 acknowledged, 4 error."""


def state_of(dossier: Dossier) -> State:
    """Return where a dossier stands in the workflow."""
    return State(dossier.step_code, dossier.status, dossier.sub_status)


def _identity(dossier: Dossier) -> Json:
    return {
        "dossierId": dossier.dossier_id,
        "dossierIdCTN": str(dossier.dossier_id),
        "groupId": dossier.group_id,
        "userId": dossier.user_id,
        "referenceUid": dossier.reference_uid,
        "counter": 0,
        "dossierCounter": dossier.counter or "",
        "dossierNo": dossier.dossier_no,
        "serviceCode": dossier.service_code,
        "serviceName": dossier.service_name,
        "govAgencyCode": dossier.agency_code,
        "govAgencyName": dossier.agency_name,
        "dossierTemplateNo": dossier.template_no,
        "dossierTemplateName": dossier.template_name,
        "processNo": dossier.process_no,
        "serviceProcessId": dossier.process_id,
        "originality": dossier.originality,
        "online": dossier.online,
        "applicantName": dossier.applicant_name,
        "applicantIdType": dossier.applicant_id_type,
        "applicantIdNo": dossier.applicant_id_no,
        "applicantNote": dossier.applicant_note,
    }


def _dates(dossier: Dossier) -> Json:
    return {
        "createDate": wire_date(dossier.created_at),
        "modifiedDate": wire_date(dossier.modified_at),
        "submitDate": wire_date(dossier.submit_at),
        "receiveDate": wire_date(dossier.receive_at),
        "processDate": wire_date(dossier.process_at),
        "dueDate": wire_date(dossier.due_at),
        "releaseDate": wire_date(dossier.release_at),
        "finishDate": wire_date(dossier.finish_at),
        "cancellingDate": str(dossier.details.get("cancellingDate", "")),
        "correctingDate": str(dossier.details.get("correctingDate", "")),
    }


EARLY, ON_TIME, OVERDUE = 3, 2, 1
"""How a dossier stands against its due date. # source: OpenCPS, BetimeUtils."""


def timeliness(dossier: Dossier, now: float) -> int:
    """Return ``EARLY``, ``ON_TIME`` or ``OVERDUE``; 0 where there is no due date."""
    if dossier.due_at is None:
        return 0
    end = dossier.release_at or now
    if end > dossier.due_at:
        return OVERDUE
    return EARLY if dossier.release_at is not None else ON_TIME


def dossier_row(dossier: Dossier, now: float) -> Json:
    """Return one row of a list (the wire's DossierData)."""
    overdue = timeliness(dossier, now)
    paused = dossier.status == "waiting" or bool(dossier.lock_state)
    return dossier_detail(dossier) | {
        "dossierOverdue": "paused" if paused else str(overdue) if overdue else "",
        "stepOverdue": "",
        "stepDueDate": wire_date(dossier.due_at),
    }


def action_detail(action: Action, dossier: Dossier, process_id: int) -> Json:
    """Return the wire's DossierActionDetail, the answer to an action."""
    return {
        "dossierActionId": action.action_id,
        "dossierId": dossier.dossier_id,
        "dossierDocumentId": 0,
        "groupId": dossier.group_id,
        "fromStepCode": action.from_step,
        "stepCode": action.to_step,
        "actionCode": action.code,
        "nextActionId": 0,
        "previousActionId": action.previous_action_id,
        "sequenceNo": str(action.sequence),
        "serviceProcessId": process_id,
        "dueDate": wire_date(action.due_at),
        "rollbackable": action.rollbackable,
        "dossierIds": str(dossier.dossier_id),
    }


def next_action(edge: Edge, officers: Sequence[User] = ()) -> Json:
    """Return one entry of ``nextactions``."""
    return {
        "processActionId": edge.number,
        "actionCode": edge.code,
        "actionName": edge.name,
        "preStepCode": edge.before.step,
        "postStepCode": edge.after.step,
        "autoEvent": "",
        "preCondition": "",
        "enable": 1,
        "pending": False,
        "allowAssignUser": 1 if officers else 0,
        "assignUserId": 0,
        "toUsers": [to_user(user) for user in officers],
        "createFiles": [],
        "createDossierNo": "receive" in edge.sets,
        "eSignature": False,
        "signatureType": "",
        "requestPayment": 1 if "request_payment" in edge.sets else 0,
        "syncActionCode": edge.code,
        "rollbackable": edge.actor == "officer",
        "createDossiers": "",
        "extraForm": False,
        "userNote": 1,
        "checkInput": 0,
        "postAction": "",
        "configNote": "",
    }


def to_user(user: User) -> Json:
    """Return an officer to whom work can be given."""
    return {
        "userId": user.user_id,
        "userName": user.name,
        "fullName": user.name,
        "assigned": 0,
        "moderator": False,
        "possible": True,
    }


def file_view(file: DossierFile) -> Json:
    """Return the wire's DossierFile."""
    return {
        "dossierFileId": file.file_id,
        "createDate": wire_date(file.created_at),
        "modifiedDate": wire_date(file.modified_at),
        "referenceUid": file.reference_uid,
        "dossierTemplateNo": file.template_no,
        "dossierPartNo": file.part_no,
        "dossierPartType": file.part_type,
        "dossierPartName": file.part_name,
        "fileTemplateNo": file.file_template_no,
        "displayName": file.display_name,
        "fileType": file.file_type,
        "fileSize": file.size_bytes,
        "fileVersion": str(file.file_version),
        "isNew": True,
        "signCheck": 0,
        "signInfo": "",
        "removed": file.removed,
        "eForm": file.e_form,
        "formData": file.form_data,
        "formReport": "",
        "formScript": "",
        "dossierId": file.dossier_id,
        "isSync": file.is_sync,
        "eSign": False,
    }


def mark_view(mark: Mark) -> Json:
    """Return the wire's mark of one part."""
    return {
        "dossierId": mark.dossier_id,
        "dossierPartNo": mark.part_no,
        "partType": mark.part_type,
        "fileMark": mark.file_mark,
        "fileCheck": mark.file_check,
        "fileComment": mark.file_comment,
        "recordCount": mark.record_count,
    }


def log_view(log: DossierLog) -> Json:
    """Return one line of the history."""
    return {
        "dossierLogId": log.log_id,
        "dossierId": log.dossier_id,
        "createDate": wire_date(log.at),
        "author": log.author,
        "content": log.content,
        "notificationType": log.notification_type,
        "payload": log.payload,
        "status": "",
    }


def sequence_view(action: Action) -> Json:
    """Return one step a dossier went through."""
    return {
        "sequenceNo": str(action.sequence),
        "sequenceName": STEP_NAMES.get(action.to_step, action.to_step),
        "stepCode": action.to_step,
        "actionCode": action.code,
        "actionName": action.name,
        "userName": action.user_name,
        "startDate": wire_date(action.at),
        "dueDate": wire_date(action.due_at),
    }


def payment_view(payment: Payment, dossier: Dossier) -> Json:
    """Return the wire's PaymentFile."""
    amount_vnd = payment.fee_vnd + payment.service_vnd + payment.ship_vnd - payment.advance_vnd
    return {
        "paymentFileId": payment.payment_id,
        "createDate": wire_date(payment.created_at),
        "modifiedDate": wire_date(payment.modified_at),
        "referenceUid": payment.reference_uid,
        "dossierId": payment.dossier_id,
        "govAgencyCode": dossier.agency_code,
        "govAgencyName": dossier.agency_name,
        "applicantName": dossier.applicant_name,
        "paymentFee": dossier.service_name if payment.fee_vnd else "",
        "requestPayment": payment.request_payment,
        "advanceAmount": payment.advance_vnd,
        "feeAmount": payment.fee_vnd,
        "serviceAmount": payment.service_vnd,
        "shipAmount": payment.ship_vnd,
        "paymentAmount": amount_vnd,
        "paymentNote": payment.note,
        "bankInfo": "",
        "epaymentProfile": "{}",
        "paymentStatus": payment.status,
        "paymentMethod": payment.method,
        "confirmDatetime": wire_date(payment.paid_at),
        "confirmPayload": payment.transaction_no,
        "confirmNote": "",
        "confirmFileEntryId": 1 if payment.proof_sha256 else 0,
        "approveDatetime": wire_date(payment.confirmed_at),
        "invoiceTemplateNo": "",
        "invoiceNo": "",
        "einvoice": "",
        "orderId": payment.order_id or "",
    }
