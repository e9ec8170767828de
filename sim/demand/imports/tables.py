"""What an import took, guessed and refused, as tables for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

ROWS_LISTED = 10
"""A refusal names so many rows and counts the rest."""


class ImportFileError(Exception):
    """A file that cannot be imported; the text names file, place and what is allowed."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report.

    Attributes
    ----------
    what : str
        What was taken, guessed or refused.
    count : int or None
        How many rows or values it concerns; None where counting makes no sense.
    detail : str
        The value taken, the rule of the guess, or the reason.
    rows : tuple of int
        Rows concerned (the header is row 1); empty where all or too many.
    """

    what: str
    count: int | None
    detail: str
    rows: tuple[int, ...] = ()

    def text(self) -> str:
        """Return the detail with the rows it concerns."""
        if not self.rows:
            return self.detail
        listed = ", ".join(map(str, self.rows[:ROWS_LISTED]))
        rest = max(len(self.rows), self.count or 0) - ROWS_LISTED
        more = f" and {rest} more" if rest > 0 else ""
        return f"{self.detail} (rows {listed}{more})"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file.

    Attributes
    ----------
    source : str
        Name of the file.
    taken, guessed, refused : tuple of Line
        What the file says; what it does not say, with the rule used instead; what was left out.
    """

    source: str
    taken: tuple[Line, ...]
    guessed: tuple[Line, ...]
    refused: tuple[Line, ...]

    @property
    def n_refused(self) -> int:
        """Number of rows left out."""
        return sum(line.count or 0 for line in self.refused)

    def to_markdown(self) -> str:
        """Return the report as a Markdown table."""
        head = [
            f"### Import of {_cell(self.source)}",
            "",
            "| | what | count | value, rule or reason |",
            "|---|---|---:|---|",
        ]
        body = [f"| {' | '.join(map(_cell, row))} |" for row in self.lines()]
        return "\n".join([*head, *body]) + "\n"

    def lines(self) -> list[tuple[str, str, str, str]]:
        """Return the report's cells: kind, what, count, detail."""
        kinds = {"taken": self.taken, "guessed": self.guessed, "refused": self.refused}
        return [
            (kind, line.what, "" if line.count is None else f"{line.count:,}", line.text())
            for kind, lines in kinds.items()
            for line in lines
        ]


def render_import_report(report: ImportReport) -> "Table":
    """Return the report as a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"Import of {report.source}"), title_justify="left")
    for name in ("", "what", "count", "value, rule or reason"):
        table.add_column(name, justify="right" if name == "count" else "left")
    for row in report.lines():
        table.add_row(*map(Text, row))
    return table


def refusals(reasons: Sequence[tuple[int, str]], what: str = "row") -> tuple[Line, ...]:
    """Group refused rows by reason.

    Parameters
    ----------
    reasons : sequence of (row, reason)
        One per refused row.
    what : str
        What is refused.
    """
    rows_of: dict[str, list[int]] = {}
    for row, reason in reasons:
        rows_of.setdefault(reason, []).append(row)
    return tuple(Line(what, len(rows), reason, tuple(rows)) for reason, rows in rows_of.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
