"""Metrics, checks, predictions and words of the offices, from tables made by hand."""

import functools
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from sim.analytic import predict_offices
from sim.analytic.office_visits import below, expected_visits
from sim.comparison import compare, main_metrics
from sim.explain import answer, explain
from sim.metrics import Estimate, check_conservation, estimate, estimate_all, summarise
from sim.metrics.summary import summary_metrics
from sim.results import TABLES, Records, Run, RunWriter
from sim.scenario.base import Distribution
from sim.scenario.checks import check_names, check_targets
from sim.scenario.metric_names import check_metric, metric_groups, parse_metric
from sim.scenario.scenario import Scenario

NAN = math.nan
DAY_S = 86400.0
HOUR_S = 3600.0
WARM_UP_S, END_S = 1 * DAY_S, 11 * DAY_S
EMPTY = {name: schema.empty_table() for name, schema in TABLES.items()}
WORK = dict.fromkeys(("receive", "assign", "examine", "approve", "sign", "release"), "10 min")

Make = Callable[..., Scenario]


def backoffice(**blocks: Any) -> dict[str, Any]:
    """Two communes and a department of land; every team does everything."""
    team = {"officers_per_office": 2, "does": list(WORK)}
    return {
        "fed_by": "demand",
        "online_hours": "flat",
        "offices": {
            "communes": {"count": 2, "level": "commune", "teams": {"desk": team}},
            "land": {"count": 1, "level": "province", "teams": {"desk": team}},
        },
        "workflow": {
            "work": WORK,
            "citizen_answer": "1 day",
            "citizen_limit_s": "30 days",
            "agency_answer": "1 day",
        },
    } | blocks


@pytest.fixture(scope="module")
def make(scenario_dict: Callable[..., dict], one_endpoint: Callable[..., dict]) -> Make:
    """Return scenarios with offices, judged from day 1 to day 11."""

    @functools.cache
    def portal() -> dict[str, Any]:
        return one_endpoint([])

    def scenario(*, window: dict[str, Any] | None = None, **blocks: Any) -> Scenario:
        span = {"start": "2024-11-25T00:00", "duration_s": END_S, "warm_up_s": WARM_UP_S}
        whole = scenario_dict(portal(), window=span | (window or {}))
        whole["demand"] |= {"dossiers_per_year": 3650.0, "online_share": 1.0}
        top = {name: blocks.pop(name) for name in ("targets", "seed") if name in blocks}
        return Scenario.model_validate(whole | top | {"backoffice": backoffice(**blocks)})

    return scenario


def column(values: object, kind: pa.DataType, n: int) -> pa.Array:
    rows = values if isinstance(values, list) else [values] * n
    if pa.types.is_dictionary(kind):
        return pa.array(rows, pa.string()).cast(kind)
    return pa.array(rows).cast(kind)


def dossiers(n: int, replication: int = 0, **columns: object) -> pa.Table:
    """Dossiers filed online with an office of the communes, returned and in time unless said."""
    blank: dict[str, object] = dict.fromkeys(TABLES["dossiers"].names, NAN)
    blank |= {"replication": replication, "session": list(range(n)), "step": 0, "attempt": 0}
    blank |= {"service": "1.000001", "outcome": "acknowledged", "filed": "online"}
    blank |= {"domain": "land", "office": "communes_001", "reception_office": "communes_001"}
    blank |= {"state": "returned", "submitted_s": 2 * DAY_S, "acknowledged_s": 2 * DAY_S}
    blank |= {"supplements": 0, "notice_late": False, "apologised": False}
    blank |= {name: 0.0 for name in blank if name.startswith("waiting_") or name == "working_s"}
    schema = TABLES["dossiers"]
    return pa.table([column((blank | columns)[f.name], f.type, n) for f in schema], schema=schema)


