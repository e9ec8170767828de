"""Everything learned from a process log, and the document that keeps it."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.choosing import Choice, Progress, choose, known_at
from sim.demand.imports.event_log.fitting import fit, lessons_of
from sim.demand.imports.event_log.holdout import HoldOut
from sim.demand.imports.event_log.importing import EventLogImport
from sim.demand.imports.event_log.log import EventLog
from sim.demand.imports.event_log.measuring import Interval
from sim.demand.imports.event_log.model import FittedModel
from sim.demand.imports.event_log.phases import Phase
from sim.demand.imports.event_log.week import WorkedWeek, learn_week, learn_weeks
from sim.demand.imports.event_log.work import Processing, WorkFacts, work_facts
from sim.streams import stream

MODEL_VERSION = 1

MOST_CASES = 20_000
"""A model is fitted to so many cases at most: more would narrow no interval that matters."""

_LEAST_SHARE = 1e-6

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Learned:
    """What a log says about work.

    Attributes
    ----------
    week : WorkedWeek
        The office's hours.
    weeks : dict of str to WorkedWeek
        Hours of resources and groups with enough events for hours of their own.
    facts : WorkFacts
        Activities, rework, hand-over, waiting and processing.
    """

    week: WorkedWeek
    weeks: dict[str, WorkedWeek]
    facts: WorkFacts


def learn(log: EventLog) -> Learned:
    """Learn hours and work from a log; quick, whatever its size."""
    week = learn_week(log.time_s, log.case)
    weeks: dict[str, WorkedWeek] = {}
    for who, names in ((log.resource, log.resources), (log.group, log.groups)):
        found = learn_weeks(log.time_s, log.case, who, len(names), week)
        weeks |= {names[i]: one for i, one in found.items()}
    return Learned(week, weeks, work_facts(log, week))


def sampled(log: EventLog, seed: int) -> EventLog:
    """Return the log, or a random part of it where it has more cases than a model needs.

    Parameters
    ----------
    log : EventLog
        The log.
    seed : int
        Seed of the choice.
    """
    n_cases = len(log.cases)
    if n_cases <= MOST_CASES:
        return log
    chosen = np.zeros(n_cases, bool)
    luck = stream(seed, 0, "event_log.sample")
    chosen[luck.choice(n_cases, MOST_CASES, replace=False)] = True
    return log.only(chosen)


def fit_all(
    log: EventLog,
    phases: tuple[Phase, ...],
    week: WorkedWeek,
    seed: int = 1,
    progress: Progress | None = None,
) -> tuple[FittedModel, Choice]:
    """Choose and fit the model on the whole log.

    Parameters
    ----------
    log : EventLog
        The log.
    phases : tuple of Phase
        Phases by which variants are judged.
    week : WorkedWeek
        The office's hours.
    seed : int
        Seed of all luck.
    progress : callable, optional
        Is told what is done.
    """
    end_s = float(np.nextafter(log.time_s.max(), np.inf))
    known = known_at(log, np.ones(len(log.cases), bool), end_s)
    choice = choose(known, phases, week, seed, progress)
    lessons = lessons_of(known.log, choice.variant, end_s)
    return fit(lessons, known.weight(choice.half_life_days)), choice


def model_document(
    imported: EventLogImport,
    learned: Learned,
    fitted: tuple[FittedModel, Choice] | None,
    held_out: HoldOut | None,
) -> dict[str, Json]:
    """Return all that was learned as a JSON document.

    Parameters
    ----------
    imported : EventLogImport
        The log and its arrivals.
    learned : Learned
        Hours and work.
    fitted : tuple of FittedModel and Choice, optional
        The model fitted to the whole log.
    held_out : HoldOut, optional
        How it did on cases it had not seen.
    """
    arrivals = imported.arrivals
    return {
        "format": "hoso event log model",
        "version": MODEL_VERSION,
        "source": imported.log.source,
        "n_cases": imported.n_cases,
        "n_events": imported.n_events,
        "period": arrivals.period,
        "left_out": {line.detail: line.count for line in imported.report.refused},
        "arrivals": {
            "hours": _list(arrivals.hour_shape.weights),
            "weekdays": _list(arrivals.weekday_shape.weights),
            "cases_per_business_day": _number(arrivals.cases_per_business_day.value),
            "day_effect_cv": _number(arrivals.day_effect_cv.value),
            "channels": dict(arrivals.channel_shares),
        },
        "hours": {
            "office": _week(learned.week),
            **{name: _week(week) for name, week in learned.weeks.items()},
        },
        "activities": _activities(learned.facts),
        "directly_follows": _follows(imported.log, learned.facts.directly_follows),
        "rework_share": learned.facts.rework_share,
        "hand_over": {
            "share": _number(learned.facts.hand_over.share.value),
            "between": learned.facts.hand_over.unit,
            "names": list(learned.facts.hand_over.names),
            "matrix": learned.facts.hand_over.matrix.tolist(),
        },
        "model": None if fitted is None else _model(*fitted),
        "hold_out": None if held_out is None else _hold_out(held_out),
    }


def _activities(facts: WorkFacts) -> list[Json]:
    return [
        {
            "name": one.name,
            "n_events": one.n_events,
            "n_cases": one.n_cases,
            "repeat_share": one.repeat_share,
            "median_delay_working_s": _number(one.median_delay_s),
            "p90_delay_working_s": _number(one.p90_delay_s),
            "work": _work(one.processing),
        }
        for one in facts.activities
    ]


def _work(processing: Processing) -> Json:
    if processing.reason:
        return f"cannot tell: {processing.reason}"
    return {
        "n": processing.n,
        "mean_s": processing.mean_s,
        "cv": processing.cv,
        "median_s": processing.median_s,
        "wait_mean_s": _number(processing.wait_mean_s),
    }


def _follows(log: EventLog, counts: NDArray[np.int64]) -> list[Json]:
    """Return the directly-follows counts and probabilities; null: the start, or the end."""
    names: list[str | None] = [*log.activities]
    total = counts.sum(axis=1)
    return [
        {
            "from": None if i == 0 else names[i - 1],
            "to": None if j == len(names) else names[j],
            "n": int(counts[i, j]),
            "probability": float(counts[i, j] / total[i]),
        }
        for i, j in zip(*(axis.tolist() for axis in np.nonzero(counts)), strict=True)
    ]


def _model(model: FittedModel, choice: Choice) -> dict[str, Json]:
    routing, mixtures = model.routing, model.mixtures
    states = np.flatnonzero(routing.by_state.sum(axis=1) > 0)
    return {
        "variant": model.variant.text(),
        "rule": model.variant.rule,
        "knows_sittings": model.variant.knows_sittings,
        "half_life_days": _number(choice.half_life_days),
        "scores": {one.text(): _number(score) for one, score in choice.variants.items()},
        "activities": list(model.activities),
        "routing_by_last": [_sparse(row) for row in routing.by_last],
        "routing_by_state": {
            str(int(routing.keys[i])): _sparse(routing.by_state[i]) for i in states.tolist()
        },
        "delay_kind": model.kinds.of_step.tolist(),
        "delays": [
            {
                "weights": _list(weight),
                "log_mean": _list(mean),
                "log_sd": _list(sd),
            }
            for weight, mean, sd in zip(mixtures.weight, mixtures.mean, mixtures.sd, strict=True)
        ],
    }


def _hold_out(found: HoldOut) -> dict[str, Json]:
    return {
        "split_s": found.split_s,
        "n_before": found.n_before,
        "n_later": found.n_later,
        "variant": found.model.variant.text(),
        "half_life_days": _number(found.choice.half_life_days),
        "rows": [
            {
                "phase": row.phase,
                "quantity": row.quantity,
                "predicted": _interval(row.predicted),
                "actual": _interval(row.actual),
                "same_as_before": _interval(row.before),
                "same_as_lately": _interval(row.lately),
                "covered": row.is_covered,
            }
            for row in found.rows
        ],
        "scores": {
            name: {
                "model": _number(sample.crps_model),
                "same_as_before": _number(sample.crps_before),
                "same_as_lately": _number(sample.crps_lately),
            }
            for name, sample in found.samples.items()
        },
    }


def _week(week: WorkedWeek) -> dict[str, Json]:
    return {
        "worked_hours_of_week": [i for i, worked in enumerate(week.is_worked) if worked],
        "free_days": [str(np.datetime64(day, "D")) for day in week.free_days],
    }


def _sparse(row: NDArray[np.float64]) -> dict[str, Json]:
    """Return the places of a row that are not nearly zero; the last is the end."""
    return {str(i): float(row[i]) for i in np.flatnonzero(row > _LEAST_SHARE).tolist()}


def _interval(one: Interval) -> list[Json]:
    return [_number(one.value), _number(one.low), _number(one.high)]


def _list(values: tuple[float, ...] | NDArray[np.float64] | None) -> list[Json] | None:
    return None if values is None else [float(value) for value in values]


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
