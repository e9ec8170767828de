"""Cross-checks of the offices: every dossier is decided by somebody who is there to do it."""

import datetime as dt
from collections.abc import Iterable, Iterator

from sim.calendars import days_touched
from sim.scenario.backoffice import FILINGS, TASKS, Backoffice, Filing, OfficeGroup, Task
from sim.scenario.demand import Demand
from sim.scenario.errors import Path, advice
from sim.scenario.run import Window
from sim.scenario.scenario import Scenario

Finding = tuple[Path, str]
"""A place in the scenario and what is wrong there."""

Deciding = tuple[str, str]
"""Level and domain of some procedure that is decided in the city."""

ROOT = "backoffice"

_RESERVED = ("state", "intake", "publication")
"""Names of the back office's own stations."""

_VERBS: dict[Task, str] = {
    "receive": "receive",
    "assign": "assign",
    "examine": "examine",
    "approve": "approve",
    "sign": "sign",
    "release": "hand over the results of",
}
_WAYS: dict[tuple[Filing, ...], str] = {
    ("online",): "filed online",
    ("counter",): "handed in at the counter",
    FILINGS: "filed online or handed in at the counter",
}


def check_backoffice(scenario: Scenario) -> Iterator[Finding]:
    """Yield every fault of the block ``backoffice`` that fits the schema, each with its place."""
    offices = scenario.backoffice
    if offices is None:
        return
    yield from check_names(scenario, offices)
    yield from check_feeding(scenario, offices)
    yield from check_domains(scenario, offices)
    yield from check_offices(
        offices, procedures_decided(scenario), scenario.demand, scenario.window
    )


def check_names(scenario: Scenario, offices: Backoffice) -> Iterator[Finding]:
    """Yield what is named and does not exist, what is missing, and names that mean two things."""
    for field in ("online_hours", "counter_hours"):
        shape = getattr(offices, field)
        if shape is not None and shape not in scenario.demand.hours:
            known = advice(shape, scenario.demand.hours)
            yield (ROOT, field), f"{shape!r} is no hour shape{known}"
    for field in ("intake", "publication"):
        sync = getattr(offices, field)
        if sync is not None and sync.job not in scenario.portal.jobs:
            known = advice(sync.job, scenario.portal.jobs)
            yield (ROOT, field, "job"), f"{sync.job!r} is no job{known}"
    for name in offices.initial_state.groups:
        if name not in offices.offices:
            known = advice(name, offices.offices)
            yield (ROOT, "initial_state", "groups", name), f"{name!r} is no group of offices{known}"
    missing = [task for task in TASKS if task not in offices.workflow.work]
    if missing:
        told = f"{', '.join(missing)} is missing; every task takes some time"
        yield (ROOT, "workflow", "work"), told
    yield from _check_office_names(offices)


def check_feeding(scenario: Scenario, offices: Backoffice) -> Iterator[Finding]:
    """Yield what does not go together with where dossiers and officers' sessions come from."""
    yield from _check_officer_journey(scenario, offices)
    if offices.fed_by == "demand":
        yield from _check_fed_by_demand(scenario, offices)


def check_domains(scenario: Scenario, offices: Backoffice) -> Iterator[Finding]:
    """Yield domains the catalogue does not have; those of a catalogue in a file are not known."""
    if scenario.catalogue.file is not None:
        return
    known = scenario.catalogue.domains
    for path, name in _domains_named(offices):
        if name not in known:
            yield path, f"{name!r} is no domain of the catalogue" + advice(name, known)


def check_offices(
    offices: Backoffice, procedures: Iterable[Deciding], demand: Demand, window: Window
) -> Iterator[Finding]:
    """Yield procedures nobody decides, tasks nobody does, and times that do not fit the window.

    Parameters
    ----------
    offices : Backoffice
        The block.
    procedures : iterable of (level, domain)
        Which levels and domains the procedures have that are decided in the city.
    demand : Demand
        For its days off, and whether dossiers are handed in at the counter.
    window : Window
        The window; nobody works before or after it.
    """
    days = days_touched(window.start, window.duration_s)
    decided: dict[str, list[str]] = {name: [] for name in offices.offices}
    for level, domain in sorted(set(procedures)):
        decider = deciding_group(offices, level, domain)
        if decider is None:
            yield (
                (ROOT, "offices"),
                f"no group of offices decides procedures of {domain} at {level} level; add a group "
                "for them, or the domain to one",
            )
        elif domain not in decided[decider]:
            decided[decider].append(domain)
    for name, group in offices.offices.items():
        path: Path = (ROOT, "offices", name)
        yield from _check_tasks(offices, group, decided[name], days, path)
        yield from _check_roster(group, days, path)
        yield from _check_hours(group, demand, window, days, path)
    yield from _check_loop(offices)


