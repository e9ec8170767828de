"""Where Python enters the offices' kernel."""

import numpy as np
from numpy.typing import NDArray

from sim.compiled.offices.kernel.loop import go_on


def run(world: NDArray[np.void]) -> None:
    """Go on with a world, an array of one, until the run is over or something is wanted."""
    go_on(world[0])
