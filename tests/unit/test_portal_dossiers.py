"""Dossiers of the stand-in portal: the citizen's way in wire order, drafts, bulk, tracking."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from loadtests.portal.conventions import tracking_key
from loadtests.portal.store import Database
from loadtests.portal.store.models import Dossier, Service, SyncRow

MAIN = "/o/rest/v2"
AUDIT = "/o/hoso/audit/dossiers"
KEY = {"X-Hoso-Key": "a key for tests"}
PDF = b"%PDF-1.4\n" + bytes(range(256)) * 40 + b"\n%%EOF"

Citizen = Callable[..., httpx.Client]


@pytest.fixture
def database(portal_app: Any) -> Database:
    found: Database = portal_app.state.world.database
    return found


def service_with(database: Database, *, form: bool = True) -> str:
    """Return the code of a service with at least one paper."""
    with database.reading() as db:
        query = select(Service.code).where(Service.e_form.is_(form), Service.upload_slots > 0)
        return str(db.scalars(query.order_by(Service.service_id)).first())


def rows(listing: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a list, one alone too."""
    data = listing["data"]
    return [data] if isinstance(data, dict) else data


def create(client: httpx.Client, code: str, **fields: str) -> dict[str, Any]:
    form = {"serviceCode": code, "originality": "1"} | fields
    answer = client.post(f"{MAIN}/dossiers", data=form)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def act(client: httpx.Client, dossier_id: int, code: str) -> httpx.Response:
    return client.post(f"{MAIN}/dossiers/{dossier_id}/actions", data={"actionCode": code})


def file_one(client: httpx.Client, code: str, **fields: str) -> int:
    """File a dossier without papers and return its number."""
    dossier_id = int(create(client, code)["dossierId"])
    if fields:
        assert client.put(f"{MAIN}/dossiers/{dossier_id}", data=fields).status_code == 200
    for action in ("1100", "1300"):
        assert act(client, dossier_id, action).status_code == 200
    return dossier_id


def test_a_citizen_files_a_dossier_in_the_order_of_the_front_end(
    citizen: Citizen, database: Database
) -> None:
    me, code = citizen(), service_with(database)
    draft = create(me, code)
    number, here = draft["dossierId"], f"{MAIN}/dossiers/{draft['dossierId']}"
    assert (draft["dossierStatus"], draft["stepCode"], draft["dossierActionId"]) == ("", "110", 0)
    assert draft["dueDate"]
    assert draft["applicantIdNo"].startswith("031090")

    template = me.get(f"{MAIN}/dossiertemplates/{draft['dossierTemplateNo']}").json()
    parts = template["dossierParts"]
    form_part = next(part for part in parts if part["eForm"] == "true")
    papers = [part for part in parts if part["eForm"] == "false"]
    script = f"{MAIN}/dossiertemplates/{template['templateNo']}/parts/{form_part['partNo']}"
    assert "schema" in me.get(f"{script}/formscript?t=1").json()
    assert me.get(f"{here}/eforms/{form_part['partNo']}/formdata").json() == {}
    assert [row["actionCode"] for row in rows(me.get(f"{here}/nextactions").json())] == ["1100"]

    form = me.post(
        f"{here}/eforms/{form_part['partNo']}",
        data={"formData": '{"hoVaTen": "Người thử"}'},
        files={"file": ("", b"")},
    ).json()
    assert form["eForm"] is True
    assert form["fileSize"] == 0
    for part in papers:
        sent = me.post(
            f"{here}/files",
            data={"displayName": "scan", "dossierPartNo": part["partNo"], "referenceUid": ""},
            files={"file": ("scan.pdf", PDF)},
        ).json()
        assert (sent["fileSize"], sent["fileType"]) == (len(PDF), "pdf")
        mark = me.post(f"{here}/marks/{part['partNo']}", data={"fileMark": "2", "recordCount": "1"})
        assert mark.json()["fileMark"] == 2
    assert len(rows(me.get(f"{here}/files").json())) == 1 + len(papers)
    assert len(rows(me.get(f"{here}/marks?type=1").json())) == len(papers)

    saved = me.put(here, data={"applicantName": "Người thử", "applicantNote": "hoso-1/2/3"}).json()
    assert (saved["applicantName"], saved["applicantNote"]) == ("Người thử", "hoso-1/2/3")
    assert act(me, number, "1100").json()["stepCode"] == "110"
    flags = me.put(f"{here}/metadata", data={"data": '{"smsNotify": false}'})
    assert flags.status_code == 200
    assert me.get(f"{here}/metadata/smsNotify").text == "false"
    done = act(me, number, "1300").json()
    assert (done["fromStepCode"], done["stepCode"], done["sequenceNo"]) == ("110", "130", "2")


