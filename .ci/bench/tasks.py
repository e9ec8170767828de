"""One measurement of `make bench` in a process of its own: tasks.py SEED TASK [N].

Prints one JSON line: n, cpu_s, rss_mib, mean_s (mean response time where there is one).
"""

import itertools
import json
import random
import resource
import sys
import time
from collections.abc import Callable

CORES = 8
SERVICE_S = 1.0
RATE_PER_S = 6.4

Result = tuple[int, float, float]
"""Customers or requests, CPU s, mean response in s."""


def raw_simpy(seed: int, n: str) -> Result:
    """M/D/8 in plain SimPy: a Resource, a process per customer."""
    import simpy

    rng, env = random.Random(seed), simpy.Environment()
    servers, responses = simpy.Resource(env, CORES), []

    def customer():
        arrived = env.now
        with servers.request() as turn:
            yield turn
            yield env.timeout(SERVICE_S)
        responses.append(env.now - arrived)

    def source():
        for _ in range(int(n)):
            yield env.timeout(rng.expovariate(RATE_PER_S))
            env.process(customer())

    env.process(source())
    return _timed(env.run, lambda _: responses)


def hoso(seed: int, n: str) -> Result:
    """M/D/8 as a scenario with one endpoint on one tier, `fcfs`; records included."""
    from sim.engine import simulate

    program = [{"cpu": "app", "work": f"{SERVICE_S} s"}]
    tiers = {"app": {"cores": CORES, "discipline": "fcfs"}}
    scenario = _scenario(program, tiers, int(n) / RATE_PER_S)
    trace = _trace(seed, int(n), 1, RATE_PER_S, 0.0)
    return _timed(
        lambda: simulate(scenario, 0, trace), lambda records: records.requests["response_s"]
    )


def ciw(seed: int, n: str) -> Result:
    """M/D/8 in Ciw."""
    import ciw as library

    network = library.create_network(
        arrival_distributions=[library.dists.Exponential(RATE_PER_S)],
        service_distributions=[library.dists.Deterministic(SERVICE_S)],
        number_of_servers=[CORES],
    )
    library.seed(seed)
    simulation = library.Simulation(network)
    return _timed(
        lambda: simulation.simulate_until_max_customers(int(n)),
        lambda _: [
            record.waiting_time + record.service_time for record in simulation.get_all_records()
        ],
    )


def asyncflow(seed: int, n: str) -> Result:
    """M/D/8 in AsyncFlow, which draws constant steps only and cannot be seeded."""
    del seed
    run, responses = asyncflow_runner([(CORES, SERVICE_S)], RATE_PER_S, int(n) / RATE_PER_S)
    return _timed(run, lambda _: responses())


def sessions(seed: int, n: str) -> Result:
    """Sessions of five requests to a tier with workers and shared cores, patient for 30 s."""
    from sim.engine import simulate

    scenario, trace = sessions_of(seed, int(n))
    return _timed(
        lambda: simulate(scenario, 0, trace), lambda records: records.requests["response_s"]
    )


def trace(seed: int, n: str) -> Result:
    """Draw a trace of about n requests from the shipped peak day."""
    from sim.demand import draw_trace
    from sim.scenario import load_scenario

    one = load_scenario("peak-hour", [f"seed={seed}"])
    requests = draw_trace(one, 0).n_requests
    factor = one.demand.day_factor * int(n) / requests
    many = load_scenario("peak-hour", [f"seed={seed}", f"demand.day_factor={factor}"])
    start = time.process_time()
    drawn = draw_trace(many, 0)
    return drawn.n_requests, time.process_time() - start, 0.0


def peak_hour(seed: int) -> Result:
    """One replication of the shipped peak hour."""
    from sim.engine import simulate
    from sim.scenario import load_scenario

    scenario = load_scenario("peak-hour", [f"seed={seed}"])
    return _timed(lambda: simulate(scenario, 0), lambda records: records.requests["response_s"])


def nothing(_: int) -> Result:
    """Import what a simulation imports, and no more."""
    import sim.engine  # noqa: F401

    return 1, 0.0, 0.0


def _timed(run: Callable, responses: Callable) -> Result:
    start = time.process_time()
    done = run()
    spent_s = time.process_time() - start
    values = [float(value) for value in _plain(responses(done))]
    return len(values), spent_s, sum(values) / len(values)


def _plain(values):
    return values.to_numpy() if hasattr(values, "to_numpy") else values


