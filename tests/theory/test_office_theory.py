"""Offices against queueing theory: Erlang C on a flat calendar, a matrix solution with nights."""

import math

import numpy as np
import pytest
from scipy.linalg import expm

from sim.scenario.backoffice import TASKS

HOUR_S, DAY_S = 3600.0, 86400.0
OFFICES = 16
"""Independent offices: as many independent values from one run."""

RECEPTION_ONLY = {"refused_at_reception_share": 1.0}
"""Every dossier ends with its reception: one queue and one task."""


def poisson_arrivals(seed: int, per_hour: float, days: float) -> list[dict]:
    """Return dossiers of all offices, each with a Poisson stream of its own."""
    rng = np.random.default_rng(seed)
    rows = []
    for office in range(OFFICES):
        times_s = rng.random(rng.poisson(per_hour * days * 24)) * days * DAY_S
        rows += [
            {"at_s": at_s, "office": office, "reception": office, "key": int(rng.integers(2**63))}
            for at_s in times_s.tolist()
        ]
    return rows


def offices_of(officers: int, **hours) -> dict:
    team = {"officers_per_office": officers, "does": list(TASKS)}
    return {"count": OFFICES, "teams": {"all": team}} | hours


def erlang_c(servers: int, load: float) -> float:
    """Return the probability of waiting in M/M/c."""
    terms = [load**n / math.factorial(n) for n in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def means_by_office(question, values: np.ndarray, warm_up_s: float) -> np.ndarray:
    """Return each office's mean of those that arrived after the warm-up."""
    filings = question.filings
    kept = filings.arrival_s >= warm_up_s
    return np.array([values[kept & (filings.office == o)].mean() for o in range(OFFICES)])


@pytest.mark.parametrize(
    ("officers", "load"), [(1, 0.7), (3, 2.4), pytest.param(5, 4.0, marks=pytest.mark.slow)]
)
def test_erlang_c_at_offices_that_never_close(office_question, assert_agrees, officers, load):
    """Work of half an hour on average; the mean wait is C ⁄ (c·μ − λ)."""
    per_hour, days = 2.0 * load, 60
    question = office_question(
        poisson_arrivals(officers, per_hour, days * 0.95),
        days=days,
        group=offices_of(officers),
        present=[[officers] * days] * OFFICES,
        always_open=True,
        rules=RECEPTION_ONLY,
        work={"receive": "exponential 30 min"},
        order="fifo",
        level_interval_s=DAY_S,
    )
    cases = question.run().cases
    assert not np.isnan(cases.closed_s).any()
    wait_h = means_by_office(question, cases.waiting_officer_s / HOUR_S, 5 * DAY_S)
    assert_agrees(wait_h, erlang_c(officers, load) / (2.0 * officers - per_hour))
    is_waiting = means_by_office(question, (cases.waiting_officer_s > 0).astype(float), 5 * DAY_S)
    assert_agrees(is_waiting, erlang_c(officers, load))


def mean_number_with_nights(
    per_hour: float, work_per_hour: float, officers: int, open_h: float, most: int = 400
) -> np.ndarray:
    """Return the mean number in an M/M/c office in each hour of a day that begins open.

    A Markov chain with two generators, with and without service: the hours' products of matrix
    exponentials have the distribution at the opening as their fixed point. Exponential work has no
    memory, so what is begun before the night does not matter.
    """
    births = np.diag([per_hour] * (most - 1), 1)
    deaths = np.diag([work_per_hour * min(n, officers) for n in range(1, most)], -1)
    steps = 8  # of an hour; the integral is Simpson's over them

    def step_of(rates: np.ndarray) -> np.ndarray:
        return expm((rates - np.diag(rates.sum(axis=1))) / steps)

    step = {True: step_of(births + deaths), False: step_of(births)}
    hour = {k: np.linalg.matrix_power(m, steps) for k, m in step.items()}
    is_open = [h < open_h for h in range(24)]
    day = np.linalg.multi_dot([hour[o] for o in is_open])
    p = np.linalg.matrix_power(day, 2**10)[0]
    numbers, weights = np.arange(most), np.array([1, *[4, 2] * (steps // 2 - 1), 4, 1]) / 3 / steps
    means = []
    for o in is_open:
        values = [p @ numbers]
        for _ in range(steps):
            p = p @ step[o]
            values.append(p @ numbers)
        means.append(weights @ values)
    return np.array(means)


@pytest.mark.parametrize(
    ("officers", "per_hour"), [(1, 0.45), (2, 1.0), pytest.param(3, 1.6, marks=pytest.mark.slow)]
)
def test_offices_with_nights_against_a_markov_chain(
    office_question, assert_agrees, officers, per_hour
):
    """Open eight hours a day, asked for around the clock, half an hour's work each."""
    days, empty_days, warm_up = 160, 30, 10
    question = office_question(
        poisson_arrivals(10 + officers, per_hour, days),
        days=days + empty_days,
        start="2024-11-25T08:00",
        group=offices_of(
            officers,
            hours={
                "spans": [{"opens": "08:00", "closes": "16:00"}],
                "weekdays": [0, 1, 2, 3, 4, 5, 6],
            },
        ),
        rules=RECEPTION_ONLY,
        work={"receive": "exponential 30 min"},
        order="fifo",
        level_interval_s=HOUR_S,
    )
    cases = question.run().cases
    assert not np.isnan(cases.closed_s).any()
    expected = mean_number_with_nights(per_hour, 2.0, officers, 8.0)
    # Little's law turns the mean number over the day into the mean time of a dossier.
    stay_h = (cases.closed_s - question.filings.arrival_s) / HOUR_S
    assert_agrees(
        means_by_office(question, stay_h, warm_up * DAY_S), float(expected.mean()) / per_hour
    )
    # And how many there are on average in some hours of the day.
    for hour in (0, 4, 8, 20):
        moments_s = (np.arange(warm_up, days) * 24 + hour) * HOUR_S
        numbers = [
            numbers_between(question, cases.closed_s, office, moments_s)
            for office in range(OFFICES)
        ]
        assert_agrees(numbers, float(expected[hour]))


def numbers_between(question, closed_s, office: int, begins_s: np.ndarray) -> float:
    """Return the mean number at an office over the hours that begin at some moments."""
    own = question.filings.office == office
    arrived, closed = question.filings.arrival_s[own], np.sort(closed_s[own])
    total = 0.0
    for begin_s in begins_s:
        ends_s = begin_s + HOUR_S
        overlap = _time_before(arrived, begin_s, ends_s) - _time_before(closed, begin_s, ends_s)
        total += overlap / HOUR_S
    return total / len(begins_s)


def _time_before(times: np.ndarray, begin_s: float, end_s: float) -> float:
    """Return the integral from begin to end of how many times have passed."""
    first, last = np.searchsorted(times, [begin_s, end_s])
    return first * (end_s - begin_s) + float((end_s - times[first:last]).sum())
