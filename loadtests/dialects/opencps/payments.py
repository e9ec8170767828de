"""Paying the fee of a dossier on an OpenCPS portal."""

from functools import partial

from loadtests.dialects.base import Acknowledgement, Answer, Call, Reading
from loadtests.dialects.encoding import Fields, WrongContentError, excerpt, form, json_object
from loadtests.dialects.opencps.session import PAYMENT, Session
from loadtests.dialects.visiting import Exchange, Moment

PAID_ACTION = "8888"
"""Action that follows a payment. # source: OpenCPS."""


def order(s: Session, _m: Moment) -> Exchange:
    """Place an order with the payment gateway."""
    body = form({"dossierId": s.dossier.number})
    path = f"{PAYMENT}/ppdvcqg/inittransaction"
    return Exchange(Call("POST", path, s.headers.form, body), _ordered)


def _ordered(answer: Answer) -> Reading:
    row = json_object(answer.body)
    if row.get("MaLoi") != "00" or not row.get("UrlThanhToan"):
        raise WrongContentError(f"no order: {excerpt(answer.body)}")
    return Reading("ok")


def confirm(s: Session, _m: Moment) -> Exchange:
    """Come back from the gateway: the portal asks it, then acts on the dossier."""
    fields: Fields = {"dossierId": s.dossier.number}
    call = Call("POST", f"{PAYMENT}/kpdvcqg/paymentconfirm", s.headers.form, form(fields))
    return Exchange(call, partial(_confirmed, s.dossier.number, s.dossier.note))


def _confirmed(number: str, note: str, answer: Answer) -> Reading:
    row = json_object(answer.body)
    if str(row.get("error", "0")) != "0" or str(row.get("MaLoi", "00")) != "00":
        raise WrongContentError(f"not confirmed: {excerpt(answer.body)}")
    return Reading("ok", acknowledged=Acknowledgement("action", number, note, PAID_ACTION))
