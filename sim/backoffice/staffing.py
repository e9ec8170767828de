"""Who works where and when: sizes of offices, officers spread over them, leave."""

import datetime as dt
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sim.demand.sessions import group_positions, group_starts
from sim.demand.variates import variate
from sim.scenario.backoffice import OfficeGroup, Team
from sim.streams import child_key, child_keys, uniform, uniform_array

SIZES = 2**36
"""Child of the seed for the sizes of offices."""

LEAVE = 2**36
"""Child of a replication's key for officers' leave."""

_BLOCK = 2**20  # officers times days drawn at a time

_HALVINGS = 200  # more than the exponents of a float64 that matter

Counts = NDArray[np.int64]


def office_sizes(seed: int, name: str, group: OfficeGroup) -> NDArray[np.float64]:
    """Return the sizes of a group's offices: their shares of its dossiers.

    They are the scenario's, not a replication's; another office in the group changes the others'
    only in proportion.

    Parameters
    ----------
    seed : int
        The scenario's.
    name : str
        The group's name.
    group : OfficeGroup
        The group.

    Returns
    -------
    NDArray, shape (count,)
        Shares > 0 that sum to 1.
    """
    root = child_key(child_key(seed, SIZES), _number(name))
    keys = [child_key(root, office) for office in range(group.count)]
    sizes = np.array(
        [
            variate("lognormal", 1.0, group.size_cv, uniform(k, 0, 0), uniform(k, 0, 0, 1))
            for k in keys
        ]
    )
    shares: NDArray[np.float64] = sizes / sizes.sum()
    return shares


def spread(total: int, sizes: NDArray[np.float64]) -> Counts:
    """Spread officers over offices in proportion to their sizes, at least one each.

    With fewer officers than offices the largest get one each. One more officer never takes one
    away from any office; at equal sizes the earlier office comes first.

    Parameters
    ----------
    total : int
        Officers, >= 0.
    sizes : NDArray, shape (n,)
        Sizes > 0.

    Returns
    -------
    NDArray[int64], shape (n,)
        Officers by office; they sum to the total.

    References
    ----------
    The Webster/Sainte-Laguë method of highest averages, by size / (officers + 1/2).
    """
    n = len(sizes)
    if total <= n:
        counts = np.zeros(n, dtype=np.int64)
        counts[np.argsort(-sizes, kind="stable")[:total]] = 1
        return counts
    low, high = 0.0, (total + 1) / float(sizes.min())  # officers per size
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _rounded(middle * sizes).sum() <= total else (low, middle)
    counts = _rounded(low * sizes)
    order = np.argsort(-sizes / (counts + 0.5), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def officers_by_day(
    group: OfficeGroup, team: Team, sizes: NDArray[np.float64], days: Sequence[dt.date]
) -> Counts:
    """Return how many officers the roster gives each office on each day.

    Parameters
    ----------
    group : OfficeGroup
        The group.
    team : Team
        One of its teams.
    sizes : NDArray, shape (count,)
        The offices' sizes.
    days : sequence of date
        Days, in order.

    Returns
    -------
    NDArray[int64], shape (count, n_days)
        Officers, leave not counted.
    """
    weights = sizes if group.staffing == "by_size" else np.ones(len(sizes))
    totals = [group.officers(team.officers_per_office_on(day)) for day in days]
    by_total = {total: spread(total, weights) for total in set(totals)}
    return np.stack([by_total[total] for total in totals], axis=1)


def present_officers(
    officers: Counts,
    days: Sequence[dt.date],
    leave_share: float,
    *,
    seed: int,
    replication: int,
    group: str,
    team: str,
) -> NDArray[np.int32]:
    """Return how many officers of a team are present: those of the roster less those on leave.

    Each officer has a number of his own on each day, whoever else works anywhere.

    Parameters
    ----------
    officers : NDArray[int64], shape (n_offices, n_days)
        Officers by the roster.
    days : sequence of date, length n_days
        The days.
    leave_share : float
        Chance that one is absent, 0 to 1.
    seed, replication : int
        Of the run.
    group, team : str
        Names of the group and the team.

    Returns
    -------
    NDArray[int32], shape (n_offices, n_days)
        Officers present.
    """
    if leave_share == 0:
        return officers.astype(np.int32)
    root = child_key(child_key(child_key(seed, replication), LEAVE), _number(group))
    most = officers.max(axis=1)
    first, office = group_starts(most), np.repeat(np.arange(len(most)), most)
    number = group_positions(most)
    keys = np.array([root], dtype=np.uint64)
    for child in (office, np.array([_number(team)]), number):
        keys = child_keys(keys, child.astype(np.uint64))
    day_numbers = np.array([day.toordinal() for day in days], dtype=np.uint64)
    present = np.empty(officers.shape, dtype=np.int32)
    width = max(1, _BLOCK // max(1, len(office)))
    for start in range(0, len(days), width):
        block = slice(start, start + width)
        u = uniform_array(child_keys(keys[:, np.newaxis], day_numbers[np.newaxis, block]), 0, 0)
        is_there = (u >= leave_share) & (number[:, np.newaxis] < officers[office, block])
        before = np.zeros((len(office) + 1, is_there.shape[1]), dtype=np.int32)
        np.cumsum(is_there, axis=0, out=before[1:])
        present[:, block] = before[first[1:]] - before[first[:-1]]
    return present


def _rounded(officers: NDArray[np.float64]) -> Counts:
    """Round to whole officers, at least one."""
    return np.maximum(np.floor(officers + 0.5), 1.0).astype(np.int64)


def _number(name: str) -> int:
    """Return the number of a name as a child of a key."""
    return zlib.crc32(name.encode())
