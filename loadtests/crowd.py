"""All clients of one worker: open arrivals replayed from the trace, each session a greenlet.

Mirrors ``sim.model.client``: groups sent together, think times, polls only while something is being
synchronised, patience, retries. What the simulator decides by queues, the portal decides here.
It knows gevent, not Locust.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gevent
import numpy as np
from gevent.event import Event

from loadtests.dialects.base import Dialect, Reading, Service, Visitor
from loadtests.http import Browser, ExchangeError, Target
from loadtests.patience import backoff_s, clients_of, first_patience_s, patience_s
from loadtests.recorder import ABANDONED, FAILED, OK, Recorder
from sim.demand import Trace
from sim.demand.trace import TOGETHER, WHILE_SYNCING
from sim.results import OUTCOMES
from sim.scenario.demand import Client
from sim.scenario.portal import Enqueue
from sim.scenario.scenario import Scenario

KEEP_ALIVE_S = 60.0
"""Connections unused for longer are closed. # assumption: servers do (nginx 75 s, Tomcat 20)."""

_INDEX_OF_OUTCOME = {name: index for index, name in enumerate(OUTCOMES)}


@dataclass(frozen=True, slots=True)
class Heard:
    """One attempt that ended, for whoever watches.

    Attributes
    ----------
    method, endpoint, service, journey : str
        How and what was asked, for which service, on which journey.
    response_s : float
        From the due time, s.
    length : int
        Bytes of the answer's body; 0 without one.
    problem : str
        Why it was not answered well; empty when it was.
    """

    method: str
    endpoint: str
    service: str
    journey: str
    response_s: float
    length: int
    problem: str


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the load a worker carries, and how much at most.

    Attributes
    ----------
    index, workers : int
        Sessions whose index leaves the remainder ``index`` divided by ``workers``.
    max_sessions : int
        Sessions under way at once; further arrivals are dropped.
    max_requests : int or None
        Attempts in all; the run ends when they are used up. None: no limit.
    """

    index: int = 0
    workers: int = 1
    max_sessions: int = 20_000
    max_requests: int | None = None


class Crowd:
    """Starts a session at each arrival of the trace and follows it to its end.

    Parameters
    ----------
    scenario : Scenario
        The question.
    trace : Trace
        Its demand.
    dialect : Dialect
        What is sent.
    services : mapping of str to Service, as a list by the trace's service index
        What is asked for.
    target : Target
        Where to.
    log : Recorder
        What happened.
    share : Share
        Which sessions.
    hear : callable, optional
        Called with each attempt that ended.
    """

    def __init__(
        self,
        scenario: Scenario,
        trace: Trace,
        dialect: Dialect,
        services: Sequence[Service],
        target: Target,
        log: Recorder,
        share: Share,
        hear: Callable[[Heard], None] | None = None,
    ) -> None:
        self._trace = trace
        self._dialect = dialect
        self._services = services
        self._target = target
        self._log = log
        self._share = share
        self._hear = hear
        self._clients = clients_of(scenario, trace)
        self._queues = [_queues(scenario, name) for name in trace.endpoints]
        self._patience = first_patience_s(trace, self._clients).data
        self._endpoint = trace.endpoint.data
        self._think = trace.think_s.data
        self._bytes_up = trace.bytes_up.data
        self._flags = trace.flags.data
        self._key = trace.key.data
        self._first_request = trace.first_request.data
        self._journey = trace.journey.data
        self._service = trace.service.data
        self._sessions = np.arange(share.index, trace.n_sessions, share.workers)
        self._arrival = trace.arrival_s[self._sessions]
        self._epoch = 0.0
        self._open: dict[int, _Attempt] = {}
        self._active: dict[int, gevent.Greenlet] = {}
        self._has_arrived = False
        self._begun = 0
        self._over = Event()
        self.is_capped = False

    @property
    def active(self) -> int:
        """Sessions under way."""
        return len(self._active)

    @property
    def n_sessions(self) -> int:
        """Sessions this worker is to start."""
        return len(self._sessions)

    def now_s(self) -> float:
        """Return the time, s from the epoch."""
        return time.perf_counter() - self._epoch

    def arrived(self) -> int:
        """Return how many sessions were due so far."""
        return int(np.searchsorted(self._arrival, self.now_s(), side="right"))

    def set_epoch(self, epoch: float) -> None:
        """Say when second 0 of the trace is, by ``time.perf_counter()``."""
        self._epoch = epoch

    def run(self) -> None:
        """Replay the trace; returns when every session has ended, or after :meth:`leave`."""
        arrivals = gevent.spawn(self._arrive)
        self._over.wait()
        arrivals.kill()

    def leave(self) -> None:
        """End the run: whoever still waits for an answer leaves without it."""
        now_s = self.now_s()
        for request, attempt in list(self._open.items()):
            self._log.request(
                request,
                attempt.number,
                attempt.due_s,
                attempt.sent_s,
                now_s - attempt.due_s,
                ABANDONED,
            )
        self._open.clear()
        sessions = list(self._active.items())
        for session, _ in sessions:
            self._log.session(session, now_s, True)
        self._active.clear()
        self._over.set()
        gevent.killall([greenlet for _, greenlet in sessions], block=False)

    def _arrive(self) -> None:
        """Start every session at its time."""
        limit = self._share.max_sessions
        for session, arrival_s in zip(self._sessions.tolist(), self._arrival.tolist(), strict=True):
            self._sleep_until(arrival_s)
            if len(self._active) >= limit:
                self._log.dropped(session, self.now_s())
                continue
            self._active[session] = gevent.spawn(self._visit, session, arrival_s)
        self._has_arrived = True
        self._end_if_gone()

    def _visit(self, session: int, arrival_s: float) -> None:
        """Follow one session from its arrival to its end."""
        outcome = OK
        if self._first_request[session] < self._first_request[session + 1]:
            try:
                visit = _Session(self, session)
            except Exception as error:  # a vendor's dialect may do anything; the run says so
                first = self._endpoint[self._first_request[session]]
                self._log.problem(self._trace.endpoints[first], _in_words(error))
                outcome = FAILED
            else:
                outcome = self._follow(visit, arrival_s)
        if session in self._active:
            del self._active[session]
            self._log.session(session, self.now_s(), outcome != OK)
            self._end_if_gone()

    def _end_if_gone(self) -> None:
        if self._has_arrived and not self._active:
            self._over.set()

    def _follow(self, visit: "_Session", due_s: float) -> int:
        """Send all requests of a session; returns the outcome of the last."""
        request, stop = self._first_request[visit.number], self._first_request[visit.number + 1]
        outcome = OK
        try:
            while request < stop and outcome == OK and not self.is_capped:
                following = self._end_of_group(request, stop)
                think_s = self._think[request]
                if think_s > 0.0 and self._is_wanted(visit, request):
                    if think_s > KEEP_ALIVE_S:
                        visit.browser.rest()
                    due_s += think_s
                    self._sleep_until(due_s)
                wanted = [r for r in range(request, following) if self._is_wanted(visit, r)]
                if len(wanted) > 1:
                    outcome = self._ask_together(visit, wanted, due_s)
                elif wanted:
                    outcome = self._ask(visit, wanted[0], due_s)
                due_s = self.now_s() if wanted else due_s
                request = following
        finally:
            visit.browser.close()
        return ABANDONED if self.is_capped else outcome

    def _is_wanted(self, visit: "_Session", request: int) -> bool:
        """Whether a request is sent: a poll is not, once nothing is being synchronised."""
        return not self._flags[request] & WHILE_SYNCING or visit.is_syncing

    def _end_of_group(self, request: int, stop: int) -> int:
        following = request + 1
        while following < stop and self._flags[following] & TOGETHER:
            following += 1
        return following

    def _ask_together(self, visit: "_Session", requests: Sequence[int], due_s: float) -> int:
        """Send several requests at once; returns the worst outcome when all have ended."""
        others = [gevent.spawn(self._ask, visit, request, due_s) for request in requests[1:]]
        try:
            worst = self._ask(visit, requests[0], due_s)
            gevent.joinall(others)
        except gevent.GreenletExit:
            gevent.killall(others, block=False)
            raise
        # A greenlet that was killed has a GreenletExit for its value: the run is over.
        values = [other.value for other in others]
        return max([worst, *(v if isinstance(v, int) else ABANDONED for v in values)])

    def _ask(self, visit: "_Session", request: int, due_s: float) -> int:
        """Send one request, again if need be; returns the last attempt's outcome."""
        client, number = visit.client, 0
        while True:
            outcome = self._attempt(visit, request, number, due_s)
            if outcome == OK or number >= client.retries or self.is_capped:
                return outcome
            due_s = self.now_s() + backoff_s(client, self._key[request], number)
            self._sleep_until(due_s)
            number += 1

    def _attempt(self, visit: "_Session", request: int, number: int, due_s: float) -> int:
        """Send one attempt, wait for its answer as long as patience lasts, and record it."""
        limit = self._share.max_requests
        if limit is not None and self._begun >= limit:
            self.is_capped = True
            return ABANDONED
        self._begun += 1
        attempt = self._open[request] = _Attempt(number, due_s)
        timer = gevent.Timeout.start_new(self._left_s(visit.client, request, attempt))
        try:
            reading = self._exchange(visit, request, attempt)
            outcome = _INDEX_OF_OUTCOME.get(reading.outcome, FAILED)
        except gevent.Timeout as timeout:
            if timeout is not timer:
                raise
            reading, outcome = _GAVE_UP, ABANDONED
        finally:
            timer.close()
        if self._open.get(request) is attempt:
            del self._open[request]
            self._record(visit, request, attempt, outcome, reading)
        return outcome

    def _left_s(self, client: Client, request: int, attempt: "_Attempt") -> float | None:
        """Return how much longer the client waits, s; None: for ever."""
        if client.patience is None:
            return None
        whole_s: float
        if attempt.number == 0:
            whole_s = self._patience[request]
        else:
            whole_s = patience_s(client, self._key[request], attempt.number)
        return max(0.0, attempt.due_s + whole_s - self.now_s())

    def _exchange(self, visit: "_Session", request: int, attempt: "_Attempt") -> Reading:
        """Send a request and read its answer."""
        endpoint, step = self._trace.endpoints[self._endpoint[request]], request - visit.first
        try:
            call = visit.visitor.call(
                endpoint,
                request=step,
                attempt=attempt.number,
                bytes_up=self._bytes_up[request],
                now_ms=int(time.time() * 1000),
            )
            attempt.method = call.method
            attempt.sent_s = self.now_s()
            answer = visit.browser.send(call)
            attempt.length = len(answer.body)
            return visit.visitor.read(endpoint, step, attempt.number, answer)
        except ExchangeError as error:
            return Reading(OUTCOMES[FAILED], str(error))
        except (
            Exception
        ) as error:  # a vendor's dialect may do anything; the run goes on and says so
            return Reading(OUTCOMES[FAILED], _in_words(error))

    def _record(
        self, visit: "_Session", request: int, attempt: "_Attempt", outcome: int, reading: Reading
    ) -> None:
        now_s = self.now_s()
        response_s = now_s - attempt.due_s
        sent_s = max(attempt.sent_s, attempt.due_s)  # a timer may fire some microseconds early
        response_s = max(response_s, sent_s - attempt.due_s)
        self._log.request(request, attempt.number, attempt.due_s, sent_s, response_s, outcome)
        index = self._endpoint[request]
        endpoint = self._trace.endpoints[index]
        if reading.acknowledged is not None:
            step = request - visit.first
            self._log.acknowledged(reading.acknowledged, visit.number, step, attempt.number, now_s)
        if outcome != OK:
            self._log.problem(endpoint, reading.problem)
        elif self._queues[index]:
            visit.is_syncing = True
        if reading.synced is not None:
            if reading.synced and visit.is_syncing:
                self._log.synced(visit.number, now_s)
            visit.is_syncing = not reading.synced
        if self._hear is not None:
            problem = "" if outcome == OK else reading.problem or reading.outcome
            self._hear(
                Heard(
                    attempt.method,
                    endpoint,
                    visit.service,
                    visit.journey,
                    response_s,
                    attempt.length,
                    problem,
                )
            )

    def _sleep_until(self, at_s: float) -> None:
        left_s = at_s - self.now_s()
        if left_s > 0.0:
            gevent.sleep(left_s)

    def visitor_of(self, session: int) -> Visitor:
        """Return a new visitor for a session."""
        return self._dialect.visitor(
            session,
            self._trace.journeys[self._journey[session]],
            self._services[self._service[session]],
            int(self._key[self._first_request[session]]),
        )

    def client_of(self, session: int) -> Client:
        """Return how the client of a session behaves."""
        return self._clients[self._journey[session]]


