"""What a file of conversations is made of: itself, or, of a zip, the entries that hold conversations. Bounded.

A zip says of itself how large it is, and may lie: what comes out is counted while it comes.
"""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from io import RawIOBase
from typing import IO, BinaryIO, cast

from chat.store.portable.values import Unreadable

MOST_DIRECTORY = 4 << 20
"""Bytes of a zip's directory: some 40,000 entries. It is read as a whole, into ten times as much memory."""

MOST_UNPACKED = 4 << 30
"""Bytes that may come out of one zip."""

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error)
_MAGIC = b"PK\x03\x04"
_WANTED = re.compile(r"(^|/)(conversations[^/]*\.json|conversations/[^/]+\.json)$", re.IGNORECASE)


def parts(file: BinaryIO, name: str, most: int = MOST_UNPACKED) -> Iterator[tuple[BinaryIO, str]]:
    """The files of JSON in an upload, each with what it is called in messages. Raises Unreadable."""
    start = file.read(4)
    file.seek(0)
    if start != _MAGIC:
        yield file, name
        return
    if _directory(file) > MOST_DIRECTORY:
        raise Unreadable(f"{name} holds more files than an export does.")
    left = most
    try:
        with zipfile.ZipFile(file) as archive:
            wanted = sorted(entry.filename for entry in archive.infolist() if _WANTED.search(entry.filename))
            if not wanted:
                raise Unreadable(f"{name} holds no conversations.json.")
            for entry in wanted:
                with archive.open(entry) as opened:
                    counted = _Counted(opened, left, name)
                    yield cast(BinaryIO, counted), entry.rpartition("/")[2]
                    left = counted.left
    except _DAMAGE:
        raise Unreadable(f"{name} is a damaged or encrypted zip.") from None


class _Counted(RawIOBase):
    """One file of a zip, of which no more comes out than may. Reading it raises Unreadable, and nothing else."""

    def __init__(self, file: IO[bytes], left: int, name: str):
        super().__init__()
        self._file = file
        self._name = name
        self.left = left

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer) -> int:
        """Read, and count."""
        try:
            data = self._file.read(len(buffer))
        except _DAMAGE:
            raise Unreadable(f"{self._name} is a damaged or encrypted zip.") from None
        self.left -= len(data)
        if self.left < 0:
            raise Unreadable(f"{self._name} unpacks to more than an export can be.")
        buffer[: len(data)] = data
        return len(data)


def _directory(file: BinaryIO) -> int:
    """The size that a zip's directory says it has, in bytes; 0 where none is found."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 65_557))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        return 0
    said = struct.unpack_from("<L", tail, at + 12)[0]
    if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):
        place = struct.unpack_from("<Q", tail, at - 12)[0]
        file.seek(min(place, size))
        record = file.read(56)
        file.seek(0)
        if record.startswith(b"PK\x06\x06") and len(record) == 56:
            said = max(said if said != 0xFFFFFFFF else 0, struct.unpack_from("<Q", record, 40)[0])
    return said
