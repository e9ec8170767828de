"""What was learned from a process log, as tables for the terminal."""

from typing import TYPE_CHECKING

import numpy as np

from sim.demand.imports.event_log.findings import row_text
from sim.demand.imports.event_log.holdout import HoldOut
from sim.demand.imports.event_log.learning import Learned
from sim.demand.imports.event_log.measuring import Interval
from sim.demand.imports.event_log.work import ActivityFacts, HandOver

if TYPE_CHECKING:
    from rich.table import Table

_ACTIVITIES_SHOWN = 15
"""The model's file has them all."""
_GROUPS_SHOWN = 8


def learned_lines(learned: Learned) -> tuple[str, ...]:
    """Return hours, rework and hand-over in words."""
    hand_over = learned.facts.hand_over
    week = learned.week
    timed = sum(not one.processing.reason for one in learned.facts.activities)
    reasons = {one.processing.reason for one in learned.facts.activities if one.processing.reason}
    waiting = (
        f"told for {timed} of {len(learned.facts.activities)} activities"
        if timed
        else f"cannot tell: {'; '.join(sorted(reasons))}"
    )
    own = len(learned.weeks)
    return (
        f"hours worked: {week.text()} ({week.hours_per_week} h a week, "
        f"{len(week.free_days)} free days; {own} people or groups with hours of their own)",
        f"cases that repeat a step: {learned.facts.rework_share:.1%}",
        f"steps handed over to somebody else: {_hand_over_text(hand_over)}",
        f"waiting and processing: {waiting}",
    )


def activity_table(learned: Learned) -> "Table":
    """Return the activities, the commonest first."""
    activities = learned.facts.activities
    is_timed = any(not one.processing.reason for one in activities)
    table = _table("Activities, delays in working time since the step before", "activity")
    columns = ["events", "cases", "repeats", "median", "p90", *(["work", "cv"] * is_timed)]
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for one in activities[:_ACTIVITIES_SHOWN]:
        table.add_row(*_activity_cells(one)[: len(columns) + 1])
    rest = len(activities) - _ACTIVITIES_SHOWN
    if rest > 0:
        table.add_row(f"and {rest} more")
    return table


def hand_over_table(hand_over: HandOver) -> "Table":
    """Return how often the next step is whose."""
    names = hand_over.names[:_GROUPS_SHOWN]
    table = _table(f"Next step, from {hand_over.unit} (rows) to {hand_over.unit} (columns)", "")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for name, row in zip(names, hand_over.matrix, strict=False):
        table.add_row(name, *(f"{n:,}" for n in row[: len(names)].tolist()))
    return table


def hold_out_table(found: HoldOut) -> "Table":
    """Return predicted against actual."""
    table = _table(
        "Predicted and actual, with 95 % intervals; beside them the same as before the split, and "
        "that with recent cases weighted as in the model",
        "phase",
    )
    table.add_column("quantity")
    for name in ("predicted", "actual", "holds", "as before", "as lately"):
        table.add_column(name, justify="right")
    for row in found.rows:
        table.add_row(
            row.phase,
            row.quantity,
            *(_interval_text(row.quantity, one) for one in (row.predicted, row.actual)),
            "yes" if row.is_covered else "NO",
            row_text(row, row.before.value),
            row_text(row, row.lately.value),
        )
    return table


def hold_out_markdown(found: HoldOut) -> str:
    """Return predicted against actual as a Markdown table."""
    head = (
        "| phase | quantity | predicted [95 %] | actual [95 %] | holds | as before | as lately |",
        "|---|---|---|---|---|---:|---:|",
    )
    body = (
        f"| {row.phase} | {row.quantity} | {_interval_text(row.quantity, row.predicted)} "
        f"| {_interval_text(row.quantity, row.actual)} | {'yes' if row.is_covered else 'no'} "
        f"| {row_text(row, row.before.value)} | {row_text(row, row.lately.value)} |"
        for row in found.rows
    )
    return "\n".join((*head, *body)) + "\n"


def _table(title: str, first: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    table.add_column(first, overflow="ellipsis", no_wrap=True)
    return table


def _activity_cells(one: ActivityFacts) -> list[str]:
    work = one.processing
    told = not work.reason
    return [
        one.name,
        f"{one.n_events:,}",
        f"{one.n_cases:,}",
        f"{one.repeat_share:.1%}",
        _duration(one.median_delay_s),
        _duration(one.p90_delay_s),
        _duration(work.mean_s) if told else "cannot tell",
        f"{work.cv:.2f}" if told else "",
    ]


def _hand_over_text(hand_over: HandOver) -> str:
    if hand_over.share.value is None:
        return hand_over.share.text()
    return f"{hand_over.share.value:.1%} (standard error {hand_over.share.standard_error:.1%})"


def _interval_text(quantity: str, one: Interval) -> str:
    scale, unit = (100.0, " %") if quantity.startswith("share") else (1.0, "")
    if not np.isfinite(one.value):
        return "–"
    low, value, high = (_digits(scale * x, unit) for x in (one.low, one.value, one.high))
    return f"{value}{unit} [{low}, {high}]"


def _digits(value: float, unit: str) -> str:
    return f"{value:.1f}" if unit else f"{value:.3g}"


def _duration(seconds: float) -> str:
    if not np.isfinite(seconds):
        return "–"
    for length, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