def test_a_sent_dossier_shows_in_every_place(citizen: Citizen, database: Database) -> None:
    me = citizen()
    number = file_one(me, service_with(database))
    here = f"{MAIN}/dossiers/{number}"

    now = me.get(here).json()
    assert (now["dossierStatus"], now["dossierSyncState"]) == ("receiving", "1")
    assert now["submitDate"]
    assert not now["receiveDate"]
    assert not now["dossierNo"]
    listed = rows(me.get(f"{MAIN}/dossiers/todo?owner=true&step=130&start=0&end=15").json())
    assert [row["dossierId"] for row in listed] == [number]
    counters = rows(me.get(f"{MAIN}/statistics/dossiers/todo?owner=true").json())
    assert [(row["stepCode"], row["totalCount"]) for row in counters] == [("130", 1)]
    history = rows(me.get(f"{MAIN}/dossierlogs/{number}/logs").json())
    assert [row["notificationType"] for row in history] == ["PROCESS_TYPE"] * 2
    assert [row["stepCode"] for row in rows(me.get(f"{here}/sequences").json())] == ["110", "130"]


def test_an_unsent_draft_is_returned_again_until_it_is_sent(
    citizen: Citizen, database: Database
) -> None:
    me, code = citizen(), service_with(database)

    first, second = create(me, code), create(me, code)
    for action in ("1100", "1300"):
        act(me, first["dossierId"], action)
    third = create(me, code)

    assert first["dossierId"] == second["dossierId"] != third["dossierId"]


def test_the_clients_own_reference_names_one_dossier(citizen: Citizen, database: Database) -> None:
    me, code = citizen(), service_with(database)
    first = create(me, code, referenceUid="mine-1")
    for action in ("1100", "1300"):
        act(me, first["dossierId"], action)

    again = create(me, code, referenceUid="mine-1")
    other = citizen().post(f"{MAIN}/dossiers", data={"serviceCode": code, "referenceUid": "mine-1"})

    assert again["dossierId"] == first["dossierId"]
    assert other.status_code == 403


def test_simultaneous_creations_leave_one_draft(
    portal_url: str, citizen: Citizen, database: Database
) -> None:
    headers = dict(citizen().headers)
    code = service_with(database)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: httpx.post(
                    f"{portal_url}{MAIN}/dossiers",
                    data={"serviceCode": code},
                    headers={"Authorization": headers["authorization"]},
                    timeout=60,
                ),
                range(8),
            )
        )

    good = [answer for answer in answers if answer.status_code == 200]
    duplicates = [answer for answer in answers if answer.status_code == 403]
    assert len(good) + len(duplicates) == len(answers)
    assert good
    assert len({answer.json()["dossierId"] for answer in good}) == 1
    assert all("DuplicateDossierCounterException" in answer.text for answer in duplicates)


def test_a_draft_can_be_deleted_and_a_sent_dossier_cannot(
    citizen: Citizen, database: Database
) -> None:
    me, code = citizen(), service_with(database)
    draft = create(me, code)["dossierId"]
    assert me.delete(f"{MAIN}/dossiers/{draft}").status_code == 200
    assert me.get(f"{MAIN}/dossiers/{draft}").status_code == 403

    sent = file_one(me, code)
    assert me.delete(f"{MAIN}/dossiers/{sent}").status_code == 403


def test_nobody_else_reads_or_changes_a_dossier(
    citizen: Citizen, stranger: httpx.Client, database: Database
) -> None:
    number = create(citizen(), service_with(database))["dossierId"]
    other = citizen()

    assert stranger.get(f"{MAIN}/dossiers/{number}").status_code == 203
    assert other.get(f"{MAIN}/dossiers/{number}").status_code == 401
    assert other.get(f"{MAIN}/dossiers/{number}/files").json()["code"] == 203
    for answer in (
        other.put(f"{MAIN}/dossiers/{number}", data={"applicantName": "x"}),
        other.delete(f"{MAIN}/dossiers/{number}"),
        act(other, number, "1100"),
    ):
        assert answer.status_code == 401


