"""Broken scenario files: each is answered by its place, its value and what is allowed."""

import copy
import json
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.scenario import ScenarioError, load_scenario
from sim.scenario.document import Origin, parse_value

VALID = Path(__file__).parent / "broken" / "valid.yaml"
DELETE = object()

# Place, value written there, what the answer must say.
BROKEN: list[tuple[str, object, str]] = [
    # Values of a wrong type or out of range.
    ("demand.interval_s", -1, "demand.interval_s: -1 must be greater than 0"),
    ("demand.interval_s", "-1 min", "demand.interval_s: '-1 min' must be greater than 0"),
    ("demand.interval_s", 7200, "demand.interval_s: 7200 must be at most 3_600"),
    ("demand.interval_s", "soon", "'soon' must be a number with a unit, such as '10 ms'"),
    ("demand.interval_s", "5 parsec", "'5 parsec' has the unknown unit 'parsec'; allowed: us, µs"),
    ("demand.interval_s", "60", "demand.interval_s: '60' needs a unit, one of: us, µs, ms, s"),
    ("demand.interval_s", [60], "demand.interval_s: [60] must be a number or a text with a unit"),
    ("demand.interval_s", float("inf"), "demand.interval_s: Infinity must be a finite number"),
    ("demand.interval_s", float("nan"), "demand.interval_s: NaN must be a finite number"),
    ("demand.online_share", 1.2, "demand.online_share: 1.2 must be at most 1"),
    ("demand.online_share", True, "demand.online_share: true must be a number"),
    ("demand.online_share", "90 %", "demand.online_share: '90 %' must be a number"),
    ("demand.online_share", None, "demand.online_share: null must be a number"),
    ("demand.months", [1, 2], "demand.months: must have at least 12 entries, not 2"),
    ("demand.months", [1] * 13, "demand.months: must have at most 12 entries, not 13"),
    ("demand.months", 1, "demand.months: 1 must be a list"),
    ("demand.months.3", -1, "demand.months.3: -1 must be at least 0"),
    ("demand.weekdays", [0] * 7, "weekdays: at least one weight must be positive"),
    ("demand.hours.office", [0] * 24, "hours.office: at least one weight must be positive"),
    ("demand.calendar.holidays", {"20250101": "x"}, "'20250101' must be a date such as 2024-11-25"),
    ("demand.calendar.holidays", {"2025-13-01": "x"}, "'2025-13-01' must be a date such as"),
    ("demand.events.0.kind", "panic", "'panic' must be one of surge, ramp, flash_crowd, deadline"),
    ("demand.events.0.to_s", "5 min", "to_s 300 must be later than from_s 600"),
    ("seed", 1.5, "seed: 1.5 must be a whole number"),
    ("seed", -1, "seed: -1 must be at least 0"),
    ("seed", 2**64, "seed: 18446744073709551616 must be less than"),
    ("seed", "12", "seed: '12' must be a whole number"),
    ("title", 5, "title: 5 must be a text"),
    ("name", "Peak Hour", "name: 'Peak Hour' must be lower-case letters, digits and hyphens"),
    ("topology", "cloud", "'cloud' must be one of own_portal, national_front, ministry_system"),
    ("city", "Hải Phòng", "city: 'Hải Phòng' must be a mapping of keys to values"),
    ("window.start", 20241125, "window.start: 20241125 must be a local date and time, such as"),
    ("window.start", "9999-12-30", "window: start 9999-12-30 must lie in the years 1900 to 2200"),
    ("window.start", "8 o'clock", "must be a local date and time, such as 2024-11-25T08:00"),
    ("window.start", "2024-11-25T08:00+07:00", "window: start is local time: leave the time zone"),
    ("window.warm_up_s", "2 h", "warm_up_s 7200 must be shorter than duration_s 3600"),
    ("catalogue.integrated", 11, "catalogue: integrated 11 must be at most procedures 10"),
    ("catalogue.domains.land.share", 0.5, "shares of the domains sum to 0.75, they must sum to 1"),
    ("catalogue.file", "nowhere.csv", "catalogue.file: 'nowhere.csv' is no file; looked for"),
    ("channels", {}, "channels: must have at least 1 entries, not 0"),
    ("channels", ["fibre"], 'channels: ["fibre"] must be a mapping of names to values'),
    ("channels.fibre.uplink_bit_per_s", "20 MB/s", "unknown unit 'MB/s'; allowed: bit/s, kbit/s"),
    ("channels.fibre.uplink_bit_per_s", 0, "channels.fibre.uplink_bit_per_s: 0 must be greater"),
    ("clients.citizen.patience", "long", "'long' must be a duration, such as '12 ms'"),
    ("clients.citizen.patience", "normal 3 s", "unknown distribution 'normal'; allowed: constant"),
    ("clients.citizen.patience", "-3 s", "clients.citizen.patience: '-3 s' must be at least 0"),
    ("clients.citizen.patience", "exponential 3 s cv 2", "must not state cv"),
    ("clients.citizen.patience", "lognormal 3 s cv 99", "must be at most 20"),
    ("clients.citizen.patience", True, "patience: true must be a duration, such as"),
    ("clients.citizen.patience", {"cv": 1}, "clients.citizen.patience.mean_s: missing (Mean, s)"),
    ("journeys.file_dossier.steps", [], "steps: must have at least 1 entries, not 0"),
    ("journeys.file_dossier.steps.0.calls.home", "many", "whole number or must be one of upload_s"),
    ("journeys.file_dossier.steps.0.while_syncing", "yes", "'yes' must be true or false"),
    ("portal.tiers.app.servers", 0, "portal.tiers.app.servers: 0 must be at least 1"),
    ("portal.tiers.app.balancing", "random", "must be one of shared, round_robin, least_connect"),
    ("portal.tiers.App", {}, "portal.tiers.App: 'App' must be a name: lower-case letters"),
    (
        "portal.tiers.app.autoscaling",
        {"min_servers": 5, "max_servers": 3},
        "max_servers 3 must be at least min_servers 5",
    ),
    (
        "portal.tiers.app.autoscaling",
        {"min_servers": 3, "max_servers": 5},
        "servers 2 must lie between autoscaling.min_servers 3",
    ),
    ("portal.gateways.population.rate_limit_per_s", "20 s", "allowed: /s, /min, /h, /day"),
    ("portal.endpoints.home.program", "take app", "program: 'take app' must be a list"),
    (
        "portal.endpoints.home.program.0",
        "take app",
        "not an operation; allowed: take, release, cpu",
    ),
    ("portal.endpoints.home.program.0", {"grab": "app"}, "not an operation; allowed: take, rel"),
    ("faults.0.factor", DELETE, "faults.0: factor must be given for tier_slow, gateway_slow"),
    ("faults.0.servers", 1, "faults.0: servers must be given for server_lost, and only there"),
    ("targets.0.at_least", 1, "targets.0: give at_most or at_least, exactly one"),
    ("execution", {"replications": 9, "max_replications": 3}, "max_replications 3 must be at l"),
    # Keys.
    ("demand.intervall_s", 5, "demand.intervall_s: unknown key; did you mean interval_s? allowed:"),
    ("portal.tiers.app.cpus", 5, "portal.tiers.app.cpus: unknown key; allowed: servers, cores"),
    ("journeys.file_dossier.steps.0.tink", 5, "unknown key; did you mean think? allowed: step"),
    ("portal.endpoints.home.program.1.worc", 5, "did you mean work? allowed: cpu, work"),
    ("frontoffice", {}, "frontoffice: unknown key; allowed: name, title, description"),
    ("demand.weekdays", DELETE, "demand.weekdays: missing (Weight of each weekday, Monday first)"),
    ("window", DELETE, "window: missing (When)"),
    ("portal.endpoints.home.program.1.work", DELETE, "missing (Processor time on one free core)"),
    ("<<", {"seed": 3}, "<<: unknown key; allowed: name"),
    # References.
    ("demand.journeys.pay", {"per_dossier": 1, "hours": "office"}, "'pay' is no journey; allowed"),
    ("demand.journeys.file_dossier.hours", "offices", "no hour shape; did you mean office?"),
    ("demand.events.0.journeys", ["file"], "demand.events.0.journeys.0: 'file' is no journey"),
    ("demand.events.0", {"kind": "surge", "factor": 2, "from_s": "1 h", "to_s": "2 h"}, "less tha"),
    ("journeys.file_dossier.client", "robot", "client: 'robot' is no client; allowed: citizen"),
    ("journeys.file_dossier.channel", "fiber", "no channel; did you mean fibre? allowed: fibre, m"),
    ("journeys.file_dossier.steps.0.calls", {"hme": 1}, "'hme' is no endpoint; did you mean home?"),
    ("journeys.file_dossier.steps.0.next", {"submitt": 1}, "did you mean submit? allowed: browse"),
    ("portal.endpoints.home.program.0.take", "apps", "'apps' is no tier or pool; did you mean app"),
    ("portal.endpoints.home.program.1.cpu", "connection", "is no tier; allowed: app, db"),
    ("portal.endpoints.post.program.5.call", "sso", "'sso' is no gateway; allowed: population"),
    ("portal.endpoints.post.program.1.transfer", "lan", "'lan' is no link; allowed: uplink"),
    ("portal.endpoints.post.program.6.enqueue", "sinc", "'sinc' is no job; did you mean sync?"),
    ("portal.pools.connection.per_server_of", "web", "'web' is no tier; allowed: app, db"),
    ("portal.jobs.sync.then", "notifi", "'notifi' is no job; did you mean notify?"),
    ("portal.jobs.sync.program.0.call", "x", "portal.jobs.sync.program.0.call: 'x' is no gateway"),
    ("faults.0.target", "app", "'app' is not among portal.gateways, which gateway_slow strikes"),
    ("targets.0.metric", "fast", "'fast': unknown quantity 'fast'; allowed: response_s, wait_s"),
    ("targets.0.metric", "pay.response_s.p95", "unknown group 'pay'; allowed: all, home, post"),
    ("targets.0.metric", "submit.response_s", "response_s needs a statistic: one of mean, p50"),
    ("targets.0.metric", "submit.response_s.p42", "unknown statistic 'p42' of response_s"),
    ("targets.0.metric", "app[7].workers.queue.max", "did you mean app[1].workers?"),
    ("targets.0.metric", "population.queue_age_s.max", "'population' has no queue_age_s"),
    # Journeys that cannot work.
    ("journeys.file_dossier.steps.0.next", {"submit": 0.7, "browse": 0.7}, "sum to 1.4, at most 1"),
    ("journeys.file_dossier.steps.0.next", {"browse": 1}, "no session can ever leave"),
    ("journeys.file_dossier.steps.0.next", {}, "step 'submit' is never reached from the first"),
    ("journeys.file_dossier.steps.1.step", "browse", "'browse' stands twice, first in row 0"),
    ("channels.fibre.share", 0.4, "channels: shares sum to 0.9, they must sum to 1"),
    # Programs that cannot work.
    ("portal.endpoints.home.program.1", {"release": "db"}, "'db' is not held here; held: app"),
    ("portal.endpoints.home.program.1", {"take": "app"}, "'app' is held already, since row 0"),
    ("portal.endpoints.home.program.0.take", "connection", "take app before it"),
    ("portal.jobs.sync.program.0", {"transfer": "uplink"}, "a job has no upload to transfer"),
    (
        "portal.endpoints.home.program",
        [{"enqueue": "sync"}] * 2,
        "gets an item already, from row 0",
    ),
    ("portal.jobs.notify.then", "sync", "go round for ever: sync → notify → sync"),
    ("portal.jobs.notify.program", [{"enqueue": "notify"}], "round for ever: notify → notify"),
    (
        "portal.endpoints.home.program",
        [{"delay": "exponential 1 ms"}] * 63,
        "program: draws 63 random durations and errors; at most 62",
    ),
    # Names that would be ambiguous.
    ("portal.pools.app", {"capacity": 3}, "portal.pools.app: 'app' is also a tier"),
    ("portal.pools.sync", {"capacity": 3}, "several groups of metrics: portal.pools.sync, portal"),
    ("portal.endpoints.home.group", "post", "portal.endpoints.post, the group of endpoint home"),
    ("portal.endpoints.home.group", "uplink", "portal.links.uplink, the group of endpoint home"),
    ("portal.endpoints.home.group", "all", "the group of endpoint home, a group of every scenario"),
    ("portal.endpoints.home.group", "journey_file_dossier", "journey file_dossier; rename one"),
    ("portal.pools.dossiers", {"capacity": 3}, "'dossiers' names several groups of metrics"),
    # Faults in time.
    ("faults.0.from_s", "25 h", "to_s 1800 must be later than from_s 90000"),
    (
        "faults.0",
        {"kind": "job_stopped", "target": "sync", "from_s": "1 h", "to_s": "2 h"},
        "faults.0.from_s: 3600 s must be less than window.duration_s 3600 s",
    ),
    (
        "faults.0",
        {"kind": "server_lost", "target": "app", "from_s": 0, "to_s": 60, "servers": 3},
        "faults.0.servers: 3 must be at most 2, the servers of 'app'",
    ),
]

