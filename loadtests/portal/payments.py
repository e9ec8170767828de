"""Paying for a dossier: what is due, orders, confirmations.

A payment is confirmed once, however often the browser and the payment platform report it. The
action that follows it is done in the same transaction.
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from loadtests.portal.conventions import business_error, not_found, row_id
from loadtests.portal.store.models import Dossier, Payment
from loadtests.portal.transitions import (
    PAYMENT_CONFIRMED,
    PAYMENT_REPORTED,
    Asked,
    Rules,
    act,
)
from loadtests.portal.workflow import BLANK

PAID_CODE = "8888"
"""Action that follows a payment. # source: OpenCPS."""

REFERENCE_PREFIX = "H24"
"""First part of an order's reference: the unit's national code."""

PLATFORM = "Cổng thanh toán"
"""Who acts when the platform reports a payment."""


def payment_of(session: Session, dossier_id: int) -> Payment:
    """Return the payment of a dossier; every dossier has one, many of nothing.

    Raises
    ------
    WireError
        403, when there is none.
    """
    payment = session.scalars(select(Payment).where(Payment.dossier_id == dossier_id)).first()
    if payment is None:
        raise not_found("PaymentFile", dossier_id)
    return payment


def amount_vnd(payment: Payment) -> int:
    """Return what is still to be paid, VND."""
    due = payment.fee_vnd + payment.service_vnd + payment.ship_vnd - payment.advance_vnd
    return max(due, 0)


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it goes to the payment platform.

    Attributes
    ----------
    reference : str
        Unique; the dossier is read from it.
    amount_vnd : int
        What is to be paid, > 0.
    """

    reference: str
    amount_vnd: int


def new_order(dossier: Dossier, payment: Payment, now: float) -> Order:
    """Return a new order for a dossier.

    Raises
    ------
    WireError
        403, when nothing is due, it is paid already, or the dossier was not sent.
    """
    if dossier.step_code == BLANK.step:
        raise business_error("PaymentException: the dossier was not sent")
    if payment.status in (PAYMENT_REPORTED, PAYMENT_CONFIRMED):
        raise business_error("PaymentException: the dossier is paid")
    if amount_vnd(payment) == 0:
        raise business_error("PaymentException: nothing is to be paid")
    reference = f"{REFERENCE_PREFIX}-{dossier.dossier_id}-{int(now * 1000)}"
    return Order(reference, amount_vnd(payment))


def dossier_id_of(reference: str) -> int:
    """Return the dossier that an order's reference names, or 0."""
    parts = reference.split("-")
    is_ours = len(parts) == 3 and parts[0] == REFERENCE_PREFIX
    return (row_id(parts[1]) or 0) if is_ours else 0


def confirm(
    session: Session, rules: Rules, dossier: Dossier, transaction_no: str, now: float
) -> Payment:
    """Note that a dossier is paid, and do the action that follows; repeatable.

    Parameters
    ----------
    session : Session
        In a writing transaction; the caller commits.
    rules : Rules
        The installation.
    dossier : Dossier
        As read in this transaction.
    transaction_no : str
        The platform's receipt.
    now : float
        Present time, s since 1970.
    """
    payment = payment_of(session, dossier.dossier_id)
    if payment.status == PAYMENT_CONFIRMED:
        return payment
    payment.status = PAYMENT_CONFIRMED
    payment.method = "online"
    payment.transaction_no = transaction_no[:120]
    payment.paid_at = payment.confirmed_at = payment.modified_at = now
    session.flush()
    asked = Asked("citizen", dossier.user_id, PLATFORM, PAID_CODE)
    act(session, rules, dossier, asked, now)
    return payment