_GAVE_UP = Reading(OUTCOMES[ABANDONED], "no answer while patience lasted")


class _Session:
    """One citizen: a visitor and an HTTP client of its own."""

    __slots__ = (
        "browser",
        "client",
        "first",
        "is_syncing",
        "journey",
        "number",
        "service",
        "visitor",
    )

    def __init__(self, crowd: Crowd, number: int) -> None:
        trace = crowd._trace
        self.number = number
        self.first = crowd._first_request[number]
        self.journey = trace.journeys[crowd._journey[number]]
        self.service = trace.services[crowd._service[number]]
        self.client = crowd.client_of(number)
        self.visitor = crowd.visitor_of(number)
        self.browser = Browser(crowd._target)
        self.is_syncing = False


class _Attempt:
    """An attempt under way."""

    __slots__ = ("due_s", "length", "method", "number", "sent_s")

    def __init__(self, number: int, due_s: float) -> None:
        self.number = number
        self.due_s = due_s
        self.sent_s = due_s
        self.method = ""
        self.length = 0


def _in_words(error: Exception) -> str:
    return f"dialect: {type(error).__name__}: {error}"


def _queues(scenario: Scenario, endpoint: str) -> bool:
    """Whether an endpoint's work is synchronised afterwards."""
    spec = scenario.portal.endpoints.get(endpoint)
    return spec is not None and any(isinstance(op, Enqueue) for op in spec.program)
