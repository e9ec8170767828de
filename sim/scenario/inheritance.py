"""``extends``: a scenario file states only its differences from its parents.

Mappings merge key by key, lists and single values replace, and ``null`` takes an inherited key
away. Two parents may not disagree, except where one of them overrides what both inherit.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sim.scenario.document import (
    Node,
    NodeValue,
    Origin,
    absolute,
    names_beside,
    place,
    read_document,
)
from sim.scenario.errors import Flaw
from sim.scenario.errors import Path as KeyPath

MAX_ANCESTORS = 20
"""Generations of parents; a longer chain is nobody's intention."""

EXTENDS = "extends"
"""Key of a file that names its parents."""
NAME = "name"
"""Key that is never inherited."""


_ABSENT = Node(None, Origin(""))


@dataclass(frozen=True, slots=True)
class Resolved:
    """A file merged with all its parents.

    Attributes
    ----------
    root : Node
        The mapping; keys taken away are still in it as removed nodes.
    lineage : frozenset of str
        Labels of the file and all its ancestors.
    """

    root: Node
    lineage: frozenset[str]


class Family:
    """Reads a file and its parents.

    Parameters
    ----------
    home : Path
        Folder that files are named relative to in faults.
    locate : callable
        ``locate(text, folder)`` returns the file that an ``extends`` in a folder means.
    flaws : list of Flaw
        Collects what is wrong.
    """

    def __init__(self, home: Path, locate: Callable[[str, Path], Path], flaws: list[Flaw]) -> None:
        self._home = home
        self._locate = locate
        self._flaws = flaws
        self._read: dict[Path, Resolved | None] = {}

    def resolve(self, file: Path, descendants: tuple[Path, ...] = ()) -> Resolved | None:
        """Return a file merged with its parents; None when one of them cannot be read."""
        file = absolute(file)
        if file not in self._read:
            self._read[file] = self._resolve(file, descendants)
        return self._read[file]

    def label(self, file: Path) -> str:
        """Return what a file is called in faults."""
        return Path(os.path.relpath(file, self._home)).as_posix()

    def _resolve(self, file: Path, descendants: tuple[Path, ...]) -> Resolved | None:
        label = self.label(file)
        node = read_document(file, label, self._flaws)
        if node is None:
            return None
        assert isinstance(node.value, dict)
        own = dict(node.value)
        extends = own.pop(EXTENDS, None)
        parents = self._parents(extends, file, (*descendants, file))
        if None in parents:
            return None
        if own.get(NAME, _ABSENT).value is None:
            own[NAME] = Node(file.stem, Origin(label))
        child = Node(own, node.origin)
        inherited = self._joined([parent for parent in parents if parent is not None], child)
        if inherited is None:
            return Resolved(child, frozenset({label}))
        return Resolved(merged(inherited.root, child), inherited.lineage | {label})

    def _parents(
        self, extends: Node | None, file: Path, line: tuple[Path, ...]
    ) -> list[Resolved | None]:
        if extends is None or extends.value is None:
            return []
        items = extends.value if isinstance(extends.value, list) else [extends]
        return [self._parent(item, file, line) for item in items]

    def _parent(self, item: Node, file: Path, line: tuple[Path, ...]) -> Resolved | None:
        where = place(item.origin, (EXTENDS,))
        if not isinstance(item.value, str) or not item.value.strip():
            self._flaws.append(Flaw(where, f"{item.plain()!r} must be the name of a file"))
            return None
        parent = absolute(self._locate(item.value, file.parent))
        if parent in line:
            circle = " → ".join(self.label(each) for each in (*line[line.index(parent) :], parent))
            self._flaws.append(Flaw(where, f"{item.value!r} closes a circle: {circle}"))
            return None
        if len(line) > MAX_ANCESTORS:
            self._flaws.append(
                Flaw(where, f"more than {MAX_ANCESTORS} generations of parents; at most that many")
            )
            return None
        if not os.path.exists(parent):  # noqa: PTH110 - unlike Path.exists, never raises
            beside = ", ".join(names_beside(parent)) or "nothing"
            self._flaws.append(
                Flaw(where, f"{item.value!r} does not exist; in its folder: {beside}")
            )
            return None
        return self.resolve(parent, line)

    def _joined(self, parents: list[Resolved], child: Node) -> Resolved | None:
        """Join parents of equal rank; a disagreement is a flaw."""
        if not parents:
            return None
        first, *others = [_without_name(parent) for parent in parents]
        for other in others:
            root = _Join(first, other, child, self._flaws).join(first.root, other.root, ())
            first = Resolved(root, first.lineage | other.lineage)
        return first


@dataclass(frozen=True, slots=True)
class _Join:
    """Joins two parents of one child."""

    first: Resolved
    second: Resolved
    child: Node
    flaws: list[Flaw]

    def join(self, left: Node, right: Node, path: KeyPath) -> Node:
        """Return both in one; where one overrides what both inherit, the override."""
        if isinstance(left.value, dict) and isinstance(right.value, dict):
            entries = dict(left.value)
            for key, node in right.value.items():
                known = entries.get(key)
                entries[key] = node if known is None else self.join(known, node, (*path, key))
            return Node(entries, left.origin)
        if left.plain() == right.plain():
            return left
        left_overrides = right.origin.file in self.first.lineage
        right_overrides = left.origin.file in self.second.lineage
        if left_overrides != right_overrides:
            return left if left_overrides else right
        if not _states(self.child, path):
            self._disagree(left, right, path)
        return left

    def _disagree(self, left: Node, right: Node, path: KeyPath) -> None:
        message = (
            f"{_shown(right)} disagrees with {_shown(left)} in {left.origin}; "
            "parents must agree, or the child must say it itself"
        )
        self.flaws.append(Flaw(place(right.origin, path), message))


def _states(child: Node, path: KeyPath) -> bool:
    """Return whether a child itself decides what stands at a path."""
    node: Node | None = child
    for key in path:
        if node is None or not isinstance(node.value, dict):
            break
        node = node.child(key)
    return node is not None


def merged(inherited: Node, own: Node) -> Node:
    """Return what an own value makes of an inherited one."""
    if not isinstance(inherited.value, dict) or not isinstance(own.value, dict):
        return own
    entries = dict(inherited.value)
    for key, node in own.value.items():
        known = entries.get(key)
        entries[key] = node if known is None else merged(known, node)
        if node.value is None and known is not None:
            entries[key] = Node(None, node.origin, is_removed=True)
    return Node(entries, own.origin)


def without_removed(node: Node) -> Node:
    """Return a tree without the keys that were taken away."""
    value: NodeValue = node.value
    if isinstance(value, dict):
        value = {
            key: without_removed(child) for key, child in value.items() if not child.is_removed
        }
    return Node(value, node.origin)


def _without_name(parent: Resolved) -> Resolved:
    assert isinstance(parent.root.value, dict)
    entries = {key: node for key, node in parent.root.value.items() if key != NAME}
    return Resolved(Node(entries, parent.root.origin), parent.lineage)


def _shown(node: Node) -> str:
    if node.is_removed:
        return "taking it away"
    if isinstance(node.value, dict):
        return "a mapping"
    return "another list" if isinstance(node.value, list) else repr(node.value)
