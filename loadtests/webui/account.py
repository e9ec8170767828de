"""Who may open the web UI: one account, named with its password in the environment. Pure."""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from loadtests.work import LoadError

USER_VARIABLE = "HOSO_WEB_USER"
PASSWORD_VARIABLE = "HOSO_WEB_PASSWORD"


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


def account_for(host: str, environment: Mapping[str, str], *, has_login: bool) -> Account | None:
    """Return the account that opens a web UI; None where it needs none.

    Parameters
    ----------
    host : str
        Where the web UI listens; empty: everywhere.
    environment : mapping of str to str
        Environment variables.
    has_login : bool
        Whether it asks for a login.

    Raises
    ------
    LoadError
        When others could reach it and no login keeps them out, or the account is not named.
    """
    if not has_login:
        if not _is_loopback(host):
            raise LoadError(
                f"--web-host {host or '*'}: others could start load tests there; add --web-login, "
                f"with {USER_VARIABLE} and {PASSWORD_VARIABLE} in the environment, or leave "
                "--web-host out"
            )
        return None
    user, password = environment.get(USER_VARIABLE, ""), environment.get(PASSWORD_VARIABLE, "")
    if not user or not password:
        raise LoadError(
            f"--web-login: set {USER_VARIABLE} and {PASSWORD_VARIABLE} in the environment; the web "
            "UI opens with them"
        )
    return Account(user, password)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
