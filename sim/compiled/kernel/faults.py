"""Faults: each strikes at its time and is mended at its time."""

from sim.compiled.jit import kernel
from sim.compiled.kernel import link as links
from sim.compiled.kernel import tier as tiers
from sim.compiled.kernel.constants import (
    GATEWAY_DOWN,
    GATEWAY_SLOW,
    JOB_STOPPED,
    LINK_SLOW,
    MOMENTS,
    SERVER_LOST,
    TIER_SLOW,
)
from sim.compiled.kernel.events import set_early_timer
from sim.compiled.kernel.places import gateway_of, job_of, link_of, moment_of, tier_of
from sim.compiled.structs import Moment, World


@kernel
def begin(w: World) -> None:
    """Let everything strike that strikes at the start; wait for the next moment."""
    while w.next_moment < w.n_moments and moment_of(w, w.next_moment).at_s <= 0.0:
        _act(w, moment_of(w, w.next_moment))
        w.next_moment += 1
    _wait(w)


@kernel
def act(w: World) -> None:
    """Let the present moment's fault strike or be mended; wait for the next."""
    _act(w, moment_of(w, w.next_moment))
    w.next_moment += 1
    _wait(w)


@kernel
def _wait(w: World) -> None:
    """Wait for the next moment, which at its time comes before everything else."""
    if w.next_moment < w.n_moments:
        at_s = moment_of(w, w.next_moment).at_s
        set_early_timer(w, MOMENTS, at_s)


@kernel
def _act(w: World, moment: Moment) -> None:
    kind, strikes = moment.kind, moment.is_strike
    factor = moment.factor if strikes else 1.0
    if kind == SERVER_LOST:
        tier = tier_of(w, moment.target)
        if strikes:
            tiers.lose(w, tier, moment.servers, moment.fault)
        else:
            tiers.restore(w, tier, moment.fault)
    elif kind == TIER_SLOW:
        tiers.set_slowness(w, tier_of(w, moment.target), factor)
    elif kind == LINK_SLOW:
        links.set_slowness(w, link_of(w, moment.target), factor)
    elif kind == JOB_STOPPED:
        job_of(w, moment.target).is_stopped = strikes
    elif kind == GATEWAY_DOWN:
        gateway_of(w, moment.target).is_down = strikes
    elif kind == GATEWAY_SLOW:
        gateway_of(w, moment.target).slowness = factor
    else:
        gateway_of(w, moment.target).silent_until = moment.until_s if strikes else 0.0
