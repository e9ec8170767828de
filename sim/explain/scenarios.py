"""What a scenario means before anything runs: demand, loads, bottleneck, offices, cost."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sim.analytic import Prediction, StationLoad, predict
from sim.analytic.prediction import NOTE
from sim.demand import expected_size
from sim.demand.catalogue import Catalogue, catalogue_of
from sim.explain.layout import empty_table, heading, plain
from sim.explain.offices import office_parts
from sim.report.wording import (
    NONE,
    bit_rate,
    bound,
    clock,
    duration,
    money,
    number,
    plural,
    rate,
    share,
    topology,
    window,
    words,
)
from sim.scenario.run import Fault
from sim.scenario.scenario import Scenario
from sim.workload import expected_workload
from sim.workload.drawing import has_officers

if TYPE_CHECKING:
    from rich.console import RenderableType

MONTHS_PER_YEAR = 12

# source: usual ceilings in capacity planning; the targets of a scenario state its own
_BUSY = 0.6
_TIGHT = 0.8
_NO_WAIT_S = 1e-4
"""Mean waits shorter than this are not worth a number."""


def explain(scenario: Scenario, catalogue: Catalogue | None = None) -> "RenderableType":
    """Say what a scenario means: demand, loads, bottleneck, latency, balance, cost.

    Parameters
    ----------
    scenario : Scenario
        The question.
    catalogue : Catalogue, optional
        Its procedures; by default those of the scenario.

    Returns
    -------
    rich renderable
        For ``Console.print``.

    Raises
    ------
    DemandError
        When some journey never ends.
    ScenarioError
        When no office decides some procedure, or nobody does some task.
    """
    from rich.console import Group

    procedures = catalogue_of(scenario) if catalogue is None else catalogue
    prediction = predict(scenario, procedures) if scenario.has_portal else None
    parts = [
        *_question(scenario),
        *(_demand(scenario, prediction) if prediction else ()),
        *_catalogue(scenario, procedures),
        *(_portal(scenario, prediction) if prediction else ()),
        *office_parts(scenario, procedures),
        *(_officers(scenario, procedures) if prediction else ()),
        *(_cost(scenario) if prediction else ()),
        *_faults(scenario),
        *_targets(scenario),
        *([plain(f"\n{NOTE}", "dim")] if prediction else ()),
    ]
    return Group(*parts)


def _portal(scenario: Scenario, prediction: Prediction) -> Iterable["RenderableType"]:
    yield from _stations(scenario, prediction)
    yield from _endpoints(scenario, prediction)
    yield from _jobs(prediction)


def _question(scenario: Scenario) -> Iterable["RenderableType"]:
    city = scenario.city
    inhabitants = f" ({city.population:,} inhabitants)" if city.population else ""
    yield plain(scenario.title or scenario.name, "bold")
    if scenario.description:
        yield plain(scenario.description.strip())
    yield plain(f"{city.name}{inhabitants}, {topology(scenario)}.")
    yield plain(f"{window(scenario)}.")


def _demand(scenario: Scenario, prediction: Prediction) -> Iterable["RenderableType"]:
    yield heading("Demand")
    yield plain(
        f"{number(prediction.dossiers)} dossiers, {number(prediction.sessions)} sessions and "
        f"{number(prediction.requests)} requests are expected in the window "
        f"(of {number(scenario.demand.dossiers_per_year)} dossiers a year, "
        f"{share(scenario.demand.online_share)} online)."
    )
    table = empty_table(
        "journey",
        ">sessions/s, mean",
        f">at {clock(scenario, prediction.peak_from_s)}",
        ">requests each",
        ">requests/s, peak",
    )
    for name, peak in prediction.sessions_peak_per_s.items():
        each = prediction.requests_per_session[name]
        mean = number(prediction.sessions_mean_per_s[name])
        table.add_row(words(name), mean, number(peak), number(each), number(peak * each))
    total = sum(endpoint.rate_peak_per_s for endpoint in prediction.endpoints.values())
    table.add_section()
    table.add_row(
        "all",
        number(sum(prediction.sessions_mean_per_s.values())),
        number(sum(prediction.sessions_peak_per_s.values())),
        "",
        number(total),
    )
    yield table
    for event in scenario.demand.events:
        whom = ", ".join(words(name) for name in event.journeys) or "all journeys"
        yield plain(
            f"Event: {words(event.kind)} of {whom}, up to {number(event.factor)} times, "
            f"{clock(scenario, event.from_s)} to {clock(scenario, event.to_s)}."
        )


def _officers(scenario: Scenario, procedures: Catalogue) -> Iterable["RenderableType"]:
    """Yield what officers add to the portal's load, which the figures above leave out."""
    if not has_officers(scenario):
        return
    whole, citizens = (
        size(scenario, 0, procedures).requests for size in (expected_workload, expected_size)
    )
    yield plain(
        f"Officers load the portal too: up to {number(whole - citizens)} requests in the window, "
        "at the times their tasks begin; the figures of endpoints and stations above leave them "
        "out."
    )


def _catalogue(scenario: Scenario, procedures: Catalogue) -> Iterable["RenderableType"]:
    n, n_integrated = len(procedures), int(procedures.integrated.sum())
    n_full = procedures.online_level.count("full")
    n_active = int((procedures.weight > 0).sum())
    n_domains = len(set(procedures.domain))
    yield heading("Catalogue")
    yield plain(
        f"{plural(n, 'procedure')} in {plural(n_domains, 'domain')}; {n_integrated:,} offered "
        f"online ({share(n_integrated / n)}), {n_full:,} from end to end; {n_active:,} carry the "
        "online load."
    )
    if scenario.shared_data is not None:
        data = scenario.shared_data
        yield plain(
            f"Shared-data platform: {data.data_sets:,} data sets, {data.fields:,} fields, "
            f"{data.records:,} records."
        )


