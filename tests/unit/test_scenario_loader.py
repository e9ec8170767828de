"""Loading scenarios: parents, overrides, where things were written, and writing them back."""

import os
import pickle
from pathlib import Path

import pytest

from sim.scenario import (
    Scenario,
    ScenarioError,
    dump_scenario,
    load_scenario,
    scenario_schema,
    shipped_scenarios,
)
from sim.scenario.metric_names import metric_groups
from sim.scenario.schema import Schema

VALID = Path(__file__).parent / "broken" / "valid.yaml"


def written(folder: Path, **files: str) -> Path:
    """Write files into a folder that also holds ``base.yaml``; returns the first one."""
    (folder / "base.yaml").write_text(VALID.read_text("utf-8"), "utf-8")
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    return folder / f"{next(iter(files))}.yaml"


def faults_of(file: Path | str, *overrides: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file, overrides)
    return [str(fault) for fault in caught.value.faults]


# Parents


def test_child_states_only_its_differences(tmp_path: Path) -> None:
    child = load_scenario(
        written(tmp_path, child="extends: base.yaml\ndemand: {online_share: 0.5}\n")
    )
    base = load_scenario(tmp_path / "base.yaml")
    assert child.demand == base.demand.model_copy(update={"online_share": 0.5})
    assert child.portal == base.portal


def test_name_is_the_files_own(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        child="extends: parent.yaml\n",
        parent="extends: base.yaml\nname: something\ntitle: A title\n",
    )
    child = load_scenario(file)
    assert child.name == "child"
    assert child.title == "A title"
    assert load_scenario(tmp_path / "parent.yaml").name == "something"


def test_mappings_merge_and_lists_replace(tmp_path: Path) -> None:
    child = load_scenario(
        written(
            tmp_path,
            child="extends: base.yaml\n"
            "demand: {hours: {flat: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}}\n"
            "targets: [{metric: all.ok_share, at_least: 0.99}]\n",
        )
    )
    assert set(child.demand.hours) == {"office", "flat"}
    assert [target.metric for target in child.targets] == ["all.ok_share"]


def test_null_takes_an_inherited_key_away(tmp_path: Path) -> None:
    child = load_scenario(
        written(
            tmp_path,
            child="extends: base.yaml\nfaults: null\n"
            "portal: {pools: {session_lock: null, connection: {queue_limit: null}}}\n"
            "window: {warm_up_s: null}\n",
        )
    )
    assert child.faults == ()
    assert list(child.portal.pools) == ["connection"]
    assert child.portal.pools["connection"].queue_limit is None
    assert child.window.warm_up_s == 0


def test_null_where_nothing_is_inherited_is_the_absent_value(tmp_path: Path) -> None:
    file = written(tmp_path, child="extends: base.yaml\nportal: {tiers: {db: {workers: null}}}\n")
    assert load_scenario(file).portal.tiers["db"].workers is None


def test_what_was_taken_away_can_be_stated_anew(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        grandchild="extends: child.yaml\nportal: {pools: {session_lock: {capacity: 9}}}\n",
        child="extends: base.yaml\nportal: {pools: {session_lock: null}}\n",
    )
    assert load_scenario(file).portal.pools["session_lock"].capacity == 9


def test_fragments_are_put_together(tmp_path: Path) -> None:
    whole = VALID.read_text("utf-8")
    start, end = whole.index("portal:"), whole.index("faults:")
    file = written(
        tmp_path,
        whole="extends: [parts/portal.yaml, parts/rest.yaml]\n",
    )
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "portal.yaml").write_text(whole[start:end], "utf-8")
    (tmp_path / "parts" / "rest.yaml").write_text(whole[:start] + whole[end:], "utf-8")
    together = load_scenario(file, ["name=base"])
    assert together == load_scenario(tmp_path / "base.yaml")


def test_parents_that_disagree_are_told_with_both_files(tmp_path: Path) -> None:
    file = written(
        tmp_path, child="extends: [base.yaml, a.yaml, b.yaml]\n", a="seed: 5\n", b="\nseed: 6\n"
    )
    (fault,) = faults_of(file)
    assert fault.startswith("b.yaml:2: seed: 6 disagrees with 5 in a.yaml:1;")


def test_parents_that_agree_are_fine(tmp_path: Path) -> None:
    file = written(
        tmp_path, child="extends: [base.yaml, a.yaml, b.yaml]\n", a="seed: 5\n", b="seed: 5"
    )
    assert load_scenario(file).seed == 5


