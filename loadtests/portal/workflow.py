"""The workflow of a dossier: its states and the actions that lead from one to the next, as tables.

A state is a step, a status and a sub-status. Who may act and what an action leads to is read from
``ACTIONS``; nothing else decides.

Steps, statuses and the codes 1100, 1300, 6969, 8282-8284 and 8888 are those of OpenCPS; the other
action codes are this portal's own, as each installation configures them.
"""

from dataclasses import dataclass
from typing import Literal

Actor = Literal["citizen", "officer"]


@dataclass(frozen=True, slots=True)
class State:
    """Where a dossier stands.

    Attributes
    ----------
    step : str
        Step code.
    status, sub_status : str
        Codes of OpenCPS; the status is empty for a draft nobody has saved.
    """

    step: str
    status: str
    sub_status: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """One edge of the workflow.

    Attributes
    ----------
    number : int
        ``processActionId``: unique, stable.
    code : str
        What a client sends.
    name : str
        Label of the button.
    actor : str
        Who may do it.
    before, after : State
        Where it starts and where it leads.
    queue : str
        Which synchronisation queue its row goes to; empty: none.
    sets : frozenset of str
        Dates and flags it writes: ``submit``, ``receive``, ``process``, ``release``, ``finish``,
        ``pause``, ``resume``, ``reopen``, ``request_payment``, ``cancel_payment``, ``pay``.
    """

    number: int
    code: str
    name: str
    actor: Actor
    before: State
    after: State
    queue: str = ""
    sets: frozenset[str] = frozenset()


ONE_STOP = "one_stop_sync"
"""Queue of what citizens did, on its way to the one-stop shop."""
NATIONAL = "national_sync"
"""Queue of what is told to the National Public Service Portal."""

BLANK = State("110", "")
SAVED = State("110", "new")
BY_POST = State("120", "posting")
RECEIVING = State("130", "receiving")
RECEPTION_SUPPLEMENT = State("131", "waiting", "supplement")
RECEPTION_PAYING = State("132", "waiting", "paying")
DENIED = State("130", "denied")
PROCESSING = State("200", "processing")
ASSIGNED = State("200", "processing", "assigned")
DRAFTED = State("200", "processing", "drafted")
SUPPLEMENT = State("201", "waiting", "supplement")
PAYING = State("202", "waiting", "paying")
INTEROPERATING = State("210", "interoperating")
UNRESOLVED = State("200", "unresolved")
RELEASING = State("300", "releasing")
PICK_UP_PAYING = State("302", "releasing", "paying")
RETURNING_BY_POST = State("310", "posting")
DONE = State("400", "done")
CANCELLED = State("410", "cancelled")

ENDS = frozenset({DENIED, UNRESOLVED, DONE, CANCELLED})
"""States no action leaves."""

STEP_NAMES = {
    "110": "Hồ sơ đang soạn",
    "120": "Chờ hồ sơ giấy qua bưu chính",
    "130": "Chờ tiếp nhận",
    "131": "Chờ bổ sung khi tiếp nhận",
    "132": "Chờ thanh toán khi tiếp nhận",
    "200": "Đang thụ lý",
    "201": "Chờ bổ sung khi thụ lý",
    "202": "Chờ thanh toán khi thụ lý",
    "210": "Chờ cơ quan phối hợp",
    "300": "Chờ trả kết quả",
    "302": "Chờ thanh toán khi trả kết quả",
    "310": "Đang trả kết quả qua bưu chính",
    "400": "Đã trả kết quả",
    "410": "Đã hủy",
}
"""Steps by code, in order. # source: default service process of OpenCPS."""

