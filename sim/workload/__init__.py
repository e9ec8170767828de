"""The workload: what reaches the portal, and what goes on from there to the offices."""

from sim.workload.drawing import (
    SimulateOffices,
    draw_workload,
    draw_workload_chunks,
    expected_workload,
)

__all__ = ["SimulateOffices", "draw_workload", "draw_workload_chunks", "expected_workload"]
