"""The one exception of a wrong scenario: every flaw at once, in the planner's words."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Where something stands in a scenario: keys, and indices of lists."""

_ALLOWED_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong with a scenario.

    Attributes
    ----------
    place : str
        File, line and dotted key, as far as they are known: ``peak.yaml:12: demand.interval_s``.
    message : str
        The value and what is allowed.
    """

    place: str
    message: str

    def __str__(self) -> str:
        """Return place and message on one line."""
        return f"{self.place}: {self.message}"


class ScenarioError(Exception):
    """A scenario cannot be used; its text is one line for each fault.

    Parameters
    ----------
    faults : iterable of Flaw
        All of them, in the order they are to be read.

    Attributes
    ----------
    faults : tuple of Flaw
        The same.
    """

    def __init__(self, faults: Iterable[Flaw]) -> None:
        self.faults = tuple(faults)
        super().__init__(self.faults)

    def __str__(self) -> str:
        """Return one line for each fault."""
        return "\n".join(str(fault) for fault in self.faults)


def dotted(path: Path) -> str:
    """Return a path as people write it, such as ``portal.endpoints.search.program.0``."""
    return ".".join(str(key) for key in path)


def closest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that was probably meant, or None."""
    by_lower_case = {name.lower(): name for name in allowed}
    found = difflib.get_close_matches(word.lower(), by_lower_case, n=1, cutoff=0.6)
    return by_lower_case[found[0]] if found else None


def advice(word: str, allowed: Iterable[str], *, label: str = "allowed") -> str:
    """Return what to write instead of an unknown word, to put behind the message.

    Parameters
    ----------
    word : str
        What was written.
    allowed : iterable of str
        What may be written.
    label : str
        Text before the list of allowed words.
    """
    names = list(allowed)
    meant = closest(word, names)
    shown = ", ".join(names[:_ALLOWED_SHOWN]) + (", …" if len(names) > _ALLOWED_SHOWN else "")
    question = f"; did you mean {meant}? " if meant else "; "
    return f"{question}{label}: {shown or 'none'}"
