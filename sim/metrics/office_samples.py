"""From the dossiers of one replication to the numbers an office's metric is a statistic of."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.metrics.sample import Flags, Floats, Sample, Values, encoded, floats
from sim.results import FILED
from sim.scenario.metric_names import DOMAIN_PREFIX, OFFICES_PREFIX, STATES
from sim.scenario.scenario import Scenario

WITHDRAWN = STATES.index("withdrawn")
_REFUSED = (STATES.index("refused"), STATES.index("refused_at_reception"))
CLOCK_STANDS = (STATES.index("paying"), STATES.index("supplementing"))
"""States in which no term runs: it is set anew by the citizen's answer."""

_FILED_ONLINE = (FILED.index("portal"), FILED.index("online"))
_BACKLOG = FILED.index("backlog")

_BY_RECEPTION = ("reception_s", "late_reception_share", "late_by_sync_share")
"""Quantities of a group of offices that belong to those who receive, not to those who decide."""

Codes = NDArray[np.int16]


Partition = Literal["deciding", "receiving", "domain"]
"""What dossiers are grouped by: the offices that decide or receive them, or their domains."""


class _Whole:
    """The numbers of one quantity for all dossiers that count, and for each part of them."""

    def __init__(self, rows: NDArray[np.int64] | None, sample: Sample) -> None:
        self.sample = sample
        self._rows = rows
        self._parts: dict[Partition, tuple[Sample, NDArray[np.int64]]] = {}

    def part(self, partition: Partition, codes: Codes, wanted: int) -> Sample:
        """Return the numbers of the dossiers with one code, >= 0."""
        if partition not in self._parts:
            self._parts[partition] = self._sorted(
                codes if self._rows is None else codes[self._rows]
            )
        sample, edges = self._parts[partition]
        if wanted + 1 >= len(edges):
            return _rows(sample, slice(0, 0))
        return _rows(sample, slice(edges[wanted], edges[wanted + 1]))

    def _sorted(self, codes: Codes) -> tuple[Sample, NDArray[np.int64]]:
        """Return the numbers sorted by code, and where each code from 0 on begins."""
        order = np.argsort(codes, kind="stable")  # int16 sorts by radix
        counts = np.bincount(codes + 1)  # code -1 comes first
        return _rows(self.sample, order), np.cumsum(counts)


def _rows(sample: Sample, rows: NDArray[np.int64] | slice) -> Sample:
    return Sample(None if sample.at_s is None else sample.at_s[rows], sample.values[rows])


class OfficeSamples:
    """Samples of the dossiers in the offices; a column of the records is read when it is needed.

    Parameters
    ----------
    read : callable
        Gives columns of the replication's table of dossiers.
    scenario : Scenario
        The question: the judged window and the groups of offices.
    end_s : float
        End of the run, s.
    """

    def __init__(
        self, read: Callable[[list[str]], pa.Table], scenario: Scenario, end_s: float
    ) -> None:
        self._read = read
        self._from_s = scenario.window.warm_up_s
        self._to_s = scenario.window.duration_s
        self._end_s = end_s
        self._group_of = dict(scenario.backoffice.office_names()) if scenario.backoffice else {}
        self._groups = list(scenario.backoffice.offices) if scenario.backoffice else []
        self._latest: tuple[str, _Whole] | None = None

    def sample(self, group: str, quantity: str) -> Sample:
        """Return the numbers of the city, of a group of offices or of a domain.

        A measured portal has no offices behind it, so of its dossiers nothing is known.
        """
        if self._are_unseen:
            return Sample(None, np.empty(0), is_known=False)
        if self._latest is None or self._latest[0] != quantity:
            self._latest = None  # before the next is made
            self._latest = (quantity, self._whole(quantity))
        whole = self._latest[1]
        if group.startswith(OFFICES_PREFIX):
            wanted = self._groups.index(group.removeprefix(OFFICES_PREFIX))
            if quantity in _BY_RECEPTION:
                return whole.part("receiving", self._receiving, wanted)
            return whole.part("deciding", self._deciding, wanted)
        if group.startswith(DOMAIN_PREFIX):
            names, codes = self._domains
            domain = group.removeprefix(DOMAIN_PREFIX)
            return whole.part(
                "domain", codes, names.index(domain) if domain in names else len(names)
            )
        return whole.sample

    def _whole(self, quantity: str) -> _Whole:
        kept, at_s, values = _QUANTITIES[quantity](self)
        sample = Sample(at_s, values)
        if kept is None:
            return _Whole(None, sample)
        rows = np.flatnonzero(kept)
        return _Whole(rows, _rows(sample, rows))

    def judged(self, at_s: Floats) -> Flags:
        """Return which moments lie in the judged window; NaN does not."""
        return (at_s >= self._from_s) & (at_s < self._to_s)

    def column(self, name: str) -> Floats:
        """Return a column of times."""
        return floats(self._read([name]), name)

    def plain(self, name: str) -> Values:
        """Return a column of counts or flags."""
        values: Values = self._read([name])[name].to_numpy()
        return values

    @property
    def end_s(self) -> float:
        """End of the run, s."""
        return self._end_s

    @cached_property
    def submitted_s(self) -> Floats:
        """When each was filed, s."""
        return self.column("submitted_s")

    @cached_property
    def decided_s(self) -> Floats:
        """When each was decided, s."""
        return self.column("decided_s")

    @cached_property
    def closed_s(self) -> Floats:
        """When each was closed, s."""
        return self.column("closed_s")

    @cached_property
    def state(self) -> Codes:
        """Where each stands, as indices into ``STATES``; -1 where no office is simulated."""
        return self._coded("state", {name: index for index, name in enumerate(STATES)})

    @cached_property
    def _are_unseen(self) -> bool:
        """Whether no office saw any of the dossiers that there are."""
        return len(self.state) > 0 and bool((self.state < 0).all())

    @cached_property
    def filed(self) -> Codes:
        """How each was filed, as indices into ``FILED``."""
        return self._coded("filed", {name: index for index, name in enumerate(FILED)})

    @cached_property
    def _deciding(self) -> Codes:
        return self._coded("office", self._group_index)

    @cached_property
    def _receiving(self) -> Codes:
        return self._coded("reception_office", self._group_index)

    @cached_property
    def _group_index(self) -> dict[str, int]:
        return {office: self._groups.index(group) for office, group in self._group_of.items()}

    @cached_property
    def _domains(self) -> tuple[list[str], Codes]:
        names, codes = encoded(self._read(["domain"]), "domain")
        return names, codes.astype(np.int16)

    def _coded(self, column: str, index: Mapping[str, int]) -> Codes:
        names, codes = encoded(self._read([column]), column)
        known = np.array([*(index.get(name, -1) for name in names), -1], dtype=np.int16)
        return known[codes]  # null is -1, the last


