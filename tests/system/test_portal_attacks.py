"""The stand-in portal under attack: a real server, raw sockets, hostile texts.

Whatever arrives is answered, costs a bounded part of memory and disk, leaves nothing behind, and
keeps nobody waiting.
"""

import io
import itertools
import re
import secrets
import socket
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from loadtests.portal.uploads import FIELDS_LIMIT_BYTES, FormReader, UploadError

MAIN = "/o/rest/v2"
LOGIN = "/o/v1/opencps/login"
FILE_LIMIT, FORM_LIMIT = 200_000, 400_000
THREADS, QUEUE = 4, 4
"""Limits of the portal of these tests; see its builder."""
PDF = b"%PDF-1.4\n" + b"x" * 1000
PATIENCE_S = 30.0
"""How long a test waits for an answer before it says that none came."""

INSIDE = re.compile(r"Traceback|site-packages|\.py\b|sqlalche|sqlite|SELECT .+ FROM|syntax error")


def raw(portal: Any, data: bytes) -> bytes:
    """Send bytes over a connection of their own; return what comes until it is closed."""
    with portal.connection() as connection:
        connection.sendall(data)
        return rest_of(connection)


def rest_of(connection: socket.socket) -> bytes:
    """Return what comes until the other side ends, however it ends."""
    received = b""
    try:
        while piece := connection.recv(65_536):
            received += piece
    except ConnectionError:
        pass
    return received


def part(name: str, content: bytes, file_name: str | None = None) -> bytes:
    """Return one part of a multipart body with the boundary B."""
    file = "" if file_name is None else f'; filename="{file_name}"'
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"--B--\r\n"


def in_pieces(data: bytes) -> Iterator[bytes]:
    """Give a body without saying its length before."""
    for start in range(0, len(data), 8192):
        yield data[start : start + 8192]


