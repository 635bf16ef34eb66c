"""What a turn and a compaction need of the world: a provider, the database, windows, budgets and counters.

One engine a process. It knows the settings; the context core it calls does not.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import Protocol

import structlog
from django.conf import settings
from django.utils import timezone

from chat.context import budget as budgets
from chat.context import thinking as asks
from chat.context.budget import Budget, BudgetError
from chat.context.compaction import Policy, chunk_limit
from chat.context.tokens import Counter, Ratios, Shares
from chat.context.values import Step
from chat.context.window import MESSAGES_A_TURN, WindowLimits
from chat.flow.holding import Holding
from chat.models import Calibration, ChatSession, Model
from chat.providers.base import ModelInfo, Provider, ProviderError
from chat.providers.breaker import Breakers, Rule
from chat.store import loading
from chat.store.closing import Closed
from chat.store.database import Database
from chat.store.loading import Handling, Loaded, LoadLimits
from chat.store.recent import Recent
from chat.store.switches import Switches

log = structlog.get_logger(__name__)

SAVE_EVERY_S = 10.0
# A summary session is bounded by tokens; this bounds its rows, and counts as a full window long before it is met.
MOST_TURNS_LOADED = 400
# Windows are asked for again after an hour: models get larger ones.
WINDOW_AGE_S = 3600.0
# What was told before is not worth a longer wait than this for what is told now.
ASK_WINDOW_S = 3.0


# Of such a session nothing is tried for a minute: the same words would fail again.
REFUSED = Rule(failures=1, rest=60.0)


class Bounds(Protocol):
    """What a conversation has of its own of the bounds of its window: messages, and marks in percent of its room."""

    @property
    def window_messages(self) -> int | None: ...

    @property
    def soft_mark(self) -> int | None: ...

    @property
    def hard_mark(self) -> int | None: ...


class UnknownWindow(Exception):
    """Nobody could say how large the window of `model` is; `failure` is why the service did not."""

    def __init__(self, model: str, failure: ProviderError | None = None):
        super().__init__(model)
        self.model = model
        self.failure = failure


class WindowNotAsked(Exception):
    """Nobody has asked yet how large the window of `model` is."""

    def __init__(self, model: str):
        super().__init__(model)
        self.model = model


class Engine:
    """Holds what is shared by all turns of a process. `recent` is the cache of windows, if there is one.

    `background` makes the calls that nobody waits for; it gives up first when the service is in trouble. `refusals`
    has a breaker for each session of which nothing, not even code, could make a summary. `switches` are the runtime
    switches as this process read them last.
    """

    def __init__(
        self,
        provider: Provider,
        database: Database,
        recent: Recent | None = None,
        background: Provider | None = None,
    ):
        self.provider = provider
        self.background = background or provider
        self.refusals = Breakers(REFUSED)
        self.database = database
        self.holding = Holding(database)
        self.recent = recent
        self.switches = Switches()
        self._counters: dict[str, Counter] = {}
        self._unsaved: set[str] = set()
        self._saved_at = -inf
        self._windows: dict[str, tuple[ModelInfo, float]] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    # --- windows ---

    async def window(self, model: str) -> ModelInfo:
        """The model's window: the setting, else the Models API, else what it said last. Raises UnknownWindow."""
        known = self._windows.get(model)
        if known and time.monotonic() - known[1] < WINDOW_AGE_S:
            return known[0]
        async with self._asking.setdefault(model, asyncio.Lock()):
            known = self._windows.get(model)
            if known and time.monotonic() - known[1] < WINDOW_AGE_S:
                return known[0]
            info = await self._ask_window(model)
            self._windows[model] = (info, time.monotonic())
            return info

    def known_window(self, model: str) -> ModelInfo | None:
        """The model's window as this process has learnt it, without asking; from any thread."""
        known = self._windows.get(model)
        return known[0] if known else None

    async def _ask_window(self, model: str) -> ModelInfo:
        override = settings.CHAT_CONTEXT_WINDOW
        if override:
            return ModelInfo(id=model, window=override, source="setting")
        stored = await self.database.read(lambda: Model.objects.filter(pk=model).first())
        info, failure = ModelInfo(id=model, window=0, known=False), None
        try:
            async with asyncio.timeout(ASK_WINDOW_S if stored else None):
                info = await self.provider.window(model)
        except TimeoutError:
            log.info("window_not_told", model=model)
        except ProviderError as error:
            failure = error
        if info.known and info.window:
            await self.database.run(_store_window, info)
            return info
        if stored is None:
            raise UnknownWindow(model, failure)
        return ModelInfo(id=model, window=stored.window, max_output=stored.max_output, source="stored")

    async def budget(self, model: str, instructions: str, *, thinking: bool = False) -> Budget:
        """The split of the model's window. Raises UnknownWindow, BudgetError."""
        info = await self.window(model)
        return self.budget_of(info, instructions, thinking=thinking)

    def budget_of(self, info: ModelInfo, instructions: str, *, thinking: bool = False) -> Budget:
        """The split of a known window. Raises BudgetError. A window with no room for `thinking` has none."""
        return split(info, self.counter(info.id).count(instructions), thinking=thinking)

    # --- policies ---

    @property
    def summary_model(self) -> str:
        """The model that writes summaries and titles: the switch's, else the setting's."""
        return self.switches.summary_model or settings.CHAT_SUMMARY_MODEL

    async def policy(self, plan: Bounds) -> Policy:
        """When to compact a session; chunks are as large as the summariser can take."""
        summariser = await self.window(self.summary_model)
        return policy(plan, chunk_tokens=chunk_limit(summariser.window))

    def limits(self, plan: Handling) -> WindowLimits:
        """The bound of the word-for-word part: the sliding window's, or a last resort behind compaction's."""
        most = plan.window_messages or (settings.CHAT_WINDOW_MESSAGES if slides(plan) else None)
        return WindowLimits(max_messages=most, batch_messages=settings.CHAT_BATCH_MESSAGES)

    async def load(self, turn_id: int) -> Loaded:
        """What the request of a live turn is made of. Raises Turn.DoesNotExist, MovedTooOften, UnknownWindow."""
        while True:
            try:
                return await self.database.read(loading.load, turn_id, self.load_limits, self.recent)
            except WindowNotAsked as error:
                await self.window(error.model)

    async def remember(self, loaded: Loaded, closed: Closed, steps: Sequence[Step]) -> None:
        """Keep the window that the next turn of the session will ask for, where it follows from this one."""
        if self.recent is None or closed.trimmed or closed.context_version != loaded.context_version:
            return
        following = loading.following(loaded, closed.row, steps, self.load_limits(loaded))
        if following:
            await self.database.read(self.recent.put, *following)

    def load_limits(self, plan: Handling) -> LoadLimits:
        """What one load may read at most. Raises WindowNotAsked.

        A sliding window reads little beyond what it sends. Where compaction bounds the history, all that could fit
        is read, so that no turn is left out for want of loading.
        """
        if self.limits(plan).max_messages is not None and slides(plan):
            most = max(settings.CHAT_LOAD_MESSAGES, self.limits(plan).max_messages or 0)
            return LoadLimits(turns=most // MESSAGES_A_TURN, tokens=settings.CHAT_LOAD_TOKENS)
        known = self._windows.get(plan.model)
        if known is None:
            raise WindowNotAsked(plan.model)
        return LoadLimits(turns=MOST_TURNS_LOADED, tokens=known[0].window)

    # --- counting ---

    def counter(self, model: str) -> Counter:
        """The counter of a model, with what was learnt of it."""
        return self._counters.get(model) or Counter()

    async def load_counters(self) -> None:
        """Read what earlier processes learnt."""
        rows = await self.database.read(lambda: list(Calibration.objects.all()))
        self._counters = {row.model: Counter(Ratios.from_dict(row.ratios)) for row in rows}

    def learn(self, model: str, *, shares: Shares, estimated: int, measured: int) -> None:
        """Take one call's truth in; saved at most every SAVE_EVERY_S seconds."""
        self._counters[model] = self.counter(model).learn(shares=shares, estimated=estimated, measured=measured)
        self._unsaved.add(model)

    def learn_overflow(self, model: str, *, actual: int | None, estimated: int) -> None:
        """Take the numbers of an overflow error in."""
        self._counters[model] = self.counter(model).from_overflow(actual=actual, estimated=estimated)
        self._unsaved.add(model)

    async def save_counters(self, *, now: bool = False) -> None:
        """Save what was learnt, when it is time."""
        if not self._unsaved or (not now and time.monotonic() - self._saved_at < SAVE_EVERY_S):
            return
        models, self._unsaved = self._unsaved, set()
        self._saved_at = time.monotonic()
        ratios = {model: self.counter(model).ratios.to_dict() for model in models}
        await self.database.run(_store_ratios, ratios)


def split(info: ModelInfo, system_tokens: int, *, thinking: bool = False) -> Budget:
    """The split of a known window by the settings. Raises BudgetError. A window with no room for `thinking` has none.

    `system_tokens`: of the instructions.
    """
    values = {
        "preset": budgets.parse(settings.CHAT_BUDGET),
        "response": settings.CHAT_RESPONSE_TOKENS,
        "system_tokens": system_tokens,
    }
    most = settings.CHAT_THINKING_TOKENS if thinking and (info.thinking or asks.kind_of(info.id)) != asks.NONE else 0
    try:
        found = budgets.split(info.window, thinking=most, **values)
    except BudgetError:
        if not most:
            raise
        found = budgets.split(info.window, **values)
    if info.max_output and found.response > info.max_output:
        return replace(found, response=info.max_output, thinking=min(found.thinking, info.max_output // 2))
    return found


def slides(plan: Handling) -> bool:
    """Whether a session simply leaves older turns out: by its strategy, or because it must never be compacted."""
    return plan.strategy == ChatSession.Strategy.SLIDING_WINDOW or plan.mode == ChatSession.Mode.NEVER


def marks(soft: int | None, hard: int | None) -> Policy:
    """The marks of a conversation with its own soft and hard one, in percent of its room; None: as the settings say.

    The high one stays between them.
    """
    low = settings.CHAT_SOFT_MARK if soft is None else soft / 100
    most = settings.CHAT_HARD_MARK if hard is None else hard / 100
    return Policy(soft=low, high=min(max(settings.CHAT_HIGH_MARK, low), most), hard=most)


def policy(plan: Bounds, *, chunk_tokens: int) -> Policy:
    """The settings as a policy, with what a conversation has of its own."""
    return replace(
        marks(plan.soft_mark, plan.hard_mark),
        keep_turns=settings.CHAT_KEEP_TURNS,
        keep_share=settings.CHAT_KEEP_SHARE,
        summary_tokens=settings.CHAT_SUMMARY_TOKENS,
        chunk_tokens=chunk_tokens,
        batch_messages=settings.CHAT_BATCH_MESSAGES,
        max_messages=plan.window_messages or MESSAGES_A_TURN * MOST_TURNS_LOADED,
    )


def _store_window(info: ModelInfo) -> None:
    Model.objects.update_or_create(
        pk=info.id, defaults={"window": info.window, "max_output": info.max_output, "fetched_at": timezone.now()}
    )


def _store_ratios(ratios: dict[str, dict[str, float]]) -> None:
    for model, values in ratios.items():
        Calibration.objects.update_or_create(
            pk=model,
            defaults={"ratios": values, "samples": values.get("samples", 0), "updated_at": timezone.now()},
        )
