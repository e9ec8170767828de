"""What a hold-out shows, in words: where the model holds, where it fails and why."""

from collections.abc import Sequence

import numpy as np

from sim.demand.imports.event_log.arrivals import day_text
from sim.demand.imports.event_log.choosing import HALF_LIVES_DAYS
from sim.demand.imports.event_log.holdout import HoldOut, Row
from sim.demand.imports.event_log.phases import START, Phase

_MISSED_BY_CHANCE = 0.05
"""Of 95 % intervals."""

_SIGNIFICANT = 0.01
"""Chance below which two samples are said to differ."""


def findings(found: HoldOut, phases: Sequence[Phase]) -> tuple[str, ...]:
    """Return what a hold-out shows, one sentence or two each.

    Parameters
    ----------
    found : HoldOut
        The hold-out.
    phases : sequence of Phase
        Its phases.
    """
    return (
        _fit(found),
        *(_against_naive(found, phase) for phase in phases),
        *(_miss(row, phases) for row in found.rows if not row.is_covered),
        *(text for phase in phases for text in _drift(found, phase)),
        *_limits(found, phases),
    )


def row_text(row: Row, value: float) -> str:
    """Return a value of a row for people: shares in per cent."""
    if not np.isfinite(value):
        return "–"
    return f"{100 * value:.1f} %" if row.is_share else f"{value:.3g}"


def _fit(found: HoldOut) -> str:
    covered = sum(row.is_covered for row in found.rows)
    days = found.choice.half_life_days
    memory = "all alike" if np.isinf(days) else f"one {days:g} days old half as much as a new one"
    text = (
        f"{covered} of {len(found.rows)} predictions hold what happened; were all as they say, "
        f"about {len(found.rows) * _MISSED_BY_CHANCE:.1f} would miss by chance. Fitted to "
        f"{found.n_before:,} cases before {day_text(found.split_s)}, counting {memory}; judged on "
        f"{found.n_later:,} later ones. Model, chosen on the earlier cases alone: "
        f"{found.model.variant.text()}."
    )
    if days == min(HALF_LIVES_DAYS):
        text += (
            " The shortest memory won: the process was changing when the split came, and the "
            "intervals hold luck and uncertain parameters, not further change."
        )
    return text


def _against_naive(found: HoldOut, phase: Phase) -> str:
    sample = found.samples[phase.name]
    rivals = [("the same as before", sample.crps_before)]
    if np.isfinite(found.choice.half_life_days):
        rivals.append(("the same as lately", sample.crps_lately))
    lost = [name for name, score in rivals if score < sample.crps_model]
    scores = ", ".join(f"'{name}' {score:.3f}" for name, score in rivals)
    verdict = (
        f"the model LOSES against {' and '.join(map(repr, lost))}" if lost else "the model wins"
    )
    return (
        f"{phase.name} ({phase.text()}): {verdict} (mean score of the durations, less is better: "
        f"model {sample.crps_model:.3f}, {scores})."
    )


def _miss(row: Row, phases: Sequence[Phase]) -> str:
    side = "more" if row.actual.value > row.predicted.high else "less"
    text = (
        f"Missed: {row.phase}, {row.quantity}: {row_text(row, row.actual.value)} is {side} than "
        f"predicted ({row_text(row, row.predicted.low)} to {row_text(row, row.predicted.high)}). "
    )
    is_from_start = any(phase.name == row.phase and phase.from_what == START for phase in phases)
    lately = row_text(row, row.lately.value)
    if is_from_start and row.actual.value > row.predicted.high:
        return text + (
            f"The cases it learned from show {lately}; of those still waiting at the split only "
            "lower bounds are known, so long waits are told poorly."
        )
    if row.fits_lately:
        return (
            text
            + f"The model does hold the cases it learned from ({lately}): the later ones differ."
        )
    return text + (
        f"The model does not hold the cases it learned from either ({lately}): it is too simple "
        "for this."
    )


def _drift(found: HoldOut, phase: Phase) -> tuple[str, ...]:
    from scipy.stats import ks_2samp

    sample = found.samples[phase.name]
    if not len(sample.before) or not len(sample.actual):
        return ()
    test = ks_2samp(sample.before, sample.actual, method="asymp")
    if test.pvalue > _SIGNIFICANT:
        return ()
    course = ", ".join(
        f"{one.name} {100 * one.share:.0f} % of {one.n_cases}" for one in found.course[phase.name]
    )
    known = ", of those not waiting then" if phase.from_what == START else ""
    return (
        f"Drift: {phase.name} takes another time than before the split{known} (median "
        f"{np.median(sample.before):.3g} h before, {np.median(sample.actual):.3g} h after; "
        f"Kolmogorov–Smirnov distance {test.statistic:.2f}, p {_p_text(float(test.pvalue))}). "
        f"Within the term by quarter of begin: {course}.",
    )


def _limits(found: HoldOut, phases: Sequence[Phase]) -> tuple[str, ...]:
    texts = []
    if found.n_open or found.n_unmet:
        texts.append(
            f"At the split {found.n_open:,} cases were still to go on and {found.n_unmet:,} had "
            "begun without an event yet: they count as open (censored), what they did later was "
            "not used."
        )
    unfinished = {name: n for name, n in found.n_unfinished.items() if n}
    if unfinished:
        listed = ", ".join(f"{n:,} in {name}" for name, n in unfinished.items())
        texts.append(
            f"When the log ended, later cases had not reached a phase's end: {listed}. They count "
            "as not through; drawn cases are cut at the same moment."
        )
    starts = [phase.name for phase in phases if phase.from_what == START]
    if found.clockless and starts:
        texts.append(
            f"Starts are {found.clockless}: they count from that day's opening. Durations of "
            f"{', '.join(starts)} are uncertain by up to a working day, so shares within a few "
            "working hours cannot be told for them."
        )
    if not found.has_begins:
        texts.append(
            "The log has only completions: waiting cannot be told from processing, nor queues "
            "from work. The model draws the sum; it holds for a load as in the period it was "
            "fitted to, and cannot tell what more cases or fewer officers would do."
        )
    return tuple(texts)


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"
