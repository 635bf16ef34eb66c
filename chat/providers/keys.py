"""Where the API key comes from: a fixed text, or a file that may be replaced while the process runs."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

LOOK_S = 1.0
"""A file is looked at no more often than that, in seconds, unless the key was refused."""


class Key(Protocol):
    """An API key that may change."""

    def current(self) -> str:
        """The key for a call that begins now."""
        ...

    def renew(self) -> str:
        """The key after one was refused: a file is read again at once."""
        ...


def label(key: str) -> str:
    """What may stand in a log in place of a key: it tells keys apart, and gives nothing of them away."""
    return hashlib.sha256(f"key label {key}".encode()).hexdigest()[:8] if key else "none"


class FixedKey:
    """A key that stays as it is."""

    def __init__(self, key: str) -> None:
        self._key = key

    def current(self) -> str:
        """The key."""
        return self._key

    def renew(self) -> str:
        """The same key."""
        return self._key


class FileKey:
    """A key in a file, read again when the file's time or size changed.

    Looking costs one `stat`: keep the file on a local disk, not on one that can hang. While it can't be read, or is
    empty, the key that was read last stays; a file that is replaced by renaming never is.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._key = ""
        self._seen: tuple[int, int, int] | None = None
        self._looked = float("-inf")
        self._broken = False

    def current(self) -> str:
        """The key; the file is looked at, at most once a second."""
        now = self._clock()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._look(again=False)
        return self._key

    def renew(self) -> str:
        """The key as the file has it now, whatever its time says."""
        self._looked = self._clock()
        self._look(again=True)
        return self._key

    def _look(self, *, again: bool) -> None:
        try:
            found = os.stat(self._path)
            # The inode too: a rename within one tick of the file system's clock may bring a key of the same length.
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen and not again:
                return
            key = self._path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            self._warn(type(error).__name__)
            return
        if not key:
            self._warn("empty")
            return
        if self._key and key != self._key:
            log.info("api_key_replaced", old=label(self._key), new=label(key))
        self._key, self._seen, self._broken = key, seen, False

    def _warn(self, reason: str) -> None:
        if not self._broken:
            self._broken = True
            log.error("api_key_file_unreadable", reason=reason, kept=label(self._key))
