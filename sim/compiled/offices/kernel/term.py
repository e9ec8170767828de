"""Terms set by law, of one dossier; in the calendar of the office that decides it."""

import math

from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.clock import add, due, worked, worked_now
from sim.compiled.offices.kernel.constants import (
    APOLOGISED,
    LATE_NOTICE,
    PAYING,
    SUPPLEMENTING,
)
from sim.compiled.offices.kernel.places import accepted_s_of, office_of, procedure_of
from sim.compiled.offices.structs import Dossier, World


@kernel
def accept(w: World, number: int, dossier: Dossier) -> None:
    """Set the term of a dossier that is accepted now."""
    dossier.is_accepted = 1
    accepted_s_of(w, number).value = w.now
    _set_term(w, dossier)


@kernel
def go_on_after(w: World, dossier: Dossier, asked_s: float) -> None:
    """Let the clock go on that stood since papers or a fee were asked for."""
    if w.is_restarted:
        _set_term(w, dossier)
        return
    calendar = _calendar_of(w, dossier)
    stood_s = worked_now(w, calendar) - worked(w, calendar, asked_s)
    dossier.due_s = add(w, calendar, dossier.due_s, stood_s)


@kernel
def note_papers(w: World, number: int, dossier: Dossier) -> None:
    """Note whether an examination asks for papers later than the law allows."""
    calendar = _calendar_of(w, dossier)
    since_s = worked_now(w, calendar) - worked(w, calendar, accepted_s_of(w, number).value)
    if since_s > w.notice_s:
        dossier.notes |= LATE_NOTICE


@kernel
def note_apology(w: World, dossier: Dossier) -> None:
    """Note whether an apology is due now."""
    if not dossier.is_accepted or math.isnan(dossier.due_s):
        return
    if procedure_of(w, dossier.procedure).limit_s <= w.apology_s:
        return
    calendar = _calendar_of(w, dossier)
    if worked_now(w, calendar) > worked(w, calendar, dossier.due_s) - w.apology_s:
        dossier.notes |= APOLOGISED


@kernel
def is_standing(dossier: Dossier) -> bool:
    """Return whether the clock stands."""
    return dossier.state in (PAYING, SUPPLEMENTING)


@kernel
def _set_term(w: World, dossier: Dossier) -> None:
    limit_s = procedure_of(w, dossier.procedure).limit_s
    dossier.due_s = due(w, _calendar_of(w, dossier), w.now, limit_s)


@kernel
def _calendar_of(w: World, dossier: Dossier) -> int:
    return office_of(w, dossier.office).calendar
