"""Quantities with units, distributions in short form, and names of metrics."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sim.scenario.base import Distribution
from sim.scenario.metric_names import QUANTITIES, MetricName, parse_metric
from sim.scenario.quantities import (
    BITS_PER_S,
    BYTES,
    PER_S,
    SECONDS,
    WORKING_HOURS,
    Seconds,
    WorkingHours,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "units", "expected"),
    [
        ("250 ms", SECONDS, 0.25),
        ("250ms", SECONDS, 0.25),
        (" 1.5  h ", SECONDS, 5400.0),
        ("3 days", SECONDS, 259_200.0),
        ("1_000 us", SECONDS, 1e-3),
        ("1e3 s", SECONDS, 1000.0),
        ("2 MB", BYTES, 2e6),
        ("2 MiB", BYTES, 2_097_152.0),
        ("100 Mbit/s", BITS_PER_S, 1e8),
        ("60 /min", PER_S, 1.0),
        ("-5 s", SECONDS, -5.0),
        ("8 working hours", WORKING_HOURS, 8.0),
        ("1 working hour", WORKING_HOURS, 1.0),
        ("3 working days", WORKING_HOURS, 24.0),
        ("0.5 working day", WORKING_HOURS, 4.0),
    ],
)
def test_text_with_unit_becomes_si(text: str, units: dict[str, float], expected: float) -> None:
    assert parse_quantity(text, units) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("units", [SECONDS, BYTES, BITS_PER_S, PER_S, WORKING_HOURS])
@given(value=st.floats(-1e12, 1e12, allow_nan=False))
def test_every_unit_scales_every_number(units: dict[str, float], value: float) -> None:
    for unit, scale in units.items():
        assert parse_quantity(f"{value!r} {unit}", units) == pytest.approx(value * scale, rel=1e-12)


@pytest.mark.parametrize("value", [5, 2.5, None, True, [1]])
def test_what_is_no_text_is_left_to_the_type_check(value: object) -> None:
    assert parse_quantity(value, SECONDS) is value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fast", "must be a number with a unit, such as '10 ms'"),
        ("", "must be a number with a unit"),
        ("5", "needs a unit, one of: us, µs, ms, s"),
        ("5 parsec", "has the unknown unit 'parsec'; allowed: us"),
        ("5 MS", "has the unknown unit 'MS'"),
        ("1.2.3 s", "has the unknown unit"),
        ("_5 s", "must be a number with a unit"),
    ],
)
def test_what_is_no_quantity_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_quantity(text, SECONDS)
    assert told in str(caught.value)


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    try:
        value = parse_quantity(text, SECONDS)
    except ValueError:
        return
    assert isinstance(value, float)


def test_quantity_field_checks_its_range_in_si() -> None:
    assert TypeAdapter(Seconds).validate_python("2 min") == 120.0


def test_working_time_is_no_clock_time():
    adapter = TypeAdapter(WorkingHours)
    assert adapter.validate_python(8) == 8.0
    for text in ("8 h", "3 days", "3 working weeks"):
        with pytest.raises(ValidationError, match="allowed: working hour, working hours"):
            adapter.validate_python(text)


def test_an_editor_accepts_the_texts_that_are_read():
    number, text = TypeAdapter(WorkingHours).json_schema()["anyOf"]
    assert number == {"type": "number"}
    assert re.match(text["pattern"], "3 working days")
    assert not re.match(text["pattern"], "3 days")


@pytest.mark.parametrize(
    ("short", "expected"),
    [
        ("12 ms", Distribution(mean_s=0.012)),
        (0.012, Distribution(mean_s=0.012)),
        ("constant 12 ms", Distribution(mean_s=0.012)),
        ("exponential 12 ms", Distribution(distribution="exponential", mean_s=0.012)),
        ("lognormal 2 s cv 1.5", Distribution(distribution="lognormal", mean_s=2, cv=1.5)),
        ("lognormal 2 s cv .5", Distribution(distribution="lognormal", mean_s=2, cv=0.5)),
        (
            {"distribution": "uniform", "mean_s": "2 s"},
            Distribution(distribution="uniform", mean_s=2),
        ),
    ],
)
def test_short_form_is_the_long_form(short: object, expected: Distribution) -> None:
    assert Distribution.model_validate(short) == expected


@pytest.mark.parametrize(
    ("short", "told"),
    [
        ("quick", "must be a duration, such as '12 ms'"),
        ("12", "must be a duration"),
        ("lognormal 12 ms cv", "must be a duration"),
        ("lognormal 12 ms cv 1.2.3", "must be a duration"),
        ("normal 12 ms", "has the unknown distribution 'normal'; allowed: constant, exponential"),
        ("exponential 12 ms cv 2", "must not state cv: only lognormal has one"),
        ("12 parsec", "has the unknown unit 'parsec'"),
        (True, "must be a duration"),
        ([12], "must be a duration"),
        ("-1 s", "greater than or equal to 0"),
    ],
)
def test_what_is_no_distribution_is_told(short: object, told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Distribution.model_validate(short)
    assert told in str(caught.value)


@pytest.mark.parametrize("family", ["constant", "exponential", "lognormal", "uniform"])
def test_distribution_survives_its_dump(family: str) -> None:
    distribution = Distribution.model_validate({"distribution": family, "mean_s": math.pi})
    assert Distribution.model_validate(distribution.model_dump(mode="json")) == distribution


def test_only_what_varies_is_random() -> None:
    assert Distribution.model_validate("exponential 1 s").is_random
    assert not Distribution.model_validate("exponential 0 s").is_random
    assert not Distribution.model_validate("1 s").is_random


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("submit.response_s.p95", MetricName("submit", "response_s", "p95")),
        ("all.ok_share", MetricName("all", "ok_share")),
        ("journey_file.duration_s.mean", MetricName("journey_file", "duration_s", "mean")),
        ("app[0].workers.queue.max", MetricName("app[0].workers", "queue", "max")),
        ("queue.queue.mean", MetricName("queue", "queue", "mean")),
        ("sync.queue_age_s.max", MetricName("sync", "queue_age_s", "max")),
        ("dossiers.per_s", MetricName("dossiers", "per_s")),
    ],
)
def test_metric_is_taken_apart_from_its_end(text: str, name: MetricName) -> None:
    assert parse_metric(text) == name


def test_every_metric_is_read_back_as_written() -> None:
    for quantities in QUANTITIES.values():
        for quantity, statistics in quantities.items():
            for statistic in statistics or (None,):
                name = MetricName("a.b", quantity, statistic)
                assert parse_metric(str(name)) == name


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "unknown quantity ''"),
        ("submit", "unknown quantity 'submit'; allowed: response_s, wait_s"),
        ("submit.respons_s.p95", "unknown quantity 'respons_s'; did you mean response_s?"),
        ("submit.response_s.p85", "unknown statistic 'p85' of response_s; did you mean p95?"),
        ("submit.response_s.best", "unknown statistic 'best' of response_s; allowed: mean, p50"),
        ("submit.response_s", "response_s needs a statistic: one of mean, p50"),
        ("all.ok_share.mean", "ok_share is one number; leave .mean out"),
        ("response_s.p95", "must be group.quantity or group.quantity.statistic"),
        ("a..ok_share", "must be group.quantity"),
        (".ok_share", "must be group.quantity"),
        ("app.workers.queue.p95", "unknown statistic 'p95' of queue; allowed: mean, max"),
    ],
)
def test_what_is_no_metric_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_metric(text)
    assert told in str(caught.value)
