"""Demand: the catalogue, how many dossiers, when, through which channels and journeys."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.base import Distribution, Name, Share, Spec
from sim.scenario.quantities import BitsPerSecond, Bytes, Seconds

Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class Domain(Spec):
    """A field of administration: how many procedures it has and what they are like."""

    share: Share
    """Share of all procedures."""
    limit_median_days: Annotated[float, Field(gt=0, le=720)]
    """Median legal limit, working days."""
    commune_share: Share = 0.0
    """Share of its procedures decided at commune level."""
    fee_share: Share | None = None
    """Share of its procedures that charge a fee; absent: the catalogue's."""
    weight: Weight = 1.0
    """Popularity of its procedures, relative to the others."""


class Catalogue(Spec):
    """How the procedures are generated, or the file they are read from."""

    file: str | None = None
    """Catalogue file (`hoso import catalogue`), relative to the scenario; absent: generated."""
    procedures: Annotated[int, Field(ge=1, le=1_000_000)]
    """All administrative procedures."""
    integrated: Annotated[int, Field(ge=1, le=1_000_000)]
    """Procedures offered online through the portal."""
    full_process_share: Share
    """Share of the integrated ones that run online from end to end."""
    active_share: Share
    """Share of the integrated services that carry all online load."""
    zipf_exponent: Annotated[float, Field(ge=0, le=5)] = 1.0
    """Exponent of popularity over rank among the active services."""
    limit_sigma: Annotated[float, Field(ge=0, le=3)]
    """Sigma of the log of the legal limit within a domain."""
    fee_share: Share
    """Share of procedures that charge a fee."""
    fee_median_vnd: Positive
    """Median fee where there is one, VND."""
    fee_sigma: Annotated[float, Field(ge=0, le=3)] = 1.0
    """Sigma of the log of the fee."""
    upload_slots_mean: Annotated[float, Field(ge=0, le=23)]
    """Mean number of papers to upload, per procedure."""
    upload_slots_max: Annotated[int, Field(ge=0, le=50)]
    """No procedure asks for more papers."""
    e_form_share: Share
    """Share of procedures with an electronic form."""
    domains: dict[Name, Domain]
    """Domains by name; their shares sum to 1."""

    @model_validator(mode="after")
    def _check_counts(self) -> "Catalogue":
        if self.integrated > self.procedures:
            raise ValueError(
                f"integrated {self.integrated} must be at most procedures {self.procedures}"
            )
        total = sum(domain.share for domain in self.domains.values())
        if abs(total - 1) > 1e-6:
            raise ValueError(f"shares of the domains sum to {total:.4g}, they must sum to 1")
        return self


class SharedData(Spec):
    """The city's shared-data platform."""

    data_sets: Annotated[int, Field(ge=0)]
    """Number of data sets."""
    fields: Annotated[int, Field(ge=0)]
    """Number of data fields."""
    records: Annotated[int, Field(ge=0)]
    """Number of records."""


class Client(Spec):
    """How a person or a program behaves towards a slow or failing portal."""

    patience: Distribution | None = None
    """How long it waits for one answer; absent: for ever."""
    retries: Annotated[int, Field(ge=0, le=20)] = 0
    """Further attempts after one that was not answered well."""
    backoff_s: Annotated[Seconds, Field(ge=0)] = 0.0
    """Pause before the first retry, s."""
    backoff_factor: Annotated[float, Field(ge=1, le=10)] = 2.0
    """By how much each further pause is longer."""
    jitter: Share = 0.0
    """Share of a pause that is random: the pause is drawn from [1 - jitter, 1] of its length."""


class Channel(Spec):
    """How a client reaches the portal."""

    share: Share
    """Share of the sessions of journeys that name no channel."""
    uplink_bit_per_s: Annotated[BitsPerSecond, Field(gt=0)]
    """Upload rate of one client."""
    round_trip_s: Annotated[Seconds, Field(ge=0)] = 0.0
    """Network round trip, added to every request."""


class Upload(Spec):
    """Size of one upload: log-normal."""

    mean_bytes: Annotated[Bytes, Field(gt=0)]
    """Mean size."""
    cv: Annotated[float, Field(ge=0, le=20)] = 1.0
    """Coefficient of variation."""
    max_bytes: Annotated[Bytes, Field(gt=0)] = 100e6
    """No upload is larger."""


Calls = Annotated[int, Field(ge=0, le=1000)] | Literal["upload_slots", "e_forms"]