def deciding_group(offices: Backoffice, level: str, domain: str) -> str | None:
    """Return the first group of offices that decides procedures of a level and a domain, if any."""
    groups = offices.offices.items()
    return next((name for name, group in groups if group.decides(level, domain)), None)


def procedures_decided(scenario: Scenario) -> Iterator[Deciding]:
    """Yield level and domain of the procedures a generated catalogue may have; none for a file."""
    if scenario.catalogue.file is not None:
        return
    for name, domain in scenario.catalogue.domains.items():
        if domain.share > 0 and domain.commune_share > 0:
            yield "commune", name
        if domain.share > 0 and domain.commune_share < 1:
            yield "province", name


def filing_journeys(scenario: Scenario) -> Iterator[str]:
    """Yield the journeys of the demand whose sessions file dossiers, in its order."""
    endpoints = scenario.portal.endpoints
    for name in scenario.demand.journeys:
        steps = scenario.journeys[name].steps if name in scenario.journeys else ()
        calls = {endpoint for step in steps for endpoint in step.calls}
        if any(endpoints[call].files_dossier for call in calls & set(endpoints)):
            yield name


def _check_office_names(offices: Backoffice) -> Iterator[Finding]:
    single = {name for name, group in offices.offices.items() if group.count == 1}
    for name, group in offices.offices.items():
        path: Path = (ROOT, "offices", name)
        if name in _RESERVED:
            told = ", ".join(_RESERVED)
            yield path, f"{name!r} is a name of the back office's own: {told}; rename the group"
        numbered = {other for other in single if _is_numbered(other, name, group.count)}
        if group.count > 1 and numbered:
            other = min(numbered)
            yield path, f"one of its offices has the name of the group {other!r}; rename one"


def _is_numbered(name: str, group: str, count: int) -> bool:
    """Say whether a name is that of one of a group's offices."""
    head, _, number = name.rpartition("_")
    is_number = head == group and number.isdecimal() and len(number) >= 3
    return is_number and 1 <= int(number) <= count


def _check_officer_journey(scenario: Scenario, offices: Backoffice) -> Iterator[Finding]:
    name, path = offices.officer_journey, (ROOT, "officer_journey")
    if name is None:
        return
    if name not in scenario.journeys:
        yield path, f"{name!r} is no journey" + advice(name, scenario.journeys)
    elif name in scenario.demand.journeys:
        yield (
            path,
            f"{name!r} is made at the officers' tasks, so it must not start by the demand as well; "
            f"write demand: {{journeys: {{{name}: null}}}}",
        )
    elif _files(scenario, name):
        yield path, f"{name!r} files dossiers, which would be worked on in turn; name another"
    if offices.fed_by == "demand":
        yield path, "without simulated requests officers cannot load the portal; leave it out"


def _files(scenario: Scenario, journey: str) -> bool:
    endpoints = scenario.portal.endpoints
    return any(
        endpoint in endpoints and endpoints[endpoint].files_dossier
        for step in scenario.journeys[journey].steps
        for endpoint in step.calls
    )


def _check_fed_by_demand(scenario: Scenario, offices: Backoffice) -> Iterator[Finding]:
    if offices.online_hours is None and next(filing_journeys(scenario), None) is None:
        known = ", ".join(scenario.demand.hours)
        yield (
            (ROOT, "online_hours"),
            "no journey of the demand files dossiers, so the hours of those filed online are "
            f"unknown; name an hour shape: {known}",
        )
    jobs = {sync.job for sync in (offices.intake, offices.publication) if sync is not None}
    for index, fault in enumerate(scenario.faults):
        if fault.kind != "job_stopped" or fault.target not in jobs:
            told = " or ".join(sorted(jobs)) or "the job of a stated intake"
            yield (
                ("faults", index),
                f"{ROOT}.fed_by is demand, so no portal is simulated that {fault.kind} of "
                f"{fault.target} could strike; leave it out, or let job_stopped strike {told}",
            )


