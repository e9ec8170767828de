"""The search: screen by formulas, walk on simulations, confirm on fresh ones."""

from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Executor

from sim.experiment import (
    DEFAULT_ENGINE,
    ClusterError,
    ClusterExecutor,
    EngineName,
    ExperimentError,
    Simulate,
    Tell,
    make_ready,
    offices_of,
    processes_of,
    processes_that_fit,
    workers,
)
from sim.scenario.scenario import Scenario
from sim.sizing.answer import Sizing, Step, short_key
from sim.sizing.knobs import Counts, counts_of, knobs_of, with_counts
from sim.sizing.trial import Runner, Trial, try_candidate
from sim.workload.trace_cache import TraceCache

Progress = Callable[[int, int, str], None]

FRESH = 1_000_000
"""First replication of the confirmations: the search never gets there."""

CONFIRMATIONS = 3
"""How often a confirmation may fail before sizing gives up."""

_GROWTHS = 12
"""How often the search may grow capacity before it says that capacity is not what is missing."""

_MOST = {
    "servers": 1000,
    "cores": 1024,
    "workers": 10_000,
    "tokens": 10_000,
    "officers": 1_000_000,
}


def size(
    scenario: Scenario,
    *,
    processes: int | None = None,
    replications: int | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
    engine: EngineName = DEFAULT_ENGINE,
    tell: Tell | None = None,
    simulate: Simulate | None = None,
) -> Sizing:
    """Find the smallest counts of servers, cores, connections or officers that meet the targets.

    Formulas give each count a lower bound and a start. From there the search grows the count whose
    station is used most until the targets are met, then shrinks one count after another, the
    costliest first, by bisection; every candidate meets the same demand and draws. Response times
    need not fall when capacity grows (they do only in the mean, and with nested pools not even
    then), so a bisection may stop at a local minimum; what is certified is the answer itself, on
    replications that the search has not seen.

    Parameters
    ----------
    scenario : Scenario
        The question; its targets decide.
    processes : int, optional
        Replications that run at the same time; absent: one per core. The answer does not depend on
        it.
    replications : int, optional
        Replications of a trial; absent: the scenario's. The confirmation takes twice as many.
    progress : callable, optional
        Called with (replications done, expected at least, what is being tried).
    executor : Executor, optional
        Where replications run instead of a process pool.
    engine : {"compiled", "simpy"}
        What simulates.
    tell : callable, optional
        Told what is waited for before the first replication.
    simulate : callable, optional
        What simulates instead of the engine.

    Returns
    -------
    Sizing
        Certified or not; never a count without its verdicts.

    Raises
    ------
    ExperimentError
        When the engine cannot run here, a replication does not fit in memory, or a worker died.

    References
    ----------
    Atlason, Epelman and Henderson (2004), Call center staffing with simulation and cutting plane
    methods, Annals of Operations Research 127: service levels by simulation on common random
    numbers. Glasserman and Yao (1992) on when common random numbers help.
    """
    at_once = processes_of(processes)
    if isinstance(executor, ClusterExecutor):
        at_once = max(1, executor.n_threads)
    if executor is None:
        at_once = processes_that_fit(engine, scenario, at_once)
        if simulate is None:
            make_ready(engine, scenario, tell)
    try:
        with (
            TraceCache.temporary(scenario, offices_of(engine)) as traces,
            workers(scenario, executor, at_once, at_once) as pool,
        ):
            run = Runner(pool.executor, at_once, traces, engine, simulate)
            return _Search(scenario, run, replications, progress).answer()
    except ClusterError as error:
        raise ExperimentError(str(error)) from error
    except BrokenExecutor as error:
        raise ExperimentError(
            "a worker process died while sizing, killed or out of memory; try fewer --processes"
        ) from error


