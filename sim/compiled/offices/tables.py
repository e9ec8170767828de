"""The offices of one replication as tables of numbers: staff, law, shares, queues and stations."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.backoffice.plan import Plan, Shifts
from sim.backoffice.workflow import DECIDED, STATES, TRANSITIONS, State
from sim.compiled.kernel import constants as families
from sim.compiled.offices import structs
from sim.compiled.offices.kernel import constants as codes
from sim.compiled.offices.kernel.constants import NONE
from sim.compiled.program import family_of
from sim.compiled.stations import Row, Table, table
from sim.compiled.structs import Struct, dtype_of
from sim.scenario.backoffice import TASKS, Backoffice, Sync
from sim.scenario.base import Distribution
from sim.scenario.run import Fault
from sim.scenario.scenario import Scenario

_HOUR_S = 3600.0
_NO_LIMIT = 2**31
"""More often than anything happens."""

_WAITS_FOR = {
    "system": codes.SYSTEM,
    "officer": codes.OFFICER,
    "citizen": codes.CITIZEN,
    "agency": codes.AGENCY,
    "nobody": codes.NOBODY,
}


@dataclass(frozen=True, slots=True)
class Built:
    """Everything that is the same for any dossiers.

    Attributes
    ----------
    numbers : dict of str to float
        Fields of the world.
    tables : dict of str to NDArray
        Arrays of the world.
    stations : tuple of str
        Names of the levels, in order.
    """

    numbers: dict[str, float]
    tables: dict[str, NDArray[Any]]
    stations: tuple[str, ...]


def tables_of(plan: Plan, scenario: Scenario) -> Built:
    """Return the offices of a plan, under the faults of a scenario."""
    builder = _Builder(plan)
    builder.add_calendars()
    builder.add_staff()
    builder.add_workflow()
    builder.add_syncs(scenario)
    builder.add_levels()
    return Built(builder.numbers, builder.tables, tuple(builder.stations))


def interval_ends(end_s: float, interval_s: float) -> NDArray[np.float64]:
    """Return the ends of the intervals of a run, s; the last ends with it."""
    n = math.ceil(end_s / interval_s)
    multiples = np.arange(1, n + 2) * interval_s
    return np.append(multiples[multiples < end_s], end_s)


class _Builder:
    def __init__(self, plan: Plan) -> None:
        self.numbers: dict[str, float] = {}
        self.tables: dict[str, NDArray[Any]] = {}
        self.stations: list[str] = []
        self._plan = plan
        self._levels: list[Row] = []

    def add_calendars(self) -> None:
        """Add calendars: open time, openings, whose teams come then, and the ends of intervals."""
        plan = self._plan
        ends_s = interval_ends(plan.end_s, plan.spec.level_interval_s)
        rows: list[Row] = []
        parts: dict[str, list[Table]] = {
            "spans": [],
            "openings": [],
            "teams_at": [],
            "boundaries": [],
        }
        for number, shifts in enumerate(plan.shifts):
            teams = np.flatnonzero(plan.calendar[plan.team_office] == number).astype(np.int32)
            rows.append(
                _calendar(shifts)
                | _run("span", parts["spans"], _spans(shifts))
                | _run("opening", parts["openings"], _openings(shifts))
                | _run("team", parts["teams_at"], _column(structs.Cell, teams))
                | _run("boundary", parts["boundaries"], _boundaries(shifts, ends_s))
            )
        for row in rows:
            row["n_spans"] = row.pop("stop_span") - row["first_span"]
            row["next_opening"] = row.pop("first_opening")
            del row["stop_boundary"]
        self.tables |= {name: np.concatenate(tables) for name, tables in parts.items()}
        self.tables["calendars"] = table(structs.Calendar, rows)
        interval_s = plan.spec.level_interval_s
        self.numbers |= {
            "n_calendars": len(rows),
            "n_intervals": len(ends_s),
            "interval_s": interval_s,
        }

    def add_staff(self) -> None:
        """Add offices, roles and teams."""
        plan = self._plan
        calendar_of_team = plan.calendar[plan.team_office]
        offices = [
            {"calendar": calendar, "level": self._level(f"backoffice.{name}", calendar)}
            for name, calendar in zip(plan.offices, plan.calendar, strict=True)
        ]
        roles: list[Row] = []
        for number, (name, order) in enumerate(zip(plan.roles, plan.role_order, strict=True)):
            calendars = calendar_of_team[plan.team_role == number]
            level = self._level(f"backoffice.{name}", int(calendars[0]) if len(calendars) else NONE)
            roles.append({"is_due_first": order == "due_first", "level": level})
        lengths: list[Distribution | None] = []
        for row, (_, _, team) in zip(roles, plan.spec.teams(), strict=True):
            if team.interruptions is not None:
                row["interruptions_per_hour"] = team.interruptions.per_hour
                row["length"] = codes.FIRST_LENGTH + len(lengths)
                lengths.append(team.interruptions.length)
        teams = [
            {
                "calendar": plan.calendar[office],
                "role": role,
                "office_level": offices[office]["level"],
                "role_level": roles[role]["level"],
                "queue": codes.EVENTS + 1 + number,
                "last": NONE,
            }
            for number, (office, role) in enumerate(
                zip(plan.team_office, plan.team_role, strict=True)
            )
        ]
        self.tables |= {
            "offices": table(structs.Office, offices),
            "roles": table(structs.Role, roles),
            "teams": table(structs.Team, teams),
            "present": _column(structs.Cell, plan.present),
            "team_of": _column(structs.Cell, plan.team_of),
            "durations": table(structs.Duration, map(_duration, _durations(plan.spec, lengths))),
        }
        self.numbers |= {
            "n_days": plan.present.shape[1],
            "n_tasks": plan.team_of.shape[1],
            "n_domains": plan.team_of.shape[2],
            "most_at_once": int(plan.present.max(axis=1, initial=0).sum()),
        }

    def add_workflow(self) -> None:
        """Add procedures, domains, states, and the numbers of rules and law."""
        plan, spec = self._plan, self._plan.spec
        procedures = np.zeros(len(plan.procedures.limit_s), dtype_of(structs.Procedure))
        for name in ("domain", "limit_s", "has_fee"):
            procedures[name] = getattr(plan.procedures, name)
        states = [
            {
                "waits_for": _WAITS_FOR[row.waits_for],
                "task": _task_number(row.task),
                "event": _sole_event(state),
                "is_decision": state in DECIDED,
                "level": self._level(f"backoffice.state.{state.name.lower()}"),
            }
            for state, row in STATES.items()
        ]
        following = np.full((codes.N_STATES, codes.N_EVENTS), NONE)
        for (state, event), then in TRANSITIONS.items():
            following[state, event] = then
        self.tables |= {
            "procedures": procedures,
            "domains": table(structs.Domain, (_domain(spec, name) for name in plan.domains)),
            "states": table(structs.StateInfo, states),
            "transitions": _column(structs.Cell, following),
        }
        self.numbers |= _rules(spec)

    def add_syncs(self, scenario: Scenario) -> None:
        """Add intake and publication, and when their jobs are stopped."""
        syncs: list[Row] = []
        stops: list[Row] = []
        for name, resend in zip(("intake", "publication"), codes.RESEND, strict=True):
            spec: Sync | None = getattr(self._plan.spec, name)
            row: Row = {"head": NONE, "tail": NONE, "resend": resend}
            if spec is not None:
                first = len(stops)
                stops += _stops(spec.job, scenario.faults)
                level = self._level(f"backoffice.{name}", sync=len(syncs))
                row |= _sync(spec, scenario) | {"level": level}
                row |= {"next_stop": first, "last_stop": len(stops)}
                self.numbers["most_at_once"] = max(self.numbers["most_at_once"], row["batch"])
            syncs.append(row)
        self.tables |= {
            "syncs": table(structs.Sync, syncs),
            "stops": table(structs.Stop, stops),
        }

    def add_levels(self) -> None:
        """Add the levels of all stations, and room for the rows of their intervals."""
        n = len(self._levels)
        rows = np.zeros(n * int(self.numbers["n_intervals"]), dtype_of(structs.LevelRow))
        self.tables |= {"levels": table(structs.Level, self._levels), "level_rows": rows}
        self.numbers["n_levels"] = n

    def _level(self, station: str, calendar: int = NONE, sync: int = NONE) -> int:
        """Add a level; returns its index."""
        self.stations.append(station)
        end = self._plan.spec.level_interval_s
        # Working time is counted from the calendar's start, levels from the run's.
        worked = 0.0 if calendar == NONE else self._plan.shifts[calendar].working_time.worked(0.0)
        self._levels.append({"calendar": calendar, "sync": sync, "end": end, "worked": worked})
        return len(self._levels) - 1


def _calendar(shifts: Shifts) -> Row:
    time = shifts.working_time
    total_s = time.worked_s[-1] + (time.closes_s[-1] - time.opens_s[-1])
    return {
        "from_s": time.from_s,
        "to_s": time.to_s,
        "total_s": total_s,
        "midnight_s": time.midnight_s,
        "span": NONE,
        "at": math.nan,
    }


def _spans(shifts: Shifts) -> Table:
    time = shifts.working_time
    spans = np.zeros(len(time.opens_s), dtype_of(structs.Span))
    spans["opens"], spans["closes"], spans["worked"] = time.opens_s, time.closes_s, time.worked_s
    return spans


def _openings(shifts: Shifts) -> Table:
    openings = np.zeros(len(shifts.opening_s), dtype_of(structs.Opening))
    openings["at_s"], openings["day"] = shifts.opening_s, shifts.opening_day
    return openings


def _boundaries(shifts: Shifts, ends_s: NDArray[np.float64]) -> Table:
    return _column(structs.Real, shifts.working_time.worked_each(ends_s))


def _run(name: str, parts: list[Table], own: Table) -> Row:
    """Append rows to the parts of an array; returns where they lie in it."""
    first = sum(map(len, parts))
    parts.append(own)
    return {f"first_{name}": first, f"stop_{name}": first + len(own)}


def _column(struct: type[Struct], values: NDArray[Any]) -> Table:
    """Return numbers as rows of a structure of one field."""
    rows = np.zeros(values.size, dtype_of(struct))
    rows["value"] = values.ravel()
    return rows


def _task_number(task: str | None) -> int:
    return NONE if task is None else [str(name) for name in TASKS].index(task)


def _sole_event(state: State) -> int:
    """Return the only event that can end a state; NONE if there are several."""
    events = [event for of_state, event in TRANSITIONS if of_state == state]
    return int(events[0]) if len(events) == 1 else NONE


def _durations(
    spec: Backoffice, lengths: Sequence[Distribution | None]
) -> Iterator[Distribution | None]:
    """Yield all distributions by number: of resending, of the states, of interruptions."""
    workflow = spec.workflow
    yield None if spec.intake is None else spec.intake.resend
    for state in State:
        if codes.RESEND[0] < state < codes.RESEND[1]:
            row = STATES[state]
            if row.task is not None:
                yield _work(spec, row.task)
            else:
                is_citizen = row.waits_for == "citizen"
                yield workflow.citizen_answer if is_citizen else workflow.agency_answer
    yield None if spec.publication is None else spec.publication.resend
    yield from lengths


def _work(spec: Backoffice, task: str) -> Distribution | None:
    named: dict[str, Distribution] = {str(name): of for name, of in spec.workflow.work.items()}
    return named.get(task)


def _duration(distribution: Distribution | None) -> Row:
    if distribution is None:
        return {"family": families.CONSTANT}
    return family_of(distribution)


def _domain(spec: Backoffice, name: str) -> Row:
    rules, own = spec.workflow.rules, spec.workflow.by_domain.get(name)

    def share(which: str) -> float:
        special = None if own is None else getattr(own, f"{which}_share")
        return float(getattr(rules, f"{which}_share") if special is None else special)

    return {
        "effort": 1.0 if own is None else own.effort,
        "refused": share("refused"),
        "incomplete": share("incomplete"),
        "consulted": share("consult"),
    }


def _rules(spec: Backoffice) -> dict[str, float]:
    workflow, law = spec.workflow, spec.law
    rules, cut_off = workflow.rules, law.cut_off
    return {
        "refused_at_reception": rules.refused_at_reception_share,
        "incomplete_at_reception": rules.incomplete_at_reception_share,
        "unpaid_share": rules.unpaid_share,
        "sent_back_share": rules.sent_back_share,
        "sent_back_max": workflow.sent_back_max,
        "withdrawn_share": rules.withdrawn_share,
        "citizen_limit_s": workflow.citizen_limit_s,
        "repeat_factor": workflow.repeat_factor,
        "cut_off_s": cut_off.hour * _HOUR_S + cut_off.minute * 60.0 + cut_off.second,
        "is_restarted": law.clock == "restart",
        "notice_s": law.supplement_notice_h * _HOUR_S,
        "supplements_max": _NO_LIMIT if law.supplements_max is None else law.supplements_max,
        "apology_s": law.apology_notice_h * _HOUR_S,
    }


def _sync(spec: Sync, scenario: Scenario) -> Row:
    job = scenario.portal.jobs[spec.job]
    return {
        "is_present": True,
        "period_s": job.period_s,
        "offset_s": job.offset_s,
        "batch": job.batch,
        "retries": job.retries,
        "error_share": spec.error_share,
    }


def _stops(job: str, faults: Iterable[Fault]) -> list[Row]:
    """Return when a job is stopped and goes on; at one moment the latter comes first."""
    own = [(i, f) for i, f in enumerate(faults) if f.kind == "job_stopped" and f.target == job]
    moments = [(fault.from_s, True, index) for index, fault in own]
    moments += [(fault.to_s, False, index) for index, fault in own]
    return [{"at_s": at_s, "is_stopped": stops} for at_s, stops, _ in sorted(moments)]
