"""PDF files: the text of their pages. Runs in the child."""

import io

from pypdf import PdfReader
from pypdf.errors import DependencyError, FileNotDecryptedError, WrongPasswordError

from chat.documents.limits import Limits
from chat.documents.plain import squeezed, tidy
from chat.documents.refusals import Refused

# Of a page with fewer letters than this the text is a stamp or a page number, not what is to be read there.
LEAST_A_PAGE = 8


def read(data: bytes, limits: Limits) -> str:
    """The pages with their numbers between. Raises Refused: encrypted, too_many, no_text, too_long, broken."""
    reader = PdfReader(io.BytesIO(data), strict=False)
    try:
        # Many are encrypted with an empty password, only to forbid printing.
        if reader.is_encrypted and not reader.decrypt(""):
            raise Refused("encrypted")
        count = len(reader.pages)
        if count > limits.pages:
            raise Refused("too_many", pages=count, limit=limits.pages)
        pages, length, letters = [], 0, 0
        for number, page in enumerate(reader.pages, start=1):
            text = page.extract_text().strip()
            length += len(text)
            letters += sum(char.isalnum() for char in text)
            if length > limits.characters:
                raise Refused("too_long", limit=limits.characters)
            if text:
                pages.append(f"[page {number}]\n{text}")
    except (DependencyError, FileNotDecryptedError, WrongPasswordError):
        # Ciphers that need another library: to the reader of the sentence it is the same.
        raise Refused("encrypted") from None
    if letters < LEAST_A_PAGE * max(1, count // 10):
        raise Refused("no_text")
    return tidy(squeezed("\n\n".join(pages)), limits)
