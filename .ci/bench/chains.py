"""One measurement of a chain of stations in a process of its own: chains.py SEED PEER CHAIN N.

Customers arrive in a Poisson stream and pass the chain's stations in turn, one server each; service
is exponential. Every peer simulates the same chain and keeps every response. Prints one JSON line:
n, cpu_s, rss_mib, mean_s and its standard error error_s, left_share (of attempts).
"""

import functools
import json
import math
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Chain:
    """Stations in tandem; a customer whose patience ends asks once again, at once.

    The servers go on with what nobody waits for.
    """

    stations: tuple[tuple[int, float], ...]
    """Servers, and mean service in s."""
    rate_per_s: float
    patience_s: float = math.inf

    @property
    def is_patient(self) -> bool:
        """Whether nobody leaves."""
        return math.isinf(self.patience_s)


TANDEM = ((16, 0.112), (8, 0.064), (4, 0.024))
CHAINS = {
    "mm8": Chain(((8, 1.0),), 6.4),
    "tandem": Chain(TANDEM, 100.0),
    "retry": Chain(TANDEM, 100.0, patience_s=1.0),
}

Responses = Callable[[], tuple[list[float], float]]
"""Gives the responses in s, in any order that time allows, and the share of attempts left."""

BATCHES = 20
"""Of the standard error: long enough to be independent of each other."""


def simpy_resource(chain: Chain, seed: int, n: int) -> tuple[float, Responses]:
    """SimPy: a Resource for each station, a process for each customer (and attempt)."""
    import simpy

    rng, env = random.Random(seed), simpy.Environment()
    stations = [(simpy.Resource(env, cores), 1 / mean_s) for cores, mean_s in chain.stations]
    responses: list[float] = []
    n_left = 0

    def served():
        for resource_, rate in stations:
            with resource_.request() as turn:
                yield turn
                yield env.timeout(rng.expovariate(rate))

    def patient():
        arrived = env.now
        yield from served()
        responses.append(env.now - arrived)

    def impatient():
        nonlocal n_left
        arrived = env.now
        for _ in range(2):
            answer = env.process(served())
            if answer in (yield answer | env.timeout(chain.patience_s)):
                break
            n_left += 1
        responses.append(env.now - arrived)

    def source():
        customer = patient if chain.is_patient else impatient
        for _ in range(n):
            yield env.timeout(rng.expovariate(chain.rate_per_s))
            env.process(customer())

    env.process(source())
    return _cpu_s(env.run), lambda: (responses, n_left / (n + n_left))


def hoso_simpy(chain: Chain, seed: int, n: int) -> tuple[float, Responses]:
    """hoso's SimPy model: arrivals, levels and record tables included."""
    from sim.engine import simulate

    return _hoso(simulate, chain, seed, n)


def hoso_compiled(chain: Chain, seed: int, n: int) -> tuple[float, Responses]:
    """hoso's compiled engine: arrivals, levels and record tables included."""
    return _hoso(warm(), chain, seed, n)


def hoso_constant(chain: Chain, seed: int, n: int) -> tuple[float, Responses]:
    """The same with constant service, beside peers that draw none."""
    return _hoso(warm(), chain, seed, n, family="")


def hoso_kernel(chain: Chain, seed: int, n: int) -> tuple[float, Responses]:
    """The kernel of the compiled engine alone: neither arrivals nor tables."""
    from parts import TimedKernel

    from sim.compiled.run import run_whole

    warm()
    kernel = TimedKernel()
    _, responses = _hoso(functools.partial(run_whole, kernel), chain, seed, n)
    return kernel.cpu_s, responses


def ciw(chain: Chain, seed: int, n: int) -> tuple[float, Responses]:
    """Ciw: patience ends only in a queue there, so without."""
    import ciw as library

    size = len(chain.stations)
    network = library.create_network(
        arrival_distributions=[library.dists.Exponential(chain.rate_per_s)] + [None] * (size - 1),
        service_distributions=[library.dists.Exponential(1 / mean) for _, mean in chain.stations],
        number_of_servers=[cores for cores, _ in chain.stations],
        routing=[[float(to == at + 1) for to in range(size)] for at in range(size)],
    )
    library.seed(seed)
    simulation = library.Simulation(network)

    def responses():
        visits: dict[int, list] = {}
        for record in simulation.get_all_records():
            visits.setdefault(record.id_number, []).append(record)
        done = [visit for _, visit in sorted(visits.items()) if len(visit) == size]
        return [
            max(record.exit_date for record in visit) - min(record.arrival_date for record in visit)
            for visit in done
        ], 0.0

    return _cpu_s(lambda: simulation.simulate_until_max_customers(n)), responses


