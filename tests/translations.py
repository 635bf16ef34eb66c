"""The second language: what there is to be said, from the code, and what is said for it, from the catalogue.

    python -m tests.translations        brings the catalogue up to date and compiles it; says what lacks a translation

Babel reads Python; Django's own `templatize` makes Python of a template. The compiled catalogue is committed, because
a site must not need the tools of its developers.
"""

import io
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LANGUAGE = "de"
FOLDER = ROOT / "ctxsite" / "locale" / LANGUAGE / "LC_MESSAGES"
PO, MO = FOLDER / "django.po", FOLDER / "django.mo"
ROOMS = ("chat", "ctxsite", "monitoring")
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
UNDATED = datetime(2026, 1, 1, tzinfo=UTC)
PLACES = re.compile(r"%\(\w+\)[sd]|\{\w*\}|%%")


def sources() -> Iterator[tuple[Path, str]]:
    """Every file that may say something, as Python."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path, path.read_text()
    for path in sorted((ROOT / "templates").rglob("*")):
        if path.suffix in (".html", ".txt"):
            # Its indentation is that of a page, and none of Python's.
            lines = templatize(path.read_text(), origin=str(path)).splitlines()
            yield path, "\n".join(line.strip() for line in lines)


def wanted() -> Catalog:
    """All that the code and the templates say, with the files that say it."""
    catalog = Catalog(project="context-chat", version="1", charset="utf-8")
    for path, text in sources():
        for _, words, _, context in extract("python", io.BytesIO(text.encode()), keywords=KEYWORDS):
            ids = tuple(words) if isinstance(words, tuple) else words
            # In a plural form of a template both carry the mark of what is filled in.
            known = catalog.get(ids, context)
            where = sorted({*(known.locations if known else ()), (str(path.relative_to(ROOT)), 0)})
            flags = {"python-format"} if "%(" in str(ids) else set()
            if known:
                known.locations = where
            elif ids:
                catalog.add(ids, locations=where, context=context, flags=flags)
    return catalog


def stored() -> Catalog:
    """The catalogue as it is kept."""
    with PO.open("rb") as file:
        return read_po(file, locale=LANGUAGE)


def compiled(catalog: Catalog) -> bytes:
    """A catalogue as gettext reads it: the same bytes whenever it is made."""
    catalog.creation_date = catalog.revision_date = UNDATED
    out = io.BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def said(message: Message) -> tuple[str, ...]:
    """The translation of a message, in all its forms."""
    return tuple(message.string) if isinstance(message.string, tuple | list) else (str(message.string or ""),)


def places(text: str) -> list[str]:
    """What is filled into a text."""
    return sorted(set(PLACES.findall(text)) - {"%%"})


def update() -> list[str]:
    """Bring the catalogue up to date and compile it; what lacks a translation."""
    old = stored() if PO.exists() else Catalog(locale=LANGUAGE)
    new = Catalog(
        locale=LANGUAGE, project="context-chat", version="1", charset="utf-8", header_comment="# German.", fuzzy=False
    )
    for one in wanted():
        if one.id:
            before = old.get(one.id, one.context)
            kept = before.string if before else ""
            files = [(name, None) for name, _ in one.locations]
            new.add(one.id, kept, locations=files, context=one.context, flags=one.flags)
    FOLDER.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    write_po(out, new, width=0, sort_output=True, omit_header=False, include_lineno=False)
    dated = rb'"(POT-Creation-Date|PO-Revision-Date|Generated-By|Last-Translator|Report-Msgid-Bugs-To): [^\n]*\n'
    PO.write_bytes(re.sub(dated, b"", out.getvalue()))
    MO.write_bytes(compiled(stored()))
    return [str(one.id) for one in new if one.id and not all(said(one))]


if __name__ == "__main__":
    missing = update()
    print(*missing, sep="\n")
    sys.exit(bool(missing))
