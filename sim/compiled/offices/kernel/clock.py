"""Working time of a calendar: the expressions of ``sim.calendars.WorkingTime``, in their order.

The present moment only goes on, so each calendar remembers where it is.
"""

import math

from sim.calendars.working_time import DAY_S
from sim.compiled.jit import kernel
from sim.compiled.offices.kernel.constants import BEYOND_CALENDAR
from sim.compiled.offices.kernel.places import calendar_of, span_of
from sim.compiled.offices.structs import Calendar, World


@kernel
def worked_now(w: World, number: int) -> float:
    """Return the working time until now, s."""
    calendar = calendar_of(w, number)
    _come_to_now(w, calendar)
    return calendar.worked


@kernel
def is_open(w: World, number: int) -> bool:
    """Return whether offices are open now."""
    calendar = calendar_of(w, number)
    _come_to_now(w, calendar)
    return calendar.span >= 0 and w.now < span_of(w, calendar.first_span + calendar.span).closes


@kernel
def add_now(w: World, number: int, work_s: float) -> float:
    """Return when work begun now ends, s."""
    calendar = calendar_of(w, number)
    _come_to_now(w, calendar)
    end_s = w.now + work_s
    if calendar.span >= 0 and end_s <= span_of(w, calendar.first_span + calendar.span).closes:
        return end_s
    return max(w.now, _time(w, number, calendar.worked + work_s))


@kernel
def worked(w: World, number: int, t_s: float) -> float:
    """Return the working time until a time, s."""
    calendar = calendar_of(w, number)
    if not (calendar.from_s <= t_s and t_s <= calendar.to_s):
        _fail(w, number, t_s, 0.0)
        return 0.0
    span = _last_begun(w, calendar, t_s)
    return _worked(w, calendar, span, t_s)


@kernel
def add(w: World, number: int, t_s: float, work_s: float) -> float:
    """Return when work begun at a time ends, s."""
    calendar = calendar_of(w, number)
    span = _last_begun(w, calendar, t_s)
    end_s = t_s + work_s
    if span >= 0 and end_s <= span_of(w, calendar.first_span + span).closes:
        return end_s
    return max(t_s, _time(w, number, worked(w, number, t_s) + work_s))


@kernel
def due(w: World, number: int, t_s: float, limit_s: float) -> float:
    """Return the term of what was accepted at a time, s; from the cut-off on the next day counts.

    The expressions are those of ``sim.calendars.law.due``.
    """
    calendar = calendar_of(w, number)
    span = _last_begun(w, calendar, t_s)
    if (t_s - calendar.midnight_s) % DAY_S >= w.cut_off_s:
        days = (t_s - calendar.midnight_s) // DAY_S + 1.0
        span = _first_from(w, calendar, calendar.midnight_s + days * DAY_S)
    elif span >= 0 and t_s < span_of(w, calendar.first_span + span).closes:
        return add(w, number, t_s, limit_s)
    else:
        span += 1
    if span == calendar.n_spans:
        _fail(w, number, t_s, limit_s)
        return math.inf
    return add(w, number, span_of(w, calendar.first_span + span).opens, limit_s)


@kernel
def _come_to_now(w: World, calendar: Calendar) -> None:
    if calendar.at == w.now:
        return
    span, last = calendar.span, calendar.n_spans - 1
    while span < last and span_of(w, calendar.first_span + span + 1).opens <= w.now:
        span += 1
    calendar.span, calendar.at = span, w.now
    calendar.worked = _worked(w, calendar, span, w.now)


@kernel
def _worked(w: World, calendar: Calendar, place: int, t_s: float) -> float:
    if place < 0:
        return 0.0
    span = span_of(w, calendar.first_span + place)
    return span.worked + (min(t_s, span.closes) - span.opens)


@kernel
def _time(w: World, number: int, worked_s: float) -> float:
    """Return the earliest time at which so much is worked, s; infinity beyond the calendar."""
    calendar = calendar_of(w, number)
    if not (worked_s >= 0.0 and worked_s <= calendar.total_s):
        _fail(w, number, math.inf, worked_s)
        return math.inf
    low, high = 0, calendar.n_spans
    while low < high:
        middle = (low + high) >> 1
        if span_of(w, calendar.first_span + middle).worked < worked_s:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return calendar.from_s
    span = span_of(w, calendar.first_span + low - 1)
    return min(span.opens + (worked_s - span.worked), span.closes)


@kernel
def _last_begun(w: World, calendar: Calendar, t_s: float) -> int:
    """Return the last stretch that has begun at a time; -1 before the first."""
    low, high = 0, calendar.n_spans
    while low < high:
        middle = (low + high) >> 1
        if span_of(w, calendar.first_span + middle).opens <= t_s:
            low = middle + 1
        else:
            high = middle
    return low - 1


@kernel
def _first_from(w: World, calendar: Calendar, t_s: float) -> int:
    """Return the first stretch that begins at a time or later."""
    low, high = 0, calendar.n_spans
    while low < high:
        middle = (low + high) >> 1
        if span_of(w, calendar.first_span + middle).opens < t_s:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _fail(w: World, number: int, t_s: float, work_s: float) -> None:
    """Note that a calendar ends too soon."""
    if not w.wants & BEYOND_CALENDAR:
        w.wants |= BEYOND_CALENDAR
        w.failed_calendar, w.failed_from_s, w.failed_work_s = number, t_s, work_s
