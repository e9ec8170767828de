"""The gate: trust before targets, honest slowdowns, and files that other programs can read."""

import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtests.commands.gate import gate
from loadtests.gates import GateResult, judge_run, trust_of
from loadtests.gates.document import to_json
from loadtests.gates.junit import to_junit
from loadtests.gates.markdown import to_markdown
from loadtests.gates.openmetrics import to_openmetrics
from loadtests.gates.slowdown import compare_with
from sim.results import TABLES, Records, Run, RunWriter
from sim.scenario import Scenario, ScenarioError, load_scenario

END_S = 1000.0
N = 400
P50 = "all.response_s.p50"
TRUSTED = {"verdict": "trustworthy", "reasons": [], "figures": {"dropped": 0}}
LATE = {"verdict": "untrustworthy", "reasons": ["lateness p99 is 80 ms, at most 5 ms"]}


def table(name: str, n: int, **columns: Any) -> pa.Table:
    """A table of n rows; a column is one value for all of them or, unless text, an array."""
    schema = TABLES[name]
    arrays: list[pa.Array] = []
    for field in schema:
        if pa.types.is_dictionary(field.type):
            codes = pa.array(np.zeros(n, np.int32))
            names = pa.array([columns.get(field.name, "x")])
            arrays.append(pa.DictionaryArray.from_arrays(codes, names))
        else:
            arrays.append(pa.array(np.broadcast_to(columns.get(field.name, 0), n), field.type))
    return pa.table(arrays, schema=schema)


def records(replication: int, response_s: np.ndarray) -> Records:
    n = len(response_s)
    due_s = np.linspace(0, END_S, n, endpoint=False)
    common = {"replication": replication, "session": np.arange(n)}
    answered = {"due_s": due_s, "sent_s": due_s, "response_s": response_s, "outcome": "ok"}
    return Records(
        requests=table("requests", n, **common, **answered),
        sessions=table("sessions", n, **common, arrival_s=due_s, end_s=due_s + response_s),
        dossiers=TABLES["dossiers"].empty_table(),
        levels=TABLES["levels"].empty_table(),
    )


def luck(replication: int) -> np.ndarray:
    """Response times whose level differs from replication to replication."""
    rng = np.random.default_rng(replication)
    return rng.exponential(rng.uniform(1, 2), N)


@functools.cache
def question(targets: str, *overrides: str) -> Scenario:
    window = (f"window.duration_s={END_S}", "window.warm_up_s=0")
    return load_scenario("peak-hour", [*window, f"targets={targets}", *overrides])


def run_of(
    root: Path,
    *,
    targets: str = f"[{{metric: {P50}, at_most: 3}}]",
    factor: float = 1.0,
    replications: int = 5,
    noise: float = 0.0,
    overrides: tuple[str, ...] = (),
    source: Any = "simulated",
    **finish: Any,
) -> Run:
    """A stored run; ``factor`` makes it so many times slower, ``noise`` differs by replication."""
    scenario = question(targets, *overrides)
    begin = RunWriter.resume_or_create
    with begin(root, scenario, source=source, resume=False) as writer:
        for index in range(replications):
            own = np.exp(noise * (index % 2 - 0.5))
            writer.add(index, records(index, luck(index) * factor * own))
        return writer.finish(**finish)


def ask(run: Run, *arguments: str | Path) -> Result:
    return CliRunner().invoke(gate, [str(run.path), *map(str, arguments)])


def told(found: Result) -> str:
    """Return what was printed, without the terminal's line breaks."""
    return " ".join(found.output.split())


def written(run: Run, folder: Path, *arguments: str) -> dict[str, str]:
    """Ask the gate for all its files and return their texts."""
    kinds = ("junit", "markdown", "json", "openmetrics")
    options = [part for kind in kinds for part in (f"--{kind}", str(folder / f"out/{kind}"))]
    ask(run, *options, *arguments)
    return {kind: (folder / f"out/{kind}").read_text() for kind in kinds}


# The verdict


