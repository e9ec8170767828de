"""Who may see the web UI: one user, named with the password in the environment."""

from locust.web import WebUI

import hmac
import ipaddress
import os
import secrets
from dataclasses import dataclass, field

import gevent
from flask import Blueprint, redirect, request, session, url_for
from flask_login import UserMixin, login_user  # type: ignore[import-untyped]
from werkzeug.wrappers import Response

from loadtests.work import LoadError

USER_VARIABLE = "HOSO_WEB_USER"
PASSWORD_VARIABLE = "HOSO_WEB_PASSWORD"

_WRONG = "The user name or the password is wrong."
_WRONG_TAKES_S = 1.0
"""A wrong password is told after so much time: guessing takes longer."""


@dataclass(frozen=True, slots=True)
class Account:
    """The one account of the web UI."""

    user: str
    password: str = field(repr=False)

    def opens_with(self, user: str, password: str) -> bool:
        """Return whether user and password are right, in a time that tells nothing of them."""
        is_user = hmac.compare_digest(user.encode(), self.user.encode())
        is_password = hmac.compare_digest(password.encode(), self.password.encode())
        return is_user & is_password


def account_for(web_ui: WebUI) -> Account | None:
    """Return the account that opens the web UI; None where it needs none.

    Raises
    ------
    LoadError
        When others could reach it and no account keeps them out, or the account is not named.
    """
    if not web_ui.web_login:
        if not _is_loopback(web_ui.host):
            raise LoadError(
                f"--web-host {web_ui.host or '*'}: others could start load tests there; add "
                f"--web-login, with {USER_VARIABLE} and {PASSWORD_VARIABLE} in the environment, or "
                "leave --web-host out"
            )
        return None
    user, password = os.environ.get(USER_VARIABLE, ""), os.environ.get(PASSWORD_VARIABLE, "")
    if not user or not password:
        raise LoadError(
            f"--web-login: set {USER_VARIABLE} and {PASSWORD_VARIABLE} in the environment; the web "
            "UI opens with them"
        )
    return Account(user, password)


def guard(web_ui: WebUI, account: Account, pages: Blueprint) -> None:
    """Let only the account in; adds the page that the form of the login is sent to."""
    assert web_ui.app is not None
    web_ui.app.secret_key = secrets.token_bytes(32)
    web_ui.app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True)
    web_ui.login_manager.user_loader(lambda name: _User(name) if name == account.user else None)

    @pages.post("/login")
    def log_in() -> Response:
        given = request.form.get("username", ""), request.form.get("password", "")
        if account.opens_with(*given):
            session.clear()
            login_user(_User(account.user))
            return redirect(url_for("locust.index"))
        gevent.sleep(_WRONG_TAKES_S)
        session["auth_error"] = _WRONG
        return redirect(url_for("locust.login"))

    web_ui.auth_args["username_password_callback"] = f"{pages.url_prefix}/login"


class _User(UserMixin):  # type: ignore[misc]  # Flask-Login is not typed
    def __init__(self, name: str) -> None:
        self.id = name


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
