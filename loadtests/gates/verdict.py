"""Whether a run passes: first whether it can be trusted, then its targets, then its slowdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loadtests.gates.slowdown import Against
from loadtests.gates.trust import Trust, is_complete, trust_of
from sim.exit_codes import MET, MISSED, RUN_FAILED, UNTRUSTWORTHY
from sim.metrics import TargetResult, estimate_all, judged
from sim.report.verdict import headline
from sim.results import Run
from sim.scenario.run import Target

Outcome = Literal["met", "missed", "cannot_tell", "interrupted", "untrustworthy"]

EXIT_CODES: dict[Outcome, int] = {
    "met": MET,
    "missed": MISSED,
    "cannot_tell": MISSED,
    "interrupted": RUN_FAILED,
    "untrustworthy": UNTRUSTWORTHY,
}
"""Exit code of each outcome."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """The answer of the gate.

    Attributes
    ----------
    run : Run
        What was judged.
    trust : Trust
        Whether it can be.
    targets : tuple of TargetResult
        Every target with its estimate and verdict; of a run that is not trusted for information.
    against : Against or None
        How it compares with a base run.
    """

    run: Run
    trust: Trust
    targets: tuple[TargetResult, ...]
    against: Against | None = None

    @property
    def outcome(self) -> Outcome:
        """The answer in one word: trust before completeness before targets."""
        if not self.trust.is_given:
            return "untrustworthy"
        if not self.is_complete:
            return "interrupted"
        answers = [result.verdict.answer for result in self.targets]
        if self.against is not None:
            # Only a slowdown that is certain counts; two runs always differ a little.
            is_slower = any(each.verdict.answer == "missed" for each in self.against.slowdowns)
            answers += ["missed"] if is_slower else []
        if "missed" in answers:
            return "missed"
        return "cannot_tell" if "cannot_tell" in answers else "met"

    @property
    def exit_code(self) -> int:
        """The answer as an exit code (``sim.exit_codes``)."""
        return EXIT_CODES[self.outcome]

    @property
    def is_complete(self) -> bool:
        """Whether everything planned was done."""
        return is_complete(self.run)

    @property
    def sentence(self) -> str:
        """The answer in one sentence."""
        if not self.trust.is_given:
            return "Not judged: the measurement cannot be trusted."
        if not self.is_complete:
            return "Not judged: the run was interrupted, so it does not show the whole window."
        slower = [] if self.against is None else self.against.slower
        told = headline(self.targets).text if self.targets else ""
        if not slower:
            return told or "Passes: no slowdown is certain."
        listed = "; ".join(f"{each.metric} {each.verdict.reason}" for each in slower)
        return f"{told} Slower than the base: {listed}.".strip()


def judge_run(
    run: Run, targets: Sequence[Target] | None = None, against: Against | None = None
) -> GateResult:
    """Judge a run.

    Parameters
    ----------
    run : Run
        Simulated or measured.
    targets : sequence of Target, optional
        What must hold; absent: the targets of its scenario.
    against : Against, optional
        Comparison with a base run, already made.
    """
    wanted = run.scenario.targets if targets is None else tuple(targets)
    metrics = [target.metric for target in wanted]
    estimates = estimate_all(run, run.scenario, metrics)
    return GateResult(run, trust_of(run), tuple(judged(wanted, estimates)), against)
