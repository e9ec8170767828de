"""Officers, and the received dossiers that wait for them when the portal starts."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from loadtests.portal.settings import PortalSettings
from loadtests.portal.store.catalogue_rows import HOURS, Offer
from loadtests.portal.store.models import (
    Action,
    Assignment,
    Base,
    Dossier,
    DossierLog,
    Payment,
    User,
)
from loadtests.portal.store.warehouse import personal_number
from loadtests.portal.workflow import RECEIVING, SAVED

WAITED_S = 3600.0  # assumption: what waits was sent within the last hour
SENT = "1300"
_SENT_NAME = "Gửi hồ sơ đến một cửa"
ACKNOWLEDGED = 3  # source: OpenCPS, sync state of a dossier the one-stop shop has

SEEDED: tuple[type[Base], ...] = (User, Dossier, Action)
"""Tables whose rows bring numbers of their own."""

Row = dict[str, Any]


def officer_login(number: int) -> str:
    """Return an officer's user name, ``o`` and four digits."""
    return f"o{number:04d}"


def n_waiting(settings: PortalSettings) -> int:
    """Return how many dossiers wait at the start."""
    return settings.officers * settings.backlog_per_officer


def seed_people(
    connection: Connection, settings: PortalSettings, offered: Sequence[Offer], now: float
) -> None:
    """Insert the officers, spread over the agencies, and a citizen for each waiting dossier."""
    agencies = _agencies(offered)
    officers = [
        _officer(number, agencies[number % len(agencies)], now)
        for number in range(settings.officers)
    ]
    citizens = [
        _citizen(settings.officers + 1 + number, personal_number(number), now)
        for number in range(n_waiting(settings))
    ]
    _insert(connection, User, [*officers, *citizens])


def seed_backlog(
    connection: Connection, settings: PortalSettings, offered: Sequence[Offer], now: float
) -> None:
    """Insert the waiting dossiers: sent, synchronised, assigned to an officer, not yet received."""
    waiting = n_waiting(settings)
    agencies = _agencies(offered)
    of_agency: dict[str, list[Offer]] = {code: [] for code in agencies}
    for offer in offered:
        of_agency[offer.agency_code].append(offer)
    dossiers, actions, logs, assignments, payments = [], [], [], [], []
    for number in range(waiting):
        round_, officer = divmod(number, settings.officers)
        choices = of_agency[agencies[officer % len(agencies)]]
        sent_at = now - WAITED_S * (1 - number / waiting)
        offer = choices[round_ % len(choices)]
        dossiers.append(_dossier(settings, number, offer, sent_at))
        payments.append(_payment(number, offer, sent_at))
        actions.append(_action(settings, number, sent_at))
        logs.append(_log(number, sent_at))
        assignments.append({"dossier_id": number + 1, "user_id": officer + 1, "at": sent_at})
    for model, rows in (
        (Dossier, dossiers),
        (Action, actions),
        (DossierLog, logs),
        (Assignment, assignments),
        (Payment, payments),
    ):
        _insert(connection, model, rows)


def _insert(connection: Connection, model: type[Base], rows: list[Row]) -> None:
    if rows:
        connection.execute(insert(model), rows)


def _agencies(offered: Sequence[Offer]) -> list[str]:
    return list(dict.fromkeys(offer.agency_code for offer in offered))


def _officer(number: int, agency_code: str, now: float) -> Row:
    login = officer_login(number)
    return {
        "user_id": number + 1,
        "login": login,
        "role": "officer",
        "name": f"Cán bộ {number:04d}",
        "id_no": f"CB{number:04d}",
        "id_type": "officer",
        "email": f"{login}@example.test",
        "tel_no": "",
        "agency_code": agency_code,
        "status": "active",
        "created_at": now,
    }


def _citizen(user_id: int, id_no: str, now: float) -> Row:
    return {
        "user_id": user_id,
        "login": f"c{id_no}",
        "role": "citizen",
        "name": _citizen_name(id_no),
        "id_no": id_no,
        "id_type": "citizen",
        "email": f"c{id_no}@example.test",
        "tel_no": "",
        "agency_code": "",
        "status": "active",
        "created_at": now,
    }


def _citizen_name(id_no: str) -> str:
    return f"Công dân {id_no}"


def _dossier(settings: PortalSettings, number: int, offer: Offer, sent_at: float) -> Row:
    key, id_no = number + 1, personal_number(number)
    return {
        "dossier_id": key,
        "reference_uid": f"seed-{key:08d}",
        "group_id": settings.group_id,
        "user_id": settings.officers + key,
        "service_id": offer.number,
        "service_code": offer.code,
        "service_name": offer.name,
        "agency_code": offer.agency_code,
        "agency_name": offer.agency_name,
        "template_no": offer.template_no,
        "template_name": offer.template_name,
        "process_id": offer.number,
        "process_no": offer.process_no,
        "originality": 1,
        "status": RECEIVING.status,
        "sub_status": RECEIVING.sub_status,
        "step_code": RECEIVING.step,
        "sync_state": ACKNOWLEDGED,
        "action_id": key,
        "n_actions": 1,
        "version": 1,
        "duration_count": offer.limit_h,
        "duration_unit": HOURS,
        "fee_vnd": offer.fee_vnd,
        "applicant_name": _citizen_name(id_no),
        "applicant_id_type": "citizen",
        "applicant_id_no": id_no,
        "created_at": sent_at,
        "modified_at": sent_at,
        "indexed_at": sent_at,
        "submit_at": sent_at,
    }


def _action(settings: PortalSettings, number: int, sent_at: float) -> Row:
    key = number + 1
    return {
        "action_id": key,
        "dossier_id": key,
        "sequence": 1,
        "user_id": settings.officers + key,
        "user_name": _citizen_name(personal_number(number)),
        "code": SENT,
        "name": _SENT_NAME,
        "from_step": SAVED.step,
        "from_status": SAVED.status,
        "to_step": RECEIVING.step,
        "at": sent_at,
    }


def _payment(number: int, offer: Offer, sent_at: float) -> Row:
    return {
        "dossier_id": number + 1,
        "reference_uid": f"seed-payment-{number + 1:08d}",
        "fee_vnd": offer.fee_vnd,
        "created_at": sent_at,
        "modified_at": sent_at,
    }


def _log(number: int, sent_at: float) -> Row:
    return {
        "dossier_id": number + 1,
        "at": sent_at,
        "author": _citizen_name(personal_number(number)),
        "content": _SENT_NAME,
        "notification_type": "PROCESS_TYPE",
    }