def levels(station: str, replication: int = 0, **columns: object) -> pa.Table:
    """Intervals of one station that follow each other."""
    blank: dict[str, object] = dict.fromkeys(TABLES["levels"].names, 0)
    blank |= {"replication": replication, "station": station} | columns
    n = max(len(value) for value in blank.values() if isinstance(value, list))
    schema = TABLES["levels"]
    return pa.table([column(blank[f.name], f.type, n) for f in schema], schema=schema)


def run_end(at_s: float = END_S, replication: int = 0) -> pa.Table:
    return levels("backoffice.land", replication, from_s=[0.0], to_s=[at_s], capacity=1.0)


def records(table: pa.Table, *stations: pa.Table) -> Records:
    return Records(
        **EMPTY | {"dossiers": table, "levels": pa.concat_tables(stations or [run_end()])}
    )


def value(source: Records, scenario: Scenario, metric: str) -> float:
    return estimate(source, scenario, metric).value


def test_in_time_counts_terms_in_the_judged_window_but_not_the_withdrawn(make: Make) -> None:
    table = dossiers(
        6,
        due_s=[0.5 * DAY_S, 3 * DAY_S, 3 * DAY_S, 3 * DAY_S, 3 * DAY_S, 12 * DAY_S],
        decided_s=[NAN, 2.5 * DAY_S, 3.1 * DAY_S, NAN, NAN, NAN],
        state=["returned", "returned", "refused", "examining", "withdrawn", "examining"],
    )
    on_time = estimate(records(table), make(), "backoffice.on_time_share")
    assert on_time.value == pytest.approx(1 / 3)
    assert on_time.n_requests == 3


def test_a_term_does_not_run_while_the_citizen_is_asked(make: Make) -> None:
    table = dossiers(2, due_s=3 * DAY_S, state=["supplementing", "examining"])
    scenario = make()
    assert estimate(records(table), scenario, "backoffice.on_time_share").n_requests == 1
    assert value(records(table), scenario, "backoffice.overdue_end") == 1


def test_late_reception_is_of_online_dossiers_and_knows_whose_fault_it_is(make: Make) -> None:
    day = [n * DAY_S for n in range(12)]
    table = dossiers(
        5,
        filed=["online", "online", "online", "online", "counter"],
        submitted_s=day[2],
        reception_due_s=[day[3], day[3], day[3], day[4], day[3]],
        received_s=[day[3], day[4], day[6], NAN, day[5]],
        waiting_system_s=[0.0, 1.5 * DAY_S, 1.0 * DAY_S, 9 * DAY_S, 0.0],
        state=["returned", "returned", "returned", "synchronising", "returned"],
    )
    scenario = make()
    assert value(records(table), scenario, "backoffice.late_reception_share") == 0.75
    # Late are three; the second and the last lay longer in synchronisation than with officers.
    assert value(records(table), scenario, "backoffice.late_by_sync_share") == pytest.approx(2 / 3)
    whole = estimate(records(table), scenario, "backoffice.reception_s.max")
    assert whole.value == END_S - day[2]


def test_lead_counts_from_filing_and_the_backlog_not_in_times_of_waiting(make: Make) -> None:
    table = dossiers(
        3,
        filed=["online", "counter", "backlog"],
        submitted_s=[2 * DAY_S, 2 * DAY_S, -5 * DAY_S],
        decided_s=[4 * DAY_S, 3 * DAY_S, 2 * DAY_S],
        waiting_officer_s=[100.0, 300.0, 9000.0],
    )
    scenario = make()
    assert value(records(table), scenario, "backoffice.lead_s.mean") == pytest.approx(
        (2 + 1 + 7) / 3 * DAY_S
    )
    assert value(records(table), scenario, "backoffice.waiting_officer_s.mean") == 200.0
    assert value(records(table), scenario, "backoffice.decided_per_day") == pytest.approx(0.3)


