"""Judging the learned model on cases it had not seen.

The model is fitted to what was known before a day and then draws the cases of the time after it.
Drawn and real cases are measured alike, and both are cut where the log ends. Which model is used
is decided before that day too: on a hold-out within the part it is fitted to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.arrivals import (
    arrivals_of,
    clockless_reason,
    day_text,
)
from sim.demand.imports.event_log.choosing import (
    Choice,
    Known,
    Progress,
    choose,
    events_of,
    known_at,
)
from sim.demand.imports.event_log.fitting import fit, lessons_of
from sim.demand.imports.event_log.log import HOUR_S, EventLog
from sim.demand.imports.event_log.measuring import (
    CaseTable,
    Interval,
    case_table,
    crps,
    summary,
    two_stage,
    wilson,
)
from sim.demand.imports.event_log.model import FittedModel
from sim.demand.imports.event_log.periods import LaterTime, business_days
from sim.demand.imports.event_log.phases import Phase
from sim.demand.imports.event_log.week import learn_week
from sim.demand.imports.tables import ImportFileError
from sim.streams import stream

REPLICATIONS = 400
"""Times the later period is drawn, each with parameters of its own: 10 lie beyond each limit."""

MIN_CASES = 50
"""Fewer cases on one side of the split tell nothing about the model."""

_EPOCH_YEAR = 1970
_GRID_FROM_H = 1 / 60
_GRID_POINTS = 120
_SAMPLE = 20_000
"""Cases drawn to stand for weighted ones."""


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity, predicted and actual.

    Attributes
    ----------
    phase : str
        Phase it belongs to; ``all``: to whole cases.
    quantity : str
        What it is, with its unit.
    predicted : Interval
        Median and 95 % interval of the drawn periods: the luck of cases and days, and the
        uncertainty of the fitted parameters.
    actual : Interval
        What happened, with the 95 % interval of a sample of so many cases.
    before : Interval
        A naive forecast: the same as before the split, with its own 95 % interval.
    lately : Interval
        The same, with the weights by age the model was fitted with.
    """

    phase: str
    quantity: str
    predicted: Interval
    actual: Interval
    before: Interval
    lately: Interval

    @property
    def is_covered(self) -> bool:
        """Whether the prediction's interval holds what happened."""
        return self.predicted.low <= self.actual.value <= self.predicted.high

    @property
    def fits_lately(self) -> bool:
        """Whether the prediction's interval holds what the model was fitted to."""
        return self.predicted.low <= self.lately.value <= self.predicted.high

    @property
    def is_share(self) -> bool:
        """Whether it is a share."""
        return self.quantity.startswith("share")


@dataclass(frozen=True, slots=True)
class Sample:
    """Durations of one phase in working hours, for distributions.

    Attributes
    ----------
    predicted, actual, before : NDArray, shape (n,)
        Drawn, of the later cases, of the earlier cases.
    grid_h, low, high : NDArray, shape (n_points,)
        95 % band of the drawn periods' distribution functions, at some durations.
    crps_model, crps_before, crps_lately : float
        Continuous ranked probability score, as forecasts of ``actual`` on log(1 + hours), of the
        model, of the earlier cases, and of these weighted by age; less is better.
    """

    predicted: NDArray[np.float64]
    actual: NDArray[np.float64]
    before: NDArray[np.float64]
    grid_h: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    crps_model: float
    crps_before: float
    crps_lately: float


@dataclass(frozen=True, slots=True)
class Quarter:
    """Share within the term of the cases that began in a quarter of a year."""

    name: str
    n_cases: int
    share: float


@dataclass(frozen=True, slots=True)
class HoldOut:
    """How the model did on cases it had not seen.

    Attributes
    ----------
    split_s, end_s : float
        Where the later cases begin, and where the log ends, s since 1970.
    n_before, n_later : int
        Cases fitted to, cases judged on.
    n_open : int
        Cases fitted to that had events after the split: they counted as open.
    n_unmet : int
        Cases that had begun before the split but had no event yet.
    model : FittedModel
        The chosen model, fitted before the split.
    choice : Choice
        How it was chosen.
    rows : tuple of Row
        Predicted against actual.
    samples : dict
        Durations by phase.
    course : dict
        Share within the term by quarter of the cases' begin, by phase.
    n_unfinished : dict
        Later cases that entered a phase and had not reached its end when the log ended.
    clockless : str
        Why the cases' starts have no hour; empty: they have.
    has_begins : bool
        Whether the log tells when activities were begun.
    """

    split_s: float
    end_s: float
    n_before: int
    n_later: int
    n_open: int
    n_unmet: int
    model: FittedModel
    choice: Choice
    rows: tuple[Row, ...]
    samples: dict[str, Sample]
    course: dict[str, tuple[Quarter, ...]]
    n_unfinished: dict[str, int]
    clockless: str
    has_begins: bool


