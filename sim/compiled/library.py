"""The kernel as machine code: loaded from a folder of the user, or compiled into it."""

import contextlib
import functools
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.compiled.errors import CompiledEngineError

if TYPE_CHECKING:
    from sim.compiled.stations import Table

Kernel = Callable[["Table"], None]
"""Goes on with a world until the run is over or something is wanted."""

Tell = Callable[[str], None]

CACHE_VARIABLE = "HOSO_CACHE"
"""Environment variable that names the folder of compiled kernels."""

_SOURCES = ("compiled/structs.py", "compiled/jit.py", "compiled/kernel/*.py")
_SOURCES_OF_CONSTANTS = ("streams.py", "results/records.py", "demand/trace.py", "model/draws.py")
_LARGEST_OF_64_BITS = 2**63 - 1
_OTHERWISE = "--engine simpy runs without it"


def compile_kernel(tell: Tell | None = None) -> None:
    """Load the compiled kernel; see :func:`sim.compiled.compile_kernel`."""
    if tell is not None and not _is_compiled(cache_folder()):
        tell("compiling the simulator's kernel, this once; it takes about half a minute")
    load_kernel()


@functools.cache
def load_kernel() -> Kernel:
    """Return the kernel; within a process always the same one.

    What is not compiled yet is compiled by another process and then loaded: the process that
    compiles has the parts of the kernel scattered over its memory, which takes twice the time to
    run.

    Raises
    ------
    CompiledEngineError
        When Numba is missing or fails, or no folder can be written.
    """
    folder = cache_folder()
    if not _is_compiled(folder):
        _compile_apart(folder)
    try:
        return _kernel_of(folder)
    except Exception as error:  # whatever unpickling damaged files may raise
        raise CompiledEngineError(
            f"the compiled kernel in {folder} cannot be loaded ({type(error).__name__}: {error}): "
            f"delete that folder, and it is compiled again; {_OTHERWISE}"
        ) from error


def cache_folder() -> Path:
    """Return the folder of this kernel on this machine: of these sources, this Numba, this CPU.

    The environment may say where (``HOSO_CACHE``); else it lies in the user's cache folder, or in
    the one for temporary files where that cannot be written.

    Raises
    ------
    CompiledEngineError
        When Numba is missing, or no folder can be written.
    """
    for folder in _candidates():
        if _is_own(folder):
            return folder / f"kernel-{_digest()}"
    tried = ", ".join(map(str, _candidates()))
    raise CompiledEngineError(
        f"no folder for the compiled kernel can be written (tried {tried}): let {CACHE_VARIABLE} "
        f"name one; {_OTHERWISE}"
    )


def _candidates() -> list[Path]:
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return [Path(chosen).expanduser()]
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return [
        Path(home).expanduser() / "hoso",
        Path(tempfile.gettempdir()) / f"hoso-{user}",
    ]


def _is_own(folder: Path) -> bool:
    """Whether files can be put into a folder, and nobody else's are there: they are run as code."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    except OSError:
        return False


@functools.cache
def _digest() -> str:
    """Return a hash of all that decides the machine code, 16 hex digits."""
    numba = _numba()
    from llvmlite.binding import (  # type: ignore[import-untyped]
        get_host_cpu_features,
        get_host_cpu_name,
    )

    root = Path(__file__).parent.parent
    machine = f"{numba.__version__} {sys.version} {get_host_cpu_name()} "
    digest = hashlib.sha256((machine + get_host_cpu_features().flatten()).encode())
    for pattern in (*_SOURCES, *_SOURCES_OF_CONSTANTS):
        for path in sorted(root.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _numba() -> Any:
    """Return Numba."""
    if sys.maxsize < _LARGEST_OF_64_BITS:
        raise CompiledEngineError(f"the compiled engine needs a 64-bit Python; {_OTHERWISE}")
    try:
        import numba
    except ImportError as error:
        raise CompiledEngineError(
            f"Numba cannot be imported ({error}): install hoso again; {_OTHERWISE}"
        ) from error
    return numba


def _is_compiled(folder: Path) -> bool:
    """Whether a folder holds machine code; Numba writes each of its files whole."""
    return any(folder.rglob("*.nbc")) and any(folder.rglob("*.nbi"))


def _compile_apart(folder: Path) -> None:
    """Compile the kernel into its folder, in a process of its own."""
    python_path = os.pathsep.join(filter(None, sys.path))
    compiler = subprocess.run(
        [sys.executable, "-m", "sim.compiled.library", str(folder)],
        env=os.environ | {"PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        check=False,
    )
    if compiler.returncode or not _is_compiled(folder):
        said = compiler.stderr.strip().splitlines() or [f"exit code {compiler.returncode}"]
        raise CompiledEngineError(f"the kernel cannot be compiled here ({said[-1]}); {_OTHERWISE}")


def _kernel_of(folder: Path) -> Kernel:
    """Return the kernel that Numba keeps in a folder; it is compiled if it is not there."""
    numba = _numba()
    from sim.compiled.kernel.entry import run
    from sim.compiled.structs import World, dtype_of

    world = numba.from_dtype(dtype_of(World))
    with _caching_in(folder):
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(run)
        compiled.compile((numba.types.Array(world, 1, "C", aligned=True),))
    kernel: Kernel = compiled
    return kernel


@contextlib.contextmanager
def _caching_in(folder: Path) -> Iterator[None]:
    """Let Numba keep what it compiles in a folder, meanwhile."""
    config = _numba().config
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


if __name__ == "__main__":
    _kernel_of(Path(sys.argv[1]))
