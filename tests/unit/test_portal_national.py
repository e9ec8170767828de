"""The façade of the national portal: its words, and that it files through the same domain."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from loadtests.portal.store import Database
from loadtests.portal.store.models import Service, SyncRow

API = "/api/v1"
PDF = b"%PDF-1.4 paper"
LIST = f"{API}/submitting/formality/list-all-public-formality-by-citizen"

Browser = Callable[..., httpx.Client]


@pytest.fixture
def database(portal_app: Any) -> Database:
    found: Database = portal_app.state.world.database
    return found


def data(answer: httpx.Response) -> Any:
    """Return what a successful answer holds."""
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["code"], body["message"]) == ("OK", "OK")
    return body["data"]


def a_service(database: Database) -> str:
    """Return the code of a service with a form and papers."""
    with database.reading() as db:
        query = select(Service.code).where(Service.e_form, Service.upload_slots > 0)
        return str(db.scalars(query).first())


def new(client: httpx.Client, code: str, **more: object) -> Any:
    body = {"formalityId": code, "applicant": {"citizen": {"name": "Người thử"}}} | more
    return data(client.post(f"{API}/submitting/create-dossier-by-citizen", json=body))


def upload(client: httpx.Client, dossier: int, part: str = "TP01", **more: str) -> httpx.Response:
    form = {"dossierId": str(dossier), "profileComponentId": part} | more
    path = f"{API}/submitting/upload-attachment"
    return client.post(path, data=form, files={"file": ("a.pdf", PDF)})


def test_the_catalogue_is_read_page_by_page(stranger: httpx.Client) -> None:
    seen, last = [], ""
    while True:
        page = data(stranger.post(LIST, json={"limit": 3, "lastId": last}))
        if not page["items"]:
            break
        seen += [row["codeNotation"] for row in page["items"]]
        last = page["lastId"]

    assert len(seen) == len(set(seen)) == page["total"] == 10


def test_a_procedure_and_its_form_are_read(stranger: httpx.Client, database: Database) -> None:
    code = a_service(database)
    listed = data(stranger.post(LIST, json={"q": code}))["items"][0]

    whole = data(
        stranger.post(
            f"{API}/configuring/formality/get-formality-by-citizen", json={"id": listed["id"]}
        )
    )
    form = data(
        stranger.post(
            f"{API}/configuring/formality/get-formality-form-by-citizen", json={"id": listed["id"]}
        )
    )

    components = whole["cases"][0]["profileComponents"]
    assert whole["codeNotation"] == code
    assert [row["hasElectronicForm"] for row in components].count(True) == 1
    assert "__" in form["formJson"]
    blank = components[0]["attachments"][0]["id"]
    preview = stranger.post(f"{API}/submitting/preview-attachment", json={"fileId": blank})
    assert (preview.status_code, len(preview.content)) == (201, 20_480)


def test_reading_by_get_is_refused(stranger: httpx.Client) -> None:
    assert stranger.get(LIST).status_code == 405


def test_a_citizen_files_a_draft_with_papers_and_sends_it(
    citizen: Browser, database: Database
) -> None:
    me, code = citizen(), a_service(database)
    draft = new(me, code, isDraft=True, applicantNote="hoso-n/1/1")
    number = draft["dossierId"]
    assert draft["state"] == "DRAFT"
    assert data(upload(me, number))["fileSize"] == len(PDF)

    path = f"{API}/submitting/dossier/update-by-citizen"
    sent = data(me.post(path, json={"dossierId": number}))

    assert (sent["state"], sent["applicantNote"]) == ("PENDING_SUBMISSION", "hoso-n/1/1")
    own = data(me.post(f"{API}/submitting/list-dossier-by-citizen", json={}))
    assert [row["dossierId"] for row in own["rows"]] == [number]
    detail = data(me.post(f"{API}/submitting/get-dossier-by-citizen", json={"dossierId": number}))
    assert [row["fileSize"] for row in detail["files"]] == [len(PDF)]
    assert me.post(path, json={"dossierId": number}).status_code == 405


def test_a_dossier_from_the_national_portal_is_sent_at_once_and_papers_follow(
    citizen: Browser, database: Database
) -> None:
    me, code = citizen(), a_service(database)
    form = [{"profileComponentId": "TK01", "hasElectronicForm": True}]
    body = {
        "formalityId": code,
        "referenceUid": "national-1",
        "formJson": '{"a": 1}',
        "profileComponents": form,
        "applicantNote": "hoso-n/2/1",
    }
    path = "/o/rest/v2/nps/createdossierfromdvcqg"

    first, again = (data(me.post(path, json=body)) for _ in range(2))
    paper = upload(me, first["dossierId"], referenceUid="paper-n-1")
    same = upload(me, first["dossierId"], referenceUid="paper-n-1")

    assert first["dossierId"] == again["dossierId"]
    assert (first["state"], first["dossierSyncState"]) == ("PENDING_SUBMISSION", "1")
    assert data(paper)["dossierFileId"] == data(same)["dossierFileId"]
    with database.reading() as db:
        rows = db.scalars(select(SyncRow).where(SyncRow.dossier_id == first["dossierId"])).all()
    assert [row.queue for row in rows] == ["one_stop_sync"]


def test_missing_papers_are_sent_from_the_national_portal(citizen: Browser) -> None:
    me = citizen("031090985001")  # a citizen for whom a dossier waits for papers
    me.post("/o/v1/opencps/login", headers={"Authorization": me.headers["authorization"]})
    own = data(me.post(f"{API}/submitting/list-dossier-by-citizen", json={}))
    number = own["rows"][0]["dossierId"]
    assert own["rows"][0]["state"] == "PENDING_SUPPLEMENT"

    assert upload(me, number).status_code == 201
    path = f"{API}/submitting/dossier/update-by-citizen"
    sent = data(me.post(path, json={"dossierId": number}))

    assert (sent["stepCode"], sent["actionCode"]) == ("130", "1250")


def test_the_portal_itself_names_the_citizen(officer: Browser, database: Database) -> None:
    body = {"applicant": {"citizen": {"identity": "031090930999", "name": "Người thử"}}}
    made = new(officer(), a_service(database), **body)

    assert made["applicantName"] == "Người thử"
    answer = officer().post(
        f"{API}/submitting/create-dossier-by-citizen", json={"formalityId": a_service(database)}
    )
    assert answer.status_code == 400


def test_a_token_stands_for_its_user(stranger: httpx.Client, citizen: Browser) -> None:
    import base64

    pair = citizen().headers["authorization"].split(" ")[1]
    name, _, password = base64.b64decode(pair).decode().partition(":")
    path = f"{API}/auth/login"

    token = data(stranger.post(path, json={"username": name, "password": password}))
    headers = {"Authorization": f"Bearer {token['accessToken']}"}
    own = stranger.post(f"{API}/submitting/list-dossier-by-citizen", json={}, headers=headers)
    wrong = stranger.post(path, json={"username": name, "password": "x"})

    assert own.status_code == 201
    assert (wrong.status_code, wrong.json()["code"]) == (203, 203)


def test_a_citizen_is_looked_up(citizen: Browser) -> None:
    path = f"{API}/configuring/citizen/get-citizen-by-code"

    found = data(citizen().post(path, json={"code": "031090930123", "name": "A"}))

    assert found["SoDinhDanh"] == "031090930123"
    assert citizen().post(path, json={"code": "12"}).status_code == 400


def test_regions_departments_and_reports_are_read(stranger: httpx.Client) -> None:
    provinces = data(stranger.post(f"{API}/configuring/province-vn/list-by-citizen", json={}))
    departments = data(
        stranger.post(f"{API}/configuring/citizen/department/list-with-location", json={})
    )
    report = data(stranger.post(f"{API}/reporting/evaluation/transparency", json={"year": 2026}))

    assert provinces["rows"][0]["code"] == "31"
    assert departments["total"] == len(departments["rows"]) >= 1
    assert report["rows"]
    assert stranger.post(f"{API}/reporting/evaluation/x", json={}).status_code == 403


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"[]", b"null", b"\xff", b'{"a": NaN}', b"[" * 5000, b'{"limit": "x"}',
     b'{"limit": 0}', b'{"q": "\\u0000"}', b'{"q": "\\ud800"}'],
)  # fmt: skip
def test_unreadable_bodies_are_answered(stranger: httpx.Client, body: bytes) -> None:
    answer = stranger.post(LIST, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
