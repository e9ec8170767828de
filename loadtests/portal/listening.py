"""The socket of a server, bound before anything else starts: a busy port is said at once."""

import errno
import ipaddress
import socket

BACKLOG = 2048  # assumption: as uvicorn's


class ListenError(Exception):
    """A server cannot listen; its text says why and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Parameters
    ----------
    host : str
        Address to bind, such as ``127.0.0.1``.
    port : int
        0: any free port.

    Raises
    ------
    ListenError
        When the port is taken or not allowed, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        raise ListenError(_reason(host, port, error)) from error
    server.setblocking(False)
    return server


def url_of(server: socket.socket) -> str:
    """Return the URL at which a listening socket is reached."""
    host, port = server.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _reason(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken: stop what listens there, or choose another --port"
    if error.errno == errno.EACCES:
        return f"port {port} may not be used by this account: choose one above 1023"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"{host} is no address of this machine"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"