OFFICES = "backoffice.offices."
COMMUNES = OFFICES + "communes."
TEAMS = COMMUNES + "teams."

# The same for the offices.
BROKEN_OFFICES: list[tuple[str, object, str]] = [
    # Values of a wrong type or out of range, and what is missing.
    (COMMUNES + "hours.spans.0.opens", "25:00", "'25:00' must be a time of day, such as 15:00"),
    (COMMUNES + "hours.spans.0.closes", "7:00", "closes 07:00 must be later than opens"),
    (COMMUNES + "hours.spans.1.opens", "11:00", "spans must follow each other: 11:00 comes too"),
    (COMMUNES + "hours.weekdays", [7], "weekdays.0: 7 must be at most 6"),
    (COMMUNES + "hours.half_days", {"2024-12-31": "noon"}, "must be one of morning, afternoon"),
    (COMMUNES + "count", 0, "communes.count: 0 must be at least 1"),
    (COMMUNES + "teams", {}, "communes.teams: must have at least 1 entries, not 0"),
    (TEAMS + "heads.does", ["stamp"], "must be one of receive, assign, examine, approve, sign"),
    (TEAMS + "desk.leave_share", 1.5, "desk.leave_share: 1.5 must be at most 1"),
    (
        TEAMS + "experts.roster",
        [{"from_day": "2024-11-25", "officers_per_office": 4}] * 2,
        "roster: each from_day must be later than the one before",
    ),
    ("backoffice.workflow.work.sing", "1 min", "work.sing: 'sing' must be one of receive"),
    ("backoffice.workflow.rules.refused_share", 0.95, "shares at an examination sum to 1.05"),
    ("backoffice.initial_state.file", "open.csv", "'open.csv' is no file; looked for"),
    # Tasks without work.
    ("backoffice.workflow.work.sign", DELETE, "backoffice.workflow.work: sign is missing"),
    # Names that do not exist.
    ("backoffice.counter_hours", "ofice", "'ofice' is no hour shape; did you mean office?"),
    ("backoffice.online_hours", "night", "'night' is no hour shape; allowed: office"),
    ("backoffice.intake.job", "sinc", "backoffice.intake.job: 'sinc' is no job; did you mean sync"),
    ("backoffice.publication.job", "x", "backoffice.publication.job: 'x' is no job; allowed: sync"),
    ("backoffice.officer_journey", "clark", "'clark' is no journey; did you mean clerk?"),
    ("backoffice.initial_state.groups.x", {"open": {}, "age": 1}, "'x' is no group of offices"),
    (TEAMS + "experts.domains", ["law"], "experts.domains.0: 'law' is no domain of the catalogue"),
    ("backoffice.counter_weights", {"tax": 1}, "counter_weights.tax: 'tax' is no domain"),
    ("backoffice.workflow.by_domain.tax", {}, "by_domain.tax: 'tax' is no domain of the catalogue"),
    # Names that would be ambiguous.
    (
        OFFICES + "state",
        {"count": 1, "teams": {"a": {"officers_per_office": 1, "does": ["sign"]}}},
        "backoffice.offices.state: 'state' is a name of the back office's own",
    ),
    (
        OFFICES + "communes_002",
        {"count": 1, "teams": {"a": {"officers_per_office": 1, "does": ["sign"]}}},
        "communes: one of its offices has the name of the group 'communes_002'",
    ),
    # Dossiers that nobody decides or works on.
    (OFFICES + "department", DELETE, "no group of offices decides procedures of justice at provin"),
    (COMMUNES + "domains", ["justice"], "no group of offices decides procedures of land at commun"),
    (
        TEAMS + "experts.does",
        ["assign"],
        "communes: nobody can examine dossiers filed online or ha",
    ),
    (TEAMS + "experts.domains", ["justice"], "nobody can assign dossiers filed online or handed"),
    (OFFICES + "department.teams.all.domains", ["land"], "nobody can sign dossiers of justice"),
    (TEAMS + "experts.filings", ["online"], "nobody can examine dossiers handed in at the counter"),
    (TEAMS + "desk.filings", ["counter"], "nobody can receive dossiers filed online; add the task"),
    (
        TEAMS + "heads.officers_per_office",
        0.8,
        "nobody can approve dossiers filed online or handed in at the counter; add the task or "
        "the domain to a team, or give every office an officer of heads who is there",
    ),
    (TEAMS + "desk.leave_share", 1, "nobody can receive dossiers"),
    # Times that do not fit.
    (
        COMMUNES + "hours.weekdays",
        [5],
        "communes.hours: no working time between 2024-11-25 08:00 a",
    ),
    (COMMUNES + "hours.spans", [{"opens": "20:00", "closes": "21:00"}], "hours: no working time"),
    ("demand.calendar.holidays", {"2024-11-25": "Off"}, "department.hours: no working time"),
    (
        TEAMS + "experts.roster.0.from_day",
        "2025-01-01",
        "2025-01-01 must not be after the window's",
    ),
    # Circles.
    ("backoffice.officer_journey", "file_dossier", "must not start by the demand as well; write"),
    ("demand.journeys.clerk", {"per_dossier": 5, "hours": "office"}, "'clerk' is made at the offi"),
    # Without a simulated portal.
    (
        "backoffice.fed_by",
        "demand",
        "0.metric: 'submit.response_s.p95': unknown group 'submit': back",
    ),
    ("backoffice.fed_by", "demand", "officer_journey: without simulated requests officers cannot"),
]