def test_the_backlog_at_the_end_has_an_age_and_what_is_past_its_term(make: Make) -> None:
    table = dossiers(
        4,
        submitted_s=[-3 * DAY_S, 8 * DAY_S, 9 * DAY_S, 2 * DAY_S],
        state=["examining", "receiving", "releasing", "returned"],
        due_s=[5 * DAY_S, NAN, 9.5 * DAY_S, 4 * DAY_S],
        decided_s=[NAN, NAN, 10 * DAY_S, 3 * DAY_S],
        closed_s=[NAN, NAN, NAN, 3 * DAY_S],
    )
    scenario = make()
    assert value(records(table), scenario, "backoffice.backlog_end") == 3
    assert value(records(table), scenario, "backoffice.overdue_end") == 1
    ages = [END_S + 3 * DAY_S, END_S - 8 * DAY_S, END_S - 9 * DAY_S]
    mean = value(records(table), scenario, "backoffice.backlog_age_s.mean")
    assert mean == pytest.approx(np.mean(ages))
    assert value(records(table), scenario, "backoffice.backlog_age_s.max") == max(ages)


def test_shares_of_what_was_closed_in_the_window(make: Make) -> None:
    table = dossiers(
        5,
        closed_s=[2 * DAY_S, 3 * DAY_S, 4 * DAY_S, 5 * DAY_S, 20 * DAY_S],
        state=["returned", "refused", "refused_at_reception", "withdrawn", "refused"],
        supplements=[1, 0, 0, 2, 1],
        apologised=[True, False, False, False, True],
        notice_late=[False, False, False, True, True],
    )
    source, scenario = records(table), make()
    assert value(source, scenario, "backoffice.refused_share") == 0.5
    assert value(source, scenario, "backoffice.withdrawn_share") == 0.25
    assert value(source, scenario, "backoffice.supplement_share") == 0.5
    assert value(source, scenario, "backoffice.apology_share") == 0.25
    assert value(source, scenario, "backoffice.notice_late_share") == 0.25


def test_a_group_has_what_its_offices_decide_and_receives_what_its_desks_receive(
    make: Make,
) -> None:
    table = dossiers(
        3,
        office=["communes_001", "communes_002", "land"],
        reception_office=["communes_001", "land", "land"],
        domain=["land", "land", "health"],
        due_s=4 * DAY_S,
        decided_s=[3 * DAY_S, 5 * DAY_S, 3 * DAY_S],
        received_s=[2.5 * DAY_S, 3 * DAY_S, 4 * DAY_S],
    )
    source, scenario = records(table), make()
    assert value(source, scenario, "backoffice_communes.on_time_share") == 0.5
    assert value(source, scenario, "backoffice_land.on_time_share") == 1.0
    assert value(source, scenario, "domain_land.on_time_share") == 0.5
    assert value(source, scenario, "backoffice_land.reception_s.mean") == 1.5 * DAY_S
    assert value(source, scenario, "backoffice_communes.reception_s.mean") == 0.5 * DAY_S


def test_officers_use_is_busy_over_capacity_of_open_time(make: Make) -> None:
    station = levels(
        "backoffice.land",
        from_s=[WARM_UP_S, WARM_UP_S + HOUR_S, WARM_UP_S + 2 * HOUR_S],
        to_s=[WARM_UP_S + HOUR_S, WARM_UP_S + 2 * HOUR_S, END_S],
        capacity=[4.0, 1.0, 0.0],
        busy_mean=[2.0, 1.0, 0.0],
        utilisation=[0.5, 1.0, NAN],
        queue_mean=[3.0, 9.0, 1.0],
    )
    source, scenario = records(dossiers(0), station), make()
    assert value(source, scenario, "backoffice.land.utilisation.mean") == pytest.approx(3 / 5)
    assert value(source, scenario, "backoffice.land.utilisation.max") == 1.0
    assert value(source, scenario, "backoffice.land.queue.max") == 9.0


