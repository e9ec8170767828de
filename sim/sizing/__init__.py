"""Sizing: the smallest capacity that meets the targets, returned as a few lines of YAML."""

from sim.sizing.answer import Sizing, render, write_override
from sim.sizing.search import size

__all__ = ["Sizing", "render", "size", "write_override"]
