"""A dossier's way: the table of its states, and timelines worked out by hand."""

import datetime as dt
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sim.backoffice.clock import OfficeClock
from sim.backoffice.decisions import Examination, approval, citizens_answer, reception
from sim.backoffice.draws import child, number, poisson, sampler
from sim.backoffice.workflow import (
    DECIDED,
    ENDS,
    OUTCOMES,
    STATES,
    TRANSITIONS,
    Event,
    State,
    next_state,
)
from sim.backoffice.workflow_page import workflow_diagram, workflow_page
from sim.calendars import OfficeCalendar, WorkingTime
from sim.demand.variates import variate_of
from sim.scenario.backoffice import TASKS, Rules
from sim.scenario.base import Distribution
from sim.streams import child_key, mix, uniform

HOUR_S, DAY_S = 3600.0, 86400.0
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DESK = {"officers_per_office": 1, "does": ["receive"]}
BACK_ROOM = {"officers_per_office": 1, "does": [task for task in TASKS if task != "receive"]}
ASKED_ONCE = {"supplements_max": 1}
TWO_AT_THE_DESK = {"teams": {"desk": DESK | {"officers_per_office": 2}, "back": BACK_ROOM}}
WAITING = {"state": State.SYNCHRONISING}
KEYS = [mix(n) for n in range(200)]
SYNC = {"sync": {"period_s": 600, "batch": 1, "retries": 1}}


def at(text: str) -> float:
    """Return a time of the first week, such as ``Mon 9:30``, or the second, ``Mon+ 9:30``."""
    day, clock = text.split()
    hours, minutes = clock.split(":")
    days = DAYS.index(day.rstrip("+")) + 7 * day.count("+")
    return days * DAY_S + int(hours) * HOUR_S + int(minutes) * 60.0


def tasks_of(run, dossier: int = 0) -> list[tuple[str, float, float]]:
    """Return state, begin and end of each task of a dossier."""
    visits = run.visits
    rows = np.flatnonzero(visits.dossier == dossier)
    return [
        (State(visits.state[row]).name.lower(), visits.started_s[row], visits.ended_s[row])
        for row in rows
    ]


def assert_tasks(run, *expected: str, dossier: int = 0) -> None:
    """Assert the tasks of a dossier, each as ``receiving Mon 9:00 Mon 9:30``, to the last bit."""
    told = []
    for text in expected:
        state, day, clock, end_day, end_clock = text.split()
        told.append((state, at(f"{day} {clock}"), at(f"{end_day} {end_clock}")))
    assert tasks_of(run, dossier) == told


def reaches(states: Sequence[State]) -> set[State]:
    """Return all states that can follow these, and themselves."""
    found = set(states)
    while more := {then for (s, _), then in TRANSITIONS.items() if s in found} - found:
        found |= more
    return found


class TestTable:
    def test_every_state_can_be_reached(self):
        assert reaches([State.SYNCHRONISING]) == set(State) == set(STATES)

    def test_an_end_is_final_and_every_other_state_can_reach_one(self):
        assert set(OUTCOMES) == ENDS
        for state in State:
            assert reaches([state]) == {state} if state in ENDS else reaches([state]) & ENDS

    def test_every_event_happens_somewhere(self):
        assert {event for _, event in TRANSITIONS} == set(Event)

    def test_a_citizen_may_answer_not_answer_or_withdraw(self):
        for state, row in STATES.items():
            events = {event for before, event in TRANSITIONS if before == state}
            told = {Event.ANSWERED, Event.UNANSWERED, Event.WITHDREW}
            assert (events == told) == (row.waits_for == "citizen")

    def test_officers_and_nobody_else_have_a_task_in_the_order_of_the_way(self):
        tasks = [row.task for row in STATES.values() if row.waits_for == "officer"]
        assert tuple(tasks) == TASKS
        assert all(r.task is None for r in STATES.values() if r.waits_for != "officer")

    def test_every_decision_but_the_refusals_comes_before_the_hand_over(self):
        assert {
            State.RELEASING,
            State.RETURNED,
            State.REFUSED_AT_RECEPTION,
            State.REFUSED,
        } == DECIDED

    def test_all_ten_national_codes_are_used(self):
        assert {row.national_code for row in STATES.values()} == set(range(1, 11))

    def test_what_cannot_happen_is_an_error(self):
        with pytest.raises(KeyError):
            next_state(State.RETURNED, Event.ANSWERED)

    def test_the_page_is_current(self):
        page = Path(__file__).parents[2] / "docs" / "workflow.md"
        assert page.read_text(encoding="utf-8") == workflow_page(), (
            "write it anew: python -m sim.backoffice.workflow_page docs/workflow.md"
        )

    def test_the_diagram_has_an_arrow_for_each_transition(self):
        arrows = [line for line in workflow_diagram().splitlines() if " : " in line]
        assert len(arrows) == len(TRANSITIONS)


