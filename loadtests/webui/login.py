"""The login of the web UI, on Locust's own login page."""

from locust.web import WebUI

import secrets

import gevent
from flask import Blueprint, redirect, request, session, url_for
from flask_login import UserMixin, login_user  # type: ignore[import-untyped]
from werkzeug.wrappers import Response

from loadtests.webui.account import Account

_WRONG = "The user name or the password is wrong."
_WRONG_TAKES_S = 1.0
"""A wrong password is told after so much time: guessing takes longer."""


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
