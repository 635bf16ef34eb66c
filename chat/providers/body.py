"""The bytes of a streamed answer, taken from where they arrive.

Between aiohttp, which reads them, and the SDK's response lie five generators that only pass them on: a third of what
reading a stream costs. There is no public way below them. Where it is not found (another HTTP client, a later SDK) or
the bytes are compressed, they come by the public way, as they come; a test notices.
"""

from collections.abc import AsyncIterator
from typing import Any


class Body:
    """The body of one response of the SDK's HTTP client."""

    __slots__ = ("_answer", "_response")

    def __init__(self, response: Any) -> None:
        self._response = response
        stream = getattr(response, "stream", None)
        self._answer = getattr(getattr(stream, "_stream", stream), "_aiohttp_response", None)

    @property
    def connection(self) -> Any:
        """aiohttp's connection; None when it is not known, or no longer this response's."""
        return getattr(self._answer, "connection", None)

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes: all that has come, each time. Once only."""
        if self._answer is None or self._answer.headers.get("Content-Encoding", "identity") != "identity":
            chunks: AsyncIterator[bytes] = self._response.aiter_bytes()
            return chunks
        content = self._answer.content
        # Below its low water marks aiohttp starts the transport and the parser again after every chunk that it hands
        # out, two hundred times a reply. Marked at one chunk, it does so when all that had come was taken.
        content._low_water_chunks = 1
        pieces: AsyncIterator[bytes] = content.iter_any()
        return pieces