PARSED = parse_value(VALID.read_text("utf-8"), Origin("valid.yaml"), [])


def valid() -> dict[str, object]:
    assert PARSED is not None
    plain = PARSED.plain()
    assert isinstance(plain, dict)
    return plain


def key_of(block: object, word: str) -> str | int:
    return int(word) if isinstance(block, list) else word


def with_change(path: str, value: object) -> dict[str, object]:
    scenario = valid()
    *way, last = path.split(".")
    block: object = scenario
    for word in way:
        block = block[key_of(block, word)]
    if value is DELETE:
        del block[key_of(block, last)]
    else:
        block[key_of(block, last)] = copy.deepcopy(value)
    return scenario


def answer(file: Path, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file, overrides)
    assert caught.value.faults
    return str(caught.value)


def written(
    folder: Path, content: dict[str, object] | str | bytes, name: str = "peak.yaml"
) -> Path:
    if isinstance(content, dict):
        content = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    if isinstance(content, str):
        content = content.encode()
    file = folder / name
    file.write_bytes(content)
    return file


def test_the_unbroken_scenario_loads(tmp_path: Path) -> None:
    assert load_scenario(written(tmp_path, valid())).name == "peak"


@pytest.mark.parametrize(("path", "value", "told"), BROKEN + BROKEN_OFFICES)
def test_broken_place_is_told_with_what_is_allowed(
    path: str, value: object, told: str, tmp_path: Path
) -> None:
    assert told in answer(written(tmp_path, with_change(path, value)))