class Step(Spec):
    """One row of a journey: a page or an action, its requests, and where it leads."""

    step: Name
    """Name of the step."""
    calls: dict[Name, Calls] = Field(default_factory=dict)
    """Requests by endpoint: how many, or ``upload_slots`` or ``e_forms`` of the service."""
    together: Annotated[int, Field(ge=1, le=100)] = 1
    """How many of them the client sends at once."""
    think: Distribution = Distribution(mean_s=0.0)
    """Time the person takes before the step."""
    upload: Upload | None = None
    """Size of each request's upload; absent: nothing worth counting."""
    repeat: Annotated[int, Field(ge=1, le=1000)] = 1
    """How often the step is done, thinking before each."""
    while_syncing: bool = False
    """Whether a repetition is skipped once the dossier is synchronised."""
    only_with_fee: bool = False
    """Whether the step is skipped for services without a fee."""
    next: dict[Name, Share] | None = None
    """Next step and probability; the rest leaves. Absent: the next row, after the last the end."""


class Journey(Spec):
    """What one kind of session does, step by step."""

    client: Name
    """Client behaviour, by name."""
    channel: Name | None = None
    """Channel all its sessions use; absent: drawn by the channels' shares."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]
    """Rows of the journey; the first is the start."""


class JourneyDemand(Spec):
    """How often a journey is made."""

    per_dossier: Weight
    """Sessions per dossier filed online."""
    hours: Name
    """Hour shape its sessions follow."""


class Event(Spec):
    """Demand that departs from the ordinary day."""

    kind: Literal["surge", "ramp", "flash_crowd", "deadline"]
    """``surge`` constant; ``ramp`` from ordinary demand to the peak in a straight line;
    ``flash_crowd`` rises, then decays; ``deadline`` grows until it ends."""
    from_s: Annotated[Seconds, Field(ge=0)] = 0.0
    """Start, s from the window's start (of a deadline: when growth begins)."""
    to_s: Annotated[Seconds, Field(ge=0)]
    """End, s from the window's start (of a deadline: the deadline itself)."""
    factor: Annotated[float, Field(gt=0, le=1000)]
    """Peak demand over the ordinary demand of that moment."""
    scale_s: Annotated[Seconds, Field(gt=0)] = 1800.0
    """Time constant: of a crowd's decay, of a deadline's growth, s."""
    rise_s: Annotated[Seconds, Field(ge=0)] = 300.0
    """How long a crowd takes to gather, s."""
    journeys: tuple[Name, ...] = ()
    """Journeys concerned; none named: all."""

    @model_validator(mode="after")
    def _check_times(self) -> "Event":
        if self.to_s <= self.from_s:
            raise ValueError(f"to_s {self.to_s:g} must be later than from_s {self.from_s:g}")
        return self


class HolidayCalendar(Spec):
    """Days on which offices are closed although it is a working day, and the reverse."""

    holidays: dict[dt.date, str] = Field(default_factory=dict)
    """Days off, with their names."""
    working_weekends: dict[dt.date, str] = Field(default_factory=dict)
    """Weekend days worked instead, with the reason."""


class Demand(Spec):
    """How many sessions start, and when."""

    dossiers_per_year: Annotated[float, Field(gt=0)]
    """Dossiers a year, filed in any way."""
    online_share: Share
    """Share of them filed online."""
    months: Annotated[tuple[Weight, ...], Field(min_length=12, max_length=12)]
    """Weight of a day in each month, January first."""
    weekdays: Annotated[tuple[Weight, ...], Field(min_length=7, max_length=7)]
    """Weight of each weekday, Monday first."""
    holiday_factor: Weight = 0.1
    """Weight of a holiday over an ordinary day."""
    hours: dict[Name, Annotated[tuple[Weight, ...], Field(min_length=24, max_length=24)]]
    """Hour shapes by name: weight of each hour, midnight first."""
    calendar: HolidayCalendar = HolidayCalendar()
    """Public holidays."""
    day_factor: Positive = 1.0
    """Demand of the window's days over the year's ordinary ones: a design day."""
    day_effect_cv: Annotated[float, Field(ge=0, le=3)] = 0.0
    """Coefficient of variation of the random (gamma) day effect, common to all journeys."""
    think_factor: Annotated[float, Field(ge=0, le=100)] = 1.0
    """All think times are so many times the journeys': below 1 a load test of a minute holds whole
    sessions."""
    interval_s: Annotated[Seconds, Field(gt=0, le=3600)] = 60.0
    """Resolution of the arrival rate, s."""
    journeys: dict[Name, JourneyDemand]
    """How often each journey is made."""
    events: tuple[Event, ...] = ()
    """Departures from the ordinary day; their factors multiply."""

    @model_validator(mode="after")
    def _check_shapes(self) -> "Demand":
        shapes = {"months": self.months, "weekdays": self.weekdays}
        shapes |= {f"hours.{name}": shape for name, shape in self.hours.items()}
        empty = [name for name, shape in shapes.items() if sum(shape) <= 0]
        if empty:
            raise ValueError(f"{', '.join(empty)}: at least one weight must be positive")
        return self