def peak_bytes(call: Callable[[], object]) -> int:
    """Return how much memory this process, client and server, took at most for a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Uploads


@pytest.mark.parametrize("send", [bytes, in_pieces])
def test_a_file_over_the_limit_is_answered_and_not_kept(
    portal: Any, draft: Any, send: Callable[[bytes], Any]
) -> None:
    before = portal.files_on_disk()
    body = part("dossierPartNo", draft.part_no.encode())
    body += part("file", b"x" * (FILE_LIMIT + 1), "scan.pdf") + END

    answer = draft.post(send(body))

    assert answer.status_code == 413
    assert portal.files_on_disk() == before
    assert draft.upload().status_code == 200


def test_a_file_that_never_ends_is_cut_off_within_bounded_memory(portal: Any, draft: Any) -> None:
    before = portal.files_on_disk()
    piece = b"x" * 65_536
    statuses = []

    def endless() -> Iterator[bytes]:
        yield part("file", b"", "scan.pdf")[:-2]
        yield from itertools.repeat(piece, 400)

    peak = peak_bytes(lambda: statuses.append(draft.post(endless()).status_code))

    assert statuses == [413]
    assert peak < 400 * len(piece) / 4
    assert portal.files_on_disk() == before


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=B", "application/json", "text/x"])
def test_an_announced_giant_is_refused_before_it_arrives(portal: Any, kind: str) -> None:
    head = f"POST {MAIN}/dossiers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += f"Content-Type: {kind}\r\n"

    answer = raw(portal, f"{head}Content-Length: 1000000000000\r\n\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json"])
def test_a_form_over_the_limit_is_answered(draft: Any, kind: str) -> None:
    for send in (bytes, in_pieces):
        body: Any = send(b"serviceCode=" + b"x" * FORM_LIMIT)
        answer = draft.client.post(f"{MAIN}/dossiers", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 413


def test_text_fields_together_take_bounded_memory(portal: Any) -> None:
    reader = FormReader("multipart/form-data; boundary=B", portal.world.blobs, FILE_LIMIT)
    fields = [part(f"f{number}", b"x" * 500_000) for number in range(20)]

    def feed() -> None:
        for each in fields:
            reader.feed(each)

    def feed_all() -> None:
        with pytest.raises(UploadError, match="together"):
            feed()

    assert peak_bytes(feed_all) < 2 * FIELDS_LIMIT_BYTES


def test_many_files_of_one_request_hold_few_descriptors(portal: Any) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    reader = FormReader("multipart/form-data; boundary=B", portal.world.blobs, FILE_LIMIT)
    before = descriptors()
    for number in range(150):
        reader.feed(part("file", b"x", f"{number}.pdf"))
    held = descriptors() - before
    reader.form.discard()

    assert held < 20


@pytest.mark.parametrize(
    "name", ["a.exe", "a.pdf.exe", "a.zip.sh", "a.pdf ", "a.pdf.", "a.pdf::$DATA"]
)
def test_other_kinds_are_refused_whatever_stands_before(portal: Any, draft: Any, name: str) -> None:
    before = portal.files_on_disk()

    answer = draft.upload(name)

    if answer.status_code == 200:  # the name was cleaned
        assert answer.json()["fileType"] == "pdf"
    else:
        assert answer.status_code == 403
        assert portal.files_on_disk() == before


def test_a_program_that_is_called_pdf_comes_back_as_a_harmless_download(draft: Any) -> None:
    page = b"<html><script>alert(1)</script></html>"
    sent = draft.upload("page.html.pdf", page, displayName="<script>alert(1)</script>").json()

    back = draft.client.get(f"{draft.here}/files/{sent['referenceUid']}")

    assert back.content == page
    assert back.headers["content-type"] == "application/pdf"
    assert back.headers["x-content-type-options"] == "nosniff"
    assert back.headers["content-disposition"].startswith("attachment")


def bomb() -> bytes:
    """Return an archive of 2 kB that holds two layers of 20 MB of nothing."""
    content = bytes(20_000_000)
    for name in ("inner.txt", "inner.zip"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.writestr(f"../../{name}", content)
        content = packed.getvalue()
    return content


def test_a_zip_bomb_is_stored_as_it_is(portal: Any, draft: Any) -> None:
    content = bomb() + secrets.token_bytes(8)
    before = portal.files_on_disk()
    sent = []

    peak = peak_bytes(lambda: sent.append(draft.upload("bomb.zip", content).json()))

    (new,) = portal.files_on_disk().items() - before.items()
    assert new[1] == sent[0]["fileSize"] == len(content)
    assert peak < 5_000_000


NAMES = [
    "../../../../etc/cron.d/x.pdf", "/etc/passwd.pdf", "..%2f..%2fx.pdf", "C:\\Windows\\x.pdf",
    "\\\\server\\share\\x.pdf", "CON.pdf", "a\x00.pdf", "a.exe\x00.pdf", "a\r\nX-Evil: 1.pdf",
    "-rf.pdf", "~/x.pdf", "$(reboot).pdf", "'; DROP TABLE dossiers; --.pdf", "\u202efdp.exe.pdf",
    "ế" * 200 + ".pdf", "x" * 5000 + ".pdf", "....//....//x.pdf", ".pdf", "..pdf", "", "/", ".",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_file_leads_anywhere(portal: Any, draft: Any, name: str) -> None:
    before = portal.files_on_disk()
    body = part("dossierPartNo", draft.part_no.encode())
    body += part("file", secrets.token_bytes(20), name) + END

    answer = draft.post(body)

    new = set(portal.files_on_disk()) - set(before)
    assert answer.status_code in (200, 400, 403)
    assert len(new) == (answer.status_code == 200)
    assert all(re.fullmatch("[0-9a-f]{64}", path.name) for path in new)
    assert "x-evil" not in answer.headers
    if answer.status_code == 200:
        assert not set(answer.json()["displayName"]) & set("/\\\x00\r\n")


WHOLE = part("dossierPartNo", b"TP01") + part("file", PDF, "a.pdf") + END

BROKEN: dict[str, tuple[bytes, str]] = {
    "no boundary": (WHOLE, "multipart/form-data"),
    "an empty boundary": (WHOLE, 'multipart/form-data; boundary=""'),
    "a long boundary": (WHOLE, f"multipart/form-data; boundary={'B' * 5000}"),
    "another boundary": (WHOLE, "multipart/form-data; boundary=C"),
    "no end": (WHOLE[:-9], "multipart/form-data; boundary=B"),
    "ten thousand parts": (part("a", b"1") * 10_000 + END, "multipart/form-data; boundary=B"),
    "ten thousand files": (part("a", b"", "a") * 10_000 + END, "multipart/form-data; boundary=B"),
    "a long header": (
        b"--B\r\nX: " + b"y" * 300_000 + b"\r\n\r\n\r\n" + END, "multipart/form-data; boundary=B"
    ),
    "many headers": (
        b"--B\r\n" + b"X: y\r\n" * 5000 + b"\r\n\r\n" + END, "multipart/form-data; boundary=B"
    ),
    "a long name": (part("n" * 4000, b"1") + END, "multipart/form-data; boundary=B"),
    "a boundary within": (part("file", b"--B\r\n--B", "a.pdf"), "multipart/form-data; boundary=B"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_multipart_body_is_answered_and_leaves_nothing(
    portal: Any, draft: Any, what: str
) -> None:
    before = portal.files_on_disk(), portal.rows()

    answer = draft.post(*BROKEN[what])

    assert answer.status_code in (400, 403, 413)
    assert (portal.files_on_disk(), portal.rows()) == before
    assert not INSIDE.search(answer.text)


def test_an_upload_that_breaks_off_leaves_nothing(portal: Any, draft: Any) -> None:
    before = portal.files_on_disk()
    head = f"POST {draft.here}/files HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
    head += f"Authorization: {draft.client.headers['Authorization']}\r\n"
    head += "Content-Type: multipart/form-data; boundary=B\r\n\r\n"

    for _ in range(10):
        with portal.connection() as connection:
            connection.sendall(head.encode() + WHOLE[:-50])
    draft.client.get(f"{draft.here}/files")

    wait_until(lambda: portal.files_on_disk() == before)


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for what follows soon; fail when it does not."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.05)):
        if is_so():
            return
        pause.wait(0.05)
    raise AssertionError("it never came to be so")


# Texts and numbers
SQL = (
    "' OR '1'='1",
    "1; DROP TABLE dossiers; --",
    "\") union select login, id_no, name from users -- %' _ \\",
)


@pytest.mark.parametrize("text", SQL)
def test_sql_in_every_text_field_is_only_text(
    portal: Any, ask: Callable[..., httpx.Response], text: str
) -> None:
    draft = portal.draft()
    known: dict[str, object] = {"dossier_id": draft.here.rpartition("/")[2]}
    people = (draft.client, portal.officer())
    before = portal.rows()

    for method, path, operation in portal.operations:
        if "logout" in path:
            continue
        for client in people:
            answer = ask(client, method, path, operation, text, known)
            assert answer.status_code < 500, f"{method} {path}: {answer.text}"
            assert not INSIDE.search(answer.text.replace(text, "")), f"{method} {path}"

    after = portal.rows()
    assert {name for name in before if after[name] < before[name]} <= {"dossiers", "payments"}
    assert after["users"] <= before["users"] + 1


@pytest.mark.parametrize("text", SQL)
def test_sql_finds_nothing(portal: Any, text: str) -> None:
    officer = portal.officer()
    searches = [("dossiers/todo", "keyword"), ("dossiers/todo", "dossierNo"),
                ("dossiers/todo", "applicantName"), ("serviceinfos", "keyword"),
                ("serviceinfos", "domain")]  # fmt: skip

    for path, name in searches:
        assert officer.get(f"{MAIN}/{path}").json()["total"] > 0
        assert officer.get(f"{MAIN}/{path}", params={name: text}).json()["total"] == 0, name


NOT_UTF8 = b"\xff\xfe\xc3\x28\xed\xa0\x80"


def test_what_is_no_utf8_is_answered(portal: Any, draft: Any) -> None:
    escaped = "".join(f"%{byte:02x}" for byte in NOT_UTF8)
    form = "application/x-www-form-urlencoded"
    client = draft.client
    answers = [
        client.get(f"{MAIN}/dossiertemplates/{escaped}"),
        client.get(f"{MAIN}/dossiers/todo?keyword={escaped}"),
        client.get(f"{draft.here}/files/{escaped}"),
        client.post(LOGIN, content=f"j_captcha_response={escaped}", headers={"Content-Type": form}),
    ]
    for kind in (form, "application/json", "multipart/form-data; boundary=B"):
        for body in (NOT_UTF8, b"serviceCode=" + NOT_UTF8, b'{"id": "' + NOT_UTF8 + b'"}',
                     part(NOT_UTF8.decode("latin-1"), NOT_UTF8) + END):  # fmt: skip
            for path in ("dossiers", "dvcqgsso/auth", "qldc", "dossiers/create/all"):
                headers = {"Content-Type": kind}
                answers.append(client.post(f"{MAIN}/{path}", content=body, headers=headers))
    for name in (b"Token", b"groupId", b"authenKey", b"Cookie", b"Authorization", b"X-Hoso-Key"):
        headers_raw = [(name, NOT_UTF8)]
        answers.append(client.get(f"{MAIN}/dossiers", headers=headers_raw))
        answers.append(client.get("/o/hoso/monitor", headers=headers_raw))

    assert {answer.status_code for answer in answers if answer.status_code >= 500} == set()
    assert not any(INSIDE.search(answer.text) for answer in answers)


@pytest.mark.parametrize("deep", ["[" * 100_000, "[" * 50_000 + "]" * 50_000, '{"a":' * 20_000])
def test_deep_json_is_refused(portal: Any, draft: Any, deep: str) -> None:
    client, here = draft.client, draft.here
    multipart = {"file": ("", b"")}
    answers = [
        client.request(method, path.format(report="x"), content=deep,
                       headers={"Content-Type": "application/json"})
        for method, path, operation in portal.operations
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]  # fmt: skip
    assert answers
    answers += [
        client.put(f"{here}/metadata", data={"data": deep}),
        client.post(f"{here}/actions", data={"actionCode": "1100", "assignUsers": deep}),
        client.post(f"{here}/eforms/TK01", files={"formData": (None, deep)} | multipart),
        client.post(f"{MAIN}/dossiers/create/all", data={"serviceCode": "x", "dossiers": deep},
                    files=multipart),
    ]  # fmt: skip

    assert {answer.status_code for answer in answers} <= {203, 400, 401, 403}


NUMBERS = [
    "NaN", "Infinity", "-Infinity", "-1", "1e308", "1e999", "9" * 400, "9" * 4500, "9" * 20,
    str(2**31), str(2**63), "0x10", "1_000", "١٢", "²", "1.5", "", " 1", "+1", "null", "true",
]  # fmt: skip


def test_odd_numbers_are_answered_everywhere(portal: Any, draft: Any) -> None:
    client, here = draft.client, draft.here
    wrong = []
    for number in NUMBERS:
        literal = number or "null"
        answers = [
            client.get(f"{MAIN}/dossiers/todo", params={"start": number, "end": number}),
            client.get(f"{MAIN}/serviceinfos", params={"start": number, "end": number}),
            client.get(f"{MAIN}/dossiers/{quote(number, safe='')}"),
            client.get(f"{MAIN}/dossiers/{quote(number, safe='')}/files/{quote(number, safe='')}"),
            client.get(f"{MAIN}/serviceinfos/{quote(number, safe='')}"),
            client.get("/o/v1/opencps/users/" + quote(number, safe='')),
            client.post(f"{here}/marks/{draft.part_no}", data={"fileMark": number}),
            client.post(f"{MAIN}/dossiers", data={"serviceCode": "x", "originality": number}),
            client.post("/o/pgi/ppdvcqg/inittransaction", data={"dossierId": number}),
            client.put(f"{here}/metadata", data={"data": f'{{"a": {literal}}}'}),
            client.post("/api/v1/submitting/list-dossier-by-citizen",
                        content=f'{{"limit": {literal}, "lastId": {literal}}}'),
            client.get(f"{MAIN}/dossiers/todo", headers={"groupId": number.strip().encode()}),
            client.get(f"{MAIN}/dossiers/todo", params={"fromSubmitDate": number}),
        ]  # fmt: skip
        wrong += [f"{number[:20]}: {a.request.url}" for a in answers if a.status_code >= 500]

    assert not wrong


# Headers and the server


def test_no_header_comes_from_what_was_sent(portal: Any, draft: Any) -> None:
    evil = 'x"; filename="evil.html"\r\nSet-Cookie: evil=1\r\n\r\n<html>'
    body = part("dossierPartNo", draft.part_no.encode()) + part("referenceUid", evil.encode())
    sent = draft.post(body + part("file", PDF, "a.pdf") + END).json()
    answers = [
        draft.client.get(f"{draft.here}/files/{quote(sent['referenceUid'], safe='')}"),
        draft.client.get(f"{MAIN}/dvcqgsso/authurl", params={"redirectURL": evil, "state": evil}),
        draft.client.get(f"{MAIN}/dossiers/{quote(evil, safe='')}"),
        draft.client.get("/" + quote(evil, safe="")),
    ]

    assert answers[0].content == PDF
    assert answers[0].headers["content-disposition"].count('"') == 2
    assert not any("set-cookie" in answer.headers for answer in answers)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /o/rest/v2/dossiers HTTP/1.1\r\nHost: x\r\n"

LENGTH, CHUNKS = b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n"

SMUGGLING = {
    "a length and chunks": POST + LENGTH + CHUNKS + b"\r\n0\r\n\r\n",
    "chunks and a length": POST + CHUNKS + LENGTH + b"\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 36\r\n\r\n",
    "a list of lengths": POST + b"Content-Length: 0, 36\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a signed length": POST + b"Content-Length: +0\r\n\r\n",
    "a length in words": POST + b"Content-Length: none\r\n\r\n",
    "a hexadecimal length": POST + b"Content-Length: 0x0\r\n\r\n",
    "an endless length": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n",
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 0\r\n\r\n",
    "a chunk of no size": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a chunk of negative size": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a NUL in a header": POST + b"X: a\x00b\r\n\r\n",
    "no request at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("what", SMUGGLING)
def test_a_request_of_unclear_length_is_refused_and_the_connection_closed(
    portal: Any, what: str
) -> None:
    answer = raw(portal, SMUGGLING[what] + SMUGGLED)

    statuses = re.findall(rb"HTTP/1\.1 (\d+)", answer)
    assert statuses in ([b"400"], [b"413"]), answer


@pytest.mark.parametrize(
    "begin",
    [
        b"GET /" + b"a" * 100,
        b"GET / HTTP/1.1\r\nX: ",
        POST + CHUNKS + b"\r\n4\r\nabcd\r\n0\r\nX: ",
        POST + CHUNKS + b"\r\n4;",
    ],
)
def test_a_head_that_never_ends_is_cut_off(portal: Any, begin: bytes) -> None:
    with portal.connection() as connection:
        connection.sendall(begin)
        with pytest.raises(ConnectionError):
            send_often(connection, b"a" * 10_000)

    assert portal.client().get(f"{MAIN}/ping").text == "ok"


def send_often(connection: socket.socket, piece: bytes) -> None:
    for _ in range(5000):
        connection.sendall(piece)


def test_who_never_finishes_keeps_nobody_waiting(portal: Any, draft: Any) -> None:
    upload = f"POST {draft.here}/files HTTP/1.1\r\nHost: x\r\n"
    upload += f"Authorization: {draft.client.headers['Authorization']}\r\n"
    upload += "Content-Type: multipart/form-data; boundary=B\r\n"
    begun = [
        b"GET /o/rest/v2/pi",
        b"GET /o/rest/v2/ping HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        POST + b"Content-Length: 1000\r\n\r\nservice",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nser",
        f"{upload}Content-Length: 9000\r\n\r\n".encode() + WHOLE[:-100],
    ]
    with ExitStack() as slow:
        for data in begun * (THREADS + QUEUE):
            slow.enter_context(portal.connection()).sendall(data)

        assert draft.client.get(f"{MAIN}/ping").text == "ok"
        assert draft.upload().status_code == 200


def test_a_reader_who_does_not_read_keeps_nobody_waiting(portal: Any, draft: Any) -> None:
    sent = draft.upload(content=b"x" * FILE_LIMIT).json()
    request = f"GET {draft.here}/files/{sent['referenceUid']} HTTP/1.1\r\nHost: x\r\n"
    request += f"Authorization: {draft.client.headers['Authorization']}\r\n\r\n"
    with ExitStack() as slow:
        for _ in range(THREADS + QUEUE + 2):
            connection = slow.enter_context(portal.connection())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(request.encode() * 20)

        assert draft.upload().status_code == 200


def test_methods_nobody_offers_are_405(portal: Any) -> None:
    client = portal.client()
    paths = {re.sub(r"\{\w+\}", "1", path) for _, path, _ in portal.operations}

    for path in paths:
        for method in ("PATCH", "TRACE", "OPTIONS"):
            answer = client.request(method, path)
            assert answer.status_code == 405, f"{method} {path}"
            assert answer.headers["allow"]
