"""The chapter on the offices behind the portal: what became of dossiers, and why."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from sim.metrics.decision766 import components
from sim.report import office_figures as figures
from sim.report.answers import HOUR_S, Answers
from sim.report.office_series import MARGIN_DAYS, OfficeSeries, read_office_series
from sim.report.page import Html, Section, details, join, paragraph, table
from sim.report.wording import duration, number, plural, share, words
from sim.scenario.backoffice import Backoffice
from sim.scenario.metric_names import BACKOFFICE, DOMAIN_PREFIX, OFFICES_PREFIX, metric_groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[["Callable[[], Figure]", str, str], Html]
"""Turns a figure, what it shows, and its caption into HTML."""

_QUANTITIES = {
    "in time": "on_time_share",
    "received late": "late_reception_share",
    "by sync": "late_by_sync_share",
    "decided in, median": "lead_s.p50",
    "decided in, p90": "lead_s.p90",
    "open": "backlog_end",
    "overdue": "overdue_end",
}
"""Columns of the tables, and their quantities."""


def office_sections(answers: Answers, key: str, draw: Draw) -> Iterator[Section]:
    """Yield the sections on the offices of one run; ``key`` starts their anchors."""
    series = read_office_series(answers.run, answers.scenario)
    yield Section(f"{key}-terms", "Terms kept", _terms(answers, series, draw))
    yield Section(f"{key}-backlog", "Backlog", _backlog(answers, series, draw))
    yield Section(f"{key}-officers", "Officers", _officers(answers, series, draw))


def _terms(answers: Answers, series: OfficeSeries, draw: Draw) -> Html:
    note = (
        "By sync: of those received late, the share that spent longer in synchronisation than with "
        "the office. Open and overdue: at the end of the window."
    )
    parts = [
        paragraph(_terms_sentence(answers)),
        _table(answers, _groups(answers)),
        paragraph(note, "soft"),
    ]
    if series.margins.any():
        parts.append(
            draw(
                lambda: figures.margins(series),
                "Days from decision to term",
                "Dossiers decided in the judged part of the window, mean over replications, by "
                f"whole days of the clock; the ends hold all beyond {MARGIN_DAYS} days.",
            )
        )
    if np.isfinite(series.lateness.share).any():
        hidden = series.lateness.hidden
        rest = f" {plural(hidden, 'office')} with fewer are not shown." if hidden else ""
        parts.append(
            draw(
                lambda: figures.lateness(series.lateness),
                "Share of dossiers decided late, by office and domain",
                "Share decided late of those whose term fell into the judged part of the window; "
                f"offices with the most late dossiers first; blank: fewer than ten.{rest}",
            )
        )
    parts.append(_decision_766(answers))
    domains = [name for name in metric_groups(answers.scenario) if name.startswith(DOMAIN_PREFIX)]
    return join([*parts, details("By domain", _table(answers, domains))])


def _backlog(answers: Answers, series: OfficeSeries, draw: Draw) -> Html:
    parts = [
        draw(
            lambda: figures.backlog(series, answers.scenario),
            "Open dossiers over time, by state",
            "Mean over replications.",
        ),
        draw(
            lambda: figures.cumulative_flow(series, answers.scenario),
            "Dossiers filed, received, decided and closed over time, cumulated",
            "Mean over replications. The gap between two lines is how many stand between them; "
            "those that were open when the window began are counted in.",
        ),
    ]
    if series.spent_s:
        parts.append(
            draw(
                lambda: figures.time_spent(series),
                "Where the time of a dossier goes, by domain",
                "Mean dossier decided in the judged part of the window, by the clock: nights and "
                "weekends count.",
            )
        )
    return join(parts)


def _officers(answers: Answers, series: OfficeSeries, draw: Draw) -> Html:
    backoffice = _backoffice(answers)
    rows = []
    for group, team, spec in backoffice.teams():
        name = f"{BACKOFFICE}.{group}.{team}"
        rows.append(
            [
                words(f"{group}: {team}"),
                ", ".join(spec.does),
                f"{spec.officers_per_office * backoffice.offices[group].count:,.0f}",
                answers.value(f"{name}.utilisation.mean"),
                answers.value(f"{name}.queue.max"),
            ]
        )
    columns = ("team", "does", ">officers", ">at work while on duty", ">longest queue")
    drawing = draw(
        lambda: figures.officers(series, answers.scenario),
        "Share of the time on duty that officers are at work on dossiers",
        "Mean over replications and over the offices of a group.",
    )
    return join([table(columns, rows), drawing])


def _terms_sentence(answers: Answers) -> str:
    late = answers.estimates[f"{BACKOFFICE}.late_reception_share"].value
    by_sync = answers.estimates[f"{BACKOFFICE}.late_by_sync_share"].value
    in_time = answers.estimates[f"{BACKOFFICE}.on_time_share"].value
    told = [
        f"{share(in_time)} of the dossiers whose term fell into the judged part were decided in "
        "time."
        if np.isfinite(in_time)
        else "No dossier's term fell into the judged part of the window."
    ]
    if np.isfinite(late):
        limit = duration(_limit_s(answers))
        cause = f", {share(by_sync)} of it by synchronisation" if np.isfinite(by_sync) else ""
        told.append(f"{share(late)} were received later than {limit} of working time{cause}.")
    return " ".join(told)


def _decision_766(answers: Answers) -> Html:
    """Return the components of the index that these data allow, and why not the others."""
    on_time = answers.estimates[f"{BACKOFFICE}.on_time_share"].value
    rows = [
        [
            component.name,
            f"{component.most}",
            "cannot tell" if component.points is None else number(component.points),
            component.reason or "share decided in time",
        ]
        for component in components(on_time)
    ]
    columns = ("Decision 766/QĐ-TTg, component", ">points at most", ">points here", "why")
    return table(columns, rows)


def _limit_s(answers: Answers) -> float:
    return _backoffice(answers).law.reception_limit_h * HOUR_S


def _groups(answers: Answers) -> list[str]:
    return [BACKOFFICE, *(OFFICES_PREFIX + name for name in _backoffice(answers).offices)]


def _backoffice(answers: Answers) -> Backoffice:
    backoffice = answers.scenario.backoffice
    assert backoffice is not None
    return backoffice


def _table(answers: Answers, groups: list[str]) -> Html:
    rows = [
        [
            "all" if group == BACKOFFICE else words(_bare(group)),
            *(answers.value(f"{group}.{quantity}") for quantity in _QUANTITIES.values()),
        ]
        for group in groups
    ]
    return table(("dossiers of", *(f">{name}" for name in _QUANTITIES)), rows)


def _bare(group: str) -> str:
    return group.removeprefix(OFFICES_PREFIX).removeprefix(DOMAIN_PREFIX)
