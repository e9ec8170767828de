"""Changing gateways that run in another process: the portal's own wire, nothing of its code."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""Anything JSON can say."""

Fields = dict[str, Json]
"""One JSON object."""

TIMEOUT_S = 10.0  # assumption: control answers at once unless the machine is overloaded


class RemoteError(Exception):
    """The gateways cannot be reached or refuse a change; its text says why and what to do."""


class RemoteGateways:
    """The control of a running ``hoso gateways``.

    Parameters
    ----------
    url : str
        Its base URL.
    key : str
        The shared key.
    """

    def __init__(self, url: str, key: str) -> None:
        import httpx

        self._url = url.rstrip("/")
        self._client = httpx.Client(headers={"X-Hoso-Key": key}, timeout=TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def states(self) -> Fields:
        """Return behaviour and counts of every gateway, by name."""
        return self._ask("GET", "/control")

    def change(self, gateway: str, changes: Mapping[str, Json]) -> Fields:
        """Change fields of one gateway's behaviour; return its new state."""
        return self._ask("PUT", f"/control/{gateway}", changes)

    def audit(self, after: str = "", limit: int = 1000) -> Fields:
        """Return one page of what was received: ``total``, ``repeats``, ``data``, …"""
        return self._ask("GET", f"/audit?after={after}&limit={limit}")

    def _ask(self, method: str, path: str, fields: Mapping[str, Json] | None = None) -> Fields:
        import httpx

        try:
            body = None if fields is None else dict(fields)
            answer = self._client.request(method, self._url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RemoteError(
                f"no gateways answer at {self._url} ({error}): start `hoso gateways`, or "
                "correct --url"
            ) from error
        return self._object(answer)

    def _object(self, answer: "httpx.Response") -> Fields:
        try:
            value = answer.json()
        except json.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            raise RemoteError(f"{self._url} is not `hoso gateways`: it answers something else")
        if answer.status_code == 200:
            return value
        if answer.status_code == 401:
            raise RemoteError("HOSO_MONITOR_KEY is not the key the gateways were started with")
        faults = value.get("faults")
        raise RemoteError("\n".join(map(str, faults)) if isinstance(faults, list) else str(value))