class TestDecisions:
    RULES = Rules(refused_at_reception_share=0.1, incomplete_at_reception_share=0.2)
    EXAMINATION = Examination(1.0, refused_share=0.1, incomplete_share=0.2, consult_share=0.3)

    @pytest.mark.parametrize(
        ("u", "may_ask", "event"),
        [
            (0.05, True, Event.DENIED),
            (0.25, True, Event.INCOMPLETE),
            (0.25, False, Event.ACCEPTED),
            (0.35, True, Event.ACCEPTED),
        ],
    )
    def test_reception(self, u, may_ask, event):
        assert reception(self.RULES, u, may_ask=may_ask, is_fee_due=False) == event

    def test_a_fee_is_asked_for_only_when_the_papers_are_complete(self):
        assert reception(self.RULES, 0.25, may_ask=True, is_fee_due=True) == Event.INCOMPLETE
        assert reception(self.RULES, 0.35, may_ask=True, is_fee_due=True) == Event.FEE_DUE

    @pytest.mark.parametrize(
        ("u", "may_ask", "may_consult", "event"),
        [
            (0.05, True, True, Event.DENIED),
            (0.25, True, True, Event.INCOMPLETE),
            (0.25, False, True, Event.CONSULTED),
            (0.45, False, True, Event.EXAMINED),
            (0.45, True, True, Event.CONSULTED),
            (0.45, True, False, Event.EXAMINED),
            (0.65, True, True, Event.EXAMINED),
        ],
    )
    def test_examination(self, u, may_ask, may_consult, event):
        assert self.EXAMINATION.event(u, may_ask=may_ask, may_consult=may_consult) == event

    def test_approval(self):
        assert approval(0.5, 0.4, may_send_back=True) == Event.SENT_BACK
        assert approval(0.5, 0.4, may_send_back=False) == Event.APPROVED
        assert approval(0.5, 0.6, may_send_back=True) == Event.APPROVED

    def test_a_citizen_who_withdraws_does_so_at_the_limit_at_the_latest(self):
        assert citizens_answer(0.5, 0.4, 20.0, 10.0) == (Event.WITHDREW, 10.0)
        assert citizens_answer(0.5, 0.4, 5.0, 10.0) == (Event.WITHDREW, 5.0)

    def test_a_citizen_answers_in_time_or_never(self):
        assert citizens_answer(0.5, 0.6, 10.0, 10.0) == (Event.ANSWERED, 10.0)
        assert citizens_answer(0.5, 0.6, 10.1, 10.0) == (Event.UNANSWERED, 10.0)


class TestDraws:
    def test_numbers_and_children_are_those_of_the_streams(self):
        for key, n in zip(KEYS, itertools.count()):
            assert number(key, n, n % 64, n % 2) == uniform(key, n, n % 64, n % 2)
            assert child(key, 2**35 + n) == child_key(key, 2**35 + n)

    @pytest.mark.parametrize("family", ["constant", "exponential", "uniform", "lognormal"])
    def test_samplers_give_the_variates_of_their_distributions(self, family):
        spread = {"cv": 0.7} if family == "lognormal" else {}
        distribution = Distribution(distribution=family, mean_s=30.0, **spread)
        sample = sampler(distribution)
        for key in KEYS:
            halves = uniform(key, 3, 5), uniform(key, 3, 5, 1)
            assert sample(key, 3, 5) == variate_of(distribution, *halves)

    def test_poisson_numbers_by_inversion(self):
        below = np.exp(-2.0) * np.array([1.0, 3.0, 5.0])  # P(0), P(<= 1), P(<= 2) of mean 2
        assert [poisson(2.0, u) for u in below - 1e-12] == [0, 1, 2]
        assert [poisson(2.0, u) for u in below + 1e-12] == [1, 2, 3]
        assert poisson(0.0, 1.0 - 2.0**-53) == 0


