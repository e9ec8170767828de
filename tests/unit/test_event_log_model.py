"""What is learned from a process log: hours, delays, routing, work."""

import datetime as dt

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.demand.imports import ImportFileError
from sim.demand.imports.event_log import Meaning, Phase, backoffice_yaml, learn, parse_phases
from sim.demand.imports.event_log.delays import Delays, fit_mixtures
from sim.demand.imports.event_log.fitting import fit, lessons_of
from sim.demand.imports.event_log.log import EPOCH, EventLog
from sim.demand.imports.event_log.measuring import crps, wilson
from sim.demand.imports.event_log.model import Events, Variant, draw_cases
from sim.demand.imports.event_log.phases import passage
from sim.demand.imports.event_log.week import WorkedWeek, learn_week
from sim.scenario.backoffice import Rules

H = 3600.0
MONDAY_S = (dt.datetime(2024, 11, 4) - EPOCH).total_seconds()  # noqa: DTZ001
OFFICE = WorkedWeek(
    tuple(day < 5 and (8 <= hour < 12 or 13 <= hour < 17) for day in range(7) for hour in range(24))
)
ALWAYS = WorkedWeek((True,) * 168)
SIMPLE = Variant("last", knows_sittings=False, has_own_weeks=False)


def at(day: int, hour: float) -> float:
    return MONDAY_S + day * 24 * H + hour * H


def a_log(
    *events: tuple[int, str, float],
    people: list[str] | None = None,
    begun_s: list[float] | None = None,
    start_s: list[float] | None = None,
) -> EventLog:
    """Return a log of (case, activity, time) in order."""
    cases = sorted({case for case, _, _ in events})
    activities = sorted({activity for _, activity, _ in events})
    names = sorted(set(people or []))
    n = len(events)
    return EventLog(
        "log.csv",
        np.array([cases.index(case) for case, _, _ in events], np.int32),
        np.array([activities.index(activity) for _, activity, _ in events], np.int32),
        np.array([names.index(name) for name in people or []] or [-1] * n, np.int32),
        np.full(n, -1, np.int32),
        np.array([time_s for _, _, time_s in events]),
        np.array(begun_s or [np.nan] * n),
        np.array(start_s or [np.nan] * len(cases)),
        np.full(len(cases), -1, np.int32),
        tuple(map(str, cases)),
        tuple(activities),
        tuple(names),
        (),
        (),
    )


def events(log: EventLog) -> Events:
    return Events(
        log.case.astype(np.int64), log.activity.astype(np.int64), log.time_s, log.arrival_s()
    )


def one(value: float) -> NDArray[np.float64]:
    return np.array([value])


@pytest.mark.parametrize(
    ("begin", "end", "hours"),
    [
        (at(0, 9), at(0, 11), 2),
        (at(0, 11), at(0, 14), 2),
        (at(4, 16), at(7, 9), 2),
        (at(0, 0), at(1, 0), 8),
        (at(5, 10), at(5, 10.5), 0.5),
        (at(5, 10), at(6, 10), 0),
        (at(1, 10), at(0, 10), 0),
    ],
    ids=["a morning", "over lunch", "over a weekend", "a day", "overtime", "closed", "backwards"],
)
def test_working_time_passes_in_open_hours(begin: float, end: float, hours: float) -> None:
    clock = OFFICE.clock(at(-30, 0), at(30, 0))
    assert clock.between_s(one(begin), one(end))[0] == pytest.approx(hours * H)