def asyncflow_runner(stations, rate_per_s, horizon_s):
    """Return what runs stations in tandem in AsyncFlow, and what gives the responses then."""
    import simpy
    from asyncflow import AsyncFlow, SimulationRunner
    from asyncflow.components import Client, Edge, Endpoint, Server
    from asyncflow.settings import SimulationSettings
    from asyncflow.workload import RqsGenerator

    users = 20
    per_minute = rate_per_s * 60 / users
    generator = RqsGenerator(
        id="users",
        avg_active_users={"mean": users, "distribution": "normal", "variance": 1e-9},
        avg_request_per_minute_per_user={"mean": per_minute, "distribution": "poisson"},
        user_sampling_window=60,
    )
    servers = [
        Server(
            id=f"server{place}",
            server_resources={"cpu_cores": cores, "ram_mb": 1024},
            endpoints=[
                Endpoint(
                    endpoint_name="/e",
                    steps=[{"kind": "cpu_bound_operation", "step_operation": {"cpu_time": work_s}}],
                )
            ],
        )
        for place, (cores, work_s) in enumerate(stations)
    ]
    instant = {"mean": 1e-9, "distribution": "exponential"}
    path = ["users", "client", *(server.id for server in servers), "client"]
    edges = [
        Edge(id=f"{a}-{b}", source=a, target=b, latency=instant, dropout_rate=0.0)
        for a, b in itertools.pairwise(path)
    ]
    horizon_s = max(int(horizon_s), 5)  # it refuses less
    settings = SimulationSettings(total_simulation_time=horizon_s, sample_period_s=0.1)
    payload = (
        AsyncFlow()
        .add_generator(generator)
        .add_client(Client(id="client"))
        .add_servers(*servers)
        .add_edges(*edges)
        .add_simulation_settings(settings)
        .build_payload()
    )
    runner = SimulationRunner(env=simpy.Environment(), simulation_input=payload)
    analyzer = None

    def run():
        nonlocal analyzer
        analyzer = runner.run()

    return run, lambda: [finish - start for start, finish in analyzer._client.rqs_clock]


def sessions_of(seed, n, portals=1):
    """Return scenario and trace of n requests in sessions of five, to so many portals at once."""
    per_session, rate = 5, 40.0 * portals
    program = [{"take": "app"}, {"cpu": "app", "work": "exponential 140 ms"}]
    tiers = {"app": {"cores": CORES * portals, "workers": 100 * portals}}
    scenario = _scenario(program, tiers, n / rate, client={"patience": "30 s"})
    return scenario, _trace(seed, n // per_session, per_session, rate / per_session, 1.0)


def _scenario(program, tiers, duration_s, client=None):
    """Return a scenario of one endpoint on these tiers."""
    from sim.scenario.scenario import Scenario

    return Scenario.model_validate(
        {
            "name": "bench",
            "city": {"name": "bench"},
            "window": {"start": "2024-11-25T08:00", "duration_s": duration_s},
            "catalogue": {
                "procedures": 1,
                "integrated": 1,
                "full_process_share": 1,
                "active_share": 1,
                "limit_sigma": 1,
                "fee_share": 0,
                "fee_median_vnd": 1,
                "upload_slots_mean": 0,
                "upload_slots_max": 0,
                "e_form_share": 0,
                "domains": {"any": {"share": 1, "limit_median_days": 5}},
            },
            "demand": {
                "dossiers_per_year": 1,
                "online_share": 1,
                "months": [1] * 12,
                "weekdays": [1] * 7,
                "hours": {"flat": [1] * 24},
                "journeys": {"visit": {"per_dossier": 1, "hours": "flat"}},
            },
            "channels": {"line": {"share": 1, "uplink_bit_per_s": "100 Mbit/s"}},
            "clients": {"person": client or {}},
            "journeys": {
                "visit": {"client": "person", "steps": [{"step": "ask", "calls": {"page": 1}}]}
            },
            "portal": {
                "tiers": tiers,
                "endpoints": {"page": {"group": "browse", "program": program}},
            },
        }
    )


def _trace(seed, n_sessions, per_session, rate_per_s, think_s):
    """Return a trace of equal sessions with Poisson arrivals."""
    import numpy as np

    from sim.demand.trace import Trace
    from sim.streams import child_keys, stream

    rng = stream(seed, 0, "bench")
    n = n_sessions * per_session
    think = np.full(n, think_s)
    think[::per_session] = 0.0
    base = np.full(n, rng.integers(2**63), dtype=np.uint64)
    zeros = np.zeros(n_sessions, dtype=np.int32)
    return Trace(
        arrival_s=np.sort(rng.random(n_sessions) * n_sessions / rate_per_s),
        journey=zeros,
        service=zeros,
        channel=zeros,
        first_request=np.arange(n_sessions + 1, dtype=np.int64) * per_session,
        endpoint=np.zeros(n, dtype=np.int16),
        think_s=think,
        bytes_up=np.zeros(n, dtype=np.int64),
        flags=np.zeros(n, dtype=np.uint8),
        key=child_keys(base, np.arange(n, dtype=np.uint64)),
        journeys=("visit",),
        services=("service",),
        channels=("line",),
        endpoints=("page",),
        seed=seed,
        replication=0,
        scenario_digest="bench",
    )


TASKS = {
    task.__name__: task
    for task in (raw_simpy, hoso, ciw, asyncflow, sessions, trace, peak_hour, nothing)
}


if __name__ == "__main__":
    n, cpu_s, mean_s = TASKS[sys.argv[2]](int(sys.argv[1]), *sys.argv[3:])
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"n": n, "cpu_s": cpu_s, "rss_mib": rss_mib, "mean_s": mean_s}))
