"""From the one-stop shop to the National Public Service Portal: 3 to 5 calls per change of status.

The login is shared by all items for ten minutes; TraCuuHoSo is left out once a change of the
dossier was acknowledged. Every message carries the number of its change (SoThuTu): what is sent
again after a crash is recognised by it and counts once.
"""

from dataclasses import dataclass

from loadtests.portal.conventions import local_time
from loadtests.portal.gateways.wire import Fields
from loadtests.portal.jobs.queue import Item
from loadtests.portal.jobs.work import Desk
from loadtests.portal.store.models import Action, Dossier

_ABSTRACT_LENGTH = 1000
_OFFICER_LENGTH = 50
"""Longest TrichYeuHoSo and NguoiXuLy. # source: limits of the national portal."""


@dataclass(frozen=True, slots=True)
class _Change:
    """One change of status as the national portal is told it."""

    is_known: bool
    dossier: Fields
    progress: Fields


def tell_national_portal(desk: Desk, item: Item) -> None:
    """Tell one change of status.

    Raises
    ------
    GatewayError
        When a call fails; the calls before it are repeated next time and count once.
    """
    change = _change(desk, item)
    if change is not None:
        _tell(desk, change)
    with desk.place.database.writing() as session:
        if not desk.queue.finish(session, item, desk.clock(), desk.spec.then):
            session.rollback()


def _tell(desk: Desk, change: _Change) -> None:
    call = desk.place.gateways.national_call
    is_known = change.is_known
    if not is_known:
        found = call("TraCuuHoSo", {"mahoso": change.dossier["MaHoSo"]})
        is_known = bool(found.get("result"))
    call("LayThuTuc", {"maTTHC": change.dossier["MaTTHC"]})
    is_updating = "True" if is_known else "False"
    call("DongBoHoSoMC", {"isUpdating": is_updating, "data": [change.dossier]})
    call("CapNhatTienDoHoSoMC", {"data": [change.progress]})


def _change(desk: Desk, item: Item) -> _Change | None:
    """Read what is to be told; None when the dossier is gone."""
    with desk.place.database.reading() as session:
        dossier = session.get(Dossier, item.dossier_id)
        if dossier is None:
            return None
        action = session.get(Action, item.action_id)
        is_known = desk.queue.has_done(session, item.dossier_id)
    return _Change(is_known, _record(dossier, item), _line(dossier, action, item))


def _record(dossier: Dossier, item: Item) -> Fields:
    return {
        "MaHoSo": dossier.reference_uid,
        "SoThuTu": str(item.sequence),
        "MaTTHC": dossier.service_code,
        "TenTTHC": dossier.service_name,
        "ChuHoSo": dossier.applicant_name,
        "LoaiDoiTuong": "2" if dossier.applicant_id_type == "business" else "1",
        "MaDoiTuong": dossier.applicant_id_no,
        "TrichYeuHoSo": dossier.service_name[:_ABSTRACT_LENGTH],
        "NgayTiepNhan": _date(dossier.receive_at or dossier.submit_at),
        "NgayHenTra": _date(dossier.due_at),
        "TrangThaiHoSo": item.status_code,
        "NgayTra": _date(dossier.release_at),
        "HinhThuc": "0",
        "NgayKetThucXuLy": _date(dossier.finish_at),
        "DonViXuLy": dossier.agency_name,
        "KenhThucHien": "2" if dossier.online else "1",
        "DanhSachLePhi": [],
        "TaiLieuNop": [],
    }


def _line(dossier: Dossier, action: Action | None, item: Item) -> Fields:
    return {
        "MaHoSo": dossier.reference_uid,
        "SoThuTu": str(item.sequence),
        "NguoiXuLy": (action.user_name if action else "")[:_OFFICER_LENGTH],
        "ChucDanh": "",
        "ThoiDiemXuLy": _date(action.at if action else dossier.modified_at),
        "PhongBanXuLy": dossier.agency_name,
        "NoiDungXuLy": action.name if action else "",
        "TrangThai": item.status_code,
        "NgayBatDau": _date(dossier.submit_at),
        "NgayKetThucTheoQuyDinh": _date(dossier.due_at),
    }


def _date(at: float | None) -> str:
    """Return an instant as the national portal writes it: yyyyMMddHHmmss."""
    return "" if at is None else local_time(at).strftime("%Y%m%d%H%M%S")
