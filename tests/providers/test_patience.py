"""How long a stream may be silent."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chat.providers.base import Unavailable
from chat.providers.patience import Patience


@pytest.fixture
async def patience() -> AsyncIterator[Patience]:
    found = Patience(asyncio.get_running_loop().time() + 0.3, 0.3)
    yield found
    found.close()


async def never() -> bytes:
    await asyncio.sleep(30)
    return b"late"


async def soon(seconds: float = 0.0) -> bytes:
    await asyncio.sleep(seconds)
    return b"bytes"


class TestPatience:
    async def test_what_comes_in_time_is_given(self, patience: Patience) -> None:
        assert await patience.wait(soon()) == b"bytes"

    async def test_what_does_not_is_unavailable(self, patience: Patience) -> None:
        with pytest.raises(Unavailable):
            await patience.wait(never())

    async def test_the_task_goes_on_after_a_missed_deadline(self, patience: Patience) -> None:
        with pytest.raises(Unavailable):
            await patience.wait(never())
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    async def test_content_renews_it(self, patience: Patience) -> None:
        for _ in range(5):
            assert await patience.wait(soon(0.1)) == b"bytes"
            patience.heard(asyncio.get_running_loop().time() + 10)

    async def test_silence_after_content_ends_it(self, patience: Patience) -> None:
        patience.heard(asyncio.get_running_loop().time() + 10)
        with pytest.raises(Unavailable):
            await patience.wait(never())

    async def test_a_shorter_patience_than_the_first_is_kept_to(self) -> None:
        found = Patience(asyncio.get_running_loop().time() + 30, 0.1)
        found.heard(asyncio.get_running_loop().time() + 30)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(found.wait(never()), 5)
        found.close()

    async def test_nothing_is_heard_after_the_end(self, patience: Patience) -> None:
        with pytest.raises(Unavailable):
            patience.heard(asyncio.get_running_loop().time())

    async def test_a_reader_that_was_away_gets_the_whole_of_it_again(self, patience: Patience) -> None:
        await asyncio.sleep(0.4)
        assert await patience.wait(soon(0.01)) == b"bytes"

    async def test_a_cancellation_from_outside_stays_one(self, patience: Patience) -> None:
        reader = asyncio.create_task(patience.wait(never()))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

    async def test_a_cancellation_at_the_same_moment_stays_one(self, patience: Patience) -> None:
        reader = asyncio.create_task(patience.wait(never()))
        await asyncio.sleep(0)
        patience._missed = True
        reader.cancel()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
