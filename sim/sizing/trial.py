"""Trials: candidates simulated on common random numbers, and judged."""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import dataclass

from sim.experiment import EngineName, Simulate, simulator
from sim.metrics import Estimate, MetricReader, TargetResult, judged
from sim.metrics.estimates import Observation, combine
from sim.scenario.metric_names import MetricName, parse_metric
from sim.scenario.scenario import Scenario
from sim.workload.trace_cache import TraceCache

Observations = dict[MetricName, Observation]


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate, simulated.

    Attributes
    ----------
    estimates : dict of str to Estimate
        Metrics of the targets and of the knobs' stations.
    results : list of TargetResult
        Verdicts on the targets.
    replications : tuple of int
        Replications that were run; fewer than asked for when the answer was plain.
    """

    estimates: dict[str, Estimate]
    results: list[TargetResult]
    replications: tuple[int, ...]

    @property
    def meets(self) -> bool:
        """Whether every target is shown to be met."""
        return all(result.verdict.answer == "met" for result in self.results)

    @property
    def misses(self) -> list[TargetResult]:
        """Targets that are missed or undecided."""
        return [result for result in self.results if result.verdict.answer != "met"]

    def utilisation(self, station: str) -> float:
        """Return the mean utilisation of a station."""
        return self.estimates[utilisation_of(station)].value


def utilisation_of(station: str) -> str:
    """Return the metric of a station's mean utilisation."""
    return f"{station}.utilisation.mean"


@dataclass(frozen=True, slots=True)
class Observe:
    """Simulates replications of one candidate and keeps only what is judged.

    Attributes
    ----------
    scenario : Scenario
        The candidate.
    metrics : tuple of str
        What is judged.
    traces : TraceCache
        The demand, the same for all candidates.
    engine : EngineName
        What simulates.
    simulate : Simulate or None
        What simulates instead.
    """

    scenario: Scenario
    metrics: tuple[str, ...]
    traces: TraceCache
    engine: EngineName
    simulate: Simulate | None

    def __call__(self, replication: int) -> Observations:
        """Return what one replication says: small enough to send anywhere."""
        simulate = self.simulate or simulator(self.engine, self.scenario)
        records = simulate(
            self.scenario, replication, self.traces.of(self.scenario).trace(replication)
        )
        reader = MetricReader(self.scenario, self.metrics)
        reader.read(records, replication)
        return reader.observations(replication)


def try_candidate(
    scenario: Scenario,
    stations: Sequence[str],
    replications: Sequence[int],
    confidence: float,
    run: "Runner",
    *,
    ran: Callable[[], None],
) -> Trial:
    """Simulate and judge one candidate.

    Once every replication seen so far (two at least) misses one same target by itself, the rest is
    left out: common random numbers make the next ones miss it too. They are looked at in their
    order, so the trial does not depend on how many run at once.
    """
    targets = scenario.targets
    metrics = [*{target.metric: None for target in targets}, *map(utilisation_of, stations)]
    seen: dict[int, Observations] = {}
    with closing(run(scenario, replications, metrics)) as observed:
        for replication, observations in observed:
            seen[replication] = observations
            ran()
            if len(seen) > 1 and _is_hopeless(scenario, seen):
                break
    estimates = {
        metric: combine(
            parse_metric(metric),
            {index: observations[parse_metric(metric)] for index, observations in seen.items()},
            confidence,
        )
        for metric in metrics
    }
    return Trial(estimates, judged(targets, estimates), tuple(seen))


class Runner:
    """Runs replications of candidates on an executor.

    Parameters
    ----------
    executor : Executor
        Where they run.
    at_once : int
        How many run at the same time.
    traces : TraceCache
        Their demand.
    engine : {"compiled", "simpy"}
        What simulates.
    simulate : Simulate or None
        What simulates instead.
    """

    def __init__(
        self,
        executor: Executor,
        at_once: int,
        traces: TraceCache,
        engine: EngineName,
        simulate: Simulate | None,
    ) -> None:
        self._executor = executor
        self._at_once = at_once
        self._traces = traces
        self._engine = engine
        self._simulate = simulate

    def __call__(
        self, scenario: Scenario, replications: Sequence[int], metrics: Sequence[str]
    ) -> Generator[tuple[int, Observations], None, None]:
        """Yield the observations of each replication, in order; what nobody asks for is not run."""
        observe = Observe(scenario, tuple(metrics), self._traces, self._engine, self._simulate)
        waiting = deque(replications)
        running: deque[tuple[int, Future[Observations]]] = deque()
        try:
            while waiting or running:
                while waiting and len(running) < self._at_once:
                    replication = waiting.popleft()
                    running.append((replication, self._executor.submit(observe, replication)))
                replication, future = running.popleft()
                yield replication, future.result()
        finally:
            for _, future in running:
                future.cancel()


def _is_hopeless(scenario: Scenario, seen: dict[int, Observations]) -> bool:
    """Whether some target is missed in every replication taken by itself."""
    for target in scenario.targets:
        metric = parse_metric(target.metric)
        values = [observations[metric].value for observations in seen.values()]
        if target.at_most is not None and all(value > target.at_most for value in values):
            return True
        if target.at_least is not None and all(value < target.at_least for value in values):
            return True
    return False
