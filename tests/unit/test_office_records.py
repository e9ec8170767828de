"""Records of the offices: dossiers joined with what became of them, and the stations' levels."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sim.backoffice.filings import Filings
from sim.backoffice.outcomes import Cases, StationLevels
from sim.backoffice.plan import Plan, plan_of
from sim.backoffice.tables import STATE_NAMES, office_dossier_table, office_level_table
from sim.backoffice.workflow import State
from sim.demand.catalogue import catalogue_of
from sim.results import DOSSIERS, FILED, LEVELS
from sim.results.tables import Filings as PortalFilings
from sim.results.tables import dossier_table, without_offices
from sim.scenario.metric_names import STATES
from sim.scenario.scenario import Scenario

NAN = math.nan
DAY_S = 86400.0
WORK = dict.fromkeys(("receive", "assign", "examine", "approve", "sign", "release"), "10 min")


@pytest.fixture(scope="module")
def plan(scenario_dict: Callable[..., dict], one_endpoint: Callable[..., dict]) -> Plan:
    offices = {
        "fed_by": "demand",
        "online_hours": "flat",
        "offices": {"communes": {"count": 2, "teams": {"desk": {
            "officers_per_office": 2, "does": list(WORK)}}}},
        "workflow": {
            "work": WORK,
            "citizen_answer": "1 day",
            "citizen_limit_s": "30 days",
            "agency_answer": "1 day",
        },
    }  # fmt: skip
    window = {"start": "2024-11-25T00:00", "duration_s": 5 * DAY_S}
    scenario = Scenario.model_validate(
        scenario_dict(one_endpoint([]), backoffice=offices, window=window)
    )
    return plan_of(scenario, 0, catalogue_of(scenario))


def filings(**columns: object) -> Filings:
    """Dossiers by hand; a column is one value for all of them or a list."""
    kinds = dict.fromkeys(("procedure", "reception", "office", "session", "step"), np.int32)
    kinds |= {"attempt": np.int32, "filing": np.int8, "state": np.int8, "origin": np.int8}
    blank: dict[str, object] = dict.fromkeys(Filings.__dataclass_fields__, 0)
    blank |= {"received_s": NAN, "due_s": NAN, "state": int(State.RECEIVING)} | columns
    n = max(len(value) for value in blank.values() if isinstance(value, list))
    return Filings(
        **{
            name: np.broadcast_to(np.asarray(value), n).astype(kinds.get(name, np.float64))
            if name != "key"
            else np.arange(n, dtype=np.uint64)
            for name, value in blank.items()
        }
    )


def cases(n: int, **columns: object) -> Cases:
    """What became of n dossiers: nothing known but what is said."""
    blank: dict[str, object] = dict.fromkeys(Cases.__dataclass_fields__, NAN)
    blank |= {"state": int(State.RECEIVING), "supplements": 0, "notice_late": False}
    blank |= {"apologised": False} | dict.fromkeys(
        [name for name in blank if name.startswith("waiting_") or name == "working_s"], 0.0
    )
    kinds: dict[str, Any] = {"state": np.int8, "supplements": np.int32}
    kinds |= {"notice_late": np.bool_, "apologised": np.bool_}
    return Cases(
        **{
            name: np.broadcast_to(np.asarray(value), n).astype(kinds.get(name, np.float64))
            for name, value in (blank | columns).items()
        }
    )


def portal(keys: list[tuple[int, int, int]], plan: Plan, synced_s: list[float]) -> pa.Table:
    session, step, number = (np.array(part) for part in zip(*keys, strict=True))
    times = np.arange(len(keys)) * 10.0
    return dossier_table(
        plan.procedures.code,
        PortalFilings(
            session, step, number, np.ones(len(keys), dtype=int), times, times + 1.0,
            np.array(synced_s),
        ),
        3,
    )  # fmt: skip


def test_states_in_the_records_are_those_of_the_workflow() -> None:
    assert STATE_NAMES == STATES


def test_dossiers_without_a_portal_are_sorted_by_origin_and_number(plan: Plan) -> None:
    filed = filings(
        arrival_s=[0.0, 0.0, 5.0, 9.0],
        submitted_s=[-50.0, -20.0, 5.0, 9.0],
        origin=[3, 3, 2, 1],
        session=[1, 0, 0, 0],
    )
    table = office_dossier_table(plan, filed, cases(4), 3)
    assert table.schema.equals(DOSSIERS)
    assert table["filed"].to_pylist() == ["online", "counter", "backlog", "backlog"]
    assert table["submitted_s"].to_pylist() == [9.0, 5.0, -20.0, -50.0]
    assert table["replication"].to_pylist() == [3] * 4


def test_a_dossier_keeps_its_office_domain_state_and_times(plan: Plan) -> None:
    filed = filings(
        arrival_s=[7.0], submitted_s=[7.0], origin=[1], procedure=4, office=1, reception=0
    )
    made = cases(1, state=int(State.RETURNED), closed_s=99.0, working_s=40.0, supplements=1)
    row = office_dossier_table(plan, filed, made, 0).to_pylist()[0]
    assert row["service"] == plan.procedures.code[4]
    assert row["domain"] == "land"
    assert (row["office"], row["reception_office"]) == ("communes_002", "communes_001")
    assert (row["state"], row["closed_s"], row["working_s"]) == ("returned", 99.0, 40.0)
    assert (row["supplements"], row["outcome"]) == (1, "acknowledged")


def test_a_backlog_dossier_brings_its_reception_and_its_term(plan: Plan) -> None:
    filed = filings(
        arrival_s=[0.0], submitted_s=[-900.0], origin=[3], received_s=-800.0, due_s=500.0
    )
    row = office_dossier_table(plan, filed, cases(1), 0).to_pylist()[0]
    assert (row["received_s"], row["due_s"]) == (-800.0, 500.0)
    assert row["waiting_system_s"] == 0.0


def test_the_portal_says_when_it_was_told_and_synchronised(plan: Plan) -> None:
    filed = filings(
        arrival_s=[60.0, 70.0], submitted_s=[10.0, 0.0], origin=[0, 0], session=[1, 0], procedure=1
    )
    table = office_dossier_table(
        plan, filed, cases(2), 3, portal([(0, 0, 0), (1, 0, 0)], plan, [70.0, 60.0])
    )
    assert table["synced_s"].to_pylist() == [70.0, 60.0]
    assert table["acknowledged_s"].to_pylist() == [1.0, 11.0]
    assert table["waiting_system_s"].to_pylist() == [70.0, 50.0]


def test_what_never_left_the_portal_is_being_synchronised(plan: Plan) -> None:
    filed = filings(
        arrival_s=[60.0, 61.0],
        submitted_s=[10.0, 61.0],
        origin=[0, 2],
        session=[1, 0],
        procedure=1,
    )
    keys = [(0, 0, 0), (1, 0, 0), (1, 0, 1)]
    table = office_dossier_table(plan, filed, cases(2), 3, portal(keys, plan, [NAN, 60.0, NAN]))
    assert table["filed"].to_pylist() == ["portal"] * 3 + ["counter"]
    assert table["state"].to_pylist() == [
        "synchronising", "receiving", "synchronising", "receiving",
    ]  # fmt: skip
    rows = table.to_pylist()
    assert rows[0]["office"] is None
    assert rows[0]["domain"] == "land"
    assert rows[2]["waiting_system_s"] == plan.end_s - 20.0
    # Filed on Monday at midnight: eight working hours end on Monday at 17:00.
    assert rows[0]["reception_due_s"] == 17 * 3600.0
    assert rows[2]["attempt"] == 1


def test_a_portal_alone_says_nothing_of_offices() -> None:
    columns = without_offices(2)
    assert columns["filed"].to_pylist() == ["portal", "portal"]
    assert columns["state"].to_pylist() == [None, None]
    assert set(columns) < set(DOSSIERS.names)
    assert FILED[0] == "portal"


def test_levels_of_offices_become_rows_with_use_over_open_time() -> None:
    hours = np.array([0.0, 3600.0, 7200.0])
    level = StationLevels(
        station="backoffice.communes_001",
        from_s=hours[:2],
        to_s=hours[1:],
        capacity=np.array([0.0, 4.0]),
        busy=np.array([0.0, 3.0]),
        queue=np.array([2.0, 1.0]),
        queue_max=np.zeros(2),
        queue_age_max_s=np.zeros(2),
        arrivals=np.array([2, 5]),
        departures=np.array([0, 6]),
    )
    table = office_level_table([level], 2)
    assert table.schema.equals(LEVELS)
    assert table["station"].to_pylist() == ["backoffice.communes_001"] * 2
    assert math.isnan(table["utilisation"].to_pylist()[0])
    assert table["utilisation"].to_pylist()[1] == 0.75
    assert table["busy_mean"].to_pylist() == [0.0, 3.0]
    assert table["queue_mean"].to_pylist() == [2.0, 1.0]
    assert table["departures"].to_pylist() == [0, 6]
