"""Behind the portal: offices, their officers, a dossier's way through them, and the law's terms."""

import datetime as dt
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from sim.calendars import OfficeCalendar
from sim.scenario.base import Distribution, Name, Share, Spec
from sim.scenario.demand import HolidayCalendar, Weight
from sim.scenario.quantities import Seconds, WorkingHours

Task = Literal["receive", "assign", "examine", "approve", "sign", "release"]
"""What officers do with a dossier."""
TASKS: tuple[Task, ...] = ("receive", "assign", "examine", "approve", "sign", "release")
"""All tasks, in the order in which a dossier meets them."""

Filing = Literal["online", "counter"]
"""How a dossier is handed in."""
FILINGS: tuple[Filing, ...] = ("online", "counter")

OpenState = Literal[
    "receiving",
    "supplementing_at_reception",
    "paying",
    "assigning",
    "examining",
    "supplementing",
    "consulting",
    "approving",
    "signing",
    "releasing",
]
"""States in which a dossier may stand when the window begins."""

Order = Literal["due_first", "fifo"]
Half = Literal["morning", "afternoon"]

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def _time_of_day(value: object) -> object:
    """Read ``15:00``."""
    if isinstance(value, dt.time):
        return value
    match = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a time of day, such as 15:00")
    return dt.time(int(match[1]), int(match[2]))


TimeOfDay = Annotated[
    dt.time,
    BeforeValidator(_time_of_day),
    PlainSerializer("{:%H:%M}".format, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_CLOCK.pattern}$"}),
]


class OpenSpan(Spec):
    """A stretch of a day in which an office works."""

    opens: TimeOfDay
    """Start, such as ``7:30``."""
    closes: TimeOfDay
    """End, later than the start."""

    @model_validator(mode="after")
    def _check_order(self) -> "OpenSpan":
        if self.closes <= self.opens:
            raise ValueError(f"closes {self.closes:%H:%M} must be later than opens")
        return self


class OfficeHours(Spec):
    """When an office works; holidays and worked weekends are those of ``demand.calendar``."""

    spans: Annotated[tuple[OpenSpan, ...], Field(min_length=1)] = (
        OpenSpan(opens=dt.time(7, 30), closes=dt.time(11, 30)),
        OpenSpan(opens=dt.time(13, 0), closes=dt.time(17, 0)),
    )
    """Opening hours of a working day, in order."""
    weekdays: tuple[Annotated[int, Field(ge=0, le=6)], ...] = (0, 1, 2, 3, 4)
    """Worked weekdays, Monday 0."""
    half_days: dict[dt.date, Half] = Field(default_factory=dict)
    """Days of which only one half is worked, and which."""

    @model_validator(mode="after")
    def _check_spans(self) -> "OfficeHours":
        for before, after in pairwise(self.spans):
            if after.opens < before.closes:
                raise ValueError(
                    f"spans must follow each other: {after.opens:%H:%M} comes too soon"
                )
        return self

    def calendar(self, days: HolidayCalendar) -> OfficeCalendar:
        """Return when such an office is open.

        Parameters
        ----------
        days : HolidayCalendar
            The city's days off and worked weekends.
        """
        return OfficeCalendar(
            holidays=frozenset(days.holidays),
            working_weekends=frozenset(days.working_weekends),
            half_days=self.half_days,
            hours=tuple((span.opens, span.closes) for span in self.spans),
            weekdays=frozenset(self.weekdays),
        )


class RosterChange(Spec):
    """From some day on a team has another number of officers."""

    from_day: dt.date
    """First day."""
    officers_per_office: Annotated[float, Field(ge=0, le=10_000)]
    """Officers per office of the group from then on, on average."""


class Interruptions(Spec):
    """What keeps an officer from the dossier in hand: calls, visitors, meetings."""

    per_hour: Annotated[float, Field(ge=0, le=60)]
    """Mean number in an hour of work on dossiers."""
    length: Distribution
    """Length of one."""


