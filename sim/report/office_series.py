"""What the offices of a run did, in the form figures show; read one replication at a time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.backoffice.workflow import ENDS
from sim.metrics.samples import encoded
from sim.report.bins import Bins, bins_for
from sim.results import RecordSource
from sim.scenario.metric_names import STATE_STATION_PREFIX
from sim.scenario.scenario import Scenario

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]

DAY_S = 86400.0
WEEK_S = 7 * DAY_S
LONG_S = 8 * WEEK_S
"""A longer window is shown by weeks: days would show mostly weekends."""
MAX_BINS = 160
MARGIN_DAYS = 30
"""Margins beyond are shown at the ends."""
FEWEST_IN_CELL = 10
"""Fewer dossiers in a cell show no share."""
OFFICES_SHOWN = 24

_ENDS = frozenset(state.name.lower() for state in ENDS)

FLOWS = ("filed", "received", "decided or withdrawn", "closed")
"""Steps of the cumulative flow."""
PARTS = {
    "synchronisation": "waiting_system_s",
    "waiting for officers": "waiting_officer_s",
    "in officers' hands": "working_s",
    "waiting for citizens": "waiting_citizen_s",
    "waiting for other agencies": "waiting_agency_s",
}
"""Where a dossier's time goes, and the columns that say how much."""

_COLUMNS = [
    *("office", "domain", "state", "submitted_s", "received_s", "decided_s", "due_s", "closed_s"),
    *PARTS.values(),
]
_LEVEL_COLUMNS = ["station", "from_s", "to_s", "capacity", "busy_mean", "queue_mean"]


@dataclass(frozen=True, slots=True)
class Lateness:
    """Share decided late by office and domain.

    Attributes
    ----------
    offices, domains : tuple of str
        Rows, the most late dossiers first, and columns, by name.
    share : NDArray, shape (n_offices, n_domains)
        Share late of those whose term fell into the judged window; NaN where they are too few.
    hidden : int
        Offices left out, which have fewer late dossiers than those shown.
    """

    offices: tuple[str, ...]
    domains: tuple[str, ...]
    share: Matrix
    hidden: int


@dataclass(frozen=True, slots=True)
class OfficeSeries:
    """Everything of the offices that is drawn; means over replications.

    Attributes
    ----------
    bins : Bins
        Stretches of the lines over time.
    open_in : dict of str to NDArray, shape (n_bins,)
        Mean number of open dossiers by state; states that stayed empty are left out.
    flow : dict of str to NDArray, shape (n_bins + 1,)
        Dossiers that took each of ``FLOWS`` by the edges of ``bins``.
    used : dict of str to NDArray, shape (n_bins,)
        By role, share of the time on duty that officers were at work; NaN while closed.
    margins : NDArray, shape (2 * MARGIN_DAYS + 2,)
        Dossiers decided in the judged window by whole days from decision to term, from the least;
        the first and the last hold what is beyond.
    lateness : Lateness
        By office and domain.
    spent_s : dict of str to dict of str to float
        Mean time of a dossier decided in the judged window, by domain and ``PARTS``, s.
    """

    bins: Bins
    open_in: dict[str, Matrix]
    flow: dict[str, Matrix]
    used: dict[str, Matrix]
    margins: Matrix
    lateness: Lateness
    spent_s: dict[str, dict[str, float]]


def read_office_series(source: RecordSource, scenario: Scenario) -> OfficeSeries:
    """Read the series of the offices of a run or of records; the scenario has offices."""
    collector = _Collector(scenario)
    for replication in source.replications:
        collector.read_dossiers(source.table("dossiers", _COLUMNS, replication=replication))
        collector.read_levels(source.table("levels", _LEVEL_COLUMNS, replication=replication))
    return collector.series(max(1, len(source.replications)))


