"""The façade's writing side: a citizen files there, or the national portal files here.

Paths for signing in, upload, list and detail are assumptions: none of them is published. A dossier
goes through the same domain functions as one filed on the city's own portal. The national portal
itself signs in as an officer's account and names the citizen in ``applicant``.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import Response
from sqlalchemy import func, select

from loadtests.portal.access import (
    asked_by,
    check_before_keeping,
    confidential_dossier,
    group_id_of,
    writable_dossier,
)
from loadtests.portal.accounts import CITIZEN, SignedIn
from loadtests.portal.attachments import Paper, add_paper, check_extension, files_of
from loadtests.portal.conventions import (
    action_refused,
    bad_request,
    business_error,
    not_signed_in,
    row_id,
    too_large,
)
from loadtests.portal.dossiers import ONLINE, NewDossier, create_draft, fill
from loadtests.portal.filing import Filing, file_whole, send
from loadtests.portal.forms import Fields, FilesBody, JsonBody, form_schema, json_schema
from loadtests.portal.national_views import dossier_view
from loadtests.portal.routes.national import limit_of, ok, service_named, text_of
from loadtests.portal.store.models import Dossier
from loadtests.portal.transitions import act
from loadtests.portal.views import Json, file_view, state_of
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit
from loadtests.portal.waiting_citizens import provide, waiting_dossier
from loadtests.portal.workflow import ENDS, next_actions

router = PortalRouter(tags=["national"])

_NEW = json_schema(
    applicant="object", type="string", formalityId="string", formalityCaseId="string",
    departmentId="string", categoryId="string", formJson="string", profileComponents="array",
    fees="array", returning="string", isDraft="boolean", referenceUid="string",
    applicantNote="string",
)  # fmt: skip

TOKEN_LIFE_S = 900
"""Life of a token. # source: OpenCPS, JWT of 15 minutes."""


@router.post(
    "/api/v1/auth/login",
    status_code=201,
    openapi_extra=json_schema(username="string", password="string"),
)
def sign_in(visit: CurrentVisit, body: JsonBody) -> Response:
    """Sign in; answers a bearer token for 15 minutes."""
    name, password = text_of(body, "username"), text_of(body, "password")
    outcome = visit.world.accounts.check(name, password, visit.now)
    if outcome.user is None or outcome.state not in ("ok", "officer"):
        raise not_signed_in("User name or password are wrong, or the account is locked.")
    token = visit.world.accounts.bearer_token(outcome.user, visit.now)
    return ok({"accessToken": token, "expiresIn": TOKEN_LIFE_S, "userId": outcome.user.user_id})


@router.post("/api/v1/submitting/create-dossier-by-citizen", status_code=201, openapi_extra=_NEW)
@router.post("/o/rest/v2/nps/createdossierfromdvcqg", status_code=201, openapi_extra=_NEW)
def create(visit: CurrentVisit, body: JsonBody) -> Response:
    """Create a dossier and, unless it is a draft, send it.

    ``referenceUid`` makes it repeatable; ``applicantNote`` is kept as on the city's own portal.
    """
    visit.signed_in()
    applicant = _applicant(body)
    owner = _owner(visit, applicant)
    service = service_named(visit, text_of(body, "formalityCaseId") or text_of(body, "formalityId"))
    new = NewDossier(
        service_code=service.code,
        agency_code=text_of(body, "departmentId", 120),
        template_no="",
        originality=ONLINE,
        reference_uid=text_of(body, "referenceUid", 120),
        group_id=group_id_of(visit),
    )
    values = _values(body, applicant)
    if body.get("isDraft") is True:
        dossier = create_draft(visit.db, visit.world.rules, owner, new, visit.now)
        fill(dossier, values, visit.now)
        visit.db.flush()
    else:
        filing = Filing(new, values, forms=_forms(body))
        dossier = file_whole(visit.db, visit.world.rules, owner, filing, visit.now)
    return ok(dossier_view(dossier))


