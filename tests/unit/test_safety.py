"""Where a load may go: this machine, or a host a written permission names; every known trick."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.safety import (
    Allowed,
    HostRefusedError,
    Resolve,
    Resolved,
    check_host,
    host_name,
    is_government,
    read_authorisation,
)

NOW = dt.datetime.fromisoformat("2026-11-02T22:30:00+07:00")
PERMIT = {
    "host": "staging.example.vn",
    "from": "2026-11-02T22:00+07:00",
    "to": "2026-11-03T02:00+07:00",
    "rate_cap_per_s": "200",
    "requests_cap": "500_000",
    "by": "Nguyễn Văn A, operator",
    "reference": "letter 12/2026",
}


def nobody(host: str) -> Resolved:
    raise OSError("unknown name")


def anything_is(*addresses: str, canonical: str = "") -> Resolve:
    return lambda host: Resolved(addresses, canonical or host)


def permit_file(folder: Path, **changes: str | None) -> Path:
    path = folder / "permit.yaml"
    rows = PERMIT | changes
    path.write_text("".join(f"{key}: {value}\n" for key, value in rows.items() if value))
    return path


def ask(url: str, permit: Path | None = None, rate_per_s: float = 100, **more) -> Allowed:
    more = {"resolve": anything_is("203.0.113.7")} | more
    now = more.pop("now", NOW)
    return check_host(url, permit, rate_per_s, now, **more)


def refusal(url: str, permit: Path | None = None, **more) -> str:
    with pytest.raises(HostRefusedError) as caught:
        ask(url, permit, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080),
        ("http://127.3.2.1/", "127.3.2.1", 80),
        ("https://[::1]:8443/path?x", "::1", 8443),
        ("HTTP://127.0.0.1.:8080", "127.0.0.1", 8080),
    ],
)
def test_loopback_is_allowed_without_asking_anybody(url: str, address: str, port: int):
    allowed = ask(url, resolve=nobody)
    assert (allowed.address, allowed.port, allowed.rate_cap_per_s) == (address, port, None)


@pytest.mark.parametrize("url", ["http://localhost:8080", "http://LocalHost.:8080"])
def test_localhost_is_allowed_and_its_address_pinned(url: str):
    allowed = ask(url, resolve=anything_is("::1", "127.0.0.1"))
    assert (allowed.host, allowed.address) == ("localhost", "127.0.0.1")


def test_localhost_that_means_another_machine_too_is_refused():
    told = refusal("http://localhost", resolve=anything_is("127.0.0.1", "203.0.113.7"))
    assert "use http://127.0.0.1:PORT" in told


@pytest.mark.parametrize(
    "host", ["127.0.0.1.nip.io", "localhost.example.com", "localtest.me", "x.localhost"]
)
def test_a_name_that_only_means_loopback_today_is_refused(host: str):
    told = refusal(f"http://{host}:8080", resolve=anything_is("127.0.0.1"))
    assert "only looks like this machine" in told
    assert "Use http://127.0.0.1:8080." in told


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.01",
        "1.2.3.4.5",
        "x.0x",
    ],
)
def test_an_address_in_disguise_is_refused(host: str):
    assert "four decimal numbers" in refusal(f"http://{host}/", resolve=anything_is("127.0.0.1"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://127.0.0.1", "must start with http"),
        ("127.0.0.1:8080", "must start with http"),
        ("http://127.0.0.1@dichvucong.gov.vn/", "no user or password"),
        ("http://127.0.0.1:80@dichvucong.gov.vn:80/", "no user or password"),
        ("http://u:secret@127.0.0.1/", "no user or password"),
        ("http://127.0.0.1\\@dichvucong.gov.vn/", "no blanks"),
        ("http://dichvucong.gov.vn\t/", "no blanks"),
        (" http://127.0.0.1", "no blanks"),
        ("http://127.0.0.1:99999/", "ort"),
        ("http://127.0.0.1:80:80/", "ort"),
        ("http:///", "no host name"),
        ("http://127.0.0.1%2egov.vn/", "no host name"),
        ("http://a..b/", "no host name"),
        ("http://[::ffff:127.0.0.1]/", "plain IPv4 or IPv6"),
        ("http://[fe80::1%25eth0]/", "IPv6"),
        ("http://[::1", "IPv6"),
    ],
)
def test_a_url_that_programs_read_differently_is_refused(url: str, told: str):
    text = refusal(url)
    assert told in text
    assert "secret" not in text


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]", "10.0.0.5", "203.0.113.7", "[2001:db8::1]"])
def test_any_other_address_needs_a_permission(address: str):
    assert "--authorisation FILE" in refusal(f"http://{address}/")


@pytest.mark.parametrize(
    "host",
    [
        "gov.vn",
        "dichvucong.gov.vn",
        "DichVuCong.HaiPhong.GOV.VN",
        "dichvucong.haiphong.gov.vn.",
        "dichvucong.haiphong.gov.vn:8443",
        "ｄｉｃｈｖｕｃｏｎｇ.ｇｏｖ.ｖｎ",
        "dichvucong。gov。vn",
        "dịchvụcông.gov.vn",
        "dichvucong.go\u00adv.vn",
    ],
)
def test_the_states_hosts_are_refused_whatever_their_spelling(host: str):
    told = refusal(f"https://{host}/", resolve=anything_is("203.0.113.7"))
    assert "belongs to the state" in told
    assert "stand-in portal" in told


@pytest.mark.parametrize("host", ["notgov.vn", "gov.vn.example.com", "mygov.vn", "example.vn"])
def test_a_name_that_only_resembles_the_states_is_no_state_host(host: str):
    assert "belongs to the state" not in refusal(f"https://{host}/")


def test_an_alias_of_a_state_host_is_told_as_such(tmp_path: Path):
    alias = anything_is("203.0.113.7", canonical="portal.haiphong.gov.vn")
    assert "belongs to the state" in refusal("http://staging.example.vn", resolve=alias)
    told = refusal("http://staging.example.vn", permit_file(tmp_path), resolve=alias)
    assert "stands for portal.haiphong.gov.vn" in told


def test_a_permission_opens_the_host_it_names_and_pins_its_address(tmp_path: Path):
    allowed = ask("https://Staging.Example.vn./", permit_file(tmp_path), duration_s=3600)
    assert (allowed.host, allowed.address) == ("staging.example.vn", "203.0.113.7")
    assert (allowed.rate_cap_per_s, allowed.requests_cap) == (200, 500_000)
    assert allowed.until == dt.datetime.fromisoformat("2026-11-03T02:00+07:00")
    assert (allowed.by, allowed.reference) == ("Nguyễn Văn A, operator", "letter 12/2026")


def test_a_permission_opens_a_state_host_only_by_its_exact_name(tmp_path: Path):
    permit = permit_file(tmp_path, host="dichvucong.haiphong.gov.vn")
    assert ask("https://dichvucong.haiphong.gov.vn", permit).by == PERMIT["by"]
    told = refusal("https://motcua.haiphong.gov.vn", permit)
    assert "it names dichvucong.haiphong.gov.vn, the load would go to motcua" in told


def test_a_permission_may_name_an_address(tmp_path: Path):
    permit = permit_file(tmp_path, host="10.0.0.5")
    assert ask("http://10.0.0.5:8080", permit).address == "10.0.0.5"
    assert "10.0.0.6" in refusal("http://10.0.0.6:8080", permit)
    assert ask("http://[2001:DB8:0::5]", permit_file(tmp_path, host='"2001:db8::5"')).port == 80


@pytest.mark.parametrize(
    "pattern", ["'*.example.vn'", "'*'", "example.vn", "staging.example.vn:443"]
)
def test_a_permission_is_no_pattern(tmp_path: Path, pattern: str):
    assert "it names" in refusal("http://staging.example.vn", permit_file(tmp_path, host=pattern))


def test_the_permission_must_cover_the_whole_run(tmp_path: Path):
    permit, hour = permit_file(tmp_path), dt.timedelta(hours=1)
    url = "https://staging.example.vn"
    assert "begins at" in refusal(url, permit, now=NOW - hour)
    assert "ends at" in refusal(url, permit, now=NOW + 3 * hour, duration_s=3600)
    ask(url, permit, now=NOW + 2.5 * hour, duration_s=3600)
    ask(url, permit, now=NOW.astimezone(dt.UTC))


def test_every_reason_is_told_at_once(tmp_path: Path):
    told = refusal(
        "https://other.example.vn",
        permit_file(tmp_path),
        now=NOW - dt.timedelta(days=1),
        rate_per_s=201,
        requests=500_001,
    )
    for reason in ("it names", "begins at", "allows 200 requests/s", "allows 500,000 requests"):
        assert reason in told


def test_an_unknown_rate_is_not_within_the_cap(tmp_path: Path):
    permit = permit_file(tmp_path)
    assert "up to nan" in refusal("https://staging.example.vn", permit, rate_per_s=float("nan"))


def test_a_name_nobody_knows_is_told(tmp_path: Path):
    assert "cannot be resolved" in refusal("http://x.example.vn", resolve=nobody)
    assert "no address" in refusal("http://x.example.vn", resolve=anything_is())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"by": None}, "by: missing"),
        ({"hosts": "a"}, "hosts: unknown key; did you mean host?"),
        ({"from": "2026-11-02T22:00"}, "offset from UTC"),
        ({"from": "soon"}, "from: must be a date and time"),
        ({"to": "2026-11-02T21:00+07:00"}, "to must be later than from"),
        ({"rate_cap_per_s": "-1"}, "rate_cap_per_s"),
        ({"requests_cap": "many"}, "requests_cap"),
        ({"by": "a\nby: b"}, "by"),
    ],
)
def test_a_wrong_permission_is_told(tmp_path: Path, changes: dict, told: str):
    path = permit_file(tmp_path, **changes)
    with pytest.raises(HostRefusedError) as caught:
        read_authorisation(path)
    assert told in str(caught.value)
    assert "permit.yaml" in str(caught.value)


def test_a_missing_permission_is_told(tmp_path: Path):
    with pytest.raises(HostRefusedError, match=r"none\.yaml"):
        read_authorisation(tmp_path / "none.yaml")


def test_a_redirect_is_covered_only_at_the_same_place():
    allowed = Allowed("http", "staging.example.vn", 8080, "203.0.113.7")
    for inside in (
        "/next",
        "next?x=1",
        "http://STAGING.example.vn.:8080/a",
        "//staging.example.vn:8080",
    ):
        assert allowed.covers(inside)
    for outside in (
        "https://staging.example.vn:8080/",
        "http://staging.example.vn/",
        "//dichvucong.gov.vn/",
        "http://staging.example.vn:8080@dichvucong.gov.vn/",
        "http://203.0.113.7:8080/",
        "javascript:alert(1)",
        "/\\dichvucong.gov.vn",
    ):
        assert not allowed.covers(outside)


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@settings(deadline=None, derandomize=True)
@given(st.lists(LABELS, min_size=0, max_size=3), st.data())
def test_no_spelling_hides_a_state_host(labels: list[str], data: st.DataObject):
    name = ".".join([*labels, "gov", "vn"])
    spelled = "".join(
        data.draw(st.sampled_from([letter, letter.upper(), chr(ord(letter) + 0xFEE0)]))
        for letter in name
    )
    spelled += data.draw(st.sampled_from(["", "."]))
    assert is_government(host_name(spelled))
    with pytest.raises(HostRefusedError):
        ask(f"http://{spelled}/", resolve=anything_is("127.0.0.1"))


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=40))
def test_whatever_is_written_only_loopback_passes_without_permission(text: str):
    try:
        allowed = ask(f"http://{text}", resolve=anything_is("203.0.113.7"))
    except HostRefusedError:
        return
    assert allowed.address.startswith("127.") or allowed.address == "::1"


@settings(deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_of_all_addresses_only_loopback_passes(number: int):
    dotted = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
    for spelled in (dotted, str(number), hex(number)):
        try:
            ask(f"http://{spelled}:8080")
        except HostRefusedError:
            assert spelled != dotted or number >> 24 != 127
        else:
            assert spelled == dotted
            assert number >> 24 == 127
