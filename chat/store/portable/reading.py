"""Taking a file apart, one conversation at a time: an export may be larger than the memory."""

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TextIO

from chat.store.portable import archive, chatgpt, claude, locomo, uploads
from chat.store.portable.values import Broken, Conversation, Unreadable

CHUNK = 1 << 20  # characters
# One conversation larger than this is not one.
MOST_CHARACTERS = 256 << 20
_BLANK = " \t\r\n"


class Format(Protocol):
    """One format: what it is called, what it looks like, how it is read."""

    NAME: str

    def fits(self, item: Mapping[str, Any]) -> bool:
        """Whether this looks like a conversation of this format."""
        ...

    def parse(self, item: Mapping[str, Any], place: str) -> Conversation:
        """Read one conversation. Raises Broken."""
        ...


FORMATS: Mapping[str, Format] = {one.NAME: one for one in (archive, chatgpt, claude, locomo)}


def read(path: Path, *, name: str = "") -> Iterator[Conversation | Broken]:
    """The conversations of a file, each read or broken, in order. `name` is the format; '' finds it out.

    Raises Unreadable when the file, or what is left of it, can't be taken apart; what came before is good.
    """
    try:
        with path.open("rb") as file:
            for part, label in uploads.parts(file, path.name):
                yield from read_text(part, label, name=name)
    except OSError as error:
        raise Unreadable(f"{path} can't be read: {error.strerror}.") from None


def read_text(
    file: BinaryIO, label: str, *, name: str = "", most: int = MOST_CHARACTERS
) -> Iterator[Conversation | Broken]:
    """The same of one file of JSON, called `label` in messages. No conversation may be longer than `most` characters.

    Raises Unreadable.
    """
    # An export may begin with a byte order mark.
    text = io.TextIOWrapper(file, encoding="utf-8-sig")
    try:
        for index, item in enumerate(items(text, label, most)):
            place = f"{label}, conversation {index}"
            try:
                yield _format(item, name, place).parse(item, place)
            except Broken as error:
                yield error
    except UnicodeDecodeError:
        raise Unreadable(f"{label} is not text in UTF-8.") from None
    finally:
        text.detach()  # whoever opened the file closes it


def _format(item: Any, name: str, place: str) -> Format:
    if not isinstance(item, dict):
        raise Broken(f"{place} is not an object.")
    if name:
        if not FORMATS[name].fits(item):
            raise Broken(f"{place} is not of the format {name}.")
        return FORMATS[name]
    found = next((one for one in FORMATS.values() if one.fits(item)), None)
    if found is None:
        raise Broken(f"{place} is of no known format ({', '.join(FORMATS)}).")
    return found


def items(file: TextIO, name: str, most: int = MOST_CHARACTERS) -> Iterator[Any]:
    """The items of the JSON list in `file`, or its one object, read a chunk at a time. Raises Unreadable."""
    source = _Source(file, name, most)
    opening = source.peek()
    if opening == "{":
        yield source.item(0)
        rest = source.peek()
        if rest:
            raise Unreadable(f"{name}: something follows the end of the conversation.")
        return
    if opening != "[":
        raise Unreadable(f"{name} does not begin with a JSON list or object.")
    source.skip()
    index = 0
    while (following := source.peek()) != "]":
        if index:
            if following != ",":
                raise Unreadable(f"{name}: the list breaks off after {index} conversations.")
            source.skip()
            source.peek()
        yield source.item(index)
        index += 1


class _Source:
    """Text with a position, which holds no more than one item of it."""

    def __init__(self, file: TextIO, name: str, most: int):
        self._most = most
        self._file = file
        self._name = name
        self._text = ""
        self._at = 0
        self._decoder = json.JSONDecoder()

    def peek(self) -> str:
        """The next character that is not blank; '' at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(CHUNK):
                return ""

    def skip(self) -> None:
        """Pass one character."""
        self._at += 1

    def item(self, index: int) -> Any:
        """The value that begins here. A failed try doubles what is held, so that all tries cost no more than two."""
        place = f"{self._name}, conversation {index}"
        while True:
            try:
                value, self._at = self._decoder.raw_decode(self._text, self._at)
                return value
            except RecursionError:
                raise Unreadable(f"{place} is nested too deeply.") from None
            except ValueError:
                held = len(self._text) - self._at
                if held > self._most:
                    raise Unreadable(f"{place} is larger than a conversation can be, or is not JSON.") from None
                if not self._more(max(CHUNK, held)):
                    raise Unreadable(f"{place} is not JSON, or breaks off.") from None

    def _more(self, characters: int) -> bool:
        chunk = self._file.read(characters)
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)