class _Search:
    """One search; remembers every candidate it has simulated."""

    def __init__(
        self,
        scenario: Scenario,
        run: Runner,
        replications: int | None,
        progress: Progress | None,
    ) -> None:
        self._scenario = scenario
        self._knobs = knobs_of(scenario)
        self._before = counts_of(scenario, self._knobs)
        self._stations = list(dict.fromkeys(knob.station for knob in self._knobs))
        self._replications = range(max(2, replications or scenario.execution.replications))
        self._run = run
        self._progress = progress
        self._done = 0
        self._label = ""
        self._trials: dict[tuple[int, ...], Trial] = {}
        self._steps: list[Step] = []

    def answer(self) -> Sizing:
        """Search, then confirm; a confirmation that fails makes the answer grow."""
        if not self._scenario.targets:
            return self._unsized(self._before, "The scenario has no targets to meet.")
        if not self._knobs:
            return self._unsized(self._before, "Nothing that could be sized carries any load.")
        counts = {knob.key: knob.start for knob in self._knobs}
        reason = self._grow(counts)
        if reason:
            return self._unsized(counts, reason)
        self._shrink(counts)
        return self._confirmed(counts)

    def _grow(self, counts: Counts) -> str:
        """Grow the busiest count until the targets are met; returns why that was no use."""
        for _ in range(_GROWTHS):
            trial = self._try(counts, "growing")
            if trial.meets:
                return ""
            if not self._add(counts, trial):
                break
        asked = {key: max(counts[key], count) for key, count in self._before.items()}
        trial = self._try(asked, "growing")
        counts |= asked
        if trial.meets:
            return ""
        missed = "; ".join(
            f"{result.target.metric} {result.verdict.reason}" for result in trial.misses
        )
        elsewhere = (
            "gateways, jobs, links, faults"
            if self._scenario.has_portal
            else "the intake, citizens' and agencies' answers, offices too small for leave"
        )
        return (
            f"{len(self._steps)} candidates, each larger than the last, do not help: look at "
            f"{elsewhere}, or at the target itself. Not met: {missed}."
        )

    def _add(self, counts: Counts, trial: Trial) -> bool:
        """Add a quarter to the busiest count that may grow; returns whether there was one."""
        knobs = [knob for knob in self._knobs if counts[knob.key] < _MOST[knob.kind]]
        if not knobs:
            return False
        busiest = max(knobs, key=lambda knob: _known(trial.utilisation(knob.station)))
        count = counts[busiest.key]
        counts[busiest.key] = min(count + max(1, count // 4), _MOST[busiest.kind])
        return True

    def _shrink(self, counts: Counts) -> None:
        """Make every count as small as the targets allow, the others being as they are."""
        for knob in self._knobs:
            low, high = knob.at_least, counts[knob.key]
            while low < high:
                middle = (low + high) // 2
                if self._try(counts | {knob.key: middle}, f"fewer {short_key(knob.key)}").meets:
                    high = middle
                else:
                    low = middle + 1
            counts[knob.key] = high

    def _confirmed(self, counts: Counts) -> Sizing:
        """Judge the answer on fresh replications, so strictly that the whole statement holds."""
        confidence = self._scenario.execution.confidence
        strict = 1 - (1 - confidence) / (len(self._scenario.targets) * CONFIRMATIONS)
        n = 2 * len(self._replications)
        for number in range(CONFIRMATIONS):
            fresh = range(FRESH + number * n, FRESH + (number + 1) * n)
            trial = self._simulated(counts, fresh, strict, "confirming")
            if trial.meets:
                return self._sizing(counts, trial, "")
            if number < CONFIRMATIONS - 1:
                self._add(counts, trial)
        return self._sizing(
            counts,
            trial,
            f"The smallest found did not hold on fresh replications {CONFIRMATIONS} times: "
            "give more --replications.",
        )

    def _try(self, counts: Counts, label: str) -> Trial:
        """Simulate a candidate, or remember it."""
        key = tuple(counts.values())
        if key not in self._trials:
            self._trials[key] = self._simulated(
                counts, self._replications, self._scenario.execution.confidence, label
            )
        return self._trials[key]

    def _simulated(
        self, counts: Counts, replications: Sequence[int], confidence: float, label: str
    ) -> Trial:
        self._label = label
        trial = try_candidate(
            with_counts(self._scenario, counts),
            self._stations,
            replications,
            confidence,
            self._run,
            ran=self._ran,
        )
        why = label if trial.meets else f"{label}: {trial.misses[0].target.metric} not met"
        self._steps.append(Step(dict(counts), trial.meets, why))
        return trial

    def _ran(self) -> None:
        self._done += 1
        if self._progress is not None:
            # Two trials a knob is what a search usually takes, then the confirmation.
            expected = (2 * len(self._knobs) + 2) * len(self._replications)
            self._progress(self._done, max(self._done, expected), self._label)

    def _unsized(self, counts: Counts, reason: str) -> Sizing:
        trial = next(reversed(self._trials.values()), None)
        return self._sizing(counts, trial, reason)

    def _sizing(self, counts: Counts, trial: Trial | None, reason: str) -> Sizing:
        is_certified = trial is not None and not reason
        return Sizing(
            scenario=self._scenario,
            knobs=tuple(self._knobs),
            before=self._before,
            counts=counts,
            is_certified=is_certified,
            confidence=self._scenario.execution.confidence,
            results=[] if trial is None else trial.results,
            confirmed_on=trial.replications if trial is not None and is_certified else (),
            steps=tuple(self._steps),
            reason=reason,
        )


def _known(utilisation: float) -> float:
    """Return a utilisation to compare by; a station without limit is never the busiest."""
    return utilisation if utilisation == utilisation else -1.0
