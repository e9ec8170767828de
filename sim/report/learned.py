"""Pictures of what was learned from a process log, as PNG."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log import EventLogImport, HoldOut
from sim.demand.imports.event_log.week import WEEK_H, WorkedWeek, hour_of_week
from sim.report.canvas import duration_axis, legend_above, panels, share_axis
from sim.report.style import BLUE, GREY, ORANGE, png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOUR_S = 3600.0
_SHORTEST_H = 1 / 60
"""Shorter durations are drawn here: the scale is logarithmic."""


def write_pictures(
    imported: EventLogImport, week: WorkedWeek, held_out: HoldOut | None, folder: Path
) -> list[Path]:
    """Draw when cases arrive and officers work and, after a hold-out, each phase's durations.

    Parameters
    ----------
    imported : EventLogImport
        The log.
    week : WorkedWeek
        The hours learned.
    held_out : HoldOut, optional
        Predicted and actual durations.
    folder : Path
        Where to; made if need be.

    Returns
    -------
    list of Path
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "week.png"]
    png(lambda: week_picture(imported, week), paths[0])
    if held_out is not None:
        paths.append(folder / "phases.png")
        png(lambda: phases_picture(held_out), paths[1])
    return paths


def week_picture(imported: EventLogImport, week: WorkedWeek) -> "Figure":
    """Draw arrivals and completions by hour and weekday; hours learned as worked are framed."""
    log = imported.log
    figure, axes = panels(1, 2, 2.6)
    _week_panel(axes[0][0], log.arrival_s(), "cases that begin")
    if imported.arrival_hour_shape.weights is None:
        axes[0][0].set_title("cases that begin: dates without an hour")
    _week_panel(axes[0][1], log.time_s, "activities completed; framed: hours worked")
    worked = np.array(week.is_worked).reshape(7, 24)
    for day, hour in zip(*np.nonzero(worked), strict=True):
        axes[0][1].add_patch(_frame(int(hour), int(day)))
    return figure


def phases_picture(found: HoldOut) -> "Figure":
    """Draw distribution functions of the phases: predicted with its band, actual, as before."""
    figure, axes = panels(1, len(found.samples), 3.2, share_x=False)
    for panel, (name, sample) in zip(axes[0], found.samples.items(), strict=True):
        panel.fill_between(
            sample.grid_h * _HOUR_S, sample.low, sample.high, color=BLUE, alpha=0.2, linewidth=0,
            label="predicted, 95 %",
        )  # fmt: skip
        for hours, colour, label in (
            (sample.predicted, BLUE, "predicted"),
            (sample.actual, ORANGE, "actual"),
            (sample.before, GREY, "before the split"),
        ):
            _steps(panel, hours, colour, label)
        panel.set_title(name)
        duration_axis(panel, "x", sample.grid_h * _HOUR_S, at_most=5)
        panel.set_xlabel("working time")
        panel.set_ylim(0, 1)
        share_axis(panel.yaxis, (0.0, 0.25, 0.5, 0.75, 1.0))
    legend_above(figure, axes[0][0], columns=4)
    return figure


def _week_panel(axes: "Axes", at_s: NDArray[np.float64], title: str) -> None:
    counts = np.bincount(hour_of_week(at_s), minlength=WEEK_H).reshape(7, 24)
    image = axes.imshow(counts, cmap="Blues", aspect="auto", vmin=0)
    axes.set_title(title)
    axes.set_yticks(range(7), _WEEKDAYS)
    axes.set_xticks(range(0, 24, 4), [f"{hour} h" for hour in range(0, 24, 4)])
    axes.grid(visible=False)
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=axes, fraction=0.05)


def _frame(hour: int, day: int) -> "Rectangle":
    from matplotlib.patches import Rectangle

    return Rectangle((hour - 0.5, day - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=0.8)


def _steps(axes: "Axes", hours: NDArray[np.float64], colour: str, label: str) -> None:
    if not len(hours):
        return
    shown = np.sort(np.maximum(hours, _SHORTEST_H))
    places = np.unique(np.linspace(0, len(shown) - 1, min(len(shown), 2000)).astype(int))
    axes.step(
        shown[places] * _HOUR_S, (places + 1) / len(shown), where="post", color=colour, label=label
    )
