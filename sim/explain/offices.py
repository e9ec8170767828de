"""The offices in words: what they can do before anything runs, and what they did in a run."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sim.analytic import RoleLoad, predict_offices
from sim.analytic.offices import OFFICE_NOTE
from sim.demand.catalogue import Catalogue
from sim.explain.layout import empty_table, heading, plain
from sim.metrics.decision766 import POINTS, components
from sim.report.wording import duration, number, plural, share, words
from sim.results import Run
from sim.scenario.metric_names import BACKOFFICE
from sim.scenario.scenario import Scenario
from sim.workload.offices import COUPLING

if TYPE_CHECKING:
    from rich.console import RenderableType

_HOUR_S = 3600.0
_TIGHT = 0.85
"""From this load on waits are long at any realistic spread. # assumption: usual ceiling of staffing
rules, above that of machines since an office's queue works off overnight."""
_ROLES_SHOWN = 5
_SPENT = {
    "waiting for an officer": "waiting_officer_s",
    "in an officer's hands": "working_s",
    "waiting for the citizen": "waiting_citizen_s",
    "waiting for another agency": "waiting_agency_s",
}


def office_parts(scenario: Scenario, catalogue: Catalogue) -> Iterator["RenderableType"]:
    """Yield what a scenario's offices are and whether their officers are enough; maybe nothing.

    Parameters
    ----------
    scenario : Scenario
        The question.
    catalogue : Catalogue
        Its procedures.
    """
    spec = scenario.backoffice
    if spec is None:
        return
    prediction = predict_offices(scenario, catalogue)
    n_offices = sum(group.count for group in spec.offices.values())
    yield heading("Offices")
    yield plain(
        f"{plural(n_offices, 'office')} with {number(round(prediction.officers))} officers present "
        f"on a working day. In the window {number(round(prediction.online))} dossiers are expected "
        f"online and {number(round(prediction.counter))} over the counter; "
        f"{number(round(prediction.backlog))} are open when it begins."
    )
    if prediction.online + prediction.counter > 0:
        yield plain(
            f"A dossier takes {duration(prediction.work_s)} of officers' work on average, papers "
            "asked for and work done again included."
        )
    yield _roles(prediction.roles)
    yield plain(_sentence(prediction.roles), "bold")
    yield plain(OFFICE_NOTE, "dim")


def office_answer(run: Run) -> Iterator["RenderableType"]:
    """Yield what the offices of a run did: terms kept, backlog, busiest teams; maybe nothing.

    Parameters
    ----------
    run : Run
        The run; only its summary is read.
    """
    figures = _Figures(run)
    if not figures.has_offices:
        return
    yield heading("Offices")
    yield from (plain(text) for text in _terms(figures))
    yield plain(_backlog(figures))
    yield from (plain(text) for text in _coupling(run))
    table = empty_table("filed and decided in the window: time went", ">mean", ">median", ">95 %")
    for told, quantity in _SPENT.items():
        times = [figures.city(f"{quantity}.{statistic}") for statistic in ("mean", "p50", "p95")]
        table.add_row(told, *map(duration, times))
    yield table
    busiest = sorted(figures.utilisations(), key=lambda row: -row[1])[:_ROLES_SHOWN]
    told = ", ".join(f"{_role(role)} {share(used)}" for role, used in busiest)
    yield plain(f"Busiest officers: {told or 'none worked'}.")
    yield from (plain(text) for text in _decision766(figures.city("on_time_share")))


def _coupling(run: Run) -> Iterator[str]:
    """Yield how far officers' sessions on the portal are from their tasks; maybe nothing."""
    notes = [notes.get(COUPLING) for notes in run.manifest.notes.values()]
    known = [note for note in notes if isinstance(note, dict) and note["tasks"]]
    if not known:
        return
    p95_s, only_one = (
        max(float(str(note[name])) for note in known) for name in ("p95_s", "only_one_share")
    )
    yield (
        f"Officers' sessions were drawn before the portal ran: in the worst replication 95 % of "
        f"the tasks begin within {duration(p95_s)} of theirs, {share(only_one)} have none."
    )


