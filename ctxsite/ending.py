"""How a process ends, whichever server runs in it: the pages are sent away, work is ended or given back."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

from chat import service
from chat.stream.protocol import Close
from chat.web.doors import doors

# By then a page that listens has its `bye`; whoever has not said hello yet is closed without one.
BYE_S = 0.5


async def drain() -> None:
    """Close every socket with 4012 within a second, and drain the service."""

    async def dismiss() -> None:
        await asyncio.sleep(BYE_S)
        doors.dismiss(Close.RESTART)

    await asyncio.gather(service.drain(), dismiss())


class Signals:
    """SIGTERM and SIGINT: the first begins the end, the second is the end."""

    def __init__(self, begin: Callable[[int], Any]) -> None:
        self._begin = begin
        self._asked = False

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the two signals over, in the main thread's loop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.hear, number)

    def hear(self, number: int) -> None:
        """A signal has come. What a shell reports for a process that a signal ended is the code of a second one."""
        if self._asked:
            os._exit(128 + number)
        self._asked = True
        self._begin(number)
