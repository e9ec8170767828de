"""The long texts of a service, as its page shows them: composed from its row, never stored."""

from loadtests.portal.store.models import Service

_STEPS = (
    "Người nộp chuẩn bị hồ sơ theo thành phần đã nêu và kê khai tờ khai điện tử.",
    "Người nộp gửi hồ sơ trên cổng dịch vụ công hoặc tại bộ phận một cửa.",
    "Bộ phận một cửa kiểm tra tính đầy đủ, hợp lệ và tiếp nhận hồ sơ.",
    "Đơn vị chuyên môn thẩm định, lấy ý kiến các cơ quan liên quan khi cần.",
    "Lãnh đạo xem xét, ký duyệt kết quả.",
    "Người nộp nhận kết quả theo hình thức đã chọn.",
)
_METHODS = "Trực tuyến; trực tiếp tại bộ phận một cửa; qua dịch vụ bưu chính công ích."
_CONDITION = "Không có yêu cầu, điều kiện riêng ngoài quy định chung của pháp luật."
_BASIS = "Luật chuyên ngành và các nghị định, thông tư hướng dẫn thi hành còn hiệu lực."
HOURS_PER_DAY = 8.0


def texts_of(service: Service) -> dict[str, str]:
    """Return the texts by their wire names, about 2 KB. # assumption: size."""
    papers = [f"Giấy tờ {number}: 01 bản chính hoặc bản sao điện tử."
              for number in range(1, service.upload_slots + 1)]  # fmt: skip
    if service.e_form:
        papers.insert(0, "Tờ khai theo mẫu điện tử.")
    fee = f"{service.fee_vnd:,} đồng".replace(",", ".") if service.fee_vnd else "Không thu"
    return {
        "processText": "\n".join(f"Bước {n}. {step}" for n, step in enumerate(_STEPS, 1)),
        "methodText": _METHODS,
        "dossierText": "\n".join(papers),
        "conditionText": _CONDITION,
        "durationText": f"{service.limit_h / HOURS_PER_DAY:g} ngày làm việc",
        "applicantText": "Cá nhân, tổ chức",
        "resultText": f"Kết quả giải quyết {service.name}",
        "regularText": _BASIS,
        "feeText": fee,
    }
