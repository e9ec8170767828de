"""The dialect of OpenCPS portals: form-encoded REST below ``/o/rest/v2``."""

from loadtests.dialects.opencps.dialect import OpencpsDialect, opencps_dialect

__all__ = ["OpencpsDialect", "opencps_dialect"]