def test_the_clock_of_offices_says_what_working_time_says():
    calendar = OfficeCalendar()
    hours = WorkingTime.of(
        calendar, dt.datetime.fromisoformat("2024-11-23T08:30"), -DAY_S, 40 * DAY_S
    )
    clock = OfficeClock(hours)
    rng = np.random.default_rng(1)
    moments = np.concatenate(
        [rng.random(500) * 20 * DAY_S, hours.opens_s[:20], hours.closes_s[:20]]
    )
    for now in np.sort(moments[moments >= 0]).tolist():
        work_s = float(rng.choice([0.0, 60.0, 1e4, 1e5]))
        assert clock.is_open(now) == hours.is_open(now)
        assert clock.worked(now) == hours.worked(now)
        assert clock.add(now, work_s) == hours.add(now, work_s)


class TestOneDossier:
    def test_goes_through_an_empty_office_in_a_morning(self, office_question):
        run = office_question([{"at_s": at("Mon 9:00")}]).run()
        assert_tasks(
            run,
            "receiving Mon 9:00 Mon 9:30",
            "assigning Mon 9:30 Mon 9:40",
            "examining Mon 9:40 Mon 10:40",
            "approving Mon 10:40 Mon 11:00",
            "signing Mon 11:00 Mon 11:10",
            "releasing Mon 11:10 Mon 11:30",
        )
        case = run.cases
        assert case.state[0] == State.RETURNED
        assert case.received_s[0] == at("Mon 9:30")
        assert case.reception_due_s[0] == at("Tue 9:00")
        assert case.due_s[0] == at("Mon+ 9:30")
        assert case.decided_s[0] == at("Mon 11:10")
        assert case.closed_s[0] == at("Mon 11:30")
        assert case.working_s[0] == 2.5 * HOUR_S
        assert case.waiting_officer_s[0] == 0.0

    def test_waits_over_lunch_once_work_ended_at_closing(self, office_question):
        run = office_question([{"at_s": at("Mon 11:00")}]).run()
        assert tasks_of(run)[:2] == [
            ("receiving", at("Mon 11:00"), at("Mon 11:30")),
            ("assigning", at("Mon 13:00"), at("Mon 13:10")),
        ]
        assert run.cases.waiting_officer_s[0] == 1.5 * HOUR_S

    def test_is_in_hand_over_lunch_when_work_goes_on(self, office_question):
        run = office_question([{"at_s": at("Mon 11:20")}]).run()
        assert tasks_of(run)[0] == ("receiving", at("Mon 11:20"), at("Mon 13:20"))
        assert run.cases.waiting_officer_s[0] == 0.0

    def test_filed_at_night_is_begun_at_the_opening(self, office_question):
        run = office_question([{"at_s": at("Mon 22:00")}]).run()
        assert tasks_of(run)[0] == ("receiving", at("Tue 7:30"), at("Tue 8:00"))
        assert run.cases.reception_due_s[0] == at("Tue 17:00")

    def test_filed_at_the_very_closing_waits(self, office_question):
        run = office_question([{"at_s": at("Mon 17:00")}]).run()
        assert tasks_of(run)[0][1] == at("Tue 7:30")

    def test_rests_over_the_weekend(self, office_question):
        run = office_question([{"at_s": at("Fri 16:50")}], days=14).run()
        assert tasks_of(run)[0] == ("receiving", at("Fri 16:50"), at("Mon+ 7:50"))

    def test_rests_over_tet(self, office_question):
        """Closed from Saturday, 25 January, to Sunday, 2 February 2025: nine days."""
        tet = [f"2025-01-{day}" for day in range(25, 32)] + ["2025-02-01", "2025-02-02"]
        question = office_question(
            [{"at_s": at("Fri 16:45")}], start="2025-01-20T00:00", days=20, holidays=tet, limit_h=8
        )
        run = question.run()
        assert tasks_of(run)[0] == ("receiving", at("Fri 16:45"), at("Mon++ 7:45"))
        assert run.cases.due_s[0] == at("Tue++ 7:45")

    @pytest.mark.parametrize(
        ("filed", "due"),
        [
            ("Mon 14:00", "Tue 14:30"),
            ("Mon 14:29", "Tue 14:59"),
            ("Mon 14:30", "Tue 17:00"),
            ("Fri 16:00", "Mon+ 17:00"),
        ],
    )
    def test_received_at_the_cut_off_or_later_counts_from_the_next_working_day(
        self, office_question, filed, due
    ):
        run = office_question([{"at_s": at(filed)}], days=14, limit_h=8).run()
        assert run.cases.due_s[0] == at(due)

    def test_another_office_receives_and_its_own_does_the_rest(self, office_question):
        filed = {"at_s": at("Mon 9:00"), "reception": 1}
        question = office_question([filed], group={"count": 2}, present=[[1] * 7, [2] * 7])
        run = question.run()
        assert run.visits.team.tolist() == [1, 0, 0, 0, 0, 0]

    def test_that_outlives_the_run_stays_open(self, office_question):
        run = office_question([{"at_s": at("Mon 9:00")}], days=10 / 24).run()
        assert run.cases.state[0] == State.EXAMINING
        assert np.isnan(run.cases.closed_s[0])
        assert np.isnan(run.visits.ended_s[-1])
        assert run.cases.working_s[0] == HOUR_S

    def test_that_would_end_with_the_run_does_not(self, office_question):
        """The run ends before what is due at its end."""
        run = office_question([{"at_s": at("Mon 9:00")}], days=11.5 / 24).run()
        assert run.cases.state[0] == State.RELEASING


