"""When sessions start: the rate, and the arrivals drawn from it."""

import datetime as dt
import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from sim.demand.arrivals import RateProfile, arrival_times, day_effects, session_profiles
from sim.demand.errors import DemandError
from sim.scenario.scenario import Scenario
from sim.streams import stream

OFFICE = [0] * 7 + [1, 3, 4, 4, 2, 1, 3, 4, 3, 2, 1] + [0.5] * 6
HOLIDAYS = {"2024-04-30": "Thống nhất", "2024-05-01": "Lao động", "2025-01-29": "Tết"}
WORKED = {"2024-05-04": "bù 29/4"}


def build(start="2024-11-25T08:00", duration_s=3600.0, **demand):
    """Return a scenario of one journey and no portal to speak of."""
    ordinary = {
        "dossiers_per_year": 366_000,
        "online_share": 0.5,
        "months": [1.0] * 12,
        "weekdays": [1.0] * 7,
        "hours": {"flat": [1] * 24, "office": OFFICE},
        "journeys": {"submit": {"per_dossier": 1, "hours": "flat"}},
    }
    return Scenario.model_validate(
        {
            "name": "arrivals",
            "city": {"name": "Hải Phòng"},
            "window": {"start": start, "duration_s": duration_s},
            "catalogue": {
                "procedures": 10,
                "integrated": 10,
                "full_process_share": 1,
                "active_share": 1,
                "limit_sigma": 0.5,
                "fee_share": 0,
                "fee_median_vnd": 1000,
                "upload_slots_mean": 1,
                "upload_slots_max": 2,
                "e_form_share": 0,
                "domains": {"land": {"share": 1, "limit_median_days": 5}},
            },
            "demand": ordinary | demand,
            "channels": {"fibre": {"share": 1, "uplink_bit_per_s": 1e7}},
            "clients": {"citizen": {}},
            "journeys": {
                name: {"client": "citizen", "steps": [{"step": "home"}]}
                for name in demand.get("journeys", ordinary["journeys"])
            },
            "portal": {"tiers": {}, "endpoints": {}},
        }
    )


def expected(scenario, journey="submit"):
    return float(session_profiles(scenario)[journey].expected_counts.sum())


STEEP = RateProfile(np.array([0.0, 0.02, 2.0, 0.0, 0.3, 5.0, 0.0]), 10.0, 64.0)


def draws(profile, n):
    return [arrival_times(profile, stream(1, r, "test")) for r in range(n)]


def test_counts_per_interval_follow_a_steep_profile():
    n = 2000
    pooled = np.histogram(np.concatenate(draws(STEEP, n)), STEEP.edges_s)[0]
    means = n * STEEP.expected_counts
    busy = means > 0
    chi_square = float(((pooled - means)[busy] ** 2 / means[busy]).sum())
    assert stats.chi2.ppf(0.001, busy.sum()) < chi_square < stats.chi2.ppf(0.999, busy.sum())


def test_nobody_arrives_in_an_interval_without_rate():
    pooled = np.histogram(np.concatenate(draws(STEEP, 200)), STEEP.edges_s)[0]
    assert not pooled[STEEP.rates_per_s == 0].any()


def test_counts_of_one_interval_are_poisson():
    counts = np.array([np.count_nonzero(times < 20.0) for times in draws(STEEP, 2000)])
    observed = np.bincount(np.minimum(counts, 3), minlength=4)
    p = stats.poisson(0.2).pmf([0, 1, 2])
    assert stats.chisquare(observed, 2000 * np.append(p, 1 - p.sum())).pvalue > 0.001


def test_arrivals_are_uniform_within_an_interval():
    times = np.concatenate(draws(STEEP, 1000))
    within = times[(times >= 20) & (times < 30)] - 20
    assert stats.kstest(within / 10, "uniform").pvalue > 0.001


def test_arrivals_are_sorted_and_in_the_window():
    for times in draws(STEEP, 50):
        assert (np.diff(times) >= 0).all()
        assert ((times >= 0) & (times < STEEP.duration_s)).all()


def test_a_profile_tells_its_rate_at_any_time():
    assert [STEEP.rate(t) for t in (-1, 0, 19.9, 20, 59, 64)] == [0, 0, 0.02, 2.0, 5.0, 0]


@pytest.mark.parametrize(
    ("duration_s", "interval_s", "n"), [(64, 10, 7), (0.9, 0.3, 3), (5, 60, 1)]
)
def test_intervals_cover_exactly_the_window(duration_s, interval_s, n):
    profile = session_profiles(build(duration_s=duration_s, interval_s=interval_s))["submit"]
    assert len(profile.rates_per_s) == n
    assert profile.edges_s[0] == 0
    assert profile.edges_s[-1] == duration_s
    assert (np.diff(profile.edges_s) > 0).all()


