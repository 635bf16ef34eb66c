"""A TCP proxy that can be as bad as a network: slow, cutting, silent, gone. In front of anything that speaks TCP."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tests.postgres import free_port

CHUNK = 65536


class Proxy:
    """Forwards `port` to `target` on loopback, in a thread with a loop of its own; its methods may be called anywhere.

    `up` counts the bytes from client to server, `down` those back, `connections` the connections ever made.
    """

    def __init__(self, target: int, *, port: int | None = None) -> None:
        self.target = target
        self.port = port or free_port()
        self.up = self.down = self.connections = 0
        self.latency = 0.0
        self.cut = 0
        """Connections that were reset by `cut_after` or `reset_all`."""
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._limit: int | None = None
        self._pairs: dict[asyncio.Task[Any], tuple[asyncio.StreamWriter, ...]] = {}
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy {self.port}", daemon=True)
        self._thread.start()
        self.accept()

    # --- faults ---

    def accept(self) -> None:
        """Take connections (again)."""
        self._call(self._listen)

    def refuse(self) -> None:
        """Stop listening and reset what is open: new connections are refused."""
        self._call(self._close)

    def reset_all(self) -> int:
        """Reset every open connection; how many there were."""
        return self._call(self._reset)

    def freeze(self) -> None:
        """Half-open from now on: connections stay, nothing passes, not even an end."""
        self._call(self._hold, True)

    def thaw(self) -> None:
        """Let everything pass again, what was held back first."""
        self._call(self._hold, False)

    def delay(self, seconds: float) -> None:
        """Every piece is passed on so much later, in each direction."""
        self.latency = seconds

    def cut_after(self, count: int | None) -> None:
        """Reset each connection once so many bytes have come back through it; None: not any more."""
        self._limit = count

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return len(self._pairs)

    def close(self) -> None:
        """End it all."""
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # --- the loop's thread ---

    def _call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        done: Future[Any] = asyncio.run_coroutine_threadsafe(work(*arguments), self._loop)
        return done.result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _hold(self, still: bool) -> None:
        if still:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _close(self) -> None:
        server, self._server = self._server, None
        if server:
            server.close()
        await self._reset()

    async def _reset(self) -> int:
        pairs = list(self._pairs.items())
        for task, writers in pairs:
            for writer in writers:
                _abort(writer)
            task.cancel()
        await asyncio.gather(*(task for task, _ in pairs), return_exceptions=True)
        self.cut += len(pairs)
        return len(pairs)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self.connections += 1
        self._pairs[task] = (writer,)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            self._pairs[task] = (writer, back)
            came = [0]
            pumps = {
                asyncio.ensure_future(self._pump(reader, back, "up", None)),
                asyncio.ensure_future(self._pump(there, writer, "down", came)),
            }
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
                back.close()
        except OSError:
            # Nobody there: to the client it looks like a reset.
            _abort(writer)
        except asyncio.CancelledError:
            # Ours: the reset is done already.
            return
        finally:
            self._pairs.pop(task, None)
            writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str, came: list[int] | None
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(CHUNK):
                if self.latency:
                    await asyncio.sleep(self.latency)
                await self._flowing.wait()
                setattr(self, way, getattr(self, way) + len(piece))
                if came is not None:
                    came[0] += len(piece)
                    if self._limit is not None and came[0] > self._limit:
                        self.cut += 1
                        _abort(writer)
                        return
                writer.write(piece)
                await writer.drain()
            await self._flowing.wait()


def _abort(writer: asyncio.StreamWriter) -> None:
    """Drop a connection so that the other side sees a reset, not an end."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            # Linger 0: the kernel sends RST instead of FIN.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
