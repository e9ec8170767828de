"""The catalogue of a scenario: read from a file, or generated from published statistics."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.demand.catalogue_store import load_catalogue, save_catalogue
from sim.demand.procedures import (
    WORKING_DAY_H,
    Catalogue,
    CatalogueError,
    archetypes_of,
    largest_remainder,
    popularity,
)
from sim.scenario.demand import Catalogue as CatalogueSpec
from sim.scenario.scenario import Scenario
from sim.streams import stream

__all__ = [
    "Catalogue",
    "CatalogueError",
    "catalogue_of",
    "generate_catalogue",
    "load_catalogue",
    "save_catalogue",
]

CODE_SUFFIX = ".000.00.00.H24"
"""Version and issuer of a code. # source: codes of published procedures; H24 is Hải Phòng."""

HALF_DAY_H = WORKING_DAY_H / 2
"""Legal limits are stated in whole or half working days."""

FEE_STEP_VND = 1000
"""Fees are stated in thousands of VND."""

_DOMAIN_TITLES = {
    "certification": "chứng thực",
    "civil_status": "hộ tịch",
    "construction": "xây dựng",
    "culture": "văn hóa",
    "education": "giáo dục",
    "enterprise": "doanh nghiệp",
    "environment": "môi trường",
    "health": "y tế",
    "industry_trade": "công thương",
    "investment": "đầu tư",
    "justice": "tư pháp",
    "labour": "lao động",
    "land": "đất đai",
    "residence": "cư trú",
    "tax": "thuế",
    "transport": "giao thông vận tải",
}


def catalogue_of(scenario: Scenario, base_folder: Path | None = None) -> Catalogue:
    """Return the scenario's catalogue.

    Parameters
    ----------
    scenario : Scenario
        The question; ``scenario.catalogue.file`` names a file, or its statistics generate one.
    base_folder : Path, optional
        Where a relative file name starts; by default the current folder.

    Raises
    ------
    CatalogueError
        When the file is missing or faulty, or the statistics contradict each other.
    """
    if scenario.catalogue.file is None:
        return generate_catalogue(scenario.catalogue, scenario.seed)
    return load_catalogue((base_folder or Path()) / scenario.catalogue.file)


def generate_catalogue(spec: CatalogueSpec, seed: int) -> Catalogue:
    """Generate a catalogue with the given statistics; the same seed gives the same one.

    Counts (integrated, full-process, domains, commune level, with a fee, with an e-form) are
    exact; limits, fees and papers are drawn. Each column has a stream of its own, so changing one
    statistic leaves the other columns as they are.

    Parameters
    ----------
    spec : sim.scenario.demand.Catalogue
        Published statistics.
    seed : int
        The scenario's seed, >= 0.

    Raises
    ------
    CatalogueError
        When the mean number of papers exceeds their maximum, or no domain has any popularity.
    """
    n = spec.procedures
    draw = _Draw(seed, n)
    domain_of = _domains(spec, draw)
    domains = list(spec.domains)
    integrated = draw.exactly("integrated", np.ones(n, dtype=bool), spec.integrated)
    full = draw.exactly("full", integrated, round(spec.full_process_share * spec.integrated))
    commune = _share_by_domain(
        draw, "level", domain_of, [spec.domains[name].commune_share for name in domains]
    )
    limit_h = _limits(spec, draw, domain_of)
    domain = tuple(domains[i] for i in domain_of)
    return Catalogue(
        code=tuple(f"1.{i:06d}{CODE_SUFFIX}" for i in range(1, n + 1)),
        name=_names(domains, domain_of),
        domain=domain,
        agency=tuple(
            "Ủy ban nhân dân cấp xã" if at_commune else f"Cơ quan cấp tỉnh về {_title(name)}"
            for at_commune, name in zip(commune.tolist(), domain, strict=True)
        ),
        level=tuple(np.where(commune, "commune", "province").tolist()),
        online_level=tuple(
            np.where(full, "full", np.where(integrated, "partial", "none")).tolist()
        ),
        integrated=integrated,
        limit_h=limit_h,
        fee_vnd=_fees(spec, draw, domain_of),
        upload_slots=_upload_slots(spec, draw),
        e_form=draw.exactly("e_form", np.ones(n, dtype=bool), round(spec.e_form_share * n)),
        weight=popularity(
            draw.uniforms("popularity"),
            integrated,
            np.array([spec.domains[name].weight for name in domains])[domain_of],
            spec.active_share,
            spec.zipf_exponent,
        ),
        archetype=archetypes_of(("",) * n, domain, limit_h),
    )