@pytest.mark.parametrize(("year", "days"), [(2024, 366), (2025, 365)])
def test_a_whole_year_sums_to_the_years_dossiers(year, days):
    scenario = build(
        f"{year}-01-01T00:00",
        days * 86400.0,
        interval_s=3600,
        months=[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8],
        weekdays=[1.2, 1.1, 1, 1, 0.9, 0.3, 0],
        calendar={"holidays": HOLIDAYS, "working_weekends": WORKED},
        journeys={
            "submit": {"per_dossier": 1, "hours": "office"},
            "track": {"per_dossier": 2.5, "hours": "flat"},
        },
    )
    assert expected(scenario) == pytest.approx(183_000, rel=1e-12)
    assert expected(scenario, "track") == pytest.approx(2.5 * 183_000, rel=1e-12)


def test_parts_of_a_year_cut_anywhere_sum_to_the_whole():
    shape = {"weekdays": [2, 1, 1, 1, 1, 0, 0], "interval_s": 1234.5, "months": range(12)}
    shape["journeys"] = {"submit": {"per_dossier": 1, "hours": "office"}}
    start, end = dt.datetime(2024, 1, 1), dt.datetime(2025, 1, 1)  # noqa: DTZ001 - local time
    cuts = [start, start + dt.timedelta(hours=777, minutes=7, seconds=7), end]
    parts = [
        expected(build(a.isoformat(), (b - a).total_seconds(), **shape))
        for a, b in itertools.pairwise(cuts)
    ]
    assert sum(parts) == pytest.approx(183_000, rel=1e-12)


