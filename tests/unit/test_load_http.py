"""A citizen's HTTP client against sockets that behave as real servers sometimes do."""

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import pytest

from loadtests.dialects import Call
from loadtests.http import CONNECTIONS, Browser, ExchangeError, Target

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = Call("GET", "/page?x=1", {"Token": "t"})
POST = Call("POST", "/page", {}, b"a=1")


class Server:
    """Accepts connections one after the other; ``serve`` gets each and talks as it likes."""

    def __init__(self, serve: Callable[["Server", socket.socket], None]) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def request(self, connection: socket.socket) -> bool:
        """Read one request; returns whether there was one."""
        data = b""
        while b"\r\n\r\n" not in data:
            block = connection.recv(65536)
            if not block:
                return False
            data += block
        head, _, body = data.partition(b"\r\n\r\n")
        _, found, rest = head.lower().partition(b"content-length:")
        length = int(rest.split(b"\r\n")[0]) if found else 0
        while len(body) < length:
            body += connection.recv(65536)
        self.heads.append(head)
        self.bodies.append(body)
        return True

    def close(self) -> None:
        # A closed listening socket does not wake its accept; a last connection does.
        self._is_closing = True
        with socket.create_connection(self._listening.getsockname()[:2]):
            pass
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        self._is_closing = False
        while True:
            connection, _ = self._listening.accept()
            with connection:
                if self._is_closing:
                    return
                self.connections += 1
                connection.settimeout(10.0)
                self._serve(self, connection)


@contextmanager
def serving(serve: Callable[[Server, socket.socket], None]) -> Iterator[tuple[Server, Browser]]:
    """Give a server and a client of it."""
    server = Server(serve)
    browser = Browser(Target.of(server.url))
    try:
        yield server, browser
    finally:
        browser.close()
        server.close()


def always(answer: bytes) -> Callable[[Server, socket.socket], None]:
    """Answer every request of a connection alike."""

    def serve(server: Server, connection: socket.socket) -> None:
        while server.request(connection):
            connection.sendall(answer)

    return serve


def once(answer: bytes) -> Callable[[Server, socket.socket], None]:
    """Answer one request, then close the connection without a word, as a server that idles out."""

    def serve(server: Server, connection: socket.socket) -> None:
        if server.request(connection):
            connection.sendall(answer)

    return serve


def test_a_request_is_sent_as_the_dialect_says() -> None:
    with serving(always(OK)) as (server, browser):
        answer = browser.send(GET)
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["content-length"] == "2"
    lines = server.heads[0].split(b"\r\n")
    assert lines[0] == b"GET /page?x=1 HTTP/1.1"
    assert b"Token: t" in lines
    assert f"Host: {server.url.removeprefix('http://')}".encode() in lines


def test_a_connection_serves_one_request_after_the_other() -> None:
    with serving(always(OK)) as (server, browser):
        for _ in range(5):
            browser.send(GET)
        assert server.connections == 1


@pytest.mark.parametrize("call", [GET, POST])
def test_a_connection_closed_meanwhile_is_not_used_again(call: Call) -> None:
    with serving(once(OK)) as (server, browser):
        for _ in range(3):
            assert browser.send(call).status == 200
            gevent.sleep(0.05)
        assert server.connections == 3


def test_a_write_is_never_sent_twice_by_itself() -> None:
    def serve(server: Server, connection: socket.socket) -> None:
        server.request(connection)  # and no answer

    with serving(serve) as (server, browser), pytest.raises(ExchangeError, match="without an ans"):
        browser.send(POST)
    assert server.heads.count(server.heads[0]) == 1


def test_answers_in_pieces_and_in_chunks_are_put_together() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    )

    def serve(server: Server, connection: socket.socket) -> None:
        while server.request(connection):
            for byte in answer:
                connection.sendall(bytes([byte]))

    with serving(serve) as (_, browser):
        assert browser.send(GET).body == b"abcdefg"
        assert browser.send(GET).body == b"abcdefg"


def test_an_answer_may_be_as_long_as_its_connection() -> None:
    with serving(once(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end")) as (
        _,
        browser,
    ):
        assert browser.send(GET).body == b"until the end"


def test_an_answer_cut_short_is_an_error() -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    with serving(once(cut)) as (_, browser), pytest.raises(ExchangeError):
        browser.send(GET)


def test_what_is_not_http_is_an_error() -> None:
    with serving(once(b"SSH-2.0-OpenSSH\r\n")) as (_, browser), pytest.raises(ExchangeError):
        browser.send(GET)


def test_an_interim_answer_is_passed_over() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    with serving(always(answer)) as (_, browser):
        found = browser.send(GET)
        assert (found.status, found.body) == (200, b"ok")
        assert "link" not in found.headers


def test_a_packed_answer_is_unpacked() -> None:
    body = gzip.compress(b"text " * 100)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with serving(always(head + body)) as (_, browser):
        assert browser.send(GET).body == b"text " * 100


def test_head_and_bodiless_answers_leave_the_connection_usable() -> None:
    def serve(server: Server, connection: socket.socket) -> None:
        for answer in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
            b"HTTP/1.1 204 No\r\n\r\n",
            OK,
        ):
            server.request(connection)
            connection.sendall(answer)

    with serving(serve) as (server, browser):
        assert browser.send(Call("HEAD", "/")).body == b""
        assert browser.send(Call("DELETE", "/")).status == 204
        assert browser.send(GET).body == b"ok"
        assert server.connections == 1


