"""Clients: sessions that follow the trace, with patience and retries."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from simpy import Environment, Event
from simpy.events import ProcessGenerator

from sim.demand.trace import BITS_PER_BYTE, TOGETHER, WHILE_SYNCING, Trace
from sim.model.draws import JITTER_SLOT, PATIENCE_SLOT, Draws, Slot, draw_first
from sim.model.job import Item
from sim.model.operations import Program
from sim.model.outcome import ABANDONED, OK, Outcome
from sim.model.portal import PortalModel
from sim.model.recorder import Recorder
from sim.model.visit import Visit
from sim.scenario.demand import Client
from sim.scenario.scenario import Scenario
from sim.streams import child_key, uniform

GONE: Outcome = -1
"""Not an outcome of the request: the client has left and lives on in another process."""


class Crowd:
    """All clients of one replication: starts a session at each arrival of the trace."""

    def __init__(
        self, env: Environment, scenario: Scenario, trace: Trace, portal: PortalModel, log: Recorder
    ) -> None:
        self._env = env
        self._trace = trace
        self._portal = portal
        self._log = log
        self._clients = [scenario.clients[scenario.journeys[j].client] for j in trace.journeys]
        self._channels = [scenario.channels[name] for name in trace.channels]
        self._programs = [portal.programs[name] for name in trace.endpoints]
        self._first = draw_first(trace, [program.slots for program in self._programs])
        self._patience = _first_patience(trace, self._clients).data
        self._arrival = trace.arrival_s.data
        self._journey = trace.journey.data
        self._channel = trace.channel.data
        self._first_request = trace.first_request.data
        self._endpoint = trace.endpoint.data
        self._think = trace.think_s.data
        self._bytes_up = trace.bytes_up.data
        self._flags = trace.flags.data
        self._key = trace.key.data
        self._syncing: dict[int, int] = {}
        self._open: dict[int, Attempt] = {}
        self._in_progress = 0
        self._has_arrived = False

    @property
    def is_gone(self) -> bool:
        """Whether every session has come and ended, and the portal has ended its work for them."""
        return self._has_arrived and self._in_progress == 0

    def arrive(self) -> ProcessGenerator:
        """Start every session at its time."""
        env = self._env
        for session in range(self._trace.n_sessions):
            delay_s = self._arrival[session] - env.now
            if delay_s > 0.0:
                yield env.timeout(delay_s)
            self._in_progress += 1
            env.process(self._follow(session, self._first_request[session], 0))
        self._has_arrived = True

    def leave(self) -> None:
        """End the run: whoever still waits for an answer leaves without it."""
        for attempt in list(self._open.values()):
            self._record(attempt, ABANDONED)

    def _follow(self, session: int, request: int, number: int) -> ProcessGenerator:
        """Follow a session from one attempt of one request on, until its end."""
        stop, outcome = self._first_request[session + 1], OK
        while request < stop and outcome == OK:
            following = self._end_of_group(request, stop)
            if number == 0 and self._think[request] > 0.0 and self._is_wanted(session, request):
                yield self._env.timeout(self._think[request])
            wanted = [r for r in range(request, following) if self._is_wanted(session, r)]
            if following > request + 1 and wanted:
                outcome = yield from self._ask_together(session, wanted)
            elif wanted or number > 0:
                outcome = yield from self._ask(session, request, number)
            request, number = following, 0
        if outcome != GONE:
            self._end_session(session, outcome)

    def _is_wanted(self, session: int, request: int) -> bool:
        """Whether a request is sent: a poll is not, once nothing is being synchronised."""
        return not self._flags[request] & WHILE_SYNCING or self._syncing.get(session, 0) > 0

    def _end_of_group(self, request: int, stop: int) -> int:
        """Return the first request after this one that is not sent together with it."""
        following = request + 1
        while following < stop and self._flags[following] & TOGETHER:
            following += 1
        return following

    def _ask_together(self, session: int, requests: Sequence[int]) -> ProcessGenerator:
        """Send several requests at once; the value is OK if all were answered well."""
        group = Group(self._env, len(requests))
        for request in requests:
            self._env.process(self._ask_in(group, session, request, 0))
        outcome: Outcome = yield group.answered
        return outcome

    def _ask_in(self, group: "Group", session: int, request: int, number: int) -> ProcessGenerator:
        outcome = yield from self._ask(session, request, number, group)
        if outcome != GONE:
            group.answer(outcome)

    def _ask(
        self, session: int, request: int, number: int, group: "Group | None" = None
    ) -> ProcessGenerator:
        """Send one request, again if need be; the value is the last attempt's outcome.

        Client and server share one process while the client waits. If its patience ends, the
        client goes on in a process of its own and this one, which does the rest of the server's
        work, ends with GONE.
        """
        client = self._clients[self._journey[session]]
        while True:
            attempt = self._send(session, request, number, group)
            outcome = yield from self._serve(attempt)
            if attempt.is_left:
                self._in_progress -= 1
                return GONE
            self._record(attempt, outcome)
            if outcome == OK or number >= client.retries:
                return outcome
            yield self._env.timeout(backoff_s(client, self._key[request], number))
            number += 1

    def _send(self, session: int, request: int, number: int, group: "Group | None") -> "Attempt":
        """Send one attempt; start the clock of the client's patience."""
        env, program = self._env, self._programs[self._endpoint[request]]
        first = number == 0
        draws = self._first.of(request) if first else self._later_draws(program, request, number)
        attempt = Attempt(env, draws, program, session, request, number, group)
        attempt.bits_up = self._bytes_up[request] * BITS_PER_BYTE
        attempt.uplink_bit_per_s = self._channels[self._channel[session]].uplink_bit_per_s
        self._open[request] = attempt
        client = self._clients[self._journey[session]]
        if client.patience is not None:
            key = self._key[request]
            limit_s = self._patience[request] if first else patience_s(client, key, number)
            env.timeout(limit_s, attempt).callbacks.append(self._lose_patience)
        return attempt

    def _serve(self, attempt: "Attempt") -> ProcessGenerator:
        """Work on an attempt to the end; the value is its outcome."""
        round_trip_s = self._channels[self._channel[attempt.session]].round_trip_s
        if round_trip_s > 0.0:
            yield self._env.timeout(round_trip_s)
        outcome: Outcome = yield from attempt.run(attempt.program.operations)
        if outcome == OK and (attempt.program.files_dossier or attempt.program.queues):
            self._commit(attempt)
        return outcome

    def _lose_patience(self, timer: Event) -> None:
        """Leave the attempt if it is not answered; go on with what the client does then."""
        attempt = timer.value
        assert isinstance(attempt, Attempt)
        if self._open.get(attempt.request) is not attempt:
            return
        attempt.is_left = True
        self._in_progress += 1
        self._record(attempt, ABANDONED)
        self._env.process(self._go_on(attempt))

    def _go_on(self, left: "Attempt") -> ProcessGenerator:
        """Try again after the back-off, or give up."""
        client, number = self._clients[self._journey[left.session]], left.number
        if number < client.retries:
            yield self._env.timeout(backoff_s(client, self._key[left.request], number))
            if left.group is None:
                yield from self._follow(left.session, left.request, number + 1)
            else:
                yield from self._ask_in(left.group, left.session, left.request, number + 1)
        elif left.group is None:
            self._end_session(left.session, ABANDONED)
        else:
            left.group.answer(ABANDONED)

    def _end_session(self, session: int, outcome: Outcome) -> None:
        self._log.session(session, self._env.now, outcome != OK)
        self._in_progress -= 1

    def _record(self, attempt: "Attempt", outcome: Outcome) -> None:
        """Append the attempt's row: it has been answered, or its client has left."""
        del self._open[attempt.request]
        sent_s = attempt.sent_s
        response_s = self._env.now - sent_s
        wait_s = attempt.waited_s()
        self._log.request(
            (attempt.request, attempt.number, sent_s, sent_s, wait_s, response_s, outcome)
        )

    def _commit(self, attempt: "Attempt") -> None:
        """Put on file what the request brought, and queue what follows from it."""
        now, session, program = self._env.now, attempt.session, attempt.program
        dossier = None
        if program.files_dossier:
            dossier = self._log.dossier(attempt.request, attempt.number, attempt.sent_s)
            if not attempt.is_left:
                self._log.acknowledged(dossier, now)
        pending = len(program.queues)
        self._syncing[session] = self._syncing.get(session, 0) + pending

        def done(done_at: float) -> None:
            nonlocal pending
            pending -= 1
            self._syncing[session] -= 1
            if dossier is not None and pending == 0:
                self._log.synced(dossier, done_at)

        attempt_key = child_key(self._key[attempt.request], attempt.number)
        for name in program.queues:
            self._portal.enqueue(Item(self._portal.item_key(attempt_key, name), now, done), name)

    def _later_draws(self, program: Program, request: int, number: int) -> Draws:
        key = self._key[request]
        return Draws([slot.draw(key, number) for slot in program.slots])


