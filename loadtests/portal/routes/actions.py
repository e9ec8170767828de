"""What can be done with a dossier at its step, and doing it."""

import json
from typing import Annotated

from fastapi import Path
from sqlalchemy import select

from loadtests.portal.access import (
    asked_by,
    desk_dossier,
    is_at_desk,
    readable_dossier,
    writable_dossier,
)
from loadtests.portal.conventions import (
    CodeText,
    RowId,
    action_refused,
    bad_request,
    business_error,
    listing,
    not_found,
    row_id,
    wire_date,
)
from loadtests.portal.filing import SEND, send
from loadtests.portal.forms import FormBody, form_schema
from loadtests.portal.store.models import Action, Dossier, Payment, User
from loadtests.portal.transitions import act, go_to, roll_back
from loadtests.portal.views import (
    Json,
    action_detail,
    dossier_detail,
    next_action,
    sequence_view,
    state_of,
    to_user,
)
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit
from loadtests.portal.workflow import (
    ACTIONS,
    EDIT_CODE,
    STEP_NAMES,
    Actor,
    next_actions,
)

router = PortalRouter(prefix="/o/rest/v2", tags=["actions"])

Code = Annotated[CodeText, Path()]
_DOSSIER = "/dossiers/{dossier_id:int}"
_ACTION_FIELDS = (
    "actionCode!", "actionUser", "actionNote", "payload", "assignUsers", "security", "payment",
    "createDossiers", "dossierIds", "receiveDate", "checkRequried",
)  # fmt: skip

MAX_GROUP = 100
"""Most dossiers of one batch. # assumption"""


def _actor(visit: Visit, dossier: Dossier) -> Actor:
    if visit.user is not None and is_at_desk(visit, dossier):
        return "officer"
    return "citizen"