def test_free_day_is_not_worked() -> None:
    week = WorkedWeek(OFFICE.is_worked, (int(at(1, 0) // (24 * H)),))
    clock = week.clock(at(0, 0), at(30, 0))
    assert clock.between_s(one(at(0, 16)), one(at(2, 9)))[0] == pytest.approx(2 * H)
    assert clock.after(one(at(0, 16)), one(2 * H))[0] == pytest.approx(at(2, 9))


def test_a_moment_after_working_time_is_that_much_working_time_later() -> None:
    rng = np.random.default_rng(1)
    begin, work = at(0, 0) + rng.random(1000) * 300 * 24 * H, rng.exponential(20 * H, 1000)
    clock = OFFICE.clock(float(begin.min()), at(900, 0))
    end = clock.after(begin, work)
    assert (end >= begin).all()
    np.testing.assert_allclose(clock.between_s(begin, end), work, atol=1e-3)


def test_hours_of_an_office_are_learned_in_spite_of_overtime() -> None:
    rng = np.random.default_rng(2)
    hour = np.concatenate(
        (rng.choice(np.flatnonzero(OFFICE.is_worked), 8000), rng.integers(0, 168, 200))
    )
    at_s = MONDAY_S + rng.integers(0, 40, 8200) * 168 * H + (hour + rng.random(8200)) * H
    free = (at_s >= at(22, 0)) & (at_s < at(23, 0))
    found = learn_week(np.where(free, at_s - 24 * H, at_s), np.arange(8200, dtype=np.int32))
    assert found.is_worked == OFFICE.is_worked
    assert found.free_days == (int(at(22, 0) // (24 * H)),)
    assert found.text() == "Mon Tue Wed Thu Fri 8–12 h, 13–17 h"


def test_mixture_finds_both_parts_though_a_third_is_censored() -> None:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(9):
        log = np.where(rng.random(1000) < 0.6, rng.normal(3, 0.5, 1000), rng.normal(9, 1, 1000))
        limit = rng.normal(9, 2, 1000)
        seen = Delays(np.minimum(log, limit), np.zeros(1000, np.int64), np.ones(1000), log > limit)
        mixture = fit_mixtures(seen, 1)
        long_part = int(np.argmax(np.where(mixture.weight[0] > 0.1, mixture.mean[0], -1)))
        found.append((mixture.weight[0, long_part], mixture.mean[0, long_part]))
    values = np.array(found)
    errors = values.std(axis=0, ddof=1) / 3
    assert (np.abs(values.mean(axis=0) - [0.4, 9.0]) < 4 * errors).all()


def test_what_had_not_ended_when_the_log_did_is_not_left_out() -> None:
    # A third of the cases begin in the last day, and on average it takes them 27 hours to go on.
    rng = np.random.default_rng(4)
    end_s, true_s = at(7, 0), 24 * H * np.exp(0.5**2 / 2)
    fitted, seen = [], []
    for _ in range(9):
        start_s = end_s - np.where(rng.random(3000) < 0.33, 24.0, 20 * 168.0) * H * rng.random(3000)
        delay_s = rng.lognormal(np.log(24 * H), 0.5, 3000)
        rows = [(i, "a", start_s[i]) for i in range(3000)]
        rows += [(i, "b", start_s[i] + delay_s[i]) for i in range(3000)]
        log = a_log(*sorted(row for row in rows if row[2] < end_s))
        model = fit(lessons_of(log, SIMPLE, end_s))
        assert model.weeks[0].hours_per_week == 168
        fitted.append(model.mixtures.mean_s()[model.kinds.of_step[1, 1, 0]])
        seen.append(delay_s[start_s + delay_s < end_s].mean())
    error = np.std(fitted, ddof=1) / 3
    assert abs(np.mean(fitted) - true_s) < 4 * error
    assert np.mean(seen) < true_s - 4 * error


def test_drawn_cases_repeat_the_routing_they_were_fitted_to() -> None:
    rng = np.random.default_rng(5)
    rows = []
    for case in range(3000):
        way = ["a", "b"] + ["c"] * (rng.random() < 0.3)
        rows += [(case, step, at(case, 9 + i)) for i, step in enumerate(way)]
    log = a_log(*rows)
    model = fit(lessons_of(log, SIMPLE, at(10_000, 0)))
    start_s = at(0, 0) + np.arange(20_000.0)
    drawn = draw_cases(model, start_s, np.full(20_000, -1, np.int32), at(10_000, 0), rng)
    n_of = np.bincount(drawn.activity, minlength=3)
    share = np.mean([step == "c" for _, step, _ in rows if step != "a"])
    share /= 1 - share
    assert n_of[:2].tolist() == [20_000, 20_000]
    assert n_of[2] / 20_000 == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 20_000))
    assert (np.diff(drawn.time_s)[np.diff(drawn.case) == 0] >= 0).all()


def test_state_of_what_was_done_tells_apart_what_the_last_step_cannot() -> None:
    # After b comes c if a was done, else d: the last activity alone mixes them.
    rows = []
    for case in range(200):
        way = ("a", "b", "c") if case % 2 else ("x", "b", "d")
        rows += [(case, step, at(case, 9 + i)) for i, step in enumerate(way)]
    log = a_log(*rows)
    rng = np.random.default_rng(6)
    start_s, channel = np.full(500, at(0, 0)), np.full(500, -1, np.int32)

    def wrong(variant: Variant) -> int:
        model = fit(lessons_of(log, variant, at(10_000, 0)))
        drawn = draw_cases(model, start_s, channel, at(10_000, 0), rng)
        names = np.array(log.activities)[drawn.activity].reshape(500, 3)
        return int(((names[:, 0] == "a") != (names[:, 2] == "c")).sum())

    assert wrong(Variant("done", knows_sittings=False, has_own_weeks=False)) == 0
    assert wrong(SIMPLE) > 100


def test_phase_runs_from_its_first_begin_to_the_end_after_it() -> None:
    log = a_log(
        (0, "b", at(0, 8)),
        (0, "a", at(0, 9)),
        (0, "b", at(0, 10)),
        (0, "b", at(0, 11)),
        (1, "a", at(1, 9)),
        (2, "b", at(2, 9)),
        start_s=[at(0, 0), at(0, 16), at(1, 0)],
    )
    found = passage(Phase("p", "a", "b"), events(log), log.activities, OFFICE)
    assert found.case.tolist() == [0, 1]
    np.testing.assert_allclose(found.duration_s, [H, np.nan])
    whole = passage(Phase("w", "start", "first"), events(log), log.activities, OFFICE)
    np.testing.assert_allclose(whole.duration_s, [0, 2 * H, 9 * H])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reception", "must be NAME=FROM..TO"),
        ("r=..last", "must be NAME=FROM..TO"),
        ("r=tiep nhan..last", "no activity 'tiep nhan'; nearest: 'tiếp nhận'"),
        ("r=last..first", "no activity 'last'"),
    ],
)
def test_wrong_phases_say_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ImportFileError, match=said):
        parse_phases([text], ["tiếp nhận", "thẩm định"])


