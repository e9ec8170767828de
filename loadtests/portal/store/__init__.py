"""What the portal keeps: tables, database, seed."""

from loadtests.portal.store.database import (
    Database,
    DatabaseUnavailableError,
    bulk_insert,
    insert_new,
    open_database,
)
from loadtests.portal.store.models import Base

__all__ = [
    "Base",
    "Database",
    "DatabaseUnavailableError",
    "bulk_insert",
    "insert_new",
    "open_database",
]
