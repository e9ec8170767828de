"""Behind the portal nothing is lost, time is kept, and more capacity or less never surprises."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from sim.backoffice.workflow import DECIDED, ENDS, STATES, TRANSITIONS, State
from sim.scenario.backoffice import TASKS

HOUR_S, DAY_S = 3600.0, 86400.0
SEEDS = range(3)
RULES = {
    "refused_at_reception_share": 0.05,
    "incomplete_at_reception_share": 0.2,
    "unpaid_share": 0.5,
    "incomplete_share": 0.2,
    "consult_share": 0.2,
    "refused_share": 0.1,
    "sent_back_share": 0.2,
    "withdrawn_share": 0.1,
}
RANDOM_WORK = dict.fromkeys(TASKS, "lognormal 20 min cv 1")
TEAM = {"officers_per_office": 2, "does": list(TASKS)}
DESK = {"officers_per_office": 1, "does": ["receive"]}
BACK_ROOM = {"officers_per_office": 4, "does": [task for task in TASKS if task != "receive"]}


def arrivals(seed: int, n: int, days: float) -> list[float]:
    """Return arrival times spread evenly at random over some days, s."""
    return np.sort(np.random.default_rng(seed).random(n) * days * DAY_S).tolist()


@pytest.fixture(name="busy_city")
def _busy_city(office_question):
    """Return a city where everything happens, in two offices, with absences day by day."""

    def build(seed: int, days: int = 14, **options):
        rng = np.random.default_rng(100 + seed)
        filed = [
            {
                "at_s": at_s,
                "state": State.SYNCHRONISING,
                "office": int(rng.integers(2)),
                "reception": int(rng.integers(2)),
                "key": int(rng.integers(2**63)),
            }
            for at_s in arrivals(seed, 300, 14)
        ]
        present = rng.integers(1, 4, size=(2, days))
        job = {"period_s": 600, "batch": 3, "retries": 1}
        known = {
            "group": {"count": 2, "teams": {"all": TEAM}},
            "rules": RULES,
            "work": RANDOM_WORK,
            "workflow": {"citizen_answer": "exponential 8 h", "agency_answer": "exponential 4 h"},
            "has_fee": True,
            "jobs": {"sync": job},
            "intake": {"job": "sync", "error_share": 0.1, "resend": "2 h"},
            "level_interval_s": HOUR_S,
            "present": present.tolist(),
        }
        return office_question(filed, days=days, **known | options)

    return build


def levels_of(run) -> dict:
    return {level.station: level for level in run.levels}


def state_levels(run) -> dict:
    levels = levels_of(run)
    return {state: levels[f"backoffice.state.{state.name.lower()}"] for state in State}


def area(level, column: str = "queue") -> float:
    """Return the integral of a column over the run."""
    return float((getattr(level, column) * (level.to_s - level.from_s)).sum())


@pytest.mark.parametrize("seed", SEEDS)
def test_submitted_is_decided_withdrawn_refused_or_open_at_every_hour(busy_city, seed):
    question = busy_city(seed)
    run = question.run()
    cases, levels = run.cases, state_levels(run)
    assert {State(state) for state in np.unique(cases.state)} >= ENDS
    for hour, to_s in enumerate(levels[State.RECEIVING].to_s):
        standing = {
            state: int((level.arrivals - level.departures)[: hour + 1].sum())
            for state, level in levels.items()
        }
        submitted = np.count_nonzero(question.filings.arrival_s < to_s)
        assert sum(standing.values()) == submitted
        assert min(standing.values()) >= 0
        for end in ENDS:
            closed = np.count_nonzero((cases.state == end) & (cases.closed_s < to_s))
            assert standing[end] == closed
        decided = np.count_nonzero(cases.decided_s < to_s)
        assert decided == sum(standing[state] for state in DECIDED)


@pytest.mark.parametrize("seed", SEEDS)
def test_waiting_and_working_sum_to_life(busy_city, seed):
    question = busy_city(seed)
    cases = question.run().cases
    until_s = np.where(np.isnan(cases.closed_s), question.plan.end_s, cases.closed_s)
    spent_s = (
        cases.waiting_officer_s
        + cases.working_s
        + cases.waiting_citizen_s
        + cases.waiting_agency_s
        + cases.waiting_system_s
    )
    np.testing.assert_allclose(spent_s, until_s - question.filings.arrival_s, atol=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_way_is_a_way_of_the_table(busy_city, seed):
    visits = busy_city(seed).run().visits
    followed = next_tasks()
    for dossier in np.unique(visits.dossier):
        rows = np.flatnonzero(visits.dossier == dossier)
        states = [State(state) for state in visits.state[rows]]
        assert states[0] == State.RECEIVING
        assert all(then in followed[state] for state, then in itertools.pairwise(states))
        assert (visits.ready_s[rows][1:] >= visits.ended_s[rows][:-1]).all()
        assert (visits.started_s[rows] >= visits.ready_s[rows]).all()


def next_tasks() -> dict[State, set[State]]:
    """Return which tasks may follow a task, with or without waiting for others between."""

    def tasks_from(state: State) -> set[State]:
        following = {then for (before, _), then in TRANSITIONS.items() if before == state}
        officers = {then for then in following if STATES[then].waits_for == "officer"}
        return officers.union(*(tasks_from(then) for then in following - officers - ENDS))

    return {state: tasks_from(state) for state, row in STATES.items() if row.task is not None}


@pytest.mark.parametrize("seed", SEEDS)
def test_littles_law_holds_exactly_in_every_state(busy_city, seed):
    """The time integral of how many stand in a state is the sum of their times there."""
    question = busy_city(seed, days=120)
    run, end_s = question.run(), question.plan.end_s
    levels, cases, visits = state_levels(run), run.cases, run.visits
    assert not np.isnan(cases.closed_s).any()
    for state in (s for s, row in STATES.items() if row.task is not None):
        own = visits.state == state
        spent_s = (visits.ended_s - visits.ready_s)[own].sum()
        assert area(levels[state]) == pytest.approx(spent_s, rel=1e-9)
    for state in ENDS:
        since_s = cases.closed_s[cases.state == state]
        assert area(levels[state]) == pytest.approx((end_s - since_s).sum(), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_littles_law_holds_exactly_for_each_who_is_waited_for(busy_city, seed):
    """Also while many are still open at the end."""
    run = busy_city(seed).run()
    levels, cases = state_levels(run), run.cases
    assert np.isnan(cases.closed_s).sum() > 20
    spent_s = {
        "officer": (cases.waiting_officer_s + cases.working_s).sum(),
        "citizen": cases.waiting_citizen_s.sum(),
        "agency": cases.waiting_agency_s.sum(),
        "system": cases.waiting_system_s.sum(),
    }
    for who, total_s in spent_s.items():
        states = [state for state, row in STATES.items() if row.waits_for == who]
        assert sum(area(levels[state]) for state in states) == pytest.approx(total_s, rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_littles_law_holds_exactly_in_every_team_and_office(office_question, seed):
    """Nobody is absent, so nobody gives way: queue and work are what the tasks say."""
    filed = [{"at_s": at_s} for at_s in arrivals(seed, 150, 5)]
    teams = {"desk": DESK, "back": BACK_ROOM}
    question = office_question(
        filed, days=21, group={"teams": teams}, work=RANDOM_WORK, level_interval_s=HOUR_S
    )
    run, hours = question.run(), question.plan.shifts[0].working_time
    visits, levels = run.visits, levels_of(run)
    assert not np.isnan(visits.ended_s).any()
    worked_s = hours.between_each(visits.started_s, visits.ended_s)
    for station, own in {
        "backoffice.office.desk": visits.team == 0,
        "backoffice.office.back": visits.team == 1,
        "backoffice.office": visits.team >= 0,
    }.items():
        waited_s = (visits.started_s - visits.ready_s)[own].sum()
        assert area(levels[station]) == pytest.approx(waited_s, rel=1e-9)
        assert area(levels[station], "busy") == pytest.approx(worked_s[own].sum(), rel=1e-9)
        assert levels[station].arrivals.sum() == levels[station].departures.sum() == own.sum()


@pytest.mark.parametrize("seed", SEEDS)
def test_never_more_officers_at_work_than_are_present(busy_city, seed):
    run = busy_city(seed).run()
    for station in ("backoffice.office_001", "backoffice.office_002", "backoffice.office.all"):
        level = levels_of(run)[station]
        assert (level.busy <= level.capacity + 1e-9).all()
        assert level.busy.max() > 0.9


def reception_of(office_question, seed: int, desks: int, **options):
    """Return when each of 200 dossiers was received by so many officers, first come first served.

    Only the reception is theirs, and nothing comes back to it.
    """
    filed = [{"at_s": at_s} for at_s in arrivals(seed, 200, 10)]
    teams = {"desk": DESK | {"officers_per_office": desks}, "back": BACK_ROOM}
    question = office_question(
        filed,
        days=42,
        group={"teams": teams},
        order="fifo",
        work={"receive": "lognormal 40 min cv 1.5"},
        **options,
    )
    received_s = question.run().cases.received_s
    assert not np.isnan(received_s).any()
    return received_s


@pytest.mark.parametrize("seed", SEEDS)
def test_one_more_officer_receives_no_dossier_later(office_question, seed):
    fewer, more = (reception_of(office_question, seed, desks) for desks in (2, 3))
    assert (more <= fewer + 1e-6).all()
    assert (more < fewer - 1.0).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_holiday_more_receives_no_dossier_earlier(office_question, seed):
    ordinary = reception_of(office_question, seed, 2)
    with_holiday = reception_of(office_question, seed, 2, holidays=["2024-11-27"])
    assert (with_holiday >= ordinary - 1e-6).all()
    assert (with_holiday > ordinary + 1.0).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_due_first_begins_work_at_the_same_times_and_is_less_late_at_worst(office_question, seed):
    """With equal work both orders keep officers busy alike; Jackson's rule: due first is best."""
    rng = np.random.default_rng(seed)
    filed = [
        {
            "at_s": at_s,
            "state": State.EXAMINING,
            "received_s": at_s,
            "due_s": at_s + float(rng.integers(1, 200)) * HOUR_S,
        }
        for at_s in arrivals(seed, 150, 12)
    ]
    examiners = {"officers_per_office": 2, "does": ["examine"]}
    others = {"officers_per_office": 9, "does": [task for task in TASKS if task != "examine"]}
    runs = {
        order: office_question(
            filed,
            days=30,
            group={"teams": {"examiners": examiners, "others": others}},
            order=order,
            work={"examine": "90 min"},
        )
        for order in ("due_first", "fifo")
    }
    begun_s, late_s = {}, {}
    for order, question in runs.items():
        visits = question.run().visits
        own = visits.state == State.EXAMINING
        begun_s[order] = visits.started_s[own]
        lateness_s = visits.ended_s[own] - question.filings.due_s[visits.dossier[own]]
        late_s[order] = lateness_s.max()
    np.testing.assert_allclose(np.sort(begun_s["due_first"]), np.sort(begun_s["fifo"]), atol=1e-6)
    assert late_s["due_first"] < late_s["fifo"]


def test_a_dossier_more_changes_no_other_ones_luck(busy_city):
    """With officers to spare the ways of the others stay as they are, task by task."""
    plenty = {"present": [[400] * 14] * 2, "intake": None}
    question = busy_city(0, **plenty)
    filings = question.filings
    columns = {
        name: np.delete(getattr(filings, name), 150) for name in type(filings).__dataclass_fields__
    }
    columns["state"][:] = State.RECEIVING
    all_states = np.full_like(filings.state, State.RECEIVING)
    whole = replace(question, filings=replace(filings, state=all_states)).run().cases
    fewer = replace(question, filings=replace(filings, **columns)).run().cases
    np.testing.assert_array_equal(np.delete(whole.closed_s, 150), fewer.closed_s)
    np.testing.assert_array_equal(np.delete(whole.state, 150), fewer.state)
