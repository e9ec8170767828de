"""Papers of the stand-in portal: what is taken, what is refused, that no byte is lost."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from loadtests.portal.attachments import ALLOWED_EXTENSIONS
from loadtests.portal.blobs import BlobStore
from loadtests.portal.store import Database
from loadtests.portal.store.models import DossierFile, Service
from loadtests.portal.uploads import FormReader, UploadError

MAIN = "/o/rest/v2"
PDF = b"%PDF-1.4\n" + b"x" * 1000

Citizen = Callable[..., httpx.Client]


@pytest.fixture
def blobs(portal_app: Any) -> BlobStore:
    found: BlobStore = portal_app.state.world.blobs
    return found


@pytest.fixture
def draft(portal_app: Any, citizen: Citizen) -> tuple[httpx.Client, str]:
    """Give a citizen's browser and the path of their draft, which has a form and papers."""
    database: Database = portal_app.state.world.database
    with database.reading() as db:
        query = select(Service.code).where(Service.e_form, Service.upload_slots > 0)
        code = db.scalars(query).first()
    me = citizen()
    number = me.post(f"{MAIN}/dossiers", data={"serviceCode": code}).json()["dossierId"]
    return me, f"{MAIN}/dossiers/{number}"


def upload(
    client: httpx.Client, here: str, name: str = "scan.pdf", content: bytes = PDF, **fields: str
) -> httpx.Response:
    form = {"displayName": "scan", "dossierPartNo": "TP01"} | fields
    return client.post(f"{here}/files", data=form, files={"file": (name, content)})


def files_on_disk(blobs: BlobStore) -> set[Path]:
    return {path for path in blobs.incoming_folder.parent.rglob("*") if path.is_file()}


def multipart(client: httpx.Client, path: str, body: bytes, boundary: str = "B") -> httpx.Response:
    """Send a body as it is, as multipart."""
    kind = f"multipart/form-data; boundary={boundary}"
    return client.post(path, content=body, headers={"Content-Type": kind})


def part(name: bytes, content: bytes, file_name: bytes = b"") -> bytes:
    head = b'--B\r\nContent-Disposition: form-data; name="' + name + b'"'
    if file_name:
        head += b'; filename="' + file_name + b'"'
    return head + b"\r\n\r\n" + content + b"\r\n"


def test_a_paper_comes_back_byte_by_byte(draft: tuple[httpx.Client, str]) -> None:
    me, here = draft
    content = os.urandom(700_000)

    sent = upload(me, here, "scan.PDF", content).json()
    back = me.get(f"{here}/files/{sent['referenceUid']}")

    assert (sent["fileSize"], sent["fileType"], sent["displayName"]) == (700_000, "pdf", "scan")
    assert back.content == content
    assert back.headers["content-type"] == "application/pdf"
    assert me.get(f"{here}/files/{sent['referenceUid']}/preview.pdf").content == content


def test_equal_papers_are_stored_once_under_their_hash(
    draft: tuple[httpx.Client, str], blobs: BlobStore
) -> None:
    me, here = draft
    content = os.urandom(100)
    before = files_on_disk(blobs)

    first, second = upload(me, here, content=content), upload(me, here, content=content)

    assert first.json()["referenceUid"] != second.json()["referenceUid"]
    (new,) = files_on_disk(blobs) - before
    assert new.name == hashlib.sha256(content).hexdigest()
    assert blobs.is_whole(new.name, 100)


def test_a_changed_byte_on_disk_is_noticed(
    draft: tuple[httpx.Client, str], blobs: BlobStore
) -> None:
    content = os.urandom(100)
    upload(*draft, content=content)
    sha256 = hashlib.sha256(content).hexdigest()

    blobs.path(sha256).write_bytes(content[:-1] + b"!")

    assert not blobs.is_whole(sha256, 100)
    assert not blobs.is_whole("0" * 64, 100)


@pytest.mark.parametrize(
    "name", ["a.exe", "a", "a.pdf.sh", ".pdf", "a.svg", "a.html", "pdf", "a.", "a.PhP"]
)
def test_other_kinds_of_files_are_refused(
    draft: tuple[httpx.Client, str], blobs: BlobStore, name: str
) -> None:
    before = files_on_disk(blobs)

    answer = upload(*draft, name)

    assert answer.status_code == 403
    assert answer.json()["message"] == "No Content."
    assert files_on_disk(blobs) == before


@pytest.mark.parametrize("kind", sorted(ALLOWED_EXTENSIONS))
def test_every_published_kind_is_taken(draft: tuple[httpx.Client, str], kind: str) -> None:
    assert upload(*draft, f"giấy tờ.{kind}").json()["fileType"] == kind


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd.pdf", "..\\..\\x.pdf", "/etc/x.pdf", "C:\\x.pdf", "a\x01b.pdf"]
)
def test_folders_in_a_name_lead_nowhere(
    draft: tuple[httpx.Client, str], blobs: BlobStore, name: str
) -> None:
    me, here = draft

    answer = upload(me, here, name, displayName="")

    assert answer.status_code == 200
    shown = answer.json()["displayName"]
    assert not set(shown) & set("/\\\x01")
    assert all(blobs.incoming_folder.parent in path.parents for path in files_on_disk(blobs))