def test_a_window_shorter_than_the_terms_cannot_tell(make: Make) -> None:
    table = dossiers(50, due_s=END_S + DAY_S, decided_s=3 * DAY_S)
    on_time = estimate(records(table), make(), "backoffice.on_time_share")
    assert math.isnan(on_time.value)
    assert on_time.low is None
    assert "no term of backoffice ends in the judged window" in str(on_time.reason)


def test_the_end_of_one_replication_has_no_interval_and_of_two_it_has(make: Make) -> None:
    scenario = make()
    one = estimate(records(dossiers(3)), scenario, "backoffice.backlog_end")
    assert (one.value, one.low) == (3, None)
    assert "run more replications" in str(one.reason)
    tables = [dossiers(3), dossiers(5, replication=1)]
    two = records(pa.concat_tables(tables), run_end(), run_end(replication=1))
    assert estimate(two, scenario, "backoffice.backlog_end").low is not None


def test_a_quantile_needs_ten_dossiers_beyond_it(make: Make) -> None:
    lead = estimate(records(dossiers(99, decided_s=3 * DAY_S)), make(), "backoffice.lead_s.p90")
    assert "too few for p90" in str(lead.reason)


def test_batches_of_one_replication_give_the_interval_of_their_means(make: Make) -> None:
    rng = np.random.default_rng(3)
    decided_s = rng.uniform(WARM_UP_S, END_S, 4000)
    table = dossiers(
        4000, decided_s=decided_s.tolist(), waiting_officer_s=rng.random(4000).tolist()
    )
    found = estimate(records(table), make(), "backoffice.waiting_officer_s.mean")
    batch = ((decided_s - WARM_UP_S) / (END_S - WARM_UP_S) * 20).astype(int)
    waits = table["waiting_officer_s"].to_numpy()
    means = [waits[batch == n].mean() for n in range(20)]
    error = np.sqrt(np.sum((np.array(means) - waits.mean()) ** 2) / 19 / 20)
    # Student's t with 19 degrees of freedom, 95 %.
    assert found.half_width == pytest.approx(2.093 * error, rel=1e-3)


def test_without_a_portal_its_metrics_are_no_metrics_and_the_reason_is_told(make: Make) -> None:
    scenario = make(targets=[{"metric": "all.response_s.p95", "at_most": 2.0}])
    assert "all" not in metric_groups(scenario)
    faults = [text for _, text in check_targets(scenario)]
    assert len(faults) == 1
    assert "backoffice.fed_by is demand, so no portal is simulated" in faults[0]


def test_behind_a_portal_both_are_metrics(make: Make) -> None:
    groups = metric_groups(make(fed_by="portal"))
    kinds = {"all": "requests", "backoffice": "offices", "backoffice_land": "offices",
             "domain_land": "offices", "backoffice.communes.desk": "role",
             "backoffice.communes_002": "office", "backoffice.land": "office",
             "backoffice.state.examining": "state"}  # fmt: skip
    assert kinds.items() <= groups.items()


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ("backoffice.on_tim_share", "did you mean on_time_share"),
        ("backoffice_comunes.on_time_share", "did you mean backoffice_communes"),
        ("backoffice.communes_003.utilisation.mean", "unknown group"),
        ("backoffice.state.examining.utilisation.mean", "has no utilisation"),
        ("backoffice.backlog_age_s.p99", "unknown statistic 'p99' of backlog_age_s"),
        ("backoffice.land.on_time_share", "has no on_time_share"),
    ],
)
def test_what_is_no_metric_of_offices_is_told(make: Make, metric: str, told: str) -> None:
    groups = metric_groups(make())
    with pytest.raises(ValueError, match=told):
        check_metric(parse_metric(metric), groups)


def test_a_metric_of_a_station_with_dots_is_taken_apart() -> None:
    name = parse_metric("backoffice.communes.desk.utilisation.mean")
    assert (name.group, name.quantity) == ("backoffice.communes.desk", "utilisation")


