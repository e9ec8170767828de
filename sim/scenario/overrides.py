"""``--set a.b.0.c=value``: one-off changes on top of a scenario file."""

from collections.abc import Sequence

from sim.scenario.document import Node, Origin, parse_value, place
from sim.scenario.errors import Flaw, Path, advice, dotted
from sim.scenario.inheritance import EXTENDS, merged
from sim.scenario.schema import place_schema

OPTION = "--set"
"""How an override is called in faults."""


def apply_overrides(root: Node, overrides: Sequence[str], flaws: list[Flaw]) -> Node:
    """Return the scenario with every override applied, in order.

    A mapping merges, anything else replaces, ``null`` takes a key away. An override changes what
    is there or sets a key the schema knows; new entries (a new tier) belong in a file.

    Parameters
    ----------
    root : Node
        The merged scenario.
    overrides : sequence of str
        Texts ``a.b=c``, the value in YAML; ``a.0`` is the first row of a list.
    flaws : list of Flaw
        Collects what is wrong.
    """
    for text in overrides:
        key, equals, value = text.partition("=")
        path: Path = tuple(part.strip() for part in key.split("."))
        if not equals or not all(path):
            flaws.append(
                Flaw(OPTION, f"{text!r} must be key=value, such as demand.online_share=0.9")
            )
            continue
        origin = Origin(OPTION)
        node = parse_value(value, origin, flaws)
        if node is not None:
            root = _set(root, _Target(root, path, flaws), node)
    return root


class _Target:
    """The place an override means, checked key by key on the way down."""

    def __init__(self, root: Node, path: Path, flaws: list[Flaw]) -> None:
        self._data = root.plain()
        self.path = path
        self._flaws = flaws

    def key(self, node: Node, depth: int) -> str | int | None:
        """Return the key or index at a depth; None, and a flaw, when there is no such thing."""
        word = str(self.path[depth])
        if isinstance(node.value, list):
            return self._index(word, len(node.value), depth)
        if not isinstance(node.value, dict | None):
            shown = f"{dotted(self.path[:depth])} is {node.value!r}"
            self._refuse(depth, f"{shown}, a single value without parts")
            return None
        entries = node.value or {}
        schema = place_schema(self._typed(depth), self._data)
        known = schema.get("properties")
        allowed = dict.fromkeys([*entries, *(known if isinstance(known, dict) else ())])
        if word in allowed:
            return word
        is_extends = depth == 0 and word == EXTENDS
        message = "belongs in the file" if is_extends else "unknown key" + advice(word, allowed)
        self._refuse(depth, message)
        return None

    def _index(self, word: str, length: int, depth: int) -> int | None:
        if word.isdecimal() and int(word) < length:
            return int(word)
        allowed = f"0 to {length - 1}" if length else "none, the list is empty"
        self._refuse(depth, f"{word!r} must be the index of a row: {allowed}")
        return None

    def _typed(self, depth: int) -> Path:
        return tuple(int(key) if str(key).isdecimal() else key for key in self.path[:depth])

    def _refuse(self, depth: int, message: str) -> None:
        self._flaws.append(Flaw(place(Origin(OPTION), self.path[: depth + 1]), message))


def _set(node: Node, target: _Target, value: Node, depth: int = 0) -> Node:
    """Return a node with the value set below it."""
    if depth == len(target.path):
        return merged(node, value)
    key = target.key(node, depth)
    if key is None:
        return node
    below = node.child(key) or Node(None, value.origin)
    changed = _set(below, target, value, depth + 1)
    if isinstance(node.value, list):
        assert isinstance(key, int)
        return Node([*node.value[:key], changed, *node.value[key + 1 :]], node.origin)
    assert not isinstance(node.value, str | int | float)
    entries = dict(node.value or {})
    entries[str(key)] = changed
    if depth == len(target.path) - 1 and value.value is None:
        del entries[str(key)]
    return Node(entries, node.origin)