def test_a_file_beyond_the_limit_is_refused_and_not_kept(
    portal_app: Any, citizen: Citizen, small_settings: Callable[..., Any]
) -> None:
    from starlette.testclient import TestClient

    from loadtests.portal.app import make_app

    world = portal_app.state.world
    settings = small_settings(
        world.settings.data, database=world.settings.database, max_upload_bytes=10_000
    )
    client = TestClient(make_app(settings, world.database), headers=citizen().headers)
    with world.database.reading() as db:
        code = db.scalars(select(Service.code).where(Service.upload_slots > 0)).first()
    number = client.post(f"{MAIN}/dossiers", data={"serviceCode": code}).json()["dossierId"]
    before = files_on_disk(world.blobs)

    exact = upload(client, f"{MAIN}/dossiers/{number}", content=b"x" * 10_000)
    over = upload(client, f"{MAIN}/dossiers/{number}", content=b"x" * 10_001)

    assert (exact.status_code, over.status_code) == (200, 413)
    assert len(files_on_disk(world.blobs) - before) == 1


WHOLE = part(b"dossierPartNo", b"TP01") + part(b"file", PDF, b"a.pdf") + b"--B--\r\n"


def test_a_whole_body_by_hand_is_taken(draft: tuple[httpx.Client, str]) -> None:
    me, here = draft

    assert multipart(me, f"{here}/files", WHOLE).json()["fileSize"] == len(PDF)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"--B",
        WHOLE[:-9],
        WHOLE[: len(WHOLE) // 2],
        part(b"dossierPartNo", b"TP01") + b"--B--\r\n",
        part(b"file", PDF, b"a.pdf") * 2 + part(b"dossierPartNo", b"TP01") + b"--B--\r\n",
        b"--B\r\n\r\nno header\r\n--B--\r\n",
        b"--B\r\nContent-Disposition: form-data\r\n\r\nno name\r\n--B--\r\n",
        part(b"x" * 10, b"y" * 1_100_000) + b"--B--\r\n",
        part(b"a", b"1") * 201 + b"--B--\r\n",
        part(b"\xff\xfe", b"\xff\x00\xff") + b"--B--\r\n",
        b"--B\r\n" + b"X: " + b"y" * 10_000 + b"\r\n\r\n--B--\r\n",
    ],
)
def test_a_broken_body_is_answered_and_leaves_nothing(
    draft: tuple[httpx.Client, str], blobs: BlobStore, body: bytes
) -> None:
    me, here = draft
    before = files_on_disk(blobs)

    answer = multipart(me, f"{here}/files", body)

    assert answer.status_code in (400, 403)
    assert files_on_disk(blobs) == before
    assert me.get(f"{here}/files").json()["total"] == 0


@pytest.mark.parametrize("kind", ["multipart/form-data", "application/json", "", "multipart/mixed"])
def test_a_body_of_another_kind_is_answered(draft: tuple[httpx.Client, str], kind: str) -> None:
    me, here = draft

    answer = me.post(f"{here}/files", content=b"x", headers={"Content-Type": kind})

    assert answer.status_code == 400


