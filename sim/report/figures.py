"""Figures of one run: each function draws one and returns it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.demand.arrivals import RateProfile
from sim.metrics.estimates import Estimate
from sim.report.bins import Bins
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
    target_mark,
)
from sim.report.series import Band, Quantiles, Series
from sim.report.spending import PARTS, THINKING
from sim.report.style import BLUE, GREEN, GREY, ORANGE, RED, SKY, ink, paper
from sim.report.wording import clock, duration, rate, share, words
from sim.scenario.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Matrix = NDArray[np.float64]

_ROW_IN = 0.2
"""Height of one row of a dot plot or a bar chart, inches."""
_MARGIN_IN = 0.6
_PART_COLOURS = dict(zip(PARTS, (SKY, RED, BLUE, ORANGE), strict=True))
FAILURES = {"rejected": RED, "timed_out": ORANGE, "failed": BLUE, "abandoned": GREY}
"""Outcomes other than ok, and their colours."""


def demand(series: Series, scenario: Scenario, expected: Mapping[str, RateProfile]) -> "Figure":
    """Draw sessions by journey with the expected profile, and requests by group, over time."""
    figure, axes = panels(2, 1, 4.6)
    above, below = axes[0][0], axes[1][0]
    stack(above, series.sessions_per_s, series.bins, scenario)
    _expectation(above, list(expected.values()), scenario)
    above.set_title("sessions that start, per s")
    stack(below, series.requests_per_s, series.bins, scenario)
    below.set_title("requests and retries, per s")
    for panel in (above, below):
        clock_axis(panel, scenario, scenario.window.duration_s)
        number_axis(panel.yaxis)
        panel.set_ylim(bottom=0)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def stations(series: Series, scenario: Scenario, names: Sequence[str]) -> "Figure":
    """Draw utilisation and queue of stations over time: mean over replications, and their range."""
    figure, axes = panels(len(names), 2, _MARGIN_IN + 0.72 * len(names))
    for (left, right), name in zip(axes, names, strict=True):
        station = series.stations[name]
        _band(left, station.utilisation, series.level_bins, scenario, BLUE)
        _band(right, station.queue, series.level_bins, scenario, RED)
        left.set_ylim(0, 1.02)
        right.set_ylim(0, max(1.0, float(np.nanmax(station.queue.high, initial=0)) * 1.1))
        share_axis(left.yaxis, (0, 0.5, 1))
        number_axis(right.yaxis)
        left.set_ylabel(name, rotation=0, ha="right", va="center")
    return _finished_rows(figure, axes, series, scenario, ("utilisation", "queue, mean number"))


def jobs(series: Series, scenario: Scenario) -> "Figure":
    """Draw queue and age of the oldest item of every job over time."""
    names = [name for name in scenario.portal.jobs if name in series.stations]
    figure, axes = panels(len(names), 2, _MARGIN_IN + 0.85 * len(names))
    for (left, right), name in zip(axes, names, strict=True):
        station = series.stations[name]
        _band(left, station.queue, series.level_bins, scenario, RED)
        _band(right, station.age_s, series.level_bins, scenario, GREEN)
        left.set_ylim(0, max(1.0, float(np.nanmax(station.queue.high, initial=0)) * 1.1))
        number_axis(left.yaxis)
        duration_axis(right, "y", station.age_s.high, FEW_TICKS)
        left.set_ylabel(words(name).replace(" ", "\n"), rotation=0, ha="right", va="center")
    return _finished_rows(figure, axes, series, scenario, ("items waiting", "age of the oldest"))


def latency_by_endpoint(
    names: Sequence[str],
    estimates: Mapping[str, Estimate],
    bounds: Mapping[str, float],
) -> "Figure":
    """Draw p50 and p95 of the response with their intervals, one row per endpoint.

    ``bounds`` are targets on a p95, by name.
    """
    figure, axes = panels(1, 1, _MARGIN_IN + _ROW_IN * len(names))
    plot = axes[0][0]
    for y, name in enumerate(names):
        p50, p95 = (estimates[f"{name}.response_s.{q}"] for q in ("p50", "p95"))
        plot.plot([p50.value, p95.value], [y, y], color=GREY, linewidth=0.8, zorder=1)
        _dot(plot, p50, y, BLUE, "o", "p50" if y == 0 else None)
        _dot(plot, p95, y, RED, "D", "p95" if y == 0 else None)
        if name in bounds:
            target_mark(plot, bounds[name], y)
    name_rows(plot, [words(name) for name in names])
    values = [estimates[f"{name}.response_s.{q}"].value for name in names for q in ("p50", "p95")]
    duration_axis(plot, "x", np.array([*values, *bounds.values()]))
    if bounds:
        plot.plot([], [], color=ink(), linewidth=1.6, label="target for p95")
    legend_above(figure, plot, columns=3)
    return figure


def latency_over_time(
    quantiles: Mapping[str, Quantiles], bins: Bins, scenario: Scenario
) -> "Figure":
    """Draw p50 and p95 of the response over time, one panel per group."""
    n_columns = min(3, len(quantiles))
    n_rows = -(-len(quantiles) // n_columns)
    figure, axes = panels(n_rows, n_columns, 0.4 + 1.55 * n_rows)
    at = moments(scenario, (bins.edges_s[:-1] + bins.edges_s[1:]) / 2)
    flat = [panel for row in axes for panel in row]
    for panel in flat[len(quantiles) :]:
        panel.set_axis_off()
    for panel, (name, quantile) in zip(flat, quantiles.items(), strict=False):
        panel.plot(at, quantile.p50, color=BLUE, label="p50")
        panel.plot(at, quantile.p95, color=RED, label="p95")
        panel.set_title(words(name))
        duration_axis(panel, "y", np.concatenate([quantile.p50, quantile.p95]), FEW_TICKS)
        clock_axis(panel, scenario, scenario.window.duration_s, max_ticks=FEW_TICKS)
    legend_above(figure, axes[0][0], columns=2)
    return figure


def time_spent(spent_s: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Draw where the time of a mean session goes: with and without the time it asks nothing."""
    names = list(spent_s)
    figure, axes = panels(1, 2, _MARGIN_IN + 0.1 + 0.26 * len(names), share_x=False)
    for panel, parts in zip(axes[0], (PARTS, PARTS[1:]), strict=True):
        totals = [sum(spent_s[name][part] for part in parts) for name in names]
        start = np.zeros(len(names))
        for part in parts:
            length = np.array([spent_s[name][part] for name in names])
            panel.barh(names, length, left=start, color=_PART_COLOURS[part], label=part, height=0.7)
            start += length
        for y, total in enumerate(totals):
            panel.annotate(
                duration(total), (total, y), (3, 0), textcoords="offset points", va="center"
            )
        name_rows(panel, [words(name) for name in names])
        duration_axis(panel, "x", np.array([max(totals, default=0) * 1.1]), FEW_TICKS)
    axes[0][0].set_title("whole session")
    axes[0][1].set_title(f"without {THINKING}")
    axes[0][1].set_yticklabels([])
    legend_above(figure, axes[0][0], columns=len(PARTS))
    return figure


