"""What the gateways received: enough to prove that nothing arrived, or counted, twice.

SQLite in memory, or in a file that survives the process. One connection; callers take turns.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.portal.gateways.wire import Fields

_TABLES = """
CREATE TABLE IF NOT EXISTS dossiers (
    dossier TEXT PRIMARY KEY, status TEXT NOT NULL, creates INTEGER NOT NULL,
    updates INTEGER NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages (
    kind TEXT NOT NULL, dossier TEXT NOT NULL, sequence TEXT NOT NULL, status TEXT NOT NULL,
    received INTEGER NOT NULL, PRIMARY KEY (kind, dossier, sequence)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS orders (
    reference TEXT PRIMARY KEY, amount TEXT NOT NULL, callback TEXT NOT NULL,
    paid_at TEXT NOT NULL, receipt TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS texts (
    reference TEXT PRIMARY KEY, recipient TEXT NOT NULL, received INTEGER NOT NULL
) WITHOUT ROWID;
"""

LEDGER_FILE = "gateways.sqlite"
"""Name of the file in the folder that a gateways' server or a portal is given."""

AUDIT_LIMIT = 1000
"""Rows of one page of the audit."""


class Ledger:
    """The memory of all gateways of one process.

    Parameters
    ----------
    file : Path, optional
        Where it is kept; by default in memory.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._db = sqlite3.connect(
            file or ":memory:", isolation_level=None, check_same_thread=False
        )
        # With a write-ahead log a killed process loses nothing; only a power cut may.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Close the file; what was in memory is gone."""
        self._db.close()

    def has_dossier(self, dossier: str) -> bool:
        """Whether a dossier was ever received."""
        found = self._db.execute("SELECT 1 FROM dossiers WHERE dossier = ?", (dossier,))
        return found.fetchone() is not None

    def receive_dossier(self, dossier: str, sequence: str, status: str, record: Fields) -> bool:
        """Store a dossier record; return False when this sequence number came before."""
        with self._transaction():
            if not self._receive("dossier", dossier, sequence, status):
                return False
            self._db.execute(
                "INSERT INTO dossiers VALUES (?, ?, 1, 0, ?) ON CONFLICT (dossier) DO UPDATE SET "
                "status = excluded.status, updates = updates + 1, record = excluded.record",
                (dossier, status, json.dumps(record, ensure_ascii=False)),
            )
        return True

    def receive_progress(self, dossier: str, sequence: str, status: str) -> bool:
        """Store a progress line; return False when this sequence number came before."""
        return self._receive("progress", dossier, sequence, status)

    def place_order(self, reference: str, amount: str, callback: str) -> bool:
        """Store an order once; return whether what is stored has this amount."""
        self._db.execute(
            "INSERT INTO orders VALUES (?, ?, ?, '', '') ON CONFLICT (reference) DO NOTHING",
            (reference, amount, callback),
        )
        stored = self.order(reference)
        return stored is not None and stored["amount"] == amount

    def order(self, reference: str) -> dict[str, str] | None:
        """Return an order's amount, callback, paid_at and receipt, or None."""
        names = ("amount", "callback", "paid_at", "receipt")
        row = self._db.execute(
            f"SELECT {', '.join(names)} FROM orders WHERE reference = ?",
            (reference,),
        ).fetchone()
        return None if row is None else dict(zip(names, row, strict=True))

    def pay_order(self, reference: str, paid_at: str, receipt: str) -> bool:
        """Mark an order as paid; return False when it is unknown or was paid before."""
        changed = self._db.execute(
            "UPDATE orders SET paid_at = ?, receipt = ? WHERE reference = ? AND paid_at = ''",
            (paid_at, receipt, reference),
        )
        return changed.rowcount == 1

    def receive_text(self, reference: str, recipient: str) -> bool:
        """Store a text message; return False when the same reference came before."""
        row = self._db.execute(
            "INSERT INTO texts VALUES (?, ?, 1) ON CONFLICT (reference) DO UPDATE SET "
            "received = received + 1 RETURNING received",
            (reference, recipient),
        ).fetchone()
        return bool(row[0] == 1)

    def audit(self, after: str = "", limit: int = AUDIT_LIMIT) -> Fields:
        """Return what the national portal counted, dossier by dossier, and totals of all.

        Parameters
        ----------
        after : str
            Only dossiers whose number comes after this one.
        limit : int
            Dossiers of one page.

        Returns
        -------
        dict
            ``total`` dossiers; ``repeats``: messages that came again and were not counted;
            ``data``: rows {MaHoSo, TrangThaiHoSo, creates, updates, progress {status: lines}};
            ``orders``, ``paid``, ``texts``, ``text_repeats``.
        """
        rows = self._db.execute(
            "SELECT dossier, status, creates, updates FROM dossiers WHERE dossier > ? "
            "ORDER BY dossier LIMIT ?",
            (after, limit),
        ).fetchall()
        return self._totals() | {
            "data": [
                {
                    "MaHoSo": dossier,
                    "TrangThaiHoSo": status,
                    "creates": creates,
                    "updates": updates,
                    "progress": self._progress(dossier),
                }
                for dossier, status, creates, updates in rows
            ]
        }

    def _totals(self) -> Fields:
        total, repeats, orders, paid, texts, text_repeats = self._db.execute(
            "SELECT (SELECT count(*) FROM dossiers), "
            "(SELECT coalesce(sum(received - 1), 0) FROM messages), "
            "(SELECT count(*) FROM orders), (SELECT count(*) FROM orders WHERE paid_at <> ''), "
            "(SELECT count(*) FROM texts), (SELECT coalesce(sum(received - 1), 0) FROM texts)"
        ).fetchone()
        return {
            "total": total,
            "repeats": repeats,
            "orders": orders,
            "paid": paid,
            "texts": texts,
            "text_repeats": text_repeats,
        }

    def _progress(self, dossier: str) -> Fields:
        rows = self._db.execute(
            "SELECT status, count(*) FROM messages WHERE kind = 'progress' AND dossier = ? "
            "GROUP BY status",
            (dossier,),
        )
        return dict(rows.fetchall())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _receive(self, kind: str, dossier: str, sequence: str, status: str) -> bool:
        row = self._db.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, 1) ON CONFLICT (kind, dossier, sequence) "
            "DO UPDATE SET received = received + 1 RETURNING received",
            (kind, dossier, sequence, status),
        ).fetchone()
        return bool(row[0] == 1)
