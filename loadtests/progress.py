"""How far a load test is, as one line on the terminal."""

import math
import sys
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from loadtests.live import Totals

if TYPE_CHECKING:
    from rich.live import Live

_LINE_EVERY_S = 10.0
"""Where the terminal is none, a new line comes so often."""


class ProgressLine:
    """A line that is rewritten every second; where it cannot be, a new one every ten.

    Parameters
    ----------
    end_s : float
        When the last session arrives, s from the epoch.
    stream : text stream, optional
        Where to; absent: standard error.
    """

    def __init__(self, end_s: float, stream: TextIO | None = None) -> None:
        self._end_s = end_s
        self._stream = stream or sys.stderr
        self._live: Live | None = None
        self._next_s = 0.0

    def __enter__(self) -> "ProgressLine":
        """Take the line."""
        if self._stream.isatty():
            from rich.console import Console
            from rich.live import Live

            # Refreshed by hand: a thread of its own would disturb the generator.
            self._live = Live(console=Console(file=self._stream), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the line as it is."""
        if self._live is not None:
            self._live.stop()

    def show(self, totals: Totals) -> None:
        """Show the run so far."""
        text = progress_text(totals, self._end_s)
        if self._live is not None:
            self._live.update(text, refresh=True)
        elif totals.t_s >= self._next_s:
            self._next_s = totals.t_s + _LINE_EVERY_S
            print(text, file=self._stream, flush=True)


def progress_text(totals: Totals, end_s: float) -> str:
    """Return the line: how far, how much, how well."""
    parts = [
        f"{_clock(totals.t_s)} of {_clock(end_s)}",
        f"{totals.arrived:,} sessions came, {totals.active:,} are there",
        f"{totals.requests:,} requests, {totals.recent_rate_per_s:,.0f}/s",
        f"{totals.not_ok:,} not ok",
    ]
    if not math.isnan(totals.recent_p95_s):
        parts.append(f"p95 {totals.recent_p95_s * 1e3:,.0f} ms")
    if totals.dropped:
        parts.append(f"{totals.dropped:,} dropped")
    return " · ".join(parts)


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(int(time_s), 60)
    return f"{minutes}:{seconds:02d}"
