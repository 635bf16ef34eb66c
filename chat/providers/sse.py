"""Splits the bytes of an event stream into the payloads of its events. Nothing else is done per event.

Format: html.spec.whatwg.org/multipage/server-sent-events.html. Event names are ignored: the API repeats them in the
payload's `type`.
"""


class Splitter:
    """Keeps the unfinished end between chunks."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads that `chunk` completes, in order."""
        data = self._rest + chunk if self._rest else chunk
        if b"\r" in data:
            # A lone \r at the end may be half of \r\n.
            held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            *blocks, rest = data.split(b"\n\n")
            self._rest = rest + held
        else:
            *blocks, self._rest = data.split(b"\n\n")
        return [payload for block in blocks if (payload := _payload(block))]


def _payload(block: bytes) -> bytes:
    head, found, rest = block.partition(b"data:")
    if found and b"\n" not in rest and (not head or head.endswith(b"\n")):
        return rest
    lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines)
