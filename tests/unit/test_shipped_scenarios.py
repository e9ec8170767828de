"""The shipped scenarios: they load, say where their numbers come from, and ask what they claim."""

import datetime as dt
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from sim.demand.arrivals import session_profiles
from sim.demand.catalogue import catalogue_of
from sim.demand.journeys import expected_requests
from sim.scenario import Scenario, load_scenario
from sim.scenario.loader import shipped_scenarios
from sim.scenario.portal import Compute, Enqueue

FOLDER = Path(__file__).resolve().parents[2] / "scenarios"
FILES = sorted(FOLDER.rglob("*.yaml"))
SCENARIOS = sorted(file.stem for file in FOLDER.glob("*.yaml"))
CHILDREN = [name for name in SCENARIOS if name != "haiphong-2024"]
TEXTS = {"name", "title", "description", "extends"}

WRITES = {
    "login",
    "dossier_create",
    "e_form_save",
    "file_upload",
    "mark_save",
    "dossier_save",
    "draft_action",
    "submit",
}

# A number has an origin when a comment with "source:" or "assumption:" stands at the end of its
# line, or directly above its line, or above (or at the first line of) a block around it that is
# short enough to be seen at once with the comment.
ORIGIN = re.compile(r"\b(?:source|assumption): \S")
NUMBER = re.compile(r"(?:(?:constant|exponential|lognormal|uniform)\s+)?[-+]?\.?[0-9]")
LONGEST_BLOCK = 12


@cache
def shipped(name: str) -> Scenario:
    return load_scenario(FOLDER / f"{name}.yaml")


def numbers_without_origin(text: str) -> list[str]:
    lines = text.splitlines()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return [
        f"line {at + 1}: {value}"
        for value, at, blocks in numbers(root, [])
        if not any(has_origin(lines, first) for first in (at, *blocks))
    ]


def numbers(node: yaml.Node, blocks: list[int]) -> Iterator[tuple[str, int, list[int]]]:
    """Yield each number, its line, and the first lines of the short blocks around it."""
    if isinstance(node, yaml.ScalarNode):
        if NUMBER.match(node.value):
            yield node.value, node.start_mark.line, blocks
        return
    for first, child in entries(node):
        is_short = last_line(child) - first < LONGEST_BLOCK
        yield from numbers(child, [*blocks, first] if is_short else blocks)


