"""Clients: sessions that follow the trace, with patience and retries."""

from sim.compiled.jit import inlined, kernel
from sim.compiled.kernel.constants import (
    ABANDONED,
    ARRIVAL,
    ASK,
    ENDED,
    FOLLOW,
    GIVEN_UP,
    GO_ON,
    GROUP_ANSWERED,
    MORE_DOSSIERS,
    MORE_ROWS,
    MORE_SESSIONS,
    NONE,
    OK,
    OWN,
    PATIENCE,
    PAUSED,
    RUN,
    SENT,
    START_THREAD,
    THOUGHT,
)
from sim.compiled.kernel.draws import child_key, uniform, variate
from sim.compiled.kernel.events import cancel, fire_now, handle_of, set_timer, start
from sim.compiled.kernel.job import enqueue
from sim.compiled.kernel.places import (
    channel_of,
    client_of,
    dossier_of,
    pause_of,
    program_of,
    queue_of,
    request_of,
    row_of,
    session_of,
    thread_of,
)
from sim.compiled.kernel.visit import begin_program, end_thread, new_thread, waited_s
from sim.compiled.structs import Client, Program, Session, Thread, World
from sim.demand.trace import TOGETHER, WHILE_SYNCING
from sim.model.draws import JITTER_SLOT, PATIENCE_SLOT

NEVER = float("nan")


@kernel
def arrive(w: World) -> None:
    """Start the sessions that arrive now, and wait for the next."""
    w.is_arriving = 1
    while w.next_session < w.n_sessions:
        if w.wants:
            return
        session = session_of(w, w.next_session)
        delay_s = session.arrival_s - w.now
        if delay_s > 0.0 and not w.is_due:
            w.is_due = 1
            w.is_arriving = 0
            set_timer(w, ARRIVAL, delay_s)
            return
        w.is_due = 0
        _start_session(w, session)
    if w.is_last:
        w.is_arriving, w.has_arrived = 0, 1
    else:
        w.wants |= MORE_SESSIONS


@inlined
def follow(w: World, thread: Thread) -> bool:
    """Go on with the session's next group of requests; return whether the thread goes on now."""
    session = session_of(w, thread.session)
    while thread.request < session.stop_request:
        think_s = request_of(w, thread.request).think_s
        if thread.state == FOLLOW and think_s > 0.0 and _is_wanted(w, session, thread.request):
            thread.state = THOUGHT
            set_timer(w, handle_of(w, thread, OWN), think_s)
            return False
        thread.state = FOLLOW
        following = _end_of_group(w, session, thread.request)
        if following > thread.request + 1:
            if _ask_together(w, session, thread, following):
                return False
        elif _is_wanted(w, session, thread.request):
            thread.number = 0
            return ask(w, thread)
        thread.request = following
    _end_session(w, thread, OK)
    return False


@inlined
def ask(w: World, thread: Thread) -> bool:
    """Send one attempt; return whether the portal begins with it now."""
    request, client = request_of(w, thread.request), client_of(w, thread.client)
    thread.key, thread.bits_up = request.key, request.bits_up
    thread.sent_s, thread.is_open, thread.is_left = w.now, 1, 0
    thread.program = request.program
    begin_program(w, thread)
    if client.family != NONE:
        patience_s = variate(
            client.family, client.mean, client.sigma, request.key, thread.number, PATIENCE_SLOT
        )
        set_timer(w, handle_of(w, thread, PATIENCE), patience_s)
    round_trip_s = channel_of(w, thread.channel).round_trip_s
    if round_trip_s > 0.0:
        thread.state = SENT
        set_timer(w, handle_of(w, thread, OWN), round_trip_s)
        return False
    thread.state = RUN
    return True


@inlined
def answered(w: World, thread: Thread) -> bool:
    """Commit, and answer the client; return whether the thread goes on now."""
    program = program_of(w, thread.program)
    if thread.outcome == OK and (program.files_dossier or program.n_queues):
        _commit(w, thread, program)
    if thread.is_left:
        session_of(w, thread.session).open -= 1
        w.in_progress -= 1
        end_thread(w, thread)
        return False
    _record(w, thread, thread.outcome)
    client = client_of(w, thread.client)
    if thread.outcome == OK or thread.number >= client.retries:
        return _end_request(w, thread, thread.outcome)
    _pause(w, thread, client)
    return False


@kernel
def try_again(w: World, thread: Thread) -> bool:
    """Send the next attempt after the pause; return whether the portal begins with it now."""
    thread.number += 1
    return ask(w, thread)


@kernel
def lose_patience(w: World, thread: Thread) -> None:
    """Leave the attempt, which is not answered; go on in a thread of its own."""
    thread.is_left = 1
    w.in_progress += 1
    session_of(w, thread.session).open += 1
    _record(w, thread, ABANDONED)
    start(w, START_THREAD, _like(w, thread, thread.request, GO_ON, thread.group).id)


@kernel
def go_on(w: World, thread: Thread) -> None:
    """After leaving: try again after the pause, or give up."""
    client = client_of(w, thread.client)
    if thread.number < client.retries:
        _pause(w, thread, client)
    else:
        _end_request(w, thread, ABANDONED)


