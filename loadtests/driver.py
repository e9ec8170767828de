"""Locust's end of a load test: options, events, and the one user whose task is the whole trace.

Whatever runs in a process (nothing distributed, a master, a worker), it has one :class:`Driver`.
"""

from locust import User, runners, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.event import Events
from locust.exception import StopUser
from locust.runners import MasterRunner, Runner, WorkerRunner

import logging
import os
import signal
import sys
from typing import Any, Protocol

import gevent

from loadtests.conductor import BY_HAND, Conductor
from loadtests.crew import Alone, Worker, Workers
from loadtests.crowd import Heard
from loadtests.ordering import LOCUST_OPTIONS, order_from_options
from loadtests.work import LoadError
from sim.exit_codes import MET, RUN_FAILED, USAGE_WRONG

DRIVER = "hoso"
"""Attribute of Locust's environment that holds the driver."""

LIVENESS_S = 8
"""A worker that has not been heard of for so long counts as lost."""
_PARENT_EVERY_S = 1.0

log = logging.getLogger(__name__)


class Driver(Protocol):
    """What a process does when Locust begins or ends."""

    def begin(self) -> None:
        """A test starts."""

    def end(self) -> None:
        """A test is to end, by hand or because Locust does; returns when all is stored."""

    def wait(self) -> None:
        """Return when the test has ended."""


class TraceUser(User):
    """Stands for all citizens of this process: its task lasts as long as the trace."""

    @task
    def replay(self) -> None:
        """Wait while the crowd replays the trace."""
        driver_of(self.environment).wait()
        raise StopUser


def driver_of(environment: Environment) -> Driver:
    """Return the driver of this process."""
    driver: Driver = getattr(environment, DRIVER)
    return driver


def conductor_of(environment: Environment) -> Conductor | None:
    """Return the conductor, which the master or the only process has; None on workers."""
    driver = getattr(environment, DRIVER, None)
    return driver.conductor if isinstance(driver, ConductingDriver) else None


def install(events: Events) -> None:
    """Attach the load test to Locust; called once, by the locustfile."""
    # A worker that is busy for a few seconds is not lost; Locust's limit is 3 s.
    runners.HEARTBEAT_LIVENESS = LIVENESS_S
    # What is started in the background of a shell ignores Ctrl-C; a load test must not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    events.init_command_line_parser.add_listener(_add_options)
    events.init.add_listener(_on_init)


class ConductingDriver:
    """Of the master, or of the only process."""

    def __init__(self, environment: Environment, conductor: Conductor) -> None:
        self.conductor = conductor
        self._environment = environment

    def begin(self) -> None:
        """Begin the test."""
        self.conductor.start()

    def end(self) -> None:
        """End the test as stopped by hand, and say how Locust is to exit."""
        self.conductor.end(BY_HAND)
        self._environment.process_exit_code = _exit_code(self.conductor)
        if self._environment.web_ui is None:
            # Locust may have ended the test itself (all workers lost); then it waits for somebody.
            gevent.spawn(_leave, self._environment)

    def wait(self) -> None:
        """Return when the test has ended."""
        self.conductor.over.wait()


class CarryingDriver:
    """Of a worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def begin(self) -> None:
        """Do nothing: the master says when."""

    def end(self) -> None:
        """Deliver what was recorded."""
        self._worker.end()

    def wait(self) -> None:
        """Return when the test has ended."""
        self._worker.wait()


def _add_options(parser: LocustArgumentParser) -> None:
    for flag, settings in LOCUST_OPTIONS.items():
        parser.add_argument(flag, include_in_web_ui=False, **settings)


def _on_init(environment: Environment, runner: Runner, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None

    def hear(heard: Heard) -> None:
        environment.events.request.fire(
            request_type=heard.method,
            name=heard.endpoint,
            response_time=heard.response_s * 1e3,
            response_length=heard.length,
            exception=heard.problem or None,
            context={"service": heard.service, "journey": heard.journey},
        )

    if isinstance(runner, WorkerRunner):
        driver: Driver = CarryingDriver(
            Worker(runner, hear, may_share=not options.no_shared_folder)
        )
        if options.processes:
            _end_with_parent(os.getppid())
    else:
        try:
            order = order_from_options(options)
        except LoadError as error:
            _refuse(str(error))
        if order.plan.parent is not None:
            _end_with_parent(order.plan.parent)
            # Who started this prints the verdict; Locust's own tables would drown it.
            logging.getLogger("locust.stats_logger").disabled = True
        _one_user_per_worker(options, runner)
        crew = (
            (lambda take: Workers(runner, take))
            if isinstance(runner, MasterRunner)
            else (lambda take: Alone(take, hear))
        )
        driver = ConductingDriver(environment, Conductor(order, crew, lambda: _leave(environment)))
    setattr(environment, DRIVER, driver)
    environment.events.test_start.add_listener(lambda **_: driver.begin())
    environment.events.test_stopping.add_listener(lambda **_: driver.end())
    environment.events.quitting.add_listener(lambda **_: driver.end())


def _leave(environment: Environment) -> None:
    """End Locust, or with a web UI only its test."""
    assert environment.runner is not None
    if environment.web_ui is None:
        environment.runner.quit()
    else:
        environment.runner.stop()


def _exit_code(conductor: Conductor) -> int:
    """Return how Locust exits: by the run it stored, or 0 when somebody else judges."""
    if conductor.failure:
        return RUN_FAILED
    if conductor.run is None:
        return MET
    from loadtests.gates import judge_run

    return judge_run(conductor.run).exit_code


def _one_user_per_worker(options: Any, runner: Runner) -> None:
    if options.num_users is None:
        options.num_users = options.expect_workers if isinstance(runner, MasterRunner) else 1
    if options.spawn_rate is None:
        options.spawn_rate = options.num_users


def _end_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            gevent.sleep(_PARENT_EVERY_S)
        os.kill(os.getpid(), signal.SIGTERM)

    gevent.spawn(watch)


def _refuse(text: str) -> None:
    """Say what is wrong and end before anything is sent."""
    sys.stderr.write(f"hoso: {text}\n")
    raise SystemExit(USAGE_WRONG)