def test_data_is_not_changed_once_it_is_with_the_officers(
    citizen: Citizen, database: Database
) -> None:
    me = citizen()
    number = file_one(me, service_with(database))

    answer = me.put(f"{MAIN}/dossiers/{number}", data={"applicantName": "x"})

    assert answer.status_code == 403


def bulk(client: httpx.Client, code: str, reference: str, **fields: str) -> httpx.Response:
    """File a whole dossier with two papers in one request."""
    return client.post(
        f"{MAIN}/dossiers/create/all",
        data={
            "serviceCode": code,
            "referenceUid": reference,
            "dossiers": json.dumps({"applicantNote": reference, "applicantName": "Công ty"}),
            "dossierFileArr": json.dumps(
                [
                    {"fileName": "a.pdf", "dossierPartNo": "TP01", "displayName": "A"},
                    {"dossierPartNo": "TK01", "formData": '{"ma": 1}'},
                ]
            ),
            "dossierMarkArr": '[{"dossierPartNo": "TP01", "fileMark": 2}]',
            "payment": "{}",
        }
        | fields,
        files=[("files", ("a.pdf", PDF)), ("files", ("b.zip", b"PK not opened"))],
    )


def test_a_whole_dossier_is_filed_in_one_request(
    citizen: Citizen, stranger: httpx.Client, database: Database
) -> None:
    me, code = citizen(), service_with(database)

    filed = bulk(me, code, "hoso-b01k/0/1").json()
    again = bulk(me, code, "hoso-b01k/0/1").json()

    assert (filed["stepCode"], filed["applicantName"]) == ("130", "Công ty")
    assert again["dossierId"] == filed["dossierId"]
    audit = stranger.get(AUDIT, params={"reference": "hoso-b01k"}, headers=KEY).json()
    (row,) = audit["data"]
    assert [file["sha256"] for file in row["files"]] == [
        hashlib.sha256(PDF).hexdigest(),
        hashlib.sha256(b"PK not opened").hexdigest(),
    ]
    assert all(file["stored"] for file in row["files"])
    assert [(action["code"], action["sync"]) for action in row["actions"]] == [
        ("1100", "none"),
        ("1300", "queued"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"dossierFileArr": "[1]"},
        {"dossierFileArr": "not json"},
        {"dossierFileArr": '[{"dossierPartNo": "no such part", "formData": "{}"}]'},
        {"dossiers": "[" * 5000},
        {"dossierMarkArr": '[{"dossierPartNo": "TP01", "fileMark": "x"}]'},
        {"serviceCode": "no such service"},
    ],
)
def test_a_bad_bulk_request_leaves_nothing(
    citizen: Citizen, database: Database, fields: dict[str, str]
) -> None:
    with database.reading() as db:
        before = db.scalar(select(func.count()).select_from(Dossier))

    answer = bulk(citizen(), service_with(database), "hoso-bad/0/0", **fields)

    assert answer.status_code in (400, 403)
    with database.reading() as db:
        assert db.scalar(select(func.count()).select_from(Dossier)) == before


def test_sending_writes_one_row_for_the_one_stop_shop(citizen: Citizen, database: Database) -> None:
    number = file_one(citizen(), service_with(database))

    with database.reading() as db:
        sync = db.scalars(select(SyncRow).where(SyncRow.dossier_id == number)).all()
    assert [(row.queue, row.sequence, row.state) for row in sync] == [
        ("one_stop_sync", 2, "queued")
    ]


def test_lists_show_a_dossier_only_when_it_is_indexed(citizen: Citizen, database: Database) -> None:
    me = citizen()
    number = file_one(me, service_with(database))
    with database.writing() as db:
        db.execute(update(Dossier).where(Dossier.dossier_id == number).values(indexed_at=1e11))

    assert me.get(f"{MAIN}/dossiers/todo?owner=true&start=0&end=15").json()["total"] == 0
    assert me.get(f"{MAIN}/dossiers/{number}").status_code == 200


def test_lists_obey_start_end_and_filters(citizen: Citizen, database: Database) -> None:
    me = citizen()
    code = service_with(database)
    numbers = [file_one(me, code) for _ in range(4)]

    def ids(query: str) -> list[int]:
        listing = me.get(f"{MAIN}/dossiers/todo?owner=true&{query}").json()
        return [row["dossierId"] for row in rows(listing)]

    assert ids("end=0") == numbers
    assert ids("start=1&end=3") == numbers[1:3]
    assert ids("end=0&order=true") == numbers[::-1]
    assert ids("end=0&step=200") == ids("end=0&status=done") == ids("start=3&end=2") == []
    assert ids(f"end=0&service={code}&year=&keyword=") == numbers
    assert ids("end=0&year=1999&month=12&day=31") == []
    assert isinstance(me.get(f"{MAIN}/dossiers/todo?owner=true&end=1").json()["data"], dict)


