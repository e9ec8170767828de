"""Layouts: the requests of one round of a step, written out per kind of service.

How many requests a round has depends only on the step and on two attributes of the service, its
papers and its e-form; so each combination is written out once and looked up ever after.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.demand.journeys import JourneyTables, mean_calls
from sim.demand.procedures import Catalogue
from sim.demand.trace import TOGETHER, WHILE_SYNCING
from sim.scenario.demand import Step


@dataclass(frozen=True, slots=True)
class Layouts:
    """Requests of a round by step and service, as rows of one flat table.

    Attributes
    ----------
    variant : NDArray[int32], shape (n_services,)
        Kind of each service: services of one kind have the same papers and e-form.
    layout : NDArray[int32], shape (n_steps, n_variants)
        Layout of a step for a kind of service.
    first, length : NDArray[int64], shape (n_layouts,)
        Rows of a layout are ``first`` up to ``first + length``; a layout may be empty.
    endpoint : NDArray[int16], shape (n_rows,)
        Endpoint of each row.
    flags : NDArray[uint8], shape (n_rows,)
        Flags of each row.
    """

    variant: NDArray[np.int32]
    layout: NDArray[np.int32]
    first: NDArray[np.int64]
    length: NDArray[np.int64]
    endpoint: NDArray[np.int16]
    flags: NDArray[np.uint8]


def lay_out(tables: JourneyTables, services: Catalogue) -> Layouts:
    """Return the layouts of every step for every kind of service.

    Parameters
    ----------
    tables : JourneyTables
        The journeys.
    services : Catalogue
        The services sessions choose among.
    """
    attributes = np.column_stack([services.upload_slots, services.e_form]).astype(np.int64)
    kinds, variant = np.unique(attributes, axis=0, return_inverse=True)
    index = {name: i for i, name in enumerate(tables.endpoints)}
    layout = np.empty((len(tables.steps), len(kinds)), dtype=np.int32)
    endpoints: list[NDArray[np.int16]] = []
    flags: list[NDArray[np.uint8]] = []
    for step, spec in enumerate(tables.steps):
        depends = any(isinstance(calls, str) for calls in spec.calls.values())
        for kind, (papers, forms) in enumerate((kinds if depends else kinds[:1]).tolist()):
            layout[step, kind if depends else slice(None)] = len(endpoints)
            endpoints.append(_endpoints(spec, index, papers, forms))
            flags.append(_flags(spec, len(endpoints[-1])))
    length = np.array([len(rows) for rows in endpoints], dtype=np.int64)
    return Layouts(
        variant=variant.reshape(-1).astype(np.int32),
        layout=layout,
        first=np.cumsum(length) - length,
        length=length,
        endpoint=np.concatenate(endpoints),
        flags=np.concatenate(flags),
    )


def _endpoints(spec: Step, index: dict[str, int], papers: int, forms: int) -> NDArray[np.int16]:
    """Return the endpoints of one round in the order of sending."""
    counts = [int(mean_calls(calls, papers, forms)) for calls in spec.calls.values()]
    ids = np.array([index[name] for name in spec.calls], dtype=np.int16)
    return np.repeat(ids, counts)


def _flags(spec: Step, n: int) -> NDArray[np.uint8]:
    """Flag all but the first request of each wave, and everything only done while syncing."""
    flags = np.where(np.arange(n) % spec.together > 0, TOGETHER, 0)
    if spec.while_syncing:
        flags |= WHILE_SYNCING
    return flags.astype(np.uint8)
