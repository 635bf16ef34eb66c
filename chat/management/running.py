"""The service in a command's own event loop, until a signal ends it."""

import asyncio
import signal

from chat import service


def serve(*, run_turns: bool, run_jobs: bool) -> None:
    """Start the service with these parts; on SIGTERM or SIGINT drain and stop it, then return."""
    asyncio.run(_serve(run_turns, run_jobs))


async def _serve(run_turns: bool, run_jobs: bool) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await service.start(run_turns=run_turns, run_jobs=run_jobs)
    try:
        await ended.wait()
        await service.drain()
    finally:
        await service.stop()
