"""The dialect of the National Public Service Portal: POST and JSON, answers 201."""

from loadtests.dialects.national.dialect import NationalDialect, national_dialect

__all__ = ["NationalDialect", "national_dialect"]
