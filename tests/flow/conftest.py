"""A running service, with a provider or a stand-in of the test's choosing, and somebody who talks to it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from chat import service
from chat.flow.opening import Opened, Rejected
from chat.models import ChatSession, Turn
from chat.providers.standin import StandIn
from chat.service import Service
from chat.store import integrity, sessions
from chat.stream.protocol import Delta, Done, Reset, Snapshot
from chat.stream.watcher import Watcher

PATIENCE_S = 30.0
POLL_S = 0.02


async def eventually(holds: Callable[[], Any]) -> Any:
    """Wait for something in the database that no frame tells."""
    for _ in range(int(PATIENCE_S / POLL_S)):
        if found := holds():
            return found
        await asyncio.sleep(POLL_S)
    raise TimeoutError


@dataclass
class Chat:
    """One person's view of a running service: messages go in, finished turns come out."""

    service: Service
    owner: Any
    session: ChatSession
    frames: list[Any] = field(default_factory=list)
    _watcher: Watcher | None = None
    _reading: asyncio.Task[None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def standin(self) -> StandIn:
        """The stand-in behind the service."""
        assert self.service.standin is not None
        return self.service.standin

    def attend(self) -> None:
        """Watch the session as a socket would."""
        self._watcher = self.service.hub.watch(self.session.pk)
        self._reading = asyncio.create_task(self._read(self._watcher))

    async def _read(self, watcher: Watcher) -> None:
        async for frame in watcher:
            self.frames.append(frame)
            self._news.set()

    async def until(self, holds: Callable[[], Any]) -> Any:
        """Wait for something that a frame brings."""
        async with asyncio.timeout(PATIENCE_S):
            while not (found := holds()):
                self._news.clear()
                await self._news.wait()
        return found

    async def open(self, text: str = "", *, op: str = "new", of: int | None = None) -> Opened:
        """A message that must be accepted."""
        opened = await self.service.open_turn(
            owner_id=self.owner.pk, session_id=self.session.pk, client_id=uuid.uuid4(), text=text, op=op, of=of
        )
        assert not isinstance(opened, Rejected), opened
        return opened

    async def say(self, text: str = "", *, op: str = "new", of: int | None = None) -> Turn:
        """A message and the end of its turn."""
        opened = await self.open(text, op=op, of=of)
        return await self.ended(opened.turn_id)

    async def ended(self, turn_id: int) -> Turn:
        """The turn, once its end was told."""
        await self.until(lambda: [one for one in self.frames if isinstance(one, Done) and one.turn == turn_id])
        return self.turn(turn_id)

    async def text_of(self, turn_id: int, least: int = 1) -> str:
        """What a socket shows of a turn, once it is `least` characters long."""
        return await self.until(lambda: shown if len(shown := self.shown(turn_id)) >= least else None)

    def shown(self, turn_id: int) -> str:
        """The text that a page would show, by the rules for frames."""
        text = ""
        for frame in self.frames:
            if getattr(frame, "turn", None) != turn_id:
                continue
            if isinstance(frame, Reset):
                text = ""
            elif isinstance(frame, Snapshot):
                text = frame.text
            elif isinstance(frame, Delta):
                assert frame.start == len(text)
                text += frame.text
        return text

    async def settled(self) -> None:
        """Wait until no job is due or running."""
        assert self.service.jobs is not None
        async with asyncio.timeout(PATIENCE_S):
            await self.service.jobs.idle()

    def turn(self, turn_id: int) -> Turn:
        """The row as it is now."""
        return Turn.objects.get(pk=turn_id)

    @property
    def row(self) -> ChatSession:
        """The session as it is now."""
        return ChatSession.objects.get(pk=self.session.pk)

    def sent(self) -> list[Any]:
        """The stand-in's records of reply requests, those that were refused too."""
        return [one for one in self.standin.log if one.endpoint == "messages" and one.purpose == "reply"]

    def close(self) -> None:
        """Stop watching."""
        if self._watcher:
            self._watcher.close()
        if self._reading:
            self._reading.cancel()


Start = Callable[..., Awaitable[Chat]]


@pytest.fixture
async def start(transactional_db: None, django_user_model: Any, settings: Any) -> AsyncIterator[Start]:
    """`await start(provider)` or `await start(window=8_000)` (the stand-in). Ends with all invariants held."""
    chats: list[Chat] = []
    settings.CHAT_SWEEP_S = 3600.0
    settings.CHAT_STANDIN_DELAY_MS = 0

    async def begin(
        provider: Any = None, *, window: int | None = 16_000, standin: dict[str, Any] | None = None, turns: bool = True,
        jobs: bool = True, **values: Any,
    ) -> Chat:  # fmt: skip
        settings.CHAT_CONTEXT_WINDOW = window
        running = await service.start(
            provider=provider, run_turns=turns, run_jobs=jobs, standin_options={"first_ms": 0, **(standin or {})}
        )
        owner = django_user_model.objects.create_user(f"person-{len(chats)}")
        chat = Chat(running, owner, sessions.create(owner, **values))
        chat.attend()
        chats.append(chat)
        return chat

    yield begin
    for chat in chats:
        chat.close()
    await service.stop()
    assert integrity.violations() == []
