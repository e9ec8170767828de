"""Dialects: the languages in which portals are spoken to."""

from loadtests.dialects.base import (
    Acknowledgement,
    Answer,
    Call,
    Credentials,
    Dialect,
    DialectError,
    Reading,
    Service,
    Visitor,
    services_of,
)
from loadtests.dialects.loading import check_endpoints, make_dialect

__all__ = [
    "Acknowledgement",
    "Answer",
    "Call",
    "Credentials",
    "Dialect",
    "DialectError",
    "Reading",
    "Service",
    "Visitor",
    "check_endpoints",
    "make_dialect",
    "services_of",
]
