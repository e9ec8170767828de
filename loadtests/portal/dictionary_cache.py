"""The dictionaries of one process: read from the database once an hour, answered from memory."""

import threading
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import select

from loadtests.portal.store.database import Database
from loadtests.portal.store.models import DictGroup, DictItem

KEPT_S = 3600.0  # source: OpenCPS server cache, default life


@dataclass(frozen=True, slots=True)
class _Dictionaries:
    """All dictionaries as of one moment."""

    items: dict[str, tuple[DictItem, ...]]
    groups: dict[str, tuple[DictGroup, ...]]
    loaded_at: float


class DictionaryCache:
    """The dictionaries of one process; read from the database once an hour."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: _Dictionaries | None = None
        self._lock = threading.Lock()

    def items(self, collection: str, now: float) -> tuple[DictItem, ...]:
        """Return the entries of a dictionary in order; none of an unknown one."""
        return self._fresh(now).items.get(collection, ())

    def groups(self, collection: str, now: float) -> tuple[DictGroup, ...]:
        """Return the groups of a dictionary in order."""
        return self._fresh(now).groups.get(collection, ())

    def _fresh(self, now: float) -> _Dictionaries:
        kept = self._kept
        if kept is None or now - kept.loaded_at > KEPT_S:
            with self._lock:
                kept = self._kept = _loaded(self._database, now)
        return kept


def _loaded(database: Database, now: float) -> _Dictionaries:
    items: defaultdict[str, list[DictItem]] = defaultdict(list)
    groups: defaultdict[str, list[DictGroup]] = defaultdict(list)
    with database.reading() as db:
        for item in db.scalars(select(DictItem).order_by(DictItem.sibling)):
            items[item.collection].append(item)
        for group in db.scalars(select(DictGroup).order_by(DictGroup.code)):
            groups[group.collection].append(group)
        db.expunge_all()
    return _Dictionaries(
        {name: tuple(mine) for name, mine in items.items()},
        {name: tuple(mine) for name, mine in groups.items()},
        now,
    )