def _domains_named(offices: Backoffice) -> Iterator[tuple[Path, str]]:
    for name in offices.counter_weights:
        yield (ROOT, "counter_weights", name), name
    for name in offices.workflow.by_domain:
        yield (ROOT, "workflow", "by_domain", name), name
    for group_name, group in offices.offices.items():
        path: Path = (ROOT, "offices", group_name)
        for index, name in enumerate(group.domains or ()):
            yield (*path, "domains", index), name
        for team_name, team in group.teams.items():
            for index, name in enumerate(team.domains or ()):
                yield (*path, "teams", team_name, "domains", index), name


def _check_tasks(
    offices: Backoffice,
    group: OfficeGroup,
    domains: list[str],
    days: tuple[dt.date, ...],
    path: Path,
) -> Iterator[Finding]:
    """Yield tasks that some office of the group has nobody for, one line for each task."""
    filings = FILINGS if offices.counter_hours is not None else FILINGS[:1]
    teams = [team for name, team in group.teams.items() if _is_everywhere(group, name, days)]
    for task in TASKS:
        lacking = {
            (domain, filing): None
            for domain in domains
            for filing in filings
            if not any(team.does_task(task, domain, filing) for team in teams)
        }
        if lacking:
            yield path, _told(task, list(lacking), group, domains)


def _is_everywhere(group: OfficeGroup, name: str, days: tuple[dt.date, ...]) -> bool:
    """Say whether a team has, at some time, an officer in every office who is not always absent."""
    team = group.teams[name]
    most = max(group.officers(team.officers_per_office_on(day)) for day in days)
    return most >= group.count and team.leave_share < 1


def _told(
    task: Task, lacking: list[tuple[str, Filing]], group: OfficeGroup, domains: list[str]
) -> str:
    concerned = list(dict.fromkeys(domain for domain, _ in lacking))
    of = "" if concerned == domains else f" of {', '.join(concerned)}"
    way = _WAYS[tuple(filing for filing in FILINGS if any(f == filing for _, f in lacking))]
    some = [
        name
        for name, team in group.teams.items()
        if any(team.does_task(task, domain, filing) for domain, filing in lacking)
    ]
    advised = "add the task or the domain to a team"
    if some:
        advised += f", or give every office an officer of {' or '.join(some)} who is there"
    return f"nobody can {_VERBS[task]} dossiers{of} {way}; {advised}"


def _check_roster(group: OfficeGroup, days: tuple[dt.date, ...], path: Path) -> Iterator[Finding]:
    for name, team in group.teams.items():
        for index, change in enumerate(team.roster):
            if change.from_day > days[-1]:
                yield (
                    (*path, "teams", name, "roster", index, "from_day"),
                    f"{change.from_day} must not be after the window's last day, {days[-1]}",
                )


def _check_hours(
    group: OfficeGroup,
    demand: Demand,
    window: Window,
    days: tuple[dt.date, ...],
    path: Path,
) -> Iterator[Finding]:
    calendar = group.hours.calendar(demand.calendar)
    end = window.start + dt.timedelta(seconds=window.duration_s)
    begins = (begin for begin, _ in calendar.open_spans(window.start))
    if next(begins, end) >= end:
        yield (
            (*path, "hours"),
            f"no working time between {window.start:%Y-%m-%d %H:%M} and {end:%Y-%m-%d %H:%M}; "
            "change the hours, or choose another window",
        )


def _check_loop(offices: Backoffice) -> Iterator[Finding]:
    """Yield loops of asking for papers that no dossier can leave."""
    if offices.law.supplements_max is not None:
        return
    rules = offices.workflow.rules
    shares: list[tuple[Path, float]] = [
        ((ROOT, "workflow", "rules", name), getattr(rules, name))
        for name in ("incomplete_at_reception_share", "incomplete_share")
    ]
    shares += [
        ((ROOT, "workflow", "by_domain", name, "incomplete_share"), rule.incomplete_share)
        for name, rule in offices.workflow.by_domain.items()
        if rule.incomplete_share is not None
    ]
    for path, share in shares:
        if share >= 1:
            yield (
                path,
                "1 asks for papers again and again, as law.supplements_max is null: nothing is "
                "ever decided; lower the share, or limit how often papers may be asked for",
            )