class TestSupplements:
    def test_asked_for_by_the_reception_once(self, office_question):
        run = office_question(
            [{"at_s": at("Mon 9:00")}],
            rules={"incomplete_at_reception_share": 1.0},
            workflow={"repeat_factor": 0.5},
            law=ASKED_ONCE,
        ).run()
        assert tasks_of(run)[:3] == [
            ("receiving", at("Mon 9:00"), at("Mon 9:30")),
            ("receiving", at("Tue 9:30"), at("Tue 9:45")),
            ("assigning", at("Tue 9:45"), at("Tue 9:55")),
        ]
        case = run.cases
        assert case.received_s[0] == at("Mon 9:30")
        assert case.due_s[0] == at("Tue+ 9:45")
        assert case.supplements[0] == 1
        assert not case.notice_late[0]
        assert case.waiting_citizen_s[0] == DAY_S

    @pytest.mark.parametrize(("clock", "due"), [("resume", "Thu 9:30"), ("restart", "Thu 10:40")])
    def test_asked_for_by_an_examination_stop_the_clock(self, office_question, clock, due):
        """Accepted Monday 9:30 for 16 h, until Wednesday 9:30; asked 10:40, answered a day on."""
        run = office_question(
            [{"at_s": at("Mon 9:00")}],
            rules={"incomplete_share": 1.0},
            limit_h=16,
            law={"clock": clock, "supplements_max": 1},
        ).run()
        assert tasks_of(run)[2:5] == [
            ("examining", at("Mon 9:40"), at("Mon 10:40")),
            ("examining", at("Tue 10:40"), at("Tue 13:10")),
            ("approving", at("Tue 13:10"), at("Tue 13:30")),
        ]
        assert run.cases.due_s[0] == at(due)
        assert run.cases.supplements[0] == 1

    def test_answered_at_the_weekend_give_no_working_time(self, office_question):
        run = office_question(
            [{"at_s": at("Fri 15:50")}],
            days=14,
            rules={"incomplete_share": 1.0},
            work={"receive": "10 min", "examine": "40 min"},
            limit_h=16,
            law=ASKED_ONCE,
        ).run()
        # Received Friday 16:00: counts from Monday, 16 h until Tuesday evening. Asked for Friday
        # 16:50, answered Saturday 16:50: ten minutes of work lie between.
        assert run.cases.due_s[0] == at("Wed+ 7:40")
        assert tasks_of(run)[3][1] == at("Mon+ 7:30")

    @pytest.mark.parametrize(("examine_h", "is_late"), [(23, False), (24, True)])
    def test_asked_for_later_than_the_law_allows_are_late_notice(
        self, office_question, examine_h, is_late
    ):
        """Ten minutes of assigning come before: 24 h of notice are exceeded after 23 h 50 min."""
        run = office_question(
            [{"at_s": at("Mon 9:00")}],
            days=14,
            rules={"incomplete_share": 1.0},
            work={"examine": f"{examine_h} h"},
            law=ASKED_ONCE,
        ).run()
        assert run.cases.notice_late[0] == is_late

    def test_that_never_come_end_in_a_refusal(self, office_question):
        run = office_question(
            [{"at_s": at("Mon 9:00")}],
            rules={"incomplete_share": 1.0},
            workflow={"citizen_limit_s": "12 h"},
        ).run()
        assert run.cases.state[0] == State.REFUSED
        assert run.cases.decided_s[0] == run.cases.closed_s[0] == at("Mon 22:40")

    def test_withdrawn_is_closed_and_never_decided(self, office_question):
        run = office_question(
            [{"at_s": at("Mon 9:00")}],
            rules={"incomplete_at_reception_share": 1.0, "withdrawn_share": 1.0},
        ).run()
        assert run.cases.state[0] == State.WITHDRAWN
        assert run.cases.closed_s[0] == at("Tue 9:30")
        assert np.isnan(run.cases.decided_s[0])
        assert np.isnan(run.cases.due_s[0])


