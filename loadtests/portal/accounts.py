"""Who asks: passwords, sessions, tokens, lock-outs.

Synthetic users only: ``c`` and a 12-digit personal number for a citizen, ``o`` and four digits for
an officer; the password is HMAC-SHA256(secret, user name) in hex. A citizen's account comes into
being at the first sign-in, as single sign-on's state ``create`` does; officers are seeded.
"""

import base64
import binascii
import hashlib
import hmac
import json
import logging
import re
import secrets
from dataclasses import dataclass
from typing import Literal

from fastapi import Request
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from loadtests.portal.conventions import business_error, not_found
from loadtests.portal.settings import PortalSettings
from loadtests.portal.store.database import Database, insert_new
from loadtests.portal.store.models import User, UserSession

logger = logging.getLogger(__name__)

COOKIE = "JSESSIONID"
TOKEN_HEADER = "Token"
TOKEN_LIFE_S = 900  # source: OpenCPS, JWT of 15 minutes
CITIZEN = re.compile(r"c[0-9]{12}")
OFFICER = re.compile(r"o[0-9]{4}")

SignInState = Literal["ok", "officer", "pending", "lockout", "refused"]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user who is signed in.

    Attributes
    ----------
    user_id : int
    login, name, email, tel_no : str
    role : str
        ``citizen`` or ``officer``.
    id_no, id_type : str
        Personal number or tax code, and which.
    agency_code : str
        Of an officer; else empty.
    session_token : str or None
        Token of the session's cookie; None when signed in by a header.
    """

    user_id: int
    login: str
    name: str
    email: str
    tel_no: str
    role: str
    id_no: str
    id_type: str
    agency_code: str
    session_token: str | None = None

    @property
    def is_officer(self) -> bool:
        """Whether the user is an officer."""
        return self.role == "officer"


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks for an account."""

    id_no: str
    name: str
    email: str
    tel_no: str


@dataclass(frozen=True, slots=True)
class SignIn:
    """Outcome of a password's check; ``user`` is set when the password was right."""

    state: SignInState
    user: SignedIn | None = None


def password_of(secret: str, login: str) -> str:
    """Return the password of a synthetic user.

    Parameters
    ----------
    secret : str
        The secret of all of them, from the environment.
    login : str
        User name.
    """
    return hmac.new(secret.encode(), login.encode(), hashlib.sha256).hexdigest()


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """Return user name and password of an ``Authorization: Basic`` header, or None."""
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    login, colon, password = decoded.partition(":")
    return (login, password) if colon else None


