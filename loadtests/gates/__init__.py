"""The gate: may this run pass? The verdict, and the files other programs read it from."""

from loadtests.gates.trust import Trust, trust_of
from loadtests.gates.verdict import GateResult, Outcome, judge_run

__all__ = ["GateResult", "Outcome", "Trust", "judge_run", "trust_of"]
