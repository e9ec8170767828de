"""The command `hoso`."""

from sim.cli.main import main

__all__ = ["main"]
