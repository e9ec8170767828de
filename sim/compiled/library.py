"""The kernel as machine code: loaded from a folder of the user, or compiled into it."""

import contextlib
import functools
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.compiled.errors import CompiledEngineError

if TYPE_CHECKING:
    from sim.compiled.program import Table

Kernel = Callable[["Table"], None]
"""Goes on with a world until the run is over or something is wanted."""

Tell = Callable[[str], None]

CACHE_VARIABLE = "HOSO_CACHE"
"""Environment variable that names the folder of compiled kernels."""

_SOURCES = ("compiled/structs.py", "compiled/jit.py", "compiled/kernel/*.py")
_SOURCES_OF_CONSTANTS = ("streams.py", "results/records.py", "demand/trace.py", "model/draws.py")
_OTHERWISE = "--engine simpy runs without it"
_WORD_BITS = 64


def compile_kernel(tell: Tell | None = None) -> None:
    """Load the compiled kernel, or compile it, which takes about half a minute.

    It is kept in ``cache_folder()``, so once for each version of hoso, Numba and kind of processor.

    Parameters
    ----------
    tell : callable, optional
        Told once what is waited for, if the kernel has to be compiled.

    Raises
    ------
    CompiledEngineError
        When Numba is missing or fails, or no folder can be written.
    """
    folder = cache_folder()
    if tell is not None and not any(folder.rglob("*.nbc")):
        tell("compiling the simulator's kernel, once; this takes about half a minute")
    load_kernel()


@functools.cache
def load_kernel() -> Kernel:
    """Return the kernel; within a process the same.

    Raises
    ------
    CompiledEngineError
        See :func:`compile_kernel`.
    """
    numba = _numba()
    folder = cache_folder()
    from sim.compiled.kernel.entry import run
    from sim.compiled.structs import World, dtype_of

    world = numba.from_dtype(dtype_of(World))
    with _caching_in(folder), _explained(folder):
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(run)
        compiled.compile((numba.types.Array(world, 1, "C", aligned=True),))
    kernel: Kernel = compiled
    return kernel


def cache_folder() -> Path:
    """Return the folder of this kernel on this machine: of these sources, this Numba, this CPU.

    The environment may say where (``HOSO_CACHE``); else it lies in the user's cache folder, or in
    the one for temporary files where that cannot be written.

    Raises
    ------
    CompiledEngineError
        When Numba is missing, or no folder can be written.
    """
    name = f"kernel-{_digest()}"
    for folder in _candidates():
        if _is_writable(folder):
            return folder / name
    tried = ", ".join(map(str, _candidates()))
    raise CompiledEngineError(
        f"no folder for the compiled kernel can be written (tried {tried}): let {CACHE_VARIABLE} "
        f"name one; {_OTHERWISE}"
    )


def _candidates() -> list[Path]:
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return [Path(chosen)]
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return [Path(home) / "hoso", Path(tempfile.gettempdir()) / f"hoso-{user}"]


def _is_writable(folder: Path) -> bool:
    """Whether files can be put into a folder of our own; makes it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            # What lies there is loaded as code: it must not be somebody else's.
            return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except OSError:
        return False


@functools.cache
def _digest() -> str:
    """Return a hash of all that decides the machine code, 16 hex digits."""
    from llvmlite.binding import get_host_cpu_features, get_host_cpu_name

    numba = _numba()
    root = Path(__file__).parent.parent
    digest = hashlib.sha256(f"{numba.__version__} {sys.version} {get_host_cpu_name()}".encode())
    digest.update(get_host_cpu_features().flatten().encode())
    for pattern in (*_SOURCES, *_SOURCES_OF_CONSTANTS):
        for path in sorted(root.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _numba() -> Any:
    """Return Numba."""
    if sys.maxsize < 2 ** (_WORD_BITS - 1) - 1:
        raise CompiledEngineError(f"the compiled engine needs a 64-bit Python; {_OTHERWISE}")
    try:
        import numba
    except ImportError as error:
        raise CompiledEngineError(
            f"Numba cannot be imported ({error}): install hoso again; {_OTHERWISE}"
        ) from error
    return numba


@contextlib.contextmanager
def _caching_in(folder: Path) -> Iterator[None]:
    """Let Numba keep what it compiles in a folder, meanwhile."""
    config = _numba().config
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Say what to do when the kernel can be neither loaded nor compiled."""
    was_there = any(folder.rglob("*.nb?"))
    try:
        yield
    except Exception as error:  # whatever unpickling damaged files, or a compiler, may raise
        what = f"{type(error).__name__}: {error}"
        if was_there:
            raise CompiledEngineError(
                f"the compiled kernel in {folder} cannot be loaded ({what}): delete that folder, "
                f"it is compiled again; {_OTHERWISE}"
            ) from error
        raise CompiledEngineError(
            f"the kernel cannot be compiled here ({what}); {_OTHERWISE}"
        ) from error


if __name__ == "__main__":
    load_kernel()
