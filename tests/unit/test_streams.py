"""Random numbers by name and by key."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from sim.streams import (
    GAMMA,
    child_key,
    child_keys,
    mix,
    mix_array,
    stream,
    uniform,
    uniform_array,
)

MASK = 2**64 - 1
SOME_KEYS = np.array([0, 1, 2, 12345678901234567890, MASK], dtype=np.uint64)


def test_mix_is_the_published_splitmix64():
    outputs = [mix(seed * GAMMA) for seed in (1, 2, 3)]
    assert outputs == [16294208416658607535, 7960286522194355700, 487617019471545679]


def test_arrays_are_mixed_as_single_numbers_are():
    assert mix_array(SOME_KEYS).tolist() == [mix(key) for key in SOME_KEYS.tolist()]


def test_children_of_arrays_are_those_of_single_keys():
    indices = np.array([0, 1, 7, 2**32, MASK], dtype=np.uint64)
    single = [
        child_key(key, i) for key, i in zip(SOME_KEYS.tolist(), indices.tolist(), strict=True)
    ]
    assert child_keys(SOME_KEYS, indices).tolist() == single


def test_one_index_gives_every_key_its_child():
    index = np.array([2**32], dtype=np.uint64)
    single = [child_key(key, 2**32) for key in SOME_KEYS.tolist()]
    assert child_keys(SOME_KEYS, index).tolist() == single


@pytest.mark.parametrize("attempt", [0, 1, 20])
@pytest.mark.parametrize("slot", [0, 63])
@pytest.mark.parametrize("half", [0, 1])
def test_uniforms_of_arrays_are_those_of_single_keys(attempt, slot, half):
    single = [uniform(key, attempt, slot, half) for key in SOME_KEYS.tolist()]
    assert uniform_array(SOME_KEYS, attempt, slot, half).tolist() == single


def test_a_uniform_is_never_exactly_0_or_1():
    highest, lowest = (_unmix(bits) - GAMMA & MASK for bits in (MASK, 0))
    assert 0.0 < uniform(lowest, 0, 0) < 1e-15
    assert 1.0 - 1e-15 < uniform(highest, 0, 0) < 1.0


def test_uniforms_are_uniform():
    u = uniform_array(_keys(200_000), 0, 3)
    counts = np.bincount((u * 1000).astype(int), minlength=1000)
    assert stats.chisquare(counts).pvalue > 0.001


def test_first_and_second_half_fill_the_square_evenly():
    keys = _keys(200_000)
    first, second = uniform_array(keys, 0, 3), uniform_array(keys, 0, 3, 1)
    cell = (first * 30).astype(int) * 30 + (second * 30).astype(int)
    assert stats.chisquare(np.bincount(cell, minlength=900)).pvalue > 0.001


@pytest.mark.parametrize(
    ("one", "other"),
    [((0, 0), (0, 1)), ((0, 0), (1, 0)), ((0, 63), (1, 0)), ((2, 5), (3, 5))],
)
def test_attempts_and_slots_do_not_correlate(one, other):
    keys = _keys(100_000)
    r = np.corrcoef(uniform_array(keys, *one), uniform_array(keys, *other))[0, 1]
    assert abs(r) < 4 / np.sqrt(len(keys))


def test_neighbouring_children_do_not_correlate():
    u = uniform_array(_keys(100_000), 0, 0)
    r = np.corrcoef(u[:-1], u[1:])[0, 1]
    assert abs(r) < 4 / np.sqrt(len(u))


def test_children_are_all_different():
    assert len(np.unique(_keys(500_000))) == 500_000


def test_a_stream_is_named_by_seed_replication_and_name():
    def first(*address):
        return stream(*address).random()

    address = (1, 2, "demand.arrivals")
    assert first(*address) == first(*address)
    others = {first(2, 2, "demand.arrivals"), first(1, 3, "demand.arrivals"), first(1, 2, "other")}
    assert len(others | {first(*address)}) == 4


def test_random_numbers_do_not_depend_on_the_hash_seed():
    code = "from sim.streams import *; print(stream(1, 2, 'a').random(), uniform(3, 0, 0))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def _keys(n):
    return child_keys(np.array([42], dtype=np.uint64), np.arange(n, dtype=np.uint64))


def _unmix(z):
    """Invert ``mix``: undo each step, the last first."""
    z = _undo_shift(z, 31)
    z = z * pow(0x94D049BB133111EB, -1, 2**64) & MASK
    z = _undo_shift(z, 27)
    z = z * pow(0xBF58476D1CE4E5B9, -1, 2**64) & MASK
    return _undo_shift(z, 30)


def _undo_shift(z, bits):
    result = z
    for _ in range(64 // bits + 1):
        result = z ^ (result >> bits)
    return result