def test_rework_and_hand_over_are_counted() -> None:
    log = a_log(
        (0, "a", at(0, 9)),
        (0, "b", at(0, 10)),
        (0, "a", at(0, 11)),
        (1, "a", at(0, 9)),
        (1, "b", at(0, 10)),
        people=["An", "An", "Bình", "Bình", "An"],
    )
    facts = learn(log).facts
    assert facts.rework_share == 0.5
    assert {one.name: one.repeat_share for one in facts.activities} == {"a": 1 / 3, "b": 0.0}
    assert facts.hand_over.share.value == pytest.approx(2 / 3)
    assert facts.hand_over.matrix[0].tolist() == [1, 1]
    assert facts.directly_follows.tolist() == [[2, 0, 0], [0, 2, 1], [1, 0, 1]]


def test_completions_alone_cannot_tell_work(  # the plain answer, not a number
) -> None:
    log = a_log(*((i, "a", at(i, 9)) for i in range(30)))
    learned = learn(log)
    assert "waiting cannot be told from processing" in learned.facts.activities[0].processing.reason
    text = backoffice_yaml("log.csv", learned.facts, learned.week, Meaning({"receive": ["a"]}, {}))
    assert text.startswith("# backoffice.workflow.work.receive: cannot tell: the log has only")
    assert "work:" not in text


def test_work_of_begun_activities_and_shares_reach_the_scenario() -> None:
    rng = np.random.default_rng(7)
    rows, begun = [], []
    work_s = rng.lognormal(np.log(600), 0.5, 400)
    for case in range(400):
        for step, hour in (("check", 9), *((("ask", 11),) if case < 40 else ())):
            end_s = at(7 * case, hour)
            rows.append((case, step, end_s))
            begun.append(end_s - work_s[case] if step == "check" else end_s)
    learned = learn(a_log(*rows, begun_s=begun))
    meaning = Meaning({"examine": ["check"]}, {"incomplete_share": ["ask"]}, "communes")
    text = backoffice_yaml("log.csv", learned.facts, learned.week, meaning)
    assert "incomplete_share: 0.10000  # source: log.csv, n = 400, of which 40" in text
    assert "examine: {distribution: lognormal, mean_s:" in text
    assert all("# source" in line for line in text.splitlines() if not line.endswith(":"))
    examine = next(one for one in learned.facts.activities if one.name == "check").processing
    assert examine.n == 400
    assert examine.mean_s == pytest.approx(work_s.mean())


@pytest.mark.parametrize(
    ("tasks", "shares", "said"),
    [
        ({"sing": ["a"]}, {}, "no task 'sing'; allowed: receive"),
        ({"sign": ["b"]}, {}, "task sign: no activity 'b'; the log has: a"),
        ({"examine": ["a"]}, {"lost_share": ["a"]}, "no share 'lost_share'; allowed: refused_at"),
        ({}, {"refused_share": ["a"]}, "say too which activity is the task examine"),
    ],
)
def test_wrong_meanings_say_what_is_allowed(
    tasks: dict[str, list[str]], shares: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(ImportFileError, match=said):
        Meaning(tasks, shares).check(["a"])


def test_shares_a_log_can_tell_are_keys_of_a_scenario() -> None:
    learned = learn(a_log((0, "a", at(0, 9)), (0, "b", at(0, 10))))
    for share in Rules.model_fields:
        meaning = Meaning({"examine": ["a"], "receive": ["a"]}, {share: ["b"]})
        if share.startswith(("refused", "incomplete", "consult")):
            meaning.check(["a", "b"])
            assert share in backoffice_yaml("log", learned.facts, learned.week, meaning)


def test_score_interval_of_a_share_matches_its_textbook_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263.
    found = wilson(81 / 263, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_score_of_a_forecast_is_its_mean_distance_less_half_its_spread() -> None:
    rng = np.random.default_rng(8)
    forecast, actual = rng.exponential(5, 60), rng.exponential(3, 40)
    x, y = np.log1p(forecast), np.log1p(actual)
    direct = np.abs(x[:, None] - y).mean() - np.abs(x[:, None] - x).mean() / 2
    assert crps(forecast, actual) == pytest.approx(direct)


def test_hours_of_people_who_do_little_are_the_offices() -> None:
    log = a_log(*((i, "a", at(i, 9)) for i in range(50)), people=["An"] * 50)
    assert learn(log).weeks == {}
    assert ALWAYS.hours_per_week == 168
