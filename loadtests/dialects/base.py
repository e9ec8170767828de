"""What a dialect is: it decides what is sent to a portal and whether the answer is right.

A dialect is pure: it opens no connection and reads no clock. The driver hands it the time and the
answers; it hands back requests and what the answers mean. The same request of the same trace has
the same bytes on any machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sim.demand.procedures import Catalogue


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, ready to send.

    Attributes
    ----------
    method : str
        HTTP method in capitals.
    path : str
        Path with its query, beginning with ``/``; escaped.
    headers : mapping of str to str
        Headers beyond those the HTTP client adds (host, length, cookies).
    body : bytes, optional
        The body, already encoded.
    follows : tuple of Call
        Further requests the same endpoint name stands for; normally none.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    follows: tuple["Call", ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status, headers by lower-case name, whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What the portal promised to keep; reconciliation looks for it afterwards.

    Attributes
    ----------
    kind : str
        ``"dossier"``, ``"attachment"`` or ``"action"``.
    dossier : str
        The portal's id of the dossier.
    reference : str
        Run reference of a dossier, the portal's reference of an attachment.
    detail : str
        SHA-256 (hex) of an attachment, code of an action, else empty.
    bytes : int
        Size of an attachment, bytes, >= 0.
    """

    kind: str
    dossier: str
    reference: str
    detail: str = ""
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer means.

    Attributes
    ----------
    outcome : str
        One of ``sim.results.OUTCOMES``.
    problem : str
        One line for people when the outcome is not ``"ok"``.
    acknowledged : Acknowledgement, optional
        What the portal now keeps.
    synced : bool, optional
        Whether the dossier is synchronised; None when the answer says nothing about it.
    """

    outcome: str
    problem: str = ""
    acknowledged: Acknowledgement | None = None
    synced: bool | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """One procedure of the scenario's catalogue, as a visitor sees it.

    Attributes
    ----------
    code, name, domain, agency, level : str
        As in the catalogue; ``level`` is ``province`` or ``commune``.
    upload_slots : int
        Papers to upload, >= 0.
    e_form : bool
        Whether a form is filled online.
    fee_vnd : int
        Fee, VND, >= 0.
    """

    code: str
    name: str = ""
    domain: str = ""
    agency: str = ""
    level: str = ""
    upload_slots: int = 0
    e_form: bool = False
    fee_vnd: int = 0


class Visitor(Protocol):
    """One session: it keeps ids, tokens and counters; cookies are the HTTP session's."""

    def call(
        self, endpoint: str, *, request: int, attempt: int, bytes_up: int, now_ms: int
    ) -> Call:
        """Return what to send.

        Parameters
        ----------
        endpoint : str
            Endpoint name of the scenario.
        request : int
            Index of the request within its session, >= 0.
        attempt : int
            0 at first, then the number of the retry.
        bytes_up : int
            Size of the upload the trace asks for, bytes, 0 for none.
        now_ms : int
            Milliseconds since 1970 UTC.
        """

    def read(self, endpoint: str, request: int, attempt: int, answer: Answer) -> Reading:
        """Return what the answer to ``call`` with the same numbers means."""


class Dialect(Protocol):
    """A language of portals: makes one visitor per session."""

    name: str
    endpoints: frozenset[str]
    """Endpoint names it can send."""

    def visitor(self, session: int, journey: str, service: Service, key: int) -> Visitor:
        """Return the visitor of one session; ``key`` decides everything it invents."""


class DialectError(Exception):
    """A dialect that cannot be loaded, or cannot send what the scenario asks for."""


DEFAULT_GROUP_ID = "20126"
"""Site id of the stand-in portal."""

DEFAULT_TRACKING_PREFIX = "hoso-tracuu-"
"""Fixed part of the stand-in portal's tracking key."""

DEFAULT_OFFICERS = 200
"""Officer accounts of the stand-in portal."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Secrets of a test and what else one installation is told by, from the environment only.

    Attributes
    ----------
    user_secret : str
        Key of the synthetic users' passwords, ``HOSO_PORTAL_USER_SECRET``.
    captcha : str
        The fixed answer a test installation accepts, ``HOSO_CAPTCHA``.
    group_id : str
        Id of the portal's site, ``HOSO_GROUP_ID``.
    tracking_prefix : str
        Fixed part of the key of anonymous tracking, ``HOSO_TRACKING_PREFIX``.
    officers : int
        Officer accounts ``o0000`` onwards, spread over the agencies in turn, ``HOSO_OFFICERS``.
    """

    user_secret: str = field(default="", repr=False)
    captcha: str = field(default="", repr=False)
    group_id: str = DEFAULT_GROUP_ID
    tracking_prefix: str = field(default=DEFAULT_TRACKING_PREFIX, repr=False)
    officers: int = DEFAULT_OFFICERS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Credentials":
        """Return the credentials named in ``os.environ``.

        Raises
        ------
        DialectError
            When ``HOSO_OFFICERS`` is no positive number.
        """
        officers = environment.get("HOSO_OFFICERS", str(DEFAULT_OFFICERS))
        if not officers.isdecimal() or int(officers) == 0:
            raise DialectError(f"HOSO_OFFICERS: {officers} must be a number above 0")
        return cls(
            user_secret=environment.get("HOSO_PORTAL_USER_SECRET", ""),
            captcha=environment.get("HOSO_CAPTCHA", ""),
            group_id=environment.get("HOSO_GROUP_ID", DEFAULT_GROUP_ID),
            tracking_prefix=environment.get("HOSO_TRACKING_PREFIX", DEFAULT_TRACKING_PREFIX),
            officers=int(officers),
        )


def services_of(catalogue: Catalogue) -> dict[str, Service]:
    """Return the catalogue's procedures by code."""
    columns = zip(
        catalogue.code,
        catalogue.name,
        catalogue.domain,
        catalogue.agency,
        catalogue.level,
        catalogue.upload_slots.tolist(),
        catalogue.e_form.tolist(),
        catalogue.fee_vnd.tolist(),
        strict=True,
    )
    return {row[0]: Service(*row) for row in columns}
