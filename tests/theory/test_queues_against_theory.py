"""The model against exact queueing theory, within 4 standard errors over replications."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from sim.analytic import formulas
from sim.model.draws import FIRST_PROGRAM_SLOT, Slot
from sim.scenario.base import Distribution
from sim.scenario.scenario import Scenario
from sim.streams import stream

UNIT = "exponential 1 s"

SHAPES = ("1 s", UNIT, "lognormal 1 s cv 2")
"""Three distributions of one mean: insensitive results hold for all of them."""


@pytest.fixture(scope="module", params=[1, pytest.param(12, marks=pytest.mark.slow)])
def length(request):
    """By how much runs are longer than those of the quick set."""
    return request.param


def column(records, rows, name):
    return records.requests[name].to_numpy()[rows]


def mean_of(name):
    return lambda records, rows: column(records, rows, name).mean()


def share_of(outcome):
    def measure(records, rows):
        return np.mean(np.array(records.requests["outcome"].to_pylist())[rows] == outcome)

    return measure


def cores_in_turn(one_endpoint, servers, work=UNIT):
    tier = {"cores": servers, "discipline": "fcfs"}
    return one_endpoint([{"cpu": "app", "work": work}], tiers={"app": tier})


def workers(one_endpoint, servers, work=UNIT, **tier):
    """As many cores as workers: who holds a worker has a core for himself."""
    program = [{"take": "app"}, {"cpu": "app", "work": work}]
    return one_endpoint(program, tiers={"app": {"cores": servers, "workers": servers} | tier})


def shared_cores(one_endpoint, cores, work):
    return one_endpoint([{"cpu": "app", "work": work}], tiers={"app": {"cores": cores}})


@pytest.mark.parametrize("build", [cores_in_turn, workers])
def test_mmc_mean_response_is_that_of_erlang_c(
    build, length, one_endpoint, replicate, assert_agrees
):
    values = replicate(
        build(one_endpoint, 3),
        2.1,
        mean_of("response_s"),
        duration_s=700 * length,
        warm_up_s=100,
    )
    assert_agrees(values, 1 + formulas.mmc_wait_mean(3, 2.1, 1.0))


def test_mmc_share_that_waits_and_share_beyond_the_95th_percentile_are_exact(
    length, one_endpoint, replicate, assert_agrees
):
    wait_q = formulas.mmc_wait_quantile(3, 2.1, 1.0, 0.95)
    response_q = formulas.mmc_response_quantile(3, 2.1, 1.0, 0.95)

    def measure(records, rows):
        wait, response = column(records, rows, "wait_s"), column(records, rows, "response_s")
        return (wait > 0).mean(), (wait > wait_q).mean(), (response > response_q).mean()

    values = replicate(
        workers(one_endpoint, 3), 2.1, measure, duration_s=700 * length, warm_up_s=100
    )
    assert_agrees(values[:, 0], formulas.erlang_c(3, 2.1))
    assert_agrees(values[:, 1], 0.05)
    assert_agrees(values[:, 2], 0.05)


def test_mmc_time_average_of_the_queue_is_that_of_erlang_c(
    length, one_endpoint, replicate, assert_agrees
):
    def measure(records, _rows):
        levels = records.levels.to_pandas()
        inside = (levels["from_s"] >= 100) & (levels["to_s"] <= 700 * length)
        rows = levels[inside & (levels["station"] == "app.workers")]
        return rows["queue_mean"].mean(), rows["utilisation"].mean()

    values = replicate(
        workers(one_endpoint, 3), 2.1, measure, duration_s=700 * length, warm_up_s=100
    )
    assert_agrees(values[:, 0], 2.1 * formulas.mmc_wait_mean(3, 2.1, 1.0))
    assert_agrees(values[:, 1], 0.7)


def test_mmck_rejects_the_share_that_finds_it_full(length, one_endpoint, replicate, assert_agrees):
    values = replicate(
        workers(one_endpoint, 2, queue_limit=3),
        2.2,
        share_of("rejected"),
        duration_s=600 * length,
        warm_up_s=30,
    )
    assert_agrees(values, formulas.mmck_blocking(2, 5, 2.2))


@pytest.mark.parametrize("work", SHAPES)
def test_erlang_b_is_insensitive_to_the_service_distribution(
    work, length, one_endpoint, replicate, assert_agrees
):
    values = replicate(
        workers(one_endpoint, 4, work, queue_limit=0),
        3.0,
        share_of("rejected"),
        duration_s=500 * length,
        warm_up_s=60,
    )
    assert_agrees(values, formulas.erlang_b(4, 3.0))


def test_erlang_a_abandonment_and_rate_conservation(
    length, one_endpoint, replicate, area, assert_agrees
):
    """The number that gave up less ∫queue dt ⁄ patience is a martingale: its mean is 0."""
    patience_s = 2.0

    def measure(records, rows):
        gave_up = share_of("timed_out")
        everybody = np.ones_like(rows)
        balance = (
            gave_up(records, everybody) * len(rows)
            - area(records, "app.workers", "queue_mean") / patience_s
        )
        return gave_up(records, rows), balance, column(records, rows, "wait_s").mean()

    values = replicate(
        workers(one_endpoint, 3, wait_limit=f"exponential {patience_s} s"),
        3.3,
        measure,
        duration_s=500 * length,
        warm_up_s=40,
    )
    exact = formulas.erlang_a(3, 3.3, 1.0, patience_s)
    assert_agrees(values[:, 0], exact.abandon_probability)
    assert_agrees(values[:, 1], 0.0)
    assert_agrees(values[:, 2], exact.wait_mean_s)


@pytest.mark.parametrize(("work", "cv"), [("1 s", 0.0), ("lognormal 1 s cv 1.5", 1.5)])
def test_mg1_mean_wait_is_that_of_pollaczek_and_khinchine(
    work, cv, length, one_endpoint, replicate, assert_agrees
):
    values = replicate(
        workers(one_endpoint, 1, work),
        0.6,
        mean_of("wait_s"),
        duration_s=3000 * length,
        warm_up_s=300,
    )
    assert_agrees(values, formulas.mg1_wait_mean(0.6, 1.0, cv))


@pytest.mark.parametrize("work", SHAPES)
def test_processor_sharing_is_insensitive_to_the_work_distribution(
    work, length, one_endpoint, replicate, assert_agrees
):
    values = replicate(
        shared_cores(one_endpoint, 1, work),
        0.6,
        mean_of("response_s"),
        duration_s=2000 * length,
        warm_up_s=200,
    )
    assert_agrees(values, formulas.mg1_ps_response_mean(0.6, 1.0))


def test_processor_sharing_stretches_every_size_alike(
    length, one_endpoint, trace_of, scenario_dict, poisson_times, assert_agrees, simulate
):
    """E[response | work = x] = x ⁄ (1 − ρ): of small works and of large ones."""
    portal = shared_cores(one_endpoint, 1, "lognormal 1 s cv 1.5")
    scenario = Scenario.model_validate(scenario_dict(portal, 2000.0 * length))
    small, large = [], []
    for replication in range(12):
        arrival_s = poisson_times(0.6, 2000.0 * length, replication)
        trace = trace_of(scenario, arrival_s, replication=replication)
        work_s = works(trace, portal)
        response_s = simulate(scenario, replication, trace).requests["response_s"].to_numpy()
        excess, late = response_s - work_s / 0.4, arrival_s > 200
        small.append(excess[late & (work_s < 0.5)].mean())
        large.append(excess[late & (work_s > 2.0)].mean())
    assert_agrees(small, 0.0)
    assert_agrees(large, 0.0)


def works(trace, portal):
    """Return the work of every request of a program with one random number."""
    work = Distribution.model_validate(portal["endpoints"]["e"]["program"][0]["work"])
    return Slot.of(FIRST_PROGRAM_SLOT, work).draw_all(trace.key)


@pytest.mark.parametrize("work", SHAPES)
def test_several_shared_cores_hold_as_many_as_erlang_c_says(
    work, length, one_endpoint, replicate, assert_agrees
):
    values = replicate(
        shared_cores(one_endpoint, 3, work),
        2.1,
        mean_of("response_s"),
        duration_s=600 * length,
        warm_up_s=100,
    )
    assert_agrees(values, formulas.mmc_ps_response_mean(3, 2.1, 1.0))


def test_jackson_network_with_feedback_has_product_form_means(
    length, one_endpoint, replicate, assert_agrees
):
    """A failed check sends the client back to the first station: 30 % of the passages."""
    again, rate_per_s = 0.3, 0.42
    portal = one_endpoint(
        [
            {"cpu": "web", "work": UNIT},
            {"cpu": "db", "work": "exponential 1.2 s"},
            {"call": "check"},
        ],
        tiers={"web": {"discipline": "fcfs"}, "db": {"cores": 1, "discipline": "fcfs"}},
        gateways={"check": {"latency": "0 s", "error_share": again}},
    )

    def measure(records, _rows):
        levels = records.levels.to_pandas()
        inside = (levels["from_s"] >= 200) & (levels["to_s"] <= 2000 * length)
        present = levels.assign(present=levels["busy_mean"] + levels["queue_mean"])[inside]
        mean = present.groupby("station")["present"].mean()
        return mean["web.cpu"], mean["db.cpu"]

    values = replicate(
        portal,
        rate_per_s,
        measure,
        duration_s=2000 * length,
        warm_up_s=200,
        blocks={"clients": {"person": {"retries": 20}}},
    )
    passages_per_s = rate_per_s / (1 - again)
    for station, service_s in enumerate((1.0, 1.2)):
        load = passages_per_s * service_s
        assert_agrees(values[:, station], load / (1 - load))


def test_batch_arrivals_wait_as_in_the_batch_queue(
    length, one_endpoint, trace_of, scenario_dict, poisson_times, assert_agrees, simulate
):
    """M^X/M/1 with batches of 4: mean wait = ρ/(μ(1−ρ)) + (b−1)/(2μ(1−ρ))."""
    batch, load, duration_s = 4, 0.6, 2500.0 * length
    scenario = Scenario.model_validate(scenario_dict(workers(one_endpoint, 1), duration_s))
    values = []
    for replication in range(12):
        starts = poisson_times(load / batch, duration_s, replication)
        trace = trace_of(scenario, np.repeat(starts, batch), replication=replication)
        requests = simulate(scenario, replication, trace).requests
        late = requests["due_s"].to_numpy() > 200
        values.append(requests["wait_s"].to_numpy()[late].mean())
    assert_agrees(values, load / (1 - load) + (batch - 1) / (2 * (1 - load)))


def test_calls_under_way_at_an_unlimited_gateway_are_poisson(
    one_endpoint, trace_of, scenario_dict, assert_agrees, simulate
):
    """M(t)/G/∞: at time t Poisson with mean ∫ λ(s) P(latency > t − s) ds."""
    rates, interval_s, t = (5.0, 20.0, 1.0), 4.0, 10.0
    portal = one_endpoint([{"call": "pay"}], gateways={"pay": {"latency": "lognormal 3 s cv 1"}})
    scenario = Scenario.model_validate(scenario_dict(portal, 12.0))
    sigma = math.sqrt(math.log(2.0))
    latency = stats.lognorm(sigma, scale=3.0 * math.exp(-(sigma**2) / 2))
    mean = sum(
        rate
        * integrate.quad(lambda s: latency.sf(t - s), i * interval_s, min(t, (i + 1) * interval_s))[
            0
        ]
        for i, rate in enumerate(rates)
    )
    counts = []
    for replication in range(250):
        rng = stream(2, replication, "tests.bursts")
        arrival_s = np.concatenate(
            [
                (i + rng.random(rng.poisson(rate * interval_s))) * interval_s
                for i, rate in enumerate(rates)
            ]
        )
        trace = trace_of(scenario, np.sort(arrival_s), replication=replication)
        requests = simulate(scenario, replication, trace).requests
        sent_s = requests["sent_s"].to_numpy()
        counts.append(np.sum((sent_s <= t) & (sent_s + requests["response_s"].to_numpy() > t)))
    assert_agrees(counts, mean)
    dispersion = np.var(counts, ddof=1) / np.mean(counts)
    assert abs(dispersion - 1) < 4 * math.sqrt(2 / (len(counts) - 1))


def machine_repair(clients, think_s, service_s):
    """Return response and throughput of a closed network by exact mean-value analysis."""
    present = 0.0
    for n in range(1, clients + 1):
        response_s = service_s * (1 + present)
        rate_per_s = n / (response_s + think_s)
        present = rate_per_s * response_s
    return response_s, rate_per_s


def test_a_closed_loop_of_clients_agrees_with_mean_value_analysis(
    length, one_endpoint, trace_of, scenario_dict, assert_agrees, simulate
):
    clients, think_s, asks = 8, 6.0, 120 * length
    portal = workers(one_endpoint, 1)
    scenario = Scenario.model_validate(scenario_dict(portal, 1.0))
    responses, rates = [], []
    for replication in range(12):
        rng = stream(3, replication, "tests.think")
        think = rng.exponential(think_s, (clients, asks))
        rows = [[{"think_s": s} for s in own] for own in think]
        trace = trace_of(scenario, np.zeros(clients), each=rows, replication=replication)
        requests = simulate(scenario, replication, trace).requests
        sent_s, response_s = (requests[name].to_numpy() for name in ("sent_s", "response_s"))
        # Well before the first client has made its last request, and after the start.
        from_s, to_s = 60.0, asks * think_s * 0.8
        inside = (sent_s > from_s) & (sent_s < to_s)
        responses.append(response_s[inside].mean())
        rates.append(inside.sum() / (to_s - from_s))
    exact_response_s, exact_rate_per_s = machine_repair(clients, think_s, 1.0)
    assert_agrees(responses, exact_response_s)
    assert_agrees(rates, exact_rate_per_s)


@pytest.mark.parametrize("work", ["1 s", "uniform 1 s", "lognormal 1 s cv 1.5"])
def test_mean_wait_lies_between_marchals_and_kingmans_bounds(
    work, one_endpoint, trace_of, scenario_dict, simulate
):
    """G/G/1, gaps uniform: λ²σ²work + ρ(ρ−2) ≤ 2λ(1−ρ) · wait ≤ λ²(σ²gap + σ²work)."""
    rate_per_s = 0.8
    portal = workers(one_endpoint, 1, work)
    scenario = Scenario.model_validate(scenario_dict(portal, 5000.0))
    variance = {"1 s": 0.0, "uniform 1 s": 1 / 3, "lognormal 1 s cv 1.5": 2.25}[work]
    gap_variance = (2 / rate_per_s) ** 2 / 12
    upper_s = rate_per_s * (gap_variance + variance) / (2 * (1 - rate_per_s))
    lower_s = (rate_per_s * variance + rate_per_s - 2) / (2 * (1 - rate_per_s))
    means = []
    for replication in range(8):
        gaps = stream(4, replication, "tests.gaps").uniform(0, 2 / rate_per_s, 1200)
        trace = trace_of(scenario, np.cumsum(gaps), replication=replication)
        means.append(simulate(scenario, replication, trace).requests["wait_s"].to_numpy().mean())
    error = np.std(means, ddof=1) / math.sqrt(len(means))
    assert max(lower_s, 0.0) - 4 * error < np.mean(means) < upper_s + 4 * error


@pytest.mark.slow
def test_square_root_staffing_makes_the_share_that_halfin_and_whitt_promise_wait(
    one_endpoint, replicate, assert_agrees
):
    load, beta = 100.0, 0.5
    values = replicate(
        workers(one_endpoint, round(load + beta * math.sqrt(load))),
        load,
        lambda records, rows: (column(records, rows, "wait_s") > 0).mean(),
        duration_s=300,
        warm_up_s=40,
    )
    assert_agrees(values, formulas.erlang_c(105, load))
    assert abs(values.mean() - formulas.halfin_whitt_wait_probability(beta)) < 0.02
