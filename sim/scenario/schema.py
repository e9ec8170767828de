"""The JSON Schema of scenario files, and what it says about one place."""

from collections.abc import Mapping
from functools import cache
from typing import cast

from sim.scenario.document import Plain
from sim.scenario.errors import Path
from sim.scenario.scenario import Scenario

Schema = Mapping[str, Plain]
"""A JSON Schema, or a part of one."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PART = "#/$defs/"


def scenario_schema() -> dict[str, Plain]:
    """Return the JSON Schema of a scenario file, for editors and other tools.

    A file may state only its differences (``extends``), so keys of blocks are not required here;
    the loader says what is missing once everything is merged. Rows of lists are always whole:
    their keys stay required.
    """
    schema = _full_schema()
    definitions = _mapping(schema["$defs"])
    whole = _defined_in_lists(schema)
    for name, definition in definitions.items():
        if name not in whole:
            _mapping(definition).pop("required", None)
    schema.pop("required", None)
    text: dict[str, Plain] = {"type": "string", "minLength": 1}
    files: dict[str, Plain] = {
        "anyOf": [text, {"type": "array", "items": text}],
        "description": "Parent file or files, relative to this one; this file states differences.",
    }
    _mapping(schema["properties"])["extends"] = files
    return {"$schema": _DIALECT, **schema, "title": "hoso scenario"}


def place_schema(path: Path, data: Plain) -> Schema:
    """Return the part of the schema that rules a place; empty where nothing is known.

    Parameters
    ----------
    path : tuple of str and int
        The place.
    data : nested plain values
        The scenario; tells which operation a row of a program is.
    """
    schema = _cached_schema()
    here: Schema = schema
    below: Plain = data
    for key in path:
        below = _below(below, key)
        here = _step(_variant(here, schema, None), key)
        here = _variant(here, schema, below)
    return here


def _below(data: Plain, key: str | int) -> Plain:
    if isinstance(data, dict):
        return data.get(str(key))
    if isinstance(data, list) and isinstance(key, int) and key < len(data):
        return data[key]
    return None


def _step(schema: Schema, key: str | int) -> Schema:
    """Return the schema of what stands under a key or an index."""
    properties = _mapping(schema.get("properties"))
    if isinstance(key, str) and key in properties:
        return _mapping(properties[key])
    if isinstance(key, int):
        prefix = schema.get("prefixItems")
        if isinstance(prefix, list) and key < len(prefix):
            return _mapping(prefix[key])
        return _mapping(schema.get("items"))
    by_name = [*_mapping(schema.get("patternProperties")).values()]
    return _mapping(by_name[0] if by_name else schema.get("additionalProperties"))


def _variant(schema: Schema, root: Schema, data: Plain) -> Schema:
    """Follow a reference; of alternatives take the block, for an operation the one it names."""
    described = schema.get("description")
    while True:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            schema = _mapping(_mapping(root["$defs"])[reference.removeprefix(_PART)])
            continue
        options = schema.get("anyOf") or schema.get("oneOf")
        if not isinstance(options, list):
            break
        blocks = [_variant(_mapping(option), root, data) for option in options]
        blocks = [block for block in blocks if "properties" in block]
        if blocks:
            schema = next((block for block in blocks if _fits(block, data)), blocks[0])
        break
    return {**schema, "description": described} if described else schema


def _fits(block: Schema, data: Plain) -> bool:
    required = block.get("required")
    first = required[0] if isinstance(required, list) and required else None
    return isinstance(data, dict) and first in data


def _defined_in_lists(schema: Plain) -> set[str]:
    """Return the definitions that are rows of lists."""
    if isinstance(schema, list):
        return set().union(*(_defined_in_lists(part) for part in schema))
    if not isinstance(schema, dict):
        return set()
    rows = _references(schema.get("items"))
    return rows.union(*(_defined_in_lists(part) for part in schema.values()))


def _references(schema: Plain) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    found = {str(schema["$ref"]).removeprefix(_PART)} if "$ref" in schema else set()
    for option in ("anyOf", "oneOf"):
        options = schema.get(option)
        if isinstance(options, list):
            found = found.union(*(_references(each) for each in options))
    return found


def _mapping(schema: Plain) -> dict[str, Plain]:
    return schema if isinstance(schema, dict) else {}


def _full_schema() -> dict[str, Plain]:
    return cast(dict[str, Plain], Scenario.model_json_schema())


_cached_schema = cache(_full_schema)
