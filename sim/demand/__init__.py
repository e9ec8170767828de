"""Demand: who comes, when, wanting what; no clock, no SimPy."""

from sim.demand.catalogue import (
    Catalogue,
    CatalogueError,
    catalogue_of,
    load_catalogue,
    save_catalogue,
)
from sim.demand.drawing import draw_trace, draw_trace_chunks, expected_size
from sim.demand.errors import DemandError
from sim.demand.sessions import OfficerSessions
from sim.demand.trace import Trace, load_trace, save_trace

__all__ = [
    "Catalogue",
    "CatalogueError",
    "DemandError",
    "OfficerSessions",
    "Trace",
    "catalogue_of",
    "draw_trace",
    "draw_trace_chunks",
    "expected_size",
    "load_catalogue",
    "load_trace",
    "save_catalogue",
    "save_trace",
]
