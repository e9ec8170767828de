"""What travels between the portal and a gateway, and what every gateway service can do."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""Anything JSON can say."""

Fields = dict[str, Json]
"""One JSON object."""

Trouble = Literal["error", "limited", "down"]
"""Why a gateway answers without doing anything: its own error, its rate limit, an outage."""

TROUBLE_STATUS: Mapping[Trouble, int] = {"error": 500, "limited": 429, "down": 503}
"""HTTP status of each trouble."""

NO_SESSION = "-2"
"""Error code of the national portal for a session it does not know."""


@dataclass(frozen=True, slots=True)
class Query:
    """One call of a gateway.

    Attributes
    ----------
    path : str
        Path behind the gateway's name, without slashes at its ends: ``token``.
    fields : dict
        The body, decoded.
    token : str
        Bearer token, or nothing.
    base_url : str
        Where this gateway is reached from outside, such as ``http://127.0.0.1:8081/payment``.
    caller : str
        Network address of the caller.
    """

    path: str
    fields: Fields
    token: str = ""
    base_url: str = ""
    caller: str = ""


@dataclass(frozen=True, slots=True)
class Callback:
    """A call that the gateway makes later, on its own.

    Attributes
    ----------
    url : str
        Where to.
    fields : dict
        JSON body.
    """

    url: str
    fields: Fields


@dataclass(frozen=True, slots=True)
class Reply:
    """What a gateway answers, and what it does afterwards."""

    status: int
    fields: Fields
    callback: Callback | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Service(Protocol):
    """What one gateway is for; it knows nothing of delays, limits and faults."""

    def answer(self, query: Query) -> Reply:
        """Return the answer to a call; a path it does not have is answered 404."""
        ...

    def trouble(self, kind: Trouble) -> Fields:
        """Return the body with which this gateway reports a trouble, in its own format."""
        ...


def sign(fields: Mapping[str, Json], key: str) -> str:
    """Return the signature of a message: HMAC-SHA256 over its fields in order of their names.

    Parameters
    ----------
    fields : mapping
        The message; a field ``MaXacThuc`` is left out, it carries the signature.
    key : str
        What both sides share.
    """
    text = "|".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "MaXacThuc")
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_signed(fields: Mapping[str, Json], key: str) -> bool:
    """Whether a message carries the right signature in ``MaXacThuc``."""
    return hmac.compare_digest(
        str(fields.get("MaXacThuc", "")).encode(), sign(fields, key).encode()
    )


def text_of(fields: Mapping[str, Json], name: str) -> str:
    """Return a field as text; absent or null is nothing."""
    value = fields.get(name)
    return "" if value is None else str(value)