STATUS_NAMES = {
    "": "Hồ sơ nháp",
    "new": "Mới",
    "posting": "Đang chuyển qua bưu chính",
    "receiving": "Chờ tiếp nhận",
    "waiting": "Chờ bổ sung",
    "processing": "Đang xử lý",
    "interoperating": "Đang liên thông",
    "pausing": "Tạm dừng",
    "correcting": "Yêu cầu chỉnh sửa",
    "cancelling": "Yêu cầu hủy",
    "releasing": "Chờ trả kết quả",
    "denied": "Từ chối tiếp nhận",
    "unresolved": "Không giải quyết",
    "cancelled": "Đã hủy",
    "done": "Hoàn thành",
}
"""Statuses of OpenCPS."""

SUB_STATUS_NAMES = {
    "": "",
    "supplement": "Chờ bổ sung giấy tờ",
    "paying": "Chờ thanh toán",
    "assigned": "Đã phân công",
    "drafted": "Đã dự thảo kết quả",
}
"""Sub-statuses of this portal."""

_NATIONAL_STATUS = {
    "new": 1,
    "posting": 4,
    "receiving": 1,
    "processing": 4,
    "interoperating": 4,
    "releasing": 9,
    "denied": 3,
    "unresolved": 8,
    "cancelled": 8,
    "cancelling": 7,
    "done": 10,
}

_OPEN_BEFORE_RECEPTION = (RECEIVING, RECEPTION_SUPPLEMENT, RECEPTION_PAYING)
_OPEN_AT_WORK = (PROCESSING, ASSIGNED, DRAFTED, SUPPLEMENT, PAYING, INTEROPERATING)

_Edge = tuple[str, str, Actor, State, State, str, str]


def _payment_edges(
    calm: State, paying: State, *, pause: str = "", resume: str = ""
) -> tuple[_Edge, ...]:
    ask, pay, cancel = f"request_payment {pause}", f"pay {resume}", f"cancel_payment {resume}"
    return (
        ("8282", "Yêu cầu thanh toán", "officer", calm, paying, NATIONAL, ask),
        ("8888", "Đã thanh toán", "citizen", paying, calm, ONE_STOP, pay),
        ("8283", "Xác nhận thanh toán", "officer", paying, calm, NATIONAL, pay),
        ("8284", "Hủy yêu cầu thanh toán", "officer", paying, calm, NATIONAL, cancel),
    )


_EDGES: tuple[_Edge, ...] = (
    # the citizen drafts and sends
    ("1100", "Lưu hồ sơ", "citizen", BLANK, SAVED, "", ""),
    ("1300", "Gửi hồ sơ đến một cửa", "citizen", SAVED, RECEIVING, ONE_STOP, "submit"),
    ("1310", "Gửi hồ sơ qua bưu chính", "citizen", SAVED, BY_POST, ONE_STOP, "submit"),
    ("1100", "Lưu hồ sơ tại quầy", "officer", BLANK, SAVED, "", ""),
    ("1300", "Nhận hồ sơ tại quầy", "officer", SAVED, RECEIVING, NATIONAL, "submit"),
    ("1320", "Đã nhận hồ sơ giấy", "officer", BY_POST, RECEIVING, NATIONAL, ""),
    # reception
    ("1100", "Tiếp nhận hồ sơ", "officer", RECEIVING, PROCESSING, NATIONAL, "receive process"),
    ("1200", "Yêu cầu bổ sung", "officer", RECEIVING, RECEPTION_SUPPLEMENT, NATIONAL, ""),
    ("1250", "Gửi bổ sung", "citizen", RECEPTION_SUPPLEMENT, RECEIVING, ONE_STOP, ""),
    ("1400", "Từ chối tiếp nhận", "officer", RECEIVING, DENIED, NATIONAL, "release finish"),
    # work
    ("2100", "Phân công xử lý", "officer", PROCESSING, ASSIGNED, NATIONAL, ""),
    ("2200", "Dự thảo kết quả", "officer", ASSIGNED, DRAFTED, NATIONAL, ""),
    ("2300", "Ký duyệt", "officer", DRAFTED, RELEASING, NATIONAL, "release"),
    ("2310", "Trả lại dự thảo", "officer", DRAFTED, ASSIGNED, NATIONAL, ""),
    ("2400", "Yêu cầu bổ sung", "officer", ASSIGNED, SUPPLEMENT, NATIONAL, "pause"),
    ("2450", "Gửi bổ sung", "citizen", SUPPLEMENT, ASSIGNED, ONE_STOP, "resume"),
    ("2500", "Gửi liên thông", "officer", ASSIGNED, INTEROPERATING, NATIONAL, ""),
    ("2550", "Nhận kết quả liên thông", "officer", INTEROPERATING, ASSIGNED, NATIONAL, ""),
    ("2600", "Không giải quyết", "officer", ASSIGNED, UNRESOLVED, NATIONAL, "release finish"),
    # the result
    ("3100", "Trả kết quả", "officer", RELEASING, DONE, NATIONAL, "finish"),
    ("3110", "Trả kết quả qua bưu chính", "officer", RELEASING, RETURNING_BY_POST, NATIONAL, ""),
    ("3120", "Đã giao kết quả", "officer", RETURNING_BY_POST, DONE, NATIONAL, "finish"),
    # money
    *_payment_edges(RECEIVING, RECEPTION_PAYING),
    *_payment_edges(ASSIGNED, PAYING, pause="pause", resume="resume"),
    *_payment_edges(RELEASING, PICK_UP_PAYING),
    # withdrawal
    *(
        ("9100", "Rút hồ sơ", "citizen", state, CANCELLED, ONE_STOP, "release finish")
        for state in (SAVED, BY_POST, *_OPEN_BEFORE_RECEPTION)
    ),
    *(
        ("9200", "Hủy hồ sơ", "officer", state, CANCELLED, NATIONAL, "release finish")
        for state in (*_OPEN_BEFORE_RECEPTION, *_OPEN_AT_WORK)
    ),
)  # fmt: skip