def test_child_settles_what_its_parents_disagree_on(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        child="extends: [base.yaml, a.yaml, b.yaml]\nseed: 7\n",
        a="seed: 5\n",
        b="seed: 6\n",
    )
    assert load_scenario(file).seed == 7


@pytest.mark.parametrize("order", ["a.yaml, b.yaml", "b.yaml, a.yaml", "base.yaml, a.yaml, b.yaml"])
def test_override_of_a_common_ancestor_wins(order: str, tmp_path: Path) -> None:
    file = written(
        tmp_path,
        child=f"extends: [{order}]\n",
        a="extends: base.yaml\ndemand: {online_share: 0.5}\n"
        "portal: {pools: {session_lock: null}}\n",
        b="extends: base.yaml\nseed: 6\n",
    )
    child = load_scenario(file)
    assert (child.demand.online_share, child.seed) == (0.5, 6)
    assert "session_lock" not in child.portal.pools


def test_circle_of_parents_is_told(tmp_path: Path) -> None:
    file = written(tmp_path, a="extends: b.yaml\n", b="extends: c.yaml\n", c="extends: a.yaml\n")
    (fault,) = faults_of(file)
    assert fault == (
        "c.yaml:1: extends: 'a.yaml' closes a circle: a.yaml → b.yaml → c.yaml → a.yaml"
    )


def test_too_many_generations_are_told(tmp_path: Path) -> None:
    files = {f"g{i}": f"extends: g{i + 1}.yaml\n" for i in range(30)}
    (fault,) = faults_of(written(tmp_path, **files))
    assert "more than 20 generations of parents" in fault


@pytest.mark.parametrize(
    ("extends", "told"),
    [
        ("nobody.yaml", "child.yaml:1: extends: 'nobody.yaml' does not exist; in its folder: base"),
        ("5", "child.yaml:1: extends: 5 must be the name of a file"),
        ("{a: b}", "must be the name of a file"),
        ("['']", "'' must be the name of a file"),
        (".", ".: a folder; name a scenario file"),
        ('"a\\0b.yaml"', "does not exist"),
    ],
)
def test_missing_parent_is_told(extends: str, told: str, tmp_path: Path) -> None:
    assert told in faults_of(written(tmp_path, child=f"extends: {extends}\n"))[0]


def test_faults_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    file = written(
        tmp_path, child="extends: [a.yaml, b.yaml, nobody.yaml]\n", a="x: [", b="seed: 1\nseed: 2\n"
    )
    told = "\n".join(faults_of(file))
    assert "a.yaml:1" in told or "a.yaml:2" in told
    assert "b.yaml:2: seed: stands twice" in told
    assert "'nobody.yaml' does not exist" in told


# Where things were written


def test_fault_names_the_file_that_says_the_value(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        child="extends: more/parent.yaml\ndemand:\n  online_share: 0.5\n",
    )
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "parent.yaml").write_text(
        "extends: ../base.yaml\ndemand:\n  interval_s: -1\n", "utf-8"
    )
    assert faults_of(file) == [
        "more/parent.yaml:3: demand.interval_s: -1 must be greater than 0",
    ]


def test_cross_check_names_the_file_too(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        child="extends: parent.yaml\nseed: 2\n",
        parent="extends: base.yaml\n\nfaults:\n"
        "  - {kind: job_stopped, target: none, from_s: 0, to_s: 5}\n",
    )
    (fault,) = faults_of(file)
    assert fault.startswith("parent.yaml:4: faults.0.target: 'none' is not among portal.jobs")


# YAML without its traps


@pytest.mark.parametrize(
    "word", ["on", "no", "yes", "off", "10:30", "2024-11-25", "0o7", "1e", "."]
)
def test_yaml_words_stay_texts(word: str, tmp_path: Path) -> None:
    file = written(tmp_path, child=f"extends: base.yaml\ntitle: {word}\n")
    assert load_scenario(file).title == word


def test_numbers_may_hold_underscores(tmp_path: Path) -> None:
    file = written(tmp_path, child="extends: base.yaml\nseed: 1_000\nbudget: {projects: 8_1}\n")
    scenario = load_scenario(file)
    assert scenario.seed == 1000
    assert scenario.budget is not None
    assert scenario.budget.projects == 81


