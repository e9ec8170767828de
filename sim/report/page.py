"""The HTML page: one file, nothing loaded from elsewhere, readable on paper and in the dark."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from string import Template

_PAGE = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$css</style>
</head>
<body>
<main>
<header>
<h1>$title</h1>
$introduction
<nav aria-label="Contents"><ol>
$contents
</ol></nav>
</header>
$body
</main>
</body>
</html>
"""
)

_CSS = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c1e21; --soft: #5b6169;
  --rule: #d9dce0; --fill: #f4f5f7; --met: #00734f; --missed: #b3410a; --open: #8a6100; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181b; --ink: #e6e8ea; --soft: #a2a9b1; --rule: #3a3f45; --fill: #202327;
    --met: #45c496; --missed: #f08a52; --open: #e0b040; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1020px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 1.7em; line-height: 1.25; margin: 0 0 .3em; }
h2 { font-size: 1.3em; margin: 2em 0 .5em; padding-top: .5em; border-top: 1px solid var(--rule); }
h3 { font-size: 1.1em; margin: 1.8em 0 .4em; }
p { margin: .4em 0; max-width: 75ch; }
.soft { color: var(--soft); }
.answer { font-size: 1.15em; font-weight: 600; margin: .8em 0; padding: .6em .9em;
  background: var(--fill); border-left: 5px solid var(--soft); max-width: none; }
.answer.met { border-color: var(--met); } .answer.missed { border-color: var(--missed); }
.answer.cannot_tell { border-color: var(--open); }
.met b, td.met { color: var(--met); } .missed b, td.missed { color: var(--missed); }
.cannot_tell b, td.cannot_tell { color: var(--open); }
ul.warnings { padding: .6em .9em .6em 2em; background: var(--fill);
  border-left: 5px solid var(--open); }
nav ol { padding-left: 1.4em; margin: 1em 0; columns: 2; column-gap: 40px; }
nav ol ol { columns: 1; margin: 0; } nav a, a { color: inherit; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6em 0; font-size: .93em;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .22em .9em .22em 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
th { font-weight: 600; color: var(--soft); }
th.right, td.right { text-align: right; }
th, td:not(:last-child), td.right { white-space: nowrap; }
figure { margin: 1em 0; break-inside: avoid; }
figure svg { width: 100%; height: auto; display: block; color: var(--ink); }
figure svg * { stroke-linejoin: round; stroke-linecap: butt; }
figure svg text { font-family: "DejaVu Sans", Verdana, "Noto Sans", Arial, sans-serif !important; }
figcaption { color: var(--soft); font-size: .88em; max-width: 95ch; }
details { margin: .6em 0; } summary { cursor: pointer; color: var(--soft); }
pre { background: var(--fill); padding: .8em; overflow-x: auto; font-size: .82em;
  line-height: 1.4; }
code { font-family: ui-monospace, "DejaVu Sans Mono", Consolas, monospace; }
@media print { body { font-size: 10pt; } main { max-width: none; padding: 0; }
  nav { display: none; } h2, h3 { break-after: avoid; } tr { break-inside: avoid; }
  pre { white-space: pre-wrap; } }
"""


class Html(str):
    """Text that is HTML already; every other text is escaped."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of the page.

    Attributes
    ----------
    key : str
        Unique in the page: the anchor.
    title : str
        Heading.
    body : Html
        Contents.
    parts : tuple of Section
        Sections within it.
    """

    key: str
    title: str
    body: Html
    parts: tuple["Section", ...] = ()


def page(title: str, introduction: Html, sections: Sequence[Section]) -> str:
    """Return the whole page with its table of contents."""
    return _PAGE.substitute(
        title=escape(title),
        css=_CSS,
        introduction=introduction,
        contents="\n".join(_entry(section) for section in sections),
        body="\n".join(_shown(section, level=2) for section in sections),
    )


def html(text: str) -> Html:
    """Return a text as HTML: escaped unless it is HTML already; no line ends before a %."""
    return text if isinstance(text, Html) else Html(escape(text).replace(" %", "&nbsp;%"))


def join(parts: Iterable[str]) -> Html:
    """Return parts one after another."""
    return Html("\n".join(html(part) for part in parts))


def paragraph(text: str, style: str = "") -> Html:
    """Return a paragraph, with a class of the style sheet if one is named."""
    attribute = f' class="{escape(style)}"' if style else ""
    return Html(f"<p{attribute}>{html(text)}</p>")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """Return a table; a column whose name starts with ``>`` is set to the right."""
    styles = [' class="right"' if column.startswith(">") else "" for column in columns]
    head = "".join(
        f'<th scope="col"{style}>{html(column.removeprefix(">"))}</th>'
        for column, style in zip(columns, styles, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(_cell(cell, style) for cell, style in zip(row, styles, strict=True))
        + "</tr>"
        for row in rows
    )
    inner = f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>"
    return Html(f'<div class="wide"><table>{inner}</table></div>')


def marked(text: str, style: str) -> Html:
    """Return a table cell's text with a class of the style sheet."""
    return Html(f'<td class="{escape(style)}">{html(text)}</td>')


def figure(svg: str, caption: str) -> Html:
    """Return a figure with its caption."""
    return Html(f"<figure>{svg}<figcaption>{html(caption)}</figcaption></figure>")


def bullets(items: Iterable[str], style: str = "") -> Html:
    """Return a list."""
    inner = "".join(f"<li>{html(item)}</li>" for item in items)
    return Html(f'<ul class="{escape(style)}">{inner}</ul>')


def details(summary: str, body: Html) -> Html:
    """Return contents that open on a click."""
    return Html(f"<details><summary>{html(summary)}</summary>{body}</details>")


def preformatted(text: str) -> Html:
    """Return a text as it stands."""
    return Html(f"<pre><code>{escape(text)}</code></pre>")


def _cell(cell: str, style: str) -> str:
    if isinstance(cell, Html) and cell.startswith("<td"):
        return cell
    return f"<td{style}>{html(cell)}</td>"


def _entry(section: Section) -> str:
    inner = "".join(_entry(part) for part in section.parts)
    below = f"<ol>{inner}</ol>" if inner else ""
    return f'<li><a href="#{escape(section.key)}">{html(section.title)}</a>{below}</li>'


def _shown(section: Section, level: int) -> str:
    inner = "\n".join(_shown(part, level + 1) for part in section.parts)
    return (
        f'<section id="{escape(section.key)}"><h{level}>{html(section.title)}</h{level}>\n'
        f"{section.body}\n{inner}</section>"
    )
