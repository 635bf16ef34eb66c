"""Where the key comes from, and what becomes of it when it is replaced."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from chat.providers.anthropic import AnthropicProvider
from chat.providers.base import Completion, Refused, TextDelta
from chat.providers.keys import FileKey, FixedKey, label
from chat.providers.standin import StandIn
from tests.providers.building import collect, request

OLD, NEW = "sk-old-secret-1234", "sk-new-secret-5678"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "key"
    found.write_text(f"{OLD}\n")
    return found


def replace(path: Path, key: str) -> None:
    """As it should be done: written aside, then renamed."""
    aside = path.with_suffix(".new")
    aside.write_text(key)
    os.replace(aside, path)


class TestFile:
    def test_the_key_is_what_stands_in_the_file(self, path: Path, clock: Clock) -> None:
        assert FileKey(path, clock=clock).current() == OLD

    def test_a_new_one_is_seen_within_a_second(self, path: Path, clock: Clock) -> None:
        key = FileKey(path, clock=clock)
        assert key.current() == OLD
        replace(path, NEW)
        clock.now = 0.9
        assert key.current() == OLD
        clock.now = 1.0
        assert key.current() == NEW

    def test_a_new_one_of_the_same_length_at_the_same_time_is_seen_too(self, path: Path, clock: Clock) -> None:
        key = FileKey(path, clock=clock)
        key.current()
        times = path.stat()
        replace(path, NEW + "\n")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        clock.now = 1.0
        assert key.current() == NEW

    def test_a_refused_one_is_looked_for_at_once(self, path: Path, clock: Clock) -> None:
        key = FileKey(path, clock=clock)
        key.current()
        replace(path, NEW)
        assert key.renew() == NEW

    @pytest.mark.parametrize("harm", ["gone", "empty", "no text"])
    def test_a_file_that_gives_none_leaves_the_old_one_and_one_line(
        self, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, harm: str
    ) -> None:
        key = FileKey(path, clock=clock)
        key.current()
        if harm == "gone":
            path.unlink()
        else:
            path.write_bytes(b"" if harm == "empty" else b"\xff\xfe")
        for second in range(1, 5):
            clock.now = second
            assert key.current() == key.renew() == OLD
        assert caplog.text.count("api_key_file_unreadable") == 1
        replace(path, NEW)
        clock.now = 9.0
        assert key.current() == NEW

    def test_an_unchanged_file_is_not_read_again(
        self, path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = FileKey(path, clock=clock)
        key.current()
        monkeypatch.setattr(Path, "read_text", None)
        clock.now = 5.0
        assert key.current() == OLD

    def test_no_log_holds_a_key(self, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        key = FileKey(path, clock=clock)
        key.current()
        replace(path, NEW)
        assert key.renew() == NEW
        assert "api_key_replaced" in caplog.text
        assert label(NEW) in caplog.text
        for part in (OLD, NEW, "secret"):
            assert part not in caplog.text

    def test_labels_tell_keys_apart_and_are_no_part_of_them(self) -> None:
        assert label(OLD) != label(NEW) != label("") == "none"
        assert len(label(OLD)) == 8
        assert FixedKey(OLD).current() == FixedKey(OLD).renew() == OLD


@pytest.fixture
async def client(standin: StandIn, path: Path, clock: Clock) -> AsyncIterator[AnthropicProvider]:
    found = AnthropicProvider(api_key=FileKey(path, clock=clock), base_url=standin.base_url)
    yield found
    await found.close()


class TestCalls:
    async def test_calls_under_way_end_with_the_old_key_and_the_next_has_the_new_one(
        self, standin: StandIn, client: AnthropicProvider, path: Path, clock: Clock
    ) -> None:
        standin.keys, standin.delay_ms = [OLD], 10
        before = client.label
        async with aclosing(client.stream(request("Write a long answer about gardens."))) as events:
            seen = [await anext(events), await anext(events)]
            standin.keys = [NEW]
            replace(path, NEW)
            clock.now = 1.0
            assert isinstance((await collect(client.stream(request("Hello"))))[-1], Completion)
            seen += [event async for event in events]
        assert isinstance(seen[-1], Completion)
        assert sum(isinstance(event, TextDelta) for event in seen) > 5
        assert client.label == label(NEW) != before
        assert [record.status for record in standin.log] == [200, 200]

    @pytest.mark.parametrize("how", ["stream", "count", "window"])
    async def test_a_refused_key_that_was_replaced_meanwhile_costs_nobody_anything(
        self, standin: StandIn, client: AnthropicProvider, path: Path, how: str
    ) -> None:
        assert await client.count(request("Hello"))
        standin.keys = [NEW]
        replace(path, NEW)
        if how == "stream":
            assert isinstance((await collect(client.stream(request("Hello"))))[-1], Completion)
        elif how == "count":
            assert await client.count(request("Hello"))
        else:
            assert (await client.window("claude-opus-4-6")).known
        assert [record.status for record in standin.log[1:]] == [401, 200]

    async def test_a_refused_key_that_stays_is_refused_once(self, standin: StandIn, client: AnthropicProvider) -> None:
        standin.keys = [NEW]
        with pytest.raises(Refused) as refused:
            await collect(client.stream(request("Hello")))
        assert refused.value.cause == "401:authentication_error"
        assert len(standin.log) == 1

    async def test_a_key_that_comes_too_late_is_used_by_the_next_call(
        self, standin: StandIn, client: AnthropicProvider, path: Path, clock: Clock
    ) -> None:
        standin.keys = [NEW]
        answers = await asyncio.gather(
            *(collect(client.stream(request("a"))) for _ in range(5)), return_exceptions=True
        )
        assert {type(answer) for answer in answers} == {Refused}
        replace(path, NEW)
        clock.now = 1.0
        assert isinstance((await collect(client.stream(request("Hello"))))[-1], Completion)
