"""Following a dossier: look-ups without signing in, history, ratings."""

from typing import Annotated

from fastapi import Query
from sqlalchemy import select

from loadtests.portal.access import is_tracker, readable_dossier, writable_dossier
from loadtests.portal.conventions import (
    MAX_ID,
    CodeText,
    End,
    RowId,
    Start,
    bad_request,
    listing,
    not_found,
    not_signed_in,
    page,
)
from loadtests.portal.forms import FormBody, form_schema
from loadtests.portal.search import DossierSearch, search
from loadtests.portal.store.models import DossierLog, Rating, SyncRow
from loadtests.portal.views import Json, dossier_row, log_view
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit

router = PortalRouter(prefix="/o/rest/v2", tags=["tracking"])

DOSSIER = "dossier"
"""Class name of what is rated."""

VOTINGS = (
    ("HL01", "Ông/Bà có hài lòng về thời gian giải quyết hồ sơ?"),
    ("HL02", "Ông/Bà có hài lòng về thái độ phục vụ?"),
)
"""Questions after a dossier is done. # assumption: two of the official index's criteria"""

CHOICES = ("Rất hài lòng", "Hài lòng", "Không hài lòng")


@router.get("/dossiers")
def track(visit: CurrentVisit, asked: Annotated[DossierSearch, Query()]) -> Json:
    """Look dossiers up with the tracking key of this minute, or signed in; ``end=0``: ten."""
    if visit.request.headers.get("authenKey"):
        if not is_tracker(visit):
            raise not_signed_in("Wrong authenKey.")
        return _tracked(visit, asked)
    user = visit.signed_in()
    found = search(visit.db, asked, user, visit.now, zero_means_all=False)
    return listing(found.total, [dossier_row(dossier, visit.now) for dossier in found.dossiers])


@router.get("/dossiers/searchDossierNo")
def track_by_number(
    visit: CurrentVisit,
    asked: Annotated[DossierSearch, Query()],
    answer: Annotated[CodeText, Query(alias="j_captcha_response")] = "",
) -> Json:
    """Look a dossier up by its number; the captcha must be right."""
    visit.check_captcha(answer)
    return _tracked(visit, asked)


def _tracked(visit: Visit, asked: DossierSearch) -> Json:
    found = search(visit.db, asked, None, visit.now, zero_means_all=False)
    return listing(found.total, [dossier_row(dossier, visit.now) for dossier in found.dossiers])


@router.get("/dossierlogs/{dossier_id:int}/logs")
def logs(
    visit: CurrentVisit,
    dossier_id: RowId,
    start: Start = 0,
    end: End = 0,
    notification_type: Annotated[CodeText, Query(alias="notificationType")] = "",
) -> Json:
    """List a dossier's history."""
    readable_dossier(visit, dossier_id)
    return _logs(visit, dossier_id, (start, end), notification_type)


@router.get("/dossierlogs")
def logs_of_query(
    visit: CurrentVisit,
    dossier_id: Annotated[int, Query(alias="dossierId", ge=0, le=MAX_ID)],
    start: Start = 0,
    end: End = 0,
) -> Json:
    """List a dossier's history, the dossier named in the query."""
    readable_dossier(visit, dossier_id)
    return _logs(visit, dossier_id, (start, end), "")


def _logs(visit: Visit, dossier_id: int, span: tuple[int, int], kind: str) -> Json:
    query = select(DossierLog).where(DossierLog.dossier_id == dossier_id)
    if kind:
        query = query.where(DossierLog.notification_type == kind)
    found = visit.db.scalars(query.order_by(DossierLog.log_id)).all()
    offset, limit = page(*span)
    return listing(len(found), [log_view(log) for log in found[offset : offset + limit]])


@router.get("/dossiers/{dossier_id:int}/syncs")
def syncs(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """List what was told, or is to be told, to other systems."""
    readable_dossier(visit, dossier_id)
    query = select(SyncRow).where(SyncRow.dossier_id == dossier_id).order_by(SyncRow.sync_id)
    rows = [
        {
            "dossierSyncId": row.sync_id,
            "queue": row.queue,
            "sequenceNo": str(row.sequence),
            "state": row.state,
            "retry": row.attempts,
        }
        for row in visit.db.scalars(query)
    ]
    return listing(len(rows), rows)


@router.get("/dossiers/{dossier_id:int}/comments")
def comments(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """List what was said about a dossier."""
    readable_dossier(visit, dossier_id)
    return _logs(visit, dossier_id, (0, 0), "COMMENT")


@router.post("/dossiers/{dossier_id:int}/comments", openapi_extra=form_schema("content!"))
def comment(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Say something about a dossier."""
    user = visit.signed_in()
    writable_dossier(visit, dossier_id)
    content = form.text("content").strip()
    if not content:
        raise bad_request("content: is required")
    log = DossierLog(
        dossier_id=dossier_id,
        at=visit.now,
        author=user.name,
        content=content,
        notification_type="COMMENT",
        payload="",
    )
    visit.db.add(log)
    visit.db.flush()
    return log_view(log)


@router.get("/postal/votings/{class_name}/{class_pk:int}")
def votings(visit: CurrentVisit, class_name: CodeText, class_pk: RowId) -> Json:
    """List the questions about a dossier, and the answers given."""
    if class_name != DOSSIER:
        raise not_found("Voting", class_name)
    readable_dossier(visit, class_pk)
    query = select(Rating).where(Rating.dossier_id == class_pk)
    answers = {rating.voting_code: rating.selected for rating in visit.db.scalars(query)}
    rows = [
        {
            "votingId": number,
            "votingCode": code,
            "subject": subject,
            "choices": list(CHOICES),
            "selected": answers.get(code, ""),
            "className": DOSSIER,
            "classPK": str(class_pk),
        }
        for number, (code, subject) in enumerate(VOTINGS, 1)
    ]
    return listing(len(rows), rows)


@router.post(
    "/postal/votings/{voting_id:int}/results",
    openapi_extra=form_schema("className!", "classPk!", "selected!", "votingCode"),
)
def vote(visit: CurrentVisit, voting_id: RowId, form: FormBody) -> Json:
    """Answer one question about one's own dossier; a later answer replaces an earlier one."""
    user = visit.signed_in()
    if not 1 <= voting_id <= len(VOTINGS) or form.code("className", DOSSIER) != DOSSIER:
        raise not_found("Voting", voting_id)
    code = form.code("votingCode") or VOTINGS[voting_id - 1][0]
    dossier = writable_dossier(visit, form.integer("classPk"))
    query = select(Rating).where(
        Rating.dossier_id == dossier.dossier_id,
        Rating.voting_code == code,
        Rating.user_id == user.user_id,
    )
    rating = visit.db.scalars(query).first()
    if rating is None:
        rating = Rating(
            dossier_id=dossier.dossier_id, voting_code=code, user_id=user.user_id, selected="", at=0
        )
        visit.db.add(rating)
    rating.selected, rating.at = form.required("selected"), visit.now
    visit.db.flush()
    return {"votingId": voting_id, "votingCode": code, "selected": rating.selected}
