"""Conducts a load test: begins it, watches it every second, ends it, keeps an account of it.

One conductor per test run lives in the process without a master, or in the master. It knows gevent
and Locust's runner only through its crew and the function that ends Locust.
"""

import datetime as dt
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent.event import Event

from loadtests.abort import AbortRules
from loadtests.crew import Crew
from loadtests.dialects import Call, DialectError
from loadtests.gateway_faults import GATEWAYS_VARIABLE, FaultClock, apply_faults, fault_moments
from loadtests.http import Browser, ExchangeError, Target
from loadtests.live import LiveView, Piece
from loadtests.monitor import KEY_HEADER, KEY_VARIABLE, PATH, MonitorLog
from loadtests.progress import ProgressLine
from loadtests.work import Conduct, LoadError, Order, another, remove_work, save_conduct, save_order
from sim.demand import CatalogueError, DemandError
from sim.results import Run, open_run

BY_HAND = "stopped by hand"

_POLL_LIMIT_S = 2.0
"""A portal that does not answer its monitor by then is asked again a second later."""
_OK = 200

log = logging.getLogger(__name__)


class Conductor:
    """Runs one order after the other; further tests of the web UI get folders of their own.

    Parameters
    ----------
    order : Order
        What is to be done; saved in its folder.
    crew : callable
        Makes the crew, given who takes its pieces.
    leave : callable
        Called when a test has ended, to end Locust (or only its test).

    Attributes
    ----------
    order : Order
        What is or was done.
    live : LiveView
        What is known so far.
    run : Run or None
        The stored run of the last test, where the plan says ``collects``.
    failure : str
        Why the last test could not be begun, or its records not be stored.
    """

    def __init__(
        self,
        order: Order,
        crew: Callable[[Callable[[Piece], None]], Crew],
        leave: Callable[[], None],
    ) -> None:
        self.order = order
        self.live = LiveView(order.trace.endpoints, order.trace.services)
        self.run: Run | None = None
        self.failure = ""
        self.over = Event()
        self._crew = crew(self._take)
        self._leave = leave
        self._tests = 0
        self._is_used = False
        self._at_unix_s: float | None = None
        self._is_ending = False
        self._stopped = ""
        self._lost: list[str] = []
        self._monitor = MonitorLog(order.scenario)
        self._faults: FaultClock | None = None

    @property
    def is_running(self) -> bool:
        """Whether a test has begun and not ended."""
        return self._tests > 0 and not self.over.is_set()

    @property
    def is_loading(self) -> bool:
        """Whether requests are sent: a test has begun and is not being ended."""
        return self.is_running and not self._is_ending

    @property
    def queue_age_s(self) -> dict[str, float]:
        """Age of the oldest item of each job of the portal, s; empty where it tells nothing."""
        return self._monitor.ages()

    @property
    def lost(self) -> tuple[str, ...]:
        """Workers that have disappeared during the test."""
        return tuple(self._lost)

    def take(self, order: Order) -> None:
        """Begin the next test with another order; it is saved already."""
        self.order, self._is_used = order, False

    def now_s(self) -> float:
        """Return the time, s from the epoch; 0 before it is known."""
        return 0.0 if self._at_unix_s is None else time.time() - self._at_unix_s

    def start(self) -> None:
        """Begin a test; returns when second 0 is named."""
        if self._is_used:
            self.order = another(self.order)
            save_order(self.order)
        self._is_used = True
        self._reset()
        try:
            self._crew.prepare(self.order)
        except (LoadError, DialectError, ExchangeError, CatalogueError, DemandError) as error:
            self._fail(str(error))
            return
        except Exception as error:  # Locust would only log it, and wait for ever
            self._fail(f"the load test cannot begin: {error!r}")
            return
        self._at_unix_s = self._crew.begin()
        self._break_gateways(self._at_unix_s)
        gevent.spawn(self._watch).link_exception(self._on_error)
        gevent.spawn(self._poll_monitor)

    def end(self, reason: str) -> None:
        """End the test, for whatever reason before its time; returns when all is stored."""
        if not self.is_running:
            return
        if self._is_ending:
            self.over.wait()
            return
        self._is_ending = True
        self._stopped = _DESERTED if self._crew.is_deserted else reason
        if self._at_unix_s is None:
            self._fail(f"{reason} before the load began")
            return
        try:
            self._store()
        except Exception as error:  # Locust would only log it
            self.failure = f"the run could not be stored: {error!r}"
            log.error("%s", self.failure)
        finally:  # whatever goes wrong, nobody waits for ever
            self.over.set()

    def _store(self) -> None:
        ended_s = self.now_s()
        self._crew.end()
        if self._faults is not None:
            self._faults.stop()
        self._monitor.save(self.order.folder)
        self._account(ended_s)
        if self.order.plan.collects:
            self._collect()

    def _break_gateways(self, epoch_s: float) -> None:
        """Let gateways break as the scenario says, where the stand-in's are at hand."""
        url, key = os.environ.get(GATEWAYS_VARIABLE), os.environ.get(KEY_VARIABLE)
        faults = self.order.scenario.faults
        self._faults = apply_faults(self.order.scenario, url, epoch_s, key) if url and key else None
        applied = fault_moments(faults) if self._faults is not None else []
        left_out = len(faults) - len(applied) // 2
        if left_out:
            log.warning("%d faults of the scenario are not applied: no load test can", left_out)

    def _reset(self) -> None:
        self._tests += 1
        self.over.clear()
        self.live = LiveView(self.order.trace.endpoints, self.order.trace.services)
        self.run, self.failure = None, ""
        self._at_unix_s, self._stopped, self._is_ending = None, "", False
        self._lost = []
        self._monitor = MonitorLog(self.order.scenario)

    def _take(self, piece: Piece) -> None:
        self.live.add(piece)

    def _watch(self) -> None:
        """Look every second whether the test is over, and end it."""
        rules = AbortRules.from_scenario(self.order.scenario)
        reason: str | None = None
        with ProgressLine(self.order.scenario.window.duration_s) as line:
            while reason is None and not self._is_ending:
                gevent.sleep(1.0 - self.now_s() % 1.0)
                self._crew.tick()
                line.show(self.live.totals())
                self._say_who_is_lost()
                reason = self._is_over() or rules.feed(self.live.second())
        if not self._is_ending:
            self.end("" if reason == _ALL_ENDED else reason or "")
            self._leave()

    def _is_over(self) -> str | None:
        """Return why the test is over; None while it is not."""
        plan, window = self.order.plan, self.order.scenario.window
        now_s = self.now_s()
        if self._crew.is_capped:
            return f"the {plan.max_requests:,} requests allowed are used up"
        if self._crew.is_over:
            is_late = now_s >= window.duration_s + window.drain_s
            return _ALL_ENDED if self._monitor.is_idle or is_late else None
        if now_s >= plan.max_time_s:
            is_planned = plan.max_time_s >= window.duration_s + window.drain_s
            return _ALL_ENDED if is_planned else f"the {plan.max_time_s:g} s allowed are over"
        return None

    def _say_who_is_lost(self) -> None:
        for name in self._crew.lost():
            if name not in self._lost:
                self._lost.append(name)
                log.error("%s is lost; the measurement will not be trustworthy", name)

    def _poll_monitor(self) -> None:
        """Ask the portal every second how full its queues are, if it is one that tells."""
        key = os.environ.get(KEY_VARIABLE)
        if not key:
            return
        plan = self.order.plan
        browser = Browser(Target.of(plan.host, plan.address))
        call = Call("GET", PATH, {KEY_HEADER: key})
        while not self.over.is_set():
            gevent.sleep(1.0 - self.now_s() % 1.0)
            with gevent.Timeout(_POLL_LIMIT_S, exception=False):
                if not self._read_monitor(browser, call):
                    return

    def _read_monitor(self, browser: Browser, call: Call) -> bool:
        """Take one reading; returns whether it is worth asking again."""
        try:
            answer = browser.send(call)
        except ExchangeError:
            return True
        if answer.status != _OK:
            log.warning("%s answers %d; no levels are recorded", PATH, answer.status)
            return False
        try:
            reading = json.loads(answer.body)
        except ValueError:
            return False
        self._monitor.add(self.now_s(), reading)
        return True

    def _account(self, ended_s: float) -> None:
        assert self._at_unix_s is not None
        conduct = Conduct(
            run=self.order.plan.run,
            started=dt.datetime.fromtimestamp(self._at_unix_s, dt.UTC),
            ended_s=ended_s,
            stopped=self._stopped,
            faults_missed=() if self._faults is None else tuple(self._faults.problems),
            workers=self._crew.reports(),
        )
        save_conduct(conduct, self.order.folder)

    def _collect(self) -> None:
        """Store the run, in a process that Locust has not patched; what else runs here goes on."""
        command = [sys.executable, "-m", "loadtests.collect", str(self.order.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            self.run = open_run(Path(done.stdout.strip()))
            remove_work(self.order.folder)
        else:
            self.failure = done.stderr.strip()
            log.error("%s", self.failure)

    def _on_error(self, greenlet: gevent.Greenlet) -> None:
        """Something unexpected: the traceback is printed already; nobody must wait for ever."""
        self._fail(f"the load test failed: {greenlet.exception!r}")

    def _fail(self, text: str) -> None:
        self.failure = text
        log.error("%s", text)
        save_conduct(Conduct(run=self.order.plan.run, failure=text), self.order.folder)
        self.over.set()
        gevent.spawn(self._leave)


_ALL_ENDED = "all sessions have ended"
_DESERTED = "all workers are lost"