def test_asking_for_papers_for_ever_is_told(tmp_path: Path) -> None:
    scenario = with_change("backoffice.law", {"supplements_max": None})
    load_scenario(written(tmp_path, scenario))
    scenario["backoffice"]["workflow"]["rules"] = {"incomplete_share": 1}
    told = answer(written(tmp_path, scenario))
    assert "backoffice.workflow.rules.incomplete_share: 1 asks for papers again and again" in told
    scenario["backoffice"]["law"]["supplements_max"] = 9
    load_scenario(written(tmp_path, scenario))


def test_offices_are_fed_by_the_demand_without_a_portal(tmp_path: Path) -> None:
    scenario = with_change("backoffice.fed_by", "demand")
    scenario["backoffice"]["officer_journey"] = None
    scenario["targets"] = [{"metric": "backoffice.on_time_share", "at_least": 0.95}]
    told = "faults.0: backoffice.fed_by is demand, so no portal is simulated that"
    assert told in answer(written(tmp_path, scenario))
    scenario["faults"] = []
    assert load_scenario(written(tmp_path, scenario)).backoffice is not None
    scenario["abort"] = [{"metric": "all.failed_share", "above": 0.2}]
    told = "abort.0.metric: 'all.failed_share': unknown group 'all': backoffice.fed_by is demand"
    assert told in answer(written(tmp_path, scenario))