def test_a_name_that_two_parts_share_is_told(make: Make) -> None:
    scenario = make(fed_by="portal")
    twin = scenario.model_dump(mode="json")
    twin["portal"]["endpoints"]["domain_land"] = twin["portal"]["endpoints"].pop("e")
    twin["journeys"]["visit"]["steps"][0]["calls"] = {"domain_land": 1}
    found = [text for _, text in check_names(Scenario.model_validate(twin))]
    assert any("'domain_land' names several groups of metrics" in text for text in found)


def test_every_metric_of_a_summary_can_be_estimated(make: Make) -> None:
    scenario = make()
    shown = list(summary_metrics(scenario))
    names = {str(metric) for metric in shown}
    assert {"backoffice.on_time_share", "domain_land.lead_s.p95"} <= names
    assert not any(name.startswith(("all.", "dossiers.")) for name in names)
    found = estimate_all(records(dossiers(3)), scenario, shown)
    assert all(isinstance(each, Estimate) for each in found.values())


def sound() -> Records:
    """One dossier returned, one of the backlog still examined, with the levels of their states."""
    table = dossiers(
        2,
        session=[0, 0],
        filed=["online", "backlog"],
        state=["returned", "examining"],
        submitted_s=[100.0, -50.0],
        acknowledged_s=[100.0, -50.0],
        synced_s=[110.0, NAN],
        received_s=[200.0, -20.0],
        decided_s=[700.0, NAN],
        closed_s=[800.0, NAN],
        waiting_system_s=[10.0, 0.0],
        waiting_officer_s=[90.0, 900.0],
        working_s=[300.0, 100.0],
        waiting_citizen_s=[200.0, 0.0],
        waiting_agency_s=[100.0, 0.0],
    )
    spans = {"from_s": [0.0], "to_s": [1000.0], "capacity": [math.inf]}
    states = {
        "receiving": (1, 1, 0.09),
        "examining": (2, 1, 1.3),
        "supplementing": (1, 1, 0.2),
        "consulting": (1, 1, 0.1),
        "returned": (1, 0, 0.2),
    }
    stations = [
        levels(
            f"backoffice.state.{name}",
            **spans,
            arrivals=[came],
            departures=[left],
            queue_mean=[mean],
        )
        for name, (came, left, mean) in states.items()
    ]
    return records(table, *stations)


def test_sound_dossiers_break_nothing() -> None:
    assert check_conservation(sound()) == []


@pytest.mark.parametrize(
    ("name", "changed", "values", "sentence"),
    [
        ("dossiers", "state", ["returned", "dreaming"], "unknown state"),
        ("dossiers", "filed", ["online", "pigeon"], "unknown way of filing"),
        ("dossiers", "filed", ["backlog", "online"], "not sorted, or twice"),
        ("dossiers", "closed_s", [NAN, NAN], "state and closed_s disagree"),
        ("dossiers", "decided_s", [700.0, 700.0], "state and decided_s disagree"),
        ("dossiers", "synced_s", [300.0, NAN], "received_s before synced_s"),
        ("dossiers", "decided_s", [150.0, NAN], "decided_s before received_s"),
        ("dossiers", "working_s", [301.0, 100.0], "times do not sum to their life"),
        ("dossiers", "state", ["returned", "approving"], "1 dossiers examining at the end, but 0"),
        ("levels", "queue_mean", [0.09, 1.3, 0.3, 0.1, 0.2], "300 s in supplementing_at_reception"),
        ("levels", "departures", [1, 2, 1, 1, 0], "0 dossiers examining at the end"),
    ],
)
def test_a_broken_way_is_named(
    name: str, changed: str, values: list[object], sentence: str
) -> None:
    whole = sound()
    field = TABLES[name].field(changed)
    broken = whole.table(name).set_column(
        TABLES[name].get_field_index(changed), field, column(values, field.type, len(values))
    )
    tables = {each: whole.table(each) for each in TABLES} | {name: broken}
    assert any(sentence in flaw for flaw in check_conservation(Records(**tables)))


