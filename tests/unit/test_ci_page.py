"""The page on CI: its examples are whole, and its commands are those that are run here."""

import re
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from loadtests.commands.gate import gate
from loadtests.safety import read_authorisation
from sim.scenario import load_scenario
from sim.scenario.metric_names import parse_metric

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
SCRIPT = ROOT / ".ci/gate"


def example(heading: str) -> Any:
    """Return the YAML example of a section."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (text,) = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    return yaml.safe_load(text)


def commands(lines: list[str]) -> list[str]:
    """Return the calls of hoso among the lines of a script, without what follows a failure."""
    stripped = [line.strip().partition(" || ")[0] for line in lines]
    return [line for line in stripped if line.startswith("hoso ")]


def github_steps() -> list[dict[str, Any]]:
    return example("GitHub Actions")["jobs"]["gate"]["steps"]


def own_commands() -> list[str]:
    return commands(SCRIPT.read_text(encoding="utf-8").splitlines())


def test_the_script_loads_and_then_gates() -> None:
    assert [command.split()[1] for command in own_commands()] == ["load", "gate"]


def test_the_github_example_calls_what_the_script_calls() -> None:
    lines = [line for step in github_steps() for line in step.get("run", "").splitlines()]
    assert commands(lines) == own_commands()


def test_the_gitlab_example_calls_what_the_script_calls() -> None:
    assert commands(example("GitLab CI")["gate"]["script"]) == own_commands()


def test_the_github_example_has_what_a_workflow_needs() -> None:
    workflow = example("GitHub Actions")
    assert set(workflow) == {"name", "on", "jobs"}
    job = workflow["jobs"]["gate"]
    assert job["runs-on"]
    assert all(("uses" in step) != ("run" in step) for step in job["steps"])
    names = [step.get("name") for step in job["steps"]]
    after = job["steps"][names.index("load") + 1 :]
    assert all(step["if"] == "always()" for step in after)


def test_the_gitlab_example_keeps_the_verdict_of_a_failed_job() -> None:
    job = example("GitLab CI")["gate"]
    assert {"image", "script", "artifacts"} <= set(job)
    assert all(isinstance(line, str) for line in job["script"])
    assert job["artifacts"]["when"] == "always"
    assert f"--junit {job['artifacts']['reports']['junit']} " in " ".join(job["script"])


def test_the_gates_command_is_one_that_the_program_takes() -> None:
    words = own_commands()[1].split()
    context = gate.make_context("hoso gate", words[2:])
    assert context.params["run"] == load_scenario(ROOT / ".ci/short-load.yaml").name
    load_words = own_commands()[0].split()
    assert load_words[load_words.index("--results") + 1] == str(context.params["results"])


def test_the_loads_command_is_one_that_the_program_takes() -> None:
    module = pytest.importorskip("loadtests.commands.load", exc_type=ModuleNotFoundError)
    command: click.Command = module.load
    assert command.make_context("hoso load", own_commands()[0].split()[2:])


@pytest.mark.parametrize("option", re.findall(r"^\| `(--\w+) FILE`", PAGE, re.MULTILINE))
def test_every_file_the_page_promises_is_an_option(option: str) -> None:
    assert option in [name for parameter in gate.params for name in parameter.opts]


def test_the_scenario_of_the_gate_judges_only_what_a_load_test_measures() -> None:
    scenario = load_scenario(ROOT / ".ci/short-load.yaml")
    quantities = {parse_metric(target.metric).quantity for target in scenario.targets}
    assert quantities <= {"response_s", "ok_share"}
    assert scenario.window.duration_s + scenario.window.drain_s <= 120


def test_the_example_of_a_permission_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "permit.yaml"
    heading = "Hosts other than this machine"
    section = PAGE.partition(f"\n## {heading}\n")[2]
    path.write_text(re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[0], encoding="utf-8")
    assert read_authorisation(path).host == "staging.example.vn"


def test_the_script_is_sound_bash() -> None:
    done = subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert SCRIPT.stat().st_mode & 0o100
