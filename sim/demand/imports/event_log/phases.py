"""Phases of a case: from one activity to another, in working time."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.imports.event_log.model import Events
from sim.demand.imports.event_log.week import WorkedWeek
from sim.demand.imports.tables import ImportFileError

START, FIRST, LAST = "start", "first", "last"
"""Words that stand for a case's start, its first and its last event."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a case.

    Attributes
    ----------
    name : str
        Its name.
    from_what, to_what : str
        Activities, or ``start``, ``first``, ``last``. It runs from the first time ``from_what``
        is completed to the first time ``to_what`` is completed at or after that.
    """

    name: str
    from_what: str
    to_what: str

    def text(self) -> str:
        """Return what bounds it."""
        return f"{self.from_what} to {self.to_what}"


def default_phases(*, has_starts: bool) -> tuple[Phase, ...]:
    """Return the phases of a log nobody has described.

    Reception is all the log holds of a case: its first to its last event. Where cases state a
    start, the wait from there to the first event is a phase of its own.
    """
    reception = Phase("reception", FIRST, LAST)
    return (reception, Phase("wait", START, FIRST)) if has_starts else (reception,)


def parse_phases(texts: Sequence[str], activities: Sequence[str]) -> tuple[Phase, ...]:
    """Return phases written as ``NAME=FROM..TO``.

    Parameters
    ----------
    texts : sequence of str
        Phases.
    activities : sequence of str
        What the log knows.

    Raises
    ------
    ImportFileError
        When one is not written so, or names an activity the log lacks.
    """
    phases = []
    for text in texts:
        name, equals, rest = text.partition("=")
        from_what, dots, to_what = (part.strip() for part in rest.partition(".."))
        if not (name.strip() and equals and dots and from_what and to_what):
            raise ImportFileError(
                f"phase {text!r}: must be NAME=FROM..TO, such as 'reception=first..last' or "
                f"'check={activities[0]}..last'"
            )
        for what, words in ((from_what, (START, FIRST)), (to_what, (FIRST, LAST))):
            if what not in words and what not in activities:
                raise ImportFileError(
                    f"phase {name.strip()}: no activity {what!r}; {_nearest(what, activities)} "
                    f"Allowed: an activity of the log, or {' or '.join(words)}"
                )
        phases.append(Phase(name.strip(), from_what, to_what))
    names = [phase.name for phase in phases]
    if len(set(names)) < len(names):
        raise ImportFileError(f"phases must have different names: {', '.join(names)}")
    return tuple(phases)


@dataclass(frozen=True, slots=True)
class Passage:
    """How cases went through one phase; cases that never entered it are left out.

    Attributes
    ----------
    case : NDArray of int, shape (n,)
        Cases.
    duration_s : NDArray, shape (n,)
        Working time, s; NaN: the end was not reached while the log ran.
    """

    case: NDArray[np.int64]
    duration_s: NDArray[np.float64]

    @property
    def done_s(self) -> NDArray[np.float64]:
        """Working time of those that reached the end, s."""
        return self.duration_s[np.isfinite(self.duration_s)]


def passage(phase: Phase, events: Events, activities: Sequence[str], week: WorkedWeek) -> Passage:
    """Return how cases went through a phase.

    Parameters
    ----------
    phase : Phase
        The phase.
    events : Events
        What happened; cases without an event are unknown.
    activities : sequence of str
        Names of the activities.
    week : WorkedWeek
        The office's hours.
    """
    n_events = len(events.case)
    if not n_events:
        return Passage(np.zeros(0, np.int64), np.zeros(0))
    firsts = np.flatnonzero(np.diff(events.case, prepend=-1))
    lasts = np.append(firsts[1:], n_events) - 1
    n_cases = len(events.start_s)
    present = events.case[firsts]
    from_index = np.full(n_cases, n_events)
    if phase.from_what in activities:
        _set_first(from_index, events, np.flatnonzero(_is(events, activities, phase.from_what)))
    else:
        from_index[present] = firsts
    to_index = np.full(n_cases, n_events)
    if phase.to_what in activities:
        is_end = _is(events, activities, phase.to_what)
        is_end &= np.arange(n_events) >= from_index[events.case]
        _set_first(to_index, events, np.flatnonzero(is_end))
    else:
        to_index[present] = firsts if phase.to_what == FIRST else lasts
    case = np.flatnonzero(from_index < n_events)
    from_s = events.time_s[from_index[case]]
    if phase.from_what == START and START not in activities:
        from_s = events.start_s[case]
    is_done = to_index[case] < n_events
    duration_s = np.full(len(case), np.nan)
    to_s = events.time_s[to_index[case][is_done]]
    clock = week.clock(float(np.nanmin(events.start_s)), float(events.time_s.max()))
    duration_s[is_done] = clock.between_s(from_s[is_done], to_s)
    return Passage(case, duration_s)


def _is(events: Events, activities: Sequence[str], name: str) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = events.activity == list(activities).index(name)
    return result


def _set_first(index: NDArray[np.int64], events: Events, places: NDArray[np.int64]) -> None:
    """Set the first place of each case that has one."""
    cases, first = np.unique(events.case[places], return_index=True)
    index[cases] = places[first]


def _nearest(what: str, activities: Sequence[str]) -> str:
    close = difflib.get_close_matches(what, activities, n=3, cutoff=0.3) or sorted(activities)[:5]
    return f"nearest: {', '.join(map(repr, close))}."