def entries(node: yaml.Node) -> list[tuple[int, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        return [(key.start_mark.line, value) for key, value in node.value]
    return [(row.start_mark.line, row) for row in node.value]


def last_line(node: yaml.Node) -> int:
    if isinstance(node, yaml.ScalarNode) or not node.value:
        return node.start_mark.line
    return max(last_line(child) for _, child in entries(node))


def has_origin(lines: list[str], at: int) -> bool:
    comment = lines[at].partition("# ")[2]
    above = at - 1
    while above >= 0 and lines[above].lstrip().startswith("#"):
        comment = f"{lines[above]} {comment}"
        above -= 1
    return ORIGIN.search(comment) is not None


def leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(value, dict):
        yield path
        return
    for key, child in value.items():
        yield from leaves(child, (*path, str(key)))


def at_path(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


@cache
def requests_per_session(name: str) -> dict[str, dict[str, float]]:
    scenario = shipped(name)
    means = expected_requests(scenario, catalogue_of(scenario))
    return {
        journey: dict(zip(scenario.portal.endpoints, mean.tolist(), strict=True))
        for journey, mean in means.items()
    }


def expected_total(name: str) -> float:
    profiles = session_profiles(shipped(name))
    per_session = requests_per_session(name)
    return float(
        sum(
            profile.expected_counts.sum() * sum(per_session[journey].values())
            for journey, profile in profiles.items()
        )
    )


def judged_rates_per_s(name: str) -> dict[str, float]:
    """Return the mean rate of every endpoint after the warm-up."""
    scenario, per_session = shipped(name), requests_per_session(name)
    window = scenario.window
    rates = dict.fromkeys(scenario.portal.endpoints, 0.0)
    for journey, profile in session_profiles(scenario).items():
        is_judged = profile.edges_s[:-1] >= window.warm_up_s
        sessions = profile.expected_counts[is_judged].sum()
        for endpoint, requests in per_session[journey].items():
            rates[endpoint] += requests * sessions / (window.duration_s - window.warm_up_s)
    return rates


def offered_load(name: str, tier: str) -> float:
    """Return how many cores of a tier requests keep busy, on average."""
    portal, rates = shipped(name).portal, judged_rates_per_s(name)
    return sum(
        rates[endpoint] * row.work.mean_s
        for endpoint, spec in portal.endpoints.items()
        for row in spec.program
        if isinstance(row, Compute) and row.cpu == tier
    )


def sync_rows_per_h(name: str) -> float:
    """Return how many rows an hour requests put into the one-stop queue."""
    portal, rates = shipped(name).portal, judged_rates_per_s(name)
    return 3600 * sum(
        rates[endpoint]
        for endpoint, spec in portal.endpoints.items()
        for row in spec.program
        if isinstance(row, Enqueue) and row.enqueue == "one_stop_sync"
    )


def sync_capacity_per_h(name: str) -> float:
    job = shipped(name).portal.jobs["one_stop_sync"]
    return 3600 * job.batch / job.period_s


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_shipped_scenario_loads_under_its_own_name(name: str) -> None:
    scenario = shipped(name)
    assert scenario.name == name
    assert scenario.title
    assert scenario.description
    assert scenario.targets


def test_exactly_the_scenarios_in_the_folder_are_shipped() -> None:
    assert set(SCENARIOS) <= set(shipped_scenarios())
    assert "haiphong-2024" in SCENARIOS


def test_the_readme_lists_every_scenario_and_every_fragment() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    names = [f"`{name}`" for name in SCENARIOS]
    names += [f"`{file.relative_to(FOLDER).as_posix()}`" for file in FILES if file.parent != FOLDER]
    assert [name for name in names if name not in text] == []


def test_the_city_of_november_2024_has_its_published_figures() -> None:
    scenario = shipped("haiphong-2024")
    catalogue, shared, budget = scenario.catalogue, scenario.shared_data, scenario.budget
    assert shared is not None
    assert budget is not None
    assert (catalogue.procedures, catalogue.integrated) == (1938, 1580)
    assert 0.8151 <= catalogue.integrated / catalogue.procedures <= 0.8153
    assert scenario.demand.online_share == 0.9
    assert scenario.city.full_process_dossier_share == 0.9
    assert (shared.data_sets, shared.fields, shared.records) == (192, 1941, 437_000)
    assert (budget.projects, budget.total_vnd_per_year) == (81, 400e9)


def test_the_merged_city_has_its_published_figures() -> None:
    scenario = shipped("haiphong-2025-merged")
    assert scenario.topology == "national_front"
    assert (scenario.city.population, scenario.city.one_stop_units) == (4_664_124, 114)


@pytest.mark.parametrize("name", ["haiphong-2024", "haiphong-2025-merged"])
def test_half_a_dossier_is_filed_per_inhabitant_and_year(name: str) -> None:
    scenario = shipped(name)
    assert scenario.city.population is not None
    per_head = scenario.demand.dossiers_per_year / scenario.city.population
    assert round(per_head, 3) == 0.5


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(FOLDER).as_posix())
def test_every_number_says_where_it_comes_from(file: Path) -> None:
    assert numbers_without_origin(file.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "unexplained"),
    [
        ("a: 1  # source: a book\nb: 2 ms\n", ["line 2: 2 ms"]),
        ("# assumption: both\na:\n  - {b: 1, c: lognormal 3 s cv 1}\n", []),
        ("# source: far away\n\na: 1\n", ["line 3: 1"]),
        ("# about it\na: [1,\n    2]\n", ["line 2: 1", "line 3: 2"]),
        (
            "# source: too far up\na:\n" + "  - 1\n" * LONGEST_BLOCK,
            [f"line {line}: 1" for line in range(3, 3 + LONGEST_BLOCK)],
        ),
    ],
)
def test_a_number_without_origin_is_found(text: str, unexplained: list[str]) -> None:
    assert numbers_without_origin(text) == unexplained


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_states_only_its_differences(name: str) -> None:
    own = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    extends = own["extends"]
    parent = Path(extends if isinstance(extends, str) else extends[0]).stem
    inherited = shipped(parent).model_dump(mode="json")
    resolved = shipped(name).model_dump(mode="json")
    stated = {key: value for key, value in own.items() if key not in TEXTS}
    repeated = [
        ".".join(path)
        for path in leaves(stated)
        if at_path(resolved, path) == at_path(inherited, path)
    ]
    assert repeated == []


def test_an_endpoint_group_never_bears_the_name_of_an_endpoint() -> None:
    for name in SCENARIOS:
        endpoints = shipped(name).portal.endpoints
        assert {spec.group for spec in endpoints.values()}.isdisjoint(endpoints)


def test_shares_of_the_channels_sum_to_one() -> None:
    for name in SCENARIOS:
        shares = [channel.share for channel in shipped(name).channels.values()]
        assert round(sum(shares), 9) == 1


def test_a_submission_makes_as_many_requests_as_the_published_front_end() -> None:
    requests = requests_per_session("haiphong-2024")["submit"]
    polls = requests.pop("sync_poll")
    assert 70 <= sum(requests.values()) <= 90
    assert 13 <= sum(requests[name] for name in WRITES) <= 17
    assert polls <= 39


def test_a_visit_makes_about_ten_requests_and_an_officers_step_about_twenty() -> None:
    requests = requests_per_session("haiphong-2024")
    assert 8 <= sum(requests["browse"].values()) <= 12
    assert 18 <= sum(requests["officer"].values()) <= 22


def test_a_submission_files_one_dossier_and_all_journeys_together_one_per_dossier() -> None:
    scenario, requests = shipped("haiphong-2024"), requests_per_session("haiphong-2024")
    files = [name for name, spec in scenario.portal.endpoints.items() if spec.files_dossier]
    filed = {name: sum(means[file] for file in files) for name, means in requests.items()}
    per_dossier = {name: spec.per_dossier for name, spec in scenario.demand.journeys.items()}
    assert filed["submit"] == 1
    assert round(sum(filed[name] * per_dossier[name] for name in per_dossier), 9) == 1


def test_polls_last_as_long_as_a_dossier_may_wait_for_its_turn() -> None:
    scenario = shipped("haiphong-2024")
    (poll,) = [step for step in scenario.journeys["submit"].steps if step.while_syncing]
    assert poll.repeat * poll.think.mean_s >= scenario.portal.jobs["one_stop_sync"].period_s


def test_the_one_stop_queue_takes_1200_dossiers_an_hour() -> None:
    assert sync_capacity_per_h("haiphong-2024") == 1200


def test_a_peak_day_is_2_71_mean_days() -> None:
    scenario = shipped("peak-day")
    demand = scenario.demand
    submit = session_profiles(scenario)["submit"].expected_counts.sum()
    mean_day = demand.dossiers_per_year * demand.online_share / 366
    assert submit / demand.journeys["submit"].per_dossier / mean_day == pytest.approx(
        2.71, rel=0.01
    )


def test_the_last_day_of_a_service_is_25_9_of_its_mean_days() -> None:
    (event,) = shipped("deadline-day").demand.events
    hours = np.array(shipped("deadline-day").demand.hours["citizens"])
    middle_h = np.arange(24) + 0.5
    growth = np.exp((middle_h - 24) * 3600 / event.scale_s)
    day_factor = 1 + (event.factor - 1) * (hours @ growth) / hours.sum()
    service_share = 0.1
    assert 1 + (day_factor - 1) / service_share == pytest.approx(25.9, rel=0.01)


def test_a_peak_hour_is_small_enough_to_repeat_and_a_peak_day_is_large() -> None:
    assert 0.2e6 <= expected_total("peak-hour") <= 0.35e6
    assert 2e6 <= expected_total("peak-day") <= 4e6


def test_the_peak_hour_loads_the_fullest_station_between_half_and_seven_tenths() -> None:
    portal = shipped("peak-hour").portal
    loads = {
        name: offered_load("peak-hour", name) / (tier.servers * tier.cores)
        for name, tier in portal.tiers.items()
    }
    loads["one_stop_sync"] = sync_rows_per_h("peak-hour") / sync_capacity_per_h("peak-hour")
    assert 0.5 <= max(loads.values()) <= 0.7


def test_the_merged_citys_peak_hour_overfills_the_one_stop_queue() -> None:
    assert sync_rows_per_h("haiphong-2025-merged") > sync_capacity_per_h("haiphong-2025-merged")


@pytest.mark.parametrize("name", ["gateway-slow", "shared-data-down"])
def test_ten_minutes_of_a_bad_gateway_lie_within_the_judged_hour(name: str) -> None:
    scenario = shipped(name)
    (fault,) = scenario.faults
    assert fault.to_s - fault.from_s == 600
    assert scenario.window.warm_up_s < fault.from_s
    assert fault.to_s < scenario.window.duration_s


def test_a_silent_shared_data_platform_can_hold_every_worker_thread() -> None:
    scenario = shipped("shared-data-down")
    app = scenario.portal.tiers["app"]
    timeout_s = scenario.portal.gateways["shared_data"].timeout_s
    assert app.workers is not None
    assert timeout_s is not None
    calls_per_s = judged_rates_per_s("shared-data-down")["citizen_lookup"]
    assert calls_per_s * timeout_s > app.servers * app.workers


def test_threads_and_jobs_together_fit_the_data_bases_connections() -> None:
    portal = shipped("haiphong-2024").portal
    app = portal.tiers["app"]
    assert app.workers is not None
    jobs = portal.jobs["one_stop_sync"].workers + portal.jobs["national_sync"].workers
    assert app.servers * app.workers + jobs == portal.pools["db_connections"].capacity


def test_enterprises_file_in_bulk_over_5g() -> None:
    scenario = shipped("enterprise-bulk")
    assert scenario.journeys["enterprise_bulk"].channel == "mobile_5g"
    bulk = requests_per_session("enterprise-bulk")["enterprise_bulk"]["bulk_submit"]
    assert bulk * scenario.demand.journeys["enterprise_bulk"].per_dossier == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("haiphong-2024", dt.date(2024, 2, 8), dt.date(2024, 2, 14)),
        ("haiphong-2025-merged", dt.date(2025, 1, 25), dt.date(2025, 2, 2)),
    ],
)
def test_offices_are_closed_all_through_tet(name: str, first: dt.date, last: dt.date) -> None:
    tet = [
        day
        for day, title in shipped(name).demand.calendar.holidays.items()
        if title.startswith("Tết") and day.year == first.year
    ]
    assert tet == [first + dt.timedelta(days=k) for k in range((last - first).days + 1)]


def test_each_exchanged_day_off_has_its_saturday() -> None:
    calendar = shipped("haiphong-2025-merged").demand.calendar
    off = [day for day, title in calendar.holidays.items() if title.startswith("Off")]
    assert off == [dt.date(2024, 4, 29), dt.date(2025, 5, 2)]
    assert list(calendar.working_weekends) == [dt.date(2024, 5, 4), dt.date(2025, 4, 26)]
    assert all(day.weekday() < 5 for day in off)
    assert all(day.weekday() == 5 for day in calendar.working_weekends)


def test_windows_start_on_working_days() -> None:
    for name in SCENARIOS:
        scenario = shipped(name)
        start = scenario.window.start.date()
        if scenario.window.duration_s == 365 * 86400:
            assert (start.month, start.day) == (1, 1)
            continue
        assert start.weekday() < 5
        assert start not in scenario.demand.calendar.holidays
