"""The database: engine, bounded connections, short transactions; all that differs by product.

SQLite runs in WAL mode with ``synchronous=NORMAL``: every committed transaction survives a killed
process; a power failure of the machine may lose the last ones, never half of one. Writers begin
with ``BEGIN IMMEDIATE`` and take turns within a process, so no transaction fails half-way because
another one wrote first.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, literal, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool
from sqlalchemy.sql.dml import ReturningInsert

from loadtests.portal.store.models import Base

SQLITE_FILE = "portal.sqlite"
BUSY_TIMEOUT_MS = 30_000  # assumption: as the wait for a connection
_MEMORY_KIB = 65_536  # assumption: page cache of one connection


class DatabaseUnavailableError(Exception):
    """The database cannot be used; its text says why and what to do.

    Parameters
    ----------
    message : str
        The text.
    is_right_url : bool
        Whether the URL could be understood.
    """

    def __init__(self, message: str, *, is_right_url: bool = True) -> None:
        super().__init__(message)
        self.is_right_url = is_right_url


@dataclass(frozen=True, slots=True)
class PoolLevel:
    """Connections of one process at one moment."""

    busy: int
    queue: int
    capacity: int


class _CountingPool(QueuePool):
    """A bounded pool that knows how many wait for a connection."""

    waiting = 0

    def _do_get(self) -> ConnectionPoolEntry:
        self.waiting += 1
        try:
            return super()._do_get()
        finally:
            self.waiting -= 1


class Database:
    """Connections to one database; one object per process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)
        self._read_sessions = sessionmaker(engine, expire_on_commit=False)
        self._write_sessions = sessionmaker(self._writer, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite."""
        return self.engine.dialect.name == "sqlite"

    def session(self, *, writes: bool) -> Session:
        """Return a new session; it takes a connection at its first statement, no earlier."""
        return self._write_sessions() if writes else self._read_sessions()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session for reading; nothing it changes is kept."""
        with self._read_sessions() as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Give a session for one transaction: committed at the end, undone by an exception."""
        with self._write_sessions.begin() as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a bare connection for one writing transaction, for bulk work."""
        with self._writer.begin() as connection:
            yield connection

    def refresh_statistics(self) -> None:
        """Let the database look at its tables, so that it plans well from the first query."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE")

    def level(self) -> PoolLevel:
        """Return how many connections are in use and wanted."""
        pool = self.engine.pool
        assert isinstance(pool, _CountingPool)
        return PoolLevel(pool.checkedout(), pool.waiting, pool.size())

    def create_tables(self) -> None:
        """Create the tables that are missing."""
        Base.metadata.create_all(self.engine)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(
    url: str | None, folder: Path, *, pool: int = 5, wait_s: float = 30.0
) -> Database:
    """Open the portal's database and check that it answers.

    Parameters
    ----------
    url : str or None
        ``postgresql://user@host/name`` or None: SQLite in ``folder``, created when absent.
    folder : Path
        Existing folder.
    pool : int
        Connections at most.
    wait_s : float
        How long one waits for a connection.

    Raises
    ------
    DatabaseUnavailableError
        When the URL is wrong or the database does not answer.
    """
    engine = _engine(_checked_url(url, folder), pool, wait_s)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, sqlite3.Error) as error:
        engine.dispose()
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        shown = engine.url.render_as_string(hide_password=True)
        raise DatabaseUnavailableError(
            f"the database {shown} does not answer: {reason}; start it, or leave out --database"
        ) from error
    return Database(engine)


def insert_new(session: Session, model: type[Base], values: Mapping[str, Any]) -> bool:
    """Insert a row unless one with the same unique key exists; say whether it was inserted."""
    of_product = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    statement: ReturningInsert[Any] = (
        of_product(model).values(values).on_conflict_do_nothing().returning(literal(1))
    )
    return session.execute(statement).first() is not None


def bulk_insert(
    connection: Connection, model: type[Base], columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert many rows as fast as the database takes them; ``rows`` in the order of ``columns``."""
    driver = connection.connection.driver_connection
    assert driver is not None
    names = ", ".join(columns)
    with _cursor(connection) as cursor:
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * len(columns))
            cursor.executemany(
                f"INSERT INTO {model.__tablename__} ({names}) VALUES ({marks})", rows
            )
            return
        with cursor.copy(f"COPY {model.__tablename__} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)


@contextmanager
def _cursor(connection: Connection) -> Iterator[Any]:
    pooled: PoolProxiedConnection = connection.connection
    cursor = pooled.cursor()
    try:
        yield cursor
    finally:
        cursor.close()


def reset_sequences(connection: Connection, models: Sequence[type[Base]]) -> None:
    """Let running numbers go on above the rows that were inserted with numbers of their own."""
    if connection.dialect.name == "sqlite":
        return
    for model in models:
        key = next(iter(model.__table__.primary_key)).name
        table = model.__tablename__
        connection.execute(
            text(
                f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'), "
                f"COALESCE((SELECT MAX({key}) FROM {table}), 0) + 1, false)"
            )
        )


def _checked_url(url: str | None, folder: Path) -> URL:
    """Return the URL with the driver it is to be used with."""
    if url is None:
        return URL.create("sqlite", database=str(folder / SQLITE_FILE))
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseUnavailableError(
            f"{url!r} is not a database's URL; write postgresql://user@host:5432/name",
            is_right_url=False,
        ) from error
    if parsed.drivername not in ("postgresql", "postgresql+psycopg"):
        raise DatabaseUnavailableError(
            f"--database {parsed.drivername}://... is not supported; write "
            "postgresql://user@host:5432/name, or leave it out for SQLite",
            is_right_url=False,
        )
    return parsed.set(drivername="postgresql+psycopg")


def _engine(url: URL, pool: int, wait_s: float) -> Engine:
    logging.getLogger(__name__).setLevel(logging.WARNING)  # pools tell of their ends otherwise
    arguments: dict[str, Any] = {"poolclass": _CountingPool, "pool_size": pool, "max_overflow": 0}
    if url.get_backend_name() == "sqlite":
        connect = {
            "timeout": BUSY_TIMEOUT_MS / 1000,
            "check_same_thread": False,
            "factory": _SqliteConnection,
        }
        engine = create_engine(url, connect_args=connect, pool_timeout=wait_s, **arguments)
        _prepare_sqlite(engine)
        return engine
    connect = {"connect_timeout": 5, "application_name": "hoso portal"}
    return create_engine(
        url, connect_args=connect, pool_timeout=wait_s, pool_pre_ping=True, **arguments
    )


class _SqliteConnection(sqlite3.Connection):
    """A connection whose writers take turns within the process instead of polling the file."""

    turn: threading.Lock
    has_turn = False

    def begin_writing(self) -> None:
        """Wait for the turn, then lock the file for writing."""
        if not self.turn.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise sqlite3.OperationalError("database is locked")
        self.has_turn = True
        try:
            self.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._end_turn()
            raise

    def commit(self) -> None:
        """Commit, then let the next writer go on."""
        super().commit()
        self._end_turn()

    def rollback(self) -> None:
        """Undo, then let the next writer go on."""
        try:
            super().rollback()
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        if self.has_turn:
            self.has_turn = False
            self.turn.release()


def _prepare_sqlite(engine: Engine) -> None:
    """Set up each connection, and say how transactions begin."""
    turn = threading.Lock()

    def on_connect(connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        del record
        assert isinstance(connection, _SqliteConnection)
        connection.isolation_level = None  # transactions are begun below, not by the driver
        connection.turn = turn
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            f"busy_timeout={BUSY_TIMEOUT_MS}",
            f"cache_size=-{_MEMORY_KIB}",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    def on_begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writes"):
            driver = connection.connection.driver_connection
            assert isinstance(driver, _SqliteConnection)
            driver.begin_writing()
        else:
            connection.exec_driver_sql("BEGIN")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
