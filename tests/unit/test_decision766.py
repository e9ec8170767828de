"""Decision 766: what a simulation says of the index, and what it cannot."""

import math

import pytest

from sim.metrics.decision766 import POINTS, components


def test_the_components_give_a_hundred_points() -> None:
    assert sum(POINTS.values()) == 100
    assert [part.name for part in components(1.0)] == list(POINTS)


@pytest.mark.parametrize(("on_time", "points"), [(0.0, 0.0), (0.9, 18.0), (1.0, 20.0)])
def test_progress_is_twenty_points_times_the_share_in_time(on_time: float, points: float) -> None:
    progress = {part.name: part for part in components(on_time)}["progress"]
    assert progress.points == pytest.approx(points)
    assert progress.reason is None


def test_only_progress_can_be_told() -> None:
    told = [part.name for part in components(0.5) if part.points is not None]
    assert told == ["progress"]
    assert all(part.reason for part in components(0.5) if part.points is None)


def test_without_a_term_nothing_can_be_told() -> None:
    progress = {part.name: part for part in components(math.nan)}["progress"]
    assert progress.points is None
    assert "no term ends" in str(progress.reason)