def test_hours_of_dossiers_filed_online_must_be_known(tmp_path: Path) -> None:
    scenario = with_change("backoffice.fed_by", "demand")
    scenario["backoffice"]["officer_journey"] = None
    scenario["targets"] = []
    scenario["faults"] = []
    scenario["portal"]["endpoints"]["post"]["files_dossier"] = False
    told = "backoffice.online_hours: no journey of the demand files dossiers"
    assert told in answer(written(tmp_path, scenario))
    scenario["backoffice"]["online_hours"] = "office"
    load_scenario(written(tmp_path, scenario))


TEXTS: list[tuple[str | bytes, str]] = [
    ("", "peak.yaml: the file is empty"),
    ("# only a comment\n", "holds nothing at its top; it must be a mapping"),
    ("- a\n- b\n", "peak.yaml: holds a list at its top; it must be a mapping"),
    ("peak", "peak.yaml: holds a single value at its top"),
    ("a: [1, 2\n", "peak.yaml:2, column 1: not valid YAML"),
    ("a: 1\n\tb: 2\n", "peak.yaml:2, column 1: not valid YAML"),
    ("a: b: c\n", "peak.yaml:1, column 5: not valid YAML: mapping values are not allowed"),
    ("title: 'open\n", "not valid YAML"),
    ("a: 1\na: 2\n", "peak.yaml:2: a: stands twice in one block, first in line 1"),
    ("x: {b: 1, b: 2}\n", "peak.yaml:1: x.b: stands twice in one block"),
    ("a: 1\n---\na: 2\n", "peak.yaml:2: a second document"),
    ("? [a, b]\n: 1\n", "a key must be a text, not a list or a mapping"),
    ("a: *b\n", "peak.yaml:1: a: *b refers to nothing above it"),
    ("a: &b [*b]\n", "*b refers to nothing above it"),
    ("a: !!python/object:os.system x\n", "the tag !!python/object:os.system is not allowed"),
    ("a: !!python/object/apply:os.system [ls]\n", "is not allowed; write plain values"),
    ("a: !mine x\n", "the tag !mine is not allowed"),
    ("seed: !!int x\n", "seed: 'x' is not of its tag !!int"),
    ("seed: " + "9" * 5000, "seed: a number of too many digits"),
    ('title: "\\ud800"\n', "peak.yaml:1"),
    ("title: \x07\n", "not valid YAML"),
    ("a: " + "[" * 100_000, "nested too deeply: more than 40 levels"),
    ("- " * 50_000, "nested too deeply"),
    ("title: Hải Phòng".encode("utf-16"), "not UTF-8 (byte 0)"),
    ("title: café".encode("latin-1"), "not UTF-8 (byte 10)"),
    (b"\x00\x01\x02", "not valid YAML"),
    (
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
        "holds more than 500000 values",
    ),
]


