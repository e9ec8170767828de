"""Who may see and change what on the stand-in portal: other people's dossiers, locked doors."""

import json
import re
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from loadtests.portal.conventions import tracking_key
from loadtests.portal.store.models import Base, Dossier, User

MAIN = "/o/rest/v2"
LOGIN = "/o/v1/opencps/login"
MONITOR_KEY, CAPTCHA = "a key for tests", "four letters"
PDF = b"%PDF-1.4\n" + b"x" * 1000

REFUSED = frozenset({203, 400, 401, 403, 405})

# Other people's dossiers


@dataclass
class Victim:
    """A citizen's dossier with everything a dossier has, and what must not leak of it."""

    draft: Any
    known: dict[str, object]
    secrets: tuple[str, ...]


def victim_of(portal: Any) -> Victim:
    draft = portal.draft()
    name, note = f"Nguyễn {secrets.token_hex(8)}", f"note {secrets.token_hex(8)}"
    draft.client.put(draft.here, data={"applicantName": name, "applicantNote": note})
    file = draft.upload(referenceUid=secrets.token_hex(8)).json()
    dossier = draft.client.get(draft.here).json()
    payment = draft.client.get(f"{draft.here}/payment").json()
    number = dossier["dossierId"]
    known = dict.fromkeys(
        ["dossier_id", "dossierId", "class_pk", "classPk", "dossierIds", "id"], str(number)
    )
    known |= {
        "reference_uid": file["referenceUid"], "part_no": draft.part_no, "class_name": "dossier",
        "className": "dossier", "dossierPartNo": draft.part_no, "actionCode": "1100",
        "voting_id": 1, "dossierFileId": str(file["dossierFileId"]),
        "fileEntryId": str(file["dossierFileId"]),
        "code": "9100", "method": "GET", "url": f"/dossiers/{number}", "data": "{}",
        "serverCode": f"SERVER_{dossier['govAgencyCode']}", "step_code": "200", "selected": "x",
        "profileComponentId": draft.part_no, "formData": "{}", "formdata": "{}",
        "fileMark": "1", "fileCheck": "1", "file_template_no": file["fileTemplateNo"],
        "orderId": f"H24-{number}-1", "payment_uid": payment["referenceUid"], "content": "x",
        "toUsers": "[1]", "assignUsers": "[1]", "process_action_id": 1,
        "requestPayment": "1", "advanceAmount": "0", "feeAmount": "1", "serviceAmount": "1",
        "shipAmount": "1",
    }  # fmt: skip
    return Victim(draft, known, (name, note))