def stored(root: Path, scenario: Scenario, *tables: pa.Table) -> Run:
    with RunWriter.resume_or_create(root, scenario) as writer:
        for replication, table in enumerate(tables):
            writer.add(replication, records(table, run_end(replication=replication)))
        return writer.finish(summarise=summarise)


def text_of(renderable: object) -> str:
    paper = io.StringIO()
    Console(file=paper, width=200).print(renderable)
    return " ".join(paper.getvalue().split())


def test_the_answer_tells_terms_backlog_and_points(tmp_path: Path, make: Make) -> None:
    table = dossiers(
        40,
        due_s=4 * DAY_S,
        decided_s=[3 * DAY_S] * 30 + [5 * DAY_S] * 10,
        closed_s=[3 * DAY_S] * 30 + [NAN] * 10,
        reception_due_s=3 * DAY_S,
        received_s=[2.5 * DAY_S] * 20 + [3.5 * DAY_S] * 20,
    )
    told = text_of(answer(stored(tmp_path, make(), table)))
    assert "75 % of dossiers were decided within their term" in told
    assert "50 % of online dossiers were received late, 0 % of these by synchronisation" in told
    assert "10 dossiers are open at the end, on average 9 days old; 0 are past" in told
    assert "Decision 766: progress 15 of 20 points" in told
    assert "cannot be told from these data for transparency" in told


def test_a_scenario_explains_its_offices(make: Make) -> None:
    told = text_of(explain(make()))
    assert "3 offices with 6 officers present on a working day" in told
    assert "A dossier takes 60 min of officers' work" in told
    assert "communes desk" in told
    assert "sessions/s" not in told


def test_work_is_dossiers_times_visits_times_minutes(make: Make) -> None:
    scenario = make()
    prediction = predict_offices(scenario)
    # Every task once, 10 min each.
    assert prediction.work_s == pytest.approx(3600.0)
    assert prediction.counter == 0.0
    work_s = sum(role.offered_s for role in prediction.roles)
    assert work_s == pytest.approx(3600.0 * prediction.online)
    # Nine working days of eight hours, two officers an office.
    capacity_s = {role.role: role.capacity_s for role in prediction.roles}
    assert capacity_s["land.desk"] == pytest.approx(2 * 9 * 8 * HOUR_S)
    assert capacity_s["communes.desk"] == pytest.approx(2 * 2 * 9 * 8 * HOUR_S)


def test_too_few_officers_are_told(make: Make) -> None:
    busy = make(workflow=backoffice()["workflow"] | {"work": dict.fromkeys(WORK, "5 h")})
    assert max(role.utilisation for role in predict_offices(busy).roles) > 1
    assert "More work comes than these officers can do" in text_of(explain(busy))


def test_interruptions_and_effort_lengthen_the_work(make: Make) -> None:
    team = {
        "officers_per_office": 2,
        "does": list(WORK),
        "interruptions": {"per_hour": 2, "length": "3 min"},
    }
    workflow = backoffice()["workflow"] | {"by_domain": {"land": {"effort": 4.0}}}
    scenario = make(offices={"all": {"count": 1, "teams": {"desk": team}}}, workflow=workflow)
    # Nine parts of 10 min, a tenth longer by interruptions.
    assert predict_offices(scenario).work_s == pytest.approx(9 * 600.0 * 1.1)


def test_open_dossiers_bring_the_work_that_is_left(make: Make) -> None:
    opened = {"open": {"signing": 100}, "age": "10 days"}
    with_backlog = make(initial_state={"groups": {"land": opened}})
    more_s = [
        sum(role.offered_s for role in predict_offices(scenario).roles)
        for scenario in (make(), with_backlog)
    ]
    assert more_s[1] - more_s[0] == pytest.approx(100 * 2 * 600.0)
    assert predict_offices(with_backlog).backlog == 100