def _applicant(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the citizen that a request names; empty when it names none."""
    applicant = body.get("applicant")
    citizen = applicant.get("citizen") if isinstance(applicant, dict) else None
    return citizen if isinstance(citizen, dict) else {}


def _owner(visit: Visit, applicant: Mapping[str, Any]) -> SignedIn:
    """Return whose dossier it becomes: one's own, or of whom the national portal names."""
    user = visit.signed_in()
    if not user.is_officer:
        return user
    number = text_of(applicant, "identity", 12)
    if not CITIZEN.fullmatch(f"c{number}"):
        raise bad_request("applicant.citizen.identity: a personal number has 12 digits")
    owner, _ = visit.world.accounts.citizen_of(number, text_of(applicant, "name", 256), visit.now)
    return owner


def _values(body: Mapping[str, Any], applicant: Mapping[str, Any]) -> Json:
    """Return the fields of the dossier in the city's own words."""
    named = {
        "applicantName": text_of(applicant, "name", 256),
        "applicantIdNo": text_of(applicant, "identity", 120),
        "contactTelNo": text_of(applicant, "phone"),
        "contactEmail": text_of(applicant, "email"),
        "applicantNote": text_of(body, "applicantNote", 10_000),
        "viaPostal": "2" if text_of(body, "returning") == "AT_HOME" else "0",
    }
    return {name: value for name, value in named.items() if value}


def _forms(body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the data of the form, for the component that has one."""
    text = text_of(body, "formJson", 500_000)
    rows = body.get("profileComponents")
    if not text or not isinstance(rows, list):
        return ()
    with_form = [
        row for row in rows if isinstance(row, dict) and row.get("hasElectronicForm") is True
    ]
    return tuple((text_of(row, "profileComponentId", 120), text) for row in with_form[:1])


@router.post(
    "/api/v1/submitting/dossier/update-by-citizen",
    status_code=201,
    openapi_extra=json_schema(dossierId="integer", isDraft="boolean", applicantNote="string"),
)
def update(visit: CurrentVisit, body: JsonBody) -> Response:
    """Send a draft, or say that the missing papers are there."""
    dossier = writable_dossier(visit, _dossier_id(body))
    note = text_of(body, "applicantNote", 10_000)
    if note and not dossier.submit_at:
        fill(dossier, {"applicantNote": note}, visit.now)
        visit.db.flush()
    if body.get("isDraft") is True:
        return ok(dossier_view(dossier))
    user = visit.signed_in()
    if dossier.submit_at is None:
        send(visit.db, visit.world.rules, dossier, user, visit.now)
        return ok(dossier_view(dossier))
    codes = [edge.code for edge in next_actions(state_of(dossier), "citizen")]
    is_waiting = dossier.sub_status == "supplement"
    asked = asked_by(visit, dossier, codes[0] if codes and is_waiting else "")
    action = act(visit.db, visit.world.rules, dossier, asked, visit.now)
    if action is None:
        raise action_refused(f"DossierActionException: nothing is awaited at {dossier.step_code}")
    return ok(dossier_view(dossier) | {"actionCode": action.code})


def _dossier_id(body: Mapping[str, Any]) -> int:
    number = row_id(text_of(body, "dossierId") or text_of(body, "id"))
    if number is None:
        raise bad_request("dossierId: is required")
    return number


@router.post(
    "/api/v1/submitting/upload-attachment",
    status_code=201,
    openapi_extra=form_schema("dossierId", "profileComponentId!", "referenceUid", file="file"),
)
def upload(visit: CurrentVisit, form: FilesBody) -> Response:
    """Upload one paper of a dossier; papers may follow until it is decided.

    Without ``dossierId`` it is for the citizen's dossier that waits for papers.
    """
    visit.signed_in()
    fields = Fields(form.fields)
    dossier_id = fields.integer("dossierId") or _waiting_dossier_id(visit)
    part_no = fields.required("profileComponentId")
    if len(form.files) != 1:
        raise bad_request("file: exactly one file is expected")
    file = form.files[0]
    if file.too_large:
        raise too_large(visit.settings.max_upload_bytes)
    check_extension(file.file_name)
    check_before_keeping(visit, _open_dossier, dossier_id)
    name, reference = file.file_name[:500], fields.code("referenceUid")
    paper = Paper(file.blob.keep(), name, name, part_no, reference_uid=reference)
    dossier = _open_dossier(visit, dossier_id)
    return ok(file_view(add_paper(visit.db, dossier, paper, visit.now)))


def _waiting_dossier_id(visit: Visit) -> int:
    user = visit.signed_in()
    with visit.world.database.writing() as db:
        provide(db, visit.world.rules, user, group_id_of(visit), visit.now)
        dossier = waiting_dossier(db, user)
    if dossier is None:
        raise bad_request("dossierId: is required, no dossier of yours waits for papers")
    return dossier.dossier_id


def _open_dossier(visit: Visit, dossier_id: int) -> Dossier:
    dossier = writable_dossier(visit, dossier_id)
    if state_of(dossier) in ENDS:
        raise business_error("DossierAccessException: the dossier is decided")
    return dossier


@router.post(
    "/api/v1/submitting/list-dossier-by-citizen",
    status_code=201,
    openapi_extra=json_schema(limit="integer", lastId="string"),
)
def own_dossiers(visit: CurrentVisit, body: JsonBody) -> Response:
    """List one's dossiers, newest first, one page behind ``lastId``."""
    user = visit.signed_in()
    visit.begin_reading()
    mine = (Dossier.user_id == user.user_id, Dossier.indexed_at <= visit.now)
    query = select(Dossier).where(*mine).order_by(Dossier.dossier_id.desc())
    last = row_id(text_of(body, "lastId")) if text_of(body, "lastId") else None
    if last is not None:
        query = query.where(Dossier.dossier_id < last)
    rows = visit.db.scalars(query.limit(limit_of(body))).all()
    total = visit.db.scalar(select(func.count()).select_from(Dossier).where(*mine)) or 0
    last_id = str(rows[-1].dossier_id) if rows else text_of(body, "lastId")
    return ok({"rows": [dossier_view(row) for row in rows], "lastId": last_id, "total": total})


@router.post(
    "/api/v1/submitting/get-dossier-by-citizen",
    status_code=201,
    openapi_extra=json_schema(id="string", dossierId="integer"),
)
def own_dossier(visit: CurrentVisit, body: JsonBody) -> Response:
    """Return one's dossier and its papers."""
    visit.begin_reading()
    dossier = confidential_dossier(visit, _dossier_id(body))
    files = [file_view(file) for file in files_of(visit.db, dossier.dossier_id)]
    return ok(dossier_view(dossier) | {"files": files})