@pytest.mark.parametrize(("text", "told"), TEXTS, ids=range(len(TEXTS)))
def test_unreadable_file_is_told_in_plain_words(
    text: str | bytes, told: str, tmp_path: Path
) -> None:
    assert told in answer(written(tmp_path, text))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nowhere.yaml", "nowhere.yaml: no such file"),
        ("nowhere", "nowhere: neither a file nor a scenario"),
        ("", "neither a file nor a scenario"),
        ("nul\0.yaml", "cannot be read"),
        ("long" * 2000 + ".yaml", "cannot be read"),
        (".", "a folder; name a scenario file"),
    ],
)
def test_missing_source_is_told(source: str, told: str) -> None:
    assert told in answer(source)


def test_override_that_is_no_text_is_told() -> None:
    assert "--set: holds half a character" in answer(VALID, ("title=\udcff",))


def test_misspelt_file_is_answered_with_its_neighbour(tmp_path: Path) -> None:
    written(tmp_path, valid(), "peak-hour.yaml")
    assert "did you mean peak-hour.yaml?" in answer(tmp_path / "peak-hours.yaml")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    scenario = with_change("demand.interval_s", -1)
    scenario |= {"seed": "x", "nonsense": 1}
    file = written(tmp_path, scenario)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file, ["demand.onlin=1", "window"])
    places = [fault.place.split(": ")[-1] for fault in caught.value.faults]
    assert sorted(places) == ["--set", "demand.interval_s", "demand.onlin", "nonsense", "seed"]


