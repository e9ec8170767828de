"""Whether a load test may send its load to a host: this machine always, any other by permission.

The decision is made once, before anything is sent, and holds for the address that was found: the
driver connects to that address, whatever the name means later.
"""

import datetime as dt
import ipaddress
import re
import socket
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, urljoin, urlsplit

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from sim.scenario.base import Spec
from sim.scenario.document import read_document
from sim.scenario.errors import Flaw, advice, dotted

GOVERNMENT = "gov.vn"
"""Domain of the state's own hosts."""

_PORTS = {"http": 80, "https": 443}
_LOCALHOST = "localhost"
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_LONGEST_NAME = 253
# A last label such as 1, 0x7f or 0177 makes the whole host an IPv4 address for most resolvers.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class HostRefusedError(Exception):
    """The load must not be sent; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name means at this moment.

    Attributes
    ----------
    addresses : tuple of str
        Its addresses, the preferred first.
    canonical : str
        The name it stands for in the end (of an alias: of what), lower case.
    """

    addresses: tuple[str, ...]
    canonical: str


Resolve = Callable[[str], Resolved]


@dataclass(frozen=True, slots=True)
class Allowed:
    """Where the load may go, and how much of it.

    Attributes
    ----------
    scheme : {"http", "https"}
        How.
    host : str
        Host as it belongs into the ``Host`` header: lower case, ASCII, no trailing dot.
    port : int
        Port.
    address : str
        Address to connect to, instead of asking for the host's again.
    rate_cap_per_s : float or None
        Requests/s at most; None: no limit.
    requests_cap : int or None
        Requests at most; None: no limit.
    until : datetime or None
        When the permission ends; None: never.
    by, reference : str
        Who allowed it, and where that is written; empty for this machine.
    """

    scheme: str
    host: str
    port: int
    address: str
    rate_cap_per_s: float | None = None
    requests_cap: int | None = None
    until: dt.datetime | None = None
    by: str = ""
    reference: str = ""

    @property
    def origin(self) -> str:
        """Scheme, host and port as a URL without path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        is_usual = self.port == _PORTS[self.scheme]
        return f"{self.scheme}://{host}" + ("" if is_usual else f":{self.port}")

    def covers(self, location: str) -> bool:
        """Return whether a redirect's location, absolute or relative, stays where it is allowed."""
        try:
            target = _target(urljoin(self.origin + "/", location))
        except HostRefusedError:
            return False
        return (target.scheme, target.host, target.port) == (self.scheme, self.host, self.port)


def _moment(value: Any) -> Any:
    """Read ISO 8601 with its offset: an hour without a zone would be anybody's."""
    if isinstance(value, dt.datetime):
        return value
    try:
        return dt.datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("must be a date and time, such as 2026-11-02T22:00+07:00") from None


Moment = Annotated[dt.datetime, BeforeValidator(_moment)]


class Authorisation(Spec):
    """A permission to load a host that is not this machine."""

    host: str
    """Exactly this host; no pattern, no port."""
    from_: Annotated[Moment, Field(alias="from")]
    """From when, with the offset from UTC."""
    to: Moment
    """Until when."""
    rate_cap_per_s: Annotated[float, Field(gt=0)]
    """Requests/s at most."""
    requests_cap: Annotated[int, Field(gt=0)]
    """Requests of one run at most."""
    by: Annotated[str, Field(min_length=1)]
    """Who allowed it."""
    reference: Annotated[str, Field(min_length=1)]
    """Where that is written: number and date of the letter."""

    @model_validator(mode="after")
    def _check_window(self) -> "Authorisation":
        if self.from_.tzinfo is None or self.to.tzinfo is None:
            raise ValueError("from and to need the offset from UTC, such as +07:00")
        if self.from_ >= self.to:
            raise ValueError("to must be later than from")
        return self