class TestOtherWays:
    def test_an_agency_answers_in_working_time_and_the_clock_goes_on(self, office_question):
        run = office_question([{"at_s": at("Mon 9:00")}], rules={"consult_share": 1.0}).run()
        assert tasks_of(run)[3] == ("examining", at("Mon 16:10"), at("Tue 7:40"))
        assert run.cases.due_s[0] == at("Mon+ 9:30")
        assert run.cases.waiting_agency_s[0] == 5.5 * HOUR_S

    def test_a_fee_is_paid_before_the_dossier_is_assigned(self, office_question):
        run = office_question(
            [{"at_s": at("Mon 9:00")}], rules={"unpaid_share": 1.0}, has_fee=True, limit_h=8
        ).run()
        assert tasks_of(run)[1] == ("assigning", at("Tue 9:30"), at("Tue 9:40"))
        assert run.cases.due_s[0] == at("Wed 9:30")

    def test_what_costs_nothing_is_never_waited_for(self, office_question):
        run = office_question([{"at_s": at("Mon 9:00")}], rules={"unpaid_share": 1.0}).run()
        assert run.cases.waiting_citizen_s[0] == 0.0

    def test_sent_back_as_often_as_allowed(self, office_question):
        run = office_question(
            [{"at_s": at("Mon 9:00")}],
            rules={"sent_back_share": 1.0},
            workflow={"sent_back_max": 2, "repeat_factor": 0.5},
        ).run()
        names = [state for state, _, _ in tasks_of(run)]
        assert names.count("examining") == names.count("approving") == 3
        assert tasks_of(run)[4] == ("examining", at("Mon 11:00"), at("Mon 11:30"))

    @pytest.mark.parametrize(("limit_h", "is_due"), [(9.5, False), (9.0, True), (1.0, False)])
    def test_an_apology_is_due_when_too_little_time_is_left(self, office_question, limit_h, is_due):
        """Decided at 11:10, 1 h 40 min after acceptance: 8 h are left of 9 h 40 min.

        No apology can lead a limit of an hour by 8 h.
        """
        run = office_question([{"at_s": at("Mon 9:00")}], limit_h=limit_h + 1 / 6 + 0.001).run()
        assert run.cases.apologised[0] == is_due

    def test_the_open_one_past_its_notice_is_apologised_for_at_the_end(self, office_question):
        question = office_question(
            [{"at_s": at("Mon 9:00")}], days=10 / 24, limit_h=8.4, work={"examine": "50 h"}
        )
        assert question.run().cases.apologised[0]

    def test_but_not_while_the_clock_stands(self, office_question):
        question = office_question(
            [{"at_s": at("Mon 9:00")}],
            days=10 / 24,
            limit_h=8.4,
            rules={"unpaid_share": 1.0},
            has_fee=True,
        )
        run = question.run()
        assert run.cases.state[0] == State.PAYING
        assert not run.cases.apologised[0]

    def test_the_backlog_begins_where_it_lies_with_the_term_it_has(self, office_question):
        lies = {"at_s": 0.0, "submitted_s": -DAY_S, "state": State.SIGNING}
        known = {"received_s": -4 * HOUR_S, "due_s": at("Tue 9:00")}
        run = office_question([lies | known]).run()
        assert_tasks(run, "signing Mon 7:30 Mon 7:40", "releasing Mon 7:40 Mon 8:00")
        assert run.cases.received_s[0] == known["received_s"]
        assert run.cases.due_s[0] == known["due_s"]
        assert np.isnan(run.cases.reception_due_s[0])

    def test_what_is_to_be_handed_over_at_the_start_is_decided_then(self, office_question):
        lies = {"at_s": 0.0, "submitted_s": -DAY_S, "state": State.RELEASING}
        run = office_question([lies | {"received_s": -HOUR_S, "due_s": 0.0}]).run()
        assert run.cases.decided_s[0] == 0.0


