"""What a scenario means before anything runs, and what a run answered: text for the terminal."""

from sim.explain.answers import answer, target_table
from sim.explain.scenarios import explain

__all__ = ["answer", "explain", "target_table"]
