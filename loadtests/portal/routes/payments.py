"""What is to be paid, the way to the payment platform and back, proofs."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request
from sqlalchemy import select
from starlette.requests import ClientDisconnect

from loadtests.portal.access import (
    check_before_keeping,
    confidential_dossier,
    desk_dossier,
    writable_dossier,
)
from loadtests.portal.attachments import PROOF_EXTENSIONS, check_extension
from loadtests.portal.conventions import (
    MAX_ID,
    CodeText,
    RowId,
    bad_request,
    business_error,
    gateway_failed,
    not_found,
    too_large,
    wire_date,
)
from loadtests.portal.forms import (
    Fields,
    FilesBody,
    FormBody,
    form_schema,
    parsed_fields,
    parsed_json,
)
from loadtests.portal.gateway_client import GatewayError
from loadtests.portal.gateways.wire import Fields as Message
from loadtests.portal.payments import (
    Order,
    confirm,
    dossier_id_of,
    new_order,
    payment_of,
)
from loadtests.portal.store.models import Dossier, Payment
from loadtests.portal.transitions import PAYMENT_ASKED, PAYMENT_REPORTED, REQUEST_FINAL_FEE
from loadtests.portal.views import Json, payment_view
from loadtests.portal.visits import CurrentVisit, PortalRouter, Visit

router = PortalRouter(tags=["payments"])

Code = Annotated[CodeText, Path()]
_PAYMENT = "/o/rest/v2/dossiers/{dossier_id:int}/payment"
_PGI = "/o/pgi"

PROOF_LIMIT_BYTES = 10 * 1024 * 1024
"""Largest proof of payment. # source: OpenCPS front end, payment component."""

MAX_AMOUNT_VND = 10**12
"""Largest amount that is taken. # assumption"""

PAID_STATE = "da_thanh_toan"
"""What the platform calls an order that is paid."""

ACCEPTED, REFUSED = "00", "99"
"""Answers to the platform's report of a payment. # source: OpenCPS, payment gateway module."""


@router.get(_PAYMENT)
def payment(visit: CurrentVisit, dossier_id: RowId) -> Json:
    """Return what is to be paid for a dossier."""
    dossier = confidential_dossier(visit, dossier_id)
    return payment_view(payment_of(visit.db, dossier_id), dossier)


@router.post(
    _PAYMENT,
    openapi_extra=form_schema(
        "requestPayment", "paymentNote", "advanceAmount", "feeAmount", "serviceAmount", "shipAmount"
    ),
)
def ask_payment(visit: CurrentVisit, dossier_id: RowId, form: FormBody) -> Json:
    """Say as an officer what is to be paid."""
    dossier = desk_dossier(visit, dossier_id)
    row = payment_of(visit.db, dossier_id)
    row.advance_vnd = form.integer("advanceAmount", row.advance_vnd, most=MAX_AMOUNT_VND)
    row.fee_vnd = form.integer("feeAmount", row.fee_vnd, most=MAX_AMOUNT_VND)
    row.service_vnd = form.integer("serviceAmount", row.service_vnd, most=MAX_AMOUNT_VND)
    row.ship_vnd = form.integer("shipAmount", row.ship_vnd, most=MAX_AMOUNT_VND)
    row.request_payment = form.integer("requestPayment", REQUEST_FINAL_FEE, most=5)
    row.note = form.text("paymentNote", row.note)
    if row.status == 0:
        row.status = PAYMENT_ASKED
    row.modified_at = visit.now
    visit.db.flush()
    return payment_view(row, dossier)


@router.put(
    "/o/rest/v2/dossiers/{dossier_id:int}/payments/{reference_uid}/confirmfile",
    openapi_extra=form_schema("paymentNote", file="file"),
)
def proof(visit: CurrentVisit, dossier_id: RowId, reference_uid: Code, form: FilesBody) -> Json:
    """Send a picture that proves the payment."""
    check_before_keeping(visit, writable_dossier, dossier_id)
    if len(form.files) != 1:
        raise bad_request("file: exactly one file is expected")
    file = form.files[0]
    if file.too_large or file.blob.size_bytes > PROOF_LIMIT_BYTES:
        raise too_large(PROOF_LIMIT_BYTES)
    check_extension(file.file_name, PROOF_EXTENSIONS)
    note = Fields(form.fields).text("paymentNote")
    blob = file.blob.keep()
    dossier = writable_dossier(visit, dossier_id)
    row = payment_of(visit.db, dossier_id)
    if row.reference_uid != reference_uid:
        raise not_found("PaymentFile", reference_uid)
    row.proof_sha256, row.proof_name = blob.sha256, file.file_name[:500]
    row.note = note or row.note
    if row.status < PAYMENT_REPORTED:
        row.status = PAYMENT_REPORTED
        row.paid_at = visit.now
    row.modified_at = visit.now
    visit.db.flush()
    return payment_view(row, dossier)


