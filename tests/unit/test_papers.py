"""Papers: valid files of any size, each with a hash of its own, made the same everywhere."""

import hashlib
import io
import re
import struct
import subprocess
import sys
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from loadtests.dialects.papers import PAGE_BYTES, PAPER_TYPES, WRONG_TYPE, Paper, paper, usual_type

TYPES = st.sampled_from([*PAPER_TYPES, WRONG_TYPE])
SMALLEST_BYTES = 600
SIZES = st.one_of(
    st.integers(SMALLEST_BYTES, 3 * PAGE_BYTES),
    st.integers(1, 3).flatmap(
        lambda pages: st.integers(pages * PAGE_BYTES, pages * PAGE_BYTES + SMALLEST_BYTES)
    ),
)


def content_of(made: Paper) -> bytes:
    return b"".join(made.chunks)


@given(TYPES, SIZES)
@settings(deadline=None)
def test_a_paper_has_the_size_that_was_asked_for(kind: str, size: int) -> None:
    made = paper(kind, "hoso-ab/1/2", size)
    assert made.size == size
    assert len(content_of(made)) == size


@given(TYPES, st.one_of(st.integers(0, SMALLEST_BYTES), SIZES))
@settings(deadline=None)
def test_the_hash_is_that_of_the_content(kind: str, size: int) -> None:
    made = paper(kind, "hoso-ab/1/2", size)
    assert hashlib.sha256(content_of(made)).hexdigest() == made.sha256


@given(TYPES, SIZES, st.integers(0, 10**6), st.integers(0, 10**6))
@settings(deadline=None)
def test_papers_of_two_requests_differ(kind: str, size: int, one: int, other: int) -> None:
    first, second = (paper(kind, f"hoso-ab/7/{n}", size).sha256 for n in (one, other))
    assert (first == second) == (one == other)


@pytest.mark.parametrize("kind", ["jpg", "png"])
@pytest.mark.parametrize("size", [0, 700, PAGE_BYTES + 250, 300_000])
def test_a_picture_opens(kind: str, size: int) -> None:
    with Image.open(io.BytesIO(content_of(paper(kind, "hoso-ab/1/2", size)))) as picture:
        picture.load()
        assert picture.format == {"jpg": "JPEG", "png": "PNG"}[kind]


@pytest.mark.parametrize("size", [700, 300_000])
def test_the_chunks_of_a_png_are_whole(size: int) -> None:
    content, at, names = content_of(paper("png", "hoso-ab/1/2", size)), 8, []
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        body = content[at + 4 : at + 8 + length]
        (check,) = struct.unpack_from(">I", content, at + 8 + length)
        assert zlib.crc32(body) == check
        names.append(body[:4])
        at += 12 + length
    assert names[0] == b"IHDR"
    assert names[-1] == b"IEND"


@pytest.mark.parametrize("size", [0, 700, 300_000])
def test_the_table_of_a_pdf_leads_to_its_objects(size: int) -> None:
    content = content_of(paper("pdf", "hoso-ab/1/2", size))
    (table_at,) = re.findall(rb"startxref\n(\d+)\n%%EOF\n\Z", content)
    table = content[int(table_at) :]
    assert table.startswith(b"xref\n0 7\n")
    offsets = [int(entry) for entry in re.findall(rb"(\d{10}) 00000 n \n", table)]
    for number, offset in enumerate(offsets, 1):
        assert content[offset:].startswith(b"%d 0 obj\n" % number)
    length = int(re.search(rb"\n5 0 obj\n(\d+)\nendobj", content).group(1))
    start = content.index(b"stream\n") + len(b"stream\n")
    assert content[start + length :].startswith(b"\nendstream")


def test_a_paper_does_not_compress() -> None:
    content = content_of(paper("pdf", "hoso-ab/1/2", 1_000_000))
    assert len(zlib.compress(content, 9)) > 0.99 * len(content)


def test_another_process_makes_the_same_bytes() -> None:
    code = (
        "from loadtests.dialects.papers import paper;"
        "print(*(paper(t, 'hoso-ab/1/2', 200_000).sha256 for t in ('pdf', 'jpg', 'png')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [paper(kind, "hoso-ab/1/2", 200_000).sha256 for kind in ("pdf", "jpg", "png")]
    assert done.stdout.split() == here


def test_most_papers_are_pdf_and_all_types_occur() -> None:
    kinds = [usual_type(key << 8) for key in range(100)]
    assert kinds.count("pdf") == 60
    assert set(kinds) == set(PAPER_TYPES)
