"""Tiers: servers, and the balancer before them."""

from sim.compiled.jit import inlined, kernel
from sim.compiled.kernel import pool as pools
from sim.compiled.kernel import processor as processors
from sim.compiled.kernel.constants import (
    BREAK_OFF,
    LEAST_CONNECTIONS,
    NONE,
    ROUND_ROBIN,
    SHARED,
)
from sim.compiled.kernel.events import start
from sim.compiled.kernel.places import (
    attached_of,
    binding_of,
    pool_of,
    processor_of,
    server_of,
    tier_of,
    unit_of,
    up_of,
)
from sim.compiled.structs import Server, Thread, Tier, World


@inlined
def choose(w: World, tier: Tier) -> int:
    """Return the server for the next request, or NONE when none is up."""
    if tier.n_up == 0:
        return NONE
    chosen = 0
    if tier.n_up > 1:
        if tier.balancing == ROUND_ROBIN:
            chosen = tier.turn % tier.n_up
            tier.turn += 1
        elif tier.balancing == LEAST_CONNECTIONS:
            chosen = _least_occupied(w, tier)
    return up_of(w, tier.first_up + chosen).value


@inlined
def enter(w: World, thread: Thread, place: int, number: int) -> None:
    """Bind a thread to a server: it is lost with it."""
    at = thread.id * w.binding_stride + place
    binding = binding_of(w, at)
    binding.server = number
    server = server_of(w, number)
    if tier_of(w, server.tier).is_watched:
        binding.prev, binding.next = server.tail, NONE
        if server.tail == NONE:
            server.head = at
        else:
            binding_of(w, server.tail).next = at
        server.tail = at


@kernel
def leave(w: World, thread: Thread, place: int) -> None:
    """Let go of a server, if one is used."""
    binding = binding_of(w, thread.id * w.binding_stride + place)
    if binding.server == NONE:
        return
    server = server_of(w, binding.server)
    binding.server = NONE
    if tier_of(w, server.tier).is_watched:
        if binding.prev == NONE:
            server.head = binding.next
        else:
            binding_of(w, binding.prev).next = binding.next
        if binding.next == NONE:
            server.tail = binding.prev
        else:
            binding_of(w, binding.next).prev = binding.prev


@kernel
def scale_to(w: World, tier: Tier, servers: int) -> None:
    """Set the number of servers in service; one taken out finishes what it has."""
    tier.in_service = servers
    _apply(w, tier)


@kernel
def lose(w: World, tier: Tier, servers: int, fault: int) -> None:
    """Lose servers that are up, those of the highest index first; their requests fail."""
    left, lowest = servers, tier.in_service
    while left > 0 and lowest > 0:
        lowest -= 1
        unit = unit_of(w, tier.first_unit + lowest)
        if unit.value == NONE:
            unit.value = fault
            left -= 1
    _apply(w, tier)
    if tier.balancing != SHARED:
        for index in range(lowest, tier.in_service):
            if unit_of(w, tier.first_unit + index).value == fault:
                _break_off_all(w, server_of(w, tier.first_server + index))


@kernel
def restore(w: World, tier: Tier, fault: int) -> None:
    """Bring back the servers that a fault took; one taken out of service meanwhile stays out."""
    for index in range(tier.n_units):
        unit = unit_of(w, tier.first_unit + index)
        if unit.value == fault:
            unit.value = NONE
    _apply(w, tier)


@kernel
def set_slowness(w: World, tier: Tier, factor: float) -> None:
    """Divide the speed of every processor by a factor."""
    for number in range(tier.first_server, tier.first_server + tier.n_servers):
        processors.set_speed(w, processor_of(w, server_of(w, number).processor), 1.0 / factor)


@kernel
def _least_occupied(w: World, tier: Tier) -> int:
    """Return which of the servers that are up has the fewest requests."""
    chosen, least = 0, -1
    for place in range(tier.n_up):
        server = server_of(w, up_of(w, tier.first_up + place).value)
        occupancy = max(
            pools.occupancy(w, pool_of(w, server.pool)),
            processors.occupancy(w, processor_of(w, server.processor)),
        )
        if least < 0 or occupancy < least:
            chosen, least = place, occupancy
    return chosen


@kernel
def _break_off_all(w: World, server: Server) -> None:
    """Break off every request on a server, in order of arrival."""
    at = server.head
    while at != NONE:
        start(w, BREAK_OFF, at // w.binding_stride)
        at = binding_of(w, at).next


@kernel
def _is_lost(w: World, tier: Tier, index: int) -> bool:
    return unit_of(w, tier.first_unit + index).value != NONE


@kernel
def _apply(w: World, tier: Tier) -> None:
    """Make capacity follow the servers that are up."""
    if tier.balancing == SHARED:
        units = 0
        for index in range(tier.in_service):
            if not _is_lost(w, tier, index):
                units += 1
        _resize(w, tier, server_of(w, tier.first_server), units)
    else:
        for index in range(tier.n_servers):
            server = server_of(w, tier.first_server + index)
            if index >= tier.in_service:
                _drain(w, tier, server)
            elif _is_lost(w, tier, index):
                _resize(w, tier, server, 0)
            else:
                _resize(w, tier, server, 1)
    _list_those_up(w, tier)


@kernel
def _resize(w: World, tier: Tier, server: Server, units: int) -> None:
    """Give a server the workers, the pools' tokens and the cores of so many servers."""
    server.is_up = 1 if units > 0 else 0
    pools.set_servers(w, pool_of(w, server.pool), units)
    for place in range(tier.n_attached):
        number = attached_of(w, tier.first_attached + place).value + server.index
        pools.set_servers(w, pool_of(w, number), units)
    processors.set_cores(w, processor_of(w, server.processor), float(units * tier.cores))


@kernel
def _drain(w: World, tier: Tier, server: Server) -> None:
    """Take no more requests; what is here is finished, on capacity that no longer counts."""
    server.is_up = 0
    pools.retire(w, pool_of(w, server.pool))
    for place in range(tier.n_attached):
        number = attached_of(w, tier.first_attached + place).value + server.index
        pools.retire(w, pool_of(w, number))
    processors.retire(w, processor_of(w, server.processor))


@kernel
def _list_those_up(w: World, tier: Tier) -> None:
    tier.n_up = 0
    for number in range(tier.first_server, tier.first_server + tier.n_servers):
        if server_of(w, number).is_up:
            up_of(w, tier.first_up + tier.n_up).value = number
            tier.n_up += 1
