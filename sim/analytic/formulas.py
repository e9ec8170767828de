"""Queueing formulas: exact where the model is Markovian, approximate where the docstring says so.

Loads are in Erlang (arrival rate × service time). A queue whose load reaches its capacity has no
steady state; its waits are infinite.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_NEGLIGIBLE = 1e-17
"""Relative weight below which further states of a birth–death chain change no double."""

_BISECTIONS = 200
"""Halvings after which an interval of doubles is down to neighbouring numbers."""


def erlang_b(servers: int, load: float) -> float:
    """Return the blocking probability of M/G/c/c; insensitive to the service distribution.

    Parameters
    ----------
    servers : int
        c, >= 0.
    load : float
        Offered load, Erlang, >= 0.

    References
    ----------
    Erlang (1917). Stable recursion: Cooper (1981), Introduction to Queueing Theory, exercise 3.4.
    """
    return mmck_blocking(servers, servers, load)


def erlang_c(servers: int, load: float) -> float:
    """Return the probability that an arrival must wait in M/M/c; 1 without a steady state.

    Parameters
    ----------
    servers : int
        c, >= 1.
    load : float
        Offered load, Erlang, >= 0.

    References
    ----------
    Erlang (1917). From Erlang B: Cooper (1981), Introduction to Queueing Theory, exercise 3.5.
    """
    if load >= servers:
        return 1.0
    blocking = erlang_b(servers, load)
    return servers * blocking / (servers - load * (1 - blocking))


def mmc_wait_mean(servers: int, rate_per_s: float, service_s: float) -> float:
    """Return the mean wait in M/M/c, s; infinite without a steady state.

    Parameters
    ----------
    servers : int
        c, >= 1.
    rate_per_s : float
        Arrival rate, 1/s, >= 0.
    service_s : float
        Mean service time, s, >= 0; may be infinite.

    References
    ----------
    Kleinrock (1975), Queueing Systems, vol. 1, section 3.5.
    """
    load = _load(rate_per_s, service_s)
    if load >= servers:
        return math.inf
    if load == 0:
        return 0.0
    return erlang_c(servers, load) * service_s / (servers - load)


def mmc_wait_quantile(
    servers: int, rate_per_s: float, service_s: float, probability: float
) -> float:
    """Return a quantile of the wait in M/M/c, first come first served, s.

    Parameters
    ----------
    servers, rate_per_s, service_s
        As in :func:`mmc_wait_mean`.
    probability : float
        Of a wait not longer than the result, 0 <= p < 1.

    References
    ----------
    Kleinrock (1975), Queueing Systems, vol. 1, section 5.7: a wait, if there is one, is
    exponential with rate c μ − λ.
    """
    load = _load(rate_per_s, service_s)
    if load >= servers:
        return math.inf
    waits = erlang_c(servers, load)
    if waits <= 1 - probability:
        return 0.0
    return math.log(waits / (1 - probability)) * service_s / (servers - load)


def mmc_response_quantile(
    servers: int, rate_per_s: float, service_s: float, probability: float
) -> float:
    """Return a quantile of wait plus service in M/M/c, first come first served, s.

    Solved numerically; parameters as in :func:`mmc_wait_quantile`.
    """
    load = _load(rate_per_s, service_s)
    if load >= servers:
        return math.inf
    waits, drain = erlang_c(servers, load), servers - load

    def exceeds(services: float) -> float:
        """Return P(response > t), t in mean service times."""
        served = math.exp(-services)
        if math.isclose(drain, 1.0, rel_tol=1e-6):
            both = (1 + services) * served
        else:
            both = (drain * served - math.exp(-drain * services)) / (drain - 1)
        return (1 - waits) * served + waits * both

    low, high = 0.0, 1.0
    while exceeds(high) > 1 - probability:
        high *= 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if exceeds(middle) > 1 - probability else (low, middle)
    return high * service_s


def mmck_blocking(servers: int, places: int, load: float) -> float:
    """Return the probability that an arrival finds M/M/c/K full.

    Parameters
    ----------
    servers : int
        c, >= 0.
    places : int
        K: servers and waiting places together, >= c.
    load : float
        Offered load, Erlang, >= 0; may exceed c.

    References
    ----------
    Kleinrock (1975), Queueing Systems, vol. 1, section 3.7; the recursion is that of Erlang B with
    min(n, c) servers at work.
    """
    blocking = 1.0
    for n in range(1, places + 1):
        grown = load * blocking
        blocking = grown / (min(n, servers) + grown) if grown > 0 else 0.0
    return blocking


def mmck_throughput(servers: int, places: int, rate_per_s: float, service_s: float) -> float:
    """Return how many per second M/M/c/K serves; parameters as above, K = ``places``."""
    return rate_per_s * (1 - mmck_blocking(servers, places, rate_per_s * service_s))


@dataclass(frozen=True, slots=True)
class Impatient:
    """Steady state of a queue whose waiting customers give up.

    Attributes
    ----------
    abandon_probability : float
        Share of the arrivals that leave unserved.
    wait_mean_s : float
        Mean time in the queue, of the served and of those who leave, s.
    queue_mean : float
        Mean number waiting.
    wait_probability : float
        Share of the arrivals that do not get a server at once.
    """

    abandon_probability: float
    wait_mean_s: float
    queue_mean: float
    wait_probability: float


def erlang_a(servers: int, rate_per_s: float, service_s: float, patience_s: float) -> Impatient:
    """Return the steady state of M/M/c+M (Erlang A).

    Parameters
    ----------
    servers : int
        c, >= 1.
    rate_per_s : float
        Arrival rate, 1/s, > 0; any load has a steady state.
    service_s, patience_s : float
        Means of the exponential service and patience, s, > 0.

    References
    ----------
    Palm (1957); Garnett, Mandelbaum and Reiman (2002), M&SOM 4(3): P(abandon) λ = θ E[queue].
    """
    weight, total, waiting, queue = 1.0, 1.0, 0.0, 0.0
    n = 0
    while n < servers or weight > _NEGLIGIBLE * total:
        n += 1
        leaving_per_s = min(n, servers) / service_s + max(n - servers, 0) / patience_s
        weight *= rate_per_s / leaving_per_s
        total += weight
        if n >= servers:
            waiting += weight
            queue += (n - servers) * weight
        if total > 1e200:
            weight, total, waiting, queue = (x * 1e-200 for x in (weight, total, waiting, queue))
    queue_mean = queue / total
    return Impatient(
        abandon_probability=queue_mean / (patience_s * rate_per_s),
        wait_mean_s=queue_mean / rate_per_s,
        queue_mean=queue_mean,
        wait_probability=waiting / total,
    )


def mg1_wait_mean(rate_per_s: float, service_s: float, service_cv: float) -> float:
    """Return the mean wait in M/G/1, first come first served, s.

    Parameters
    ----------
    rate_per_s : float
        Arrival rate, 1/s, >= 0.
    service_s : float
        Mean service time, s, >= 0.
    service_cv : float
        Its coefficient of variation, >= 0.

    References
    ----------
    Pollaczek (1930), Khinchine (1932); Kleinrock (1975), vol. 1, equation 5.70.
    """
    load = _load(rate_per_s, service_s)
    if load >= 1:
        return math.inf
    return load * service_s * (1 + service_cv**2) / (2 * (1 - load))


def mg1_ps_response_mean(rate_per_s: float, work_s: float) -> float:
    """Return the mean response of work of this size in M/G/1 with processor sharing, s.

    Insensitive to the distribution. With all work of one mean the result holds for that mean.

    References
    ----------
    Kleinrock (1976), Queueing Systems, vol. 2, section 4.4.
    """
    load = _load(rate_per_s, work_s)
    return math.inf if load >= 1 else work_s / (1 - load)


def mmc_ps_response_mean(cores: int, rate_per_s: float, work_s: float) -> float:
    """Return the mean response in M/M/c with processor sharing, s; insensitive as M/G/c-PS.

    The number present has the law of M/M/c, so by Little's law the mean response is that of first
    come first served.

    References
    ----------
    Cohen (1979), The multiple phase service network with generalized processor sharing, Acta
    Informatica 12.
    """
    return work_s + mmc_wait_mean(cores, rate_per_s, work_s)


def ps_stretch(cores: int, load: float) -> float:
    """Return mean response over work under processor sharing on some cores, >= 1."""
    return mmc_ps_response_mean(cores, load, 1.0)


def allen_cunneen_wait_mean(
    servers: int, rate_per_s: float, service_s: float, *, arrival_cv: float, service_cv: float
) -> float:
    """Return the approximate mean wait in G/G/c, s; exact for M/M/c and M/G/1.

    Parameters
    ----------
    servers, rate_per_s, service_s
        As in :func:`mmc_wait_mean`.
    arrival_cv, service_cv : float
        Coefficients of variation of the gaps between arrivals and of the service time, >= 0.

    References
    ----------
    Allen (1990), Probability, Statistics and Queueing Theory, section 5.4.
    """
    spread = (arrival_cv**2 + service_cv**2) / 2
    wait_s = mmc_wait_mean(servers, rate_per_s, service_s)
    return wait_s if math.isinf(wait_s) else wait_s * spread


def halfin_whitt_wait_probability(beta: float) -> float:
    """Return the limit of Erlang C for many servers c = R + β √R, β > 0.

    References
    ----------
    Halfin and Whitt (1981), Operations Research 29(3).
    """
    cumulative = (1 + math.erf(beta / math.sqrt(2))) / 2
    density = math.exp(-(beta**2) / 2) / math.sqrt(2 * math.pi)
    return 1 / (1 + beta * cumulative / density)


def square_root_staffing(load: float, wait_probability: float) -> int:
    """Return how many servers keep the share that must wait near a value: ⌈R + β √R⌉.

    Parameters
    ----------
    load : float
        Offered load R, Erlang, > 0.
    wait_probability : float
        Wanted share of arrivals that wait, 0 < p < 1.

    References
    ----------
    Halfin and Whitt (1981); Borst, Mandelbaum and Reiman (2004), Operations Research 52(1).
    """
    low, high = 0.0, 40.0  # the density at 40 is below the smallest double
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if halfin_whitt_wait_probability(middle) > wait_probability:
            low = middle
        else:
            high = middle
    return math.ceil(load + high * math.sqrt(load))


def tandem_response_mean(rate_per_s: float, stations: Iterable[tuple[int, float]]) -> float:
    """Return the mean time through M/M/c stations in a row (or any Jackson network's path), s.

    Parameters
    ----------
    rate_per_s : float
        Arrival rate, 1/s, >= 0.
    stations : iterable of (int, float)
        Servers and mean service time, s, of each.

    References
    ----------
    Jackson (1957), Operations Research 5(4): each station behaves as if it stood alone.
    """
    return sum(
        service_s + mmc_wait_mean(servers, rate_per_s, service_s) for servers, service_s in stations
    )


def _load(rate_per_s: float, service_s: float) -> float:
    """Return the offered load; nobody asking of an endless service is no load."""
    return rate_per_s * service_s if rate_per_s > 0 else 0.0
