"""The page about journeys: a diagram and a table of each, rendered from a scenario.

``python -m sim.demand.journey_page SCENARIO FILE`` writes it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from sim.scenario import load_scenario
from sim.scenario.base import Distribution
from sim.scenario.demand import Calls, Journey, Step
from sim.scenario.scenario import Scenario

_PER_SERVICE = {"upload_slots": "one per paper", "e_forms": "one if the service has an e-form"}
_LEAVES = "(leaves)"


def journey_page(scenario: Scenario) -> str:
    """Return the page in Markdown: every journey of the scenario as a diagram and a table."""
    parts = [
        "# Journeys",
        "",
        f"Written from the scenario `{scenario.name}` by `python -m sim.demand.journey_page "
        f"{scenario.name} docs/journeys.md`; edit the scenario, not this page.",
        "",
        "A box is a step: the requests it sends, and how long the person thinks before it. "
        "An arrow carries its probability where there is a choice.",
    ]
    for name, journey in scenario.journeys.items():
        parts += ["", f"## {name}", "", _who(scenario, name, journey), ""]
        parts += ["```mermaid", journey_diagram(journey), "```", "", journey_table(journey)]
    return "\n".join(parts) + "\n"


def journey_diagram(journey: Journey) -> str:
    """Return a journey as a Mermaid flow chart."""
    # Numbered: a name such as ``end`` is a word of Mermaid's own.
    ids = {_LEAVES: "out"} | {step.step: f"s{row}" for row, step in enumerate(journey.steps)}
    boxes = [f'  {ids[step.step]}["{_label(step)}"]' for step in journey.steps]
    arrows = [
        f"  {ids[step.step]} {_arrow(share)} {ids[target]}"
        for row, step in enumerate(journey.steps)
        for target, share in _leads(journey, row)
    ]
    skips = [
        f"  {ids[step.step]} -. no fee .-> {ids[_row_below(journey, row)]}"
        for row, step in enumerate(journey.steps)
        if step.only_with_fee
    ]
    return "\n".join(["flowchart TD", *boxes, f'  out(["{_LEAVES}"])', *arrows, *skips])


def journey_table(journey: Journey) -> str:
    """Return a journey as a Markdown table."""
    lines = [
        "| step | requests | at once | thinks before | rounds | then |",
        "|---|---|---|---|---|---|",
    ]
    for row, step in enumerate(journey.steps):
        then = ", ".join(f"{target} {share:.4g}" for target, share in _leads(journey, row))
        requests = ", ".join(f"{name} {_count(calls)}" for name, calls in step.calls.items())
        cells = [step.step, requests, str(step.together), _time(step.think), _rounds(step), then]
        lines.append("| " + " | ".join(cell or "none" for cell in cells) + " |")
    return "\n".join(lines)


def _who(scenario: Scenario, name: str, journey: Journey) -> str:
    demand = scenario.demand.journeys.get(name)
    often = "never by itself" if demand is None else f"{demand.per_dossier:.4g} times"
    channel = "" if journey.channel is None else f" through `{journey.channel}`"
    return f"Made {often} per dossier filed online, by the client `{journey.client}`{channel}."


def _label(step: Step) -> str:
    parts = [step.step, *(f"{name} {_count(calls)}" for name, calls in step.calls.items())]
    if step.think.mean_s > 0:
        parts.append(f"after {_time(step.think)}")
    if step.repeat > 1:
        parts.append(_rounds(step))
    return "<br/>".join(parts)


def _count(calls: Calls) -> str:
    return _PER_SERVICE[calls] if isinstance(calls, str) else f"× {calls}"


def _time(think: Distribution) -> str:
    spread = f", cv {think.cv:.4g}" if think.distribution == "lognormal" else ""
    return f"{think.mean_s:.4g} s ({think.distribution}{spread})" if think.mean_s > 0 else "0 s"


def _rounds(step: Step) -> str:
    until = " while the dossier synchronises" if step.while_syncing else ""
    return f"{step.repeat}{until}" if step.repeat == 1 else f"{step.repeat} rounds{until}"


def _leads(journey: Journey, row: int) -> Iterator[tuple[str, float]]:
    """Yield where a row leads, the end included, with the probabilities."""
    leads = journey.steps[row].next
    if leads is None:
        yield _row_below(journey, row), 1.0
        return
    yield from leads.items()
    leaves = 1.0 - sum(leads.values())
    if leaves > 1e-9:  # what is left of 1 by rounding leads nowhere
        yield _LEAVES, leaves


def _row_below(journey: Journey, row: int) -> str:
    return journey.steps[row + 1].step if row + 1 < len(journey.steps) else _LEAVES


def _arrow(share: float) -> str:
    return "-->" if share == 1.0 else f"-- {share:.4g} -->"


if __name__ == "__main__":
    source, target = sys.argv[1:]
    Path(target).write_text(journey_page(load_scenario(source)), encoding="utf-8")
