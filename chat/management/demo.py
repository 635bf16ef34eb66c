"""Traffic as a busy day would bring it: conversations of different sizes, with what goes wrong now and then.

Everything is real: messages are opened as a user's, turns run through the flow and over HTTP to the stand-in, which
is told to fail in the ways of the real API. What comes of it is decided by the seed, save for the order in which
conversations that run side by side meet.
"""

import asyncio
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chat import service
from chat.flow.opening import Opened
from chat.models import ChatSession, Job, Turn
from chat.providers.standin import StandIn
from chat.store import sessions
from chat.store.quotas import Caps
from chat.stream.hub import Watcher
from chat.stream.protocol import Done

SIDE_BY_SIDE = 8
TURN_S = JOBS_S = 300.0
# A breaker opens at five failures that may pass in 30 s. An outage is not what this is about.
MOST_FAILURES, IN_S = 3, 31.0

# Share of the conversations, turns from and to, words of a message from and to.
SIZES = ((0.58, 1, 5, 20, 120), (0.27, 6, 14, 60, 260), (0.12, 14, 26, 160, 420), (0.03, 4, 8, 700, 2_400))
TOPICS = (
    "the harbour survey", "a stubborn database index", "the garden behind the school", "last year's invoices",
    "a recipe for forty guests", "the night train to Vienna", "an unfinished translation", "the spare parts list",
    "the choir's autumn concert", "a leaking roof", "the exam in statistics", "a talk about lichens",
)  # fmt: skip
ASKS = (
    "Please write a plan with steps.", "What would you do first?", "Write a detailed explanation, please.",
    "Compare the two in a table.", "Keep that in mind.", "Give me a list of ideas.", "And now?",
)  # fmt: skip
FACTS = ("The order number is {a}-{b}.", "It costs {b}.50 EUR.", "We meet in room {b} on floor {c}.", "{a}{b} is late.")
INSTRUCTIONS = (
    "You are a helpful assistant. Answer plainly.",
    "You are a patient teacher. Give one example each time.",
)

