"""The simulation of the requests that are replayed, made by a process beside the generator."""

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from loadtests.prediction import PREDICTION, Predicted, load_prediction
from loadtests.work import PLAN

RUNNING = "the simulation of these requests still runs"

_LOG = "prediction.log"
_STOP_S = 5.0

log = logging.getLogger(__name__)


class Forecast:
    """What the simulation says, as soon as it has said it.

    Attributes
    ----------
    endpoints : mapping of str to Predicted
        The simulation by endpoint; empty until it is there.
    note : str
        Why it is not there; empty when it is.
    """

    def __init__(self) -> None:
        self.endpoints: Mapping[str, Predicted] = {}
        self.note = "nothing has been simulated"
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_missing(self) -> bool:
        """Whether there is none, and none on its way."""
        return not self.endpoints and self._process is None

    def begin(self, folder: Path) -> None:
        """Predict the trace in a working folder; what was predicted before is forgotten."""
        self.close()
        self._folder, self.endpoints, self.note = folder, {}, RUNNING
        if (folder / PREDICTION).is_file():
            self._read()
            return
        command = [sys.executable, "-m", "loadtests.prediction", str(folder), str(os.getpid())]
        with (folder / _LOG).open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )

    def look(self) -> None:
        """Take what the simulation has left, if it has ended."""
        if self._process is None or self._process.poll() is None:
            return
        code, self._process = self._process.returncode, None
        if code == 0:
            self._read()
            self._tidy()
        elif not self._folder.is_dir():
            self.note = "the load test ended before its simulation did"
        else:
            self.note = f"the simulation failed: {_last_line(self._folder / _LOG)}"
            log.warning("%s", self.note)

    def close(self) -> None:
        """End the simulation if it still runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._tidy()

    def _tidy(self) -> None:
        """Remove what the simulation wrote after the working folder had been removed."""
        if not (self._folder / PLAN).is_file():
            (self._folder / PREDICTION).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # gone, or not empty
                self._folder.rmdir()

    def _read(self) -> None:
        try:
            self.endpoints, self.note = load_prediction(self._folder), ""
        except (OSError, ValueError, TypeError) as error:
            self.note = f"{self._folder / PREDICTION} is damaged: {error}"


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        return str(error)
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
