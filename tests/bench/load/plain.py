"""The yardstick: what anybody gets who writes the obvious thing. `python -m tests.bench.load.plain PORT`

A bare `websockets` server that keeps the conversation in a list, calls the SDK and forwards each delta. No login, no
database, nothing stored. Key and address of the API come from the environment, as the SDK reads them.
"""

import asyncio
import json
import sys
from typing import Any

from anthropic import AsyncAnthropic
from websockets.asyncio.server import ServerConnection, serve

client = AsyncAnthropic()


async def relay(socket: ServerConnection) -> None:
    """One conversation."""
    messages: list[Any] = []
    async for raw in socket:
        messages.append({"role": "user", "content": json.loads(raw)["text"]})
        text = ""
        stream = await client.messages.create(model="claude-opus-4-6", max_tokens=4096, messages=messages, stream=True)
        async for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                text += event.delta.text
                await socket.send(json.dumps({"type": "delta", "text": event.delta.text}))
        messages.append({"role": "assistant", "content": text})
        await socket.send(json.dumps({"type": "done"}))


async def main(port: int) -> None:
    """Serve until killed."""
    async with serve(relay, "127.0.0.1", port, max_queue=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
