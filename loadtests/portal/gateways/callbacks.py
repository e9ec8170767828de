"""Whom a gateway may call back: this machine and its own caller, nobody else."""

import ipaddress
from urllib.parse import urlsplit


def may_call_back(url: str, caller: str) -> bool:
    """Whether a callback address stays with the caller: no request of anybody goes elsewhere.

    Parameters
    ----------
    url : str
        Address that an order names.
    caller : str
        Network address of whoever placed the order.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme != "http" or not host:
        return False
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or host == caller