class Team(Spec):
    """Officers of one office with the same skills: one queue, as many servers as are present."""

    officers_per_office: Annotated[float, Field(ge=0, le=10_000)]
    """Officers per office of the group, on average; what ``hoso size`` varies."""
    does: Annotated[tuple[Task, ...], Field(min_length=1)]
    """Their tasks."""
    domains: tuple[Name, ...] | None = None
    """Domains they can handle; absent: all."""
    filings: tuple[Filing, ...] | None = None
    """Whether they handle dossiers filed online or at the counter; absent: both."""
    leave_share: Share = 0.0
    """Chance that an officer is absent on a working day."""
    roster: tuple[RosterChange, ...] = ()
    """Changes of their number, in order of time."""
    interruptions: Interruptions | None = None
    """What interrupts their work; absent: nothing."""
    order: Order | None = None
    """Which dossier is next; absent: ``backoffice.order``."""

    @model_validator(mode="after")
    def _check_roster(self) -> "Team":
        days = [change.from_day for change in self.roster]
        if any(later <= day for day, later in pairwise(days)):
            raise ValueError("roster: each from_day must be later than the one before")
        return self

    def officers_per_office_on(self, day: dt.date) -> float:
        """Return how many officers an office has on a day, on average."""
        begun = [change for change in self.roster if change.from_day <= day]
        return begun[-1].officers_per_office if begun else self.officers_per_office

    def does_task(self, task: Task, domain: str, filing: Filing) -> bool:
        """Say whether its officers do a task on dossiers of a domain filed in this way."""
        return (
            task in self.does
            and (self.domains is None or domain in self.domains)
            and (self.filings is None or filing in self.filings)
        )


class OfficeGroup(Spec):
    """Offices of one kind: the commune centres, or the departments of some domains."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    """How many offices."""
    level: Literal["commune", "province"] | None = None
    """Level of the procedures they decide; absent: both."""
    domains: tuple[Name, ...] | None = None
    """Domains they decide; absent: all. The first group that fits decides a procedure."""
    size_cv: Annotated[float, Field(ge=0, le=5)] = 0.0
    """Coefficient of variation of their sizes (log-normal); dossiers are spread by size."""
    staffing: Literal["equal", "by_size"] = "by_size"
    """Whether officers are spread over the offices evenly or by size, at least one each."""
    hours: OfficeHours = OfficeHours()
    """When they work."""
    teams: Annotated[dict[Name, Team], Field(min_length=1)]
    """Their officers; the first team that can do a task, and has anybody, does it."""

    def decides(self, level: str, domain: str) -> bool:
        """Say whether these offices can decide procedures of a level and a domain."""
        fits = (self.level is None and level in ("commune", "province")) or self.level == level
        return fits and (self.domains is None or domain in self.domains)

    def officers(self, officers_per_office: float) -> int:
        """Return how many officers all its offices have together, rounded half up."""
        return math.floor(officers_per_office * self.count + 0.5)


class Rules(Spec):
    """How often a dossier takes which way, and how long others take to answer."""

    refused_at_reception_share: Share = 0.0
    """Refused by the reception."""
    incomplete_at_reception_share: Share = 0.0
    """Papers asked for by the reception."""
    unpaid_share: Share = 0.0
    """Of dossiers with a fee: still to be paid when received."""
    incomplete_share: Share = 0.0
    """Papers asked for at an examination."""
    consult_share: Share = 0.0
    """Another agency is asked, once, at an examination."""
    refused_share: Share = 0.0
    """Refused at an examination."""
    sent_back_share: Share = 0.0
    """Sent back to be examined again instead of approved."""
    withdrawn_share: Share = 0.0
    """Withdrawn instead of answered, whenever the citizen is asked for something."""

    @model_validator(mode="after")
    def _check_sums(self) -> "Rules":
        at_reception = self.refused_at_reception_share + self.incomplete_at_reception_share
        at_examination = self.refused_share + self.incomplete_share + self.consult_share
        for place, total in (("reception", at_reception), ("an examination", at_examination)):
            if total > 1:
                raise ValueError(f"shares at {place} sum to {total:.4g}, they must be at most 1")
        return self


class DomainRules(Spec):
    """What is different in one domain; what is absent is as everywhere."""

    effort: Annotated[float, Field(gt=0, le=100)] = 1.0
    """Work of an examination over the ordinary one."""
    incomplete_share: Share | None = None
    """Papers asked for at an examination."""
    consult_share: Share | None = None
    """Another agency is asked, once, at an examination."""
    refused_share: Share | None = None
    """Refused at an examination."""


class Workflow(Spec):
    """A dossier's way through an office."""

    rules: Rules = Rules()
    """Which way it takes."""
    by_domain: dict[Name, DomainRules] = Field(default_factory=dict)
    """What is different in a domain."""
    work: dict[Task, Distribution]
    """Officer's work for each task, in working time."""
    repeat_factor: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Work of a task done again on the same dossier, over the first time's."""
    citizen_answer: Distribution
    """How long citizens take to bring papers or to pay."""
    citizen_limit_s: Annotated[Seconds, Field(gt=0)]
    """After that the dossier is closed."""
    agency_answer: Distribution
    """How long another agency takes, in working time."""
    sent_back_max: Annotated[int, Field(ge=0, le=100)] = 3
    """A dossier is sent back no more often."""