class _Figures:
    """Values in a run's summary; NaN where there is none."""

    def __init__(self, run: Run) -> None:
        figures = run.summary.get("figures")
        self._figures = figures if isinstance(figures, dict) else {}

    @property
    def has_offices(self) -> bool:
        return BACKOFFICE in self._kind("offices")

    def city(self, quantity: str) -> float:
        """Return a figure of all dossiers."""
        return self._value(self._kind("offices").get(BACKOFFICE), quantity)

    def utilisations(self) -> list[tuple[str, float]]:
        """Return the share of their time at work of each role that worked."""
        roles = self._kind("role").items()
        used = [(name, self._value(figures, "utilisation.mean")) for name, figures in roles]
        return [row for row in used if not math.isnan(row[1])]

    def _kind(self, kind: str) -> dict[str, object]:
        groups = self._figures.get(kind)
        return dict(groups) if isinstance(groups, dict) else {}

    @staticmethod
    def _value(figures: object, quantity: str) -> float:
        estimate = figures.get(quantity) if isinstance(figures, dict) else None
        value = estimate.get("value") if isinstance(estimate, dict) else None
        return float(value) if isinstance(value, int | float) else math.nan


def _terms(figures: _Figures) -> Iterator[str]:
    on_time = figures.city("on_time_share")
    if math.isnan(on_time):
        yield "No term ends in the judged window: simulate longer than the terms to see them kept."
    else:
        yield (
            f"{share(on_time)} of dossiers were decided within their term; a decision took "
            f"{duration(figures.city('lead_s.p50'))} in the middle, "
            f"{duration(figures.city('lead_s.p95'))} for the slowest 5 %."
        )
    late = figures.city("late_reception_share")
    if not math.isnan(late):
        by_sync = figures.city("late_by_sync_share")
        why = "" if math.isnan(by_sync) else f", {share(by_sync)} of these by synchronisation"
        yield f"{share(late)} of online dossiers were received late{why}."


def _backlog(figures: _Figures) -> str:
    count, overdue = figures.city("backlog_end"), figures.city("overdue_end")
    age = figures.city("backlog_age_s.mean")
    old = "" if math.isnan(age) else f", on average {duration(age)} old"
    return (
        f"{number(count)} dossiers are open at the end{old}; {number(overdue)} are past their term."
    )


def _decision766(on_time_share: float) -> Iterator[str]:
    known = [part for part in components(on_time_share) if part.points is not None]
    unknown = [part for part in components(on_time_share) if part.points is None]
    for part in known:
        yield (
            f"Decision 766: {part.name} {number(part.points or 0.0)} of {part.most} points, of "
            f"{sum(POINTS.values())} in all."
        )
    told = "; ".join(f"{part.name} ({part.most}): {part.reason}" for part in unknown)
    yield f"Decision 766 cannot be told from these data for {told}."


def _roles(roles: tuple[RoleLoad, ...]) -> "RenderableType":
    from rich.text import Text

    table = empty_table(
        "officers",
        ">present",
        ">work, h",
        ">hours, h",
        ">used",
        "<busiest",
        ">used",
        "<",
    )
    for load in roles:
        word, style = _rating(load)
        table.add_row(
            _role(load.role),
            number(load.officers),
            number(load.offered_s / _HOUR_S),
            number(load.capacity_s / _HOUR_S),
            Text(share(load.utilisation), style),
            load.busiest_office if load.offices > 1 else "",
            share(load.busiest) if load.offices > 1 else "",
            Text(word, style),
        )
    return table


def _rating(load: RoleLoad) -> tuple[str, str]:
    if load.utilisation > 1:
        return "too few", "bold red"
    if load.busiest > 1:
        return "uneven", "red"
    if load.utilisation >= _TIGHT:
        return "tight", "yellow"
    return "enough", "green"


def _sentence(roles: tuple[RoleLoad, ...]) -> str:
    short = [load for load in roles if load.utilisation > 1]
    if short:
        told = ", ".join(f"{_role(load.role)} {share(load.utilisation)}" for load in short)
        return f"More work comes than these officers can do, so their backlog grows: {told}."
    somewhere = [load for load in roles if load.busiest > 1]
    if somewhere:
        told = ", ".join(
            f"{_role(load.role)} in {load.busiest_office} {share(load.busiest)}"
            for load in somewhere
        )
        return f"Enough officers in all, but too few in some offices: {told}."
    busiest = roles[0]
    return f"{_role(busiest.role)} is used most: {share(busiest.utilisation)} of its hours."


def _role(role: str) -> str:
    """Return a role in words: ``communes desk``."""
    return words(role.removeprefix(f"{BACKOFFICE}.").replace(".", " "))
