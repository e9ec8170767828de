"""Working time at the present moment, which only goes on: where it is needs no search."""

from sim.calendars import WorkingTime


class OfficeClock:
    """The open time of one calendar, asked at moments that never go back.

    The expressions are those of ``WorkingTime``, with the last stretch that has begun remembered.

    Attributes
    ----------
    hours : WorkingTime
        The calendar.
    """

    __slots__ = (
        "_closes_s",
        "_index",
        "_next_opening_s",
        "_opens_s",
        "_spans",
        "_worked_s",
        "hours",
    )

    def __init__(self, hours: WorkingTime) -> None:
        self.hours = hours
        columns = (hours.opens_s, hours.closes_s, hours.worked_s)
        self._spans = list(zip(*(column.tolist() for column in columns), strict=True))
        self._index = -1
        self._opens_s = self._closes_s = hours.from_s
        self._worked_s = 0.0
        self._next_opening_s: float = self._spans[0][0]

    def is_open(self, now: float) -> bool:
        """Say whether the office is open: at an opening it is, at a closing not."""
        if now >= self._next_opening_s:
            self._go_on(now)
        return now < self._closes_s

    def worked(self, now: float) -> float:
        """Return the working time until now, s."""
        if now >= self._next_opening_s:
            self._go_on(now)
        closes_s = self._closes_s
        return self._worked_s + ((now if now < closes_s else closes_s) - self._opens_s)

    def add(self, now: float, work_s: float) -> float:
        """Return when work begun now ends, s, never before now."""
        if now >= self._next_opening_s:
            self._go_on(now)
        end_s = now + work_s
        if end_s <= self._closes_s:
            return end_s
        return max(self.hours.time(self.worked(now) + work_s), now)

    def _go_on(self, now: float) -> None:
        """Come to the last stretch that has begun."""
        spans, index = self._spans, self._index
        while index + 1 < len(spans) and spans[index + 1][0] <= now:
            index += 1
        self._index = index
        self._opens_s, self._closes_s, self._worked_s = spans[index]
        is_last = index + 1 == len(spans)
        self._next_opening_s = self.hours.to_s if is_last else spans[index + 1][0]
