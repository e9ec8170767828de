"""The compiled engine is the SimPy model's twin: the same records, request by request."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.results import TABLES

SETTINGS = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

TOLERANCE = 1e-9
"""Relative, and in s near 0: the two engines may round differently, no more."""


def assert_twins(one, other):
    """Assert that two runs have the same rows, outcomes and counts, and the same times."""
    for name in TABLES:
        left, right = getattr(one, name), getattr(other, name)
        assert left.schema == right.schema
        assert left.num_rows == right.num_rows, name
        for column in left.column_names:
            values, others = left[column].to_pylist(), right[column].to_pylist()
            if left.schema.field(column).type == "double":
                np.testing.assert_allclose(
                    values, others, rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{name}.{column}"
                )
            else:
                assert values == others, f"{name}.{column}"


@SETTINGS
@given(data=st.data())
def test_random_portals_give_the_same_records(twin_cases, data):
    assert_twins(*data.draw(twin_cases()).records())


@SETTINGS
@given(data=st.data())
def test_items_that_compete_with_requests_give_the_same_records(twin_cases, data):
    assert_twins(*data.draw(twin_cases(with_busy_items=True)).records())


@SETTINGS
@given(data=st.data())
def test_constant_times_that_collide_are_decided_alike(twin_cases, data):
    """Everything happens at few moments, so the order of what is due decides."""
    assert_twins(*data.draw(twin_cases(("constant",), with_busy_items=True)).records())
