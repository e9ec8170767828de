"""A saved electronic form as a small PDF document."""

import json
import unicodedata
from collections.abc import Iterator
from textwrap import wrap

LINE_LENGTH = 90
LINES_PER_PAGE = 50
_FONT_SIZE = 10
_LEADING = 14
_LEFT, _TOP = 56, 780  # A4: 595 x 842 points


def form_pdf(title: str, form_data: str) -> bytes:
    """Return a PDF of a form's fields, one line each; equal forms give equal bytes.

    Parameters
    ----------
    title : str
        First line.
    form_data : str
        JSON of the form; a text that is no JSON object is shown as it is.
    """
    lines = [line for text in (title, *_fields(form_data)) for line in wrap(text, LINE_LENGTH)]
    pages = [lines[at : at + LINES_PER_PAGE] for at in range(0, len(lines), LINES_PER_PAGE)] or [[]]
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for index, page in enumerate(pages):
        content = _content(page)
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
            b"/Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (5 + 2 * index)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    return _document(objects)


def _fields(form_data: str) -> Iterator[str]:
    try:
        form = json.loads(form_data)
    except (ValueError, RecursionError):
        form = None
    if not isinstance(form, dict):
        yield form_data
        return
    for name, value in form.items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"{name}: {shown}"


def _content(lines: list[str]) -> bytes:
    shown = b"".join(b"(%s) Tj T*\n" % _escaped(line) for line in lines)
    return b"BT /F1 %d Tf %d TL %d %d Td\n%sET" % (_FONT_SIZE, _LEADING, _LEFT, _TOP, shown)


def _escaped(line: str) -> bytes:
    """Return a line in the built-in font's letters: Vietnamese without its marks."""
    plain = unicodedata.normalize("NFKD", line.replace("đ", "d").replace("Đ", "D"))
    text = plain.encode("ascii", "ignore").replace(b"\\", b"\\\\")
    return text.replace(b"(", b"\\(").replace(b")", b"\\)")


def _document(objects: list[bytes]) -> bytes:
    body = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, text in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    start = len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    body += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    body += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        start,
    )
    return bytes(body)
