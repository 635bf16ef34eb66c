"""Feeding stored conversations through the whole running service, turn by turn, as a user would send them."""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from chat import service
from chat.flow import replay
from chat.flow.opening import Rejected
from chat.flow.replay import Figures, Recall
from chat.models import ChatSession, Turn
from chat.providers.standin.request import purpose
from chat.providers.tally import Tally
from chat.store import sessions
from chat.store.portable.values import Conversation, Question
from chat.store.quotas import Caps
from chat.stream.hub import Watcher
from chat.stream.protocol import Done

# A turn that takes longer than all its retries may is lost.
TURN_S = 300.0
# So many failed turns in a row are no accident: the rest would fail too, each after its retries.
MOST_FAILED = 3


class TurnLost(Exception):
    """A message was not taken, its turn never ended, or too many failed in a row: there is no sense in going on."""


@dataclass(slots=True)
class Script:
    """What the stand-in says to the next message: the recorded reply, so that the conversation stays itself."""

    reply: str = ""

    def __call__(self, body: Mapping[str, Any]) -> str | None:
        return self.reply if self.reply and purpose(body) == "reply" else None


@dataclass(slots=True, kw_only=True)
class Replayer:
    """Replays conversations one after the other in a service that runs. `step` is called after each turn.

    `made` holds the ids of the sessions as they are made, also when a replay is broken off.
    """

    site: service.Service
    owner: Any
    strategy: str
    step: Callable[[], Any]
    script: Script
    tally: Tally
    made: list[uuid.UUID] = field(default_factory=list)
    failing: int = 0

    @classmethod
    def on(
        cls, site: service.Service, owner: Any, strategy: str, step: Callable[[], Any], made: list[uuid.UUID]
    ) -> "Replayer":
        """A replayer whose replies are the recorded ones where the stand-in speaks, else the model's own."""
        script, tally = Script(), Tally(site.engine.provider)
        site.engine.provider = site.engine.background = tally
        if site.standin:
            site.standin.responder = script
        return cls(site=site, owner=owner, strategy=strategy, step=step, script=script, tally=tally, made=made)

    async def run(self, conversation: Conversation, *, questions: int = 0) -> Figures:
        """Replay one conversation in a session of its own, then ask about it."""
        started, database = time.monotonic(), self.site.database
        self._clear()
        session = await database.run(
            lambda: sessions.create(self.owner, title=conversation.title[:200], strategy=self.strategy)
        )
        self.made.append(session.pk)
        watcher = self.site.hub.watch(session.pk)
        try:
            for exchange in conversation.path:
                self.script.reply = exchange.reply
                await self._send(session, watcher, exchange.prompt)
                self.step()
        except TurnLost:
            pass  # the figures show the turns that are missing
        else:
            if self.site.jobs:
                await self.site.jobs.idle()
        rows = await database.read(replay.read, session.pk, ttl=settings.CHAT_CACHE_TTL)
        replies = rows["input"] + rows["cache_read"] + rows["cache_write"] + rows["output"]
        made = self.tally.used.total_input + self.tally.used.output - replies
        calls, largest = self.tally.calls, self.tally.largest
        seconds = time.monotonic() - started
        asked, missed = await self._ask(conversation, session, watcher, questions)
        watcher.close()
        turns = len(conversation.path)
        window = await self.site.engine.window(session.model)
        rows["failed"] = turns - rows["answered"] + missed
        return Figures(
            name=conversation.title or conversation.place,
            window=window.window,
            turns=turns,
            refused=self._refused(),
            calls=calls,
            largest=max(largest, self.tally.largest),
            summary_tokens=made,
            seconds=seconds,
            recall=asked,
            **rows,
        )

    async def _send(self, session: ChatSession, watcher: Watcher, text: str, *, of: int | None = None) -> int:
        """Send one message (`of`: in place of that turn's) and wait for the end of its turn; the turn's id."""
        opened = await self.site.open_turn(
            owner_id=self.owner.pk,
            session_id=session.pk,
            client_id=uuid.uuid4(),
            text=text,
            op="new" if of is None else "edit",
            of=of,
            caps=Caps(),
        )
        if isinstance(opened, Rejected):
            raise TurnLost(opened.code)
        try:
            async with asyncio.timeout(TURN_S):
                async for frame in watcher:
                    if isinstance(frame, Done) and frame.turn == opened.turn_id:
                        self.failing = self.failing + 1 if frame.status == Turn.Status.FAILED else 0
                        break
        except TimeoutError:
            raise TurnLost("timeout") from None
        if self.failing >= MOST_FAILED:
            raise TurnLost("failing")
        return opened.turn_id

    async def _ask(
        self, conversation: Conversation, session: ChatSession, watcher: Watcher, most: int
    ) -> tuple[Recall | None, int]:
        """Ask up to `most` questions, spread over the list, each as the next message after the last turn.

        Returns what the requests held (None where nothing was to be asked) and how many got no answer.
        """
        where = {
            name: (number, text)
            for number, exchange in enumerate(conversation.path, 1)
            for name, text in exchange.lines
            if name
        }
        known = [one for one in conversation.questions if any(name in where for name in one.evidence)]
        asked, found, answered = _spread(known, most), Recall(), 0
        turn: int | None = None
        self.script.reply, self.tally.keeping = "", True
        for question in asked:
            evidence = [where[name] for name in question.evidence if name in where]
            try:
                # Each in the place of the one before, so that no question is in the others' context.
                turn = await self._send(session, watcher, question.text, of=turn)
            except TurnLost:
                break
            answered += not self.failing
            if self.site.jobs:
                await self.site.jobs.idle()
            digest, hows = await self.site.database.read(replay.how_sent, turn)
            request = self.tally.kept.get(digest)
            if request is not None:
                found += replay.recall(evidence, request, hows)
        self.tally.keeping = False
        return found if most else None, len(asked) - answered

    def _clear(self) -> None:
        self.failing = 0
        self.tally.calls = self.tally.refused = self.tally.largest = 0
        self.tally.used = type(self.tally.used)()
        if self.site.standin:
            self.site.standin.log.clear()

    def _refused(self) -> int:
        """400s, by the stand-in's own log where it is the upstream."""
        if self.site.standin:
            return sum(record.status == 400 for record in self.site.standin.log)
        return self.tally.refused


def _spread(questions: Sequence[Question], most: int) -> list[Question]:
    """At most so many of them, evenly from first to last."""
    if most <= 0 or not questions:
        return []
    most = min(most, len(questions))
    return [questions[index * len(questions) // most] for index in range(most)]
