"""A dossier's life: in each state it waits, then the workflow's table says what follows.

What happens is decided without the clock (``decisions``, ``terms``, ``workflow``); here is only who
is waited for, and for how long.
"""

import math
from collections.abc import Callable, Sequence

from simpy import Environment, Event
from simpy.events import ProcessGenerator

from sim.backoffice import decisions, workflow
from sim.backoffice.dossier import WAITS, Dossier
from sim.backoffice.draws import ANSWER_SLOT, FEE_SLOT, coin, number, sampler
from sim.backoffice.levels import Level
from sim.backoffice.plan import NO_TEAM, Plan
from sim.backoffice.recorder import Recorder
from sim.backoffice.sync import RowQueue
from sim.backoffice.team import Team
from sim.backoffice.terms import STANDING, Terms
from sim.backoffice.workflow import DECIDED, ENDS, STATES, TRANSITIONS, State, next_state
from sim.calendars import WorkingTime
from sim.scenario.backoffice import TASKS

_TASK_NUMBER = {
    state: [str(task) for task in TASKS].index(row.task)
    for state, row in STATES.items()
    if row.task is not None
}

_SOLE_EVENT = dict(iter(TRANSITIONS))
"""The event that ends a state which only one can end; of the others it is not asked."""

_ENDS_OFFICERS_TIME = frozenset(
    (state, event)
    for (state, event), then in TRANSITIONS.items()
    if STATES[state].waits_for == "officer"
    and (event == workflow.Event.INCOMPLETE or (then in DECIDED and state not in DECIDED))
)
"""Papers are asked for, or the dossier is decided."""


