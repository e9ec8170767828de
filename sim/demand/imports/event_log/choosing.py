"""Which variant of the model to use, decided on nothing but what was known before the split.

How cases run is judged on random halves of the known cases, which no drift can tell apart. How fast
the past fades is judged on the latest of them, predicted from the ones before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.fitting import fit, lessons_of
from sim.demand.imports.event_log.history import RULES, Rule, walk
from sim.demand.imports.event_log.log import DAY_S, EventLog
from sim.demand.imports.event_log.measuring import CaseTable, case_table, crps
from sim.demand.imports.event_log.model import Events, FittedModel, Variant, draw_cases
from sim.demand.imports.event_log.phases import Phase
from sim.demand.imports.event_log.week import WorkedWeek
from sim.streams import stream

Progress = Callable[[int, int, str], None]

HALF_LIVES_DAYS = (np.inf, 180.0, 90.0, 45.0, 21.0)
"""After so many days a case counts half; infinite: all cases count alike."""

MIN_CHOICE_CASES = 100
"""With fewer known cases nothing is chosen: the simplest model is taken."""

_EARLIER_SHARE = 0.7
"""Of the known cases so many predict the others."""

_DRAWS_PER_CASE = 8


@dataclass(frozen=True, slots=True)
class Known:
    """What is known at some moment.

    Attributes
    ----------
    log : EventLog
        Cases that had an event by then, and these events.
    unmet_start_s : NDArray, shape (n,)
        Starts of cases that had none.
    at_s : float
        The moment, s since 1970.
    """

    log: EventLog
    unmet_start_s: NDArray[np.float64]
    at_s: float

    def weight(self, half_life_days: float) -> NDArray[np.float64]:
        """Return how much each case counts, by its age; 1 on average."""
        age_days = (self.at_s - self.log.arrival_s()) / DAY_S
        weight = 0.5 ** (age_days / half_life_days)
        result: NDArray[np.float64] = weight / weight.mean()
        return result


def known_at(log: EventLog, wanted: NDArray[np.bool_], at_s: float) -> Known:
    """Return what is known of some cases at a moment.

    Parameters
    ----------
    log : EventLog
        The log.
    wanted : NDArray of bool, shape (n_cases,)
        Which cases.
    at_s : float
        The moment, s since 1970.
    """
    has_event = np.zeros(len(log.cases), bool)
    has_event[log.case[log.time_s < at_s]] = True
    unmet = wanted & ~has_event & np.isfinite(log.start_s)
    return Known(log.only(wanted, at_s), log.start_s[unmet], at_s)


@dataclass(frozen=True, slots=True)
class Choice:
    """The variant chosen, and the scores it was chosen by.

    Attributes
    ----------
    variant : Variant
        How cases run.
    half_life_days : float
        How fast the past fades.
    variants : dict of Variant to float
        Mean score on random halves of the known cases; less is better.
    half_lives : dict of float to float
        Mean score on the latest known cases.
    """

    variant: Variant
    half_life_days: float
    variants: dict[Variant, float]
    half_lives: dict[float, float]


def choose(
    known: Known,
    phases: Sequence[Phase],
    week: WorkedWeek,
    seed: int,
    progress: Progress | None = None,
) -> Choice:
    """Choose a variant of the model.

    The score is the mean continuous ranked probability score of the phases' durations and of the
    number of events a case.

    Parameters
    ----------
    known : Known
        What may be used.
    phases : sequence of Phase
        Phases that matter.
    week : WorkedWeek
        The office's hours, in which phases are measured.
    seed : int
        Seed of all luck.
    progress : callable, optional
        Is told what is done, of how much, and what it is.
    """
    simplest = Variant("last", knows_sittings=False, has_own_weeks=False)
    if len(known.log.cases) < MIN_CHOICE_CASES:
        return Choice(simplest, np.inf, {}, {})
    judge = _Judge(known, phases, week, seed)
    options = _options(known.log)
    variants = {}
    for i, option in enumerate(options):
        variants[Variant(*option)] = judge.on_halves(Variant(*option))
        if progress is not None:
            progress(i + 1, len(options), "variants of the model")
    variant = min(variants, key=variants.__getitem__)
    half_lives = {days: judge.on_latest(variant, days) for days in HALF_LIVES_DAYS}
    return Choice(variant, min(half_lives, key=half_lives.__getitem__), variants, half_lives)


def _options(log: EventLog) -> list[tuple[Rule, bool, bool]]:
    """Return the variants a log can tell apart."""
    has_channels, has_people = len(log.channels) > 1, bool((log.resource >= 0).any())
    rules = [rule for rule in RULES if has_channels or rule != "channel"]
    return list(product(rules, (False, True), (False, True) if has_people else (False,)))


def events_of(log: EventLog) -> Events:
    """Return a log's events as the model draws them."""
    return Events(
        log.case.astype(np.int64), log.activity.astype(np.int64), log.time_s, log.arrival_s()
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """Scores variants on parts of what is known."""

    known: Known
    phases: Sequence[Phase]
    week: WorkedWeek
    seed: int

    def on_halves(self, variant: Variant) -> float:
        """Return the score when each random half predicts the other."""
        log, at_s = self.known.log, self.known.at_s
        luck = stream(self.seed, 0, "event_log.halves")
        is_left = luck.random(len(log.cases)) < 0.5
        scores = []
        for half in (is_left, ~is_left):
            part = log.only(half)
            lessons = lessons_of(part, variant, at_s, walk(part), self.known.unmet_start_s)
            scores.append(self._score(fit(lessons), log.only(~half)))
        return float(np.mean(scores))

    def on_latest(self, variant: Variant, half_life_days: float) -> float:
        """Return the score when the earlier cases predict the latest."""
        log = self.known.log
        arrival_s = log.arrival_s()
        inner_s = float(np.quantile(arrival_s, _EARLIER_SHARE))
        part = known_at(log, arrival_s < inner_s, inner_s)
        lessons = lessons_of(part.log, variant, inner_s, None, part.unmet_start_s)
        model = fit(lessons, part.weight(half_life_days))
        return self._score(model, log.only(arrival_s >= inner_s))

    def _score(self, model: FittedModel, target: EventLog) -> float:
        luck = stream(self.seed, 0, "event_log.variants")
        start_s = np.repeat(target.arrival_s(), _DRAWS_PER_CASE)
        channel = np.repeat(target.channel, _DRAWS_PER_CASE)
        drawn = draw_cases(model, start_s, channel, self.known.at_s, luck)
        predicted, actual = self._table(drawn), self._table(events_of(target))
        scores = [crps(predicted.done_h(j), actual.done_h(j)) for j in range(len(self.phases))]
        n_events = crps(predicted.n_events.astype(float), actual.n_events.astype(float))
        return float(np.nanmean([*scores, n_events]))

    def _table(self, events: Events) -> CaseTable:
        return case_table(events, self.phases, self.known.log.activities, self.week)