@pytest.mark.parametrize(
    ("targets", "finish", "code"),
    [
        (f"[{{metric: {P50}, at_most: 3}}]", {}, 0),
        (f"[{{metric: {P50}, at_most: 0.1}}]", {}, 1),
        (f"[{{metric: {P50}, at_most: 1.0}}]", {}, 1),
        ("[{metric: dossiers.sync_s.p95, at_most: 9}]", {}, 1),
        (f"[{{metric: {P50}, at_most: 3}}]", {"status": "interrupted"}, 3),
        (f"[{{metric: {P50}, at_most: 3}}]", {"trust": LATE}, 4),
        (f"[{{metric: {P50}, at_most: 0.1}}]", {"trust": LATE, "status": "interrupted"}, 4),
        (f"[{{metric: {P50}, at_most: 3}}]", {"trust": TRUSTED}, 0),
    ],
)
def test_the_exit_code_says_trust_before_completeness_before_targets(
    tmp_path: Path, targets: str, finish: dict[str, Any], code: int
) -> None:
    assert ask(run_of(tmp_path, targets=targets, **finish)).exit_code == code


@pytest.mark.parametrize(
    "trust", [None, "trustworthy", [], {}, {"verdict": "Trustworthy"}, {"verdict": True}]
)
def test_a_measured_run_that_does_not_call_itself_trustworthy_never_passes(
    tmp_path: Path, trust: Any
) -> None:
    run = run_of(tmp_path, source="measured", trust=trust)
    assert ask(run).exit_code == 4
    assert trust_of(run).reasons


def test_a_trustworthy_measured_run_is_judged_by_its_targets(tmp_path: Path) -> None:
    assert ask(run_of(tmp_path, source="measured", trust=TRUSTED)).exit_code == 0


def test_broken_records_are_not_judged(tmp_path: Path) -> None:
    run = run_of(tmp_path, summarise=lambda run: {"conservation": ["a request without session"]})
    found = ask(run)
    assert found.exit_code == 4
    assert "a request without session" in told(found)


def test_the_reasons_for_mistrust_are_told_first(tmp_path: Path) -> None:
    text = told(ask(run_of(tmp_path, trust=LATE)))
    assert text.startswith("Not judged: the measurement cannot be trusted. - lateness p99 is 80 ms")


def test_a_run_by_the_name_of_its_scenario_is_the_latest(tmp_path: Path) -> None:
    run_of(tmp_path, targets=f"[{{metric: {P50}, at_most: 0.1}}]")
    run_of(tmp_path)
    found = CliRunner().invoke(gate, ["peak-hour", "--results", str(tmp_path)])
    assert found.exit_code == 0


# Targets of a file