class TestTeams:
    def test_who_began_last_gives_way_to_who_is_absent_the_next_day(self, office_question):
        """Two work on Monday evening, one comes on Tuesday: he ends what was begun first."""
        question = office_question(
            [{"at_s": at("Mon 16:00")}, {"at_s": at("Mon 16:30")}, {"at_s": at("Mon 16:45")}],
            group=TWO_AT_THE_DESK,
            order="fifo",
            work={"receive": "2 h"},
            present=[[2, 1, 1, 1, 1, 1, 1], [0] * 7],
        )
        run = question.run()
        assert tasks_of(run, 0) == [("receiving", at("Mon 16:00"), at("Tue 8:30"))]
        assert tasks_of(run, 1) == [("receiving", at("Mon 16:30"), at("Tue 10:00"))]
        assert tasks_of(run, 2) == [("receiving", at("Tue 10:00"), at("Tue 13:30"))]
        # In hand 15 h until the opening and 1.5 h from 8:30 on; nobody assigns it till the end.
        assert run.cases.working_s[1] == 16.5 * HOUR_S
        assert run.cases.waiting_officer_s[1] == HOUR_S + (7 * DAY_S - at("Tue 10:00"))

    def test_who_comes_back_goes_on_with_what_is_left(self, office_question):
        question = office_question(
            [{"at_s": at("Mon 16:00")}],
            group=TWO_AT_THE_DESK,
            work={"receive": "2 h"},
            present=[[1, 0, 1, 1, 1, 1, 1], [0] * 7],
        )
        assert tasks_of(question.run()) == [("receiving", at("Mon 16:00"), at("Wed 8:30"))]

    def test_what_goes_back_keeps_its_place(self, office_question):
        """Three came at once, two were begun: who gives way is still before the third."""
        question = office_question(
            [{"at_s": at("Mon 16:30")}] * 3,
            group=TWO_AT_THE_DESK,
            work={"receive": "1 h"},
            present=[[2, 1, 1, 1, 1, 1, 1], [0] * 7],
        )
        run = question.run()
        ends_s = [tasks_of(run, dossier)[0][2] for dossier in range(3)]
        assert ends_s == [at("Tue 8:00"), at("Tue 8:30"), at("Tue 9:30")]

    def test_nothing_is_taken_at_closing_time(self, office_question):
        filed = [{"at_s": at("Mon 11:00")}, {"at_s": at("Mon 11:10")}]
        run = office_question(filed, order="fifo").run()
        assert tasks_of(run, 0)[0][2] == at("Mon 11:30")
        assert tasks_of(run, 1)[0][1] == at("Mon 13:00")

    def test_nobody_present_lets_everything_wait(self, office_question):
        question = office_question([{"at_s": at("Mon 9:00")}], present=[[0, 0, 1, 1, 1, 1, 1]])
        assert tasks_of(question.run())[0][1] == at("Wed 7:30")

    @pytest.mark.parametrize(("order", "first"), [("due_first", 1), ("fifo", 0)])
    def test_the_next_is_the_one_due_first_or_the_one_that_came_first(
        self, office_question, order, first
    ):
        lies = {"at_s": 0.0, "submitted_s": -DAY_S, "state": State.EXAMINING, "received_s": -HOUR_S}
        question = office_question(
            [lies | {"due_s": at("Thu 9:00")}, lies | {"due_s": at("Tue 9:00")}], order=order
        )
        run = question.run()
        assert run.visits.dossier[0] == first

    def test_equal_terms_are_taken_in_the_order_of_coming(self, office_question):
        lies = {"at_s": 0.0, "submitted_s": -DAY_S, "state": State.EXAMINING, "received_s": -HOUR_S}
        run = office_question([lies | {"due_s": at("Tue 9:00")}] * 3).run()
        examined = run.visits.dossier[run.visits.state == State.EXAMINING]
        assert examined.tolist() == [0, 1, 2]

    def test_skills_send_a_dossier_to_who_can(self, office_question):
        teams = {"counter": DESK | {"filings": ["counter"]}, "online": DESK, "back": BACK_ROOM}
        filed = [{"at_s": at("Mon 9:00"), "filing": 0}, {"at_s": at("Mon 9:00"), "filing": 1}]
        run = office_question(filed, group={"teams": teams}).run()
        assert run.visits.team[:2].tolist() == [1, 0]
        assert run.visits.started_s[:2].tolist() == [at("Mon 9:00")] * 2

    def test_a_domain_of_twice_the_effort_takes_twice_as_long_to_examine(self, office_question):
        workflow = {"by_domain": {"land": {"effort": 2}}}
        run = office_question([{"at_s": at("Mon 7:30")}], workflow=workflow).run()
        assert tasks_of(run)[:4] == [
            ("receiving", at("Mon 7:30"), at("Mon 8:00")),
            ("assigning", at("Mon 8:00"), at("Mon 8:10")),
            ("examining", at("Mon 8:10"), at("Mon 10:10")),
            ("approving", at("Mon 10:10"), at("Mon 10:30")),
        ]

    def test_interruptions_lengthen_the_work_by_their_number(self, office_question):
        interrupted = {"per_hour": 60, "length": "1 min"}
        team = {"officers_per_office": 1, "does": list(TASKS), "interruptions": interrupted}
        question = office_question([{"at_s": at("Mon 7:30")}], group={"teams": {"all": team}})
        key = int(question.filings.key[0])
        times = poisson(30.0, uniform(key, 0, 48 + State.RECEIVING))
        assert times > 0
        assert tasks_of(question.run())[0][2] == at("Mon 8:00") + 60.0 * times


