"""Checks of programs: what they refer to, what they hold, and that they cannot block each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sim.scenario.base import Distribution
from sim.scenario.errors import Path, advice
from sim.scenario.portal import (
    Call,
    Compute,
    Delay,
    Enqueue,
    Op,
    Portal,
    Release,
    Take,
    Transfer,
)

MAX_DRAWS = 62
"""Random numbers a program may draw: 64 slots of a request's key, two of them the client's."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """A request may wait for ``wanted`` while it holds ``held``, without limit."""

    held: str
    wanted: str
    program: str
    path: Path


def check_programs(portal: Portal) -> Iterator[tuple[Path, str]]:
    """Yield the faults of every program, of pools' owners and of jobs' chains."""
    for name, pool in portal.pools.items():
        owner = pool.per_server_of
        if owner is not None and owner not in portal.tiers:
            path: Path = ("portal", "pools", name, "per_server_of")
            yield path, f"{owner!r} is no tier" + advice(owner, portal.tiers)
    for name, job in portal.jobs.items():
        if job.then is not None and job.then not in portal.jobs:
            yield (
                ("portal", "jobs", name, "then"),
                f"{job.then!r} is no job" + advice(job.then, portal.jobs),
            )
    for path, program in _programs(portal):
        yield from _check_references(path, program, portal)
        yield from _check_holding(path, program, portal)
        yield from _check_draws(path, program, portal)
        yield from _check_items(path, program)
    yield from _check_chains(portal)
    yield from _check_deadlocks(portal)


def _programs(portal: Portal) -> Iterator[tuple[Path, Sequence[Op]]]:
    for name, endpoint in portal.endpoints.items():
        yield ("portal", "endpoints", name, "program"), endpoint.program
    for name, job in portal.jobs.items():
        yield ("portal", "jobs", name, "program"), job.program


def _check_references(
    path: Path, program: Sequence[Op], portal: Portal
) -> Iterator[tuple[Path, str]]:
    for index, row in enumerate(program):
        key, name, kind, known = _reference(row, portal)
        if isinstance(row, Transfer) and path[1] == "jobs":
            yield (*path, index, key), "a job has no upload to transfer; use call or delay"
        elif name is not None and name not in known:
            yield (*path, index, key), f"{name!r} is no {kind}" + advice(name, known)


def _check_items(path: Path, program: Sequence[Op]) -> Iterator[tuple[Path, str]]:
    """Yield second items for one job: both would have one key, so the same luck."""
    rows: dict[str, int] = {}
    for index, row in enumerate(program):
        if isinstance(row, Enqueue):
            first = rows.setdefault(row.enqueue, index)
            if first != index:
                yield (
                    (*path, index, "enqueue"),
                    f"{row.enqueue!r} gets an item already, from row {first}; one at most",
                )


def _reference(row: Op, portal: Portal) -> tuple[str, str | None, str, Sequence[str]]:
    """Return key, name, kind and known names of what a row refers to."""
    match row:
        case Take(take=name):
            return "take", name, "tier or pool", [*portal.tiers, *portal.pools]
        case Release(release=name):
            return "release", name, "tier or pool", [*portal.tiers, *portal.pools]
        case Compute(cpu=name):
            return "cpu", name, "tier", list(portal.tiers)
        case Call(call=name):
            return "call", name, "gateway", list(portal.gateways)
        case Transfer(transfer=name):
            return "transfer", name, "link", list(portal.links)
        case Enqueue(enqueue=name):
            return "enqueue", name, "job", list(portal.jobs)
        case Delay():
            return "delay", None, "", []


def _check_holding(path: Path, program: Sequence[Op], portal: Portal) -> Iterator[tuple[Path, str]]:
    held: dict[str, int] = {}
    for index, row in enumerate(program):
        if isinstance(row, Take):
            yield from _check_take((*path, index, "take"), row.take, held, portal)
            held.setdefault(row.take, index)
        elif isinstance(row, Release) and held.pop(row.release, None) is None:
            holds = ", ".join(held) or "nothing"
            yield (*path, index, "release"), f"{row.release!r} is not held here; held: {holds}"


def _check_take(
    path: Path, name: str, held: Mapping[str, int], portal: Portal
) -> Iterator[tuple[Path, str]]:
    if name in held:
        yield path, f"{name!r} is held already, since row {held[name]}; release it first"
    pool = portal.pools.get(name)
    owner = None if pool is None else pool.per_server_of
    if owner in portal.tiers and owner not in held:
        yield path, f"{name!r} belongs to the servers of {owner!r}; take {owner} before it"


def _check_draws(path: Path, program: Sequence[Op], portal: Portal) -> Iterator[tuple[Path, str]]:
    n_draws = sum(_draws(row, portal) for row in program)
    if n_draws > MAX_DRAWS:
        yield path, f"draws {n_draws} random durations and errors; at most {MAX_DRAWS}"


def _draws(row: Op, portal: Portal) -> int:
    """Return how many random numbers a row draws."""
    match row:
        case Take(take=name):
            station = portal.tiers.get(name) or portal.pools.get(name)
            return _is_random(station.wait_limit if station else None)
        case Compute(work=duration) | Delay(delay=duration):
            return _is_random(duration)
        case Call(call=name) if name in portal.gateways:
            gateway = portal.gateways[name]
            return _is_random(gateway.latency) + (gateway.error_share > 0)
        case _:
            return 0


def _is_random(duration: Distribution | None) -> bool:
    return duration is not None and duration.is_random


def _check_chains(portal: Portal) -> Iterator[tuple[Path, str]]:
    """Yield one fault for each circle of jobs: an item in it would go round for ever."""
    follows = {
        name: [row.enqueue for row in job.program if isinstance(row, Enqueue)]
        + ([job.then] if job.then is not None else [])
        for name, job in portal.jobs.items()
    }
    for circle in _circles(follows):
        round_trip = " → ".join([*circle, circle[0]])
        yield (
            ("portal", "jobs", circle[0]),
            f"its items go round for ever: {round_trip}; break the circle of then and enqueue",
        )


def _check_deadlocks(portal: Portal) -> Iterator[tuple[Path, str]]:
    """Yield one fault for each circle of endless waiting while holding."""
    waits = {(wait.held, wait.wanted): wait for wait in _endless_waits(portal)}
    follows: dict[str, list[str]] = {}
    for held, wanted in waits:
        follows.setdefault(held, []).append(wanted)
    for circle in _circles(follows):
        links = [waits[pair] for pair in zip(circle, [*circle[1:], circle[0]], strict=True)]
        told = "; ".join(
            f"{link.program} waits for {link.wanted} holding {link.held}" for link in links
        )
        yield (
            links[0].path,
            f"possible deadlock: {told}; take them in one order, or give one a wait_limit",
        )


def _endless_waits(portal: Portal) -> Iterator[_Wait]:
    for path, program in _programs(portal):
        held: list[str] = []
        for index, row in enumerate(program):
            if isinstance(row, Take) and row.take not in held:
                if _waits_for_ever(row.take, portal):
                    place: Path = (*path, index, "take")
                    yield from (_Wait(each, row.take, str(path[2]), place) for each in held)
                held.append(row.take)
            elif isinstance(row, Release) and row.release in held:
                held.remove(row.release)


def _waits_for_ever(name: str, portal: Portal) -> bool:
    """Return whether a request may wait at a tier or pool, and without limit."""
    if name in portal.pools:
        pool = portal.pools[name]
        return pool.wait_limit is None and pool.queue_limit != 0
    tier = portal.tiers.get(name)
    if tier is None or tier.workers is None:
        return False
    return tier.wait_limit is None and tier.queue_limit != 0


def _circles(follows: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Yield circles of a graph, none sharing a node with another; none if there is none."""
    seen: set[str] = set()
    for start in follows:
        circle = None if start in seen else _circle_through(start, follows, seen)
        if circle is not None:
            seen.update(circle)
            yield circle


def _circle_through(
    start: str, follows: Mapping[str, Sequence[str]], barred: set[str]
) -> list[str] | None:
    """Return the shortest circle through a node that avoids barred ones."""
    routes = [[start]]
    visited: set[str] = set()
    for route in routes:
        for name in follows.get(route[-1], ()):
            if name == start:
                return route
            if name not in visited and name not in barred:
                visited.add(name)
                routes.append([*route, name])
    return None
