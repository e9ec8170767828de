"""A picture of noise: the answer is fixed, so nothing has to be read from it."""

import secrets
import struct
import zlib

WIDTH, HEIGHT = 150, 50  # assumption: size of a usual captcha
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY_8_BIT = (8, 0, 0, 0, 0)


def picture() -> bytes:
    """Return a grey PNG of noise, a different one each time, about 4 KB."""
    header = struct.pack(">II5B", WIDTH, HEIGHT, *_GREY_8_BIT)
    rows = b"".join(b"\x00" + _row() for _ in range(HEIGHT))
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks)


def _row() -> bytes:
    """Return one row of grey pixels, each of 16 shades."""
    return bytes(value & 0xF0 for value in secrets.token_bytes(WIDTH))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
