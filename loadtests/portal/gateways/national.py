"""The national portal's side of the adapter: sessions, procedures, dossiers, progress lines."""

import hashlib
import hmac
import time

from loadtests.portal.gateways.ledger import Ledger
from loadtests.portal.gateways.wire import (
    NO_SESSION,
    TROUBLE_STATUS,
    Fields,
    Json,
    Query,
    Reply,
    Trouble,
    text_of,
)

SESSION_S = 1800  # assumption: three times as long as the portal keeps a session

ACCEPTED, REFUSED = "0", "-1"
"""Error codes: done, and wrong or incomplete."""


class NationalPortal:
    """Receives dossiers; what carries a sequence number that came before counts once.

    Parameters
    ----------
    ledger : Ledger
        Remembers what was received.
    key : str
        Password of the adapter; also seals sessions.
    """

    def __init__(self, ledger: Ledger, key: str) -> None:
        self._ledger = ledger
        self._key = key
        self._services = {
            "LayThuTuc": self._procedure,
            "TraCuuHoSo": self._find,
            "DongBoHoSoMC": self._dossiers,
            "CapNhatTienDoHoSoMC": self._progress,
            "TraCuuTechID": self._technical_id,
        }

    def answer(self, query: Query) -> Reply:
        """Answer ``login``, ``integration`` and ``share``."""
        if query.path == "login":
            return self._login(query.fields)
        if query.path not in ("integration", "share"):
            return Reply(404, _error(REFUSED, "no such endpoint"))
        if not self._knows(text_of(query.fields, "session")):
            return Reply(200, _error(NO_SESSION, "session unknown or too old"))
        service = self._services.get(text_of(query.fields, "service"))
        if service is None:
            return Reply(200, _error(REFUSED, "service unknown"))
        return Reply(200, service(query.fields))

    def trouble(self, kind: Trouble) -> Fields:
        """Return an error as the adapter writes it."""
        return _error(str(TROUBLE_STATUS[kind]), "the platform has a problem")

    def _login(self, fields: Fields) -> Reply:
        password = text_of(fields, "password")
        if not hmac.compare_digest(password.encode(), self._key.encode()):
            return Reply(200, _error(REFUSED, "wrong user name or password"))
        return Reply(200, {"error_code": 0, "session": self._session(int(time.time()))})

    def _session(self, since_s: int) -> str:
        """A session names when it began, so that it outlives this process."""
        text = f"national {since_s}".encode()
        return f"{since_s}.{hmac.new(self._key.encode(), text, hashlib.sha256).hexdigest()}"

    def _knows(self, session: str) -> bool:
        since, _, _ = session.partition(".")
        if not (since.isascii() and since.isdecimal()) or len(since) > 12:
            return False
        is_fresh = time.time() - int(since) < SESSION_S
        return is_fresh and hmac.compare_digest(
            session.encode(), self._session(int(since)).encode()
        )

    def _procedure(self, fields: Fields) -> Fields:
        code = text_of(fields, "maTTHC")
        if not code:
            return _error(REFUSED, "maTTHC is missing")
        procedure: Fields = {
            "MATTHC": code,
            "TENTTHC": f"Thủ tục {code}",
            "LINHVUCTHUCHIEN": [{"MALINHVUC": code[:1], "TENLINHVUC": "Lĩnh vực"}],
            "CACHTHUCTHUCHIEN": [
                {
                    "KENH": "2",
                    "THOIGIAN": [{"THOIGIANGIAIQUYET": "10", "DONVITINH": "Ngày làm việc"}],
                }
            ],
            "THANHPHANHOSO": [],
            "KETQUATHUCHIEN": [],
        }
        return _result([procedure])

    def _find(self, fields: Fields) -> Fields:
        dossier = text_of(fields, "mahoso")
        found: list[Json] = [{"MaHoSo": dossier}] if self._ledger.has_dossier(dossier) else []
        return _result(found)

    def _dossiers(self, fields: Fields) -> Fields:
        records = _records(fields)
        for record in records:
            if not text_of(record, "MaHoSo") or not text_of(record, "MaTTHC"):
                return _error(REFUSED, "MaHoSo or MaTTHC is missing")
        for record in records:
            self._ledger.receive_dossier(
                text_of(record, "MaHoSo"),
                text_of(record, "SoThuTu"),
                text_of(record, "TrangThaiHoSo"),
                record,
            )
        return _result([]) if records else _error(REFUSED, "data is empty")

    def _progress(self, fields: Fields) -> Fields:
        lines = _records(fields)
        for line in lines:
            if not self._ledger.has_dossier(text_of(line, "MaHoSo")):
                return _error(REFUSED, "MaHoSo is unknown")
        for line in lines:
            self._ledger.receive_progress(
                text_of(line, "MaHoSo"), text_of(line, "SoThuTu"), text_of(line, "TrangThai")
            )
        return _result([]) if lines else _error(REFUSED, "data is empty")

    def _technical_id(self, fields: Fields) -> Fields:
        number = text_of(fields, "mstorcmnd")
        return _result([{"TECHNICALID": hashlib.sha256(number.encode()).hexdigest()[:32]}])


def _records(fields: Fields) -> list[Fields]:
    data = fields.get("data")
    return [record for record in data if isinstance(record, dict)] if isinstance(data, list) else []


def _result(result: list[Json]) -> Fields:
    return {"error_code": ACCEPTED, "result": result, "message": ""}


def _error(code: str, message: str) -> Fields:
    return {"error_code": code, "result": [], "message": message}
