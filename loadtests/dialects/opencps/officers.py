"""An officer at the one-stop desk of an OpenCPS portal: list, dossier, action."""

from functools import partial

from loadtests.dialects.base import Acknowledgement, Answer, Reading
from loadtests.dialects.encoding import (
    Fields,
    Json,
    WrongContentError,
    in_path,
    listing,
    text_of,
    with_query,
)
from loadtests.dialects.opencps.dossiers import act, action_dialog, is_at, next_actions, of
from loadtests.dialects.opencps.services import any_list, get
from loadtests.dialects.opencps.session import MAIN, PAGE_ROWS, NextAction, Session
from loadtests.dialects.visiting import Exchange, Moment
from sim.streams import child_key, uniform

WORK_STEPS = "130,200,210,300"
"""Steps at which an officer can act. # source: default service process of OpenCPS."""

_OTHER_AGENCY_STEP = "210"
"""Step of a dossier that waits for another agency."""

OTHER_AGENCY_SHARE = 0.2
"""Chance that another agency is asked where it can be.

Derived: a dossier takes five actions of officers on its straight way, and officers come 5.5 times
for each dossier filed online, because they also work on those of the desk, which a load test does
not file. Each detour adds two actions, and after it the choice is there again: 2 p / (1 - p) = 0.5.
"""

_REMEMBERED = 10_000


class Desk:
    """Dossiers in the hands of this process's officers, so that no two act on one.

    A dossier is taken when an officer opens it and given back when it has moved on. The hands of
    officers who gave up in between are emptied when the desk is full, the oldest first.
    """

    def __init__(self) -> None:
        self._holder: dict[str, str] = {}

    def held_by(self, user_name: str) -> int:
        """Return how many dossiers one officer's sessions hold."""
        return sum(holder == user_name for holder in self._holder.values())

    def take(self, rows: list[Json], user_name: str, key: int) -> Json | None:
        """Take one of these dossiers; None when all are in somebody's hands."""
        free = [row for row in rows if text_of(row.get("dossierId")) not in self._holder]
        if not free:
            return None
        row = free[key % len(free)]
        if len(self._holder) >= _REMEMBERED:
            del self._holder[next(iter(self._holder))]
        self._holder[text_of(row.get("dossierId"))] = user_name
        return row

    def give_back(self, number: str) -> None:
        """Give a dossier back."""
        self._holder.pop(number, None)


def work_list(s: Session, _m: Moment, *, desk: Desk) -> Exchange:
    """Read the work list and take a dossier from it."""
    start = desk.held_by(s.user_name) // PAGE_ROWS * PAGE_ROWS
    return get(s, _list_path(start), partial(_take, s, desk))


def reload_list(s: Session, _m: Moment) -> Exchange:
    """Read the work list again."""
    return get(s, _list_path(0), any_list)


def _list_path(start: int) -> str:
    query: Fields = {
        "step": WORK_STEPS,
        "order": "true",
        "start": start,
        "end": start + PAGE_ROWS,
    }
    return with_query(f"{MAIN}/dossiers/todo", query)


def _take(s: Session, desk: Desk, answer: Answer) -> Reading:
    total, rows = listing(answer.body)
    row = desk.take(rows, s.user_name, s.key)
    if row is None:
        raise WrongContentError(
            f"the work list of {s.user_name} has no free dossier ({total} in all): "
            "the portal needs more officers, or more dossiers that wait for them"
        )
    s.learn_dossier(row)
    return Reading("ok")


def counters(s: Session, _m: Moment) -> Exchange:
    """Dossiers per step."""
    return get(s, f"{MAIN}/statistics/dossiers/todo", any_list)


def count(s: Session, _m: Moment) -> Exchange:
    """Dossiers that wait for the officer altogether."""
    path = with_query(f"{MAIN}/dossiers/todo", {"step": WORK_STEPS, "start": 0, "end": 1})
    return get(s, path, any_list)


def dialog(s: Session, m: Moment) -> Exchange:
    """Choose an action and open its dialog."""
    choose(s)
    return action_dialog(s, m)


def dialog_payload(s: Session, m: Moment) -> Exchange:
    """Read what the action's form is filled with."""
    if s.chosen is None:
        return next_actions(s, m)
    path = of(s, f"/nextactions/{in_path(s.chosen.number)}/payload")
    return get(s, path, _anything)


def assigned(s: Session, _m: Moment) -> Exchange:
    """Read who works on the dossier."""
    return get(s, of(s, "/users"), _anything)


def _anything(_answer: Answer) -> Reading:
    return Reading("ok")


def choose(s: Session) -> None:
    """Choose what to do: the straight way, now and then another agency is asked."""
    if s.chosen is not None or not s.actions:
        return
    detour = [action for action in s.actions if action.after_step == _OTHER_AGENCY_STEP]
    is_detour = detour and uniform(child_key(s.key, s.index), 0, 0) < OTHER_AGENCY_SHARE
    s.chosen = detour[0] if is_detour else s.actions[0]


def decide(s: Session, m: Moment, *, desk: Desk) -> Exchange:
    """Do the chosen action."""
    choose(s)
    action = s.chosen or NextAction("", "", "")
    number = s.dossier.number
    moved = Acknowledgement("action", number, s.dossier.note, action.code)
    verify = partial(_moved_on, desk, number, action.after_step)
    return act(s, m, action.code, verify, moved, note=s.reference(m.request))


def _moved_on(desk: Desk, number: str, step: str, row: Json) -> None:
    is_at(step, row)
    desk.give_back(number)
