"""A dossier's way from state to state."""

import math

from sim.compiled.jit import kernel
from sim.compiled.kernel.draws import uniform
from sim.compiled.offices.kernel.clock import add_now
from sim.compiled.offices.kernel.constants import (
    ACCEPTED,
    AGENCY,
    ANSWER_SLOT,
    ANSWERED,
    APPROVED,
    APPROVING,
    CITIZEN,
    CONSULTED,
    CONSULTING,
    DENIED,
    EXAMINED,
    EXAMINING,
    FEE_DUE,
    FEE_SLOT,
    FIRST_END,
    INCOMPLETE,
    N_EVENTS,
    OFFICER,
    PAYING,
    RECEIVING,
    SENT_BACK,
    SUPPLEMENTING,
    SUPPLEMENTING_AT_RECEPTION,
    SYSTEM,
    TASK_DONE,
    UNANSWERED,
    WITHDREW,
)
from sim.compiled.offices.kernel.draws import coin, duration_s, visit_of
from sim.compiled.offices.kernel.events import set_timer
from sim.compiled.offices.kernel.level import change_queue
from sim.compiled.offices.kernel.places import (
    closed_s_of,
    decided_s_of,
    domain_of,
    dossier_of,
    office_of,
    procedure_of,
    received_s_of,
    state_of,
    synced_s_of,
    team_number_of,
    transition_of,
)
from sim.compiled.offices.kernel.sync import publish, queue_at_intake
from sim.compiled.offices.kernel.team import come
from sim.compiled.offices.kernel.term import (
    accept,
    go_on_after,
    is_standing,
    note_apology,
    note_papers,
)
from sim.compiled.offices.structs import Dossier, World


@kernel
def enter(w: World, number: int, state: int) -> None:
    """Let a dossier stand in a state from now on, and wait for what ends it."""
    dossier, info = dossier_of(w, number), state_of(w, state)
    dossier.state, dossier.since = state, w.now
    change_queue(w, info.level, 1.0).arrivals += 1
    if info.is_decision and math.isnan(decided_s_of(w, number).value):
        decided_s_of(w, number).value = w.now
    if state >= FIRST_END:
        closed_s_of(w, number).value = w.now
        return
    dossier.visits[state] += 1
    if info.waits_for == OFFICER:
        come(w, number, _team_of(w, dossier, info.task))
    elif info.waits_for == CITIZEN:
        _ask_citizen(w, number, dossier)
    elif info.waits_for == AGENCY:
        calendar = office_of(w, dossier.office).calendar
        answer_s = _answer_s(w, dossier)
        set_timer(w, number, ANSWERED, add_now(w, calendar, answer_s) - w.now)
    else:
        queue_at_intake(w, number, dossier)


@kernel
def go_on(w: World, number: int) -> None:
    """Let the event happen that a dossier waited for."""
    dossier = dossier_of(w, number)
    state, event = dossier.state, dossier.event
    if event == TASK_DONE:
        event = _event_of_task(w, number, dossier)
        following = transition_of(w, state * N_EVENTS + event).value
        _note(w, number, dossier, event, following)
    else:
        _end_waiting(w, number, dossier, event)
        following = transition_of(w, state * N_EVENTS + event).value
    change_queue(w, state_of(w, state).level, -1.0).departures += 1
    publish(w, dossier)
    enter(w, number, following)


@kernel
def _end_waiting(w: World, number: int, dossier: Dossier, event: int) -> None:
    """Note for whom a dossier waited; after an answer its clock goes on."""
    waits_for = state_of(w, dossier.state).waits_for
    dossier.waited[waits_for] += w.now - dossier.since
    if waits_for == SYSTEM:
        synced_s_of(w, number).value = w.now
    elif event == ANSWERED and is_standing(dossier):
        go_on_after(w, dossier, dossier.since)


@kernel
def _team_of(w: World, dossier: Dossier, task: int) -> int:
    office = dossier.reception if dossier.state == RECEIVING else dossier.office
    domain = procedure_of(w, dossier.procedure).domain
    row = (office * w.n_tasks + task) * w.n_domains + domain
    return team_number_of(w, 2 * row + dossier.filing).value


@kernel
def _ask_citizen(w: World, number: int, dossier: Dossier) -> None:
    """Wait until a citizen answers, withdraws the dossier or lets the limit pass."""
    answer_s = _answer_s(w, dossier)
    if coin(dossier) < w.withdrawn_share:
        event, delay_s = WITHDREW, min(answer_s, w.citizen_limit_s)
    elif answer_s <= w.citizen_limit_s:
        event, delay_s = ANSWERED, answer_s
    else:
        event, delay_s = UNANSWERED, w.citizen_limit_s
    set_timer(w, number, event, delay_s)


@kernel
def _answer_s(w: World, dossier: Dossier) -> float:
    slot = ANSWER_SLOT + dossier.state
    return duration_s(w, dossier.state, dossier.key, visit_of(dossier), slot)


@kernel
def _event_of_task(w: World, number: int, dossier: Dossier) -> int:
    """Return how a task ended."""
    state = dossier.state
    if state == RECEIVING:
        return _received(w, number, dossier)
    if state == EXAMINING:
        return _examined(w, dossier)
    if state == APPROVING:
        if dossier.sent_back < w.sent_back_max and coin(dossier) < w.sent_back_share:
            dossier.sent_back += 1
            return SENT_BACK
        return APPROVED
    return state_of(w, state).event


@kernel
def _note(w: World, number: int, dossier: Dossier, event: int, following: int) -> None:
    """Note what the law asks when papers or a decision end the officers' time."""
    if dossier.state == EXAMINING and event == INCOMPLETE:
        note_papers(w, number, dossier)
        note_apology(w, dossier)
    elif state_of(w, following).is_decision and math.isnan(decided_s_of(w, number).value):
        note_apology(w, dossier)


@kernel
def _received(w: World, number: int, dossier: Dossier) -> int:
    """Return how a reception ended."""
    if math.isnan(received_s_of(w, number).value):
        received_s_of(w, number).value = w.now
    u, share = coin(dossier), w.refused_at_reception
    if u < share:
        return DENIED
    if _may_ask_papers(w, dossier):
        share += w.incomplete_at_reception
    if u < share:
        return INCOMPLETE
    accept(w, number, dossier)
    has_fee = procedure_of(w, dossier.procedure).has_fee and not dossier.visits[PAYING]
    if has_fee and uniform(dossier.key, 0, FEE_SLOT, 0) < w.unpaid_share:
        return FEE_DUE
    return ACCEPTED


@kernel
def _examined(w: World, dossier: Dossier) -> int:
    """Return how an examination ended."""
    domain = domain_of(w, procedure_of(w, dossier.procedure).domain)
    u, share = coin(dossier), domain.refused
    if u < share:
        return DENIED
    if _may_ask_papers(w, dossier):
        share += domain.incomplete
    if u < share:
        return INCOMPLETE
    if not dossier.visits[CONSULTING]:
        share += domain.consulted
    return CONSULTED if u < share else EXAMINED


@kernel
def _may_ask_papers(w: World, dossier: Dossier) -> bool:
    return supplements_of(dossier) < w.supplements_max


@kernel
def supplements_of(dossier: Dossier) -> int:
    """Return how often papers were asked for."""
    return int(dossier.visits[SUPPLEMENTING_AT_RECEPTION]) + int(dossier.visits[SUPPLEMENTING])