def test_a_dossier_is_tracked_with_the_key_of_the_minute(
    citizen: Citizen, stranger: httpx.Client, database: Database, portal_app: Any
) -> None:
    import time

    me = citizen()
    number = file_one(me, service_with(database))
    id_no = me.get(f"{MAIN}/dossiers/{number}").json()["applicantIdNo"]
    prefix = portal_app.state.world.settings.tracking_prefix
    query = f"{MAIN}/dossiers?start=0&end=10&applicantIdNo={id_no}"

    def tracked(at: float, path: str) -> httpx.Response:
        return stranger.get(path, headers={"authenKey": tracking_key(prefix, at)})

    now = time.time()
    found = [tracked(at, query) for at in (now, now + 60)]  # the minute may end in between
    assert [row["dossierId"] for a in found if a.status_code == 200 for row in rows(a.json())]
    assert tracked(now - 300, query).status_code == 203
    assert stranger.get(query).status_code == 203
    opened = [tracked(at, f"{MAIN}/dossiers/{number}") for at in (time.time(), time.time() + 60)]
    assert any(a.status_code == 200 and a.json()["dossierId"] == number for a in opened)


def test_a_dossier_with_a_secret_opens_for_its_secret_only(
    citizen: Citizen, stranger: httpx.Client, database: Database
) -> None:
    number = file_one(citizen(), service_with(database))
    with database.writing() as db:
        db.execute(update(Dossier).where(Dossier.dossier_id == number).values(secret="4711"))

    path = f"{MAIN}/dossiers/{number}"
    assert stranger.get(path, headers={"secretCode": "4711"}).status_code == 200
    assert stranger.get(f"{path}?secretKey=4711").status_code == 200
    assert stranger.get(path, headers={"secretCode": "0000"}).status_code == 203


def test_looking_up_by_number_needs_the_captcha(stranger: httpx.Client) -> None:
    path = f"{MAIN}/dossiers/searchDossierNo?start=0&end=10&dossierNo=x"

    assert stranger.get(f"{path}&j_captcha_response=wrong").status_code == 203
    assert stranger.get(f"{path}&j_captcha_response=four letters").json() == {
        "total": 0,
        "data": [],
    }


def test_a_rating_can_be_changed(citizen: Citizen, database: Database) -> None:
    me = citizen()
    number = file_one(me, service_with(database))
    for choice in ("Hài lòng", "Rất hài lòng"):
        form = {"className": "dossier", "classPk": str(number), "selected": choice}
        assert me.post(f"{MAIN}/postal/votings/1/results", data=form).status_code == 200

    votings = rows(me.get(f"{MAIN}/postal/votings/dossier/{number}").json())
    assert [row["selected"] for row in votings] == ["Rất hài lòng", ""]


def test_the_audit_is_closed_without_the_key(stranger: httpx.Client) -> None:
    assert stranger.get(AUDIT, params={"reference": "hoso-"}).status_code == 401
    assert stranger.get(AUDIT, headers=KEY).status_code == 400
    bad = stranger.get(AUDIT, params={"ids": "1,x"}, headers=KEY)
    assert bad.status_code == 400


def test_the_audit_goes_page_by_page(
    citizen: Citizen, stranger: httpx.Client, database: Database
) -> None:
    me, code = citizen(), service_with(database)
    numbers = [file_one(me, code, applicantNote=f"hoso-pages/{n}") for n in range(3)]

    def page(after: int) -> list[int]:
        query = {"reference": "hoso-pages", "after": str(after), "limit": "2"}
        return [
            row["dossierId"]
            for row in stranger.get(AUDIT, params=query, headers=KEY).json()["data"]
        ]

    assert page(0) == numbers[:2]
    assert page(numbers[1]) == numbers[2:]
    by_ids = stranger.get(AUDIT, params={"ids": f"{numbers[0]}"}, headers=KEY).json()
    assert [row["dossierId"] for row in by_ids["data"]] == numbers[:1]
