"""The manifest: what a run answers, and where and how it was made."""

import datetime as dt
import importlib.metadata
import os
import platform
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

VERSIONED = ("numpy", "pyarrow")
"""Packages whose version may change the records, whatever made them."""

ENGINES = {"simpy": ("simpy",), "compiled": ("numba",), "locust": ("locust",)}
"""What makes records → packages whose version may change those it makes."""


class Host(BaseModel):
    """The machine, without its name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: int
    """Logical processors."""
    platform: str
    """Operating system and architecture."""


class Manifest(BaseModel):
    """Contents of ``manifest.json``; ``results/README.md`` documents every field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    records_version: int
    """Version of the record tables."""
    hoso_version: str
    """Version of this package."""
    source: Literal["simulated", "measured"]
    """Where the records come from."""
    engine: str = "simpy"
    """What made them: ``simpy``, ``compiled`` or ``locust``; runs that do not say were SimPy's."""
    scenario: dict[str, JsonValue]
    """The resolved scenario."""
    scenario_digest: str
    """``Scenario.digest()``."""
    overrides: tuple[str, ...]
    """``--set`` texts, already part of the scenario."""
    seed: int
    """Seed of everything random."""
    replications: tuple[int, ...]
    """Indices of the replications, sorted."""
    versions: dict[str, str]
    """Python and the packages that decide the records."""
    host: Host
    """The machine."""
    started: dt.datetime
    """Start of the run, UTC."""
    finished: dt.datetime
    """End of the run, UTC."""
    duration_s: float
    """From start to end, s; the pause before a resumption included."""
    status: Literal["complete", "interrupted"]
    """Whether everything planned was done."""
    notes: dict[int, dict[str, JsonValue]] = {}
    """What is known of a replication besides its tables, by replication: ``coupling``, how far the
    officers' sessions on the portal are from their tasks."""
    trust: JsonValue = None
    """Verdict on the measurement; null for simulated."""
    load: JsonValue = None
    """How the load of a measurement went: its reference, host, dialect, workers, what stopped it,
    the commonest problems; null for simulated."""


def hoso_version() -> str:
    """Return the version of this package."""
    return importlib.metadata.version("hoso")


def software_versions(engine: str = "simpy") -> dict[str, str]:
    """Return the versions of Python and of the packages that decide the records of an engine."""
    packages = (*VERSIONED, *ENGINES[engine])
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version()} | versions


def this_host() -> Host:
    """Return what is worth knowing of the machine."""
    return Host(cpus=os.cpu_count() or 1, platform=platform.platform(terse=True))
