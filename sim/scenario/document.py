"""A YAML file as a tree in which every value knows the file and the line it was written in.

A plain, safe subset of YAML: only ``true`` and ``false`` are booleans, ``10:30`` and dates are
texts, keys are texts, a key stands once in a block, and tags that would build objects are faults.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

import yaml

from sim.scenario.errors import Flaw, Path, advice, dotted

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]
"""A tree without its origins: what JSON can say."""

MAX_DEPTH = 40
"""Blocks nested deeper are no scenario; the schema needs fewer than 10."""
MAX_NODES = 500_000
"""Values of one file, aliases expanded; keeps a small file from filling the memory."""

_DIGITS = r"[0-9]+(?:_[0-9]+)*"
_INTEGER = re.compile(rf"[-+]?{_DIGITS}")
_FLOAT = re.compile(rf"[-+]?(?:{_DIGITS}\.?|(?:{_DIGITS})?\.{_DIGITS})(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_TAG_PREFIX = "tag:yaml.org,2002:"
_HINTS = {
    "mapping values are not allowed": "a text with ': ' needs quotes, or the indentation is off",
    "cannot start any token": "indent with spaces, never tabs; a text that starts with a special "
    "character needs quotes",
    "could not find expected ':'": "a key needs a colon and a space behind it",
    "did not find expected": "the indentation is off, or a bracket or quote is not closed",
    "unexpected end of stream": "a quote is not closed",
}
_HALF_CHARACTER = "holds half a character (a lone surrogate)"
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written: file as it is to be shown, and line from 1 if it has one."""

    file: str
    line: int | None = None

    def __str__(self) -> str:
        """Return ``file:line``."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a document, where it was written, and whether it takes an inherited one away."""

    value: "NodeValue"
    origin: Origin
    is_removed: bool = False

    def plain(self) -> Plain:
        """Return the value without its origins."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, key: str | int) -> "Node | None":
        """Return what stands under a key or an index, or None."""
        if isinstance(self.value, dict):
            return self.value.get(str(key))
        if isinstance(self.value, list) and isinstance(key, int) and key < len(self.value):
            return self.value[key]
        return None

    def nearest(self, path: Path) -> "Node":
        """Return the node at a path, or the last one on the way that exists."""
        node = self
        for key in path:
            below = node.child(key)
            if below is None:
                break
            node = below
        return node


NodeValue = Scalar | list[Node] | dict[str, Node]


def place(origin: Origin, path: Path) -> str:
    """Return the place of a flaw: file, line, dotted key."""
    return f"{origin}: {dotted(path)}" if path else str(origin)


def read_document(file: FilePath, label: str, flaws: list[Flaw]) -> Node | None:
    """Read one scenario file.

    Parameters
    ----------
    file : Path
        File to read.
    label : str
        How the file is called in faults.
    flaws : list of Flaw
        Collects what is wrong.

    Returns
    -------
    Node or None
        The mapping the file holds; None when it cannot be read at all.
    """
    origin = Origin(label)
    text = _read_text(file, origin, flaws)
    if text is None:
        return None
    if not text.strip():
        flaws.append(Flaw(label, "the file is empty; a scenario is a mapping of keys to values"))
        return None
    node = _parse(text, lambda line: Origin(label, line + 1), flaws)
    if node is None:
        return None
    if isinstance(node.value, dict):
        return Node(node.value, origin)
    found = {list: "a list", type(None): "nothing"}.get(type(node.value), "a single value")
    flaws.append(Flaw(label, f"holds {found} at its top; it must be a mapping such as `demand: …`"))
    return None


def absolute(file: FilePath) -> FilePath:
    """Return a path from the root, links as written; never raises, unlike ``Path.resolve``."""
    return FilePath(os.path.abspath(file))  # noqa: PTH100


def names_beside(file: FilePath) -> list[str]:
    """Return the scenario files in the folder of a file, which itself may not exist."""
    try:
        return sorted(path.name for path in file.parent.glob("*.yaml"))
    except (OSError, ValueError):
        return []


def parse_value(text: str, origin: Origin, flaws: list[Flaw]) -> Node | None:
    """Turn a piece of YAML into a tree that has one origin throughout; None when it is no YAML."""
    return _parse(text, lambda line: origin, flaws)


def _parse(text: str, origin_at: Callable[[int], Origin], flaws: list[Flaw]) -> Node | None:
    """Turn YAML into a tree; ``origin_at`` gives the origin of a line, counted from 0."""
    if _has_half_character(text):
        flaws.append(Flaw(origin_at(0).file, _HALF_CHARACTER))
        return None
    try:
        loader = _PARSER(text)
        try:
            return _Builder(loader, origin_at, flaws).document()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        flaws.append(_syntax_flaw(error, origin_at))
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", None) or str(error)
        flaws.append(Flaw(origin_at(0).file, f"not valid YAML: {reason}"))
    except _StopReadingError as error:
        flaws.append(error.flaw)
    return None


def _read_text(file: FilePath, origin: Origin, flaws: list[Flaw]) -> str | None:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 (byte {error.start}); save the file with the encoding UTF-8"
    except FileNotFoundError:
        message = "no such file" + advice(file.name, names_beside(file), label="beside it")
    except IsADirectoryError:
        message = "a folder; name a scenario file"
    except (OSError, ValueError) as error:
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    flaws.append(Flaw(str(origin), message))
    return None


def _syntax_flaw(error: yaml.MarkedYAMLError, origin_at: Callable[[int], Origin]) -> Flaw:
    mark = error.problem_mark or error.context_mark
    origin = origin_at(mark.line if mark else 0)
    column = f", column {mark.column + 1}" if mark and origin.line else ""
    problem = error.problem or error.context or "unreadable"
    hint = next((f" ({hint})" for text, hint in _HINTS.items() if text in problem), "")
    return Flaw(f"{origin}{column}", f"not valid YAML: {problem}{hint}")


class _StopReadingError(Exception):
    """The document cannot be read any further."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw)
        self.flaw = flaw