def test_memory_holds_a_piece_of_a_file_only(blobs: BlobStore) -> None:
    import tracemalloc

    reader = FormReader("multipart/form-data; boundary=B", blobs, 100_000_000)
    piece = os.urandom(65_536)
    tracemalloc.start()
    reader.feed(b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n')
    for _ in range(400):
        reader.feed(piece)
    reader.feed(b"\r\n--B--\r\n")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    form = reader.finish()
    size_bytes = form.files[0].blob.size_bytes
    form.discard()

    assert size_bytes == 400 * 65_536
    assert peak_bytes < size_bytes / 20


def test_an_unfinished_body_is_no_form(blobs: BlobStore) -> None:
    reader = FormReader("multipart/form-data; boundary=B", blobs, 1000)
    reader.feed(WHOLE[:-9])

    with pytest.raises(UploadError, match="before its last boundary"):
        reader.finish()
    reader.form.discard()


def test_leftovers_of_a_killed_portal_are_cleared(tmp_path: Path) -> None:
    blobs = BlobStore(tmp_path)
    left = blobs.incoming()
    left.write(b"half a file")
    now = time.time()

    assert blobs.clear_incoming(3600, now) == 0
    assert blobs.clear_incoming(3600, now + 7200) == 1
    assert files_on_disk(blobs) == set()
    left.discard()


@pytest.mark.parametrize("name", ["", "../x", "A" * 64, "0" * 63, "0" * 63 + "/"])
def test_only_a_hash_becomes_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        BlobStore(tmp_path).path(name)


def test_a_file_is_replaced_removed_and_removed_by_template(
    draft: tuple[httpx.Client, str],
) -> None:
    me, here = draft
    sent = upload(me, here).json()
    file = f"{here}/files/{sent['referenceUid']}"

    new = me.post(file, data={"displayName": "new"}, files={"file": ("b.png", b"png")}).json()
    assert (new["fileVersion"], new["fileType"], new["fileSize"]) == ("2", "png", 3)
    assert me.get(file).content == b"png"
    assert me.delete(file).status_code == 200
    assert me.get(file).status_code == 403
    other = upload(me, here).json()
    assert me.delete(f"{here}/files/{other['fileTemplateNo']}/all").status_code == 200
    assert me.get(f"{here}/files").json()["total"] == 0


def test_the_clients_reference_makes_an_upload_repeatable(
    draft: tuple[httpx.Client, str],
) -> None:
    me, here = draft

    first = upload(me, here, referenceUid="paper-1").json()
    again = upload(me, here, referenceUid="paper-1").json()
    other = upload(me, here, content=b"other", referenceUid="paper-1")

    assert first["dossierFileId"] == again["dossierFileId"]
    assert other.status_code == 403


def test_a_form_saved_again_keeps_its_row_and_waits_for_its_pdf(
    draft: tuple[httpx.Client, str], portal_app: Any
) -> None:
    me, here = draft
    path = f"{here}/eforms/TK01"
    first = me.post(path, files={"formData": (None, '{"a": 1}'), "file": (None, "")}).json()
    second = me.post(path, files={"formData": (None, '{"a": 2}')}).json()
    put = me.put(f"{here}/files/{first['referenceUid']}/formdata", data={"formdata": '{"a": 3}'})

    assert first["dossierFileId"] == second["dossierFileId"]
    assert (second["fileVersion"], second["fileSize"], put.text) == ("2", 0, '{"a": 3}')
    assert me.get(f"{path}/formdata").json() == {"a": 3}
    with portal_app.state.world.database.reading() as db:
        file = db.get_one(DossierFile, first["dossierFileId"])
    assert file.render_state == "queued"
    assert 0.9 < file.render_due_at - file.modified_at < 3.1
    assert me.get(f"{here}/files/{first['referenceUid']}").status_code == 403


def test_a_form_is_emptied(draft: tuple[httpx.Client, str]) -> None:
    me, here = draft
    form = me.post(f"{here}/eforms/TK01", files={"formData": (None, '{"a": 1}')}).json()

    me.put(f"{here}/files/{form['referenceUid']}/resetformdata")

    assert me.get(f"{here}/eforms/TK01/formdata").json() == {}


@pytest.mark.parametrize(
    "text", ["", "{}", '{"ok": "ế"}', "no json", "[1]", "[" * 10_000, '{"a": "\\u0000"}', "NaN"]
)
def test_form_data_is_a_json_object(draft: tuple[httpx.Client, str], text: str) -> None:
    me, here = draft

    answer = me.post(f"{here}/eforms/TK01", files={"formData": (None, text)})

    assert answer.status_code == (200 if text in ("", "{}", '{"ok": "ế"}') else 400)


def test_a_form_is_filled_from_the_shared_data(portal_app: Any, citizen: Citizen) -> None:
    known = citizen("031050900000")  # the first person of the warehouse
    with portal_app.state.world.database.reading() as db:
        code = db.scalars(select(Service.code).where(Service.e_form)).first()
    number = known.post(f"{MAIN}/dossiers", data={"serviceCode": code}).json()["dossierId"]

    data = known.get(f"{MAIN}/dossiers/{number}/eforms/TK01/formdata").json()

    assert data["soDinhDanh"] == "031050900000"
    assert data["hoVaTen"]


def test_a_paper_of_an_earlier_dossier_is_used_again(
    draft: tuple[httpx.Client, str], citizen: Citizen
) -> None:
    me, here = draft
    sent = upload(me, here).json()
    form = {"dossierFileId": str(sent["dossierFileId"])}

    copy = me.post(f"{here}/files/copyfile", data=form)
    stolen = citizen().post(f"{here}/files/copyfile", data=form)

    assert copy.json()["referenceUid"] != sent["referenceUid"]
    assert copy.json()["fileSize"] == len(PDF)
    assert stolen.status_code == 401


def test_a_part_the_template_does_not_have_is_refused(draft: tuple[httpx.Client, str]) -> None:
    me, here = draft

    assert upload(me, here, dossierPartNo="TP99").status_code == 403
    assert me.post(f"{here}/marks/TP99", data={"fileMark": "1"}).status_code == 403
    assert me.post(f"{here}/marks/TP01", data={"fileMark": "x"}).status_code == 400
    assert me.post(f"{here}/eforms/TP01", files={"formData": (None, "{}")}).status_code == 403