class _Draw:
    """Random numbers of one catalogue, one named stream per column."""

    def __init__(self, seed: int, n: int) -> None:
        self._seed = seed
        self._n = n

    def rng(self, column: str) -> np.random.Generator:
        return stream(self._seed, 0, f"demand.catalogue.{column}")

    def uniforms(self, column: str) -> NDArray[np.float64]:
        return self.rng(column).random(self._n)

    def exactly(self, column: str, among: NDArray[np.bool_], count: int) -> NDArray[np.bool_]:
        """Choose ``count`` of the rows ``among``; a larger count only adds rows."""
        rows = np.flatnonzero(among)
        chosen = rows[np.argsort(self.uniforms(column)[rows], kind="stable")[:count]]
        is_chosen = np.zeros(self._n, dtype=bool)
        is_chosen[chosen] = True
        return is_chosen


def _domains(spec: CatalogueSpec, draw: _Draw) -> NDArray[np.int64]:
    """Return the index of each row's domain, shape (n,)."""
    shares = np.array([domain.share for domain in spec.domains.values()])
    counts = largest_remainder(shares * spec.procedures, spec.procedures)
    in_order = np.repeat(np.arange(len(shares)), counts)
    return draw.rng("domain").permutation(in_order)


def _share_by_domain(
    draw: _Draw, column: str, domain_of: NDArray[np.int64], shares: list[float]
) -> NDArray[np.bool_]:
    """Choose the given share of every domain's rows."""
    quotas = np.bincount(domain_of, minlength=len(shares)) * np.array(shares)
    counts = largest_remainder(quotas, round(float(quotas.sum())))
    order = np.lexsort((draw.uniforms(column), domain_of))
    first = np.searchsorted(domain_of[order], np.arange(len(shares)))
    rank_in_domain = np.arange(len(order)) - first[domain_of[order]]
    is_chosen = np.zeros(len(order), dtype=bool)
    is_chosen[order] = rank_in_domain < counts[domain_of[order]]
    return is_chosen


def _limits(spec: CatalogueSpec, draw: _Draw, domain_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Draw legal limits, working hours, in half working days."""
    medians = np.array([domain.limit_median_days for domain in spec.domains.values()])
    spread = draw.rng("limit").standard_normal(spec.procedures) * spec.limit_sigma
    hours = medians[domain_of] * WORKING_DAY_H * np.exp(spread)
    return np.maximum(np.rint(hours / HALF_DAY_H), 1.0) * HALF_DAY_H


def _fees(spec: CatalogueSpec, draw: _Draw, domain_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw fees, VND, 0 where none is charged."""
    shares = [
        spec.fee_share if domain.fee_share is None else domain.fee_share
        for domain in spec.domains.values()
    ]
    has_fee = _share_by_domain(draw, "has_fee", domain_of, shares)
    spread = draw.rng("fee").standard_normal(spec.procedures) * spec.fee_sigma
    steps = np.rint(spec.fee_median_vnd * np.exp(spread) / FEE_STEP_VND)
    return np.where(has_fee, np.maximum(steps, 1) * FEE_STEP_VND, 0).astype(np.int64)


def _upload_slots(spec: CatalogueSpec, draw: _Draw) -> NDArray[np.int64]:
    """Draw the number of papers: the flattest law between its ends that has the given mean."""
    most, mean = spec.upload_slots_max, spec.upload_slots_mean
    if mean > most:
        raise CatalogueError(
            f"catalogue.upload_slots_mean: {mean:g} must be at most upload_slots_max, {most}"
        )
    least = 1 if mean >= 1 else 0
    law = flattest_law(most - least, mean - least)
    slots = np.searchsorted(np.cumsum(law), draw.uniforms("upload_slots"), side="right")
    return np.minimum(slots, most - least) + least


def flattest_law(most: int, mean: float) -> NDArray[np.float64]:
    """Return the law on 0..most of greatest entropy with the given mean: a truncated geometric.

    Parameters
    ----------
    most : int
        Largest value, >= 0.
    mean : float
        Mean, 0 to ``most``.

    Returns
    -------
    NDArray, shape (most + 1,)
        Probabilities.

    References
    ----------
    Jaynes (1957), Information theory and statistical mechanics: p(k) ~ exp(a k).
    """
    values = np.arange(most + 1.0)
    low, high = -700.0, 700.0  # exp() of a double is finite up to 709
    for _ in range(200):
        middle = (low + high) / 2
        law = np.exp(middle * values - max(0.0, middle * most))
        law /= law.sum()
        low, high = (middle, high) if law @ values < mean else (low, middle)
    return law


def _title(domain: str) -> str:
    return _DOMAIN_TITLES.get(domain, domain.replace("_", " "))


def _names(domains: list[str], domain_of: NDArray[np.int64]) -> tuple[str, ...]:
    """Name every procedure by its domain and a running number within it."""
    numbers = dict.fromkeys(range(len(domains)), 0)
    names = []
    for index in domain_of.tolist():
        numbers[index] += 1
        names.append(f"Thủ tục {_title(domains[index])} số {numbers[index]}")
    return tuple(names)
