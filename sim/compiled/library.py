"""The kernels as machine code: loaded from a folder of the user, or compiled into it."""

import contextlib
import functools
import hashlib
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Source:
    """What a kernel is compiled from.

    Attributes
    ----------
    name : str
        Its folder begins so.
    package : str
        Where ``structs`` with the ``World`` and ``kernel.entry`` lie.
    files : tuple of str
        Everything that decides the machine code; patterns, relative to ``sim``.
    """

    name: str
    package: str
    files: tuple[str, ...]


_OF_BOTH = ("compiled/structs.py", "compiled/jit.py", "streams.py")

PORTAL = Source(
    "kernel",
    "sim.compiled",
    (*_OF_BOTH, "compiled/kernel/*.py", "results/records.py", "demand/trace.py", "model/draws.py"),
)
"""The portal's kernel."""
OFFICES = Source(
    "offices",
    "sim.compiled.offices",
    (
        *_OF_BOTH,
        "compiled/kernel/draws.py",
        "compiled/kernel/constants.py",
        "compiled/offices/structs.py",
        "compiled/offices/kernel/*.py",
        "backoffice/workflow.py",
        "calendars/working_time.py",
    ),
)
"""The offices' kernel."""

_LARGEST_OF_64_BITS = 2**63 - 1
_OTHERWISE = "--engine simpy runs without it"


def compile_kernel(tell: Tell | None = None, source: Source = PORTAL) -> None:
    """Load a compiled kernel; see :func:`sim.compiled.compile_kernel`."""
    if tell is not None and not _is_compiled(cache_folder(source)):
        of = "" if source == PORTAL else f" of the {source.name}"
        tell(f"compiling the simulator's kernel{of}, this once; it takes about half a minute")
    load_kernel(source)


@functools.cache
def load_kernel(source: Source = PORTAL) -> Kernel:
    """Return a kernel; within a process always the same one.

    What is not compiled yet is compiled by another process and then loaded: the process that
    compiles has the parts of the kernel scattered over its memory, which takes twice the time to
    run.

    Raises
    ------
    CompiledEngineError
        When Numba is missing or fails, or no folder can be written.
    """
    folder = cache_folder(source)
    if not _is_compiled(folder):
        _compile_apart(source, folder)
    try:
        return _kernel_of(source, folder)
    except Exception as error:  # whatever unpickling damaged files may raise
        raise CompiledEngineError(
            f"the compiled kernel in {folder} cannot be loaded ({type(error).__name__}: {error}): "
            f"delete that folder, and it is compiled again; {_OTHERWISE}"
        ) from error


def cache_folder(source: Source = PORTAL) -> Path:
    """Return the folder of a kernel on this machine: of these sources, this Numba, this CPU.

    The environment may say where (``HOSO_CACHE``); else it lies in the user's cache folder, or in
    the one for temporary files where that cannot be written.

    Raises
    ------
    CompiledEngineError
        When Numba is missing, or no folder can be written.
    """
    for folder in _candidates():
        if _is_own(folder):
            return folder / f"{source.name}-{_digest(source)}"
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
def _digest(source: Source) -> str:
    """Return a hash of all that decides the machine code, 16 hex digits."""
    numba = _numba()
    from llvmlite.binding import (  # type: ignore[import-untyped]
        get_host_cpu_features,
        get_host_cpu_name,
    )

    root = Path(__file__).parent.parent
    machine = f"{numba.__version__} {sys.version} {get_host_cpu_name()} "
    digest = hashlib.sha256((machine + get_host_cpu_features().flatten()).encode())
    for pattern in source.files:
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


def _compile_apart(source: Source, folder: Path) -> None:
    """Compile a kernel into its folder, in a process of its own."""
    python_path = os.pathsep.join(filter(None, sys.path))
    compiler = subprocess.run(
        [sys.executable, "-m", "sim.compiled.library", source.name, str(folder)],
        env=os.environ | {"PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        check=False,
    )
    if compiler.returncode or not _is_compiled(folder):
        said = compiler.stderr.strip().splitlines() or [f"exit code {compiler.returncode}"]
        raise CompiledEngineError(f"the kernel cannot be compiled here ({said[-1]}); {_OTHERWISE}")


def _kernel_of(source: Source, folder: Path) -> Kernel:
    """Return the kernel that Numba keeps in a folder; it is compiled if it is not there."""
    numba = _numba()
    from sim.compiled.structs import dtype_of

    entry = importlib.import_module(f"{source.package}.kernel.entry")
    structs = importlib.import_module(f"{source.package}.structs")
    world = numba.from_dtype(dtype_of(structs.World))
    with _caching_in(folder):
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(entry.run)
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
    _kernel_of(next(of for of in (PORTAL, OFFICES) if of.name == sys.argv[1]), Path(sys.argv[2]))
