"""Dossiers as they reach the offices: from the demand, from the portal's records, or lying there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORIGINS = ("portal", "online", "counter", "backlog")
"""Where a dossier comes from: filed on the simulated portal, online straight from the demand, at
the counter, or open when the window begins."""


@dataclass(frozen=True, slots=True)
class Filings:
    """Dossiers of one replication, in order of arrival; at one moment in the order of the rows.

    Attributes
    ----------
    arrival_s : NDArray[float64], shape (n,)
        When it enters its first state, s, >= 0, ascending; 0 for the backlog.
    submitted_s : NDArray[float64], shape (n,)
        When it was filed, s; negative for the backlog.
    key : NDArray[uint64], shape (n,)
        Key of all its random numbers.
    procedure : NDArray[int32], shape (n,)
        Index of the procedure in the catalogue.
    filing : NDArray[int8], shape (n,)
        0 online, 1 at the counter; index in ``sim.scenario.backoffice.FILINGS``.
    state : NDArray[int8], shape (n,)
        First state: ``SYNCHRONISING`` through the intake, ``RECEIVING``, or where the backlog is.
    reception : NDArray[int32], shape (n,)
        Office that receives it.
    office : NDArray[int32], shape (n,)
        Office that decides it.
    received_s, due_s : NDArray[float64], shape (n,)
        Of a backlog dossier beyond reception, when it was received and is due; else NaN.
    origin : NDArray[int8], shape (n,)
        Index in ``ORIGINS``.
    session, step, attempt : NDArray[int32], shape (n,)
        Of the request that filed it; for other origins its number among them, 0 and 0.
    """

    arrival_s: NDArray[np.float64]
    submitted_s: NDArray[np.float64]
    key: NDArray[np.uint64]
    procedure: NDArray[np.int32]
    filing: NDArray[np.int8]
    state: NDArray[np.int8]
    reception: NDArray[np.int32]
    office: NDArray[np.int32]
    received_s: NDArray[np.float64]
    due_s: NDArray[np.float64]
    origin: NDArray[np.int8]
    session: NDArray[np.int32]
    step: NDArray[np.int32]
    attempt: NDArray[np.int32]

    def __len__(self) -> int:
        """Return the number of dossiers."""
        return len(self.arrival_s)