class Workflow:
    """The way of dossiers through the offices of one plan."""

    def __init__(
        self,
        env: Environment,
        plan: Plan,
        teams: Sequence[Team],
        levels: Sequence[Level],
        log: Recorder,
        *,
        intake: RowQueue | None,
        publication: RowQueue | None,
    ) -> None:
        spec = plan.spec
        self._env = env
        self._teams = teams
        self._levels = levels
        self._log = log
        self._intake = intake
        self._publication = publication
        self._spec = spec.workflow
        self._terms = Terms.of(spec.law)
        self._limit_s: list[float] = plan.procedures.limit_s.tolist()
        self._has_fee: list[bool] = plan.procedures.has_fee.tolist()
        self._hours: list[WorkingTime] = [
            plan.shifts[number].working_time for number in plan.calendar.tolist()
        ]
        self._team_of = {
            state: plan.team_of[:, number].tolist() for state, number in _TASK_NUMBER.items()
        }
        self._domain: list[int] = plan.procedures.domain.tolist()
        self._citizen_answer = sampler(spec.workflow.citizen_answer)
        self._agency_answer = sampler(spec.workflow.agency_answer)
        wait: dict[str, Callable[[Dossier], Event]] = {
            "system": self._queue_at_intake,
            "officer": self._come_to_team,
            "citizen": self._ask_citizen,
            "agency": self._ask_agency,
        }
        self._wait = {
            state: wait[row.waits_for] for state, row in STATES.items() if state not in ENDS
        }
        self._judge: dict[State, Callable[[Dossier], workflow.Event]] = {
            State.RECEIVING: self._receive,
            State.EXAMINING: self._examine,
            State.APPROVING: self._approve,
        }

    def live(self, dossier: Dossier) -> ProcessGenerator:
        """Lead a dossier from its first state to its end."""
        dossier.since = self._env.now
        self._log.open[dossier.row] = dossier
        self._enter(dossier)
        while dossier.state not in ENDS:
            event = yield self._wait[dossier.state](dossier)
            if event is None:
                event = self._event_of_work(dossier)
            self._leave(dossier, event)
            dossier.state = next_state(dossier.state, event)
            self._enter(dossier)
        self._log.close(dossier)

    def end(self) -> None:
        """End the run: whoever still waits has waited until now."""
        now = self._env.now
        for dossier in list(self._log.open.values()):
            dossier.spend(now, dossier.waits)
            is_decided = not math.isnan(self._log.decided_s[dossier.row])
            if not is_decided and dossier.state not in STANDING:
                self._note_apology(dossier)
            self._log.close(dossier)

    def _enter(self, dossier: Dossier) -> None:
        """Let a dossier stand in its state from now on."""
        state, now, log = dossier.state, self._env.now, self._log
        dossier.spend(now, WAITS[state])
        dossier.visits[state] += 1
        level = self._levels[state]
        level.advance(now)
        level.queue += 1
        level.arrivals += 1
        if state in DECIDED and math.isnan(log.decided_s[dossier.row]):
            log.decided_s[dossier.row] = now
        if state in ENDS:
            log.closed_s[dossier.row] = now

    def _leave(self, dossier: Dossier, event: workflow.Event) -> None:
        """Let a dossier stand in its state no longer."""
        state, now = dossier.state, self._env.now
        if state == State.SYNCHRONISING:
            self._log.synced_s[dossier.row] = now
        elif event == workflow.Event.ANSWERED and state in STANDING:
            limit_s = self._limit_s[dossier.procedure]
            dossier.due_s = self._terms.answered(
                self._hours[dossier.office], dossier.due_s, limit_s, dossier.since, now
            )
        level = self._levels[state]
        level.advance(now)
        level.queue -= 1
        level.departures += 1
        if self._publication is not None:
            self._publication.put(dossier.key, dossier.changes)
            dossier.changes += 1

    def _queue_at_intake(self, dossier: Dossier) -> Event:
        assert self._intake is not None
        sent = self._env.event()
        self._intake.put(dossier.key, sent=sent)
        return sent

    def _come_to_team(self, dossier: Dossier) -> Event:
        office = dossier.reception if dossier.state == State.RECEIVING else dossier.office
        domain = self._domain[dossier.procedure]
        team: int = self._team_of[dossier.state][office][domain][dossier.filing]
        assert team != NO_TEAM, f"nobody in office {office} can go on with it"
        return self._teams[team].come(dossier)

    def _ask_citizen(self, dossier: Dossier) -> Event:
        state, visit = dossier.state, dossier.visits_before
        event, delay_s = decisions.citizens_answer(
            self._spec.rules.withdrawn_share,
            coin(dossier.key, state, visit),
            self._citizen_answer(dossier.key, visit, ANSWER_SLOT + state),
            self._spec.citizen_limit_s,
        )
        return self._env.timeout(delay_s, event)

    def _ask_agency(self, dossier: Dossier) -> Event:
        state, visit, now = dossier.state, dossier.visits_before, self._env.now
        answer_s = self._agency_answer(dossier.key, visit, ANSWER_SLOT + state)
        delay_s = self._hours_of(dossier).add(now, answer_s) - now
        return self._env.timeout(delay_s, workflow.Event.ANSWERED)

    def _event_of_work(self, dossier: Dossier) -> workflow.Event:
        """Return what the end of a task, or of synchronisation, means for a dossier."""
        judge = self._judge.get(dossier.state)
        event = _SOLE_EVENT[dossier.state] if judge is None else judge(dossier)
        if (dossier.state, event) in _ENDS_OFFICERS_TIME:
            self._note_papers(dossier, event)
            self._note_apology(dossier)
        return event

    def _receive(self, dossier: Dossier) -> workflow.Event:
        row, now, log = dossier.row, self._env.now, self._log
        if math.isnan(log.received_s[row]):
            log.received_s[row] = now
        event = decisions.reception(
            self._spec.rules,
            coin(dossier.key, dossier.state, dossier.visits_before),
            may_ask=self._terms.may_ask(dossier.supplements),
            is_fee_due=self._is_fee_due(dossier),
        )
        if event in (workflow.Event.ACCEPTED, workflow.Event.FEE_DUE):
            dossier.accepted_s = now
            dossier.due_s = self._terms.accepted(
                self._hours_of(dossier), now, self._limit_s[dossier.procedure]
            )
        return event

    def _is_fee_due(self, dossier: Dossier) -> bool:
        if not self._has_fee[dossier.procedure] or dossier.visits[State.PAYING]:
            return False
        return number(dossier.key, 0, FEE_SLOT) < self._spec.rules.unpaid_share

    def _examine(self, dossier: Dossier) -> workflow.Event:
        return dossier.examination.event(
            coin(dossier.key, dossier.state, dossier.visits_before),
            may_ask=self._terms.may_ask(dossier.supplements),
            may_consult=not dossier.visits[State.CONSULTING],
        )

    def _approve(self, dossier: Dossier) -> workflow.Event:
        event = decisions.approval(
            self._spec.rules.sent_back_share,
            coin(dossier.key, dossier.state, dossier.visits_before),
            may_send_back=dossier.sent_back < self._spec.sent_back_max,
        )
        dossier.sent_back += event == workflow.Event.SENT_BACK
        return event

    def _note_papers(self, dossier: Dossier, event: workflow.Event) -> None:
        """Note whether an examination asks for papers later than the law allows."""
        if dossier.state == State.EXAMINING and event == workflow.Event.INCOMPLETE:
            hours, now = self._hours_of(dossier), self._env.now
            dossier.notice_late |= self._terms.is_notice_late(hours, dossier.accepted_s, now)

    def _note_apology(self, dossier: Dossier) -> None:
        """Note whether an apology is due now."""
        if not math.isnan(dossier.accepted_s):
            hours, now = self._hours_of(dossier), self._env.now
            limit_s = self._limit_s[dossier.procedure]
            dossier.apologised |= self._terms.is_apology_due(hours, limit_s, dossier.due_s, now)

    def _hours_of(self, dossier: Dossier) -> WorkingTime:
        """Return the open time of the office that decides."""
        return self._hours[dossier.office]
