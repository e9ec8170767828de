"""Signing in to an OpenCPS portal, the personal page, and tracking without signing in."""

from collections.abc import Callable
from functools import partial

from loadtests.dialects.base import Answer, Call, Reading
from loadtests.dialects.encoding import (
    Fields,
    WrongContentError,
    excerpt,
    form,
    in_path,
    json_object,
    listing,
    text_of,
    with_query,
)
from loadtests.dialects.opencps.services import any_list, get, people_of
from loadtests.dialects.opencps.session import LOGIN, MAIN, MENUS, PAGE_ROWS, Session
from loadtests.dialects.visiting import OK, Exchange, Moment

TRACKING_ROWS = 10  # source: OpenCPS tracking app

_SIGNED_IN = (b"ok", b"/c")
"""Answers to a citizen and to an officer."""

_REFUSALS = {
    b"": "user name or password refused (empty answer)",
    b"pending": "account is not activated",
    b"captcha": "captcha refused",
    b"lockout": "account is locked after too many attempts",
    b"verify": "account is not verified",
}

_WRONG_CAPTCHA = "wrong"

_PAYING = ("202", "302", "132")
_SUPPLEMENT = ("201", "131")
"""Steps that wait for the citizen. # source: default service process of OpenCPS."""

_STEPS_WANTED = {"payer": _PAYING, "supplementer": _SUPPLEMENT}


# Signing in


def sign_in(s: Session, _m: Moment) -> Exchange:
    """Sign in with the synthetic user's password."""
    return Exchange(_login(s, s.credentials.captcha), partial(_signed_in, s))


def _login(s: Session, captcha: str) -> Call:
    headers = {**s.headers.form, "Authorization": f"BASIC {s.basic}"}
    fields: Fields = {"j_captcha_response": captcha} if captcha else {}
    return Call("POST", f"{LOGIN}/login", headers, form(fields))


def _signed_in(s: Session, answer: Answer) -> Reading:
    text = answer.body.strip()
    if text not in _SIGNED_IN:
        raise WrongContentError(_REFUSALS.get(text, f"unknown answer: {excerpt(text)}"))
    token = answer.headers.get("token") or answer.headers.get("p_auth") or ""
    s.user_id = answer.headers.get("userid", "")
    s.use_headers({"Token": token} if token else {"Authorization": f"Basic {s.basic}"})
    return OK


def sign_in_refused(s: Session, _m: Moment) -> Exchange:
    """Sign in with a wrong captcha: the portal must refuse."""
    call = _login(s, _WRONG_CAPTCHA + s.credentials.captcha)
    return Exchange(call, _accepted_captcha, _refused_captcha)


def _refused_captcha(answer: Answer) -> Reading | None:
    return OK if answer.status == 203 or answer.body.strip() == b"captcha" else None


def _accepted_captcha(_answer: Answer) -> Reading:
    raise WrongContentError("a wrong captcha was accepted")


# The personal page


def user(s: Session, m: Moment) -> Exchange:
    """The user's own data; without a known id, what the sign-in says."""
    if not s.user_id:
        return roles(s, m)
    return get(s, f"{LOGIN}/users/{in_path(s.user_id)}", _user)


def _user(answer: Answer) -> Reading:
    if not json_object(answer.body):
        raise WrongContentError("the profile is empty")
    return OK


def roles(s: Session, _m: Moment) -> Exchange:
    """Who is signed in and in which roles."""
    return get(s, f"{MAIN}/users/login", _roles)


def _roles(answer: Answer) -> Reading:
    if not all("role" in row for row in people_of(answer)):
        raise WrongContentError("role missing")
    return OK


def menu(s: Session, _m: Moment) -> Exchange:
    """The menu of the personal page."""
    return get(s, f"{MENUS}/menuconfigs/todo", any_list)


def own_counters(s: Session, _m: Moment) -> Exchange:
    """The citizen's dossiers per step."""
    return get(s, f"{MAIN}/statistics/dossiers/todo?owner=true", any_list)


def own_count(s: Session, _m: Moment) -> Exchange:
    """The citizen's dossiers altogether."""
    return get(s, f"{MAIN}/dossiers/todo?owner=true&start=0&end=1", any_list)


def own_dossiers(s: Session, _m: Moment) -> Exchange:
    """The citizen's dossiers; those who come to pay or to supplement look for theirs."""
    steps = _STEPS_WANTED.get(s.role, ())
    query: Fields = {
        "owner": "true",
        "order": "true",
        "step": ",".join(steps),
        "start": 0,
        "end": PAGE_ROWS,
    }
    path = with_query(f"{MAIN}/dossiers/todo", query)
    return get(s, path, partial(_own_dossiers, s, steps))


def _own_dossiers(s: Session, steps: tuple[str, ...], answer: Answer) -> Reading:
    _, rows = listing(answer.body)
    if not steps:
        return OK
    waiting = [row for row in rows if text_of(row.get("stepCode")) in steps]
    if not waiting:
        raise WrongContentError(
            f"{s.user_name} has no dossier at step {' or '.join(steps)}: "
            "the portal needs test citizens whose dossiers wait for them"
        )
    s.learn_dossier(waiting[0])
    return OK


# Tracking without signing in


def track(s: Session, m: Moment) -> Exchange:
    """Look a dossier up by the applicant's number, with the key of the minute."""
    query: Fields = {
        "start": 0,
        "end": TRACKING_ROWS,
        "order": "true",
        "applicantIdNo": s.person.personal_number,
    }
    path = with_query(f"{MAIN}/dossiers", query)
    return as_tracker(s, m, ask=lambda s, _m: get(s, path, partial(_tracked, s)))


def as_tracker(s: Session, m: Moment, *, ask: Callable[[Session, Moment], Exchange]) -> Exchange:
    """Ask with the key of the minute."""
    s.use_headers({"authenKey": s.tracking_key(m.now_ms)})
    return ask(s, m)


def _tracked(s: Session, answer: Answer) -> Reading:
    _, rows = listing(answer.body)
    number = s.person.personal_number
    if not rows:
        raise WrongContentError(f"no dossier of {number}: the portal needs test dossiers to track")
    if any(text_of(row.get("applicantIdNo")) != number for row in rows):
        raise WrongContentError(f"dossiers of others than {number}")
    s.learn_dossier(rows[s.key % len(rows)])
    return OK
