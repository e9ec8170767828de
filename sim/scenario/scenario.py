"""The root of a scenario file: one question about one portal."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sim.scenario.backoffice import Backoffice
from sim.scenario.base import Name, Spec
from sim.scenario.demand import Catalogue, Channel, Client, Demand, Journey, SharedData
from sim.scenario.portal import Portal
from sim.scenario.run import AbortRule, Budget, City, Execution, Fault, Target, Window


class Scenario(Spec):
    """One question: this demand, on this portal, in this window, judged by these targets."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    """Short name; results are stored under it."""
    title: str = ""
    """One line for people."""
    description: str = ""
    """What is asked and why."""
    topology: Literal["own_portal", "national_front", "ministry_system"] = "own_portal"
    """Who owns the front end and who processes: the city, the national portal, a ministry."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Seed of everything random."""
    city: City
    """The city."""
    window: Window
    """When."""
    catalogue: Catalogue
    """Which procedures."""
    shared_data: SharedData | None = None
    """The shared-data platform."""
    demand: Demand
    """How many sessions, when."""
    channels: Annotated[dict[Name, Channel], Field(min_length=1, max_length=100)]
    """How clients reach the portal, by name."""
    clients: Annotated[dict[Name, Client], Field(min_length=1)]
    """How clients behave, by name."""
    journeys: Annotated[dict[Name, Journey], Field(min_length=1)]
    """What sessions do, by name."""
    portal: Portal
    """What requests meet."""
    backoffice: Backoffice | None = None
    """The offices behind the portal; absent: dossiers end with their synchronisation."""
    faults: tuple[Fault, ...] = ()
    """What breaks."""
    targets: tuple[Target, ...] = ()
    """What must hold."""
    abort: tuple[AbortRule, ...] = ()
    """When a load test stops early."""
    budget: Budget | None = None
    """What it may cost."""
    execution: Execution = Execution()
    """How to run it."""

    @property
    def has_portal(self) -> bool:
        """Whether sessions and requests are simulated, and not only the offices."""
        return self.backoffice is None or self.backoffice.fed_by == "portal"

    def digest(self) -> str:
        """Return a hash of everything that decides the records, 16 hex digits.

        Names, texts, targets, budget, execution's counts and memory do not; two scenarios with one
        digest give the same records for the same replication. A catalogue and a list of open
        dossiers in files count by their content.
        """
        decisive = self.model_dump_json(
            exclude={
                "name": True,
                "title": True,
                "description": True,
                "city": True,
                "shared_data": True,
                "targets": True,
                "abort": True,
                "budget": True,
                "catalogue": {"file"},
                "backoffice": {"initial_state": {"file"}},
                "execution": {
                    "replications",
                    "max_replications",
                    "relative_half_width",
                    "confidence",
                    "memory",
                },
            }
        )
        digest = hashlib.sha256(decisive.encode())
        open_dossiers = self.backoffice.initial_state.file if self.backoffice else None
        for file in (self.catalogue.file, open_dossiers):
            if file is not None:
                digest.update(Path(file).read_bytes())
        return digest.hexdigest()[:16]