def test_leading_zero_is_decimal(tmp_path: Path) -> None:
    assert load_scenario(written(tmp_path, child="extends: base.yaml\nseed: 010\n")).seed == 10


def test_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "windows.yaml"
    file.write_text(VALID.read_text("utf-8").replace("\n", "\r\n"), "utf-8-sig", newline="")
    assert load_scenario(file).name == "windows"


def test_anchor_shares_a_value_within_a_file(tmp_path: Path) -> None:
    file = written(
        tmp_path, child="extends: base.yaml\ntitle: &words A long day\ndescription: *words\n"
    )
    assert load_scenario(file).description == "A long day"


# Overrides


@pytest.mark.parametrize(
    ("override", "path", "expected"),
    [
        ("demand.online_share=0.5", "demand.online_share", 0.5),
        ("demand.interval_s=5 min", "demand.interval_s", 300.0),
        ("portal.jobs.sync.program.0.optional=true", "portal.jobs.sync.program.0.optional", True),
        ("clients.citizen.patience=7 ms", "clients.citizen.patience.mean_s", 0.007),
        ("execution.replications=7", "execution.replications", 7),
        ("portal.tiers.db.queue_limit=3", "portal.tiers.db.queue_limit", 3),
        ("portal.pools.connection.queue_limit=null", "portal.pools.connection.queue_limit", None),
        ("portal.pools.connection.queue_limit=", "portal.pools.connection.queue_limit", None),
        ("portal.pools.connection={capacity: 7}", "portal.pools.connection.queue_limit", 100),
        ("targets=[]", "targets", ()),
        ("title=a=b", "title", "a=b"),
        ("name=other", "name", "other"),
    ],
)  # fmt: skip
def test_override_sets_what_it_names(override: str, path: str, expected: object) -> None:
    value: object = load_scenario(VALID, [override])
    for key in path.split("."):
        if isinstance(value, tuple):
            value = value[int(key)]
        else:
            value = value[key] if isinstance(value, dict) else getattr(value, key)
    assert value == expected


def test_overrides_apply_in_order() -> None:
    assert load_scenario(VALID, ["seed=5", "seed=6"]).seed == 6


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("demand.online_shar=1", "demand.online_shar: unknown key; did you mean online_share?"),
        ("portal.tiers.ap.servers=3", "--set: portal.tiers.ap: unknown key; did you mean app?"),
        ("demand.online_share=2", "--set: demand.online_share: 2 must be at most 1"),
        ("demand.online_share.x=2", "demand.online_share is 0.9, a single value without parts"),
        ("demand.months.12=2", "--set: demand.months.12: '12' must be the index of a row: 0 to 11"),
        ("demand.months.-1=2", "'-1' must be the index of a row: 0 to 11"),
        ("demand.online_share", "--set: 'demand.online_share' must be key=value, such as"),
        ("=5", "--set: '=5' must be key=value"),
        ("a..b=5", "must be key=value"),
        ("seed=[1", "--set: not valid YAML"),
        ("seed=!!python/name:os.system x", "--set: the tag !!python/name:os.system is not allowed"),
        ("extends=other.yaml", "--set: extends: belongs in the file"),
        ("window=null", "window: missing (When)"),
    ],
)  # fmt: skip
def test_wrong_override_is_told(override: str, told: str) -> None:
    assert told in "\n".join(faults_of(VALID, override))


# Finding scenarios


def test_scenarios_of_the_working_directory_have_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scenarios").mkdir()
    written(tmp_path / "scenarios", quiet_day="extends: base.yaml\nname: quiet\n")
    monkeypatch.chdir(tmp_path)
    assert "quiet_day" in shipped_scenarios()
    assert load_scenario("quiet_day").name == "quiet"
    assert "did you mean quiet_day?" in faults_of("quietday")[0]
    (tmp_path / "mine.yaml").write_text("extends: quiet_day\n", "utf-8")
    assert load_scenario("mine.yaml").name == "mine"


def test_every_shipped_scenario_loads() -> None:
    for name in shipped_scenarios():
        assert load_scenario(name).name


