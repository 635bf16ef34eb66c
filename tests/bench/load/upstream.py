"""A lean stand-in for the Messages API: a first token after 50 ms, then one every 10 ms, 200 in all.

`python -m tests.bench.load.upstream PORT`. The product's own stand-in counts, caches and misbehaves on request; here
the upstream must cost next to nothing, else it would be what is measured. It checks the history of every request.
"""

import asyncio
import json
import sys
from typing import Any

from tests.bench.load import words

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nrequest-id: req_1\r\n\r\n"
WRONG = ("wrong history.",)


def event(kind: str, **fields: Any) -> bytes:
    """One event as one chunk of the answer."""
    body = f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(body), body)


OPENING = HEAD + event(
    "message_start",
    message={
        "id": "msg_1", "type": "message", "role": "assistant", "model": "bench", "content": [], "stop_reason": None,
        "stop_sequence": None, "usage": {"input_tokens": 40, "output_tokens": 1},
    },
) + event("content_block_start", index=0, content_block={"type": "text", "text": ""})  # fmt: skip
ENDING = (
    event("content_block_stop", index=0)
    + event(
        "message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": words.TOKENS}
    )
    + event("message_stop")
    + b"0\r\n\r\n"
)


def reply_to(body: bytes) -> tuple[str, ...]:
    """The tokens for a request, if what it holds of the conversation is what was said."""
    marks: list[str] = []
    for message in json.loads(body)["messages"]:
        content = message["content"]
        text = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
        if message["role"] == "user":
            marks += words.MARK.findall(text)
        elif text.strip() != "".join(words.answer(tuple(marks))).strip():
            return WRONG
    return words.answer(tuple(marks)) if marks else WRONG


class Upstream(asyncio.Protocol):
    """One connection; requests come one after the other."""

    reply = staticmethod(reply_to)

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None
        self._tokens: tuple[str, ...] = ()
        self._next = 0
        self._begun = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if len(body) < length:
            return
        self._buffer = body[length:]
        if not head.startswith(b"POST /v1/messages "):
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}")
            return
        self._tokens, self._next, self._begun = self.reply(body[:length]), 0, self._loop.time()
        self._timer = self._loop.call_at(self._begun + words.FIRST_S, self._token)

    def _token(self) -> None:
        text = self._tokens[self._next]
        chunk = event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
        self._transport.write(OPENING + chunk if self._next == 0 else chunk)
        self._next += 1
        if self._next == len(self._tokens):
            self._transport.write(ENDING)
        else:
            self._timer = self._loop.call_at(self._begun + words.FIRST_S + self._next * words.EVERY_S, self._token)


async def main(port: int, kind: type[Upstream] = Upstream) -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