# By name: what the stand-in does to the next reply, and whether it is a failure that passes.
MISHAPS: dict[str, tuple[dict[str, Any], bool]] = {
    "overflow": ({"kind": "overflow", "wording": 1}, False),
    "refused": ({"kind": "stop", "stop_reason": "refusal", "after": 2}, False),
    "overloaded": ({"kind": "status", "status": 529}, True),
    "wrong": ({"kind": "template"}, False),
    "cut": ({"kind": "stop", "stop_reason": "max_tokens", "after": 4}, False),
    "broken at its start": ({"kind": "stream_error", "after": 0}, True),
    "overflow twice": ({"kind": "overflow", "wording": 2, "times": 2}, False),
    "limited": ({"kind": "status", "status": 429, "retry_after": 0.1}, True),
    "broken in the middle": ({"kind": "stream_error", "after": 3}, True),
    "too many words for a summary": ({"summary": "huge"}, False),
    "nothing for a summary": ({"summary": "blank"}, False),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One conversation before it happens. `mishap` comes before turn `at` (counted from 0), "" never."""

    person: int
    prompts: tuple[str, ...]
    strategy: str
    model: str
    instructions: str
    mishap: str
    at: int
    again: bool


def scenes(count: int, seed: int, models: Sequence[str]) -> list[Scene]:
    """So many conversations of `count / 12 + 2` people; each mishap happens once before any happens again."""
    dice = random.Random(seed)
    names = list(MISHAPS)
    made = []
    for number in range(count):
        if number < len(SIZES):
            size: tuple[float, int, int, int, int] = SIZES[number]
        else:
            size = dice.choices(SIZES, [one[0] for one in SIZES])[0]
        _, fewest, most, short, long = size
        prompts = tuple(_prompt(dice, dice.randint(short, long)) for _ in range(dice.randint(fewest, most)))
        mishap = names[number] if number < len(names) else dice.choice([*names, *[""] * 2 * len(names)])
        made.append(
            Scene(
                person=dice.randrange(count // 12 + 2),
                prompts=prompts,
                strategy="sliding_window" if dice.random() < 0.15 else "summary",
                model=dice.choices(models, [6, *[1] * (len(models) - 1)])[0],
                instructions=dice.choice(INSTRUCTIONS),
                mishap=mishap,
                at=dice.randrange(len(prompts)),
                again=dice.random() < 0.1,
            )
        )
    return made


def _prompt(dice: random.Random, words: int) -> str:
    topic, parts = dice.choice(TOPICS), []
    while sum(len(part.split()) for part in parts) < words:
        fact = dice.choice(FACTS).format(a=dice.choice("ABCDEFGH"), b=dice.randint(100, 9_999), c=dice.randint(1, 9))
        parts.append(f"About {topic}: we looked at it on day {dice.randint(1, 300)} and wrote down what we saw. {fact}")
    return f"{' '.join(parts)} {dice.choice(ASKS)}"


@dataclass(slots=True, kw_only=True)
class Traffic:
    """Lets scenes happen in a service that runs. `step` is called after each turn; `made` are the sessions so far."""

    site: service.Service
    standin: StandIn
    people: Sequence[Any]
    step: Callable[[], Any]
    made: list[uuid.UUID] = field(default_factory=list)
    ends: dict[str, int] = field(default_factory=dict)
    _failures: deque[float] = field(default_factory=deque)

    async def run(self, scenes: Sequence[Scene]) -> None:
        """All of them, a few side by side, and what they leave to be done in the background."""
        doors = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(scene: Scene) -> None:
            async with doors:
                await self._play(scene)

        async with asyncio.TaskGroup() as group:
            for scene in scenes:
                group.create_task(one(scene))
        if self.site.jobs:
            # Work that failed once, or rested with the service, comes again a little later.
            async with asyncio.timeout(JOBS_S):
                while await self.site.database.read(lambda: Job.objects.open().exists()):
                    await self.site.jobs.idle()
                    await asyncio.sleep(0.2)

    async def _play(self, scene: Scene) -> None:
        owner = self.people[scene.person]
        session = await self.site.database.run(
            lambda: sessions.create(owner, strategy=scene.strategy, model=scene.model, text=scene.instructions)
        )
        self.made.append(session.pk)
        watcher = self.site.hub.watch(session.pk)
        last: int | None = None
        try:
            for number, prompt in enumerate(scene.prompts):
                if scene.mishap and number == scene.at:
                    self._spoil(scene.mishap)
                last = await self._send(session, owner, watcher, prompt)
                self.step()
            if scene.again and last:
                await self._send(session, owner, watcher, "", op="regenerate", of=last)
        finally:
            watcher.close()

    async def _send(
        self,
        session: ChatSession,
        owner: Any,
        watcher: Watcher,
        text: str,
        *,
        op: str = "new",
        of: int | None = None,
    ) -> int | None:
        """One message and the end of its turn; its turn's id, None where it was not taken."""
        opened = await self.site.open_turn(
            owner_id=owner.pk,
            session_id=session.pk,
            client_id=uuid.uuid4(),
            text=text,
            op=op,
            of=of,
            caps=Caps(),
        )
        if not isinstance(opened, Opened):
            self._ended(opened.code)
            return None
        async with asyncio.timeout(TURN_S):
            async for frame in watcher:
                if isinstance(frame, Done) and frame.turn == opened.turn_id:
                    self._ended(frame.status)
                    break
        return opened.turn_id

    def _ended(self, how: str) -> None:
        self.ends[how] = self.ends.get(how, 0) + 1

    def _spoil(self, mishap: str) -> None:
        details, passes = MISHAPS[mishap]
        if "summary" in details:
            self.standin.summary_mode = details["summary"]
            asyncio.get_running_loop().call_later(1.0, setattr, self.standin, "summary_mode", "lossy")
        elif not passes or self._may_fail():
            self.standin.faults.add(**details, purpose="reply")

    def _may_fail(self) -> bool:
        now = time.monotonic()
        while self._failures and now - self._failures[0] > IN_S:
            self._failures.popleft()
        if len(self._failures) >= MOST_FAILURES:
            return False
        self._failures.append(now)
        return True


def totals(made: Sequence[uuid.UUID]) -> dict[str, int]:
    """What the conversations themselves say: `compactions` that were committed, `too_large` turns of which a request
    had been made."""
    rows = ChatSession.objects.filter(pk__in=made).values_list("compactions", flat=True)
    given_up = Turn.objects.filter(session__in=made, error="too_large", manifest__isnull=False)
    return {"compactions": sum(rows), "given_up": given_up.count()}
