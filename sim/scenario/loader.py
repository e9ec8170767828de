"""From a file, or the name of a shipped scenario, to a checked scenario; all faults at once."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from sim.scenario.checks import check_scenario
from sim.scenario.document import Node, Origin, absolute, place, resolve_scalar
from sim.scenario.errors import Flaw, ScenarioError, advice
from sim.scenario.inheritance import Family, without_removed
from sim.scenario.overrides import OPTION, apply_overrides
from sim.scenario.scenario import Scenario
from sim.scenario.wording import schema_flaws

_ROOT = Path(__file__).resolve().parents[2]
_SUFFIXES = (".yaml", ".yml")
_FILES = (("catalogue", "file"), ("backoffice", "initial_state", "file"))
"""Where a scenario names a file."""


def load_scenario(source: str | Path, overrides: Sequence[str] = ()) -> Scenario:
    """Return the scenario of a file, merged with its parents and checked.

    Parameters
    ----------
    source : str or Path
        A file, or the name of a shipped scenario such as ``peak-hour``.
    overrides : sequence of str
        One-off changes ``a.b=c``, applied last, in order.

    Raises
    ------
    ScenarioError
        When anything is wrong; it holds every fault, with its place, value and what is allowed.
    """
    file = _find(source)
    flaws: list[Flaw] = []
    family = Family(file.parent, _locate, flaws)
    resolved = family.resolve(file)
    if resolved is None:
        raise ScenarioError(flaws)
    root = apply_overrides(without_removed(resolved.root), overrides, flaws)
    root = without_removed(root)
    for named in _FILES:
        root = _with_file_found(root, named, file.parent, flaws)
    try:
        scenario = Scenario.model_validate_json(json.dumps(root.plain()), strict=True)
    except ValidationError as error:
        flaws += schema_flaws(error.errors(include_url=False), root)
        raise ScenarioError(flaws) from None
    for path, message in check_scenario(scenario):
        flaws.append(Flaw(place(root.nearest(path).origin, path), message))
    if flaws:
        raise ScenarioError(flaws)
    return scenario


def shipped_scenarios() -> list[str]:
    """Return the names of the scenarios that come with the project or lie in ``./scenarios``."""
    return sorted(_shipped())


def dump_scenario(scenario: Scenario) -> str:
    """Return a scenario as YAML, everything spelled out; loading it gives the same scenario."""
    data = scenario.model_dump(mode="json")
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return str(text)


def _shipped() -> dict[str, Path]:
    folders = (Path("scenarios"), _ROOT / "scenarios")
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def _find(source: str | Path) -> Path:
    """Return the file meant by a path or a name."""
    shipped = _shipped()
    if isinstance(source, Path) or source.endswith(_SUFFIXES) or "/" in source:
        return Path(source)
    if source in shipped:
        return shipped[source]
    if source and os.path.exists(source):  # noqa: PTH110 - unlike Path.exists, never raises
        return Path(source)
    known = advice(source, sorted(shipped), label="scenarios that exist")
    raise ScenarioError([Flaw(source or "scenario", f"neither a file nor a scenario{known}")])


def _locate(text: str, folder: Path) -> Path:
    """Return the file an ``extends`` means: relative to its own file, or a shipped scenario."""
    if text.endswith(_SUFFIXES) or "/" in text:
        return folder / text
    return _shipped().get(text, folder / text)


def _with_file_found(root: Node, path: tuple[str, ...], home: Path, flaws: list[Flaw]) -> Node:
    """Return the scenario with a file it names relative to the working directory.

    A scenario says it relative to itself, an override relative to the working directory.
    """
    *blocks, last = path
    block: Node | None = root
    for name in blocks:
        block = None if block is None else block.child(name)
    node = None if block is None else block.child(last)
    if node is None or not isinstance(node.value, str):
        return root
    by_override = node.origin == Origin(OPTION)
    folder = Path() if by_override else (home / node.origin.file).parent
    file = folder / node.value
    if not os.path.isfile(file):  # noqa: PTH113 - unlike Path.is_file, never raises
        flaws.append(
            Flaw(place(node.origin, path), f"{node.value!r} is no file; looked for {file}")
        )
        return root
    return _with_value(root, path, Node(_from_working_directory(file), node.origin))


def _with_value(root: Node, path: tuple[str, ...], value: Node) -> Node:
    """Return a block with the value at a path, which exists, replaced."""
    if not path:
        return value
    child = root.child(path[0])
    assert isinstance(root.value, dict)
    assert child is not None
    return Node({**root.value, path[0]: _with_value(child, path[1:], value)}, root.origin)


def _from_working_directory(file: Path) -> str:
    """Return a path relative to the working directory where it lies below it, else absolute."""
    whole = absolute(file)
    here = Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else whole).as_posix()


class _Dumper(yaml.SafeDumper):
    """Quotes every text that the loader would read as something else."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Return the node of a text."""
        style = None if _stays_text(text) else "'"
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _stays_text(text: str) -> bool:
    try:
        return isinstance(resolve_scalar(text), str)
    except ValueError:
        return False


_Dumper.add_representer(str, _Dumper.represent_text)
