"""Reconciliation: what a portal acknowledged against what it has.

A load test that counts good answers has proved only that answers were good. Each acknowledged
dossier must be on file exactly once, with the very bytes of its attachments, and each change of
status must have been told to the other systems or still wait for it.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from loadtests.monitor import KEY_HEADER, KEY_VARIABLE
from sim.results import ResultsError, Run

ACKNOWLEDGED = "acknowledged"
"""Table of a measured run beside its records; one row per promise of the portal."""

PAGE = 500
"""Dossiers asked for at once."""

_TIMEOUT_S = 60.0
"""A page of dossiers whose attachments are all read again takes seconds, not minutes."""

_NOBODY = "none"
_TOLD = ("queued", "done")
"""States of a change of status that are not lost: it waits, or the other system has it."""


class ReconcileError(Exception):
    """The portal cannot be asked, or the run has nothing to compare."""


class StoredFile(BaseModel):
    """An attachment as the portal has it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    referenceUid: str  # noqa: N815 - the portal's own name
    sha256: str
    size: int
    stored: bool
    """Whether its bytes were read again and have this hash."""


class StoredAction(BaseModel):
    """A change of status as the portal has it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    code: str
    sync: str
    """``queued``, ``done``, ``given_up``, or ``none`` where nobody is told."""
    syncedAt: float | None = None  # noqa: N815 - the portal's own name
    """When the last of those who are told knew, s since 1970 UTC; None while one does not."""


class StoredDossier(BaseModel):
    """A dossier as the portal has it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    dossierId: int  # noqa: N815 - the portal's own name
    applicantNote: str  # noqa: N815 - the portal's own name
    status: str
    files: tuple[StoredFile, ...] = ()
    actions: tuple[StoredAction, ...] = ()


@dataclass(frozen=True, slots=True)
class Promise:
    """One row of the table ``acknowledged``.

    Attributes
    ----------
    session, request : int
        Which request of which session was answered so.
    kind : str
        ``dossier``, ``attachment`` or ``action``.
    dossier : str
        The portal's id of the dossier.
    reference : str
        Run reference of a dossier, the portal's reference of an attachment.
    detail : str
        SHA-256 of an attachment, code of an action, else empty.
    bytes : int
        Size of an attachment.
    """

    session: int
    request: int
    kind: str
    dossier: str
    reference: str
    detail: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One promise that was not kept.

    Attributes
    ----------
    what : str
        Such as ``dossier lost``.
    dossier : str
        The portal's id.
    session, request : int
        Whose request it was; -1 where there was none.
    detail : str
        What a person needs to look further.
    """

    what: str
    dossier: str
    session: int
    request: int
    detail: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The outcome.

    Attributes
    ----------
    dossiers, attachments, actions : int
        Promises compared.
    synced, queued : int
        Changes of status that the other systems have, that still wait.
    unacknowledged : int
        Dossiers sent and on file whose answer no client got: no loss.
    differences : tuple of Difference
        What is lost, doubled or damaged.
    """

    dossiers: int
    attachments: int
    actions: int
    synced: int
    queued: int
    unacknowledged: int
    differences: tuple[Difference, ...]

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not self.differences


def promises_of(run: Run) -> list[Promise]:
    """Return what the portal acknowledged in a measured run.

    Raises
    ------
    ReconcileError
        When the run was simulated, or its table is missing.
    """
    if run.manifest.source != "measured":
        raise ReconcileError(f"{run.name}: a simulated run; only a load test can lose dossiers")
    import pyarrow.parquet as pq

    path = run.path / f"{ACKNOWLEDGED}.parquet"
    try:
        table: pa.Table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ResultsError(
            f"{path}: missing or damaged; run the load test again: {error}"
        ) from error
    return promises_in(table)


def promises_in(table: pa.Table) -> list[Promise]:
    """Return the rows of a table ``acknowledged``."""
    columns = ("session", "request", "kind", "dossier", "reference", "detail", "bytes")
    return [Promise(**row) for row in table.select(columns).to_pylist()]


def synced_at(stored: Iterable[StoredDossier]) -> dict[str, float]:
    """Return when other systems knew of each dossier's first change of status that they are told.

    By the portal's id, s since 1970 UTC by the portal's clock; without those that still wait.
    """
    found: dict[str, float] = {}
    for dossier in stored:
        told = [action for action in dossier.actions if action.sync != _NOBODY]
        if told and told[0].syncedAt is not None:
            found[str(dossier.dossierId)] = told[0].syncedAt
    return found