def of_dossiers(portal: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the operations that name a dossier, in the path, the query or the body."""
    names = re.compile(r"dossier_id|dossierIds?\b|class_?pk|proxy|orderId", re.IGNORECASE)
    return [
        (method, path, operation)
        for method, path, operation in portal.operations
        if names.search(path + json.dumps(operation.get("parameters", [])))
        or names.search(json.dumps(operation.get("requestBody", {})))
    ]


def state_of(portal: Any, victim: Victim) -> list[str]:
    """Return every row that belongs to the victim's dossier, as text."""
    number = int(str(victim.known["dossier_id"]))
    with portal.world.database.reading() as db:
        return [
            f"{table.name}: {row}"
            for table in Base.metadata.sorted_tables
            if "dossier_id" in table.columns
            for row in db.execute(select(table).where(table.c.dossier_id == number))
        ]


def far_officer(portal: Any, victim: Victim) -> httpx.Client:
    """Return the browser of an officer of another agency."""
    number = int(str(victim.known["dossier_id"]))
    with portal.world.database.reading() as db:
        agency = db.scalar(select(Dossier.agency_code).where(Dossier.dossier_id == number))
        query = select(User.login).where(User.role == "officer", User.agency_code != agency)
        login = db.scalars(query).first()
    assert login
    return portal.signed_in(login)


WHO = {
    "nobody": lambda portal, _: portal.client(),
    "another citizen": lambda portal, _: portal.citizen(),
    "an officer of another agency": far_officer,
}


@pytest.mark.parametrize("who", WHO)
def test_a_dossier_is_closed_to_others(
    portal: Any, ask: Callable[..., httpx.Response], who: str
) -> None:
    victim = victim_of(portal)
    before, on_disk = state_of(portal, victim), portal.files_on_disk()
    client = WHO[who](portal, victim)
    operations = of_dossiers(portal)

    for method, path, operation in operations:
        answer = ask(client, method, path, operation, "x", victim.known)
        place = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        is_list = "data" in answer.text and answer.status_code in (200, 201)
        assert answer.status_code in REFUSED or is_list or answer.text == "99", place
        assert not any(secret in answer.text for secret in victim.secrets), place

    assert len(operations) > 50
    assert state_of(portal, victim) == before
    assert portal.files_on_disk() == on_disk


@pytest.mark.parametrize("who", WHO)
def test_the_tracking_key_opens_no_papers_and_changes_nothing(
    portal: Any, ask: Callable[..., httpx.Response], who: str
) -> None:
    victim = victim_of(portal)
    before = state_of(portal, victim)
    client = WHO[who](portal, victim)
    prefix = portal.world.settings.tracking_prefix
    opened = set()

    for method, path, operation in of_dossiers(portal):
        key = {"authenKey": tracking_key(prefix, time.time())}
        answer = ask(client, method, path, operation, "x", victim.known, key)
        if answer.status_code in (200, 201) and answer.text != "99":
            opened.add(f"{method} {path.removeprefix(MAIN)}")

    assert {call for call in opened if re.search("file|form|payment|mark|document", call)} == set()
    # The proxy passes a GET on: it shows what GET /dossiers/{id} shows.
    assert {call for call in opened if not call.startswith("GET ")} <= {"POST /proxy"}
    assert state_of(portal, victim) == before


def test_its_owner_may_do_what_others_may_not(portal: Any) -> None:
    victim = victim_of(portal)
    client, here = victim.draft.client, victim.draft.here

    assert victim.secrets[0] in client.get(here).text
    assert client.get(f"{here}/files/{victim.known['reference_uid']}").content == PDF
    assert client.post(f"{here}/actions", data={"actionCode": "1100"}).status_code == 200


# Signing in, the operators' routes, the proxy


def test_a_captcha_is_asked_for(portal: Any) -> None:
    client = portal.citizen()
    form = {"applicantName": "A", "applicantIdNo": "031090999999"}

    for wrong in ("wrong", CAPTCHA.upper(), CAPTCHA + "\x00", "' OR '1'='1"):
        data = {"j_captcha_response": wrong}
        look_up = client.get(f"{MAIN}/dossiers/searchDossierNo", params=data | {"dossierNo": "x"})
        assert look_up.status_code in (203, 400)
        assert client.post(LOGIN, data=data).status_code in (203, 400)
        registered = client.post(f"{MAIN}/applicants/withcaptcha", data=form | data)
        assert registered.status_code in (203, 400)


def test_guessing_locks_the_account_on_every_way_in_and_no_other(portal: Any) -> None:
    login = portal.new_login()
    right = portal.signed_in(login)
    assert right.post(LOGIN).text == "ok"
    guess = portal.signed_in(login, "wrong")
    for _ in range(2):
        guess.post(LOGIN)
        guess.get(f"{MAIN}/dossiers/todo")
    guess.post("/api/v1/auth/login", json={"username": login, "password": "wrong"})

    late = portal.signed_in(login)

    assert late.post(LOGIN).text == "lockout"
    assert late.get(f"{MAIN}/dossiers/todo").status_code == 203
    assert portal.citizen().post(LOGIN).text == "ok"


@pytest.mark.parametrize("key", [None, "", "wrong", MONITOR_KEY.upper(), MONITOR_KEY + " x"])
def test_the_operators_routes_are_closed_without_their_key(portal: Any, key: str | None) -> None:
    headers = {} if key is None else {"X-Hoso-Key": key}
    paths = ("/o/hoso/monitor", "/o/hoso/audit/dossiers?reference=hoso-")

    for path in paths:
        for client in (portal.client(), portal.officer()):
            answer = client.get(path, headers=headers)
            assert answer.status_code == 401
            assert "data" not in answer.json()
        assert portal.client().get(path, headers={"X-Hoso-Key": MONITOR_KEY}).status_code == 200


def test_the_proxy_leads_nowhere(portal: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.2)
        host = f"127.0.0.1:{elsewhere.getsockname()[1]}"
        urls = (f"http://{host}/", f"//{host}/dossiers/1", f"@{host}/", f"/dossiers/1@{host}",
                "file:///etc/passwd", f"/dossiers/../..//{host}/", "/users/1",
                "/dossiers/1/files")  # fmt: skip
        for client in (portal.citizen(), portal.officer()):
            for url in urls:
                for server in ("SERVER_x", host, f"SERVER_{host}", "SERVER_", f"http://{host}"):
                    form = {"method": "GET", "url": url, "serverCode": server}
                    answer = client.post(f"{MAIN}/proxy", data=form)
                    assert answer.status_code in (400, 403)
        with pytest.raises(TimeoutError):
            elsewhere.accept()