class TestRows:
    def test_pass_the_intake_batch_by_batch(self, office_question):
        filed = [WAITING | {"at_s": at("Mon 9:00") + s} for s in (100.0, 200.0)]
        run = office_question(filed, jobs=SYNC, intake={"job": "sync"}).run()
        assert run.cases.synced_s.tolist() == [at("Mon 9:10"), at("Mon 9:20")]
        assert run.cases.waiting_system_s.tolist() == [500.0, 1000.0]

    def test_wait_while_the_job_is_stopped(self, office_question):
        """Mended at 10:00, it ticks again at that very moment."""
        stopped = {"kind": "job_stopped", "target": "sync", "from_s": 0.0, "to_s": at("Mon 10:00")}
        filed = WAITING | {"at_s": at("Mon 9:01")}
        run = office_question([filed], jobs=SYNC, faults=[stopped], intake={"job": "sync"}).run()
        assert run.cases.synced_s[0] == at("Mon 10:00")

    def test_that_fail_go_to_the_end_of_the_queue(self, office_question):
        fails, passes = self._keys("first"), self._keys("never")
        filed = [WAITING | {"at_s": at("Mon 9:01"), "key": key} for key in (fails, passes)]
        intake = {"job": "sync", "error_share": 0.5}
        run = office_question(filed, jobs=SYNC, intake=intake).run()
        assert run.cases.synced_s.tolist() == [at("Mon 9:30"), at("Mon 9:20")]

    def test_that_were_given_up_are_sent_again(self, office_question):
        """Fails at 9:10 and, tried again, at 9:20; lies for an hour; passes at 10:20."""
        filed = WAITING | {"at_s": at("Mon 9:01"), "key": self._keys("twice")}
        intake = {"job": "sync", "error_share": 0.5, "resend": "1 h"}
        run = office_question([filed], jobs=SYNC, intake=intake).run()
        assert run.cases.synced_s[0] == at("Mon 10:20")

    def test_that_were_sent_again_have_all_their_tries(self, office_question):
        """As before, but at 10:20 it fails once more: it is tried again at 10:30."""
        filed = WAITING | {"at_s": at("Mon 9:01"), "key": self._keys("thrice")}
        intake = {"job": "sync", "error_share": 0.5, "resend": "1 h"}
        run = office_question([filed], jobs=SYNC, intake=intake).run()
        assert run.cases.synced_s[0] == at("Mon 10:30")

    def test_tell_every_change_of_state_but_the_first_state(self, office_question):
        question = office_question(
            [{"at_s": at("Mon 9:00")}], jobs=SYNC, publication={"job": "sync"}
        )
        (level,) = [
            level for level in question.run().levels if level.station == "backoffice.publication"
        ]
        assert level.arrivals.sum() == level.departures.sum() == 6

    def test_count_their_age_from_the_first_queueing(self, office_question):
        filed = WAITING | {"at_s": at("Mon 9:01")}
        question = office_question(
            [filed], jobs=SYNC, level_interval_s=HOUR_S, intake={"job": "sync"}
        )
        (level,) = [
            level for level in question.run().levels if level.station == "backoffice.intake"
        ]
        assert level.queue_max.tolist()[9] == 1
        assert level.queue_age_max_s.tolist()[8:11] == [0.0, 540.0, 0.0]
        assert level.queue.tolist()[9] == pytest.approx(540.0 / HOUR_S)

    def test_that_wait_on_grow_older_from_interval_to_interval(self, office_question):
        stopped = {"kind": "job_stopped", "target": "sync", "from_s": 0.0, "to_s": at("Mon 11:00")}
        question = office_question(
            [WAITING | {"at_s": at("Mon 9:01")}],
            jobs=SYNC,
            faults=[stopped],
            level_interval_s=HOUR_S,
            intake={"job": "sync"},
        )
        (level,) = [
            level for level in question.run().levels if level.station == "backoffice.intake"
        ]
        assert level.queue_age_max_s.tolist()[8:13] == [0.0, 3540.0, 7140.0, 7140.0, 0.0]
        assert level.queue_max.tolist()[8:13] == [0.0, 1.0, 1.0, 1.0, 0.0]

    @staticmethod
    def _keys(fails: str) -> int:
        """Return a key whose coin is below a half as often as said, then above."""
        wanted = {"never": (0,), "first": (1, 0), "twice": (1, 1, 0), "thrice": (1, 1, 1, 0)}[fails]
        for key in map(mix, itertools.count()):
            if all((uniform(key, n, 16) < 0.5) == bool(w) for n, w in enumerate(wanted)):
                return key
        raise AssertionError


