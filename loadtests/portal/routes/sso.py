"""Single sign-on of the national portal: where to sign in, who signed in, which account that is."""

import hmac
import re
import urllib.parse
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from loadtests.portal.accounts import COOKIE
from loadtests.portal.conventions import (
    CodeText,
    NameText,
    gateway_failed,
    json_answer,
    not_signed_in,
    text_answer,
)
from loadtests.portal.gateway_client import GatewayError
from loadtests.portal.routes.account import start_session
from loadtests.portal.visits import CurrentVisit, PortalRouter

router = PortalRouter(prefix="/o/rest/v2/dvcqgsso", tags=["single sign-on"])

_PERSONAL_NUMBER = re.compile(r"[0-9]{12}")

Json = dict[str, Any]


class UserInfo(BaseModel):
    """Who signed in, as ``userinfo`` said it; other fields are ignored."""

    model_config = ConfigDict(populate_by_name=True)

    personal_number: CodeText = Field(alias="SoDinhDanh")
    name: NameText = Field("", alias="HoVaTen")
    ticket: NameText = Field("", alias="encryptData")


@router.get("/authurl")
def authorize_url(
    visit: CurrentVisit,
    state: NameText = "",
    redirect_url: Annotated[NameText, Query(alias="redirectURL")] = "",
) -> str:
    """Return the address of the sign-in page; the page itself is no part of the portal."""
    base = visit.settings.gateways or "http://127.0.0.1:8081"
    query = urllib.parse.urlencode(
        {
            "response_type": "code",
            "client_id": "hoso",
            "redirect_uri": redirect_url,
            "state": state,
            "scope": "openid",
        }
    )
    return f"{base}/sso/authorize?{query}"


@router.get("/userinfo")
def userinfo(
    visit: CurrentVisit,
    auth_token: Annotated[NameText, Query(alias="authToken")],
    state: NameText = "",
    provider: CodeText = "",
) -> Json:
    """Return who signed in, with the portal's proof of it."""
    del state, provider
    try:
        token = visit.gateways.sso_token(auth_token)
        found = visit.gateways.sso_userinfo(str(token.get("access_token", "")))
    except GatewayError as error:
        raise gateway_failed(f"SSOException: single sign-on failed: {error}") from error
    number = str(found.get("SoDinhDanh", ""))
    if not _PERSONAL_NUMBER.fullmatch(number):
        raise not_signed_in("Single sign-on names nobody.")
    return dict(found) | {"encryptData": visit.world.accounts.ticket_of(number)}


@router.post("/auth")
def authenticate(visit: CurrentVisit, info: UserInfo) -> Response:
    """Sign in whoever single sign-on vouched for; ``create``: the account is new."""
    expected = visit.world.accounts.ticket_of(info.personal_number)
    is_proof = hmac.compare_digest(info.ticket.encode(), expected.encode())
    if not is_proof or not visit.settings.secrets.user_secret:
        raise not_signed_in("Not vouched for by single sign-on.")
    user, is_new = visit.world.accounts.citizen_of(info.personal_number, info.name, visit.now)
    body = {
        "state": "create" if is_new else "auth",
        "userId": user.user_id,
        "statusCode": 200,
        "encryptData": info.ticket,
    }
    answer = json_answer(body)
    start_session(visit, user, answer)
    return answer


@router.post("/logout", response_class=PlainTextResponse)
def logout(visit: CurrentVisit) -> Response:
    """End the session."""
    visit.world.accounts.sign_out(visit.request.cookies.get(COOKIE, ""))
    answer = text_answer("ok")
    answer.delete_cookie(COOKIE)
    return answer
