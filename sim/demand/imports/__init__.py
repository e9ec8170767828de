"""Importers of real data: lists of procedures, public counts, web logs, process logs."""

from sim.demand.imports.access_log import AccessLogImport, import_access_log
from sim.demand.imports.catalogue_file import ImportedCatalogue, import_catalogue
from sim.demand.imports.counts import CountsImport, import_counts
from sim.demand.imports.event_log import EventLogImport, import_event_log
from sim.demand.imports.tables import ImportFileError, ImportReport, render_import_report

__all__ = [
    "AccessLogImport",
    "CountsImport",
    "EventLogImport",
    "ImportFileError",
    "ImportReport",
    "ImportedCatalogue",
    "import_access_log",
    "import_catalogue",
    "import_counts",
    "import_event_log",
    "render_import_report",
]
