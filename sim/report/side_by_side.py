"""Several runs side by side: the same metrics, one table and one dot plot."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sim.metrics.estimates import Estimate
from sim.report.answers import Answers
from sim.report.canvas import FEW_TICKS, duration_axis, number_axis, panels, share_axis
from sim.report.page import Html, figure, html, join, marked, paragraph, table
from sim.report.style import colours, ink, svg
from sim.report.verdict import ANSWERS, SYMBOLS, headline
from sim.report.wording import NONE, interval, metric_value
from sim.scenario.metric_names import parse_metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ALWAYS = ("all.rate_per_s", "all.response_s.p50", "all.response_s.p95", "all.ok_share")
_COLUMNS = 3


def side_by_side_html(runs: Sequence[Answers]) -> Html:
    """Return the comparison of several runs."""
    targets = [result.target.metric for answers in runs for result in answers.results]
    metrics = list(dict.fromkeys([*_ALWAYS, *targets]))
    heads = [headline(answers.results, answers.run.manifest.trust) for answers in runs]
    answers_row = [
        marked(f"{SYMBOLS[head.answer]} {ANSWERS[head.answer]}", head.answer) for head in heads
    ]
    rows = [["answer", *answers_row]]
    rows += [[metric, *(_cell(answers, metric) for answers in runs)] for metric in metrics]
    columns = ["metric", *(answers.label for answers in runs)]
    drawing = svg(lambda: _dots(runs, metrics), "side-by-side", "Metrics of several runs")
    return join(
        [
            paragraph("Every value with its confidence interval; every run by its own targets."),
            table(columns, rows),
            figure(drawing, "Dots: values; bars: intervals; line: the target's bound."),
        ]
    )


def _cell(answers: Answers, metric: str) -> Html:
    found = answers.estimates.get(metric)
    if found is None or not np.isfinite(found.value):
        return html(NONE)
    ends = f'<br><span class="soft">{html(interval(found))}</span>'
    return Html(html(metric_value(metric, found.value)) + ends)


def _dots(runs: Sequence[Answers], metrics: Sequence[str]) -> "Figure":
    n_rows = -(-len(metrics) // _COLUMNS)
    height_in = n_rows * (0.62 + 0.2 * len(runs))
    drawing, axes = panels(n_rows, _COLUMNS, height_in, share_x=False)
    flat = [panel for row in axes for panel in row]
    for panel in flat[len(metrics) :]:
        panel.set_axis_off()
    for index, (panel, metric) in enumerate(zip(flat, metrics, strict=False)):
        _panel(panel, runs, metric, has_labels=index % _COLUMNS == 0)
    return drawing


def _panel(panel: "Axes", runs: Sequence[Answers], metric: str, *, has_labels: bool) -> None:
    colour = colours([answers.label for answers in runs])
    values: list[float] = []
    for y, answers in enumerate(runs):
        found = answers.estimates.get(metric)
        if found is not None:
            values += _dot(panel, found, y, colour[answers.label])
    bounds = {
        bound
        for answers in runs
        for result in answers.results
        if result.target.metric == metric
        for bound in (result.target.at_most, result.target.at_least)
        if bound is not None
    }
    for bound in bounds:
        panel.axvline(bound, color=ink(), linewidth=1, linestyle=(0, (4, 2)))
    labels = [answers.label if has_labels else "" for answers in runs]
    panel.set_yticks(range(len(runs)), labels)
    panel.tick_params(axis="y", length=0)
    panel.set_ylim(len(runs) - 0.4, -0.6)
    panel.set_title(metric, fontsize=8)
    quantity = parse_metric(metric).quantity
    if quantity.endswith("_s") and not quantity.endswith("per_s"):
        duration_axis(panel, "x", np.array([*values, *bounds]), FEW_TICKS)
    elif quantity.endswith("_share") or quantity == "utilisation":
        share_axis(panel.xaxis)
    else:
        number_axis(panel.xaxis)


def _dot(panel: "Axes", found: Estimate, y: float, colour: str) -> list[float]:
    """Draw one value and its interval; returns what must be in sight."""
    panel.plot([found.value], [y], "o", color=colour, markersize=5)
    if found.low is None or found.high is None:
        return [found.value]
    panel.plot([found.low, found.high], [y, y], color=colour, linewidth=3, alpha=0.45)
    return [found.low, found.value, found.high]