def hold_out(
    log: EventLog,
    *,
    split_s: float,
    phases: Sequence[Phase],
    within_s: float,
    since_s: float = -np.inf,
    seed: int = 1,
    replications: int = REPLICATIONS,
    progress: Progress | None = None,
) -> HoldOut:
    """Fit to what was known before a moment, predict the cases that began after it, and compare.

    Parameters
    ----------
    log : EventLog
        The log.
    split_s : float
        The moment, s since 1970.
    phases : sequence of Phase
        Phases to compare.
    within_s : float
        The term, in working time, of which the share that keeps it is compared.
    since_s : float
        Cases that began before are not fitted to.
    seed : int
        Seed of all luck.
    replications : int
        How often the later period is drawn.
    progress : callable, optional
        Is told what is done, of how much, and what it is.

    Raises
    ------
    ImportFileError
        When either side of the split has too few cases.
    """
    arrival_s = log.arrival_s()
    known = known_at(log, (arrival_s >= since_s) & (arrival_s < split_s), split_s)
    later = log.only(arrival_s >= split_s)
    _check_sizes(known.log, later, split_s)
    week = learn_week(known.log.time_s, known.log.case)
    choice = choose(known, phases, week, seed, progress)
    weight = known.weight(choice.half_life_days)
    lessons = lessons_of(known.log, choice.variant, split_s, None, known.unmet_start_s)
    model = fit(lessons, weight)
    end_s = float(log.time_s.max())
    tables = _Tables(
        case_table(events_of(later), phases, log.activities, week),
        case_table(events_of(known.log), phases, log.activities, week),
        weight / weight.sum(),
    )
    drawn = LaterTime(
        lessons,
        model,
        weight,
        phases,
        week,
        arrivals_of(known.log)[0],
        known.unmet_start_s,
        split_s,
        end_s,
        within_s,
    )
    periods = drawn.draw(replications, seed, progress)
    luck = stream(seed, 0, "event_log.bootstrap")
    return HoldOut(
        split_s,
        end_s,
        len(known.log.cases),
        len(later.cases),
        _n_open(log, known),
        len(known.unmet_start_s),
        model,
        choice,
        (
            *_rows(phases, within_s / HOUR_S, periods.summaries, tables, luck),
            _day_row(drawn, periods.per_day, later, luck),
        ),
        _samples(phases, periods.tables, tables, luck),
        {
            phase.name: _course(
                j, within_s / HOUR_S, ((known.log, tables.before), (later, tables.later))
            )
            for j, phase in enumerate(phases)
        },
        {
            phase.name: int(np.isinf(tables.later.duration_h[:, j]).sum())
            for j, phase in enumerate(phases)
        },
        clockless_reason(log.start_s[np.isfinite(log.start_s)]) if log.has_starts else "",
        bool(np.isfinite(log.begun_s).any()),
    )


def _check_sizes(known: EventLog, later: EventLog, split_s: float) -> None:
    day = day_text(split_s)
    sides = (
        (known, f"began before {day} and had an event by then", "later"),
        (later, f"began from {day} on", "earlier"),
    )
    for part, which, way in sides:
        if len(part.cases) < MIN_CASES:
            raise ImportFileError(
                f"{known.source}: {len(part.cases)} cases {which}, at least {MIN_CASES} are "
                f"needed: choose a{'n' * (way == 'earlier')} {way} split"
            )


def _n_open(log: EventLog, known: Known) -> int:
    """Return how many known cases went on after the moment."""
    went_on = {log.cases[i] for i in np.unique(log.case[log.time_s >= known.at_s]).tolist()}
    return sum(case in went_on for case in known.log.cases)


@dataclass(frozen=True, slots=True)
class _Tables:
    """Measures of the later and of the earlier cases, and what the latter count."""

    later: CaseTable
    before: CaseTable
    share: NDArray[np.float64]