def test_fault_names_the_line(tmp_path: Path) -> None:
    text = VALID.read_text("utf-8").replace("online_share: 0.9", "online_share: 9")
    line = text.splitlines().index("  online_share: 9") + 1
    assert f"peak.yaml:{line}: demand.online_share: 9 must" in answer(written(tmp_path, text))


TAKE_BOTH = [{"take": "session_lock"}, {"take": "app"}]
TAKE_BOTH_REVERSED = [{"take": "app"}, {"take": "session_lock"}]


def with_two_programs() -> dict[str, object]:
    scenario = with_change("portal.endpoints.home.program", TAKE_BOTH)
    job = scenario["portal"]["jobs"]["notify"]
    job["program"] = copy.deepcopy(TAKE_BOTH_REVERSED)
    return scenario


def test_pools_taken_in_opposite_orders_may_deadlock(tmp_path: Path) -> None:
    told = answer(written(tmp_path, with_two_programs()))
    assert "possible deadlock" in told
    assert "home waits for app holding session_lock" in told
    assert "notify waits for session_lock holding app" in told


@pytest.mark.parametrize(
    ("block", "name", "change"),
    [
        ("pools", "session_lock", {"wait_limit": "5 s"}),
        ("pools", "session_lock", {"queue_limit": 0}),
        ("tiers", "app", {"wait_limit": "5 s"}),
        ("tiers", "app", {"workers": None}),
    ],
)
def test_bounded_waiting_cannot_deadlock(
    block: str, name: str, change: dict[str, object], tmp_path: Path
) -> None:
    scenario = with_two_programs()
    scenario["portal"][block][name] |= change
    load_scenario(written(tmp_path, scenario))