def failures(shares: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Draw the shares of attempts that were not answered well, by endpoint and outcome."""
    names = list(shares)
    figure, axes = panels(1, 1, _MARGIN_IN + _ROW_IN * len(names))
    panel = axes[0][0]
    start = np.zeros(len(names))
    for outcome, colour in FAILURES.items():
        length = np.array([shares[name][outcome] for name in names])
        if length.any():
            panel.barh(
                range(len(names)),
                length,
                left=start,
                color=colour,
                label=words(outcome),
                height=0.7,
            )
        start += length
    for y, total in enumerate(start.tolist()):
        panel.annotate(share(total), (total, y), (3, 0), textcoords="offset points", va="center")
    name_rows(panel, [words(name) for name in names])
    panel.set_xlim(0, min(1.12, float(start.max()) * 1.15))
    share_axis(panel.xaxis)
    legend_above(figure, panel, columns=len(FAILURES))
    return figure


def services(labels: Sequence[str], matrix: Matrix, bins: Bins, scenario: Scenario) -> "Figure":
    """Draw requests of services over time as a heat map; matrix of shape (services, bins), 1/s."""
    from matplotlib.colors import PowerNorm

    figure, axes = panels(1, 1, _MARGIN_IN + 0.1 + 0.19 * len(labels))
    panel = axes[0][0]
    panel.grid(visible=False)
    norm = PowerNorm(0.5, vmin=0.0, vmax=float(matrix.max()) or 1.0)
    mesh = panel.pcolormesh(
        np.arange(bins.n + 1),
        np.arange(len(labels) + 1) - 0.5,
        matrix,
        cmap="cividis",
        norm=norm,
        edgecolors=paper(),
        linewidth=0.4,
    )
    name_rows(panel, labels)
    labelled = range(0, bins.n, -(-bins.n // FEW_TICKS))
    moments_told = [clock(scenario, float(bins.edges_s[column])) for column in labelled]
    panel.set_xticks(list(labelled), moments_told)
    heat_bar(figure, panel, mesh, rate, len(labels))
    return figure


def _expectation(axes: "Axes", profiles: Sequence[RateProfile], scenario: Scenario) -> None:
    """Draw the expected rate of all journeys together."""
    if not profiles:
        return
    officers = scenario.backoffice and scenario.backoffice.officer_journey
    total = np.sum([profile.rates_per_s for profile in profiles], axis=0)
    at = moments(scenario, profiles[0].edges_s)
    axes.step(
        at,
        np.append(total, total[-1:]),
        where="post",
        color=ink(),
        linestyle=(0, (4, 2)),
        label="expected" if officers is None else "expected, officers apart",
    )


def _band(axes: "Axes", band: Band, bins: Bins, scenario: Scenario, colour: str) -> None:
    at = moments(scenario, (bins.edges_s[:-1] + bins.edges_s[1:]) / 2)
    axes.fill_between(at, band.low, band.high, color=colour, alpha=0.3, linewidth=0)
    axes.plot(at, band.mean, color=colour)


def _finished_rows(
    figure: "Figure",
    axes: list[list["Axes"]],
    series: Series,
    scenario: Scenario,
    titles: tuple[str, str],
) -> "Figure":
    for panel in (panel for row in axes for panel in row):
        clock_axis(panel, scenario, series.active_until_s)
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title)
    return figure


def _dot(
    axes: "Axes", estimate: Estimate, y: float, colour: str, marker: str, label: str | None
) -> None:
    """Draw a value with its interval; without an interval the dot is hollow."""
    low, high = estimate.low, estimate.high
    fill = "none" if low is None or high is None else colour
    if low is not None and high is not None:
        axes.plot([low, high], [y, y], color=colour, linewidth=3, alpha=0.45)
    axes.plot(
        [estimate.value],
        [y],
        marker=marker,
        markersize=4.5,
        markeredgewidth=1,
        color=colour,
        markerfacecolor=fill,
        linestyle="none",
        label=label,
        zorder=2,
    )
