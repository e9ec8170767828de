"""Trials: candidates simulated on common random numbers, and judged."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from sim.metrics import Estimate, MetricReader, TargetResult, judged
from sim.metrics.estimates import Observation, combine
from sim.results import Records
from sim.scenario.metric_names import MetricName, parse_metric
from sim.scenario.scenario import Scenario

Simulate = Callable[[Scenario, int], Records]
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


def observe(
    simulate: Simulate, scenario: Scenario, replication: int, metrics: Sequence[str]
) -> Observations:
    """Simulate one replication and keep only what is judged: small enough to send anywhere."""
    records = simulate(scenario, replication)
    reader = MetricReader(scenario, metrics)
    reader.read(records, replication)
    return reader.observations(replication)


def try_candidate(
    scenario: Scenario,
    stations: Sequence[str],
    replications: Sequence[int],
    confidence: float,
    run: "Runner",
) -> Trial:
    """Simulate and judge one candidate.

    Replications come in rounds of as many as run at once. After a round in which every replication
    seen so far (two at least) misses one same target by itself, the rest is left out: common
    random numbers make the next ones miss it too.
    """
    targets = scenario.targets
    metrics = [*{target.metric: None for target in targets}, *map(utilisation_of, stations)]
    seen: dict[int, Observations] = {}
    for start in range(0, len(replications), run.at_once):
        seen |= run(scenario, replications[start : start + run.at_once], metrics)
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
    """Runs replications of a candidate on an executor, and counts them.

    Parameters
    ----------
    executor : Executor
        Where they run.
    at_once : int
        How many run at the same time.
    simulate : Simulate
        The engine.
    ran : callable
        Called after each replication.
    """

    def __init__(
        self, executor: Executor, at_once: int, simulate: Simulate, ran: Callable[[], None]
    ) -> None:
        self._executor = executor
        self.at_once = at_once
        self._simulate = simulate
        self._ran = ran

    def __call__(
        self, scenario: Scenario, replications: Sequence[int], metrics: Sequence[str]
    ) -> dict[int, Observations]:
        """Return the observations of each replication."""
        running = {
            replication: self._executor.submit(
                observe, self._simulate, scenario, replication, metrics
            )
            for replication in replications
        }
        done = {}
        for replication, future in running.items():
            done[replication] = future.result()
            self._ran()
        return done


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
