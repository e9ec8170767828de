"""How figures look: one style, colours that the colour-blind can tell apart, SVG for the page."""

import io
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# source: Okabe and Ito (2008), Color Universal Design; yellow left out, it fades on white
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c8c8c", "#7a5195")
"""Colours in the order in which series get them."""
BLUE, ORANGE, GREEN, RED, PINK, SKY, GREY, PURPLE = PALETTE

WIDTH_IN = 9.0
"""Width of a figure; the page scales it."""

_DPI = 150
"""Dots per inch of a PNG."""

_INK = "#101112"
_RULE = "#d0d1d2"
_PAPER = "#fefdfc"
_FOR_PAGE = {_INK: "currentColor", _RULE: "var(--rule)", _PAPER: "var(--paper)"}
"""Colours that follow the page's, light or dark."""

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": _RULE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "grid.color": _RULE,
    "grid.linewidth": 0.5,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "patch.linewidth": 0,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "hoso",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "xtick.labelsize": 8,
    "ytick.color": _INK,
    "ytick.labelsize": 8,
    "xtick.major.size": 2,
    "ytick.major.size": 2,
}


def paper() -> str:
    """Return the colour of the page's background, for gaps between filled areas."""
    return _PAPER


def ink() -> str:
    """Return the colour of the page's text."""
    return _INK


def colours(names: list[str]) -> dict[str, str]:
    """Return a colour for each name, in order; they repeat after the palette's end."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def svg(draw: "Callable[[], Figure]", key: str, label: str) -> str:
    """Return a figure as an SVG element of a page.

    Parameters
    ----------
    draw : callable
        Draws the figure; called with the style in force.
    key : str
        Unique in the page; starts the ids of the drawing's parts.
    label : str
        What the figure shows, for readers who cannot see it.
    """
    from matplotlib import style

    with style.context(_STYLE):
        buffer = io.StringIO()
        draw().savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style).*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r'(id="|url\(#|xlink:href="#)', rf"\g<1>{key}-", text)
    for colour, on_page in _FOR_PAGE.items():
        text = text.replace(colour, on_page)
    opening = f'<svg role="img" aria-label="{escape(label)}" '
    return re.sub(r' (?:width|height)="[0-9.]+pt"', "", text, count=2).replace("<svg ", opening, 1)


def png(draw: "Callable[[], Figure]", path: Path) -> None:
    """Write a figure as a PNG file.

    Parameters
    ----------
    draw : callable
        Draws the figure; called with the style in force.
    path : Path
        The file.
    """
    from matplotlib import style

    with style.context(_STYLE):
        draw().savefig(path, format="png", dpi=_DPI, facecolor=_PAPER, metadata={"Software": None})
