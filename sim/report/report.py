"""Writing the report of one run, or of several side by side."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sim.demand.arrivals import session_profiles
from sim.demand.catalogue import CatalogueError, catalogue_of
from sim.report import figures
from sim.report.answers import (
    NOT_OK,
    Answers,
    answer_html,
    answers_of,
    cost_html,
    dossiers_html,
    endpoints_html,
    introduction_html,
    jobs_html,
    journeys_html,
    most_used_sentence,
    provenance_html,
)
from sim.report.offices import office_sections
from sim.report.page import Html, Section, figure, join, page, paragraph
from sim.report.series import Series, most_used, read_series
from sim.report.side_by_side import side_by_side_html
from sim.report.style import svg
from sim.report.wording import duration, plural
from sim.results import Run, written_whole
from sim.scenario.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_STATIONS = 12
MAX_GROUPS = 6
_NAME_SHOWN = 44
"""Letters of a service's name in the heat map."""
_CODE_SHOWN = 8
_FULL = 0.99
"""A station is fully used in an interval when it is used so much on average."""


def write_report(runs: Sequence[Run], path: Path) -> Path:
    """Write the report of one run, or of several side by side, as one HTML file.

    Parameters
    ----------
    runs : sequence of Run
        At least one; with several the first section compares them.
    path : Path
        File to write; complete or absent, whatever happens.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ResultsError
        When a run's records are damaged.
    """
    labels = _labels(runs)
    answers = [answers_of(run, label) for run, label in zip(runs, labels, strict=True)]
    if len(answers) == 1:
        scenario = answers[0].scenario
        title = scenario.title or scenario.name
        content = page(title, introduction_html(scenario), list(_sections(answers[0], "run")))
    else:
        chapters = [
            Section(
                f"run-{i}",
                f"{each.label}: {each.scenario.title or each.scenario.name}",
                introduction_html(each.scenario),
                tuple(_sections(each, f"run-{i}")),
            )
            for i, each in enumerate(answers, start=1)
        ]
        comparison = Section("comparison", "Side by side", side_by_side_html(answers))
        title = f"{plural(len(answers), 'run')} side by side"
        content = page(title, Html(""), [comparison, *chapters])
    with written_whole(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return path


def _labels(runs: Sequence[Run]) -> list[str]:
    """Name runs by their scenario; where that is not enough by their source, or in full."""
    for name_of in (_scenario_name, _source_name):
        names = [name_of(run) for run in runs]
        if len(set(names)) == len(names):
            return names
    return [run.name for run in runs]


def _scenario_name(run: Run) -> str:
    return run.scenario.name


def _source_name(run: Run) -> str:
    return f"{run.scenario.name}, {run.manifest.source}"


def _sections(answers: Answers, key: str) -> Iterator[Section]:
    """Yield the sections of one run; ``key`` starts their anchors and the ids of figures."""
    scenario = answers.scenario
    draw = _Drawing(key)
    yield Section(f"{key}-answer", "Answer", answer_html(answers))
    if scenario.has_portal:
        yield from _portal_sections(answers, key, draw)
    if scenario.backoffice is not None:
        yield from office_sections(answers, key, draw)
    source = provenance_html(answers.run)
    yield Section(f"{key}-source", "Where the numbers come from", source)


def _portal_sections(answers: Answers, key: str, draw: "_Drawing") -> Iterator[Section]:
    scenario = answers.scenario
    series = read_series(answers.run, scenario)
    yield Section(f"{key}-demand", "Demand", _demand(answers, series, draw))
    yield Section(f"{key}-stations", "Stations", _stations(answers, series, draw))
    yield Section(f"{key}-latency", "Response times", _latency(answers, series, draw))
    yield Section(f"{key}-time", "Where the time goes", _time_spent(answers, series, draw))
    yield Section(f"{key}-outcomes", "Outcomes", _outcomes(answers, draw))
    if series.services:
        yield Section(f"{key}-services", "Services", _services(scenario, series, draw))
    if scenario.portal.jobs:
        yield Section(f"{key}-sync", "Synchronisation", _jobs(answers, series, draw))
    yield Section(f"{key}-cost", "Cost of the capacity", cost_html(scenario))


class _Drawing:
    """Turns figures into HTML, each with ids of its own."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._count = 0

    def __call__(self, draw: "Callable[[], Figure]", label: str, caption: str) -> Html:
        self._count += 1
        return figure(svg(draw, f"{self._key}-f{self._count}", label), caption)


def _demand(answers: Answers, series: Series, draw: _Drawing) -> Html:
    scenario = answers.scenario
    expected = session_profiles(scenario)
    n_replications = plural(len(answers.run.replications), "replication")
    caption = f"Mean over {n_replications}. {_shades(scenario)}"
    drawing = draw(
        lambda: figures.demand(series, scenario, expected),
        "Sessions and requests per second over time",
        caption,
    )
    return join([drawing, journeys_html(answers)])


def _stations(answers: Answers, series: Series, draw: _Drawing) -> Html:
    names = most_used(series, MAX_STATIONS)
    if not series.stations:
        return paragraph("No station was observed.")
    if not names:
        return paragraph("No station has a limit.")
    drawing = draw(
        lambda: figures.stations(series, answers.scenario, names),
        "Utilisation and queue of the stations over time",
        "The most used first. Line: mean over replications; band: lowest and highest "
        f"replication. {_shades(answers.scenario)}",
    )
    sentences = [most_used_sentence(answers, _most_used_on_average(answers, names))]
    sentences += _fully_used(series, answers.scenario, names)
    return join([*map(paragraph, sentences), drawing])


def _most_used_on_average(answers: Answers, names: Sequence[str]) -> str:
    def used(name: str) -> float:
        return _known(answers.estimates[f"{name}.utilisation.mean"].value)

    return max(names, key=used)


def _fully_used(series: Series, scenario: Scenario, names: Sequence[str]) -> list[str]:
    """Return a sentence on the stations that had nothing left for a while, if any."""
    bins, window = series.level_bins, scenario.window
    judged = (bins.edges_s[:-1] >= window.warm_up_s) & (bins.edges_s[:-1] < window.duration_s)
    full = {
        name: float(bins.lengths_s[judged & (series.stations[name].utilisation.mean > _FULL)].sum())
        for name in names
    }
    told = [f"{name} for {duration(length_s)}" for name, length_s in full.items() if length_s > 0]
    return [f"Fully used in the judged part of the window: {', '.join(told)}."] if told else []


def _latency(answers: Answers, series: Series, draw: _Drawing) -> Html:
    estimates = answers.estimates
    names = [
        name
        for name in answers.scenario.portal.endpoints
        if np.isfinite(estimates[f"{name}.response_s.p50"].value)
    ]
    if not names:
        return paragraph("No request was answered.")
    names.sort(key=lambda name: -estimates[f"{name}.response_s.p95"].value)
    names = ["all", *names]
    bounds = {
        name: result.target.at_most
        for result in answers.results
        for name in names
        if result.target.metric == f"{name}.response_s.p95" and result.target.at_most is not None
    }
    busiest = sorted(series.requests_per_s, key=lambda name: -series.requests_per_s[name].sum())
    shown = {
        name: series.quantiles[name]
        for name in busiest
        if np.isfinite(series.quantiles[name].p95).any()
    }
    shown = dict(list(shown.items())[:MAX_GROUPS])
    parts = [
        draw(
            lambda: figures.latency_by_endpoint(names, estimates, bounds),
            "Median and 95th percentile of the response time by endpoint",
            "From the due time to the answer, attempts that timed out or were abandoned included. "
            "Bars: intervals; hollow: too few data for one.",
        )
    ]
    if shown:
        parts.append(
            draw(
                lambda: figures.latency_over_time(shown, series.bins, answers.scenario),
                "Median and 95th percentile of the response time over time",
                f"All replications together, the busiest groups. {_shades(answers.scenario)}",
            )
        )
    return join([*parts, endpoints_html(answers)])


def _time_spent(answers: Answers, series: Series, draw: _Drawing) -> Html:
    spent = {name: parts for name, parts in series.spent_s.items() if any(parts.values())}
    if not spent:
        return paragraph("No session began in the judged part of the window.")
    return draw(
        lambda: figures.time_spent(spent),
        "Where the time of a session goes, by journey",
        "Mean session. Thinking: nothing is asked, pauses before retries included. Queueing: for "
        "workers, connections and calls. Service: processors shared with others included. In "
        "vain: attempts that were not answered well.",
    )


def _outcomes(answers: Answers, draw: _Drawing) -> Html:
    shares = {
        name: {
            quantity.removesuffix("_share"): _known(answers.estimates[f"{name}.{quantity}"].value)
            for quantity in NOT_OK
        }
        for name in answers.scenario.portal.endpoints
    }
    shares = {name: parts for name, parts in shares.items() if any(parts.values())}
    if not shares:
        return paragraph("Every attempt was answered well.")
    shares = dict(sorted(shares.items(), key=lambda item: -sum(item[1].values())))
    sentence = f"{answers.value('all.ok_share')} of all attempts were answered well."
    drawing = draw(
        lambda: figures.failures(shares),
        "Shares of attempts not answered well, by endpoint",
        "Rejected: at a full queue. Timed out: at a limit of the server. Failed: an error. "
        "Abandoned: the client left, or the run ended, before the answer.",
    )
    return join([paragraph(sentence), drawing])


def _services(scenario: Scenario, series: Series, draw: _Drawing) -> Html:
    names = _service_names(scenario)
    labels = [_service_label(code, names.get(code, "")) for code in series.services]
    matrix = np.array(list(series.services.values()))
    return draw(
        lambda: figures.services(labels, matrix, series.heat, scenario),
        "Requests of the services most asked for, over time",
        f"The {len(labels)} services most asked for, requests per second.",
    )


def _service_names(scenario: Scenario) -> dict[str, str]:
    """Return the names of services by code; none when the catalogue's file is not at hand."""
    try:
        catalogue = catalogue_of(scenario)
    except CatalogueError:
        return {}
    return dict(zip(catalogue.code, catalogue.name, strict=True))


def _service_label(code: str, name: str) -> str:
    short = name if len(name) <= _NAME_SHOWN else f"{name[: _NAME_SHOWN - 1]}…"
    return f"{short}  {code[:_CODE_SHOWN]}" if name else code


def _jobs(answers: Answers, series: Series, draw: _Drawing) -> Html:
    scenario = answers.scenario
    if not any(name in series.stations for name in scenario.portal.jobs):
        return dossiers_html(answers)
    drawing = draw(
        lambda: figures.jobs(series, scenario),
        "Queue and age of the oldest item of every background job over time",
        f"Line: mean over replications; band: lowest and highest replication. {_shades(scenario)}",
    )
    return join([jobs_html(scenario, series.items), drawing, dossiers_html(answers)])


def _shades(scenario: Scenario) -> str:
    """Return what the shades behind lines over time mean."""
    faults = " Orange: faults." if scenario.faults else ""
    return f"Grey: not judged.{faults}"


def _known(value: float) -> float:
    """Return a share; 0 where nothing was observed."""
    return value if np.isfinite(value) else 0.0