# To the platform and back


@router.post(f"{_PGI}/ppdvcqg/inittransaction", openapi_extra=form_schema("dossierId!"))
def init_transaction(visit: CurrentVisit, form: FormBody) -> Json:
    """Place an order on the national payment platform."""
    url, order = _placed(visit, _dossier_id(form))
    return {"MaLoi": ACCEPTED, "UrlThanhToan": url, "MaThamChieu": order.reference}


@router.post(f"{_PGI}/kpdvcqg/createtransaction", openapi_extra=form_schema("dossierId!"))
def create_transaction(visit: CurrentVisit, form: FormBody) -> Json:
    """Place an order, in KeyPay's words."""
    url, order = _placed(visit, _dossier_id(form))
    return {"error": "0", "payment_url": url, "order_id": order.reference}


@router.get(f"{_PGI}/paygov/urlRedirect")
def url_redirect(
    visit: CurrentVisit,
    dossier_id: Annotated[int, Query(alias="dossierId", ge=0, le=MAX_ID)],
    ip_address: Annotated[CodeText, Query(alias="ipAddress")] = "",
) -> str:
    """Place an order and return the page to go to as text; a GET that writes."""
    del ip_address
    visit.begin_writing()
    url, _ = _placed(visit, dossier_id)
    return url


def _dossier_id(form: Fields) -> int:
    form.required("dossierId")
    return form.integer("dossierId")


def _placed(visit: Visit, dossier_id: int) -> tuple[str, Order]:
    """Place an order; nobody holds the database while the platform is asked."""
    dossier = writable_dossier(visit, dossier_id)
    order = new_order(dossier, payment_of(visit.db, dossier_id), visit.now)
    message = _message(visit, dossier, order)
    visit.close()
    try:
        answer = visit.gateways.payment_init(message)
    except GatewayError as error:
        raise payment_failed(error) from error
    if str(answer.get("MaLoi")) != ACCEPTED or not answer.get("UrlThanhToan"):
        raise gateway_failed(f"PaymentException: the platform answered {answer.get('MaLoi')}")
    row = payment_of(visit.db, dossier_id)
    row.order_id = order.reference
    row.modified_at = visit.now
    return str(answer["UrlThanhToan"]), order


def _message(visit: Visit, dossier: Dossier, order: Order) -> Message:
    # Where this server listens, whatever was asked for; without a network, what it was told.
    port = (visit.request.scope.get("server") or ("", None))[1] or visit.settings.port
    return {
        "LoaiBanTin": "THANH_TOAN",
        "PhienBan": "1.0",
        "MaDoiTac": "H24",
        "MaThamChieu": order.reference,
        "SoTien": str(order.amount_vnd),
        "LoaiHinhThanhToan": "1",
        "MaTienTe": "VND",
        "NgonNgu": "vi",
        "ThongTinGiaoDich": f"Le phi ho so {dossier.dossier_id}",
        "ThoiGianGD": wire_date(visit.now),
        "UrlThongBao": f"http://127.0.0.1:{port}{_PGI}/ppdvcqg/dpnhankqthanhtoanhs",
    }


def payment_failed(error: GatewayError) -> Exception:
    """Return the answer to a call of the platform that failed."""
    return gateway_failed(f"PaymentException: the payment platform did not answer: {error.kind}")


@router.post(f"{_PGI}/kpdvcqg/paymentconfirm", openapi_extra=form_schema("dossierId!"))
def payment_confirm(visit: CurrentVisit, form: FormBody) -> Json:
    """Ask the platform whether a dossier is paid, as the return page does; then act on it."""
    dossier_id = _dossier_id(form)
    _confirm_order(visit, dossier_id)
    return {"error": "0", "dossierId": dossier_id}


@router.post(f"{_PGI}/kpdvcqg/dptracuuthanhtoanhs", openapi_extra=form_schema("dossierId!"))
def payment_state(visit: CurrentVisit, form: FormBody) -> Json:
    """Return what the platform says about a dossier's order."""
    order_id = _order_id(visit, _dossier_id(form))
    return dict(_platform_state(visit, order_id))


@router.post(
    f"{_PGI}/paygov/dpnhankqthanhtoanhs",
    openapi_extra=form_schema(
        "orderId!", "amount", "orderInfo", "requestCode", "transactionNo", "payDate", "errorCode",
        "paygate", "type", "checksum",
    ),
)  # fmt: skip
def browser_return(visit: CurrentVisit, form: FormBody) -> str:
    """Come back from the platform; what the browser says is not believed, the platform is asked."""
    dossier_id = dossier_id_of(form.required("orderId"))
    if form.code("errorCode", ACCEPTED) not in ("0", ACCEPTED) or not dossier_id:
        return REFUSED
    _confirm_order(visit, dossier_id)
    return ACCEPTED


