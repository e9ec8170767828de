"""Where the time of a session goes."""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

THINKING, QUEUEING, SERVICE, IN_VAIN = "thinking", "queueing", "service and network", "in vain"
PARTS = (THINKING, QUEUEING, SERVICE, IN_VAIN)
"""Nothing asked (think time, back-off); waiting in queues; being served; attempts that failed."""


def time_spent(
    session: NDArray[np.int32],
    due_s: Matrix,
    wait_s: Matrix,
    response_s: Matrix,
    is_ok: NDArray[np.bool_],
    length_s: Matrix,
) -> Matrix:
    """Split the length of every session into ``PARTS``; they sum to it.

    Requests sent together overlap: a moment counts to the one due first, and within a request
    queueing and service have the shares of the whole.

    Parameters
    ----------
    session, due_s, wait_s, response_s, is_ok : NDArray, shape (n_requests,)
        Session, due time, wait, response and success of every attempt; times in s.
    length_s : NDArray, shape (n_sessions,)
        Length of each session, s.

    Returns
    -------
    NDArray, shape (n_sessions, 4)
        s, >= 0.
    """
    order = np.lexsort((due_s, session))
    session, due_s, response_s = session[order], due_s[order], response_s[order]
    open_s = _uncovered(session, due_s, response_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        waiting = np.where(response_s > 0, np.minimum(wait_s[order] / response_s, 1.0), 0.0)
    is_ok = is_ok[order]
    n = len(length_s)
    spent = np.zeros((n, len(PARTS)))
    spent[:, 1] = np.bincount(session, np.where(is_ok, open_s * waiting, 0.0), minlength=n)
    spent[:, 2] = np.bincount(session, np.where(is_ok, open_s * (1 - waiting), 0.0), minlength=n)
    spent[:, 3] = np.bincount(session, np.where(is_ok, 0.0, open_s), minlength=n)
    spent[:, 0] = np.maximum(length_s - spent[:, 1:].sum(axis=1), 0.0)
    return spent


def _uncovered(session: NDArray[np.int32], due_s: Matrix, response_s: Matrix) -> Matrix:
    """Return how much of each request no earlier one of its session covers, s."""
    if not len(due_s):
        return np.zeros(0)
    end_s = due_s + response_s
    # Sessions are laid one after another on one axis, so one running maximum serves them all.
    apart = session.astype(np.float64) * (float(end_s.max()) + 1.0)
    covered_until = np.maximum.accumulate(end_s + apart)
    before = np.concatenate([[-np.inf], covered_until[:-1]])
    uncovered: Matrix = np.maximum(end_s + apart - np.maximum(before, due_s + apart), 0.0)
    return uncovered
