"""What the web UI knows and does: it asks the conductor, every second and when somebody does."""

from locust.runners import STATE_INIT, STATE_RUNNING, STATE_STOPPED, Runner

import logging
import time
from collections.abc import Mapping

import gevent

from loadtests.conductor import BY_HAND, Conductor
from loadtests.webui.aside import judged, prepared
from loadtests.webui.figures import (
    UNKNOWN,
    Row,
    Series,
    Stored,
    bounds_of,
    prediction_rows,
    stored_rows,
    trust_rows,
)
from loadtests.webui.forecast import Forecast
from loadtests.webui.wishes import Wish
from loadtests.work import LoadError
from sim.results import Run

_EVERY_S = 1.0
_ENDING_S = 90.0
"""So long a new test waits for Locust to have stopped the last one's users."""

log = logging.getLogger(__name__)


class Desk:
    """Where the web UI's pages get what they show.

    Parameters
    ----------
    conductor : Conductor
        Runs the tests.
    runner : Runner
        Locust's.
    authorisation : str or None
        File with the permission to load the host.

    Attributes
    ----------
    wish : Wish
        What the next test begins with, unless the form asks for something else.
    stored : Stored or None
        What the run of the last test says; None while there is none.
    """

    def __init__(self, conductor: Conductor, runner: Runner, authorisation: str | None) -> None:
        self.wish = Wish.of_order(conductor.order)
        self.stored: Stored | None = None
        self._conductor = conductor
        self._runner = runner
        self._given = conductor.order
        self._authorisation = authorisation
        self._forecast = Forecast()
        self._series = Series()
        self._test = ""
        self._live = conductor.live
        self._told: Run | None = None
        self._is_preparing = False

    def open(self) -> None:
        """Begin to look after the conductor."""
        self._forecast.begin(self._given.folder)
        gevent.spawn(self._watch)

    def close(self) -> None:
        """End what runs beside the load test."""
        self._forecast.close()

    @property
    def run(self) -> Run | None:
        """The stored run of the last test."""
        return self._conductor.run

    @property
    def title(self) -> str:
        """The question, for people."""
        scenario = self._conductor.order.scenario
        return f"{scenario.title or scenario.name}: load on {self._conductor.order.plan.host}"

    @property
    def state(self) -> str:
        """Locust's state, as its UI is to see it.

        The UI asks for news only while this is running: so it is, until the run is stored and
        judged, whatever Locust does before and after the load.
        """
        is_settled = not self._conductor.is_running and self._told is self._conductor.run
        return self._runner.state if is_settled and self._is_locust_through else STATE_RUNNING

    def prepare(self, form: Mapping[str, str]) -> None:
        """Make everything ready for the test that a form asks for.

        Raises
        ------
        LoadError
            When it cannot be begun.
        """
        self._check_free(form.get("host", ""))
        wish = Wish.from_form(form, self.wish)
        self._is_preparing = True
        try:
            self._await_end()
            if wish != self.wish:
                self._renew(wish)
        finally:
            self._is_preparing = False

    def stop(self) -> None:
        """End the test; returns when its run is stored."""
        self._conductor.end(BY_HAND)

    def prediction_rows(self) -> list[Row]:
        """Return the rows of the tab that shows measured beside simulated."""
        conductor = self._conductor
        note = self._forecast.note
        noted: list[Row] = [{"endpoint": note, "requests": "", "verdict": ""}] if note else []
        bounds = bounds_of(conductor.order.scenario)
        return noted + prediction_rows(conductor.live, self._forecast.endpoints, bounds)

    def trust_rows(self) -> list[Row]:
        """Return the rows of the tab that says whether the measurement can be trusted."""
        if self._conductor.failure:
            return [_failed(self._conductor.failure)]
        if self.stored is not None:
            return stored_rows(self.stored)
        return trust_rows(self._conductor.live, self._conductor.lost)

    def charts(self, test: str, after_s: float) -> dict[str, object]:
        """Return what the page of charts draws.

        Parameters
        ----------
        test : str
            Run id of the test whose points the page has; empty for none.
        after_s : float
            The latest of them, s from the epoch.
        """
        first = self.trust_rows()[0]
        is_same = test == self._test
        return {
            "title": self.title,
            "trust": f"{first['figure']}: {first['value']}",
            "is_good": first["verdict"] != "bad",
            "stored": None
            if self.stored is None
            else {"path": self.stored.path, "answer": self.stored.answer}
            | {"reasons": list(self.stored.reasons)},
            "test": self._test,
            "series": self._series.to_json(after_s) if is_same else self._series.to_json(),
        }

    def _check_free(self, host: str) -> None:
        plan = self._given.plan
        if self._conductor.is_running:
            raise LoadError("a load test is running, and follows its scenario: stop it first")
        if self._is_preparing:
            raise LoadError("the next load test is being prepared")
        if host.rstrip("/") not in ("", plan.host):
            raise LoadError(
                f"this load test was started for {plan.host}; for another portal start "
                f"`hoso load SCENARIO --web --host {host}`"
            )

    @property
    def _is_locust_through(self) -> bool:
        return self._runner.state in (STATE_INIT, STATE_STOPPED)

    def _await_end(self) -> None:
        """Wait until Locust is done with the last test."""
        until = time.monotonic() + _ENDING_S
        while not self._is_locust_through:
            if time.monotonic() > until:
                raise LoadError("the last load test does not end; start `hoso load` anew")
            gevent.sleep(0.1)

    def _renew(self, wish: Wish) -> None:
        order = prepared(wish, self._given, self._authorisation)
        self.wish = wish
        self._conductor.take(order)
        self._forecast.begin(order.folder)

    def _watch(self) -> None:
        while True:
            gevent.sleep(_EVERY_S)
            conductor = self._conductor
            self._forecast.look()
            if conductor.live is not self._live:
                self._live, self._series, self.stored = conductor.live, Series(), None
                self._test = conductor.order.plan.run
                if self._forecast.is_missing:
                    self._forecast.begin(conductor.order.folder)
            if conductor.is_loading:
                self._series.add(conductor.live, conductor.queue_age_s)
            if conductor.run is not self._told:
                self._judge(conductor.run)

    def _judge(self, run: Run | None) -> None:
        self.stored = None
        try:
            if run is not None:
                self.stored = judged(run)
        except LoadError as error:
            log.error("%s", error)
        self._told = run


def _failed(text: str) -> Row:
    return {"figure": "the load test failed", "value": text, "limit": UNKNOWN, "verdict": "bad"}