@kernel
def group_answered(w: World, thread: Thread) -> bool:
    """Go on after a group of requests; return whether the thread goes on now."""
    if thread.group_worst != OK:
        _end_session(w, thread, thread.group_worst)
        return False
    session = session_of(w, thread.session)
    thread.request = _end_of_group(w, session, thread.request)
    thread.state = FOLLOW
    return True


@inlined
def _start_session(w: World, session: Session) -> None:
    thread = new_thread(w, FOLLOW)
    thread.session, thread.request = w.next_session, session.first_request
    thread.client, thread.channel = session.client, session.channel
    session.open = 1
    w.in_progress += 1
    w.next_session += 1
    start(w, START_THREAD, thread.id)


@kernel
def _is_wanted(w: World, session: Session, request: int) -> bool:
    """Return whether a request is sent: a poll is not, once nothing is being synchronised."""
    return session.syncing > 0 or not request_of(w, request).flags & WHILE_SYNCING


@kernel
def _end_of_group(w: World, session: Session, request: int) -> int:
    """Return the first request after this one that is not sent together with it."""
    following = request + 1
    while following < session.stop_request and request_of(w, following).flags & TOGETHER:
        following += 1
    return following


@kernel
def _ask_together(w: World, session: Session, parent: Thread, following: int) -> bool:
    """Send several requests at once; return whether any is."""
    parent.group_open, parent.group_worst = 0, OK
    for request in range(parent.request, following):
        if _is_wanted(w, session, request):
            start(w, START_THREAD, _like(w, parent, request, ASK, parent.id).id)
            parent.group_open += 1
    if parent.group_open:
        parent.state = GROUP_ANSWERED
        return True
    return False


@kernel
def _like(w: World, thread: Thread, request: int, state: int, group: int) -> Thread:
    """Return a new thread of the same session."""
    other = new_thread(w, state)
    other.session, other.client, other.channel = thread.session, thread.client, thread.channel
    other.request, other.group = request, group
    other.number = thread.number if state == GO_ON else 0
    return other


@kernel
def _pause(w: World, thread: Thread, client: Client) -> None:
    """Wait for the back-off after an attempt."""
    pause_s = pause_of(w, client.first_pause + thread.number).value
    luck = uniform(request_of(w, thread.request).key, thread.number, JITTER_SLOT, 0)
    thread.state = PAUSED
    set_timer(w, handle_of(w, thread, OWN), pause_s * (1.0 - client.jitter * luck))


@inlined
def _end_request(w: World, thread: Thread, outcome: int) -> bool:
    """Tell the group, or go on with the session; return whether the thread goes on now."""
    if thread.group != NONE:
        _answer_group(w, thread_of(w, thread.group), outcome)
        end_thread(w, thread)
        return False
    if outcome != OK:
        _end_session(w, thread, outcome)
        return False
    thread.request += 1
    thread.state = FOLLOW
    return True


@kernel
def _answer_group(w: World, parent: Thread, outcome: int) -> None:
    """One of a group is answered, or given up."""
    parent.group_worst = max(parent.group_worst, outcome)
    parent.group_open -= 1
    if parent.group_open == 0:
        fire_now(w, handle_of(w, parent, OWN))


@kernel
def _end_session(w: World, thread: Thread, outcome: int) -> None:
    session = session_of(w, thread.session)
    session.end_s = w.now
    session.ending = ENDED if outcome == OK else GIVEN_UP
    session.open -= 1
    w.in_progress -= 1
    end_thread(w, thread)


@kernel
def _record(w: World, thread: Thread, outcome: int) -> None:
    """Write the attempt's row: it has been answered, or its client has left."""
    cancel(w, handle_of(w, thread, PATIENCE))
    thread.is_open = 0
    session_of(w, thread.session).attempts += 1
    wait_s, response_s = waited_s(w, thread), w.now - thread.sent_s
    if thread.number == 0:
        first = request_of(w, thread.request)
        first.sent_s, first.wait_s, first.response_s = thread.sent_s, wait_s, response_s
        first.outcome = outcome
        return
    row = row_of(w, w.n_rows)
    row.request, row.number, row.outcome = thread.request, thread.number, outcome
    row.sent_s, row.wait_s, row.response_s = thread.sent_s, wait_s, response_s
    w.n_rows += 1
    if w.n_rows == w.most_rows:
        w.wants |= MORE_ROWS


@kernel
def _commit(w: World, thread: Thread, program: Program) -> None:
    """Put on file what the request brought, and queue what follows from it."""
    dossier = NONE
    if program.files_dossier:
        dossier = _file_dossier(w, thread, program)
    session_of(w, thread.session).syncing += program.n_queues
    key = child_key(request_of(w, thread.request).key, thread.number)
    for place in range(program.n_queues):
        number = queue_of(w, program.first_queue + place).value
        enqueue(w, number, key, thread.session, dossier)


@kernel
def _file_dossier(w: World, thread: Thread, program: Program) -> int:
    number = w.n_dossiers
    w.n_dossiers += 1
    if w.n_dossiers == w.most_dossiers:
        w.wants |= MORE_DOSSIERS
    dossier = dossier_of(w, number)
    session = session_of(w, thread.session)
    dossier.session, dossier.number = session.number, thread.number
    dossier.step, dossier.service = thread.request - session.first_request, session.service
    dossier.pending = program.n_queues
    dossier.submitted_s = thread.sent_s
    dossier.acknowledged_s = NEVER if thread.is_left else w.now
    dossier.synced_s = NEVER
    return number
