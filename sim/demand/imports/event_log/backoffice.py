"""What a log can tell the block ``backoffice`` of a scenario; every value with its source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from sim.demand.imports.event_log.week import WorkedWeek
from sim.demand.imports.event_log.work import MIN_TIMED, ActivityFacts, WorkFacts
from sim.demand.imports.tables import ImportFileError
from sim.scenario.backoffice import OfficeHours, OpenSpan, Rules, Task
from sim.scenario.base import Distribution

_TASKS: tuple[Task, ...] = get_args(Task)
_TOLD_AT: dict[str, Task] = {
    "refused_at_reception_share": "receive",
    "incomplete_at_reception_share": "receive",
    "refused_share": "examine",
    "incomplete_share": "examine",
    "consult_share": "examine",
}
"""Shares a log can tell, and the task they are shares of."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What activities of a log mean in a scenario.

    Attributes
    ----------
    tasks : mapping of str to sequence of str
        Task to the activities that are it.
    shares : mapping of str to sequence of str
        Share of ``backoffice.workflow.rules`` to the activities that show it happened.
    offices : str or None
        Group of offices that gets the learned hours.
    """

    tasks: Mapping[str, Sequence[str]]
    shares: Mapping[str, Sequence[str]]
    offices: str | None = None

    def check(self, activities: Sequence[str]) -> None:
        """Raise ImportFileError where a name is unknown."""
        for kind, given, allowed in (
            ("task", self.tasks, _TASKS),
            ("share", self.shares, tuple(_TOLD_AT)),
        ):
            for name, meant in given.items():
                if name not in allowed:
                    raise ImportFileError(f"no {kind} {name!r}; allowed: {', '.join(allowed)}")
                unknown = [activity for activity in meant if activity not in activities]
                if unknown:
                    raise ImportFileError(
                        f"{kind} {name}: no activity {unknown[0]!r}; the log has: "
                        f"{', '.join(sorted(activities))}"
                    )
        for share in self.shares:
            if _TOLD_AT[share] not in self.tasks:
                task = _TOLD_AT[share]
                raise ImportFileError(
                    f"share {share}: say too which activity is the task {task}, as {task}=ACTIVITY"
                )


def backoffice_yaml(source: str, facts: WorkFacts, week: WorkedWeek, meaning: Meaning) -> str:
    """Return the lines of a scenario's ``backoffice``; empty where nothing can be told.

    Parameters
    ----------
    source : str
        Name of the file.
    facts : WorkFacts
        What the log says about work.
    week : WorkedWeek
        The office's hours.
    meaning : Meaning
        What activities mean.
    """
    by_name = {one.name: one for one in facts.activities}
    tasks = {
        task: [by_name[name] for name in names if name in by_name]
        for task, names in meaning.tasks.items()
    }
    rules = _rules(source, tasks, by_name, meaning)
    work, untold = _work(source, tasks)
    repeat = _repeat(source, tasks)
    n_events = sum(one.n_events for one in facts.activities)
    offices = _offices(source, week, meaning.offices, n_events)
    workflow = [*_under("    rules:", rules), *_under("    work:", work), *repeat]
    body = [*offices, *_under("  workflow:", workflow)]
    lines = [*untold, *_under("backoffice:", body)]
    return "".join(f"{line}\n" for line in lines)


def _under(head: str, lines: Sequence[str]) -> list[str]:
    return [head, *lines] if lines else []


def _rules(
    source: str,
    tasks: Mapping[str, Sequence[ActivityFacts]],
    by_name: Mapping[str, ActivityFacts],
    meaning: Meaning,
) -> list[str]:
    counts = {}
    for share, names in meaning.shares.items():
        happened = sum(by_name[name].n_events for name in names if name in by_name)
        counts[share] = (happened, sum(one.n_events for one in tasks[_TOLD_AT[share]]))
    examined = tasks.get("examine", ())
    if examined:
        # Each examination ends with the same chance in another one, so repeats are that share.
        repeats = sum(one.n_events - one.n_cases for one in examined)
        counts["sent_back_share"] = (repeats, sum(one.n_events for one in examined))
    for share, (happened, n) in counts.items():
        if happened > n:
            raise ImportFileError(
                f"share {share}: {happened:,} of {n:,}: more than its task; name the task's "
                "activities completely"
            )
    values = {share: round(happened / n, 5) for share, (happened, n) in counts.items() if n}
    Rules.model_validate(values)
    lines = []
    for share, value in values.items():
        happened, n = counts[share]
        error = np.sqrt(value * (1 - value) / n)
        lines.append(
            f"      {share}: {value:.5f}  # source: {source}, n = {n:,}, of which {happened:,}; "
            f"standard error {error:.2g}"
        )
    return lines


def _work(source: str, tasks: Mapping[str, Sequence[ActivityFacts]]) -> tuple[list[str], list[str]]:
    """Return the lines of work distributions, and comments on those that cannot be told."""
    lines, untold = [], []
    for task, activities in tasks.items():
        timed = [one.processing for one in activities if not one.processing.reason]
        n = sum(one.n for one in timed)
        if n < MIN_TIMED:
            reasons = {one.processing.reason for one in activities} or {"no such event"}
            reason = "; ".join(sorted(filter(None, reasons)))
            untold.append(f"# backoffice.workflow.work.{task}: cannot tell: {reason}")
            continue
        mean = sum(one.n * one.mean_s for one in timed) / n
        square = sum(one.n * one.mean_s**2 * (1 + one.cv**2) for one in timed) / n
        cv = min(float(np.sqrt(max(square / mean**2 - 1, 0.0))), 20.0)
        work = Distribution(distribution="lognormal", mean_s=round(mean, 1), cv=round(cv, 3))
        lines.append(
            f"      {task}: {{distribution: lognormal, mean_s: {work.mean_s}, cv: {work.cv}}}"
            f"  # source: {source}, n = {n:,}"
        )
    return lines, untold


def _repeat(source: str, tasks: Mapping[str, Sequence[ActivityFacts]]) -> list[str]:
    told = [
        one for activities in tasks.values() for one in activities
        if np.isfinite(one.repeat_work_ratio)
    ]  # fmt: skip
    repeats = np.array([one.n_events - one.n_cases for one in told], dtype=float)
    if not repeats.sum():
        return []
    ratio = float(np.average([one.repeat_work_ratio for one in told], weights=repeats))
    return [f"    repeat_factor: {ratio:.3f}  # source: {source}, n = {int(repeats.sum()):,}"]


def _offices(source: str, week: WorkedWeek, group: str | None, n_events: int) -> list[str]:
    """Return the hours on which most of the worked weekdays agree."""
    if group is None:
        return []
    worked = np.array(week.is_worked).reshape(7, 24)
    weekdays = np.flatnonzero(worked.any(axis=1)).tolist()
    common = worked[weekdays].mean(axis=0) > 0.5
    edges = np.flatnonzero(np.diff(np.concatenate(([False], common, [False])))).tolist()
    spans = [(first, min(last, 23.98)) for first, last in zip(edges[::2], edges[1::2], strict=True)]
    hours = OfficeHours(
        spans=tuple(OpenSpan(opens=_clock(first), closes=_clock(last)) for first, last in spans),
        weekdays=tuple(weekdays),
    )
    listed = ", ".join(
        f'{{opens: "{span.opens:%H:%M}", closes: "{span.closes:%H:%M}"}}' for span in hours.spans
    )
    note = f"  # source: {source}, n = {n_events:,} events, to the hour"
    return [
        "  offices:",
        f"    {group}:",
        "      hours:",
        f"        weekdays: {list(hours.weekdays)}{note}",
        f"        spans: [{listed}]{note}",
    ]


def _clock(hour: float) -> str:
    return f"{int(hour):02d}:{int(hour % 1 * 60):02d}"
