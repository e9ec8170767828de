"""Citizens for whom something waits: whoever signs in finds a dossier to pay, or to supplement.

A load test needs a dossier of its own for each citizen who pays or brings missing papers, in every
run anew. Two ranges of synthetic personal numbers are kept for them, as other numbers are kept for
those who file; a real installation prepares such accounts instead.
"""

import uuid

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from loadtests.portal.accounts import SignedIn
from loadtests.portal.dossiers import ONLINE, NewDossier, create_draft
from loadtests.portal.store.models import Dossier, Payment, Service
from loadtests.portal.transitions import PAYMENT_ASKED, REQUEST_FINAL_FEE, Rules, assign
from loadtests.portal.views import SYNC_DONE
from loadtests.portal.workflow import RECEPTION_PAYING, RECEPTION_SUPPLEMENT, SUPPLEMENT, State

_SERIAL = slice(6, 8)
_STATES = {"97": RECEPTION_PAYING, "98": RECEPTION_SUPPLEMENT}
"""What waits for the citizens whose serial, within their year of birth, begins so."""


def state_for(personal_number: str) -> State | None:
    """Return where a dossier of this citizen waits, or None for everybody else."""
    return _STATES.get(personal_number[_SERIAL])


def provide(
    session: Session, rules: Rules, user: SignedIn, group_id: int, now: float
) -> Dossier | None:
    """Let a dossier wait for a citizen of the two ranges, unless one does already.

    Parameters
    ----------
    session : Session
        In a writing transaction; the caller commits.
    rules : Rules
        The installation.
    user : SignedIn
        Who signs in.
    group_id : int
        Site.
    now : float
        Present time, s since 1970.

    Returns
    -------
    Dossier or None
        The new one; None also where no service has a fee, or papers.
    """
    state = state_for(user.id_no)
    if state is None or _waits(session, user, state):
        return None
    code = _service(session, int(user.id_no), with_fee=state is RECEPTION_PAYING)
    if code is None:
        return None
    new = NewDossier(code, "", "", ONLINE, str(uuid.uuid4()), group_id)
    dossier = create_draft(session, rules, user, new, now)
    dossier.draft_key = None
    dossier.step_code, dossier.status, dossier.sub_status = (
        state.step,
        state.status,
        state.sub_status,
    )
    dossier.sync_state = SYNC_DONE
    dossier.submit_at = now
    dossier.indexed_at = now
    if state is RECEPTION_PAYING:
        session.execute(
            update(Payment)
            .where(Payment.dossier_id == dossier.dossier_id)
            .values(request_payment=REQUEST_FINAL_FEE, status=PAYMENT_ASKED)
        )
    assign(session, dossier.dossier_id, dossier.agency_code, now)
    session.flush()
    return dossier


def waiting_dossier(session: Session, user: SignedIn) -> Dossier | None:
    """Return the dossier of a citizen that waits for papers, or None."""
    query = select(Dossier).where(
        Dossier.user_id == user.user_id,
        Dossier.step_code.in_((RECEPTION_SUPPLEMENT.step, SUPPLEMENT.step)),
    )
    return session.scalars(query.order_by(Dossier.dossier_id).limit(1)).first()


def _waits(session: Session, user: SignedIn, state: State) -> bool:
    query = select(Dossier.dossier_id).where(
        Dossier.user_id == user.user_id, Dossier.step_code == state.step
    )
    return session.scalars(query.limit(1)).first() is not None


def _service(session: Session, choice: int, *, with_fee: bool) -> str | None:
    """Return a service with papers, or one with a fee; None where there is none."""
    wanted = Service.fee_vnd > 0 if with_fee else Service.upload_slots > 0
    count = session.scalar(select(func.count()).select_from(Service).where(wanted)) or 0
    if count == 0:
        return None
    query = select(Service.code).where(wanted).order_by(Service.service_id)
    return session.scalars(query.offset(choice % count).limit(1)).one()
