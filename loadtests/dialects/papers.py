"""Papers that citizens upload: real file types, any size, no two alike, made fast.

A file is a fixed head, random pages shared by all files, and a last piece that holds the file's
own text. Only the last piece is made and hashed for each file; the hash of everything before it is
computed once per length and continued from there.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

PAGE_BYTES: Final = 65_536
"""Shared pages are whole multiples of this."""

_BLOCK_PAGES = 32
_BLOCK_SEED = 20_240_101  # any fixed number: every machine has the same block

WRONG_TYPE = "exe"
"""A type no portal takes."""

_JPEG_MARKER = 0xFF
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNK_OVERHEAD = 12  # length, name and check sum of a PNG chunk


@dataclass(frozen=True, slots=True)
class Paper:
    """One file, ready to be sent in pieces.

    Attributes
    ----------
    name : str
        File name.
    extension : str
        Such as ``pdf``.
    media_type : str
        Such as ``application/pdf``.
    chunks : tuple of bytes-like
        Its content; most pieces are shared with other papers.
    size : int
        Bytes.
    sha256 : str
        Hash of the content, hex.
    """

    name: str
    extension: str
    media_type: str
    chunks: tuple[bytes | memoryview, ...]
    size: int
    sha256: str


def paper(extension: str, own_text: str, size: int, name: str = "") -> Paper:
    """Return a valid file.

    Parameters
    ----------
    extension : str
        ``pdf``, ``jpg`` or ``png``, or ``exe`` for one that must be refused.
    own_text : str
        ASCII text written into the file; another text, another hash.
    size : int
        Bytes; a file cannot be smaller than its head and end (below 600 bytes), then it is that.
    name : str, optional
        File name; by default from the text.
    """
    kind = _KINDS[extension]
    own = own_text.encode("ascii", "replace")
    least = len(kind.head) + len(kind.close(own, 0))
    pages = max(0, (size - least) // kind.page_bytes)
    last = _last_piece(kind, own, size - len(kind.head) - pages * kind.page_bytes, pages)
    digest = kind.hash_of(pages)
    digest.update(last)
    return Paper(
        name=name or f"{own_text.replace('/', '-')}.{extension}",
        extension=extension,
        media_type=kind.media_type,
        chunks=(kind.head, *kind.pages(pages), last),
        size=len(kind.head) + pages * kind.page_bytes + len(last),
        sha256=digest.hexdigest(),
    )


PAPER_TYPES = ("pdf", "jpg", "png")
"""Types citizens send."""

_PDF_PERCENT, _JPG_PERCENT = 60, 30  # assumption: scans as PDF, photos of papers, screenshots


def usual_type(key: int) -> str:
    """Return the type a paper with this key has: mostly PDF, else photos and screenshots."""
    share = (key >> 8) % 100
    return PAPER_TYPES[(share >= _PDF_PERCENT) + (share >= _PDF_PERCENT + _JPG_PERCENT)]


Close = Callable[[bytes, int], bytes]
Fill = Callable[[int], bytes]


@dataclass(slots=True)
class _Kind:
    """How files of one type begin, go on and end."""

    media_type: str
    head: bytes
    close: Close
    """What ends a file with this own text and this many filling bytes before."""
    fill: Fill
    """Filling of a given length, in the type's own form."""
    block: bytes
    page_bytes: int
    hashes: list["hashlib._Hash"] = field(default_factory=list)

    def hash_of(self, pages: int) -> "hashlib._Hash":
        """Return the hash of the head and so many pages, to be continued."""
        if not self.hashes:
            self.hashes.append(hashlib.sha256(self.head))
        view = memoryview(self.block)
        while len(self.hashes) <= pages:
            following = self.hashes[-1].copy()
            start = (len(self.hashes) - 1) % _BLOCK_PAGES * self.page_bytes
            following.update(view[start : start + self.page_bytes])
            self.hashes.append(following)
        return self.hashes[pages].copy()

    def pages(self, pages: int) -> Sequence[bytes | memoryview]:
        """Return so many shared pages in few pieces."""
        blocks, rest = divmod(pages, _BLOCK_PAGES)
        return [self.block] * blocks + [memoryview(self.block)[: rest * self.page_bytes]]


def _last_piece(kind: _Kind, own: bytes, size: int, pages: int) -> bytes:
    """Return filling and end, ``size`` bytes together if that is enough for the end."""
    filled = pages * kind.page_bytes
    filling = kind.fill(max(0, size - len(kind.close(own, filled))))
    end = kind.close(own, filled + len(filling))
    missing = size - len(filling) - len(end)  # a few bytes too few for a chunk of filling
    if missing > 0:
        end = kind.close(own + b" " * missing, filled + len(filling))
    return filling + end


