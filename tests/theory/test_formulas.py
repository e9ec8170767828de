"""The queueing formulas against published values and against chains solved here, state by state."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, optimize, stats

from sim.analytic import formulas

ROUNDING = 1e-9
"""Relative error that double precision leaves after some thousand operations."""


def steady_state(
    birth: Callable[[int], float], death: Callable[[int], float], n_states: int
) -> NDArray[np.float64]:
    """Solve π Q = 0 of a birth–death chain as a linear system, not by the formulas under test."""
    generator = np.zeros((n_states, n_states))
    for n in range(n_states - 1):
        generator[n, n + 1] = birth(n)
        generator[n + 1, n] = death(n + 1)
    generator -= np.diag(generator.sum(axis=1))
    equations = np.vstack([generator.T, np.ones(n_states)])
    return np.linalg.lstsq(equations, np.r_[np.zeros(n_states), 1.0], rcond=None)[0]


@pytest.mark.parametrize(
    ("servers", "load", "published"),
    # source: tables of the Erlang B formula, such as Kleinrock (1975), figure 3.11
    [(5, 3.0, 0.1101), (10, 5.0, 0.0184), (30, 20.0, 0.0085), (1, 1.0, 0.5)],
)
def test_erlang_b_is_that_of_the_tables(servers: int, load: float, published: float) -> None:
    assert formulas.erlang_b(servers, load) == pytest.approx(published, abs=5e-5)


@pytest.mark.parametrize(
    ("servers", "load", "published"),
    # source: tables of the Erlang C formula, such as Cooper (1981), appendix A
    [(5, 4.0, 0.5541), (10, 8.0, 0.4092), (2, 1.0, 1 / 3), (1, 0.7, 0.7)],
)
def test_erlang_c_is_that_of_the_tables(servers: int, load: float, published: float) -> None:
    assert formulas.erlang_c(servers, load) == pytest.approx(published, abs=5e-5)


def test_erlang_b_of_ten_thousand_servers_neither_overflows_nor_vanishes() -> None:
    blocking = formulas.erlang_b(10_000, 10_000.0)
    # Jagerman (1974): B(n, n) -> sqrt(2 / (π n)) (1 + O(1 / √n))
    assert blocking == pytest.approx(math.sqrt(2 / (math.pi * 10_000)), rel=0.01)


def test_blocking_and_throughput_of_a_finite_queue_solve_its_chain() -> None:
    servers, places, rate, service_s = 3, 9, 5.0, 0.7
    law = steady_state(lambda n: rate, lambda n: min(n, servers) / service_s, places + 1)
    blocking = formulas.mmck_blocking(servers, places, rate * service_s)
    throughput = formulas.mmck_throughput(servers, places, rate, service_s)
    assert blocking == pytest.approx(law[-1], rel=ROUNDING)
    assert throughput == pytest.approx(rate * (1 - law[-1]), rel=ROUNDING)


def test_mean_wait_solves_the_chain() -> None:
    servers, rate, service_s = 4, 3.0, 1.0
    law = steady_state(lambda n: rate, lambda n: min(n, servers) / service_s, 300)
    queue = sum(max(n - servers, 0) * p for n, p in enumerate(law))
    assert formulas.mmc_wait_mean(servers, rate, service_s) == pytest.approx(
        queue / rate, rel=ROUNDING
    )


@pytest.mark.parametrize(("servers", "rate"), [(1, 0.8), (3, 2.0), (5, 4.5), (8, 2.0)])
@pytest.mark.parametrize("probability", [0.5, 0.95, 0.999])
def test_response_quantile_is_that_of_wait_convolved_with_service(
    servers: int, rate: float, probability: float
) -> None:
    waits, drain = formulas.erlang_c(servers, rate), servers - rate

    def exceeds(t: float) -> float:
        later, _ = integrate.quad(
            lambda w: drain * math.exp(-drain * w) * math.exp(-(t - w)), 0, t, epsabs=1e-13
        )
        return (
            (1 - waits) * math.exp(-t) + waits * (math.exp(-drain * t) + later) - (1 - probability)
        )

    oracle = optimize.brentq(exceeds, 0, 200, xtol=1e-12)
    # the oracle's quadrature is good to 1e-12 of a probability of at least 1e-3
    assert formulas.mmc_response_quantile(servers, rate, 1.0, probability) == pytest.approx(
        oracle, rel=1e-6
    )


def test_response_of_a_single_server_is_exponential() -> None:
    assert formulas.mmc_response_quantile(1, 0.5, 1.0, 0.95) == pytest.approx(
        stats.expon.ppf(0.95) / 0.5, rel=ROUNDING
    )


def test_a_share_exactly_the_erlang_c_probability_waits() -> None:
    servers, rate = 5, 4.0
    waits = formulas.erlang_c(servers, rate)
    assert formulas.mmc_wait_quantile(servers, rate, 1.0, 1 - 1.01 * waits) == 0
    assert formulas.mmc_wait_quantile(servers, rate, 1.0, 1 - waits / 2) == pytest.approx(
        math.log(2) / (servers - rate), rel=ROUNDING
    )


@pytest.mark.parametrize(("servers", "rate"), [(2, 1.0), (5, 6.0), (40, 60.0)])
def test_erlang_a_solves_its_chain_even_when_overloaded(servers: int, rate: float) -> None:
    service_s, patience_s = 1.0, 2.5
    law = steady_state(
        lambda n: rate,
        lambda n: min(n, servers) / service_s + max(n - servers, 0) / patience_s,
        400,
    )
    served = sum(min(n, servers) / service_s * p for n, p in enumerate(law))
    answer = formulas.erlang_a(servers, rate, service_s, patience_s)
    assert answer.abandon_probability == pytest.approx(1 - served / rate, abs=1e-10)
    assert answer.wait_probability == pytest.approx(law[servers:].sum(), rel=1e-8)


def test_erlang_a_of_endless_patience_is_erlang_c() -> None:
    answer = formulas.erlang_a(5, 4.0, 1.0, 1e9)
    assert answer.wait_probability == pytest.approx(formulas.erlang_c(5, 4.0), rel=1e-6)


def test_constant_service_halves_the_wait_of_exponential_service() -> None:
    exponential, constant = (formulas.mg1_wait_mean(0.8, 1.0, cv) for cv in (1.0, 0.0))
    assert exponential == pytest.approx(0.8 / 0.2)
    assert constant == pytest.approx(exponential / 2)


def test_processor_sharing_on_one_core_agrees_with_its_two_formulas() -> None:
    assert formulas.mmc_ps_response_mean(1, 0.9, 1.0) == pytest.approx(
        formulas.mg1_ps_response_mean(0.9, 1.0)
    )
    assert formulas.ps_stretch(1, 0.9) == pytest.approx(10)


def test_allen_cunneen_is_exact_where_exact_formulas_exist() -> None:
    single = formulas.allen_cunneen_wait_mean(1, 0.8, 1.0, arrival_cv=1, service_cv=2)
    assert single == pytest.approx(formulas.mg1_wait_mean(0.8, 1.0, 2))
    several = formulas.allen_cunneen_wait_mean(6, 5.0, 1.0, arrival_cv=1, service_cv=1)
    assert several == pytest.approx(formulas.mmc_wait_mean(6, 5.0, 1.0))


@pytest.mark.parametrize("load", [50.0, 400.0])
@pytest.mark.parametrize("wanted", [0.1, 0.5])
def test_square_root_staffing_keeps_the_share_that_waits_within_two_points(
    load: float, wanted: float
) -> None:
    servers = formulas.square_root_staffing(load, wanted)
    beta = (servers - load) / math.sqrt(load)
    limit = formulas.halfin_whitt_wait_probability(beta)
    assert limit <= wanted
    assert formulas.erlang_c(servers, load) == pytest.approx(limit, abs=0.02)


def test_a_tandem_is_the_sum_of_its_stations() -> None:
    rate = 0.5
    assert formulas.tandem_response_mean(rate, [(1, 1.0), (1, 1.5)]) == pytest.approx(
        1 / (1 / 1.0 - rate) + 1 / (1 / 1.5 - rate)
    )


def test_a_queue_at_its_capacity_has_endless_waits() -> None:
    assert formulas.mmc_wait_mean(2, 2.0, 1.0) == math.inf
    assert formulas.mmc_wait_quantile(2, 2.5, 1.0, 0.9) == math.inf
    assert formulas.mmc_response_quantile(2, 2.0, 1.0, 0.9) == math.inf
    assert formulas.mg1_wait_mean(1.0, 1.0, 0.0) == math.inf
    assert formulas.mmc_wait_mean(2, 1.0, math.inf) == math.inf


def test_nobody_waits_where_nobody_comes() -> None:
    assert formulas.mmc_wait_mean(2, 0.0, math.inf) == 0
    assert formulas.erlang_b(3, 0.0) == 0
