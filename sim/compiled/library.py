"""The compiled kernel: loaded from the cache, or compiled."""
from collections.abc import Callable
from typing import Any
Kernel = Callable[[Any], None]

def load_kernel(tell=None) -> Kernel:
    import numba
    from sim.compiled.kernel.entry import run
    return numba.njit(nogil=True, error_model="numpy")(run)
