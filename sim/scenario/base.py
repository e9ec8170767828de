"""What every block of a scenario shares: strict frozen models, and distributions."""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sim.scenario.quantities import Seconds

NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
"""Name of a part of a scenario: lower case, digits, underscores."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A share between 0 and 1."""

Family = Literal["constant", "exponential", "lognormal", "uniform"]

_SHORT = re.compile(
    r"\s*(?:(?P<family>[a-z]+)\s+)?(?P<mean>[-+0-9.eE_]+\s*[a-zµ]+)"
    r"(?:\s+cv\s+(?P<cv>[0-9]+\.?[0-9]*|\.[0-9]+))?\s*"
)
_EXAMPLES = "'12 ms', 'exponential 12 ms' or 'lognormal 12 ms cv 1.5'"


class Spec(BaseModel):
    """A block of a scenario: unknown keys are faults, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Distribution(Spec):
    """A random duration, or in short: ``12 ms``, ``exponential 12 ms``, ``lognormal 12 ms cv 1.5``.

    ``uniform`` is drawn between 0 and twice the mean.
    """

    distribution: Family = "constant"
    """Family of the distribution."""
    mean_s: Annotated[Seconds, Field(ge=0)]
    """Mean, s."""
    cv: Annotated[float, Field(ge=0, le=20)] = 1.0
    """Coefficient of variation (standard deviation over mean); used by ``lognormal`` only."""

    @model_validator(mode="before")
    @classmethod
    def _read_short_form(cls, value: Any) -> Any:
        """Turn ``lognormal 12 ms cv 1.5`` or a bare number of seconds into the long form."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"mean_s": value}
        if isinstance(value, str):
            return _long_form(value)
        if not isinstance(value, dict | Distribution):
            raise ValueError(f"must be a duration, such as {_EXAMPLES}")
        return value

    @model_validator(mode="after")
    def _check_spread(self) -> "Distribution":
        if self.distribution != "lognormal" and self.cv != 1.0:
            raise ValueError(
                f"must not state cv: only lognormal has one, {self.distribution} is fixed"
            )
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema of all forms: a number of seconds, the short form, the long form."""
        long_form = handler.resolve_ref_schema(handler(schema))
        short_form = {"anyOf": [{"type": "number"}, {"type": "string"}, dict(long_form)]}
        return short_form | {"title": cls.__name__, "description": long_form["description"]}

    @property
    def is_random(self) -> bool:
        """Whether a value of it must be drawn."""
        return self.distribution != "constant" and self.mean_s > 0


def _long_form(text: str) -> dict[str, str | float]:
    match = _SHORT.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a duration, such as {_EXAMPLES}")
    fields: dict[str, str | float] = {"mean_s": match["mean"]}
    if match["family"] is not None:
        if match["family"] not in get_args(Family):
            allowed = ", ".join(get_args(Family))
            raise ValueError(
                f"has the unknown distribution {match['family']!r}; allowed: {allowed}"
            )
        fields["distribution"] = match["family"]
    if match["cv"] is not None:
        fields["cv"] = float(match["cv"])
    return fields
