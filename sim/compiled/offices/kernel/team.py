"""Teams: one queue, and as many servers as officers are present."""

import math

from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.clock import add_now, is_open, worked, worked_now
from sim.compiled.offices.kernel.constants import IN_HAND, NONE, OFFICER, TASK_DONE, WORKING
from sim.compiled.offices.kernel.draws import work_s
from sim.compiled.offices.kernel.events import go_on_now, set_timer
from sim.compiled.offices.kernel.level import advance
from sim.compiled.offices.kernel.places import (
    calendar_of,
    dossier_of,
    opening_of,
    place_of,
    present_of,
    role_of,
    team_at,
    team_of,
    visit_dossier_of,
    visit_ended_s_of,
    visit_ready_s_of,
    visit_started_s_of,
    visit_state_of,
    visit_team_of,
)
from sim.compiled.offices.kernel.queue import hand_over, put, take_back, take_first, waits
from sim.compiled.offices.structs import Dossier, Team, World


@kernel
def come(w: World, number: int, which: int) -> None:
    """Bring a dossier to a team: begun at once if it can be, else it waits."""
    dossier, place, team = dossier_of(w, number), place_of(w, number), team_of(w, which)
    w.comings += 1
    place.rank = dossier.due_s if role_of(w, team.role).is_due_first else w.now
    place.number = w.comings
    dossier.team, dossier.visit = which, NONE
    is_begun = team.at_work < team.present and is_open(w, team.calendar)
    for at in (team.office_level, team.role_level):
        level = advance(w, at)
        level.arrivals += 1
        if not is_begun:
            level.queue += 1.0
        else:
            level.busy += 1.0
    if is_begun:
        _begin(w, team, number)
    else:
        put(w, team, number)


@kernel
def open_calendar(w: World, number: int) -> None:
    """Officers of a calendar's offices come to work."""
    calendar = calendar_of(w, number)
    day = opening_of(w, calendar.next_opening).day
    for at in range(calendar.first_team, calendar.stop_team):
        which = team_at(w, at).value
        _open(w, team_of(w, which), present_of(w, which * w.n_days + day).value)
    calendar.next_opening += 1


@kernel
def finish(w: World, number: int) -> None:
    """A task ends: its team takes the next, the dossier goes on."""
    dossier = dossier_of(w, number)
    team = team_of(w, dossier.team)
    dossier.waited[IN_HAND] += w.now - dossier.since
    dossier.since = w.now
    visit_ended_s_of(w, dossier.visit).value = w.now
    take_back(w, team, number)
    team.at_work -= 1
    for at in (team.office_level, team.role_level):
        level = advance(w, at)
        level.departures += 1
        level.busy -= 1.0
    _take(w, team)
    go_on_now(w, number, TASK_DONE)


@kernel
def _open(w: World, team: Team, present: int) -> None:
    """Officers of a team come; what they cannot go on with waits, what waits is taken."""
    for at in (team.office_level, team.role_level):
        level = advance(w, at)
        level.capacity += present - team.present
    team.present = present
    while team.at_work > present:
        _put_back(w, team, team.last)
    _take(w, team)


@kernel
def _take(w: World, team: Team) -> None:
    """Begin what waits, as long as somebody is free."""
    while waits(w, team) and team.at_work < team.present and is_open(w, team.calendar):
        for at in (team.office_level, team.role_level):
            level = advance(w, at)
            level.queue -= 1.0
            level.busy += 1.0
        _begin(w, team, take_first(w, team))


@kernel
def _begin(w: World, team: Team, number: int) -> None:
    """Begin a task, or go on with it."""
    dossier = dossier_of(w, number)
    if dossier.visit == NONE:
        dossier.work_s = work_s(w, role_of(w, team.role), dossier)
        _note_visit(w, dossier, number)
    dossier.waited[OFFICER] += w.now - dossier.since
    dossier.since = w.now
    hand_over(w, team, number)
    team.at_work += 1
    set_timer(w, number, WORKING, add_now(w, team.calendar, dossier.work_s) - w.now)


@kernel
def _put_back(w: World, team: Team, number: int) -> None:
    """Put a task in hand back into the queue, with the work that is left."""
    dossier = dossier_of(w, number)
    begun_s, dossier.since = dossier.since, w.now
    dossier.stamp = NONE
    done_s = worked_now(w, team.calendar) - worked(w, team.calendar, begun_s)
    dossier.work_s = max(dossier.work_s - done_s, 0.0)
    dossier.waited[IN_HAND] += w.now - begun_s
    take_back(w, team, number)
    team.at_work -= 1
    for at in (team.office_level, team.role_level):
        level = advance(w, at)
        level.busy -= 1.0
        level.queue += 1.0
    put(w, team, number)


@kernel
def _note_visit(w: World, dossier: Dossier, number: int) -> None:
    """Append a row for a task."""
    at = w.n_visits
    w.n_visits += 1
    dossier.visit = at
    visit_dossier_of(w, at).value = number
    visit_state_of(w, at).value = dossier.state
    visit_team_of(w, at).value = dossier.team
    visit_ready_s_of(w, at).value = dossier.since
    visit_started_s_of(w, at).value = w.now
    visit_ended_s_of(w, at).value = math.nan