def test_each_task_is_visited_once_on_the_straight_way(make: Make) -> None:
    spec = make().backoffice
    assert spec is not None
    visits = expected_visits(spec, "land", has_fee=True)
    assert all(visits.first[task] == 1.0 and visits.again[task] == 0.0 for task in visits.first)


def test_loops_repeat_tasks_and_ends_shorten_the_way(make: Make) -> None:
    rules = {"incomplete_share": 0.25, "sent_back_share": 0.5, "refused_share": 0.1}
    workflow = backoffice()["workflow"] | {"rules": rules, "sent_back_max": 1}
    spec = make(workflow=workflow).backoffice
    assert spec is not None
    visits = expected_visits(spec, "land", has_fee=False)
    # One question at most: the first examination ends well with 0.65, or after papers with 0.9.
    well = 0.65 + 0.25 * 0.9
    assert visits.first["approve"] == pytest.approx(well)
    # Who is sent back is examined again; only who was not asked before may be asked now.
    asked_again = 0.65 * 0.5 * 0.25
    assert visits["examine"] == pytest.approx(1 + 0.25 + 0.5 * well + asked_again)
    assert visits["sign"] == pytest.approx(
        0.5 * well + 0.65 * 0.5 * (0.65 + 0.25 * 0.9) + 0.225 * 0.5 * 0.9
    )


def test_papers_may_be_asked_for_without_end(make: Make) -> None:
    workflow = backoffice()["workflow"] | {"rules": {"incomplete_share": 0.5}}
    spec = make(workflow=workflow, law={"supplements_max": None}).backoffice
    assert spec is not None
    assert expected_visits(spec, "land", has_fee=False)["examine"] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("short", "limit_s", "chance"),
    [
        ("exponential 10 s", 10.0, 1 - math.exp(-1)),
        ("uniform 10 s", 5.0, 0.25),
        ("uniform 10 s", 30.0, 1.0),
        ("10 s", 10.0, 1.0),
        ("10 s", 9.0, 0.0),
        ("lognormal 10 s cv 1", 10.0 / math.sqrt(2), 0.5),
        ("lognormal 10 s cv 0", 9.0, 0.0),
    ],
)
def test_the_chance_of_an_answer_in_time(short: str, limit_s: float, chance: float) -> None:
    assert below(Distribution.model_validate(short), limit_s) == pytest.approx(chance)


def test_runs_are_compared_dossier_by_dossier(tmp_path: Path, make: Make) -> None:
    scenario = make()
    slow = dossiers(3, decided_s=[4 * DAY_S, 4 * DAY_S, NAN])
    quick = dossiers(3, decided_s=[3 * DAY_S, 4 * DAY_S, 4 * DAY_S])
    run_a = stored(tmp_path / "a", scenario, slow)
    run_b = stored(tmp_path / "b", scenario, quick)
    comparison = compare(run_a, run_b)
    assert comparison.requests is None
    assert comparison.dossiers is not None
    assert comparison.dossiers.n == 2
    assert comparison.dossiers.faster_share == 0.5
    assert comparison.dossiers.mean_s == -0.5 * DAY_S
    assert "backoffice_communes.lead_s.p50" in set(main_metrics(scenario, scenario))


def test_dossiers_filed_at_other_times_are_not_paired(tmp_path: Path, make: Make) -> None:
    scenario = make()
    runs = [
        stored(tmp_path / f"{day}", scenario, dossiers(2, submitted_s=day, decided_s=3 * DAY_S))
        for day in (0.0, DAY_S)
    ]
    assert compare(*runs).dossiers is None


def test_other_dossiers_are_not_paired(tmp_path: Path, make: Make) -> None:
    scenario = make()
    runs = [
        stored(tmp_path / code, scenario, dossiers(2, decided_s=3 * DAY_S, service=code))
        for code in ("1.000001", "1.000002")
    ]
    assert compare(*runs).dossiers is None