class Attempt(Visit):
    """A client's attempt of a request, and the portal's work on it."""

    __slots__ = ("group", "is_left", "number", "program", "request", "sent_s", "session")

    def __init__(
        self,
        env: Environment,
        draws: Draws,
        program: Program,
        session: int,
        request: int,
        number: int,
        group: "Group | None",
    ) -> None:
        super().__init__(env, draws)
        self.program = program
        self.group = group
        self.session = session
        self.request = request
        self.number = number
        self.sent_s = env.now
        self.is_left = False


class Group:
    """Requests sent together; answered when the last of them is, with the worst outcome."""

    __slots__ = ("_open", "_worst", "answered")

    def __init__(self, env: Environment, requests: int) -> None:
        self.answered = Event(env)
        self._open = requests
        self._worst = OK

    def answer(self, outcome: Outcome) -> None:
        """One of them is answered, or given up."""
        self._worst = max(self._worst, outcome)
        self._open -= 1
        if self._open == 0:
            self.answered.succeed(self._worst)


def patience_s(client: Client, key: int, attempt: int) -> float:
    """Return how long the client waits for this attempt's answer, s."""
    assert client.patience is not None
    if not client.patience.is_random:
        return client.patience.mean_s
    return Slot.of(PATIENCE_SLOT, client.patience).draw(key, attempt)


def backoff_s(client: Client, key: int, attempt: int) -> float:
    """Return the pause after this attempt, s: exponential back-off with jitter."""
    pause_s = client.backoff_s * client.backoff_factor**attempt
    return pause_s * (1.0 - client.jitter * uniform(key, attempt, JITTER_SLOT))


def _first_patience(trace: Trace, clients: Sequence[Client]) -> NDArray[np.float64]:
    """Return the patience of every request's first attempt, s; infinite for the patient."""
    patience = np.full(trace.n_requests, np.inf)
    journey = np.repeat(trace.journey, np.diff(trace.first_request))
    for index, client in enumerate(clients):
        if client.patience is not None:
            requests = np.flatnonzero(journey == index)
            slot = Slot.of(PATIENCE_SLOT, client.patience)
            patience[requests] = slot.draw_all(trace.key[requests])
    return patience
