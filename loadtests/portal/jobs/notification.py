"""Telling the applicant by text message what became of the dossier."""

from loadtests.portal.jobs.queue import Item
from loadtests.portal.jobs.work import Desk
from loadtests.portal.store.models import Dossier, User
from loadtests.portal.workflow import STATUS_NAMES


def notify_applicant(desk: Desk, item: Item) -> None:
    """Send one message; its reference names dossier and change, so that none is sent twice.

    Raises
    ------
    GatewayError
        When the provider does not take it.
    """
    with desk.place.database.reading() as session:
        dossier = session.get(Dossier, item.dossier_id)
        user = session.get(User, dossier.user_id) if dossier else None
    number = _number(dossier, user)
    if dossier is not None and number:
        status = STATUS_NAMES.get(dossier.status, dossier.status)
        text = f"Ho so {dossier.dossier_no or dossier.dossier_id}: {status}"
        desk.place.gateways.sms(number, text, f"{item.dossier_id}-{item.sequence}")
    with desk.place.database.writing() as session:
        if not desk.queue.finish(session, item, desk.clock(), desk.spec.then):
            session.rollback()


def _number(dossier: Dossier | None, user: User | None) -> str:
    """Return the telephone number of the form, else of the account; without one nobody is told."""
    if dossier is None:
        return ""
    return str(dossier.details.get("contactTelNo") or (user.tel_no if user else ""))
