"""Processes a command starts: each in a group of its own, and none of them survives it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from loadtests.work import LoadError

_STOP_S = 15.0
"""A process that is told to end is killed after so long."""
_LAST_LINES = 5
_PDEATHSIG = 1  # source: prctl(2), PR_SET_PDEATHSIG


class Children:
    """Starts processes and ends them, in reverse order, when its block is left."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Children":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End what still runs."""
        while self._running:
            stop(self._running.pop())

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        is_read: bool = False,
    ) -> subprocess.Popen[str]:
        """Start a process.

        Parameters
        ----------
        command : sequence of str
            Program and arguments.
        environment : mapping of str to str, optional
            Its environment; absent: this process's.
        log : Path, optional
            File its errors go to; absent: to the terminal.
        is_read : bool
            Whether its output is read; otherwise it goes to the terminal.
        """
        with contextlib.ExitStack() as stack:
            errors = stack.enter_context(log.open("a")) if log is not None else None
            process = subprocess.Popen(
                list(command),
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_read else None,
                stderr=errors,
                text=True,
                start_new_session=True,
                preexec_fn=_dies_with_parent(),
            )
        self._running.append(process)
        return process


def await_line(
    process: subprocess.Popen[str], prefix: str, timeout_s: float, name: str, log: Path
) -> str:
    """Return what follows a prefix on the first line of a process's output that begins with it.

    Further output is read and forgotten.

    Raises
    ------
    LoadError
        When the process ends, or the line does not come in time; with its last words.
    """
    assert process.stdout is not None
    late = threading.Timer(timeout_s, stop, [process])
    late.start()
    try:
        for line in process.stdout:
            if line.startswith(prefix):
                threading.Thread(target=_drain, args=[process], daemon=True).start()
                return line.removeprefix(prefix).strip()
    finally:
        is_late = not late.is_alive()
        late.cancel()
    why = f"was not ready after {timeout_s:g} s" if is_late else "does not start"
    raise LoadError(f"{name} {why}:\n{last_words(log)}")


def last_words(log: Path) -> str:
    """Return the last lines of a log."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return "\n".join(lines[-_LAST_LINES:]) or "it said nothing"


def stop(process: subprocess.Popen[str]) -> None:
    """End a process and its group: by asking first, then by force."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    """End a process and its group at once."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _drain(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    with contextlib.suppress(ValueError, OSError):
        for _ in process.stdout:
            pass


def _dies_with_parent() -> Callable[[], None] | None:
    """Return what a new process does first, so that it ends when this one is killed; on Linux."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask
