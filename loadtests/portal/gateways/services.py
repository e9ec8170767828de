"""What each gateway answers: the platforms' own words, synthetic content, nothing of delays."""

import datetime as dt
import hashlib
import hmac
import re

from loadtests.portal.gateways.callbacks import may_call_back
from loadtests.portal.gateways.ledger import Ledger
from loadtests.portal.gateways.national import NationalPortal
from loadtests.portal.gateways.registers import enterprise, full_name, person
from loadtests.portal.gateways.wire import (
    TROUBLE_STATUS,
    Callback,
    Fields,
    Query,
    Reply,
    Service,
    Trouble,
    is_signed,
    sign,
    text_of,
)

GATEWAYS = ("sso", "population_db", "payment", "national_portal", "shared_data", "sms")
"""Names of the gateways, as scenarios use them."""

_CODE = re.compile(r"c?(\d{12})(?:\..*)?")


def make_services(ledger: Ledger, key: str) -> dict[str, Service]:
    """Return the service behind every gateway.

    Parameters
    ----------
    ledger : Ledger
        Remembers what was received.
    key : str
        What portal and gateways share.
    """
    return {
        "sso": SingleSignOn(key),
        "population_db": PopulationDataBase(),
        "payment": Payment(ledger, key),
        "national_portal": NationalPortal(ledger, key),
        "shared_data": SharedData(),
        "sms": TextMessages(ledger),
    }


class SingleSignOn:
    """OpenID Connect without the page where people type: codes and tokens name the person.

    Parameters
    ----------
    key : str
        Makes tokens that nobody else can make.
    """

    def __init__(self, key: str) -> None:
        self._key = key

    def answer(self, query: Query) -> Reply:
        """Answer ``token`` and ``userinfo``."""
        if query.path == "token":
            return self._token(text_of(query.fields, "code"))
        if query.path == "userinfo":
            return self._user(query.token)
        return Reply(404, {"error": "not_found"})

    def trouble(self, kind: Trouble) -> Fields:
        """Return an error as OpenID Connect writes it."""
        names = {"error": "server_error", "limited": "slow_down", "down": "temporarily_unavailable"}
        return {"error": names[kind], "error_description": "the identity provider has a problem"}

    def _token(self, code: str) -> Reply:
        match = _CODE.fullmatch(code)
        if match is None:
            return Reply(400, {"error": "invalid_grant"})
        number = match[1]
        token = f"{number}.{self._seal(number)}"
        return Reply(200, {"access_token": token, "id_token": token, "token_type": "Bearer"})

    def _user(self, token: str) -> Reply:
        number, _, seal = token.partition(".")
        citizen = person(number)
        if citizen is None or not hmac.compare_digest(seal.encode(), self._seal(number).encode()):
            return Reply(401, {"error": "invalid_token"})
        return Reply(
            200,
            {
                "LoaiTaiKhoan": "1",
                "SoDinhDanh": number,
                "SoCMND": "",
                "HoVaTen": full_name(citizen),
                "NgayThangNamSinh": citizen["NgayThangNamSinh"],
                "TechID": hashlib.sha256(number.encode()).hexdigest()[:32],
            },
        )

    def _seal(self, number: str) -> str:
        return hmac.new(self._key.encode(), f"sso {number}".encode(), hashlib.sha256).hexdigest()


class PopulationDataBase:
    """Look-ups of citizens."""

    def answer(self, query: Query) -> Reply:
        """Answer ``citizen``: an unknown number gives an empty record, as the platform does."""
        if query.path != "citizen":
            return Reply(404, {"message": "Error", "errorCode": "404"})
        number = text_of(query.fields, "SoDinhDanh")
        if not number:
            return Reply(400, {"message": "Error", "errorCode": "003"})
        return Reply(200, {"CongDan": person(number) or {}})

    def trouble(self, kind: Trouble) -> Fields:
        """Return an error as the platform writes it."""
        return {"message": "Error", "errorCode": str(TROUBLE_STATUS[kind])}


class SharedData:
    """The integration platform: records of the shared-data warehouse, and enterprises."""

    def answer(self, query: Query) -> Reply:
        """Answer ``lookup`` and ``enterprise``."""
        if query.path == "lookup":
            key = text_of(query.fields, "key")
            record = person(key) or enterprise(key)
            return Reply(200, {"found": record is not None, "data": record or {}})
        if query.path == "enterprise":
            return Reply(200, {"Data": enterprise(text_of(query.fields, "msdn")) or {}})
        return Reply(404, {"status": 404, "error": "no such service"})

    def trouble(self, kind: Trouble) -> Fields:
        """Return an error as the platform writes it."""
        return {"status": TROUBLE_STATUS[kind], "error": "the platform has a problem"}


class Payment:
    """The payment platform: orders, their state, the word to the portal when they are paid.

    Nobody opens its page in a load test, so every order that names a callback is paid at once.

    Parameters
    ----------
    ledger : Ledger
        Remembers orders.
    key : str
        Signs messages.
    """

    def __init__(self, ledger: Ledger, key: str) -> None:
        self._ledger = ledger
        self._key = key

    def answer(self, query: Query) -> Reply:
        """Answer ``init``, ``query`` and ``pay/<reference>``, the page of one order."""
        if query.path == "init":
            return self._init(query)
        if query.path == "query":
            return self._state(text_of(query.fields, "MaThamChieu"))
        if query.path.startswith("pay/"):
            return self._pay(query.path.removeprefix("pay/"))
        return Reply(404, {"MaLoi": "404", "MoTaLoi": "Không có dịch vụ này"})

    def trouble(self, kind: Trouble) -> Fields:
        """Return an error as the platform writes it."""
        return {"MaLoi": "99", "MoTaLoi": f"Lỗi hệ thống ({TROUBLE_STATUS[kind]})"}

    def _init(self, query: Query) -> Reply:
        order = query.fields
        reference, amount = text_of(order, "MaThamChieu"), text_of(order, "SoTien")
        callback = text_of(order, "UrlThongBao")
        if not is_signed(order, self._key):
            return Reply(200, {"MaLoi": "97", "MoTaLoi": "Sai mã xác thực"})
        if not reference or not amount.isdecimal():
            return Reply(200, {"MaLoi": "01", "MoTaLoi": "Thiếu MaThamChieu hoặc SoTien"})
        if callback and not may_call_back(callback, query.caller):
            return Reply(200, {"MaLoi": "02", "MoTaLoi": "UrlThongBao không được phép"})
        if not self._ledger.place_order(reference, amount, callback):
            return Reply(200, {"MaLoi": "03", "MoTaLoi": "Mã tham chiếu đã dùng"})
        page = f"{query.base_url}/pay/{reference}"
        paid = self._pay(reference).callback if callback else None
        return Reply(200, {"MaLoi": "00", "UrlThanhToan": page}, callback=paid)

    def _state(self, reference: str) -> Reply:
        order = self._ledger.order(reference)
        if order is None:
            return Reply(200, {"MaLoi": "04", "MoTaLoi": "Không có giao dịch"})
        return Reply(
            200,
            {
                "MaLoi": "00",
                "MaThamChieu": reference,
                "SoTien": order["amount"],
                "TrangThai": "da_thanh_toan" if order["paid_at"] else "cho",
                "MaGiaoDich": order["receipt"],
                "ThoiGianGD": order["paid_at"],
            },
        )

    def _pay(self, reference: str) -> Reply:
        order = self._ledger.order(reference)
        if order is None:
            return Reply(404, {"MaLoi": "04", "MoTaLoi": "Không có giao dịch"})
        receipt = hashlib.sha256(reference.encode()).hexdigest()[:16].upper()
        paid_at = dt.datetime.now(tz=dt.UTC).strftime("%Y%m%d%H%M%S")
        if not self._ledger.pay_order(reference, paid_at, receipt) or not order["callback"]:
            return self._state(reference)
        word: Fields = {
            "LoaiBanTin": "THONG_BAO_KET_QUA",
            "MaLoi": "00",
            "MaThamChieu": reference,
            "SoTien": order["amount"],
            "MaTienTe": "VND",
            "MaGiaoDich": receipt,
            "MaNganHang": "",
            "ThoiGianGD": paid_at,
            "ThongTinGiaoDich": "",
        }
        word["MaXacThuc"] = sign(word, self._key)
        state = self._state(reference)
        return Reply(200, state.fields, callback=Callback(order["callback"], word))


class TextMessages:
    """The text-message provider.

    Parameters
    ----------
    ledger : Ledger
        Remembers what was sent.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def answer(self, query: Query) -> Reply:
        """Answer ``send``; a reference that came before is not sent again."""
        reference, to = text_of(query.fields, "reference"), text_of(query.fields, "to")
        if query.path != "send":
            return Reply(404, {"code": "404", "message": "no such service"})
        if not reference or not to:
            return Reply(400, {"code": "01", "message": "reference and to are needed"})
        is_new = self._ledger.receive_text(reference, to)
        return Reply(200, {"code": "00", "message": "sent" if is_new else "sent before"})

    def trouble(self, kind: Trouble) -> Fields:
        """Return an error as the provider writes it."""
        return {"code": str(TROUBLE_STATUS[kind]), "message": "try again later"}
