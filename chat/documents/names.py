"""What an uploaded file is called here: a label, never a path."""

import re
import unicodedata

MOST = 200
"""Characters: the width of the column."""

NAMELESS = "document"

# Characters that print nothing, or that turn the text around them: "gpj.exe" must not read "exe.jpg".
_UNSEEN = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
_SPACES = re.compile(r"\s+")


def clean(name: str) -> str:
    """The last part of a name, visible characters only, at most MOST of them with its ending kept."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    plain = _SPACES.sub(" ", _UNSEEN.sub("", unicodedata.normalize("NFC", last)))
    shown = "".join(char for char in plain if unicodedata.category(char) not in ("Cc", "Cs", "Co", "Cn")).strip()
    if not shown.strip(". "):
        return NAMELESS
    if len(shown) <= MOST:
        return shown
    stem, dot, ending = shown.rpartition(".")
    if not dot or len(ending) > 16:
        return shown[:MOST]
    return stem[: MOST - len(ending) - 1] + "." + ending
