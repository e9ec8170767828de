"""Procedures as columns: the catalogue's data type, and the rules every source of it shares."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = ("province", "commune", "ministry")
"""Who decides; a procedure only a ministry decides is never integrated."""

ONLINE_LEVELS = ("full", "partial", "none")
"""How far a procedure runs online."""

WORKING_DAY_H = 8.0
"""Working hours in a working day."""

MAX_UPLOAD_SLOTS = 50
"""No procedure asks for more papers; the scenario's own bound is not above it."""


class CatalogueError(Exception):
    """A catalogue that cannot be used; its text names every fault."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Administrative procedures, one row each, in a stable order.

    Attributes
    ----------
    code : tuple of str, length n
        Unique codes.
    name, domain, agency : tuple of str, length n
        Title, field of administration, deciding agency.
    level : tuple of str, length n
        One of ``LEVELS``.
    online_level : tuple of str, length n
        One of ``ONLINE_LEVELS``; ``"none"`` exactly where not integrated.
    integrated : NDArray[bool], shape (n,)
        Whether the portal offers the procedure.
    limit_h : NDArray[float64], shape (n,)
        Legal limit, working hours, > 0; NaN where none is stated.
    fee_vnd : NDArray[int64], shape (n,)
        Fee, VND, >= 0; 0 where none is charged.
    upload_slots : NDArray[int64], shape (n,)
        Papers to upload, 0 to ``MAX_UPLOAD_SLOTS``.
    e_form : NDArray[bool], shape (n,)
        Whether an electronic form is filled in.
    weight : NDArray[float64], shape (n,)
        Popularity, >= 0, sums to 1; 0 where not integrated.
    archetype : tuple of str, length n
        Kind of work: ``certificate``, ``registration``, ``licence``, ...
    """

    code: tuple[str, ...]
    name: tuple[str, ...]
    domain: tuple[str, ...]
    agency: tuple[str, ...]
    level: tuple[str, ...]
    online_level: tuple[str, ...]
    integrated: NDArray[np.bool_]
    limit_h: NDArray[np.float64]
    fee_vnd: NDArray[np.int64]
    upload_slots: NDArray[np.int64]
    e_form: NDArray[np.bool_]
    weight: NDArray[np.float64]
    archetype: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of procedures."""
        return len(self.code)

    @property
    def services(self) -> "Catalogue":
        """The integrated procedures, in this catalogue's order; their weights sum to 1."""
        return self.take(np.flatnonzero(self.integrated))

    def take(self, rows: NDArray[np.intp]) -> "Catalogue":
        """Return the given rows, in the given order."""
        return Catalogue(**{name: _taken(getattr(self, name), rows) for name in COLUMNS})


COLUMNS = tuple(field.name for field in fields(Catalogue))
"""Names of the columns, in the order files write them."""


def _taken(column: Any, rows: NDArray[np.intp]) -> Any:
    return tuple(column[row] for row in rows) if isinstance(column, tuple) else column[rows]


def largest_remainder(quotas: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Return whole numbers near the quotas that sum to the total.

    Parameters
    ----------
    quotas : NDArray, shape (n,)
        Wanted amounts, >= 0; their sum is within n of the total.
    total : int
        Sum of the result, >= 0.

    References
    ----------
    The Hare-Niemeyer method: round down, then give one more to the largest remainders.
    """
    counts = np.floor(quotas).astype(np.int64)
    missing = total - int(counts.sum())
    order = np.argsort(-(quotas - counts), kind="stable")
    counts[order[:missing]] += 1
    return counts


def popularity(
    keys: NDArray[np.float64],
    eligible: NDArray[np.bool_],
    attraction: NDArray[np.float64],
    active_share: float,
    zipf_exponent: float,
) -> NDArray[np.float64]:
    """Return how the online load spreads over procedures: Zipf over the rank, times attraction.

    The eligible procedures of the smallest keys are the active ones, ranked by key, so a larger
    share only adds services at the tail.

    Parameters
    ----------
    keys : NDArray, shape (n,)
        A random number per procedure.
    eligible : NDArray[bool], shape (n,)
        Which procedures may carry load, at least one.
    attraction : NDArray, shape (n,)
        Relative popularity apart from the rank, >= 0.
    active_share : float
        Share of the eligible procedures that carry all load; at least one always does.
    zipf_exponent : float
        Exponent s of the rank: weight ~ rank**-s, >= 0.

    Returns
    -------
    NDArray, shape (n,)
        Weights that sum to 1.

    Raises
    ------
    CatalogueError
        When no eligible procedure has an attraction above 0.
    """
    may_carry = np.flatnonzero(eligible & (attraction > 0))
    if not len(may_carry):
        raise CatalogueError("no integrated procedure has a popularity above 0")
    wanted = max(1, round(active_share * int(eligible.sum())))
    active = may_carry[np.argsort(keys[may_carry], kind="stable")][:wanted]
    weight = np.zeros(len(keys), dtype=np.float64)
    weight[active] = attraction[active] * np.arange(1.0, len(active) + 1) ** -zipf_exponent
    shares: NDArray[np.float64] = weight / weight.sum()
    return shares


_ARCHETYPE_WORDS = (
    ("certificate", ("chứng thực", "bản sao", "xác nhận", "công chứng", "certif", "notar")),
    ("benefit", ("trợ cấp", "hỗ trợ", "ưu đãi", "bảo trợ", "social", "benefit", "allowance")),
    ("settlement", ("khiếu nại", "tố cáo", "hòa giải", "bồi thường", "complaint")),
    ("declaration", ("khai", "thông báo", "báo cáo", "tax", "customs", "declar")),
    ("registration", ("đăng ký", "thành lập", "regist", "civil_status", "residence", "enterprise")),
    ("approval", ("phê duyệt", "thẩm định", "chấp thuận", "công nhận", "approv", "planning")),
    ("licence", ("cấp", "gia hạn", "giấy phép", "licen", "permit", "transport", "construction")),
)
"""Words of a name or a domain and what they say, the most telling first.
# assumption: a procedure's first verb says what kind of work it is"""

_ARCHETYPE_LIMITS_H = (("certificate", 8.0), ("registration", 40.0), ("licence", 120.0))
"""Where no word tells: the longest limit of a kind, working hours; longer is an approval.
# assumption: same day, one week, three weeks of work"""


def archetype_of(name: str, domain: str, limit_h: float) -> str:
    """Return the kind of work a procedure is, told by its words, else by its limit.

    Parameters
    ----------
    name, domain : str
        Title and field of administration, in Vietnamese or English.
    limit_h : float
        Legal limit, working hours; NaN where none is stated.
    """
    for text in (name.casefold(), domain.casefold()):
        for archetype, words in _ARCHETYPE_WORDS:
            if any(word in text for word in words):
                return archetype
    return _archetype_by_limit(limit_h)


def archetypes_of(
    names: Sequence[str], domains: Sequence[str], limit_h: NDArray[np.float64]
) -> tuple[str, ...]:
    """Return :func:`archetype_of` row by row."""
    rows = zip(names, domains, limit_h.tolist(), strict=True)
    return tuple(archetype_of(name, domain, limit) for name, domain, limit in rows)


def _archetype_by_limit(limit_h: float) -> str:
    if np.isnan(limit_h):
        return "other"
    return next((kind for kind, most_h in _ARCHETYPE_LIMITS_H if limit_h <= most_h), "approval")
