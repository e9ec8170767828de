"""Random variates from uniform numbers."""

import numpy as np
import pytest
from scipy import stats

from sim.demand.variates import variate, variate_of, variates, variates_of
from sim.scenario.base import Distribution
from sim.streams import child_keys, uniform_array

FAMILIES = {
    "constant": stats.uniform(2.0, 0.0),
    "exponential": stats.expon(scale=2.0),
    "uniform": stats.uniform(0.0, 4.0),
    "lognormal": stats.lognorm(np.sqrt(np.log(1.25)), scale=np.exp(np.log(2.0) - np.log(1.25) / 2)),
}
"""Families with mean 2 and, where it matters, a cv of 0.5, by an independent implementation."""


@pytest.mark.parametrize("family", FAMILIES)
def test_both_forms_agree(family):
    u0, u1 = _uniforms(1000)
    single = [variate(family, 2.0, 0.5, *u) for u in zip(u0.tolist(), u1.tolist(), strict=True)]
    np.testing.assert_allclose(variates(family, 2.0, 0.5, u0, u1), single, rtol=1e-12)


@pytest.mark.parametrize("family", ["exponential", "uniform", "lognormal"])
def test_a_family_has_its_distribution(family):
    drawn = variates(family, 2.0, 0.5, *_uniforms(50_000))
    assert stats.kstest(drawn, FAMILIES[family].cdf).pvalue > 0.001


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_its_mean(family):
    drawn = variates(family, 2.0, 0.5, *_uniforms(50_000))
    assert abs(drawn.mean() - 2.0) <= 4 * drawn.std() / np.sqrt(len(drawn))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mean_of_nothing_is_nothing(family):
    u0, u1 = _uniforms(10)
    assert variate(family, 0.0, 1.0, 0.3, 0.4) == 0.0
    assert not variates(family, 0.0, 1.0, u0, u1).any()


def test_a_lognormal_without_spread_is_its_mean():
    assert variate("lognormal", 3.0, 0.0, 0.1, 0.9) == pytest.approx(3.0, rel=1e-15)


def test_an_unknown_family_is_refused():
    with pytest.raises(ValueError, match="unknown family 'weibull'; known: constant"):
        variate("weibull", 1.0, 1.0, 0.5, 0.5)
    with pytest.raises(ValueError, match="unknown family 'weibull'"):
        variates("weibull", 1.0, 1.0, *_uniforms(3))


def test_a_scenarios_distribution_is_drawn_in_both_forms():
    distribution = Distribution.model_validate("lognormal 250 ms cv 2")
    u0, u1 = _uniforms(5)
    expected = variates("lognormal", 0.25, 2.0, u0, u1)
    assert variates_of(distribution, u0, u1).tolist() == expected.tolist()
    assert variate_of(distribution, float(u0[0]), float(u1[0])) == pytest.approx(expected[0])


def _uniforms(n):
    keys = child_keys(np.array([7], dtype=np.uint64), np.arange(n, dtype=np.uint64))
    return uniform_array(keys, 0, 0), uniform_array(keys, 0, 0, 1)
