"""What all figures share: the clock, faults and warm-up behind the lines, units on the scales."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from sim.report.bins import Bins
from sim.report.style import GREY, WIDTH_IN, colours, ink
from sim.report.wording import duration, number, share, words
from sim.scenario.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - local time, as the window's start
_DAY_S = 86400.0
_CLOCK = ["%Y", "%b %Y", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
"""Labels of years, months, days, hours, minutes, seconds; below, of their first moments."""
_CLOCK_AT_ZERO = ["%Y", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M"]
_LOG_FROM = 30.0
"""A scale is logarithmic when its largest value is so many times its smallest."""
TICKS, FEW_TICKS = 9, 5
"""Ticks of a wide axis at most, and of a narrow one."""
_SERIES_SHOWN = 7
"""Series a stacked figure tells apart; the rest is one."""
_OTHERS = "others"
_DURATION_TICKS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
    *(3600.0, 7200.0, 21600.0, 43200.0, 86400.0, 172800.0, 604800.0),
)


def panels(
    n_rows: int, n_columns: int, height_in: float, *, share_x: bool = True
) -> "tuple[Figure, list[list[Axes]]]":
    """Return an empty figure of the page's width and its axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharex="all" if share_x else "none")
    return figure, axes.tolist()


def clock_axis(axes: "Axes", scenario: Scenario, end_s: float, *, max_ticks: int = 9) -> None:
    """Make the horizontal axis the local time, and show warm-up, the window's end and faults."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    window = scenario.window
    locator = AutoDateLocator(minticks=2, maxticks=max_ticks)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(  # type: ignore[no-untyped-call]
        locator, formats=_CLOCK, zero_formats=_CLOCK_AT_ZERO, show_offset=False
    )
    axes.xaxis.set_major_formatter(formatter)
    first, last = moments(scenario, np.array([0.0, end_s]))
    axes.set_xlim(first, last)
    if window.warm_up_s:
        _shade(axes, scenario, 0.0, window.warm_up_s, GREY)
    if end_s > window.duration_s:
        _shade(axes, scenario, window.duration_s, end_s, GREY)
    for fault in scenario.faults:
        _shade(axes, scenario, fault.from_s, min(fault.to_s, end_s), "#d55e00")


def moments(scenario: Scenario, at_s: NDArray[np.float64]) -> list[float]:
    """Return times as numbers of Matplotlib's date axis."""
    start_s = (scenario.window.start - _EPOCH).total_seconds()
    return [(start_s + seconds) / _DAY_S for seconds in at_s.tolist()]


def duration_axis(
    axes: "Axes", which: Literal["x", "y"], values: NDArray[np.float64], at_most: int = TICKS
) -> None:
    """Give one axis ticks such as 20 ms or 5 min; logarithmic where the values span widely."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    known = values[np.isfinite(values) & (values > 0)]
    if len(known) and known.max() / known.min() >= _LOG_FROM:
        low, high = float(known.min()) / 1.3, float(known.max()) * 1.3
        axes.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
        ticks = [tick for tick in _DURATION_TICKS_S if low <= tick <= high]
        ticks = ticks[:: max(1, -(-len(ticks) // at_most))]
        axis.set_minor_locator(NullLocator())
    else:
        high = float(known.max(initial=0.0)) * 1.1 or 1.0
        axes.set(**{f"{which}lim": (0.0, high)})
        ticks = linear_ticks(high, at_most)
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: duration(float(f"{value:.6g}"))))


def linear_ticks(high_s: float, at_most: int) -> list[float]:
    """Return whole steps of a duration people read easily, from 0 on."""
    steps = (step for step in _DURATION_TICKS_S if high_s / step < at_most)
    step_s = next(steps, high_s / at_most)
    return [i * step_s for i in range(int(high_s / step_s) + 1)]


def share_axis(axis: "Axis", ticks: Sequence[float] = ()) -> None:
    """Write an axis' numbers in per cent; at given ticks, or at some that fit."""
    from matplotlib.ticker import FixedLocator

    _formatted(axis, share)
    if ticks:
        axis.set_major_locator(FixedLocator(list(ticks)))


def number_axis(axis: "Axis") -> None:
    """Write an axis' numbers as the text does."""
    _formatted(axis, number)


def legend_above(figure: "Figure", axes: "Axes", *, columns: int) -> None:
    """Put the legend of some axes above the whole figure."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns)


def target_mark(axes: "Axes", x: float, y: float) -> None:
    """Mark a target's bound in one row of a dot plot."""
    axes.plot([x, x], [y - 0.4, y + 0.4], color=ink(), linewidth=1.6, zorder=3)


def stack(
    axes: "Axes", rows: Mapping[str, NDArray[np.float64]], bins: Bins, scenario: Scenario
) -> None:
    """Draw series on top of each other, the largest at the bottom."""
    ranked = sorted(rows, key=lambda name: -float(rows[name].sum()))
    shown = {name: rows[name] for name in ranked[:_SERIES_SHOWN] if rows[name].any()}
    rest = [rows[name] for name in ranked[_SERIES_SHOWN:]]
    if rest and np.any(rest):
        shown[_OTHERS] = np.sum(rest, axis=0)
    colour = colours(list(shown))
    at = moments(scenario, bins.edges_s)
    bottom = np.zeros(bins.n)
    for name, values in shown.items():
        top = bottom + values
        axes.fill_between(
            at,
            np.append(bottom, bottom[-1:]),
            np.append(top, top[-1:]),
            step="post",
            color=colour[name],
            label=words(name),
            linewidth=0,
        )
        bottom = top


def name_rows(axes: "Axes", labels: Sequence[str]) -> None:
    """Name the rows of a plot, the first at the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def heat_bar(
    figure: "Figure", axes: "Axes", mesh: "QuadMesh", text: Callable[[float], str], n_rows: int
) -> None:
    """Explain the colours of a heat map of so many rows; ``text`` words its values."""
    shrink = min(1.0, 8 / n_rows)
    bar = figure.colorbar(mesh, ax=axes, shrink=shrink, anchor=(0.0, 1.0), pad=0.01)
    bar.ax.yaxis.set_major_formatter(lambda value, _: text(value))
    bar.outline.set_visible(False)


def _formatted(axis: "Axis", text: Callable[[float], str]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=2))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(float(f"{value:.6g}"))))


def _shade(axes: "Axes", scenario: Scenario, from_s: float, to_s: float, colour: str) -> None:
    first, last = moments(scenario, np.array([from_s, to_s]))
    axes.axvspan(first, last, color=colour, alpha=0.13, linewidth=0, zorder=0)