FIRST_ACTION_NUMBER = 81
"""``processActionId`` of the first edge; any number, as long as it stays."""

ACTIONS = tuple(
    Action(number, code, name, actor, before, after, queue, frozenset(sets.split()))
    for number, (code, name, actor, before, after, queue, sets) in enumerate(
        _EDGES, FIRST_ACTION_NUMBER
    )
)
"""Every edge of the workflow, the main path first."""

STATES = tuple(
    dict.fromkeys(state for action in ACTIONS for state in (action.before, action.after))
)
"""Every state there is, in the order of the main path."""

ROLLBACK_CODE = "9000"
"""Undoes the last action."""
GOTO_CODE = "9999"
"""Jumps to a step."""
EDIT_CODE = "6969"
"""Edits a dossier without moving it."""

STEP_STATES = {
    state.step: state
    for state in (
        SAVED, BY_POST, RECEIVING, RECEPTION_SUPPLEMENT, RECEPTION_PAYING, PROCESSING,
        SUPPLEMENT, PAYING, INTEROPERATING, RELEASING, PICK_UP_PAYING, RETURNING_BY_POST,
        DONE, CANCELLED,
    )
}  # fmt: skip
"""Where a jump to a step leads."""


def next_actions(state: State, actor: Actor) -> tuple[Action, ...]:
    """Return what an actor may do in a state, the main path first."""
    return tuple(action for action in ACTIONS if action.before == state and action.actor == actor)


def find_action(state: State, actor: Actor, codes: str) -> Action | None:
    """Return the first action of a comma list that is permitted now, or ``None``.

    Parameters
    ----------
    state : State
        Where the dossier stands.
    actor : str
        Who asks.
    codes : str
        Action codes separated by commas; the first permitted one wins.
    """
    permitted = {action.code: action for action in reversed(next_actions(state, actor))}
    wanted = (code.strip() for code in codes.split(","))
    return next((permitted[code] for code in wanted if code in permitted), None)


def national_status(state: State) -> int:
    """Return the status code the National Public Service Portal is told, 1 to 10."""
    if state.status == "waiting" or state.sub_status == "paying":
        return 6 if state.sub_status == "paying" else 5
    return _NATIONAL_STATUS.get(state.status, 4)
