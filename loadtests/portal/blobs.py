"""Files of dossiers on disk, named by the hash of their content.

A file is written to a temporary name while it arrives, flushed to the disk, and only then renamed
to its hash; the row that speaks of it is committed after that. So a row never points to a file
that is missing or half there, whatever is killed when. The same bytes are stored once.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

CHUNK_BYTES = 1 << 18
"""Piece in which files are read and copied."""

_HASH_LENGTH = 64


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A file that is safely on disk.

    Attributes
    ----------
    sha256 : str
        Hash of the content, hexadecimal.
    size_bytes : int
        Length, bytes.
    """

    sha256: str
    size_bytes: int


class IncomingBlob:
    """A file that is still arriving; ``discard`` it unless it was kept.

    Parameters
    ----------
    store : BlobStore
        Where it will live.
    """

    def __init__(self, store: "BlobStore") -> None:
        self._store = store
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        descriptor, name = tempfile.mkstemp(dir=store.incoming_folder)
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._size_bytes

    def write(self, data: bytes) -> None:
        """Append a piece; it is hashed on the way."""
        self._hash.update(data)
        self._size_bytes += len(data)
        view = memoryview(data)
        while len(view):
            view = view[self._file.write(view) or 0 :]

    def close(self) -> None:
        """Hold no descriptor any longer: it has arrived, and others of its request may follow."""
        self._file.close()

    def keep(self) -> StoredBlob:
        """Flush it to the disk and give it its name; it survives a crash from here on."""
        self._file.close()
        _flush(self._path)
        sha256 = self._hash.hexdigest()
        self._store.adopt(self._path, sha256)
        return StoredBlob(sha256, self._size_bytes)

    def discard(self) -> None:
        """Forget it; after ``keep`` this does nothing."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forget it unless it was kept."""
        self.discard()


class BlobStore:
    """A folder of files named by the hash of their content.

    Parameters
    ----------
    folder : Path
        Where files live; made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.incoming_folder = folder / "incoming"
        self.incoming_folder.mkdir(parents=True, exist_ok=True)

    def incoming(self) -> IncomingBlob:
        """Start a new file."""
        return IncomingBlob(self)

    def put(self, data: bytes) -> StoredBlob:
        """Store bytes that are in memory already."""
        with self.incoming() as blob:
            blob.write(data)
            return blob.keep()

    def path(self, sha256: str) -> Path:
        """Return where a file lives, whether it exists or not.

        Raises
        ------
        ValueError
            When the text is not a hash: nothing else may become a path.
        """
        if len(sha256) != _HASH_LENGTH or not set(sha256) <= set("0123456789abcdef"):
            raise ValueError("not a SHA-256 in hexadecimal")
        return self._folder / sha256[:2] / sha256

    def adopt(self, path: Path, sha256: str) -> None:
        """Rename a flushed file of the incoming folder to its hash, durably."""
        target = self.path(sha256)
        if not target.parent.exists():
            target.parent.mkdir(exist_ok=True)
            _flush(self._folder)
        path.replace(target)
        _flush(target.parent)

    def is_whole(self, sha256: str, size_bytes: int) -> bool:
        """Tell whether the file is there and its bytes still have that hash and length."""
        digest, length = hashlib.sha256(), 0
        try:
            for piece in self.pieces(sha256):
                digest.update(piece)
                length += len(piece)
        except (OSError, ValueError):
            return False
        return length == size_bytes and digest.hexdigest() == sha256

    def pieces(self, sha256: str) -> Iterator[bytes]:
        """Yield the content in pieces.

        Raises
        ------
        OSError
            When the file cannot be read.
        """
        with self.path(sha256).open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                yield piece

    def clear_incoming(self, older_than_s: float, now_s: float) -> int:
        """Delete what a killed portal left half written; return how many files.

        Parameters
        ----------
        older_than_s : float
            Only files not touched for so long, s: other workers may be writing.
        now_s : float
            Present time, s since the epoch.
        """
        count = 0
        for path in self.incoming_folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if now_s - path.stat().st_mtime >= older_than_s:
                    path.unlink()
                    count += 1
        return count


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
