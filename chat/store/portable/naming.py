"""Names of files that are given out: from a title that anybody may have written to one that every system takes."""

import re
import unicodedata
from datetime import datetime

MOST_CHARACTERS = 60
# Names that Windows keeps for devices, with whatever ending.
_RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{n}" for name in ("com", "lpt") for n in range(1, 10))}
_UNFIT = re.compile(r"[^\w .,+()-]+")
_BLANK = re.compile(r"\s+")


def file_name(title: str, when: datetime, ending: str) -> str:
    """`title`, the day, and `ending` (without its dot): letters, digits and a few signs of any script.

    No path, no quote, no control or direction mark, no leading dot, nothing that a shell or a header would read.
    """
    text = unicodedata.normalize("NFC", title)
    text = "".join(" " if unicodedata.category(one).startswith(("C", "Z")) else one for one in text)
    text = _BLANK.sub(" ", _UNFIT.sub(" ", text))[:MOST_CHARACTERS].strip(" .,-")
    if not text or text.split(".")[0].strip().lower() in _RESERVED:
        text = f"conversation {text}".strip()
    return f"{text} {when:%Y-%m-%d}.{ending}"
