"""The index of Decision 766 on serving citizens and enterprises, as far as these data allow.

The index gives 100 points in real time. What officers and the portal do in a simulation decides
its progress component alone; the others rest on what people see, pay, scan and think.

References
----------
Decision 766/QĐ-TTg of 23 June 2022: components and their points.
"""

import math
from dataclasses import dataclass
from typing import Literal

Name = Literal["transparency", "progress", "online services", "digitisation", "satisfaction"]

POINTS: dict[Name, int] = {
    "transparency": 18,
    "progress": 20,
    "online services": 22,
    "digitisation": 22,
    "satisfaction": 18,
}
"""Most points of each component. # source: Decision 766/QĐ-TTg; those of online services are what
the published ones leave of 100."""

_WHY_NOT: dict[Name, str] = {
    "transparency": "whether procedures are published and dossiers' states shown is not simulated",
    "online services": "it rests on which procedures are offered and paid online, an input here",
    "digitisation": "whether papers and results are digitised is not simulated",
    "satisfaction": "what citizens think and complain of is not simulated",
}
_NO_TERM = "no term ends in the judged window; simulate longer than the terms"


@dataclass(frozen=True, slots=True)
class Component:
    """One component of the index.

    Attributes
    ----------
    name : str
        Its name.
    most : int
        Most points it gives.
    points : float or None
        Points, 0 to ``most``; None when these data cannot tell.
    reason : str or None
        Why they cannot.
    """

    name: Name
    most: int
    points: float | None
    reason: str | None = None


def components(on_time_share: float) -> tuple[Component, ...]:
    """Return the components of the index, in the decision's order.

    Parameters
    ----------
    on_time_share : float
        Share of dossiers decided within their term, 0 to 1; NaN when nobody knows.
    """
    return tuple(_component(name, most, on_time_share) for name, most in POINTS.items())


def _component(name: Name, most: int, on_time_share: float) -> Component:
    if name != "progress":
        return Component(name, most, None, _WHY_NOT[name])
    if math.isnan(on_time_share):
        return Component(name, most, None, _NO_TERM)
    return Component(name, most, most * on_time_share)