class _Builder:
    """Builds the tree from the parser's events: deep or hostile files end in a flaw."""

    def __init__(
        self,
        loader: yaml.SafeLoader,
        origin_at: Callable[[int], Origin],
        flaws: list[Flaw],
    ) -> None:
        self._events: Iterator[yaml.Event] = iter(loader.get_event, None)
        self._origin_at = origin_at
        self._flaws = flaws
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._n_nodes = 0

    def document(self) -> Node:
        """Return the only document of the stream."""
        root = Node(None, self._origin_at(0))
        n_documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                n_documents += 1
                if n_documents > 1:
                    raise _StopReadingError(
                        Flaw(str(self._origin(event)), "a second document (`---`); one is allowed")
                    )
                root = self._build(next(self._events), ())
        return root

    def _build(self, event: yaml.Event, path: Path) -> Node:
        origin = self._origin(event)
        before = self._n_nodes
        self._count(1, origin)
        if len(path) > MAX_DEPTH:
            raise _StopReadingError(
                Flaw(str(origin), f"nested too deeply: more than {MAX_DEPTH} levels")
            )
        if isinstance(event, yaml.AliasEvent):
            return self._expand(event, path)
        if isinstance(event, yaml.MappingStartEvent):
            node = Node(self._mapping(path), origin)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(self._list(path), origin)
        else:
            assert isinstance(event, yaml.ScalarEvent)
            node = Node(self._scalar(event, path), origin)
        self._check_tag(event, node, path)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = (node, self._n_nodes - before)
        return node

    def _mapping(self, path: Path) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            origin = self._origin(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise _StopReadingError(
                    Flaw(place(origin, path), "a key must be a text, not a list or a mapping")
                )
            key = self._text(event.value, path, origin)
            if key in entries:
                line = entries[key].origin.line
                first = f", first in line {line}" if line else ""
                self._flaw(origin, (*path, key), f"stands twice in one block{first}")
            value = self._build(next(self._events), (*path, key))
            entries[key] = Node(value.value, origin)
        return entries

    def _list(self, path: Path) -> list[Node]:
        items: list[Node] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._build(event, (*path, len(items))))
        return items

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> Scalar:
        text = self._text(event.value, path, self._origin(event))
        is_plain = event.tag is None and event.implicit[0]
        if not is_plain and event.tag in (None, "!", f"{_TAG_PREFIX}str"):
            return text
        try:
            return resolve_scalar(text)
        except ValueError:
            self._flaw(self._origin(event), path, "a number of too many digits")
            return None

    def _text(self, text: str, path: Path, origin: Origin) -> str:
        """Return the text; halves of a surrogate pair, which no file can hold, are a flaw."""
        if not _has_half_character(text):
            return text
        self._flaw(origin, path, _HALF_CHARACTER)
        return text.encode("ascii", "replace").decode()

    def _expand(self, event: yaml.AliasEvent, path: Path) -> Node:
        origin = self._origin(event)
        if event.anchor not in self._anchors:
            raise _StopReadingError(
                Flaw(place(origin, path), f"*{event.anchor} refers to nothing above it")
            )
        node, size = self._anchors[event.anchor]
        self._count(size, origin)
        return node

    def _check_tag(self, event: yaml.Event, node: Node, path: Path) -> None:
        tag = getattr(event, "tag", None)
        if tag is None or tag == "!":
            return
        kinds: Mapping[str, type | tuple[type, ...]] = {
            "str": str,
            "int": int,
            "float": (int, float),
            "bool": bool,
            "null": type(None),
            "map": dict,
            "seq": list,
        }
        kind = kinds.get(tag.removeprefix(_TAG_PREFIX))
        if kind is None:
            shown = tag.replace(_TAG_PREFIX, "!!")
            message = f"the tag {shown} is not allowed; write plain values"
            self._flaw(self._origin(event), path, message)
        elif not isinstance(node.value, kind):
            shown = tag.replace(_TAG_PREFIX, "!!")
            self._flaw(self._origin(event), path, f"{node.plain()!r} is not of its tag {shown}")

    def _count(self, n_nodes: int, origin: Origin) -> None:
        self._n_nodes += n_nodes
        if self._n_nodes > MAX_NODES:
            raise _StopReadingError(Flaw(str(origin), f"holds more than {MAX_NODES} values"))

    def _origin(self, event: yaml.Event) -> Origin:
        return self._origin_at(event.start_mark.line if event.start_mark else 0)

    def _flaw(self, origin: Origin, path: Path, message: str) -> None:
        self._flaws.append(Flaw(place(origin, path), message))


def _has_half_character(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def resolve_scalar(text: str) -> Scalar:
    """Return what an unquoted text means: nothing, a boolean, a number, or the text itself.

    Raises
    ------
    ValueError
        When it is an integer of thousands of digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.lower().replace(".", ""))
    return text