def test_targets_of_a_file_replace_the_scenarios(tmp_path: Path) -> None:
    file = tmp_path / "strict.yaml"
    file.write_text(f"targets:\n  - {{metric: {P50}, at_most: 100 ms}}\n")
    found = ask(run_of(tmp_path), "--targets", file)
    assert found.exit_code == 1
    assert "≤ 100 ms" in told(found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("targets: [{metric: nobody.ok_share, at_most: 1}]", "strict.yaml:1: targets.0.metric"),
        ("targets: [{metric: all.response_s.p50}]", "give at_most or at_least"),
        ("targets: [{metric: all.ok_share, at_mots: 1}]", "did you mean at_most?"),
        ("targets: []", "at least one row"),
        ("target: []", "unknown key"),
        ("- {metric: all.ok_share, at_most: 1}", "it must be a mapping"),
        ("", "empty"),
        ("targets: [", "strict.yaml"),
    ],
)
def test_a_wrong_file_of_targets_is_told(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "strict.yaml"
    file.write_text(text)
    found = ask(run_of(tmp_path), "--targets", file)
    assert isinstance(found.exception, ScenarioError)
    assert fault in str(found.exception)


def test_without_any_target_nothing_passes(tmp_path: Path) -> None:
    found = ask(run_of(tmp_path, targets="[]"))
    assert found.exit_code == 2
    assert "give --targets FILE" in told(found)


# Against a base run


def test_a_certain_slowdown_fails_and_an_uncertain_one_does_not(tmp_path: Path) -> None:
    base = run_of(tmp_path)
    slower = ("--against", str(base.path), "--max-slowdown")
    assert ask(run_of(tmp_path, factor=1.1), *slower, "1.05").exit_code == 1
    assert ask(run_of(tmp_path, factor=1.1), *slower, "1.15").exit_code == 0
    noisy = ask(run_of(tmp_path, factor=1.1, noise=0.5), *slower, "1.05")
    assert noisy.exit_code == 0
    assert "cannot tell, " in told(noisy)


def test_without_a_limit_differences_are_shown_and_not_judged(tmp_path: Path) -> None:
    base, run = run_of(tmp_path), run_of(tmp_path, factor=1.2)
    found = ask(run, "--against", base.path)
    assert found.exit_code == 0
    assert "paired by replication: 5 of A, 5 of B" in told(found)


def test_the_ratios_interval_is_the_t_interval_of_the_logarithms(tmp_path: Path) -> None:
    from scipy import stats

    base, run = run_of(tmp_path), run_of(tmp_path, factor=1.1, noise=0.2)
    (found,) = compare_with(base, run, 1.05).slowdowns
    logs = np.log(1.1) + 0.2 * np.array([-0.5, 0.5, -0.5, 0.5, -0.5])
    half = stats.t.ppf(0.975, 4) * logs.std(ddof=1) / np.sqrt(5)
    assert found.ratio == pytest.approx(np.exp(logs.mean()))
    assert (found.low, found.high) == pytest.approx(
        (np.exp(logs.mean() - half), np.exp(logs.mean() + half))
    )


@pytest.mark.parametrize(
    ("base", "why"),
    [
        ({"replications": 1}, "1 common replication: no interval"),
        ({"overrides": ("seed=2",)}, "the seeds differ"),
        ({"trust": LATE}, "cannot be trusted"),
        ({"status": "interrupted"}, "was interrupted"),
        ({"factor": 0.0}, "no value above 0"),
    ],
)
def test_what_cannot_be_compared_is_undecided(
    tmp_path: Path, base: dict[str, Any], why: str
) -> None:
    against = compare_with(run_of(tmp_path, **base), run_of(tmp_path, factor=9), 1.05)
    (found,) = against.slowdowns
    assert found.verdict.answer == "cannot_tell"
    assert why in found.verdict.reason
    assert not against.slower


def test_several_metrics_may_be_judged(tmp_path: Path) -> None:
    base, run = run_of(tmp_path), run_of(tmp_path, factor=1.2)
    metrics = ("--slowdown-of", "all.response_s.mean", "--slowdown-of", P50)
    found = ask(run, "--against", base.path, "--max-slowdown", "1.1", *metrics)
    assert found.exit_code == 1
    assert "✗ all.response_s.mean, run over base" in told(found)


@pytest.mark.parametrize(
    "arguments", [("--max-slowdown", "1.1"), ("--against", "x", "--slowdown-of", P50)]
)
def test_options_that_need_each_other_are_told(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    found = ask(run_of(tmp_path), *arguments)
    assert found.exit_code == 2
    assert "need" in told(found)


# Files

MIXED = (
    f"[{{metric: {P50}, at_most: 3}}, {{metric: {P50}, at_least: 2.9}}, "
    "{metric: dossiers.sync_s.p95, at_most: 9}, {metric: all.ok_share, at_least: 0.99}, "
    "{metric: all.rate_per_s, at_most: 100}, {metric: app.workers.queue.max, at_most: 3}]"
)

# source: jenkins-junit.xsd: attributes, children in their order
JUNIT = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, ["testsuite"]),
    "testsuite": (
        {"name", "tests", "failures", "errors", "time", "skipped", "timestamp"},
        ["properties", "testcase"],
    ),
    "properties": (set(), ["property"]),
    "property": ({"name", "value"}, []),
    "testcase": (
        {"name", "classname", "time"},
        ["skipped", "error", "failure", "system-out"],
    ),
    "skipped": ({"message"}, []),
    "error": ({"message", "type"}, []),
    "failure": ({"message", "type"}, []),
    "system-out": (set(), []),
}


def assert_is_junit(element: ElementTree.Element) -> None:
    attributes, children = JUNIT[element.tag]
    assert set(element.attrib) == attributes
    order = [children.index(child.tag) for child in element]
    assert order == sorted(order)
    for child in element:
        assert_is_junit(child)


def cases(text: str) -> dict[str, str]:
    """Return what the test cases say: passed, failure, error or skipped."""
    root = ElementTree.fromstring(text)
    assert root.tag == "testsuites"
    assert_is_junit(root)
    (suite,) = root
    found = {}
    for case in suite.findall("testcase"):
        said = [child.tag for child in case if child.tag != "system-out"]
        assert len(said) <= 1
        found[case.attrib["name"]] = said[0] if said else "passed"
    counts = {"tests": len(found)}
    for key, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[key] = list(found.values()).count(tag)
    assert {key: int(suite.attrib[key]) for key in counts} == counts
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    return found


