"""The service in a command's own event loop, until a signal ends it."""

import asyncio
import os
import signal

from django.conf import settings

from chat import service
from monitoring import exposing


def serve(*, run_turns: bool, run_jobs: bool) -> None:
    """Start the service with these parts; on SIGTERM or SIGINT drain and stop it, then return.

    Nobody waits at this process: what ends within CHAT_DRAIN_S seconds is let end. A second signal ends it at once;
    what it was doing is taken up by others when its lease runs out.
    """
    close = exposing.open_door()
    try:
        asyncio.run(_serve(run_turns, run_jobs))
    finally:
        close()


async def _serve(run_turns: bool, run_jobs: bool) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def hear(number: int) -> None:
        if ended.is_set():
            os._exit(128 + number)
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, hear, number)
    await service.start(run_turns=run_turns, run_jobs=run_jobs)
    try:
        await ended.wait()
        await service.drain(settings.CHAT_DRAIN_S)
    finally:
        await service.stop()
