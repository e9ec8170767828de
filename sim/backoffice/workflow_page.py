"""The page about a dossier's way: its states and their diagram, rendered from the table.

``python -m sim.backoffice.workflow_page FILE`` writes it.
"""

import sys
from pathlib import Path

from sim.backoffice.workflow import DECIDED, ENDS, STATES, TRANSITIONS, Event, State

_CLASSES = {"system": "portal", "officer": "officer", "citizen": "citizen", "agency": "agency"}
"""Styles of the diagram, by whom a dossier waits for."""

_STYLES = {
    "portal": "fill:#e8e8e8,stroke:#666,color:#000",
    "officer": "fill:#dbe9f6,stroke:#2b6ca3,color:#000",
    "citizen": "fill:#fdeccf,stroke:#b8741a,color:#000",
    "agency": "fill:#e4dcf1,stroke:#6a4c93,color:#000",
}

_FIRST = State.SYNCHRONISING, State.RECEIVING
"""States in which new dossiers begin: with an intake, and without one or at the counter."""


def workflow_page() -> str:
    """Return the page in Markdown: a table of the states, and a diagram of the transitions."""
    return "\n".join(
        [
            "# A dossier's way",
            "",
            "Written from the table in `sim/backoffice/workflow.py` by "
            "`python -m sim.backoffice.workflow_page docs/workflow.md`; edit the table, not this "
            "page. How often what happens is in a scenario's `backoffice.workflow`; what is "
            "decided how, to the tie, in [model.md](model.md).",
            "",
            workflow_table(),
            "",
            "Entering a state marked *decided* first ends the legal term. A dossier filed online "
            "begins in `synchronising` where the scenario has an intake, else in `receiving`, as "
            "at the counter; the backlog begins where it lies.",
            "",
            "```mermaid",
            workflow_diagram(),
            "```",
            "",
            "Grey: the portal is waited for; blue: an officer; orange: the citizen; violet: "
            "another agency. In `paying` and in `supplementing` the legal clock stands.",
            "",
        ]
    )


def workflow_table() -> str:
    """Return the states as a Markdown table."""
    lines = [
        "| state | national code | OpenCPS status | waits for | task | decided | then |",
        "|---|---|---|---|---|---|---|",
    ]
    for state, row in STATES.items():
        cells = [
            f"`{_name(state)}`",
            str(row.national_code),
            f"`{row.portal_status}`",
            row.waits_for,
            row.task or "",
            "yes" if state in DECIDED else "",
            ", ".join(f"{_event(event)}: `{_name(then)}`" for event, then in _leads(state)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def workflow_diagram() -> str:
    """Return the transitions as a Mermaid state diagram."""
    begins = [f"  [*] --> {_name(state)}" for state in _FIRST]
    arrows = [
        f"  {_name(state)} --> {_name(then)} : {_event(event)}"
        for (state, event), then in TRANSITIONS.items()
    ]
    ends = [f"  {_name(state)} --> [*]" for state in STATES if state in ENDS]
    styles = [f"  classDef {name} {style}" for name, style in _STYLES.items()]
    classes = [
        f"  class {_name(state)} {_CLASSES[row.waits_for]}"
        for state, row in STATES.items()
        if row.waits_for in _CLASSES
    ]
    return "\n".join(["stateDiagram-v2", *begins, *arrows, *ends, *styles, *classes])


def _leads(state: State) -> list[tuple[Event, State]]:
    return [(event, then) for (before, event), then in TRANSITIONS.items() if before == state]


def _name(state: State) -> str:
    return state.name.lower()


def _event(event: Event) -> str:
    return event.name.lower().replace("_", " ")


if __name__ == "__main__":
    (target,) = sys.argv[1:]
    Path(target).write_text(workflow_page(), encoding="utf-8")
