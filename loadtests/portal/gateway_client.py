"""The portal's way to the services of others.

Every method returns the answer as a dictionary, or raises :class:`GatewayError`.
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

from loadtests.portal.gateway_transports import (
    GatewayError,
    HttpTransport,
    Kind,
    LocalTransport,
    Transport,
    limits_of,
)
from loadtests.portal.gateways.wire import NO_SESSION, Fields, Json, Query, is_signed, sign
from sim.scenario.scenario import Scenario

__all__ = ["GatewayError", "Gateways"]

SESSION_LIFE_S = 600.0  # source: OpenCPS keeps the national portal's session for ten minutes


class Gateways:
    """All gateways of one portal process; safe to use from many threads.

    Parameters
    ----------
    transport : Transport
        How calls travel: :class:`HttpTransport`, or :class:`LocalTransport` without a server.
    key : str
        What portal and gateways share: signs payment messages.
    """

    def __init__(self, transport: Transport, key: str = "") -> None:
        self._transport = transport
        self._key = key
        self._session = ""
        self._session_until_s = 0.0
        self._session_lock = threading.Lock()

    @classmethod
    def connect(
        cls, scenario: Scenario, url: str | None, key: str = "", folder: Path | None = None
    ) -> "Gateways":
        """Return the gateways at a URL, or, with None, ones that answer at once in this process.

        Parameters
        ----------
        scenario : Scenario
            States time-outs and connection limits.
        url : str or None
            Base URL of ``hoso gateways``.
        key : str
            The shared key; ``HOSO_MONITOR_KEY``.
        folder : Path, optional
            Without a URL: where processes of one portal share what the gateways remember; by
            default each remembers for itself, in memory.
        """
        if url is None:
            return cls(LocalTransport(key, folder), key)
        return cls(HttpTransport(url, limits_of(scenario)), key)

    def close(self) -> None:
        """Give back connections."""
        self._transport.close()

    def sso_token(self, code: str) -> Fields:
        """Return ``access_token`` and ``id_token`` for an authorisation code.

        A code is a personal number of 12 digits, optionally after ``c``, optionally before ``.``
        and anything that makes it unique.
        """
        fields: Fields = {"grant_type": "authorization_code", "code": code}
        return self._ask("sso", Query("token", fields))

    def sso_userinfo(self, access_token: str) -> Fields:
        """Return who signed in: SoDinhDanh, HoVaTen, LoaiTaiKhoan, TechID, …"""
        return self._ask("sso", Query("userinfo", {}, token=access_token))

    def population(self, personal_number: str, name: str = "", birth_date: str = "") -> Fields:
        """Return ``CongDan`` of the population data base; unknown numbers give an empty one."""
        fields: Fields = {
            "type": "TraCuuThongTinCongDan",
            "SoDinhDanh": personal_number,
            "HoVaTen": name,
            "NgayThangNamSinh": birth_date,
        }
        return self._ask("population_db", Query("citizen", fields))

    def enterprise(self, tax_code: str) -> Fields:
        """Return ``Data`` {MainInformation, HOAdress, Representatives} of an enterprise."""
        fields: Fields = {"type": "ChiTietDoanhNghiep", "msdn": tax_code}
        return self._ask("shared_data", Query("enterprise", fields))

    def shared_data(self, data_set: str, key: str) -> Fields:
        """Return ``found`` and ``data`` of one record of the shared-data platform."""
        return self._ask("shared_data", Query("lookup", {"dataset": data_set, "key": key}))

    def payment_init(self, order: Mapping[str, Json]) -> Fields:
        """Place an order; return MaLoi "00" and UrlThanhToan.

        The order states MaThamChieu and SoTien; with UrlThongBao (a loopback address, or one of
        the caller's own) the platform reports there when it is paid.
        """
        signed = dict(order)
        signed["MaXacThuc"] = self.sign(signed)
        return self._ask("payment", Query("init", signed))

    def payment_query(self, reference: str) -> Fields:
        """Return the state of an order: MaLoi "00" and TrangThai ``cho`` or ``da_thanh_toan``."""
        return self._ask("payment", Query("query", {"MaThamChieu": reference}))

    def sms(self, to: str, text: str, reference: str) -> Fields:
        """Send one message; the same reference is sent once."""
        return self._ask("sms", Query("send", {"to": to, "text": text, "reference": reference}))

    def national_call(self, service: str, fields: Mapping[str, Json]) -> Fields:
        """Call a service of the national portal, signing in when the session is ten minutes old.

        Parameters
        ----------
        service : str
            ``LayThuTuc``, ``TraCuuHoSo``, ``DongBoHoSoMC``, ``CapNhatTienDoHoSoMC``, …
        fields : mapping
            What the service asks besides the session and its own name.

        Returns
        -------
        dict
            The answer, ``error_code`` "0".
        """
        for is_last in (False, True):
            session = self._national_session()
            envelope = {"session": session, "madonvi": "H24", "service": service} | dict(fields)
            answer = self._ask("national_portal", Query("integration", envelope))
            code = str(answer.get("error_code"))
            if code == "0":
                return answer
            if code != NO_SESSION or is_last:
                break
            self._forget(session)
        raise GatewayError("error", "national_portal", f"{service}: {answer.get('message')}")

    def sign(self, fields: Mapping[str, Json]) -> str:
        """Return the signature that a payment message carries as ``MaXacThuc``."""
        return sign(fields, self._key)

    def is_genuine(self, callback: Mapping[str, Json]) -> bool:
        """Whether a payment callback was signed by the platform."""
        return is_signed(callback, self._key)

    def _national_session(self) -> str:
        with self._session_lock:
            if time.monotonic() >= self._session_until_s:
                fields: Fields = {"username": "hoso", "password": self._key}
                answer = self._ask("national_portal", Query("login", fields))
                self._session = str(answer.get("session"))
                self._session_until_s = time.monotonic() + SESSION_LIFE_S
            return self._session

    def _forget(self, session: str) -> None:
        """Drop a session that the national portal no longer knows."""
        with self._session_lock:
            if session == self._session:
                self._session_until_s = 0.0

    def _ask(self, gateway: str, query: Query) -> Fields:
        reply = self._transport.call(gateway, query)
        if reply.status == 200:
            return reply.fields
        kind: Kind = "refused" if reply.status in (429, 503) else "error"
        raise GatewayError(kind, gateway, f"{reply.status} {reply.fields}")
