"""Process logs: read, learned from, and judged on what they had not seen."""

from sim.demand.imports.event_log.backoffice import Meaning, backoffice_yaml
from sim.demand.imports.event_log.findings import findings
from sim.demand.imports.event_log.holdout import HoldOut, hold_out
from sim.demand.imports.event_log.importing import EventLogImport, import_event_log
from sim.demand.imports.event_log.learning import (
    Learned,
    fit_all,
    learn,
    model_document,
    sampled,
)
from sim.demand.imports.event_log.log import EPOCH, EventLog
from sim.demand.imports.event_log.phases import Phase, default_phases, parse_phases
from sim.demand.imports.event_log.tables import (
    activity_table,
    hand_over_table,
    hold_out_markdown,
    hold_out_table,
    learned_lines,
)

__all__ = [
    "EPOCH",
    "EventLog",
    "EventLogImport",
    "HoldOut",
    "Learned",
    "Meaning",
    "Phase",
    "activity_table",
    "backoffice_yaml",
    "default_phases",
    "findings",
    "fit_all",
    "hand_over_table",
    "hold_out",
    "hold_out_markdown",
    "hold_out_table",
    "import_event_log",
    "learn",
    "learned_lines",
    "model_document",
    "parse_phases",
    "sampled",
]
