"""Random numbers addressed by name, never by position.

Two kinds. A *stream* serves one vectorised draw of one replication. A *key* belongs to one entity
(a request, a job item): whatever that entity draws is a pure function of its key, the attempt and a
slot number, so two systems that serve the same entity give it the same luck (common random
numbers), and a second implementation can reproduce every draw.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

GAMMA = 0x9E3779B97F4A7C15
"""Increment of the SplitMix64 sequence."""

SLOTS_PER_ATTEMPT = 128
"""Uniforms reserved for one attempt: 64 slots of two."""

_MASK = 0xFFFFFFFFFFFFFFFF
_UNIT = 2.0**-52  # with 52 bits and a half, the ends 0 and 1 are never rounded to


def stream(seed: int, replication: int, name: str) -> np.random.Generator:
    """Return the generator of one random source in one replication.

    Parameters
    ----------
    seed : int
        The scenario's seed, >= 0.
    replication : int
        Index of the replication, >= 0; reached directly, without drawing the earlier ones.
    name : str
        Dotted name of the source, such as ``"demand.arrivals"``.
    """
    key = (replication, zlib.crc32(name.encode()))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def mix(state: int) -> int:
    """Return the SplitMix64 output of one 64-bit state.

    References
    ----------
    Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, OOPSLA.
    """
    z = state & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def mix_array(states: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return :func:`mix` of every element, as a new array of the same shape."""
    z = states.copy()
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def child_key(key: int, index: int) -> int:
    """Return the key of a part of an entity, such as a job item born of a request."""
    return mix(key ^ mix(index * GAMMA + 1))


def child_keys(keys: NDArray[np.uint64], indices: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return :func:`child_key` element by element."""
    return mix_array(keys ^ mix_array(indices * np.uint64(GAMMA) + np.uint64(1)))


def uniform(key: int, attempt: int, slot: int, half: int = 0) -> float:
    """Return the uniform number of one entity, attempt and slot, in (0, 1).

    Parameters
    ----------
    key : int
        Key of the entity, 64 bits.
    attempt : int
        0 for the first attempt.
    slot : int
        0 to 63: which draw of the attempt.
    half : int
        0 or 1: a normal variate needs two uniforms.
    """
    counter = attempt * SLOTS_PER_ATTEMPT + 2 * slot + half + 1
    return ((mix(key + counter * GAMMA) >> 12) + 0.5) * _UNIT


def uniform_array(
    keys: NDArray[np.uint64], attempt: int, slot: int, half: int = 0
) -> NDArray[np.float64]:
    """Return :func:`uniform` for many keys, shape of ``keys``, the same numbers bit for bit."""
    counter = attempt * SLOTS_PER_ATTEMPT + 2 * slot + half + 1
    offset = np.uint64(counter * GAMMA & _MASK)
    bits = mix_array(keys + offset) >> np.uint64(12)
    return (bits.astype(np.float64) + 0.5) * _UNIT