def check_host(
    url: str,
    authorisation: Path | None,
    rate_per_s: float,
    now: dt.datetime,
    *,
    duration_s: float = 0.0,
    requests: int = 0,
    resolve: Resolve | None = None,
) -> Allowed:
    """Return where the load may go, or refuse.

    Loopback (127.0.0.0/8, ``::1``, ``localhost`` where it means nothing else) is always allowed,
    any other host only by a file that names it exactly and covers the run.

    Parameters
    ----------
    url : str
        Base URL of the portal.
    authorisation : Path, optional
        YAML file of one :class:`Authorisation`.
    rate_per_s : float
        Highest rate the run will ask for, requests/s.
    now : datetime
        Start of the run, with its time zone.
    duration_s : float
        How long it may send, s, >= 0.
    requests : int
        How many requests are planned, >= 0.
    resolve : callable, optional
        Gives what a name means; absent: the system's resolver.

    Raises
    ------
    HostRefusedError
        With every reason at once.
    """
    target = _target(url)
    if authorisation is None and is_government(target.host):
        raise HostRefusedError(_state_owned(target.host))
    found = _look_up(target, resolve or system_resolve)
    if _is_this_machine(target, found):
        return target.allowed(found.addresses[0])
    if authorisation is None:
        raise HostRefusedError(_needs_file(target, found))
    permit = read_authorisation(authorisation)
    end = now + dt.timedelta(seconds=duration_s)
    reasons = [
        *_wrong_host(permit, target, found),
        *_outside_window(permit, now, end),
        *_over_caps(permit, rate_per_s, requests),
    ]
    if reasons:
        listed = "\n".join(f"- {reason}" for reason in reasons)
        raise HostRefusedError(f"{authorisation} does not allow this run:\n{listed}")
    return target.allowed(found.addresses[0], permit)


def read_authorisation(path: Path) -> Authorisation:
    """Return the permission in a YAML file.

    Raises
    ------
    HostRefusedError
        With everything that is wrong with the file.
    """
    flaws: list[Flaw] = []
    document = read_document(path, str(path), flaws)
    if document is None or flaws:
        raise HostRefusedError("\n".join(map(str, flaws)) or f"{path}: is empty")
    try:
        return Authorisation.model_validate(document.plain(), strict=True)
    except ValidationError as error:
        raise HostRefusedError("\n".join(_told(error, path))) from None


def system_resolve(host: str) -> Resolved:
    """Return what the system's resolver says of a name; an unknown one raises ``OSError``."""
    rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
    addresses = dict.fromkeys(str(row[4][0]) for row in rows)
    return Resolved(tuple(addresses), (rows[0][3] or host).rstrip(".").lower())


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL, taken apart."""

    scheme: str
    host: str
    port: int
    literal: Address | None

    def allowed(self, address: str, permit: Authorisation | None = None) -> Allowed:
        here = Allowed(self.scheme, self.host, self.port, address)
        if permit is None:
            return here
        return Allowed(
            self.scheme,
            self.host,
            self.port,
            address,
            rate_cap_per_s=permit.rate_cap_per_s,
            requests_cap=permit.requests_cap,
            until=permit.to,
            by=permit.by,
            reference=permit.reference,
        )


def _target(url: str) -> _Target:
    """Take a URL apart; whatever two programs could read differently is refused."""
    if _FORBIDDEN.search(url):
        raise HostRefusedError(f"{url!r}: no blanks, control characters or backslashes in a URL")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise HostRefusedError(f"{url}: {error}") from None
    if parts.scheme not in _PORTS:
        raise HostRefusedError(f"{url}: must start with http:// or https://")
    if "@" in parts.netloc:
        raise HostRefusedError(
            f"{parts.scheme}://…@{parts.hostname or ''}: no user or password in the URL; "
            "credentials come from the environment"
        )
    host, literal = _host(url, parts)
    return _Target(parts.scheme, host, _PORTS[parts.scheme] if port is None else port, literal)


def _host(url: str, parts: SplitResult) -> tuple[str, Address | None]:
    """Return the host in its one ASCII form, and its address where it is one."""
    text = parts.hostname or ""
    if parts.netloc.startswith("["):
        try:
            address = ipaddress.IPv6Address(text)
        except ValueError:
            raise HostRefusedError(f"{url}: {text} is no IPv6 address") from None
        if address.scope_id is not None or address.ipv4_mapped is not None:
            raise HostRefusedError(f"{url}: write a plain IPv4 or IPv6 address")
        return str(address), address
    name = host_name(text)
    if _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
        try:
            return name, ipaddress.IPv4Address(name)
        except ValueError:
            raise HostRefusedError(
                f"{url}: {text} is a number to some programs and a name to others; write an "
                "address as four decimal numbers, such as 127.0.0.1"
            ) from None
    return name, None


def host_name(text: str) -> str:
    """Return a host's name in its one form: ASCII (IDNA), lower case, without trailing dot.

    Raises
    ------
    HostRefusedError
        When it is no host name.
    """
    name = unicodedata.normalize("NFKC", text).lower()
    try:
        # The codec also reads the other full stops (。) as dots.
        name = name if name.isascii() else name.encode("idna").decode().lower()
    except UnicodeError:
        raise HostRefusedError(f"{text!r} is no host name") from None
    name = name.removesuffix(".")
    if len(name) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, name.split("."))):
        raise HostRefusedError(f"{text!r} is no host name")
    return name


def _look_up(target: _Target, resolve: Resolve) -> Resolved:
    if target.literal is not None:
        return Resolved((str(target.literal),), target.host)
    try:
        found = resolve(target.host)
    except (OSError, UnicodeError) as error:
        raise HostRefusedError(
            f"{target.host}: the name cannot be resolved ({error}); check its spelling"
        ) from None
    if not found.addresses:
        raise HostRefusedError(f"{target.host}: the name has no address; check its spelling")
    if target.host == _LOCALHOST:
        # Portals are started on 127.0.0.1; ::1 may have nobody listening.
        ordered = sorted(found.addresses, key=lambda address: ":" in address)
        return Resolved(tuple(ordered), found.canonical)
    return found


def _is_this_machine(target: _Target, found: Resolved) -> bool:
    """Return whether a target is loopback by what it is, not by what its name means today."""
    if target.literal is None and target.host != _LOCALHOST:
        return False
    return all(ipaddress.ip_address(address).is_loopback for address in found.addresses)


def is_government(host: str) -> bool:
    """Return whether a host (in the form of :func:`host_name`) is the state's: ``*.gov.vn``."""
    return host == GOVERNMENT or host.endswith(f".{GOVERNMENT}")