class Law(Spec):
    """Terms set by law; ``scenarios/calendars/law-one-stop.yaml`` has them with their articles."""

    reception_limit_h: Annotated[WorkingHours, Field(gt=0)] = 8.0
    """A dossier filed online is to be received or answered within, working hours."""
    cut_off: TimeOfDay = dt.time(15, 0)
    """What is received from then on counts from the next working day."""
    default_limit_h: Annotated[WorkingHours, Field(gt=0)] = 40.0
    """Limit of procedures that state none, working hours."""
    clock: Literal["resume", "restart"] = "resume"
    """After papers were asked for: goes on where it stopped, or starts anew."""
    supplement_notice_h: Annotated[WorkingHours, Field(gt=0)] = 24.0
    """Papers are to be asked for within, since reception, working hours."""
    supplements_max: Annotated[int, Field(ge=0, le=100)] | None = 1
    """How often papers may be asked for; null: without limit."""
    apology_notice_h: Annotated[WorkingHours, Field(ge=0)] = 8.0
    """An apology is due that long before the term expires, working hours."""
    apology_extension_h: Annotated[WorkingHours, Field(gt=0)] = 40.0
    """The new date an apology promises, after the old one, working hours."""


class Sync(Spec):
    """Dossiers or changes of state pass through a job of the portal, and may fail."""

    job: Name
    """The portal's job: its period, offset, batch and retries, and the faults that stop it."""
    error_share: Share = 0.0
    """Chance that a row fails at an attempt."""
    resend: Distribution = Distribution(mean_s=86400.0)
    """How long a row that has used up its retries lies until somebody sends it again."""


class Backlog(Spec):
    """Dossiers open at the start of the window, in one group of offices."""

    open: dict[OpenState, Annotated[int, Field(ge=0, le=10_000_000)]]
    """How many stand in each state, over all offices of the group."""
    age: Distribution
    """Time since they were filed."""


class InitialState(Spec):
    """What lies in the offices when the window begins."""

    groups: dict[Name, Backlog] = Field(default_factory=dict)
    """Counts, by group of offices; dossiers are drawn."""
    file: str | None = None
    """A list of open dossiers instead (CSV), relative to the file that names it;
    ``docs/scenarios.md``."""

    @model_validator(mode="after")
    def _check_one(self) -> "InitialState":
        if self.groups and self.file is not None:
            raise ValueError("give groups or file, not both")
        return self


class Backoffice(Spec):
    """The offices behind the portal."""

    fed_by: Literal["portal", "demand"] = "portal"
    """Where dossiers filed online come from: the simulated portal, or straight from the demand,
    without simulating sessions and requests (for a year, say)."""
    online_hours: Name | None = None
    """Hour shape of dossiers filed online when ``fed_by`` is ``demand``; absent: that of the first
    journey in ``demand.journeys`` that files dossiers."""
    counter_hours: Name | None = None
    """Hour shape of dossiers handed in at the counter; absent: none are simulated."""
    counter_weights: dict[Name, Weight] = Field(default_factory=dict)
    """Dossiers handed in at the counter by domain, relative to each other; a domain not named has
    none. Empty: each procedure by the popularity of its domain."""
    offices: Annotated[dict[Name, OfficeGroup], Field(min_length=1)]
    """Groups of offices."""
    elsewhere_share: Share = 0.0
    """Dossiers received by another office of the city, drawn by size, than the one that decides."""
    order: Order = "due_first"
    """Which waiting dossier is next: the one due first, or the one that waits longest."""
    workflow: Workflow
    """A dossier's way."""
    law: Law = Law()
    """The law's terms."""
    intake: Sync | None = None
    """How dossiers filed online reach the offices when ``fed_by`` is ``demand``; absent: at once.
    With ``portal`` its ``resend`` is how long those lie that the portal's job gave up."""
    publication: Sync | None = None
    """How changes of state reach the national portal; absent: not simulated."""
    officer_journey: Name | None = None
    """Journey an officer makes on the portal at each task; absent: officers do not load it."""
    initial_state: InitialState = InitialState()
    """What lies there at the start."""
    level_interval_s: Annotated[Seconds, Field(gt=0)] = 3600.0
    """Length of the intervals over which officers and queues are averaged, s."""

    def teams(self) -> Iterator[tuple[Name, Name, Team]]:
        """Yield group, name and team, in order."""
        for group, office in self.offices.items():
            for name, team in office.teams.items():
                yield group, name, team

    def office_names(self) -> Iterator[tuple[str, Name]]:
        """Yield every office's name and its group, in order: ``communes_001``, or ``tax`` alone."""
        for group, office in self.offices.items():
            if office.count == 1:
                yield group, group
            else:
                yield from ((f"{group}_{n:03d}", group) for n in range(1, office.count + 1))