class _Collector:
    """Sums over replications."""

    def __init__(self, scenario: Scenario) -> None:
        assert scenario.backoffice is not None
        self._window = scenario.window
        interval_s = scenario.backoffice.level_interval_s
        end_s = scenario.window.duration_s
        self._bins = (
            Bins(WEEK_S, end_s)
            if end_s > LONG_S
            else bins_for(end_s, MAX_BINS, multiple_of_s=interval_s)
        )
        self._roles = [f"{group}.{team}" for group, team, _ in scenario.backoffice.teams()]
        self._flow = dict.fromkeys(FLOWS, np.zeros(self._bins.n + 1))
        self._open: dict[str, Matrix] = {}
        self._busy = dict.fromkeys(self._roles, np.zeros(self._bins.n))
        self._on_duty = dict.fromkeys(self._roles, np.zeros(self._bins.n))
        self._margins = np.zeros(2 * MARGIN_DAYS + 2)
        self._late: dict[tuple[str, str], tuple[float, float]] = {}
        self._spent: dict[str, tuple[float, Matrix]] = {}

    def read_dossiers(self, table: pa.Table) -> None:
        """Add the dossiers of one replication."""
        times = {name: table[name].to_numpy() for name in _COLUMNS[3:]}
        is_withdrawn = _is(table, "state", "withdrawn")
        left_s = np.where(is_withdrawn, times["closed_s"], times["decided_s"])
        moments_s = (times["submitted_s"], times["received_s"], left_s, times["closed_s"])
        for step, values in zip(FLOWS, moments_s, strict=True):
            at_s = np.sort(values[~np.isnan(values)])
            counts = np.searchsorted(at_s, self._bins.edges_s, side="right")
            self._flow[step] = self._flow[step] + counts
        self._read_lateness(table, times, is_withdrawn)
        decided = self._judged(times["decided_s"])
        self._read_margins(times, decided & ~np.isnan(times["due_s"]))
        self._read_parts(table, times, decided)

    def read_levels(self, table: pa.Table) -> None:
        """Add the levels of one replication, within the window."""
        table = table.filter(table["from_s"].to_numpy() < self._bins.end_s)
        names, codes = encoded(table, "station")
        from_s, to_s = table["from_s"].to_numpy(), table["to_s"].to_numpy()
        n = self._bins.n
        cell = codes.astype(np.int64) * n + self._bins.index((from_s + to_s) / 2)
        capacity, busy, queue = (
            np.bincount(
                cell, table[column].to_numpy() * (to_s - from_s), minlength=len(names) * n
            ).reshape(-1, n)
            for column in ("capacity", "busy_mean", "queue_mean")
        )
        for row, name in enumerate(names):
            role = name.removeprefix("backoffice.")
            state = name.removeprefix(STATE_STATION_PREFIX)
            if state != name and state not in _ENDS:
                self._open[state] = self._open.get(state, np.zeros(n)) + queue[row]
            elif role in self._busy:
                self._busy[role] = self._busy[role] + busy[row]
                self._on_duty[role] = self._on_duty[role] + capacity[row]

    def series(self, n_replications: int) -> OfficeSeries:
        """Return the means over the replications read."""
        per_s = self._bins.lengths_s * n_replications
        with np.errstate(invalid="ignore", divide="ignore"):
            used = {name: self._busy[name] / self._on_duty[name] for name in self._roles}
        return OfficeSeries(
            bins=self._bins,
            open_in={name: areas / per_s for name, areas in self._open.items() if areas.any()},
            flow={name: counts / n_replications for name, counts in self._flow.items()},
            used=used,
            margins=self._margins / n_replications,
            lateness=_lateness(self._late),
            spent_s={
                domain: dict(zip(PARTS, (sums / n).tolist(), strict=True))
                for domain, (n, sums) in sorted(self._spent.items())
            },
        )

    def _judged(self, at_s: Matrix) -> Flags:
        return (at_s >= self._window.warm_up_s) & (at_s < self._window.duration_s)

    def _read_lateness(
        self, table: pa.Table, times: dict[str, Matrix], is_withdrawn: Flags
    ) -> None:
        counts = self._judged(times["due_s"]) & ~is_withdrawn
        late = counts & ~(times["decided_s"] <= times["due_s"])
        offices, office = encoded(table, "office")
        domains, domain = encoded(table, "domain")
        cell = office.astype(np.int64) * len(domains) + domain
        size = len(offices) * len(domains)
        all_in = np.bincount(cell[counts], minlength=size)
        late_in = np.bincount(cell[late], minlength=size)
        for place in np.flatnonzero(all_in).tolist():
            key = (offices[place // len(domains)], domains[place % len(domains)])
            n, n_late = self._late.get(key, (0.0, 0.0))
            self._late[key] = (n + all_in[place], n_late + late_in[place])

    def _read_margins(self, times: dict[str, Matrix], rows: Flags) -> None:
        days = np.floor((times["due_s"][rows] - times["decided_s"][rows]) / DAY_S).astype(np.int64)
        places = np.clip(days, -MARGIN_DAYS - 1, MARGIN_DAYS) + MARGIN_DAYS + 1
        self._margins += np.bincount(places, minlength=len(self._margins))

    def _read_parts(self, table: pa.Table, times: dict[str, Matrix], rows: Flags) -> None:
        domains, domain = encoded(table, "domain")
        counts = np.bincount(domain[rows], minlength=len(domains))
        sums = np.column_stack(
            [
                np.bincount(domain[rows], times[column][rows], minlength=len(domains))
                for column in PARTS.values()
            ]
        )
        for name, n, row in zip(domains, counts.tolist(), sums, strict=True):
            if n:
                before, total = self._spent.get(name, (0.0, np.zeros(len(PARTS))))
                self._spent[name] = (before + n, total + row)


def _is(table: pa.Table, column: str, name: str) -> Flags:
    names, codes = encoded(table, column)
    return codes == names.index(name) if name in names else np.zeros(len(codes), dtype=np.bool_)


def _lateness(counts: dict[tuple[str, str], tuple[float, float]]) -> Lateness:
    """Return the matrix of those offices with the most late dossiers; what is empty is left out."""
    late_of: dict[str, float] = {}
    for (office, _), (_, n_late) in counts.items():
        late_of[office] = late_of.get(office, 0.0) + n_late
    told = {cell: pair for cell, pair in counts.items() if pair[0] >= FEWEST_IN_CELL}
    ranked = sorted({office for office, _ in told}, key=lambda name: (-late_of[name], name))
    offices = ranked[:OFFICES_SHOWN]
    domains = sorted({domain for office, domain in told if office in offices})
    share = np.full((len(offices), len(domains)), np.nan)
    for row, office in enumerate(offices):
        for column, domain in enumerate(domains):
            if (office, domain) in told:
                n, n_late = told[office, domain]
                share[row, column] = n_late / n
    return Lateness(tuple(offices), tuple(domains), share, len(ranked) - len(offices))
