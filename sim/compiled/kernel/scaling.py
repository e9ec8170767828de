"""Autoscaling: servers follow the utilisation of their processors."""

import math

from sim.compiled.jit import kernel
from sim.compiled.kernel import tier as tiers
from sim.compiled.kernel.constants import BOOT, BOOTED, OWN, START_THREAD
from sim.compiled.kernel.events import handle_of, set_timer, start
from sim.compiled.kernel.level import advance
from sim.compiled.kernel.places import level_of, processor_of, server_of, tier_of
from sim.compiled.kernel.visit import end_thread, new_thread
from sim.compiled.structs import Thread, Tier, World

_EXACT = 1e9
"""Servers wanted are rounded to 9 digits before they are rounded up."""


@kernel
def start_watching(w: World, tier: Tier) -> None:
    """Look at the tier for the first time."""
    tier.busy_before, tier.capacity_before = _areas(w, tier)
    set_timer(w, tier.timer, tier.period_s)


@kernel
def look(w: World, tier: Tier) -> None:
    """Follow the load since the last look."""
    busy, capacity = _areas(w, tier)
    span = capacity - tier.capacity_before
    if span > 0.0:
        _follow(w, tier, (busy - tier.busy_before) / span)
    tier.busy_before, tier.capacity_before = busy, capacity
    set_timer(w, tier.timer, tier.period_s)


@kernel
def boot(w: World, thread: Thread) -> None:
    """Begin to boot the servers ordered."""
    thread.state = BOOTED
    set_timer(w, handle_of(w, thread, OWN), tier_of(w, thread.station).boot_s)


@kernel
def booted(w: World, thread: Thread) -> None:
    """Take the servers ordered into service."""
    tier, servers = tier_of(w, thread.station), thread.number
    end_thread(w, thread)
    tier.booting -= servers
    tier.changed_at = w.now
    tiers.scale_to(w, tier, tier.in_service + servers)


@kernel
def _wanted_servers(tier: Tier, utilisation: float) -> int:
    wanted = tier.in_service * utilisation / tier.target_utilisation
    servers = math.ceil(round(wanted * _EXACT) / _EXACT)
    return min(max(servers, tier.min_servers), tier.max_servers)


@kernel
def _follow(w: World, tier: Tier, utilisation: float) -> None:
    wanted = _wanted_servers(tier, utilisation)
    missing = wanted - tier.in_service - tier.booting
    if missing > 0:
        tier.booting += missing
        tier.changed_at = w.now
        thread = new_thread(w, BOOT)
        thread.number, thread.station = missing, _number(w, tier)
        start(w, START_THREAD, thread.id)
    elif wanted < tier.in_service and not tier.booting and _has_cooled(w, tier):
        tier.changed_at = w.now
        tiers.scale_to(w, tier, wanted)


@kernel
def _has_cooled(w: World, tier: Tier) -> bool:
    return w.now - tier.changed_at >= tier.cooldown_s


@kernel
def _number(w: World, tier: Tier) -> int:
    """Return the index of a tier: their timers follow one another."""
    return tier.timer - w.first_tier_timer


@kernel
def _areas(w: World, tier: Tier) -> tuple[float, float]:
    """Return the integrals so far of busy cores and of cores, over the tier's servers."""
    busy, capacity = 0.0, 0.0
    for number in range(tier.first_server, tier.first_server + tier.n_servers):
        level = level_of(w, processor_of(w, server_of(w, number).processor).level)
        advance(w, level)
        busy += level.busy_total + level.busy_area
        capacity += level.capacity_total + level.capacity_area
    return busy, capacity
