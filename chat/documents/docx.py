"""Word files: headings, paragraphs, lists and tables, in their order. Runs in the child.

A .docx is an archive of XML, which makes two old attacks possible. Bombs: what the archive says it will unpack to is
bounded before anything is unpacked, and Python's zipfile never reads more than was said. External entities: no part
of a Word file has a document type; one that has is not opened.
"""

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import docx
from docx.table import Table
from docx.text.paragraph import Paragraph

from chat.documents.limits import Limits
from chat.documents.plain import squeezed, tidy
from chat.documents.refusals import Refused

MAIN = "word/document.xml"
MOST_PARTS = 4_000
# Unpacked, of all parts and of the XML that is parsed into objects of ten times its size.
MOST_BYTES = 256 * 1024 * 1024
MOST_XML = 48 * 1024 * 1024
DEEPEST = 8
"""Tables within tables."""

# With or without the zero bytes of UTF-16, which XML may be written in.
_DOCTYPE = re.compile(rb"<\0?!\0?(?:\s\0?)*(?:D\0?O\0?C\0?T\0?Y\0?P\0?E|E\0?N\0?T\0?I\0?T\0?Y)", re.IGNORECASE)
_HEADING = re.compile(r"heading ([1-6])", re.IGNORECASE)


def read(data: bytes, limits: Limits) -> str:
    """The text in order. Raises Refused: unknown_type, encrypted, too_complex, broken, no_text, too_long."""
    _look_into(data)
    opened = docx.Document(io.BytesIO(data))
    lines: list[str] = []
    length = 0
    for line in _lines(opened, 0):
        lines.append(line)
        length += len(line) + 1
        if length > limits.characters:
            raise Refused("too_long", limit=limits.characters)
    return tidy(squeezed("\n".join(lines)), limits)


def _look_into(data: bytes) -> None:
    """Refuse what must not be unpacked, from the archive's own list of contents and the head of each XML part."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = archive.infolist()
        names = [part.filename for part in parts]
        if MAIN not in names:
            raise Refused("unknown_type")
        if any(part.flag_bits & 1 for part in parts):
            raise Refused("encrypted")
        xml = [part for part in parts if part.filename.lower().endswith((".xml", ".rels"))]
        if (
            len(parts) > MOST_PARTS
            or sum(part.file_size for part in parts) > MOST_BYTES
            or sum(part.file_size for part in xml) > MOST_XML
        ):
            raise Refused("too_complex")
        if len(set(names)) != len(names):
            raise Refused("broken")
        for part in xml:
            text = archive.read(part)
            if _DOCTYPE.search(text):
                raise Refused("broken")


def _lines(holder: Any, depth: int) -> Iterator[str]:
    """What a document or a cell holds, a line each; a table as rows of cells."""
    for one in holder.iter_inner_content():
        if isinstance(one, Paragraph):
            yield _paragraph(one)
        elif isinstance(one, Table) and depth < DEEPEST:
            yield ""
            for row in one.rows:
                cells: list[tuple[Any, str]] = []
                for cell in row.cells:
                    # A cell that spans columns is given once for each of them.
                    if not cells or cell._tc is not cells[-1][0]:
                        cells.append((cell._tc, " ".join(" ".join(_lines(cell, depth + 1)).split())))
                yield "| " + " | ".join(text for _, text in cells) + " |"
            yield ""


def _paragraph(paragraph: Paragraph) -> str:
    style = (paragraph.style.name or "") if paragraph.style is not None else ""
    text = paragraph.text
    if not text.strip():
        return ""
    if found := _HEADING.fullmatch(style):
        return f"\n{'#' * int(found[1])} {text.strip()}\n"
    if style.lower() == "title":
        return f"# {text.strip()}\n"
    return f"- {text.strip()}" if style.lower().startswith("list") else text