def _stations(scenario: Scenario, prediction: Prediction) -> Iterable["RenderableType"]:
    from rich.text import Text

    yield heading("Stations, the most used first")
    table = empty_table(
        "station",
        "capacity",
        ">load, mean",
        ">peak",
        ">used, mean",
        ">peak",
        ">wait",
        "",
    )
    for load in prediction.stations:
        word, style = _rating(load)
        table.add_row(
            load.name,
            _capacity(load),
            _amount(load, load.offered_mean),
            _amount(load, load.offered_peak),
            share(load.utilisation_mean),
            Text(share(load.utilisation_peak), style),
            NONE if load.wait_peak_s < _NO_WAIT_S else duration(load.wait_peak_s),
            Text(word, style),
        )
    yield table
    yield plain(_bottleneck(scenario, prediction), "bold")


def _bottleneck(scenario: Scenario, prediction: Prediction) -> str:
    load, headroom = prediction.bottleneck, prediction.headroom
    if load is None:
        return "No station has a limit."
    when = clock(scenario, prediction.peak_from_s)
    if headroom < 1:
        return (
            f"{load.name} is too small: at {when} it is offered {share(load.utilisation_peak)} of "
            f"what it can do; it would hold {share(headroom)} of the sessions."
        )
    return (
        f"{load.name} is used up first: {share(load.utilisation_peak)} at {when}. Sessions may "
        f"grow at most {number(headroom)} times before something saturates."
    )


def _rating(load: StationLoad) -> tuple[str, str]:
    """Return a word and a colour for how much a station is used."""
    if load.utilisation_peak >= 1:
        return "too small", "bold red"
    if not load.is_stable:
        return "filled by others", "red"
    if load.utilisation_peak >= _TIGHT:
        return "tight", "red"
    if load.utilisation_peak >= _BUSY:
        return "busy", "yellow"
    return "ample", "green"


_UNITS = {
    "processor": "cores",
    "workers": "workers",
    "pool": "tokens",
    "gateway": "calls",
}


def _capacity(load: StationLoad) -> str:
    text = _amount(load, load.capacity)
    unit = _UNITS.get(load.kind)
    if load.kind == "rate_limit":
        text += " calls"
    if load.kind == "job":
        text += " items"
    if load.capacity_most > load.capacity:
        text += f" of {_amount(load, load.capacity_most)}"
    return f"{text} {unit}" if unit else text


def _amount(load: StationLoad, value: float) -> str:
    """Return an amount in the unit of a station's capacity."""
    if load.kind == "link":
        return bit_rate(value)
    return rate(value) if load.kind in ("job", "rate_limit") else number(value)


def _endpoints(scenario: Scenario, prediction: Prediction) -> Iterable["RenderableType"]:
    yield heading("Requests and their mean response")
    table = empty_table("endpoint", "group", ">per s, peak", ">without queueing", ">with")
    for name, endpoint in prediction.endpoints.items():
        if endpoint.rate_peak_per_s == 0:
            continue
        loaded = endpoint.response_peak_s
        table.add_row(
            words(name),
            words(scenario.portal.endpoints[name].group),
            number(endpoint.rate_peak_per_s),
            duration(endpoint.zero_load_s),
            duration(loaded) if loaded < float("inf") else "no steady state",
        )
    yield table


def _jobs(prediction: Prediction) -> Iterable["RenderableType"]:
    if not prediction.jobs:
        return
    yield heading("Background jobs, items an hour")
    table = empty_table(
        "job",
        ">arrive, mean",
        ">at most",
        ">can do",
        ">takes alone",
        ">largest queue",
        ">its delay",
    )
    for name, balance in prediction.jobs.items():
        table.add_row(
            words(name),
            number(balance.items_mean_per_s * 3600),
            number(balance.items_peak_per_s * 3600),
            number(balance.capacity_per_s * 3600),
            duration(balance.zero_load_s),
            number(round(balance.backlog_max)),
            duration(balance.delay_max_s),
        )
    yield table


def _cost(scenario: Scenario) -> Iterable["RenderableType"]:
    if scenario.budget is None:
        return
    cores = sum(tier.servers * tier.cores for tier in scenario.portal.tiers.values())
    per_month = cores * scenario.budget.core_vnd_per_month
    part = per_month * MONTHS_PER_YEAR / scenario.budget.total_vnd_per_year
    yield heading("Cost")
    yield plain(
        f"{plural(cores, 'core')}: {money(per_month)} a month, {share(part)} of the yearly "
        f"{money(scenario.budget.total_vnd_per_year)} for "
        f"{plural(scenario.budget.projects, 'project')}."
    )


def _faults(scenario: Scenario) -> Iterable["RenderableType"]:
    if not scenario.faults:
        return
    yield heading("Faults")
    for fault in scenario.faults:
        when = f"{clock(scenario, fault.from_s)} to {clock(scenario, fault.to_s)}"
        yield plain(f"{when}: {_happening(fault)}.")


def _happening(fault: Fault) -> str:
    kinds = {
        "server_lost": f"{fault.target} loses {plural(fault.servers or 0, 'server')}",
        "gateway_down": f"{fault.target} refuses every call",
        "gateway_silent": f"{fault.target} does not answer",
        "job_stopped": f"{fault.target} stands still",
    }
    return kinds.get(fault.kind, f"{fault.target} is {number(fault.factor or 1)} times slower")


def _targets(scenario: Scenario) -> Iterable["RenderableType"]:
    if not scenario.targets:
        return
    yield heading("Targets")
    table = empty_table("metric", "wanted")
    for target in scenario.targets:
        table.add_row(target.metric, bound(target))
    yield table