_PERMISSION = (
    "Ask its operator for a written permission and state it in a file of the keys host, from, "
    "to, rate_cap_per_s, requests_cap, by and reference; then add --authorisation FILE."
)


def _state_owned(host: str) -> str:
    return (
        f"{host} belongs to the state (*.{GOVERNMENT}): citizens use it, and load without "
        "permission is an attack. Test a copy of it, or the stand-in portal (leave --host out). "
        f"{_PERMISSION}"
    )


def _needs_file(target: _Target, found: Resolved) -> str:
    if is_government(found.canonical):
        return _state_owned(target.host)
    if target.host == _LOCALHOST:
        return (
            f"localhost means {', '.join(found.addresses)} here, which is not this machine alone; "
            "use http://127.0.0.1:PORT"
        )
    if all(ipaddress.ip_address(address).is_loopback for address in found.addresses):
        return (
            f"{target.host} only looks like this machine: its name server may say something else "
            f"next time. Use http://{found.addresses[0]}:{target.port}."
        )
    return f"{target.host} is not this machine ({', '.join(found.addresses)}). {_PERMISSION}"


def _wrong_host(permit: Authorisation, target: _Target, found: Resolved) -> Iterator[str]:
    named = _named(permit.host)
    if named != target.host:
        yield f"it names {permit.host}, the load would go to {target.host}"
    elif is_government(found.canonical) and not is_government(target.host):
        yield (
            f"{target.host} stands for {found.canonical}, which belongs to the state: the "
            "permission must name that"
        )
    for address in map(ipaddress.ip_address, found.addresses):
        if address.is_unspecified or address.is_multicast:
            yield f"{target.host} means {address}, which is no host's own address"


def _named(text: str) -> str | None:
    """Return the host a permission names in its one form; None when it is no host."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return host_name(text)
    except HostRefusedError:
        return None


def _outside_window(permit: Authorisation, now: dt.datetime, end: dt.datetime) -> Iterator[str]:
    if now < permit.from_:
        yield f"it begins at {permit.from_.isoformat()}, now is {_local(now, permit.from_)}"
    if end > permit.to:
        yield f"it ends at {permit.to.isoformat()}, the run may last to {_local(end, permit.to)}"


def _over_caps(permit: Authorisation, rate_per_s: float, requests: int) -> Iterator[str]:
    if not rate_per_s <= permit.rate_cap_per_s:
        yield (
            f"it allows {permit.rate_cap_per_s:g} requests/s, the run would send up to "
            f"{rate_per_s:g}; lower demand.day_factor"
        )
    if requests > permit.requests_cap:
        yield (
            f"it allows {permit.requests_cap:,} requests, the run plans {requests:,}; shorten the "
            "window or lower demand.day_factor"
        )


def _local(moment: dt.datetime, like: dt.datetime) -> str:
    return moment.astimezone(like.tzinfo).isoformat(timespec="seconds")


def _told(error: ValidationError, path: Path) -> Iterator[str]:
    """Yield every fault of a permission in the planner's words."""
    keys = [known.alias or name for name, known in Authorisation.model_fields.items()]
    for each in error.errors(include_url=False):
        where = dotted(tuple(each["loc"]))
        text = {
            "missing": "missing",
            "extra_forbidden": "unknown key" + advice(where, keys),
            "value_error": each["msg"].removeprefix("Value error, "),
        }.get(each["type"], each["msg"])
        yield f"{path}: {where}: {text}" if where else f"{path}: {text}"
