"""Figures of the offices: each function draws one and returns it."""

from typing import TYPE_CHECKING

import numpy as np

from sim.report.canvas import (
    FEW_TICKS,
    clock_axis,
    duration_axis,
    heat_bar,
    legend_above,
    moments,
    name_rows,
    number_axis,
    panels,
    share_axis,
    stack,
)
from sim.report.office_series import (
    DAY_S,
    FLOWS,
    MARGIN_DAYS,
    PARTS,
    Lateness,
    Matrix,
    OfficeSeries,
)
from sim.report.style import BLUE, GREEN, GREY, ORANGE, RED, SKY, colours, ink, paper
from sim.report.wording import duration, number, share, words
from sim.scenario.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW_IN = 0.21
_MARGIN_IN = 0.8
_ROLES_IN_ROW = 3
_SEEN = 0.05
"""A gap of at least so much of the total is seen beside it."""
_FLOW_COLOURS = dict(zip(FLOWS, (SKY, ORANGE, BLUE, GREEN), strict=True))
_PART_COLOURS = dict(zip(PARTS, (GREY, RED, BLUE, ORANGE, SKY), strict=True))


def backlog(series: OfficeSeries, scenario: Scenario) -> "Figure":
    """Draw open dossiers over time, by state."""
    figure, axes = panels(1, 1, 2.8)
    panel = axes[0][0]
    stack(panel, series.open_in, series.bins, scenario)
    clock_axis(panel, scenario, scenario.window.duration_s)
    number_axis(panel.yaxis)
    panel.set_ylim(bottom=0)
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def cumulative_flow(series: OfficeSeries, scenario: Scenario) -> "Figure":
    """Draw how many dossiers were filed, received, decided and closed until each moment.

    Where the gaps would not be seen beside the totals, the even flow is taken out of all lines
    (oblique coordinates): the gaps stay as they are.
    """
    figure, axes = panels(1, 1, 2.8)
    panel = axes[0][0]
    at = moments(scenario, series.bins.edges_s)
    names = list(series.flow)
    even = _even_flow(series)
    lines = {name: series.flow[name] - even for name in names}
    for name, below in zip(names, [*names[1:], None], strict=True):
        if below is not None:
            panel.fill_between(
                at, lines[below], lines[name], color=_FLOW_COLOURS[name], alpha=0.3, linewidth=0
            )
        panel.plot(at, lines[name], color=_FLOW_COLOURS[name], label=name)
    clock_axis(panel, scenario, scenario.window.duration_s)
    number_axis(panel.yaxis)
    if even.any():
        per_day = even[-1] / series.bins.end_s * DAY_S
        panel.set_title(f"less an even flow of {number(per_day)} a day")
    panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _even_flow(series: OfficeSeries) -> Matrix:
    """Return what an even flow had filed until each edge; 0 where the gaps are seen anyway."""
    filed, closed = (series.flow[name] for name in (FLOWS[0], FLOWS[-1]))
    came = filed[-1] - filed[0]
    if (filed - closed).max() > _SEEN * came:
        return np.zeros(len(filed))
    even: Matrix = came * series.bins.edges_s / series.bins.end_s
    return even


def margins(series: OfficeSeries) -> "Figure":
    """Draw how long before or after its term each dossier was decided."""
    figure, axes = panels(1, 1, 2.2)
    panel = axes[0][0]
    days = np.arange(-MARGIN_DAYS - 1, MARGIN_DAYS + 1)
    colour = np.where(days < 0, RED, BLUE).tolist()
    panel.bar(days + 0.5, series.margins, width=0.9, color=colour)
    panel.axvline(0, color=ink(), linewidth=1.0)
    panel.set_xlabel("days from the decision to the term; left of the line: too late")
    ticks = [-MARGIN_DAYS, -20, -10, 0, 10, 20, MARGIN_DAYS]
    panel.set_xticks(ticks, [f"≤ −{MARGIN_DAYS}", *map(str, ticks[1:-1]), f"≥ {MARGIN_DAYS}"])
    panel.set_xlim(-MARGIN_DAYS - 1.5, MARGIN_DAYS + 1.5)
    number_axis(panel.yaxis)
    return figure


def lateness(late: Lateness) -> "Figure":
    """Draw the share decided late, by office and domain."""
    figure, axes = panels(1, 1, _MARGIN_IN + 0.5 + _ROW_IN * len(late.offices))
    panel = axes[0][0]
    panel.grid(visible=False)
    known = late.share[~np.isnan(late.share)]
    mesh = panel.pcolormesh(
        np.arange(len(late.domains) + 1),
        np.arange(len(late.offices) + 1) - 0.5,
        np.ma.masked_invalid(late.share),
        cmap="cividis",
        vmin=0.0,
        vmax=max(float(known.max(initial=0.0)), 0.01),
        edgecolors=paper(),
        linewidth=0.4,
    )
    name_rows(panel, [words(name) for name in late.offices])
    panel.set_xticks(
        np.arange(len(late.domains)) + 0.5,
        [words(name) for name in late.domains],
        rotation=45,
        ha="right",
    )
    heat_bar(figure, panel, mesh, share, len(late.offices))
    return figure


def time_spent(series: OfficeSeries) -> "Figure":
    """Draw where the time of a mean dossier goes, by domain."""
    names = sorted(series.spent_s, key=lambda name: -sum(series.spent_s[name].values()))
    figure, axes = panels(1, 1, _MARGIN_IN + _ROW_IN * len(names))
    panel = axes[0][0]
    start = np.zeros(len(names))
    for part in PARTS:
        length = np.array([series.spent_s[name][part] for name in names])
        panel.barh(
            range(len(names)), length, left=start, color=_PART_COLOURS[part], label=part, height=0.7
        )
        start += length
    for y, total in enumerate(start.tolist()):
        panel.annotate(duration(total), (total, y), (3, 0), textcoords="offset points", va="center")
    name_rows(panel, [words(name) for name in names])
    duration_axis(panel, "x", np.array([float(start.max(initial=0.0)) * 1.1]), FEW_TICKS)
    legend_above(figure, panel, columns=len(PARTS))
    return figure


def officers(series: OfficeSeries, scenario: Scenario) -> "Figure":
    """Draw how much of their time on duty officers are at work, by role."""
    n_rows = -(-len(series.used) // _ROLES_IN_ROW)
    n_columns = min(_ROLES_IN_ROW, len(series.used))
    figure, axes = panels(n_rows, n_columns, 0.4 + 1.1 * n_rows)
    flat = [panel for row in axes for panel in row]
    at = moments(scenario, (series.bins.edges_s[:-1] + series.bins.edges_s[1:]) / 2)
    colour = colours(list(dict.fromkeys(name.partition(".")[0] for name in series.used)))
    for panel in flat[len(series.used) :]:
        panel.set_axis_off()
    for panel, (name, used) in zip(flat, series.used.items(), strict=False):
        is_open = ~np.isnan(used)
        panel.plot(np.array(at)[is_open], used[is_open], color=colour[name.partition(".")[0]])
        panel.set_title(words(name.replace(".", ": ")))
        panel.set_ylim(0, 1.02)
        share_axis(panel.yaxis, (0, 0.5, 1))
        clock_axis(panel, scenario, scenario.window.duration_s, max_ticks=FEW_TICKS)
    return figure