def _rows(
    phases: Sequence[Phase],
    within_h: float,
    drawn: NDArray[np.float64],
    tables: _Tables,
    luck: np.random.Generator,
) -> list[Row]:
    later, before, share = tables.later, tables.before, tables.share
    n_later, n_before, times = len(later.n_events), len(before.n_events), len(drawn)

    def summaries(table: CaseTable, places: list[NDArray[np.int64]]) -> NDArray[np.float64]:
        return np.array([summary(table.take(own), within_h) for own in places])

    samples = summaries(later, [luck.integers(0, n_later, n_later) for _ in range(times)])
    naive = summaries(before, [two_stage(n_before, n_later, luck) for _ in range(times)])
    weighted = summaries(before, [two_stage(n_before, n_later, luck, share) for _ in range(times)])
    many = luck.choice(n_before, _SAMPLE, p=share)
    actual, once = summary(later, within_h), summary(before, within_h)
    lately, entered = summary(before.take(many), within_h), later.n_behind(within_h)
    rows = []
    for i, (phase, quantity) in enumerate(quantities(phases, within_h)):
        row = Row(
            phase,
            quantity,
            Interval.of(drawn[:, i]),
            wilson(actual[i], entered[i])
            if quantity.startswith("share")
            else Interval.of(samples[:, i], float(actual[i])),
            Interval.of(naive[:, i], float(once[i])),
            Interval.of(weighted[:, i], float(lately[i])),
        )
        rows.append(row)
    ends = [phase.name for phase in phases if phase.to_what in ("first", "last")]
    return [row for row in rows if not (row.phase in ends and "reaches" in row.quantity)]


def quantities(phases: Sequence[Phase], within_h: float) -> list[tuple[str, str]]:
    """Return phase and name of each entry of a summary, in its order."""
    names = []
    for phase in phases:
        names += [
            (phase.name, f"share within {within_h:g} working hours"),
            (phase.name, "median, working hours"),
            (phase.name, "90th percentile, working hours"),
            (phase.name, "share that reaches its end"),
        ]
    return [*names, ("all", "events a case"), ("all", "share that repeats a step")]


def _day_row(
    drawn: LaterTime, predicted: NDArray[np.float64], later: EventLog, luck: np.random.Generator
) -> Row:
    """Return the row of cases a business day."""
    times = len(predicted)
    known = drawn.lessons.log
    span = (drawn.split_s, drawn.end_s)
    real = business_days(later.arrival_s(), *span)
    earlier_s = np.concatenate((known.arrival_s(), drawn.unmet_start_s))
    fitted = business_days(earlier_s, float(earlier_s.min()), drawn.split_s)
    samples = [real[luck.integers(0, len(real), len(real))].mean() for _ in range(times)]
    repeated = [fitted[two_stage(len(fitted), len(real), luck)].mean() for _ in range(times)]
    before = Interval.of(np.array(repeated), float(fitted.mean()))
    return Row(
        "all",
        "cases a business day",
        Interval.of(predicted),
        Interval.of(np.array(samples), float(real.mean())),
        before,
        before,
    )


def _samples(
    phases: Sequence[Phase],
    drawn: Sequence[CaseTable],
    tables: _Tables,
    luck: np.random.Generator,
) -> dict[str, Sample]:
    many = tables.before.take(luck.choice(len(tables.share), _SAMPLE, p=tables.share))
    samples = {}
    for j, phase in enumerate(phases):
        predicted = np.concatenate([table.done_h(j) for table in drawn])
        actual, before = tables.later.done_h(j), tables.before.done_h(j)
        scores = [crps(forecast, actual) for forecast in (predicted, before, many.done_h(j))]
        grid_h = np.geomspace(_GRID_FROM_H, max(float(actual.max(initial=1.0)), 1.0), _GRID_POINTS)
        curves = [_distribution(table.done_h(j), grid_h) for table in drawn]
        low, high = np.nanquantile(curves, [0.025, 0.975], axis=0)
        samples[phase.name] = Sample(predicted, actual, before, grid_h, low, high, *scores)
    return samples


def _distribution(hours: NDArray[np.float64], at_h: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of durations up to some."""
    if not len(hours):
        return np.full(len(at_h), np.nan)
    result: NDArray[np.float64] = np.searchsorted(np.sort(hours), at_h, "right") / len(hours)
    return result


def _course(
    phase: int, within_h: float, sides: Sequence[tuple[EventLog, CaseTable]]
) -> tuple[Quarter, ...]:
    """Return how the share within the term went, by quarter of the cases' begin."""
    arrival_s = np.concatenate([log.arrival_s() for log, _ in sides])
    hours = np.concatenate([table.duration_h[:, phase] for _, table in sides])
    entered = ~np.isnan(hours)
    months = (arrival_s[entered]).astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    quarter, kept = months // 3, hours[entered] <= within_h
    return tuple(
        Quarter(
            f"{_EPOCH_YEAR + one // 4} Q{one % 4 + 1}",
            int((quarter == one).sum()),
            float(kept[quarter == one].mean()),
        )
        for one in np.unique(quarter).tolist()
    )