def test_junit_has_one_case_per_target(tmp_path: Path) -> None:
    assert cases(to_junit(judge_run(run_of(tmp_path, targets=MIXED)))) == {
        "the measurement can be trusted": "passed",
        "the run is complete": "passed",
        f"{P50} at most 3 s": "passed",
        f"{P50} at least 2.9 s": "failure",
        "dossiers.sync_s.p95 at most 9 s": "skipped",
        "all.ok_share at least 99 %": "passed",
        "all.rate_per_s at most 100/s": "passed",
        "app.workers.queue.max at most 3": "skipped",
    }


def test_junit_of_a_run_that_is_not_trusted_is_an_error_and_judges_nothing(tmp_path: Path) -> None:
    text = to_junit(judge_run(run_of(tmp_path, targets=MIXED, trust=LATE)))
    found = cases(text)
    assert found.pop("the measurement can be trusted") == "error"
    assert found.pop("the run is complete") == "passed"
    assert set(found.values()) == {"skipped"}
    assert "lateness p99 is 80 ms" in text


def test_junit_has_a_case_per_slowdown(tmp_path: Path) -> None:
    base, run = run_of(tmp_path), run_of(tmp_path, factor=1.2)
    result = judge_run(run, against=compare_with(base, run, 1.1))
    assert cases(to_junit(result))[f"{P50} at most 1.1 times the base"] == "failure"


def test_json_tells_everything_needed_to_decide_again(tmp_path: Path) -> None:
    base, run = run_of(tmp_path), run_of(tmp_path, targets=MIXED, trust=TRUSTED, factor=1.2)
    document = json.loads(to_json(judge_run(run, against=compare_with(base, run, 1.1))))
    assert (document["outcome"], document["exit_code"]) == ("missed", 1)
    assert document["trust"] == TRUSTED
    assert document["run"]["name"] == run.name
    first, _, third, *_ = document["targets"]
    assert first["estimate"]["low"] < first["estimate"]["value"] < first["estimate"]["high"]
    assert (first["answer"], third["answer"]) == ("met", "cannot_tell")
    assert third["estimate"]["low"] is None
    (slowdown,) = document["against"]["slowdowns"]
    assert slowdown["low"] == pytest.approx(1.2)
    assert document["against"]["base"] == base.name


def test_markdown_has_a_row_per_target_and_every_row_its_columns(tmp_path: Path) -> None:
    base, run = run_of(tmp_path), run_of(tmp_path, targets=MIXED, factor=1.2)
    text = to_markdown(judge_run(run, against=compare_with(base, run, 1.1)))
    assert text.startswith("## ✗ Does not hold: 1 of 6 targets missed.")
    assert f"| ✓ met | `{P50}` |" in text
    assert "| ? cannot tell | `dossiers.sync_s.p95` |" in text
    for block in tables(text):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block}) == 1
        assert set(block[1]) == {"|", "-"}


def tables(text: str) -> Iterator[list[str]]:
    """Yield the rows of each Markdown table."""
    for block in text.split("\n\n"):
        if block.startswith("|"):
            yield block.strip().split("\n")


