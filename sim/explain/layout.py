"""Tables, headings and plain text for the terminal."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table


def empty_table(*columns: str) -> "Table":
    """Return an empty table; columns marked ``>`` (set right) and ``<`` are not wrapped.

    In a narrow terminal the others are folded, so that no number and no verdict is cut short.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        if column.startswith(">"):
            table.add_column(column[1:], justify="right", no_wrap=True)
        else:
            named = column.removeprefix("<")
            table.add_column(named, no_wrap=column.startswith("<"), overflow="fold")
    return table


def heading(text: str) -> "RenderableType":
    """Return the heading of a part."""
    return plain(f"\n{text}", "bold cyan")


def plain(text: str, style: str = "") -> "RenderableType":
    """Return text as it stands: a scenario's brackets are no markup."""
    from rich.text import Text

    return Text(text, style)