def salabim(chain: Chain, seed: int, n: int) -> tuple[float, Responses]:
    """Salabim: a Component for each customer (and attempt), as its manual writes them."""
    import salabim as library

    library.yieldless(False)
    rng, env = random.Random(seed), library.Environment(trace=False)
    stations = [(library.Resource(capacity=cores), 1 / mean_s) for cores, mean_s in chain.stations]
    responses: list[float] = []
    n_left = 0

    class Patient(library.Component):
        def process(self):
            arrived = env.now()
            yield from _served(self, stations, rng)
            responses.append(env.now() - arrived)

    class Attempt(library.Component):
        def process(self):
            yield from _served(self, stations, rng)
            if self.customer.attempt is self:
                self.customer.attempt = None
                self.customer.activate()

    class Impatient(library.Component):
        def process(self):
            nonlocal n_left
            arrived = env.now()
            for _ in range(2):
                self.attempt = Attempt()
                self.attempt.customer = self
                yield self.hold(chain.patience_s)
                if self.attempt is None:
                    break
                n_left += 1
            self.attempt = None
            responses.append(env.now() - arrived)

    class Source(library.Component):
        def process(self):
            customer = Patient if chain.is_patient else Impatient
            for _ in range(n):
                yield self.hold(rng.expovariate(chain.rate_per_s))
                customer()

    Source()
    return _cpu_s(env.run), lambda: (responses, n_left / (n + n_left))


def _served(component, stations, rng):
    for resource_, rate in stations:
        yield component.request(resource_)
        yield component.hold(rng.expovariate(rate))
        component.release(resource_)


def asyncflow(chain: Chain, seed: int, n: int) -> tuple[float, Responses]:
    """AsyncFlow: service is constant, nobody leaves, nothing can be seeded."""
    del seed
    from tasks import asyncflow_runner

    run, responses = asyncflow_runner(chain.stations, chain.rate_per_s, n / chain.rate_per_s)
    return _cpu_s(run), lambda: (responses(), 0.0)


def warm():
    """Return the compiled engine after its first run, which loads the kernel and Arrow."""
    from sim.compiled import simulate

    _hoso(simulate, CHAINS["mm8"], 1, 100)
    return simulate


def _hoso(simulate, chain: Chain, seed: int, n: int, family: str = "exponential "):
    from tasks import _scenario, _trace

    names = [f"station{place}" for place in range(len(chain.stations))]
    program = [
        {"cpu": name, "work": f"{family}{mean_s} s"}
        for name, (_, mean_s) in zip(names, chain.stations, strict=True)
    ]
    tiers = {
        name: {"cores": cores, "discipline": "fcfs"}
        for name, (cores, _) in zip(names, chain.stations, strict=True)
    }
    client = {} if chain.is_patient else {"patience": f"{chain.patience_s} s", "retries": 1}
    scenario = _scenario(program, tiers, n / chain.rate_per_s, client)
    records = None

    def run():
        nonlocal records
        records = simulate(scenario, 0, _trace(seed, n, 1, chain.rate_per_s, 0.0))

    def responses():
        sessions = records.sessions
        response_s = sessions["end_s"].to_numpy() - sessions["arrival_s"].to_numpy()
        outcomes = records.requests["outcome"].value_counts().to_pylist()
        n_left = sum(row["counts"] for row in outcomes if row["values"] == "abandoned")
        return response_s.tolist(), n_left / records.requests.num_rows

    return _cpu_s(run), responses


def _cpu_s(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _error(values: list[float]) -> float:
    """Return the standard error of a mean, from the means of batches."""
    size = len(values) // BATCHES
    means = [statistics.fmean(values[at * size : (at + 1) * size]) for at in range(BATCHES)]
    return statistics.stdev(means) / math.sqrt(BATCHES)


PEERS = {
    peer.__name__: peer
    for peer in (
        simpy_resource,
        hoso_simpy,
        hoso_compiled,
        hoso_constant,
        hoso_kernel,
        ciw,
        salabim,
        asyncflow,
    )
}


if __name__ == "__main__":
    spent_s, found = PEERS[sys.argv[2]](CHAINS[sys.argv[3]], int(sys.argv[1]), int(sys.argv[4]))
    rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    values, left_share = found()
    print(
        json.dumps(
            {
                "n": len(values),
                "cpu_s": spent_s,
                "rss_mib": rss_mib,
                "mean_s": statistics.fmean(values),
                "error_s": _error(values),
                "left_share": left_share,
            }
        )
    )
