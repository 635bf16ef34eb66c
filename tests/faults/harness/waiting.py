"""Waiting for what no frame announces: a row, a process, a record of the stand-in."""

import asyncio
import time
from collections.abc import Callable
from typing import Any


async def eventually(true: Callable[[], Any], patience: float, what: str) -> float:
    """Wait until `true()`, which may block (it runs in a thread), holds; the seconds it took. AssertionError else."""
    began = time.monotonic()
    while not await asyncio.to_thread(true):
        assert time.monotonic() - began < patience, f"not within {patience} s: {what}"
        await asyncio.sleep(0.05)
    return time.monotonic() - began