_Parts = tuple[Flags | None, Floats | None, Values]
"""Which dossiers count (None: all), when each does (None: at the end), and the numbers."""


def is_within(values: NDArray[np.int16] | NDArray[np.int64], wanted: Sequence[int]) -> Flags:
    """Return which codes are among some."""
    found: Flags = np.isin(values, wanted)
    return found


def _on_time(of: OfficeSamples) -> _Parts:
    due_s, decided_s = of.column("due_s"), of.decided_s
    suspended = is_within(of.state, CLOCK_STANDS)
    kept = of.judged(due_s) & (of.state != WITHDRAWN) & ~suspended
    return kept, due_s, decided_s <= due_s


def _online_terms(of: OfficeSamples) -> tuple[Flags, Floats, Floats]:
    """Return which dossiers' reception is judged, its term, and when it was."""
    due_s = of.column("reception_due_s")
    kept = of.judged(due_s) & is_within(of.filed, _FILED_ONLINE)
    return kept, due_s, of.column("received_s")


def _late_reception(of: OfficeSamples) -> _Parts:
    kept, due_s, received_s = _online_terms(of)
    return kept, due_s, ~(received_s <= due_s)


def _late_by_sync(of: OfficeSamples) -> _Parts:
    kept, due_s, received_s = _online_terms(of)
    until_s = np.where(np.isnan(received_s), of.end_s, received_s)
    system_s = of.column("waiting_system_s")
    return (
        kept & ~(received_s <= due_s),
        due_s,
        system_s > until_s - of.submitted_s - system_s,
    )


def _reception_s(of: OfficeSamples) -> _Parts:
    received_s = of.column("received_s")
    until_s = np.where(np.isnan(received_s), of.end_s, received_s)
    kept = of.judged(of.submitted_s) & (of.filed != _BACKLOG)
    return kept, of.submitted_s, until_s - of.submitted_s


def _lead_s(of: OfficeSamples) -> _Parts:
    return of.judged(of.decided_s), of.decided_s, of.decided_s - of.submitted_s


def _time_in(column: str) -> "Callable[[OfficeSamples], _Parts]":
    def parts(of: OfficeSamples) -> _Parts:
        # Of the backlog only the time since the start is known.
        kept = of.judged(of.decided_s) & (of.filed != _BACKLOG)
        return kept, of.decided_s, of.column(column)

    return parts


def _closed(values: "Callable[[OfficeSamples], Values]") -> "Callable[[OfficeSamples], _Parts]":
    def parts(of: OfficeSamples) -> _Parts:
        return of.judged(of.closed_s), of.closed_s, values(of)

    return parts


def _decided(of: OfficeSamples) -> _Parts:
    kept = of.judged(of.decided_s)
    return kept, of.decided_s, kept


def _backlog(of: OfficeSamples) -> _Parts:
    return None, None, np.isnan(of.closed_s)


def _overdue(of: OfficeSamples) -> _Parts:
    is_open = np.isnan(of.decided_s) & np.isnan(of.closed_s)
    running = ~is_within(of.state, CLOCK_STANDS)
    return None, None, is_open & running & (of.column("due_s") < of.end_s)


def _backlog_age(of: OfficeSamples) -> _Parts:
    return np.isnan(of.closed_s), None, of.end_s - of.submitted_s


_QUANTITIES: dict[str, Callable[[OfficeSamples], _Parts]] = {
    "on_time_share": _on_time,
    "late_reception_share": _late_reception,
    "late_by_sync_share": _late_by_sync,
    "reception_s": _reception_s,
    "lead_s": _lead_s,
    "waiting_officer_s": _time_in("waiting_officer_s"),
    "working_s": _time_in("working_s"),
    "waiting_citizen_s": _time_in("waiting_citizen_s"),
    "waiting_agency_s": _time_in("waiting_agency_s"),
    "backlog_end": _backlog,
    "overdue_end": _overdue,
    "backlog_age_s": _backlog_age,
    "supplement_share": _closed(lambda of: of.plain("supplements") > 0),
    "refused_share": _closed(lambda of: is_within(of.state, _REFUSED)),
    "withdrawn_share": _closed(lambda of: of.state == WITHDRAWN),
    "apology_share": _closed(lambda of: of.plain("apologised")),
    "notice_late_share": _closed(lambda of: of.plain("notice_late")),
    "decided_per_day": _decided,
}
