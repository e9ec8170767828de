"""Where Python enters the kernel."""

import numpy as np
from numpy.typing import NDArray

from sim.compiled.kernel.loop import go_on


def run(world: NDArray[np.void]) -> None:
    """Go on with a world, an array of one, until the run is over or something is wanted."""
    go_on(world[0])
