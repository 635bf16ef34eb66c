"""What a file is: by its first bytes. Its name only says what to call it."""

from pathlib import PurePosixPath

from chat.documents.refusals import Refused

# The PDF specification (ISO 32000, annex on conformance) lets the header stand within the first 1,024 bytes.
HEADER = 1024
ZIP = b"PK\x03\x04"
# An old Word file, or a new one that is encrypted: both are OLE containers.
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
RTF = b"{\\rtf"
BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")

READERS = {"pdf": "pdf", "docx": "docx"}
"""The module that takes a kind apart; text in all its kinds is `plain`."""

_MARKDOWN = {".md", ".markdown", ".mdx", ".rst"}
_TABLES = {".csv", ".tsv"}
_SOURCES = """
py pyi js mjs cjs ts tsx jsx vue svelte html htm xhtml svg xml xsl css scss less json jsonl yaml yml toml ini cfg conf
env sh bash zsh fish ps1 bat cmd c h cc cpp cxx hpp cs go rs java kt kts swift m mm scala clj ex exs erl hs ml fs lua
pl pm php rb r jl sql graphql proto tf gradle cmake dockerfile makefile diff patch tex bib ipynb vim el lisp asm s v vhd
"""
_CODE = {f".{ending}" for ending in _SOURCES.split()}


def recognise(name: str, data: bytes) -> str:
    """The kind of a file: pdf, docx, markdown, csv, code or text. Raises Refused: unknown_type, encrypted, no_text.

    `docx` may turn out to be another archive when it is opened. HTML and SVG are code: their source is what is read.
    """
    suffix = PurePosixPath(name.lower()).suffix
    if not data.strip():
        raise Refused("no_text")
    if b"%PDF-" in data[:HEADER]:
        return "pdf"
    if data.startswith(ZIP):
        return "docx"
    if data.startswith(OLE):
        raise Refused("encrypted" if suffix == ".docx" else "unknown_type")
    # A NUL is in no text of one byte a character, and in nearly every other file within its first bytes.
    if data.startswith(RTF) or (b"\0" in data[: 8 * HEADER] and not data.startswith(BOMS)):
        raise Refused("unknown_type")
    if suffix in _MARKDOWN:
        return "markdown"
    if suffix in _TABLES:
        return "csv"
    return "code" if suffix in _CODE else "text"