def test_cookies_are_kept_sent_and_given_up() -> None:
    first = b"HTTP/1.1 200 OK\r\nSet-Cookie: JSESSIONID=abc; Path=/; HttpOnly\r\n"
    first += b"Set-Cookie: lang=vi\r\nContent-Length: 0\r\n\r\n"
    second = b"HTTP/1.1 200 OK\r\nSet-Cookie: lang=; Max-Age=0\r\nContent-Length: 0\r\n\r\n"

    def serve(server: Server, connection: socket.socket) -> None:
        for answer in (first, second, OK):
            server.request(connection)
            connection.sendall(answer)

    with serving(serve) as (server, browser):
        for _ in range(3):
            browser.send(GET)
    cookies = [
        [line for line in head.split(b"\r\n") if line.startswith(b"Cookie:")]
        for head in server.heads
    ]
    assert cookies == [
        [],
        [b"Cookie: JSESSIONID=abc; lang=vi"],
        [b"Cookie: JSESSIONID=abc"],
    ]


def test_a_large_upload_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    with serving(always(OK)) as (server, browser):
        assert browser.send(Call("POST", "/file", {}, body)).status == 200
    assert server.bodies == [body]


def test_an_upload_refused_at_once_is_answered_not_broken() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def serve(server: Server, connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(refusal)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    with serving(serve) as (_, browser):
        assert browser.send(Call("POST", "/file", {}, b"x" * 5_000_000)).status == 413


def test_a_post_without_a_body_says_so() -> None:
    with serving(always(OK)) as (server, browser):
        browser.send(Call("POST", "/action"))
    assert b"Content-Length: 0" in server.heads[0]


def test_a_redirect_is_not_followed() -> None:
    away = b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n"
    with serving(always(away)) as (_, browser):
        assert browser.send(GET).status == 302


def test_what_an_endpoint_stands_for_besides_is_sent_until_one_fails() -> None:
    failed = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"

    def serve(server: Server, connection: socket.socket) -> None:
        for answer in (OK, failed):
            server.request(connection)
            connection.sendall(answer)

    with serving(serve) as (server, browser):
        call = Call("GET", "/1", follows=(Call("GET", "/2"), Call("GET", "/3")))
        assert browser.send(call).status == 500
    assert [head.split(b" ")[1] for head in server.heads] == [b"/1", b"/2"]


def test_nobody_listening_is_one_line_for_people() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ExchangeError, match=r"refused \(ECONNREFUSED\)"):
        Browser(Target.of(url)).send(GET)


def test_who_loses_patience_leaves_the_connection() -> None:
    def serve(server: Server, connection: socket.socket) -> None:
        server.request(connection)
        assert connection.recv(1) == b"", "the client has left"

    with serving(serve) as (server, browser):
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.1):
            browser.send(GET)
        assert server.connections == 1


def test_a_client_opens_six_connections_at_most() -> None:
    gate = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    seen = []

    def talk(connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                gate.wait(10.0)
                connection.sendall(OK)

    def run() -> None:
        for _ in range(CONNECTIONS):
            connection, _ = listening.accept()
            seen.append(threading.Thread(target=talk, args=[connection]))
            seen[-1].start()

    accepting = threading.Thread(target=run)
    accepting.start()
    browser = Browser(Target.of(f"http://127.0.0.1:{listening.getsockname()[1]}"))
    calls = [gevent.spawn(browser.send, GET) for _ in range(3 * CONNECTIONS)]
    while len(seen) < CONNECTIONS:
        gevent.sleep(0.01)
    gate.set()
    gevent.joinall(calls, raise_error=True)
    assert [call.value.status for call in calls] == [200] * 3 * CONNECTIONS
    accepting.join()
    assert len(seen) == CONNECTIONS
    browser.close()
    for thread in seen:
        thread.join()
    listening.close()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1", "http://", "nothing"])
def test_a_wrong_address_is_refused(url: str) -> None:
    with pytest.raises(ExchangeError, match="no http"):
        Target.of(url)


def test_the_checked_address_gets_the_load_whatever_the_name_means() -> None:
    target = Target.of("http://portal.example:8080/base/", address="127.0.0.1")
    assert target.address == ("127.0.0.1", 8080)
    assert "Host: portal.example:8080" in target.fixed_head
    assert target.prefix == "/base"