def stored_dossiers(url: str, reference: str, promises: Sequence[Promise]) -> list[StoredDossier]:
    """Ask a stand-in portal for every dossier of a run, and for the others it acted upon.

    The key of its own pages comes from the environment (``KEY_VARIABLE``).

    Parameters
    ----------
    url : str
        The portal's base URL.
    reference : str
        The run's reference, the beginning of each dossier's note.
    promises : sequence of Promise
        What was acknowledged; officers act on dossiers that no client of the run filed.

    Raises
    ------
    ReconcileError
        When the portal does not answer, or not in this form.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    with httpx.Client(base_url=url, trust_env=False, headers={KEY_HEADER: key}) as client:
        return _all_of(client, reference, promises)


def _all_of(
    client: httpx.Client, reference: str, promises: Sequence[Promise]
) -> list[StoredDossier]:
    stored: list[StoredDossier] = []
    after = 0
    while True:
        page = _page(client, {"reference": reference, "after": after})
        stored += page
        if len(page) < PAGE:
            break
        after = page[-1].dossierId
    known = {str(dossier.dossierId) for dossier in stored}
    others = sorted({promise.dossier for promise in promises} - known)
    for chunk in _chunks(others):
        stored += _page(client, {"ids": ",".join(chunk)})
    return stored


def _chunks(numbers: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(numbers), PAGE):
        yield numbers[start : start + PAGE]


def _page(client: httpx.Client, query: Mapping[str, str | int]) -> list[StoredDossier]:
    try:
        answer = client.get(
            "/o/hoso/audit/dossiers",
            params={**query, "limit": PAGE},
            timeout=_TIMEOUT_S,
        )
    except httpx.HTTPError as error:
        raise ReconcileError(
            f"{client.base_url}: no answer ({error or type(error).__name__}); "
            "start the portal on the data of the run and try again"
        ) from error
    if answer.status_code == httpx.codes.OK:
        try:
            return [StoredDossier.model_validate(row) for row in answer.json()["data"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ReconcileError(f"{client.base_url}: not a stand-in portal's answer") from error
    raise ReconcileError(
        f"{client.base_url}: answered {answer.status_code} to the question for its dossiers; "
        f"is it a stand-in portal, and is {KEY_VARIABLE} its key?"
    )


def reconcile(promises: Sequence[Promise], stored: Iterable[StoredDossier]) -> Reconciliation:
    """Compare what was acknowledged with what is on file.

    Parameters
    ----------
    promises : sequence of Promise
        Everything the portal acknowledged.
    stored : iterable of StoredDossier
        Everything of the run that it has.
    """
    by_id = {str(dossier.dossierId): dossier for dossier in stored}
    of_note = defaultdict(list)
    for dossier in by_id.values():
        if dossier.status and dossier.applicantNote:
            # Without a note it was there before: officers act upon dossiers of nobody's run.
            of_note[dossier.applicantNote].append(str(dossier.dossierId))
    differences: list[Difference] = []
    counts: Counter[str] = Counter()
    acknowledged = set()
    for promise in promises:
        counts[promise.kind] += 1
        if promise.kind == "dossier":
            acknowledged.add(promise.dossier)
        differences += _broken(promise, by_id.get(promise.dossier))
    differences += _doubled(promises, of_note)
    sync = Counter(action.sync for dossier in by_id.values() for action in dossier.actions)
    sent = {number for numbers in of_note.values() for number in numbers}
    return Reconciliation(
        dossiers=counts["dossier"],
        attachments=counts["attachment"],
        actions=counts["action"],
        synced=sync["done"],
        queued=sync["queued"],
        unacknowledged=len(sent - acknowledged),
        differences=tuple(differences),
    )


def _broken(promise: Promise, dossier: StoredDossier | None) -> list[Difference]:
    """Return what is wrong with one promise: nothing, or one difference."""
    if dossier is None:
        return [_difference(f"{promise.kind} lost", promise, "the dossier is not on file")]
    if promise.kind == "dossier":
        return _broken_dossier(promise, dossier)
    if promise.kind == "attachment":
        return _broken_attachment(promise, dossier)
    return _broken_action(promise, dossier)


def _broken_dossier(promise: Promise, dossier: StoredDossier) -> list[Difference]:
    if not dossier.status:
        return [_difference("dossier lost", promise, "it is still a draft")]
    if dossier.applicantNote != promise.reference:
        return [_difference("dossier mixed up", promise, f"its note is {dossier.applicantNote!r}")]
    return []


def _broken_attachment(promise: Promise, dossier: StoredDossier) -> list[Difference]:
    found = [file for file in dossier.files if file.referenceUid == promise.reference]
    if not found:
        return [_difference("attachment lost", promise, promise.reference)]
    if len(found) > 1:
        return [_difference("attachment doubled", promise, promise.reference)]
    (file,) = found
    if not file.stored:
        return [_difference("attachment damaged", promise, "its bytes are missing or changed")]
    if (file.sha256, file.size) != (promise.detail, promise.bytes):
        return [_difference("attachment damaged", promise, f"{file.size} of {promise.bytes} bytes")]
    return []


def _broken_action(promise: Promise, dossier: StoredDossier) -> list[Difference]:
    found = [action for action in dossier.actions if action.code == promise.detail]
    if not found:
        return [_difference("action lost", promise, f"no action {promise.detail} on file")]
    untold = [action for action in found if action.sync not in (*_TOLD, _NOBODY)]
    if untold:
        return [_difference("action not told", promise, f"synchronisation {untold[0].sync}")]
    return []


def _doubled(
    promises: Sequence[Promise], of_note: Mapping[str, Sequence[str]]
) -> Iterator[Difference]:
    """Find acknowledged dossiers that are on file more than once."""
    for promise in promises:
        if promise.kind == "dossier" and len(of_note.get(promise.reference, ())) > 1:
            numbers = ", ".join(of_note[promise.reference])
            yield _difference("dossier doubled", promise, f"on file as {numbers}")


def _difference(what: str, promise: Promise, detail: str) -> Difference:
    return Difference(what, promise.dossier, promise.session, promise.request, detail)
