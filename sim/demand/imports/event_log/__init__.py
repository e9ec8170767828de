"""Process logs: read, learned from, and judged on what they had not seen."""

from sim.demand.imports.event_log.importing import EventLogImport, import_event_log
from sim.demand.imports.event_log.log import EventLog

__all__ = ["EventLog", "EventLogImport", "import_event_log"]
