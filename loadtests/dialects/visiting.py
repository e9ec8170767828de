"""A visitor whose endpoints stand for several requests in turn; what statuses mean."""

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

from loadtests.dialects.base import Answer, Call, Reading
from loadtests.dialects.encoding import Json, WrongContentError, excerpt, json_object, text_of
from sim.streams import child_key

OK = Reading("ok")

Check = Callable[[Answer], Reading]


Verify = Callable[[Json], None]
"""Looks at what an action led to; raises WrongContentError."""


class Exchange(NamedTuple):
    """A request and what its answer means.

    ``check`` reads an answer of status 200 or 201; ``lenient``, if any, reads every answer first
    and may leave it to the common rules by returning None.
    """

    call: Call
    check: Check
    lenient: Callable[[Answer], Reading | None] | None = None


class Moment(NamedTuple):
    """When a request is made: the ``n``-th call of its endpoint within the session, from 0."""

    n: int
    request: int
    attempt: int
    bytes_up: int
    now_ms: int
    key: int


S = TypeVar("S")

Ask = Callable[[S, Moment], Exchange]
Asks = Mapping[str, tuple[Ask[S], ...]]
"""Calls of each endpoint in order; after the last, from the first again."""


class PageVisitor(Generic[S]):
    """One session, as :class:`loadtests.dialects.Visitor`; ``state`` is what it knows.

    A repeated request keeps its place in the order: it asks for the same once more.
    """

    __slots__ = ("_asks", "_counts", "_key", "_numbers", "_open", "_state")

    def __init__(self, state: S, key: int, asks: Asks[S]) -> None:
        self._state = state
        self._key = key
        self._asks = asks
        self._counts: dict[str, int] = {}
        self._numbers: dict[int, int] = {}
        self._open: dict[int, Exchange] = {}

    def call(
        self, endpoint: str, *, request: int, attempt: int, bytes_up: int, now_ms: int
    ) -> Call:
        """Return what to send; see :class:`loadtests.dialects.Visitor`."""
        n = self._numbers.get(request)
        if n is None:
            n = self._counts.get(endpoint, 0)
            self._counts[endpoint] = n + 1
            self._numbers[request] = n
        asks = self._asks[endpoint]
        moment = Moment(n, request, attempt, bytes_up, now_ms, child_key(self._key, request))
        exchange = asks[n % len(asks)](self._state, moment)
        self._open[request] = exchange
        return exchange.call

    def read(self, endpoint: str, request: int, attempt: int, answer: Answer) -> Reading:
        """Return what the answer means; see :class:`loadtests.dialects.Visitor`."""
        del attempt  # the last one made is the one that is answered
        exchange = self._open.pop(request)
        if exchange.lenient is not None:
            reading = exchange.lenient(answer)
            if reading is not None:
                return reading
        if answer.status not in _SUCCESS:
            return refusal(answer)
        try:
            return exchange.check(answer)
        except WrongContentError as error:
            return Reading("failed", f"{endpoint}: {error}")


_SUCCESS = (200, 201)

_OUTCOMES = {429: "rejected", 503: "rejected", 408: "timed_out", 504: "timed_out"}
"""Outcomes of refusals; every other one is ``failed``."""

_MEANINGS = {
    203: "not signed in, or a wrong captcha, key or secret",
    400: "the portal cannot read the request",
    401: "not allowed",
    403: "refused",
    404: "no such page",
    405: "the action is not possible at the dossier's step",
    408: "the portal gave up waiting",
    413: "too large",
    429: "too many requests",
    503: "too busy",
    504: "no answer from behind in time",
}


def refusal(answer: Answer) -> Reading:
    """Return what a status that is no success means."""
    meaning = _MEANINGS.get(answer.status, "error")
    outcome = _OUTCOMES.get(answer.status, "failed")
    return Reading(outcome, f"{answer.status}: {meaning}: {_reason(answer.body)}")


def _reason(body: bytes) -> str:
    """Return why the portal refused, in its own words."""
    try:
        row = json_object(body)
    except WrongContentError:
        return excerpt(body)
    return text_of(row.get("description") or row.get("message")) or excerpt(body)


_REFUSED_STATUSES = (400, 403, 413, 415)


def refused(answer: Answer) -> Reading | None:
    """Accept that the portal refused a paper that it must refuse."""
    return OK if answer.status in _REFUSED_STATUSES else None


def accepted_wrongly(_answer: Answer) -> Reading:
    """Read the answer to a paper that must be refused and was not."""
    raise WrongContentError("a paper that must be refused was accepted")