@router.get(f"{_DOSSIER}/nextactions")
def possible(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """List what who asks may do now."""
    dossier = readable_dossier(visit, dossier_id)
    actor = _actor(visit, dossier)
    colleagues = _colleagues(visit, dossier) if actor == "officer" else []
    rows = [next_action(edge, colleagues) for edge in next_actions(state_of(dossier), actor)]
    return listing(
        len(rows),
        rows,
        checkInput=0,
        users=[to_user(user) for user in colleagues],
        stepCode=dossier.step_code,
        stepName=STEP_NAMES.get(dossier.step_code, ""),
        stepDueDate=wire_date(dossier.due_at),
        stepOverdue="",
    )


MAX_COLLEAGUES = 20
"""Most officers offered for an assignment. # assumption"""


def _colleagues(visit: Visit, dossier: Dossier) -> list[User]:
    query = (
        select(User)
        .where(User.role == "officer", User.agency_code == dossier.agency_code)
        .order_by(User.user_id)
        .limit(MAX_COLLEAGUES)
    )
    return list(visit.db.scalars(query))


@router.get(f"{_DOSSIER}/nextactions/{{process_action_id:int}}")
def action_dialog(visit: CurrentVisit, dossier_id: RowId, process_action_id: RowId) -> Json:
    """Return what the dialog of one action shows."""
    dossier = readable_dossier(visit, dossier_id)
    edge = next((edge for edge in ACTIONS if edge.number == process_action_id), None)
    if edge is None:
        raise not_found("ProcessAction", process_action_id)
    query = select(Payment).where(Payment.dossier_id == dossier_id)
    payment = visit.db.scalars(query).first()
    fee_vnd = payment.fee_vnd if payment else 0
    users = _colleagues(visit, dossier) if edge.actor == "officer" else []
    return {
        **next_action(edge, users),
        "receiving": {
            "receiveDate": wire_date(dossier.receive_at or visit.now),
            "dueDate": wire_date(dossier.due_at),
            "editable": "receive" in edge.sets,
            "durationPhase": "",
        },
        "payment": {
            "paymentFee": str(fee_vnd),
            "paymentNote": payment.note if payment else "",
            "requestPayment": payment.request_payment if payment else 0,
            "advanceAmount": payment.advance_vnd if payment else 0,
            "feeAmount": fee_vnd,
            "serviceAmount": payment.service_vnd if payment else 0,
            "shipAmount": payment.ship_vnd if payment else 0,
            "paymentAmount": fee_vnd,
            "editable": 1 if "request_payment" in edge.sets else 0,
        },
        "returnFiles": [],
    }


@router.get(f"{_DOSSIER}/nextactions/{{process_action_id:int}}/payload")
def action_payload(visit: CurrentVisit, dossier_id: RowId, process_action_id: RowId) -> Json:
    """Return the further data of an action; this portal's actions have none."""
    readable_dossier(visit, dossier_id)
    return {"processActionId": process_action_id, "payload": {}}


@router.get(f"{_DOSSIER}/sequences")
def sequences(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """List the steps a dossier went through."""
    readable_dossier(visit, dossier_id)
    query = select(Action).where(Action.dossier_id == dossier_id).order_by(Action.sequence)
    rows = [sequence_view(action) for action in visit.db.scalars(query)]
    return listing(len(rows), rows)


@router.post(f"{_DOSSIER}/actions", openapi_extra=form_schema(*_ACTION_FIELDS))
def do_action(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Do the first permitted action of a comma list; 405 when none is, or it was done before."""
    visit.signed_in()
    codes = form.code("actionCode").strip()
    note, payload = form.text("actionNote"), form.text("payload")
    _check_json(form.text("assignUsers"), "assignUsers")
    dossier = visit.db.get(Dossier, dossier_id)
    if dossier is None or not codes:
        raise action_refused("DossierActionException: no such dossier, or no actionCode")
    dossier = writable_dossier(visit, dossier_id)
    action = _perform(visit, dossier, codes, note, payload)
    return action_detail(action, dossier, dossier.process_id)


def _check_json(text: str, name: str) -> None:
    if text.strip():
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"{name}: is not valid JSON") from error


def _perform(visit: Visit, dossier: Dossier, codes: str, note: str, payload: str) -> Action:
    asked = asked_by(visit, dossier, codes, note, payload)
    action = act(visit.db, visit.world.rules, dossier, asked, visit.now)
    if action is None:
        raise action_refused(
            f"DossierActionException: {codes} is not permitted at step {dossier.step_code}"
        )
    return action


@router.get(f"{_DOSSIER}/submitting")
def submit(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """Save and send a draft, as old clients do; a GET that writes."""
    visit.begin_writing()
    dossier = writable_dossier(visit, dossier_id)
    send(visit.db, visit.world.rules, dossier, visit.signed_in(), visit.now)
    return dossier_detail(dossier, visit.db.get(Action, dossier.action_id))


@router.post(f"{_DOSSIER}/cancelling", openapi_extra=form_schema("cancellingNote"))
def cancel(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Withdraw a dossier: at once before reception, afterwards as a request to the officers."""
    return _cancel(visit, dossier_id, form.text("cancellingNote"))


@router.post(f"{_DOSSIER}/cancel", openapi_extra=form_schema("actionNote"))
def cancel_by_front_end(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Withdraw a dossier, as the published front end asks for it."""
    return _cancel(visit, dossier_id, form.text("actionNote"))


@router.get(f"{_DOSSIER}/cancelling")
def cancel_by_link(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """Withdraw a dossier; a GET that writes, as the published server has it."""
    visit.begin_writing()
    return _cancel(visit, dossier_id, "")


WITHDRAW_CODES = "9100,9200"
"""Action codes of a withdrawal by the citizen and by an officer."""


def _cancel(visit: Visit, dossier_id: int, note: str) -> Json:
    dossier = writable_dossier(visit, dossier_id)
    asked = asked_by(visit, dossier, WITHDRAW_CODES, note)
    action = act(visit.db, visit.world.rules, dossier, asked, visit.now)
    if action is None:
        _request(visit, dossier, "cancellingDate")
    return dossier_detail(dossier, action)


@router.post(f"{_DOSSIER}/correcting")
def correct(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """Ask the officers to let the dossier be corrected."""
    return _correct(visit, dossier_id)


@router.get(f"{_DOSSIER}/correcting")
def correct_by_link(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """Ask for a correction; a GET that writes, as the published server has it."""
    visit.begin_writing()
    return _correct(visit, dossier_id)


def _correct(visit: Visit, dossier_id: int) -> Json:
    dossier = writable_dossier(visit, dossier_id)
    _request(visit, dossier, "correctingDate")
    return dossier_detail(dossier)


def _request(visit: Visit, dossier: Dossier, field: str) -> None:
    """Note the citizen's request, which an officer decides."""
    if not dossier.status or not next_actions(state_of(dossier), "officer"):
        raise business_error(f"DossierAccessException: step {dossier.step_code} is closed")
    dossier.details = {**dossier.details, field: wire_date(visit.now)}
    dossier.modified_at = visit.now
    visit.db.flush()


@router.post(f"{_DOSSIER}/rollback")
def rollback(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """Undo the last action; 405 when it cannot be undone."""
    dossier = desk_dossier(visit, dossier_id)
    asked = asked_by(visit, dossier, "")
    action = roll_back(visit.db, visit.world.rules, dossier, asked, visit.now)
    if action is None:
        raise action_refused("DossierActionException: nothing can be undone")
    return action_detail(action, dossier, dossier.process_id)


@router.post(f"{_DOSSIER}/goto/{{step_code}}")
def jump(visit: CurrentVisit, dossier_id: RowId, step_code: Code) -> Json:
    """Jump to a step; 405 when there is no such step."""
    dossier = desk_dossier(visit, dossier_id)
    asked = asked_by(visit, dossier, "")
    action = go_to(visit.db, visit.world.rules, dossier, asked, step_code, visit.now)
    if action is None:
        raise action_refused(f"DossierActionException: no way to step {step_code}")
    return action_detail(action, dossier, dossier.process_id)


@router.post(
    "/dossiers/actions/{code}/groupDossier", openapi_extra=form_schema("dossierIds!", "actionNote")
)
def group_action(visit: CurrentVisit, code: Code, form: FormBody) -> Json:
    """Do one action on several dossiers, all or none; ``dossierIds`` separated by commas."""
    visit.officer()
    if code in (EDIT_CODE, SEND):
        raise action_refused(f"DossierActionException: {code} is no action of a batch")
    note = form.text("actionNote")
    rows = []
    for dossier_id in _ids(form.text("dossierIds")):
        dossier = desk_dossier(visit, dossier_id)
        action = _perform(visit, dossier, code, note, "")
        rows.append(action_detail(action, dossier, dossier.process_id))
    return listing(len(rows), rows)


def _ids(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or len(words) > MAX_GROUP:
        raise bad_request(f"dossierIds: 1 to {MAX_GROUP} ids")
    return [_id(word) for word in words]


def _id(word: str) -> int:
    number = row_id(word)
    if number is None:
        raise bad_request(f"dossierIds: {word[:20]} is no id")
    return number
