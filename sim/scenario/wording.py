"""Faults of the schema in the planner's words: the value as written, and what is allowed."""

import json
from collections.abc import Callable, Mapping, Sequence

from pydantic_core import ErrorDetails

from sim.scenario.document import Node, Plain, place
from sim.scenario.errors import Flaw, Path, advice
from sim.scenario.schema import Schema, place_schema

_SHOWN = 60
"""Longest text of a value in a message."""
_NAME_RULE = "lower-case letters, digits and underscores, starting with a letter"
_PATTERNS = {
    "^[a-z][a-z0-9_]*$": f"must be a name: {_NAME_RULE}",
    "^[a-z0-9][a-z0-9-]*$": "must be lower-case letters, digits and hyphens",
}
_KEY_MARK = "[key]"
_PROGRAM = "program"
"""Key of a list whose rows are alternatives; pydantic names the one it took."""

_Context = Mapping[str, object]
_REQUIREMENTS: dict[str, Callable[[_Context], str]] = {
    "greater_than": lambda at: f"must be greater than {_bound(at['gt'])}",
    "greater_than_equal": lambda at: f"must be at least {_bound(at['ge'])}",
    "less_than": lambda at: f"must be less than {_bound(at['lt'])}",
    "less_than_equal": lambda at: f"must be at most {_bound(at['le'])}",
    "finite_number": lambda at: "must be a finite number",
    "int_type": lambda at: "must be a whole number",
    "int_from_float": lambda at: "must be a whole number",
    "int_parsing": lambda at: "must be a whole number",
    "int_parsing_size": lambda at: "must be a number of fewer digits",
    "float_type": lambda at: "must be a number",
    "float_parsing": lambda at: "must be a number",
    "bool_type": lambda at: "must be true or false",
    "bool_parsing": lambda at: "must be true or false",
    "string_type": lambda at: "must be a text; put it in quotes if it looks like a number",
    "literal_error": lambda at: f"must be one of {_words(at['expected'])}",
    "string_pattern_mismatch": lambda at: _PATTERNS.get(
        str(at["pattern"]), f"must match {at['pattern']}"
    ),
    "dict_type": lambda at: "must be a mapping of names to values",
    "model_type": lambda at: "must be a mapping of keys to values",
    "model_attributes_type": lambda at: "must be a mapping of keys to values",
    "tuple_type": lambda at: "must be a list",
    "list_type": lambda at: "must be a list",
    "too_short": lambda at: (
        f"must have at least {at['min_length']} entries, not {at['actual_length']}"
    ),
    "too_long": lambda at: (
        f"must have at most {at['max_length']} entries, not {at['actual_length']}"
    ),
    "date_parsing": lambda at: "must be a date such as 2024-11-25",
    "date_type": lambda at: "must be a date such as 2024-11-25",
}


def schema_flaws(errors: Sequence[ErrorDetails], root: Node) -> list[Flaw]:
    """Return the faults of a scenario's schema, each where its value was written.

    Parameters
    ----------
    errors : sequence of ErrorDetails
        What pydantic found.
    root : Node
        The scenario it was found in.
    """
    data = root.plain()
    found: dict[tuple[Path, str], list[str]] = {}
    for error in errors:
        path = _path(error, data)
        if _is_consequence(error, _at(path, data)):
            continue
        value, requirement = _explain(error, path, data)
        requirements = found.setdefault((path, value), [])
        if requirement not in requirements:
            requirements.append(requirement)
    return [
        Flaw(place(root.nearest(path).origin, path), f"{value} {' or '.join(each)}".strip())
        for (path, value), each in found.items()
    ]


def _is_consequence(error: ErrorDetails, value: Plain) -> bool:
    """Return whether a list is only called short because its rows have faults of their own."""
    return error["type"] == "too_short" and _length(value) != error["ctx"]["actual_length"]


def _path(error: ErrorDetails, data: Plain) -> Path:
    """Return the path in the scenario: pydantic also names alternatives of a type on the way."""
    path: list[str | int] = []
    here: Plain = data
    names_operation = False
    for key in error["loc"]:
        if names_operation:
            names_operation = False
        elif isinstance(here, dict) and str(key) in here:
            here = here[str(key)]
            path.append(key)
        elif isinstance(here, list) and isinstance(key, int):
            here = here[key]
            names_operation = path[-1:] == [_PROGRAM]
            path.append(key)
        elif error["type"] == "missing":
            path.append(key)
        else:
            break
    return tuple(path)


def _explain(error: ErrorDetails, path: Path, data: Plain) -> tuple[str, str]:
    """Return the value as written (or nothing) and what is required of it."""
    kind = error["type"]
    if kind == "missing":
        return "", _missing(path, data)
    if kind == "extra_forbidden":
        known = place_schema(path[:-1], data).get("properties")
        return "", "unknown key" + advice(str(path[-1]), known if isinstance(known, dict) else ())
    value = str(path[-1]) if _KEY_MARK in error["loc"] else _at(path, data)
    says_value = kind == "value_error" and isinstance(value, dict)
    if says_value or kind in ("too_short", "too_long"):
        return "", _requirement(error)
    requirement = _requirement(error)
    if kind == "float_type":
        requirement += _unit_advice(place_schema(path, data))
    return _shown(value), requirement


def _requirement(error: ErrorDetails) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    wording = _REQUIREMENTS.get(error["type"])
    return error["msg"] if wording is None else wording(error.get("ctx", {}))


def _missing(path: Path, data: Plain) -> str:
    described = place_schema(path, data).get("description")
    return f"missing ({str(described).rstrip('.')})" if described else "missing"


def _unit_advice(schema: Schema) -> str:
    options = schema.get("anyOf")
    return " or a text with a unit" if isinstance(options, list) else ""


def _at(path: Path, data: Plain) -> Plain:
    here = data
    for key in path:
        if isinstance(here, dict):
            here = here.get(str(key))
        elif isinstance(here, list) and isinstance(key, int):
            here = here[key]
    return here


def _length(value: Plain) -> int:
    return len(value) if isinstance(value, list | dict | str) else 0


def _shown(value: Plain) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _words(expected: object) -> str:
    return str(expected).replace(" or ", ", ").replace("'", "")


def _bound(bound: object) -> str:
    return f"{bound:,}".replace(",", "_") if isinstance(bound, int) else f"{bound:g}"