def test_each_day_is_measured_by_its_own_year():
    across = build("2024-12-31T00:00", 2 * 86400.0)
    counts = session_profiles(across)["submit"].expected_counts
    halves = counts[: len(counts) // 2].sum(), counts[len(counts) // 2 :].sum()
    assert halves == pytest.approx((183_000 / 366, 183_000 / 365), rel=1e-12)


@pytest.mark.parametrize(
    ("day", "weight"),
    [
        ("2024-04-29", 3.0),  # a Monday
        ("2024-05-02", 2.0),  # a Thursday
        ("2024-05-05", 0.5),  # a Sunday
        ("2024-04-30", 0.2),  # a holiday on a Tuesday
        ("2024-05-04", 3.0),  # a worked Saturday
        ("2024-06-03", 6.0),  # a Monday in a month of double weight
    ],
)
def test_days_weigh_by_month_weekday_and_holiday(day, weight):
    shape = {
        "months": [1] * 5 + [2] + [1] * 6,
        "weekdays": [3, 2, 2, 2, 2, 0.5, 0.5],
        "calendar": {"holidays": HOLIDAYS, "working_weekends": WORKED},
    }
    unit = expected(build("2024-05-02T00:00", 86400.0, **shape)) / 2.0
    assert expected(build(f"{day}T00:00", 86400.0, **shape)) == pytest.approx(weight * unit)


def test_hours_are_shared_by_their_shape_wherever_intervals_begin():
    office = {"submit": {"per_dossier": 1, "hours": "office"}}
    scenario = build("2024-11-25T08:30", 6300.0, interval_s=420, journeys=office)
    share = (0.5 * 3 + 4 + 0.25 * 4) / sum(OFFICE)
    assert expected(scenario) == pytest.approx(500 * share, rel=1e-12)
    assert session_profiles(scenario)["submit"].rate(0) * 3600 == pytest.approx(
        500 * 3 / sum(OFFICE)
    )


def test_an_interval_across_the_hour_has_the_mean_rate():
    office = {"submit": {"per_dossier": 1, "hours": "office"}}
    scenario = build("2024-11-25T07:45", 1800.0, interval_s=1800, journeys=office)
    per_hour = session_profiles(scenario)["submit"].rates_per_s * 3600
    assert per_hour == pytest.approx([500 * (1 + 3) / 2 / sum(OFFICE)])


def test_a_design_day_multiplies_demand():
    assert expected(build(day_factor=2.5)) == pytest.approx(2.5 * expected(build()), rel=1e-12)


def surge(t, event):
    return event["factor"]


def ramp(t, event):
    length = event["to_s"] - event["from_s"]
    return 1 + (event["factor"] - 1) * (t - event["from_s"]) / length


def flash_crowd(t, event):
    since, rise, peak = t - event["from_s"], event["rise_s"], event["factor"] - 1
    return 1 + peak * (
        since / rise if since < rise else math.exp((rise - since) / event["scale_s"])
    )


def deadline(t, event):
    return 1 + (event["factor"] - 1) * math.exp((t - event["to_s"]) / event["scale_s"])


@pytest.mark.parametrize("law", [surge, ramp, flash_crowd, deadline])
@pytest.mark.parametrize("factor", [0.2, 8.0])
@pytest.mark.parametrize("interval_s", [60.0, 777.0])
def test_an_event_changes_each_interval_by_its_mean_factor(law, factor, interval_s):
    event = {"kind": law.__name__, "from_s": 610, "to_s": 2900, "factor": factor}
    event |= {"rise_s": 250, "scale_s": 400}
    with_event = session_profiles(build(interval_s=interval_s, events=[event]))["submit"]
    without = session_profiles(build(interval_s=interval_s))["submit"]
    measured = with_event.expected_counts / without.expected_counts
    kinks = [610.0, 860.0, 2900.0]

    def factor_at(t):
        return law(t, event) if 610 <= t < 2900 else 1.0

    for i, (a, b) in enumerate(zip(with_event.edges_s, with_event.edges_s[1:], strict=False)):
        cuts = [a, *(t for t in kinks if a < t < b), b]
        parts = [integrate.quad(factor_at, *cut)[0] for cut in itertools.pairwise(cuts)]
        assert measured[i] == pytest.approx(sum(parts) / (b - a), rel=1e-9)


def test_a_crowd_may_gather_at_once():
    event = {"kind": "flash_crowd", "to_s": 1800, "factor": 5, "rise_s": 0, "scale_s": 1e9}
    factors = _rates(build(events=[event])) / _rates(build())
    assert factors == pytest.approx([5.0] * 30 + [1.0] * 30, rel=1e-5)


def test_a_crowd_that_is_cut_off_while_it_gathers_never_peaks():
    event = {"kind": "flash_crowd", "to_s": 600, "factor": 3, "rise_s": 1200}
    factors = _rates(build(events=[event])) / _rates(build())
    assert factors[:11] == pytest.approx([*(1 + (i + 0.5) / 10 for i in range(10)), 1.0])


def test_factors_of_simultaneous_events_multiply():
    events = [{"kind": "surge", "from_s": 90, "to_s": 400, "factor": f} for f in (2.0, 3.0)]
    factors = _rates(build(events=events)) / _rates(build())
    assert factors[:8] == pytest.approx([1, 3.5, 6, 6, 6, 6, 1 + 5 * 2 / 3, 1])


def test_an_event_concerns_the_journeys_it_names():
    journeys = {name: {"per_dossier": 1, "hours": "flat"} for name in ("submit", "track")}
    event = {"kind": "surge", "to_s": 9e9, "factor": 2, "journeys": ["track"]}
    profiles = session_profiles(build(journeys=journeys, events=[event]))
    ratio = profiles["track"].rates_per_s / profiles["submit"].rates_per_s
    assert ratio == pytest.approx(2.0)


def test_a_days_effect_is_the_same_in_any_window():
    late = build("2024-11-26T10:00", 3600.0, day_effect_cv=0.3)
    week = build("2024-11-24T22:00", 7 * 86400.0, day_effect_cv=0.3)
    day = dt.date(2024, 11, 26)
    assert day_effects(late, 5)[day] == day_effects(week, 5)[day]
    assert day_effects(late, 6)[day] != day_effects(week, 5)[day]
    assert len(set(day_effects(week, 5).values())) == 8


def test_day_effects_have_mean_1_and_the_stated_spread():
    year = build("2024-01-01T00:00", 366 * 86400.0, day_effect_cv=0.3)
    effects = np.array([list(day_effects(year, r).values()) for r in range(20)]).ravel()
    gamma = stats.gamma(1 / 0.09, scale=0.09)
    assert stats.kstest(effects, gamma.cdf).pvalue > 0.001
    assert abs(effects.mean() - 1) < 4 * 0.3 / math.sqrt(len(effects))


def test_without_spread_no_day_differs():
    assert set(day_effects(build(), 3).values()) == {1.0}


def test_a_days_effect_ends_at_midnight():
    scenario = build("2024-11-25T23:59:30", 60.0, interval_s=60)
    effects = {dt.date(2024, 11, 25): 1.0, dt.date(2024, 11, 26): 3.0}
    ratio = session_profiles(scenario, effects)["submit"].rates_per_s / _rates(scenario)
    assert ratio == pytest.approx([2.0])


def test_daily_counts_are_overdispersed_by_the_day_effect():
    scenario = build("2024-11-25T00:00", 86400.0, day_effect_cv=0.2, interval_s=3600)
    counts = []
    for replication in range(800):
        profile = session_profiles(scenario, day_effects(scenario, replication))["submit"]
        rng = stream(scenario.seed, replication, "test")
        counts.append(len(arrival_times(profile, rng)))
    deviations = (np.array(counts) - np.mean(counts)) ** 2
    standard_error = deviations.std() / math.sqrt(len(counts)) / 500
    assert abs(deviations.mean() / 500 - (1 + 500 * 0.2**2)) < 4 * standard_error


def test_a_year_without_any_weight_is_refused():
    sundays = {"weekdays": [0] * 6 + [1], "months": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]}
    off = {f"2024-12-{day:02}": "closed" for day in (1, 8, 15, 22, 29)}
    scenario = build(calendar={"holidays": off}, holiday_factor=0, **sundays)
    with pytest.raises(DemandError, match="no day of 2024 has a weight above 0"):
        session_profiles(scenario)


def _rates(scenario):
    return session_profiles(scenario)["submit"].rates_per_s