def test_overlapping_faults_of_one_kind_are_told_with_both(tmp_path: Path) -> None:
    scenario = valid()
    first = scenario["faults"][0]
    scenario["faults"].append(first | {"from_s": "25 min", "to_s": "40 min"})
    assert "faults.1: gateway_slow of population from 1500 s to 2400 s overlaps faults.0" in answer(
        written(tmp_path, scenario)
    )


def test_faults_may_follow_each_other(tmp_path: Path) -> None:
    scenario = valid()
    first = scenario["faults"][0]
    scenario["faults"].append(first | {"from_s": first["to_s"], "to_s": "40 min"})
    assert len(load_scenario(written(tmp_path, scenario)).faults) == 2


def test_all_servers_of_a_tier_may_be_lost(tmp_path: Path) -> None:
    lost = {"kind": "server_lost", "target": "app", "from_s": 0, "to_s": 60, "servers": 2}
    load_scenario(written(tmp_path, with_change("faults.0", lost)))


def loads_or_is_told(content: str | bytes, overrides: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            load_scenario(written(Path(folder), content), overrides)
        except ScenarioError as error:
            told = [fault for fault in error.faults if fault.place and fault.message]
            assert told


def places(block: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    entries = block.items() if isinstance(block, dict) else ()
    entries = enumerate(block) if isinstance(block, list) else entries
    below = [place for key, value in entries for place in places(value, (*path, key))]
    return ([path] if path else []) + below


WORDS = [
    "app",
    "db",
    "submit",
    "file_dossier",
    "10 ms",
    "-1 h",
    "lognormal 3 s cv 2",
    "",
    "é",
    "on",
]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=5)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*WORDS, "take", "mean_s"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, object]:
    scenario = valid()
    for _ in range(draw(st.integers(1, 4))):
        *way, last = draw(st.sampled_from(places(scenario)))
        block: object = scenario
        for key in way:
            block = block[key]
        change = draw(st.sampled_from(["delete", "replace", "insert", "move"]))
        if change == "delete":
            del block[last]
        elif change == "insert" and isinstance(block, dict):
            block[draw(st.sampled_from(WORDS))] = draw(JUNK)
        elif change == "move":
            block[last] = copy.deepcopy(draw(st.sampled_from(list(scenario.values()) or [None])))
        else:
            block[last] = draw(JUNK)
        if not scenario:
            break
    return scenario


@settings(max_examples=100, deadline=None, derandomize=True)
@given(mutated())
def test_any_mutation_loads_or_is_told(scenario: dict[str, object]) -> None:
    loads_or_is_told(json.dumps(scenario, default=str), ())


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.data())
def test_any_damage_to_the_text_loads_or_is_told(data: st.DataObject) -> None:
    text = VALID.read_text("utf-8")
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 30))
    letters = st.text(st.sampled_from(" \n\t:-{}[]&*!|>'\"#%@,?0a\0é"), max_size=8)
    loads_or_is_told(text[:start] + data.draw(letters) + text[start + length :], ())


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=100))
def test_any_bytes_are_told(content: bytes) -> None:
    loads_or_is_told(content, ())


PATHS = [".".join(str(key) for key in place) for place in places(valid())]


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    st.sampled_from([*PATHS, "execution.replications", "portal", "x", "faults.9", "a..b", "name."]),
    st.sampled_from(["=", "", ".x=", ".0="]),
    st.sampled_from([*WORDS, "5", "null", "{}", "[]", "{a: 1}", "{", "[1", "&a [*a]", "!!set {}"])
    | st.text(max_size=8),
)
def test_any_override_loads_or_is_told(path: str, equals: str, value: str) -> None:
    loads_or_is_told(VALID.read_bytes(), (path + equals + value,))