SAMPLE = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\} (\S+)'
)
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\["\\n])*)"')


def samples(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Read OpenMetrics text strictly: metadata, units, order, suffixes, no sample twice."""
    *lines, end, nothing = text.split("\n")
    assert (end, nothing) == ("# EOF", "")
    families: dict[str, dict[str, str]] = {}
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    current = ""
    for line in lines:
        if line.startswith("# "):
            _, key, name, value = line.split(" ", 3)
            if name != current:
                assert name not in families
                current, families[name], found[name] = name, {}, {}
            assert not found[name]
            assert key not in families[name]
            families[name][key] = value
            continue
        match = SAMPLE.fullmatch(line)
        assert match
        suffix = "_info" if families[current]["TYPE"] == "info" else ""
        assert match[1] == current + suffix
        labels = LABEL.findall(match[2])
        assert len({name for name, _ in labels}) == len(labels)
        assert tuple(labels) not in found[current]
        found[current][tuple(labels)] = float(match[3])
    for name, metadata in families.items():
        assert metadata["TYPE"] in ("gauge", "info", "stateset")
        assert name.endswith("_" + metadata.get("UNIT", name.rpartition("_")[2]))
        if metadata["TYPE"] == "stateset":
            assert all(name in dict(labels) for labels in found[name])
            assert set(found[name].values()) <= {0.0, 1.0}
        if metadata["TYPE"] == "info":
            assert set(found[name].values()) == {1.0}
    return found


def test_openmetrics_holds_values_bounds_and_answers(tmp_path: Path) -> None:
    base, run = run_of(tmp_path), run_of(tmp_path, targets=MIXED, factor=1.2)
    result = judge_run(run, against=compare_with(base, run, 1.1))
    found = samples(to_openmetrics(result))
    seconds = {
        (dict(labels)["metric"], dict(labels)["figure"]): value
        for labels, value in found["hoso_metric_seconds"].items()
    }
    assert seconds[P50, "value"] == result.targets[0].estimate.value
    assert (seconds[P50, "at_most"], seconds[P50, "at_least"]) == (3, 2.9)
    assert ("dossiers.sync_s.p95", "value") not in seconds
    answers = [dict(labels) for labels, value in found["hoso_target_answer"].items() if value]
    assert [row["hoso_target_answer"] for row in answers] == [
        each.verdict.answer for each in result.targets
    ]
    outcomes = {dict(key)["hoso_gate_outcome"]: v for key, v in found["hoso_gate_outcome"].items()}
    assert outcomes == {
        "met": 0,
        "missed": 1,
        "cannot_tell": 0,
        "interrupted": 0,
        "untrustworthy": 0,
    }
    assert set(found) >= {"hoso_metric_ratio", "hoso_metric_per_second", "hoso_slowdown_ratio"}


NASTY = st.text(alphabet=st.characters(codec="utf-8"), max_size=30)


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(tmp_path_factory.mktemp("plain"), replications=1)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(reason=NASTY, title=NASTY)
def test_no_text_breaks_a_file(plain_run: Run, reason: str, title: str) -> None:
    trust = {"verdict": "untrustworthy", "reasons": [reason]}
    scenario = {**plain_run.manifest.scenario, "title": title}
    changes = {"trust": trust, "scenario": scenario}
    result = judge_run(Run(plain_run.path, plain_run.manifest.model_copy(update=changes)))
    assert cases(to_junit(result))
    assert json.loads(to_json(result))["trust"]["reasons"] == [reason]
    assert samples(to_openmetrics(result))
    for block in tables(to_markdown(result)):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in block}) == 1


def test_all_files_are_written_whole_into_folders_that_are_made(tmp_path: Path) -> None:
    texts = written(run_of(tmp_path), tmp_path)
    assert cases(texts["junit"])
    assert samples(texts["openmetrics"])
    assert json.loads(texts["json"])["outcome"] == "met"
    assert texts["markdown"].startswith("## ✓ Holds")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(texts)


def test_a_gate_that_fails_leaves_no_verdict_of_an_earlier_run(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    written(run, tmp_path)
    found = ask(run, "--json", tmp_path / "out/json", "--targets", tmp_path / "none.yaml")
    assert found.exit_code != 0
    assert not (tmp_path / "out/json").exists()


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    found = ask(run_of(tmp_path), "--json", "/dev/null")
    assert found.exit_code == 2
    assert "is no file" in told(found)
    assert Path("/dev/null").is_char_device()


def test_a_link_keeps_pointing_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    ask(run_of(tmp_path), "--json", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert json.loads((tmp_path / "real").read_text())["outcome"] == "met"


def test_the_command_runs_as_a_program_and_imports_no_locust(tmp_path: Path) -> None:
    run = run_of(tmp_path, source="measured", trust=LATE)
    program = (
        "import sys; from loadtests.commands.gate import gate\n"
        "try: gate([sys.argv[1]])\n"
        "finally: assert 'gevent' not in sys.modules and 'locust' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(run.path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr


def test_the_outcome_is_met_only_when_everything_is(tmp_path: Path) -> None:
    result: GateResult = judge_run(run_of(tmp_path))
    assert (result.outcome, result.exit_code) == ("met", 0)