def test_catalogue_file_is_found_beside_the_file_that_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, child="extends: parts/list.yaml\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "list.yaml").write_text(
        "extends: ../base.yaml\ncatalogue: {file: list.csv}\n", "utf-8"
    )
    (tmp_path / "parts" / "list.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert load_scenario(file).catalogue.file == "parts/list.csv"
    assert load_scenario(file, ["catalogue.file=parts/list.csv"]).catalogue.file == "parts/list.csv"
    monkeypatch.chdir(tmp_path / "parts")
    assert load_scenario(os.fspath(file)).catalogue.file == "list.csv"


def test_list_of_open_dossiers_is_found_beside_the_file_that_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, child="extends: parts/offices.yaml\n")
    (tmp_path / "parts").mkdir()
    own = "initial_state: {groups: null, file: open.csv}"
    (tmp_path / "parts" / "offices.yaml").write_text(
        f"extends: ../base.yaml\nbackoffice: {{{own}}}\n", "utf-8"
    )
    monkeypatch.chdir(tmp_path)
    told = "backoffice.initial_state.file: 'open.csv' is no file; looked for"
    with pytest.raises(ScenarioError, match=told):
        load_scenario(file)
    (tmp_path / "parts" / "open.csv").touch()
    offices = load_scenario(file).backoffice
    assert offices is not None
    assert offices.initial_state.file == "parts/open.csv"


# Writing back


def test_scenario_survives_being_written(tmp_path: Path) -> None:
    scenario = load_scenario(VALID)
    file = tmp_path / "valid.yaml"
    file.write_text(dump_scenario(scenario), "utf-8")
    again = load_scenario(file)
    assert again == scenario
    assert again.digest() == scenario.digest()


@pytest.mark.parametrize(
    "title",
    [
        *("on", "true", "null", "~", "", "10:30", "2024-11-25", "a: b", "é\n'", " x ", "[", "\\"),
        *("1e5", "1_0", ".5", "-.inf", "9" * 200, "9" * 5000),
    ],
)
def test_awkward_texts_survive_being_written(title: str, tmp_path: Path) -> None:
    scenario = load_scenario(VALID).model_copy(update={"title": title})
    file = tmp_path / "valid.yaml"
    file.write_text(dump_scenario(scenario), "utf-8")
    assert load_scenario(file).title == title


def test_scenario_is_read_back_from_its_json() -> None:
    scenario = load_scenario(VALID)
    assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario


def test_error_survives_another_process() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario("nowhere.yaml")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.faults == caught.value.faults
    assert str(again) == str(caught.value)


# Metric groups and the JSON Schema


def test_every_station_is_a_group_of_metrics() -> None:
    groups = metric_groups(load_scenario(VALID))
    assert {name for name, kind in groups.items() if kind == "station"} == {
        "app.workers", "app.cpu", "app[0].workers", "app[0].cpu", "app[1].workers", "app[1].cpu",
        "db.workers", "db.cpu", "connection", "connection[0]", "connection[1]", "session_lock",
        "population", "uplink",
    }  # fmt: skip
    assert {name for name, kind in groups.items() if kind == "job"} == {"sync", "notify"}
    assert groups["browse"] == groups["home"] == groups["all"] == "requests"
    assert groups["journey_file_dossier"] == "journey"


def references(schema: object) -> set[str]:
    if isinstance(schema, list):
        return set().union(*(references(part) for part in schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
    return own.union(*(references(part) for part in schema.values()))


def test_schema_is_whole_and_knows_every_block() -> None:
    schema: Schema = scenario_schema()
    definitions = schema["$defs"]
    properties = schema["properties"]
    assert isinstance(definitions, dict)
    assert isinstance(properties, dict)
    assert references(schema) <= {f"#/$defs/{name}" for name in definitions}
    assert set(properties) == {*Scenario.model_fields, "extends"}
    assert schema["additionalProperties"] is False
    assert schema["title"] == "hoso scenario"


def test_schema_lets_a_child_state_differences_but_wants_whole_rows() -> None:
    schema = scenario_schema()
    definitions = schema["$defs"]
    assert isinstance(definitions, dict)
    needy = {
        name for name, part in definitions.items() if isinstance(part, dict) and "required" in part
    }
    assert needy == {
        "Take", "Release", "Compute", "Delay", "Call", "Transfer", "Enqueue",
        "Step", "Event", "Fault", "Target", "AbortRule", "OpenSpan", "RosterChange",
    }  # fmt: skip
    assert "required" not in schema


def test_every_key_of_the_schema_says_what_it_is() -> None:
    for name, part in scenario_schema()["$defs"].items():
        for key, described in part.get("properties", {}).items():
            assert described.get("description"), f"{name}.{key}"
