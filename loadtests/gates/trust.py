"""Whether the records of a run can be judged at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from sim.report.wording import plural
from sim.results import Run

_TRUSTWORTHY = "trustworthy"


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether the records of a run can be judged.

    Attributes
    ----------
    is_given : bool
        Whether they can.
    reasons : tuple of str
        Why not; empty otherwise.
    figures : mapping of str to JSON value
        What the measurement says of itself; empty for a simulated run.
    """

    is_given: bool
    reasons: tuple[str, ...] = ()
    figures: Mapping[str, JsonValue] = field(default_factory=dict)


def trust_of(run: Run) -> Trust:
    """Return whether a run can be judged.

    A measured run must say itself that it is trustworthy; the records of any run must be sound.
    """
    trust = run.manifest.trust
    reasons = _broken(run)
    figures: Mapping[str, JsonValue] = {}
    if isinstance(trust, dict):
        stated = trust.get("figures")
        figures = stated if isinstance(stated, dict) else {}
    if run.manifest.source == "measured" or trust is not None:
        reasons = [*_doubts(trust), *reasons]
    return Trust(not reasons, tuple(reasons), figures)


def is_complete(run: Run) -> bool:
    """Return whether everything planned was done."""
    return run.manifest.status == "complete"


def _doubts(trust: JsonValue) -> list[str]:
    """Return why a measurement does not call itself trustworthy."""
    if not isinstance(trust, dict):
        return ["the run says nothing about its own measurement; measure it again"]
    if trust.get("verdict") == _TRUSTWORTHY:
        return []
    stated = trust.get("reasons")
    reasons = [str(reason) for reason in stated] if isinstance(stated, list) else []
    return reasons or [f"the measurement calls itself {trust.get('verdict')}, without a reason"]


def _broken(run: Run) -> list[str]:
    """Return what the run's own check of its records found."""
    found = run.summary.get("conservation")
    if not isinstance(found, list) or not found:
        return []
    return [f"the records are broken ({plural(len(found), 'finding')}): {found[0]}"]
