"""Quantities with units, as people write them in YAML, turned into SI.

A field carries its SI unit in its name (``timeout_s``). Its value is a number in that unit or a
text with a unit: ``timeout_s: 250 ms``, ``bandwidth_bit_per_s: 100 Mbit/s``, ``mean_bytes: 2 MB``.
"""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

SECONDS = {
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "day": 86400.0,
    "days": 86400.0,
    "week": 604800.0,
    "weeks": 604800.0,
}
BYTES = {
    "B": 1.0,
    "kB": 1e3,
    "KB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KiB": 1024.0,
    "MiB": 1024.0**2,
    "GiB": 1024.0**3,
}
BITS_PER_S = {"bit/s": 1.0, "kbit/s": 1e3, "Mbit/s": 1e6, "Gbit/s": 1e9}
HOURS_PER_WORKING_DAY = 8
"""Working hours of a limit stated in working days. # source: OpenCPS counts eight."""
WORKING_HOURS = {
    "working hour": 1.0,
    "working hours": 1.0,
    "working day": float(HOURS_PER_WORKING_DAY),
    "working days": float(HOURS_PER_WORKING_DAY),
}
PER_S = {"/s": 1.0, "/min": 1 / 60, "/h": 1 / 3600, "/day": 1 / 86400}

_QUANTITY = re.compile(r"^\s*([-+]?[0-9][0-9_]*\.?[0-9]*(?:[eE][-+]?[0-9]+)?)\s*([^\d\s].*?)?\s*$")


def parse_quantity(value: Any, units: dict[str, float]) -> Any:
    """Return the value in SI; anything that is not a text passes through for the type check.

    Raises
    ------
    ValueError
        When the text is no number, or its unit is not one of ``units``.
    """
    if not isinstance(value, str):
        return value
    allowed = ", ".join(units)
    match = _QUANTITY.match(value)
    if match is None:
        raise ValueError(f"must be a number with a unit, such as {_example(units)}")
    number, unit = match.groups()
    if unit is None:
        raise ValueError(f"needs a unit, one of: {allowed}; or write the number without quotes")
    if unit not in units:
        raise ValueError(f"has the unknown unit {unit!r}; allowed: {allowed}")
    return float(number) * units[unit]


def _example(units: dict[str, float]) -> str:
    return repr(f"10 {list(units)[min(2, len(units) - 1)]}")


def _read(units: dict[str, float]) -> BeforeValidator:
    return BeforeValidator(lambda value: parse_quantity(value, units))


def _json_schema(units: dict[str, float]) -> WithJsonSchema:
    names = "|".join(re.escape(unit) for unit in units)
    text = {"type": "string", "pattern": rf"^\s*[-+]?[0-9][0-9_.eE+-]*\s*({names})\s*$"}
    return WithJsonSchema({"anyOf": [{"type": "number"}, text]})


Seconds = Annotated[float, _read(SECONDS), _json_schema(SECONDS)]
Bytes = Annotated[float, _read(BYTES), _json_schema(BYTES)]
BitsPerSecond = Annotated[float, _read(BITS_PER_S), _json_schema(BITS_PER_S)]
PerSecond = Annotated[float, _read(PER_S), _json_schema(PER_S)]
WorkingHours = Annotated[float, _read(WORKING_HOURS), _json_schema(WORKING_HOURS)]
"""Working hours; a working day has ``HOURS_PER_WORKING_DAY`` of them."""