def _random_block() -> bytes:
    return np.random.Generator(np.random.PCG64(_BLOCK_SEED)).bytes(_BLOCK_PAGES * PAGE_BYTES)


_BLOCK = _random_block()


# PDF: one page and a stream of random bytes, whose length stands after it.

_PDF_OBJECTS = (
    b"1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n",
    b"2 0 obj\n<</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\n",
    b"3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>\nendobj\n",
    b"4 0 obj\n<</Length 5 0 R>>\nstream\n",
)
_PDF_FIRST_LINE = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
_PDF_HEAD = _PDF_FIRST_LINE + b"".join(_PDF_OBJECTS)
_LENGTH_DIGITS = 10  # a length of fixed width keeps the file's size independent of it


def _pdf_close(own: bytes, filled: int) -> bytes:
    stream_end = b"\nendstream\nendobj\n"
    length_at = len(_PDF_HEAD) + filled + len(stream_end)
    length = b"5 0 obj\n%0*d\nendobj\n" % (_LENGTH_DIGITS, filled)
    info_at = length_at + len(length)
    info = b"6 0 obj\n<</Title(%b)>>\nendobj\n" % own
    at = len(_PDF_FIRST_LINE)
    offsets = []
    for text in _PDF_OBJECTS:
        offsets.append(at)
        at += len(text)
    entries = b"".join(b"%010d 00000 n \n" % offset for offset in (*offsets, length_at, info_at))
    table = b"xref\n0 7\n0000000000 65535 f \n" + entries
    trailer = b"trailer\n<</Size 7/Root 1 0 R/Info 6 0 R>>\nstartxref\n%0*d\n%%%%EOF\n" % (
        _LENGTH_DIGITS,
        info_at + len(info),
    )
    return stream_end + length + info + table + trailer


# JPEG: a grey picture of 8 x 8; random scan data without marker bytes; the text as a comment.


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", _JPEG_MARKER, marker, len(content) + 2) + content


_ONE_CODE = bytes([1] + [0] * 15 + [0])  # a Huffman table with a single code word
_JPG_HEAD = (
    b"\xff\xd8"
    + _segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
    + _segment(0xDB, b"\x00" + bytes([1] * 64))
    + _segment(0xC0, b"\x08\x00\x08\x00\x08\x01\x01\x11\x00")
    + _segment(0xC4, b"\x00" + _ONE_CODE)
    + _segment(0xC4, b"\x10" + _ONE_CODE)
    + _segment(0xDA, b"\x01\x01\x00\x00\x3f\x00")
    + b"\x3f"  # the whole picture: two code words
)
_JPG_BLOCK = _BLOCK.replace(b"\xff", b"\x7f")


def _jpg_close(own: bytes, _filled: int) -> bytes:
    return _segment(0xFE, own) + b"\xff\xd9"


# PNG: one pixel; random bytes in private chunks that viewers skip; the text as a text chunk.


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(name))
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


_FILLING_CHUNK = b"hoSo"  # ancillary, private, safe to copy
_PNG_HEAD = (
    _PNG_SIGNATURE
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\x00"))
)
_PNG_BLOCK = b"".join(
    _chunk(_FILLING_CHUNK, _BLOCK[start : start + PAGE_BYTES])
    for start in range(0, len(_BLOCK), PAGE_BYTES)
)


def _png_fill(size: int) -> bytes:
    if size < _CHUNK_OVERHEAD:
        return b""
    return _chunk(_FILLING_CHUNK, _BLOCK[: size - _CHUNK_OVERHEAD])


def _png_close(own: bytes, _filled: int) -> bytes:
    return _chunk(b"tEXt", b"Comment\x00" + own) + _chunk(b"IEND", b"")


# A program: refused by its name and its first two letters.

_EXE_HEAD = b"MZ" + bytes(62)


def _exe_close(own: bytes, _filled: int) -> bytes:
    return own


def _plain(block: bytes) -> Fill:
    def fill(size: int) -> bytes:
        return block[:size]

    return fill


_KINDS = {
    "pdf": _Kind("application/pdf", _PDF_HEAD, _pdf_close, _plain(_BLOCK), _BLOCK, PAGE_BYTES),
    "jpg": _Kind("image/jpeg", _JPG_HEAD, _jpg_close, _plain(_JPG_BLOCK), _JPG_BLOCK, PAGE_BYTES),
    "png": _Kind(
        "image/png", _PNG_HEAD, _png_close, _png_fill, _PNG_BLOCK, PAGE_BYTES + _CHUNK_OVERHEAD
    ),
    WRONG_TYPE: _Kind(
        "application/x-msdownload", _EXE_HEAD, _exe_close, _plain(_BLOCK), _BLOCK, PAGE_BYTES
    ),
}