class TestLevels:
    def test_officers_count_while_the_office_is_open(self, office_question):
        """Monday, day by day: one officer for eight hours, at work for two and a half."""
        question = office_question(
            [{"at_s": at("Mon 9:00")}], days=2, level_interval_s=DAY_S, present=[[1, 1]]
        )
        levels = {level.station: level for level in question.run().levels}
        for station in ("backoffice.office", "backoffice.office.all"):
            assert levels[station].capacity * 24 == pytest.approx([8.0, 8.0])
            assert levels[station].busy * 24 == pytest.approx([2.5, 0.0])
            assert levels[station].arrivals.tolist() == [6, 0]
            assert levels[station].departures.tolist() == [6, 0]

    def test_what_waits_counts_by_the_clock(self, office_question):
        question = office_question([{"at_s": at("Mon 19:00")}], days=2, level_interval_s=DAY_S)
        levels = {level.station: level for level in question.run().levels}
        assert levels["backoffice.office"].queue * 24 == pytest.approx([5.0, 7.5])
        state = levels["backoffice.state.receiving"]
        assert state.queue * 24 == pytest.approx([5.0, 8.0])
        assert np.isinf(state.capacity).all()

    def test_the_last_interval_ends_with_the_run(self, office_question):
        question = office_question([{"at_s": at("Mon 9:00")}], days=1, level_interval_s=10 * HOUR_S)
        level = question.run().levels[0]
        assert level.from_s.tolist() == [0.0, 10 * HOUR_S, 20 * HOUR_S]
        assert level.to_s.tolist() == [10 * HOUR_S, 20 * HOUR_S, DAY_S]
