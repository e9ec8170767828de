"""A folder as one archive, streamed."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_PIECE_BYTES = 1 << 18


def zipped(folder: Path) -> Iterator[bytes]:
    """Yield an archive of a folder, piece by piece; its files lie in a folder of the same name.

    Nothing is compressed: the record tables are already.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo.from_file(path, Path(folder.name) / path.relative_to(folder))
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while piece := source.read(_PIECE_BYTES):
                    target.write(piece)
                    yield pipe.take()
    yield pipe.take()


class _Pipe(io.RawIOBase):
    """A file without positions: what is written can be taken once."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        self._pieces.append(bytes(data))
        return len(self._pieces[-1])

    def take(self) -> bytes:
        whole = b"".join(self._pieces)
        self._pieces.clear()
        return whole
