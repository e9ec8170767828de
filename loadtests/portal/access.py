"""Who may see or change a dossier."""

import hmac
from collections.abc import Callable

from loadtests.portal.conventions import (
    is_tracking_key,
    not_allowed,
    not_found,
    not_signed_in,
    row_id,
)
from loadtests.portal.store.models import Dossier
from loadtests.portal.transitions import Asked
from loadtests.portal.visits import Visit
from loadtests.portal.workflow import Actor

GROUP_HEADER = "groupId"
TRACKING_HEADER = "authenKey"
SECRET_HEADER = "secretCode"


def group_id_of(visit: Visit) -> int:
    """Return the site a request is for; the installation's own where none is named."""
    named = row_id(visit.request.headers.get(GROUP_HEADER, "").strip())
    return named or visit.settings.group_id


def find_dossier(visit: Visit, dossier_id: int) -> Dossier:
    """Return a dossier.

    Raises
    ------
    WireError
        403, when there is none.
    """
    dossier = visit.db.get(Dossier, dossier_id)
    if dossier is None:
        raise not_found("Dossier", dossier_id)
    return dossier


def readable_dossier(visit: Visit, dossier_id: int, secret: str = "") -> Dossier:
    """Return a dossier to whoever may read it.

    Its owner, officers of its agency, and whoever shows its secret; a dossier without a secret
    also to whoever shows the tracking key of this minute.

    Raises
    ------
    WireError
        203, when nobody is signed in and no right secret or key is shown; 401, when somebody else
        is; 403, when there is no such dossier.
    """
    if visit.user is None and not is_tracker(visit) and not _shown_secret(visit, secret):
        raise not_signed_in()
    dossier = find_dossier(visit, dossier_id)
    if visit.user is not None and _concerns(visit, dossier):
        return dossier
    if dossier.secret:
        shown = _shown_secret(visit, secret)
        if hmac.compare_digest(shown.encode("utf-8", "replace"), dossier.secret.encode()):
            return dossier
        raise not_signed_in("Wrong secret of the dossier.")
    if is_tracker(visit):
        return dossier
    raise not_allowed() if visit.user is not None else not_signed_in()


def writable_dossier(visit: Visit, dossier_id: int) -> Dossier:
    """Return a dossier to its owner or an officer of its agency.

    Raises
    ------
    WireError
        203, 401, 403 as of ``readable_dossier``.
    """
    visit.signed_in()
    dossier = find_dossier(visit, dossier_id)
    if not _concerns(visit, dossier):
        raise not_allowed()
    return dossier


def confidential_dossier(visit: Visit, dossier_id: int) -> Dossier:
    """Return a dossier for its papers and payments: to its owner or an officer of its agency.

    A tracking key is no secret: whoever follows a dossier by it does not get to see these.

    Raises
    ------
    WireError
        203, 401, 403 as of ``readable_dossier``.
    """
    return writable_dossier(visit, dossier_id)


def check_before_keeping(
    visit: Visit, find: Callable[[Visit, int], Dossier], dossier_id: int
) -> None:
    """Let a dossier's rules refuse a file while nothing of it is kept yet.

    Keeping waits for the disk, which no writing transaction may do; the rules are asked again in
    the transaction that writes the row.

    Parameters
    ----------
    visit : Visit
        The request, at its begin.
    find : callable
        Returns the dossier or raises; only reads.
    dossier_id : int
        For which dossier the file is.
    """
    visit.begin_reading()
    find(visit, dossier_id)
    visit.begin_writing()


def desk_dossier(visit: Visit, dossier_id: int) -> Dossier:
    """Return a dossier to an officer of its agency."""
    visit.officer()
    return writable_dossier(visit, dossier_id)


def is_at_desk(visit: Visit, dossier: Dossier) -> bool:
    """Tell whether who asks acts as an officer of the dossier's agency."""
    user = visit.signed_in()
    return user.is_officer and user.agency_code == dossier.agency_code


def asked_by(
    visit: Visit, dossier: Dossier, codes: str, note: str = "", payload: str = ""
) -> Asked:
    """Return what the user of a request asks to be done, in the role they have."""
    user = visit.signed_in()
    actor: Actor = "officer" if is_at_desk(visit, dossier) else "citizen"
    return Asked(actor, user.user_id, user.name, codes, note, payload)


def is_tracker(visit: Visit) -> bool:
    """Tell whether a request shows the tracking key of this minute."""
    key = visit.request.headers.get(TRACKING_HEADER, "")
    return bool(key) and is_tracking_key(key, visit.settings.tracking_prefix, visit.now)


def _shown_secret(visit: Visit, secret: str) -> str:
    return visit.request.headers.get(SECRET_HEADER, "") or secret


def _concerns(visit: Visit, dossier: Dossier) -> bool:
    user = visit.signed_in()
    return dossier.user_id == user.user_id or is_at_desk(visit, dossier)