class Accounts:
    """Signs users in and recognises them."""

    def __init__(self, settings: PortalSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._secret = settings.secrets.user_secret
        self._token_key = hashlib.sha256(b"bearer " + self._secret.encode()).digest()
        if not self._secret:
            logger.warning("HOSO_PORTAL_USER_SECRET is not set: nobody can sign in")
        if not settings.secrets.captcha:
            logger.warning("HOSO_CAPTCHA is not set: every captcha is refused")

    def is_captcha(self, answer: str) -> bool:
        """Return whether this is the fixed answer of the captcha."""
        expected = self._settings.secrets.captcha
        if not expected:
            logger.warning("a captcha was refused because HOSO_CAPTCHA is not set")
            return False
        return hmac.compare_digest(answer.encode("utf-8", "replace"), expected.encode())

    def check(self, login: str, password: str, now: float) -> SignIn:
        """Check a password; count a wrong one.

        Parameters
        ----------
        login, password : str
            As sent.
        now : float
            s since 1970.
        """
        user, state = self._checked(login, password, now)
        is_officer = state == "ok" and user is not None and user.is_officer
        return SignIn("officer" if is_officer else state, user)

    def start_session(self, user_id: int, now: float) -> tuple[str, str]:
        """Start a session for a known account; return its id and token."""
        session_id, token = secrets.token_hex(16).upper(), secrets.token_urlsafe(6)
        with self._database.writing() as db:
            db.add(UserSession(session_id=session_id, token=token, user_id=user_id, created_at=now))
        return session_id, token

    def sign_out(self, session_id: str) -> None:
        """End a session."""
        with self._database.writing() as db:
            db.execute(delete(UserSession).where(UserSession.session_id == session_id))

    def citizen_of(self, id_no: str, name: str, now: float) -> tuple[SignedIn, bool]:
        """Return the account of a personal number and whether it was created just now."""
        login = f"c{id_no}"
        with self._database.writing() as db:
            is_new = _create_citizen(db, login, name, now)
            return _signed_in(db.scalars(select(User).where(User.login == login)).one()), is_new

    def register(self, applicant: Applicant, now: float) -> tuple[SignedIn, str]:
        """Create an account that waits for its activation; return it and the activation code.

        Raises
        ------
        WireError
            403, when the personal number is none of the synthetic ones or has an account already.
        """
        login = f"c{applicant.id_no}"
        if not CITIZEN.fullmatch(login):
            raise business_error("InvalidIdNoException: a personal number has 12 digits")
        with self._database.writing() as db:
            if not _create_citizen(db, login, applicant.name, now, applicant, "pending"):
                raise business_error("DuplicateApplicantIdException: the account exists already")
            user = db.scalars(select(User).where(User.login == login)).one()
            return _signed_in(user), self._activation_code(user.user_id)

    def activate(self, user_id: int, code: str) -> SignedIn:
        """Open a registered account.

        Raises
        ------
        WireError
            403, when the code is not that of the account.
        """
        expected = self._activation_code(user_id).encode()
        if not hmac.compare_digest(code.encode(), expected):
            raise business_error("ActivationException: the activation code is wrong")
        with self._database.writing() as db:
            user = db.get(User, user_id)
            if user is None:
                raise not_found("Applicant", user_id)
            user.status = "active"
            return _signed_in(user)

    def ticket_of(self, id_no: str) -> str:
        """Return the signature that proves that single sign-on vouched for a personal number."""
        return self._signature(f"ticket {id_no}")

    def profile(self, user_id: int) -> SignedIn:
        """Return an account, or answer 403."""
        with self._database.reading() as db:
            user = db.get(User, user_id)
        if user is None:
            raise not_found("User", user_id)
        return _signed_in(user)

    def _activation_code(self, user_id: int) -> str:
        return self._signature(f"activation {user_id}")[:12]

    def bearer_token(self, user: SignedIn, now: float) -> str:
        """Return a signed token (JWT, HS512) that stands for the user for 15 minutes."""
        head = _encoded({"alg": "HS512", "typ": "JWT"})
        claims = {"sub": user.login, "uid": user.user_id, "exp": int(now) + TOKEN_LIFE_S}
        signed = f"{head}.{_encoded(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def who_asks(self, request: Request, now: float) -> SignedIn | None:
        """Return whom a request's header or cookie stands for, or None."""
        authorization = request.headers.get("authorization", "")
        if authorization[:7].lower() == "bearer ":
            return self._of_bearer(authorization[7:].strip(), now)
        credentials = basic_credentials(authorization)
        if credentials is not None:
            user, state = self._checked(*credentials, now)
            return user if state == "ok" else None
        return self._of_cookie(request, now)

    def _of_cookie(self, request: Request, now: float) -> SignedIn | None:
        """Return the cookie's user, unless a token of another session comes with it."""
        session_id = request.cookies.get(COOKIE, "")
        if not session_id or len(session_id) > 120 or "\x00" in session_id:
            return None
        query = (
            select(User, UserSession)
            .join(UserSession, UserSession.user_id == User.user_id)
            .where(
                UserSession.session_id == session_id,
                UserSession.created_at > now - self._settings.session_s,
            )
        )
        with self._database.reading() as db:
            row = db.execute(query).first()
        if row is None:
            return None
        token = request.headers.get(TOKEN_HEADER, "")
        if token and not hmac.compare_digest(token.encode(), row[1].token.encode()):
            return None
        return _signed_in(row[0], row[1].token)

    def _of_bearer(self, token: str, now: float) -> SignedIn | None:
        signed, _, signature = token.rpartition(".")
        expected = self._signature(signed)
        if not self._secret or not hmac.compare_digest(signature.encode(), expected.encode()):
            return None
        claims = json.loads(base64.urlsafe_b64decode(signed.partition(".")[2] + "=="))
        if claims["exp"] < now:
            return None
        with self._database.reading() as db:
            user = db.get(User, claims["uid"])
        return None if user is None else _signed_in(user)

    def _signature(self, signed: str) -> str:
        digest = hmac.new(self._token_key, signed.encode(), hashlib.sha512).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def _checked(
        self, login: str, password: str, now: float
    ) -> tuple[SignedIn | None, SignInState]:
        """Return the user whose password this is, or why not; count wrong passwords."""
        is_citizen = CITIZEN.fullmatch(login) is not None
        if not self._secret or not (is_citizen or OFFICER.fullmatch(login)):
            return None, "refused"
        expected = password_of(self._secret, login).encode()
        is_right = hmac.compare_digest(password.encode("utf-8", "replace"), expected)
        with self._database.reading() as db:
            user = db.scalars(select(User).where(User.login == login)).first()
        if user is None and is_right and is_citizen:
            with self._database.writing() as db:
                _create_citizen(db, login, "", now)
                user = db.scalars(select(User).where(User.login == login)).one()
        if user is None:
            return None, "refused"
        if user.locked_until_at > now:
            return None, "lockout"
        if not is_right:
            return None, self._count_failure(user.user_id, now)
        if user.failed_logins:
            self._forget_failures(user.user_id)
        return _signed_in(user), "ok" if user.status == "active" else "pending"

    def _count_failure(self, user_id: int, now: float) -> SignInState:
        """Count a wrong password; the last one allowed locks the account."""
        with self._database.writing() as db:
            user = db.get_one(User, user_id)
            user.failed_logins += 1
            if user.failed_logins < self._settings.password_attempts:
                return "refused"
            user.failed_logins = 0
            user.locked_until_at = now + self._settings.lockout_s
        return "lockout"

    def _forget_failures(self, user_id: int) -> None:
        with self._database.writing() as db:
            db.execute(update(User).where(User.user_id == user_id).values(failed_logins=0))


def _create_citizen(
    db: Session,
    login: str,
    name: str,
    now: float,
    applicant: Applicant | None = None,
    status: str = "active",
) -> bool:
    """Create a citizen's account unless it is there; say whether it was created."""
    id_no = login[1:]
    return insert_new(
        db,
        User,
        {
            "login": login,
            "role": "citizen",
            "name": name or f"Công dân {id_no}",
            "id_no": id_no,
            "id_type": "citizen",
            "email": applicant.email if applicant else f"{login}@example.test",
            "tel_no": applicant.tel_no if applicant else "",
            "agency_code": "",
            "status": status,
            "failed_logins": 0,
            "locked_until_at": 0.0,
            "created_at": now,
        },
    )


def _signed_in(user: User, session_token: str | None = None) -> SignedIn:
    return SignedIn(
        user_id=user.user_id,
        login=user.login,
        name=user.name,
        email=user.email,
        tel_no=user.tel_no,
        role=user.role,
        id_no=user.id_no,
        id_type=user.id_type,
        agency_code=user.agency_code,
        session_token=session_token,
    )


def _encoded(claims: dict[str, object]) -> str:
    text = json.dumps(claims, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