@router.post("/o/rest/v2/dossiers/checkkeypay", openapi_extra=form_schema("dossierId!"))
def check_keypay(visit: CurrentVisit, form: FormBody) -> Json:
    """Check a payment that KeyPay reports."""
    dossier_id = _dossier_id(form)
    _confirm_order(visit, dossier_id)
    return {"dossierId": dossier_id, "result": "00"}


@router.put("/o/rest/v2/dossiers/keypay/{reference_uid}/{payment_uid}")
def keypay(visit: CurrentVisit, reference_uid: Code, payment_uid: Code) -> Json:
    """Note a payment that KeyPay reports; the platform is asked."""
    query = (
        select(Dossier.dossier_id)
        .join(Payment, Payment.dossier_id == Dossier.dossier_id)
        .where(Dossier.reference_uid == reference_uid, Payment.reference_uid == payment_uid)
    )
    dossier_id = visit.db.scalar(query)
    if dossier_id is None:
        raise not_found("PaymentFile", payment_uid)
    _confirm_order(visit, dossier_id)
    return payment_view(payment_of(visit.db, dossier_id), writable_dossier(visit, dossier_id))


def _order_id(visit: Visit, dossier_id: int) -> str:
    writable_dossier(visit, dossier_id)
    order_id = payment_of(visit.db, dossier_id).order_id
    if not order_id:
        raise business_error("PaymentException: no order was placed")
    return order_id


def _platform_state(visit: Visit, order_id: str) -> Message:
    """Ask the platform about an order, the database given back."""
    visit.close()
    try:
        return visit.gateways.payment_query(order_id)
    except GatewayError as error:
        raise payment_failed(error) from error


def _confirm_order(visit: Visit, dossier_id: int) -> None:
    """Confirm a payment that the platform says is made."""
    state = _platform_state(visit, _order_id(visit, dossier_id))
    if str(state.get("MaLoi")) != ACCEPTED or state.get("TrangThai") != PAID_STATE:
        raise business_error("PaymentException: the platform knows of no payment yet")
    dossier = writable_dossier(visit, dossier_id)
    receipt = str(state.get("MaGiaoDich", ""))
    confirm(visit.db, visit.world.rules, dossier, receipt, visit.now)


async def _report(request: Request) -> Message:
    """Read the platform's report: JSON, or a form."""
    try:
        body = await request.body()
    except ClientDisconnect as error:
        raise bad_request("the body did not arrive") from error
    if body.lstrip()[:1] == b"{":
        value = parsed_json(body, "body")
        return value if isinstance(value, dict) else {}
    return dict(parsed_fields(body).items())


Report = Annotated[Message, Depends(_report)]


@router.post(
    f"{_PGI}/ppdvcqg/dpnhankqthanhtoanhs",
    openapi_extra=form_schema(
        "LoaiBanTin", "MaLoi", "MaThamChieu!", "SoTien", "MaTienTe", "MaGiaoDich", "MaNganHang",
        "ThoiGianGD", "ThongTinGiaoDich", "MaXacThuc!",
    ),
)  # fmt: skip
def platform_report(visit: CurrentVisit, report: Report) -> str:
    """Take the platform's report of a payment; it must be signed. Answers ``00`` or ``99``."""
    dossier_id = dossier_id_of(str(report.get("MaThamChieu", "")))
    is_keyed = bool(visit.settings.secrets.monitor_key)
    if not dossier_id or not is_keyed or not visit.gateways.is_genuine(report):
        return REFUSED
    dossier = visit.db.get(Dossier, dossier_id)
    if dossier is None or str(report.get("MaLoi")) != ACCEPTED:
        return REFUSED
    receipt = str(report.get("MaGiaoDich", ""))
    confirm(visit.db, visit.world.rules, dossier, receipt, visit.now)
    return ACCEPTED


@router.post(f"{_PGI}/ppdvcqg/paymentreceipt", openapi_extra=form_schema("dossierId!"))
def receipt(visit: CurrentVisit, form: FormBody) -> Json:
    """Return the receipt of a payment."""
    dossier_id = _dossier_id(form)
    dossier = writable_dossier(visit, dossier_id)
    row = payment_of(visit.db, dossier_id)
    if row.confirmed_at is None:
        raise business_error("PaymentException: nothing is paid")
    return {
        "MaLoi": ACCEPTED,
        "MaGiaoDich": row.transaction_no,
        "SoTien": str(row.fee_vnd),
        "HoTenNguoiNop": dossier.applicant_name,
        "ThoiGianGD": wire_date(row.paid_at),
    }
