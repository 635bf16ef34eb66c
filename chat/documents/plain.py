"""Text files: whatever they are encoded in, as text. Runs in the child."""

import codecs
import re

from charset_normalizer import from_bytes

from chat.documents.limits import Limits
from chat.documents.refusals import Refused

# Guessing looks at so much of a file; a code page shows itself early or never.
GUESSED_BYTES = 256 * 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
# More control characters than this, in a thousand: no text, whatever it decodes to.
MOST_CONTROL = 20
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*){2,}")


def read(data: bytes, limits: Limits) -> str:
    """The text of a file. Raises Refused: unknown_type, no_text, too_long."""
    text = _decoded(data)
    if len(_CONTROL.findall(text[:100_000])) * 1000 > MOST_CONTROL * min(len(text), 100_000):
        raise Refused("unknown_type")
    return tidy(text, limits)


def tidy(text: str, limits: Limits) -> str:
    """Text as it is kept: line ends are \\n, nothing that no database or API takes. Raises Refused."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    text = _CONTROL.sub("", text).encode("utf-8", "replace").decode("utf-8").strip("\n")
    if not text.strip():
        raise Refused("no_text")
    if len(text) > limits.characters:
        raise Refused("too_long", limit=limits.characters)
    return text


def squeezed(text: str) -> str:
    """Extracted text without the runs of blank lines that a layout leaves behind."""
    return _BLANK_LINES.sub("\n\n", text)


def _decoded(data: bytes) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    best = from_bytes(data[:GUESSED_BYTES]).best()
    if best is None:
        raise Refused("unknown_type")
    return data.decode(best.encoding, "replace")
