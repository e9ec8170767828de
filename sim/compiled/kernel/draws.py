"""The random numbers of an attempt, those that ``sim.model.draws`` gives, bit for bit."""

import math

import numpy as np

from sim import streams
from sim.compiled.jit import kernel
from sim.compiled.kernel.constants import EXPONENTIAL, LOGNORMAL, NONE, UNIFORM
from sim.compiled.structs import Op, Thread

_GAMMA = np.uint64(streams.GAMMA)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _12, _1 = (np.uint64(number) for number in (30, 27, 31, 12, 1))
_UNIT = 2.0**-52
_SLOTS = streams.SLOTS_PER_ATTEMPT
_TWO_PI = 2.0 * math.pi


@kernel
def mix(z: np.uint64) -> np.uint64:
    """Return the SplitMix64 output of one state."""
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)


@kernel
def child_key(key: np.uint64, index: int) -> np.uint64:
    """Return the key of a part of an entity."""
    return mix(key ^ mix(np.uint64(index) * _GAMMA + _1))


@kernel
def uniform(key: np.uint64, attempt: int, slot: int, half: int) -> float:
    """Return the uniform number of one entity, attempt, slot and half."""
    counter = np.uint64(attempt * _SLOTS + 2 * slot + half + 1)
    return (np.int64(mix(key + counter * _GAMMA) >> _12) + 0.5) * _UNIT


@kernel
def variate(
    family: int, mean: float, sigma: float, key: np.uint64, attempt: int, slot: int
) -> float:
    """Return one variate; of a log-normal ``mean`` is the mean of the log."""
    if family == EXPONENTIAL:
        return -mean * math.log(uniform(key, attempt, slot, 0))
    if family == UNIFORM:
        return 2.0 * mean * uniform(key, attempt, slot, 0)
    if family == LOGNORMAL:
        first, second = uniform(key, attempt, slot, 0), uniform(key, attempt, slot, 1)
        normal = math.sqrt(-2.0 * math.log(first)) * math.cos(_TWO_PI * second)
        return math.exp(mean + sigma * normal)
    return mean


@kernel
def duration_s(thread: Thread, op: Op) -> float:
    """Return the duration of an operation for one attempt, s; infinite without one."""
    if op.slot == NONE:
        return op.mean
    return variate(op.family, op.mean, op.sigma, thread.key, thread.number, op.slot)


@kernel
def is_error(thread: Thread, op: Op) -> bool:
    """Return whether the error coin of a call says so."""
    if op.coin == NONE:
        return False
    return uniform(thread.key, thread.number, op.coin, 0) < op.error_share
