"""Terms of the one-stop law, in working time.

All times are in s from the origin of a `WorkingTime`; limits are working time in s. What the
articles say is in ``scenarios/calendars/law-one-stop.yaml`` as numbers; here is how they count.
"""

from sim.calendars.working_time import WorkingTime


def counted_from(working_time: WorkingTime, received_s: float, cut_off_s: float) -> float:
    """Return when the time to answer a dossier begins, s.

    From the cut-off on that is the next working day's first opening; before it the moment of
    reception, or while closed the next opening.

    Parameters
    ----------
    working_time : WorkingTime
        The office's.
    received_s : float
        Reception.
    cut_off_s : float
        Time of day, s since midnight; 86400 or later: none.

    References
    ----------
    Decree 61/2018/ND-CP, art. 17-19, and Decree 118/2025/ND-CP, art. 18(2): a dossier handed in
    after 15:00 may be passed on at the beginning of the next working day. That its limit counts
    from then is common practice (procedures of civil status say so), not the decrees' text.
    """
    if working_time.time_of_day(received_s) >= cut_off_s:
        return working_time.next_day_opening(received_s)
    return working_time.next_opening(received_s)


def due(
    working_time: WorkingTime, received_s: float, limit_s: float, cut_off_s: float = 86400.0
) -> float:
    """Return when a dossier is to be answered, s.

    Parameters
    ----------
    working_time : WorkingTime
        The office's.
    received_s : float
        Reception.
    limit_s : float
        Working time allowed, s, >= 0.
    cut_off_s : float
        As in `counted_from`; absent: none.

    References
    ----------
    Decree 118/2025/ND-CP, art. 17(3): the time counts from the complete dossier's reception.
    """
    return working_time.add(counted_from(working_time, received_s, cut_off_s), limit_s)


def resumed(working_time: WorkingTime, due_s: float, asked_s: float, answered_s: float) -> float:
    """Return the due date after the clock stood still for the citizen's answer, s.

    Parameters
    ----------
    working_time : WorkingTime
        The office's.
    due_s : float
        Due date before.
    asked_s, answered_s : float
        When papers were asked for and came; their working time is added to the due date.

    References
    ----------
    OpenCPS v2, ``dateOption`` 3.
    """
    return working_time.add(due_s, working_time.between(asked_s, answered_s))


def restarted(
    working_time: WorkingTime, answered_s: float, limit_s: float, cut_off_s: float = 86400.0
) -> float:
    """Return the due date of the new period that begins with the citizen's answer, s.

    Parameters
    ----------
    working_time : WorkingTime
        The office's.
    answered_s : float
        When the dossier became complete.
    limit_s, cut_off_s : float
        As in `due`.

    References
    ----------
    Decree 61/2018/ND-CP, art. 17-19: the clock restarts when the dossier is complete.
    """
    return due(working_time, answered_s, limit_s, cut_off_s)


def supplement_by(working_time: WorkingTime, counted_s: float, notice_s: float) -> float:
    """Return the last moment to tell a citizen what is missing, s.

    Parameters
    ----------
    working_time : WorkingTime
        The office's.
    counted_s : float
        When the dossier's time began, `counted_from`.
    notice_s : float
        Working time allowed, s.

    References
    ----------
    Decree 61/2018/ND-CP, art. 17-19: notice within three working days.
    """
    return working_time.add(counted_s, notice_s)


def may_ask_supplement(times_asked: int, supplements_max: int | None) -> bool:
    """Say whether papers may be asked for again; ``None`` is no limit.

    References
    ----------
    Decree 61/2018/ND-CP, art. 17-19, and Decree 118/2025/ND-CP, art. 17(2)(a): all that is missing
    is told once, fully.
    """
    return supplements_max is None or times_asked < supplements_max


def apology_by(working_time: WorkingTime, due_s: float, notice_s: float) -> float:
    """Return the last moment of work at which an apology is in time, s.

    Parameters
    ----------
    working_time : WorkingTime
        The office's.
    due_s : float
        Due date; beyond its stretch, or so near its start that the notice would begin before it,
        ValueError is raised.
    notice_s : float
        Working time before the due date, s, > 0.

    References
    ----------
    Decree 61/2018/ND-CP, art. 17-19: at least one day before the time expires.
    """
    return working_time.time(working_time.worked(due_s) - notice_s)


def may_apologise(
    working_time: WorkingTime, at_s: float, due_s: float, notice_s: float, *, apologised: bool
) -> bool:
    """Say whether a new date may still be set: once, and in time.

    Parameters
    ----------
    working_time : WorkingTime
        The office's.
    at_s, due_s : float
        Now, and the due date.
    notice_s : float
        Working time the apology must lead, s.
    apologised : bool
        Whether it has been done before.

    References
    ----------
    Decree 61/2018/ND-CP, art. 17-19: at most once, at least one day before the time expires.
    """
    return not apologised and working_time.between(at_s, due_s) >= notice_s


def promised(working_time: WorkingTime, due_s: float, extension_s: float) -> float:
    """Return the new date of an apology, s: ``extension_s`` of working time after the old one."""
    return working_time.add(due_s, extension_s)
