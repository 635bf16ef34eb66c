"""THE FLOW of a turn, read from top to bottom: load -> budget -> assemble -> stream -> close.

A claimed turn is run here and nowhere else. The database is the truth: whatever this process believes, every write
is fenced by the claim, and losing it ends the run at once. Nothing is delivered twice: once text has reached
anybody, a break sends the turn back to the queue for one attempt from scratch, never "from here on".
"""

import time
import uuid
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

import structlog
from django.db import InterfaceError, OperationalError

from chat.context.budget import Budget, BudgetError
from chat.context.compaction import Policy
from chat.context.tokens import Counter
from chat.context.values import Assembled
from chat.flow import closing, fallback, requests
from chat.flow.engine import Engine, UnknownWindow
from chat.flow.failures import StillTrying, stored
from chat.flow.inline import due_level, make_room
from chat.flow.running import Interrupted, Lost, Released, Running, Stopped
from chat.flow.tracing import tracing
from chat.models import Turn
from chat.providers.base import (
    Completion,
    ContextOverflow,
    ProviderError,
    Started,
    StepEvent,
    TextDelta,
    Unavailable,
    Usage,
    Waiting,
)
from chat.providers.steady import BREAKER
from chat.store import leases, loading
from chat.store.closing import Closed
from chat.store.database import storable
from chat.store.loading import Loaded
from chat.stream.hub import Hub

log = structlog.get_logger(__name__)

STATUS = {
    "end_turn": Turn.Status.COMPLETE,
    "stop_sequence": Turn.Status.COMPLETE,
    "tool_use": Turn.Status.COMPLETE,
    "pause_turn": Turn.Status.COMPLETE,
    "max_tokens": Turn.Status.TRUNCATED,
    "model_context_window_exceeded": Turn.Status.TRUNCATED,
    "refusal": Turn.Status.REFUSED,
}


async def run_turn(running: Running, engine: Engine, hub: Hub) -> Closed | None:
    """Run a claimed turn to its end; None when it was lost or went back to the queue."""
    with engine.holding.hold(running):
        return await Run(running, engine, hub).to_the_end()


class Run:
    """One attempt at one turn: its parts as they come into being, so that whatever fails, the rest can be kept."""

    def __init__(self, running: Running, engine: Engine, hub: Hub):
        self.running = running
        self.engine = engine
        self.hub = hub
        self.loaded: Loaded | None = None
        self.budget: Budget | None = None
        self.policy: Policy | None = None
        self.assembled: Assembled | None = None
        self.counter = Counter()

    async def to_the_end(self) -> Closed | None:
        """The flow. Every way out of it is a row of this table."""
        try:
            await self.running.interruptible(self._answer())
        except Stopped:
            return await self._close(Turn.Status.STOPPED)
        except Lost:
            return self._let_go()
        except Released:
            return await self._requeue("restarting", costs_attempt=False)
        except ProviderError as error:
            self.running.usage = error.partial or self.running.usage
            self.running.outcome = BREAKER if error.cause == BREAKER else ""
            if error.transient and self.running.text and self._may_try_again():
                return await self._requeue("retrying", costs_attempt=True, error=error.code)
            return await self._close(
                Turn.Status.FAILED, error=stored(error, self.assembled.request if self.assembled else None)
            )
        except BudgetError:
            return await self._close(Turn.Status.FAILED, error="too_large")
        except UnknownWindow as unknown:
            code = stored(unknown.failure, None) if unknown.failure else "unknown_window"
            return await self._close(Turn.Status.FAILED, error=code)
        except loading.MovedTooOften:
            if self._may_try_again():
                return await self._requeue("waiting", costs_attempt=True)
            return await self._close(Turn.Status.FAILED, error="moved")
        except Turn.DoesNotExist:
            return self._let_go()
        except Interrupted:
            raise
        except (OperationalError, InterfaceError) as error:
            # The database went away before the answer began, for longer than its units are repeated.
            log.warning("turn_without_database", turn=self.running.claim.id, error=type(error).__name__)
            if self._may_try_again():
                return await self._requeue("waiting", costs_attempt=True)
            return await self._close(Turn.Status.FAILED, error="storage")
        except Exception:
            # A bug of ours must not leave the user with a spinner until the lease runs out, twice.
            log.exception("turn_failed", turn=self.running.claim.id, session=str(self.running.claim.session_id))
            return await self._close(Turn.Status.FAILED, error="internal")
        return await self._close(STATUS.get(self.running.stop_reason, Turn.Status.COMPLETE))

    async def _answer(self) -> None:
        await self._load()
        assert self.loaded
        assert self.budget
        self.assembled = await requests.first_request(self.loaded, self.budget, self.engine, self.counter)
        while True:
            try:
                await self._stream(self.assembled)
                return
            except ContextOverflow as error:
                if self.running.text:
                    raise  # said in the middle of a reply; another request would begin it once more
                refused = self.assembled
                self.running.outcome = error.code
                self.assembled = await self._smaller(refused, error)
                await self._record_refusal(refused)
            except ProviderError as error:
                if self.running.text or not await self._fall_back(error):
                    raise

    async def _record_refusal(self, refused: Assembled) -> None:
        assert self.loaded
        assert self.budget
        assert self.policy
        assert self.assembled
        await self.engine.database.run(
            closing.record_refusal, self.running, self.loaded, self.budget, self.policy, refused, self.assembled
        )
        self.running.call, self.running.outcome = uuid.uuid4(), ""

    async def _fall_back(self, error: ProviderError) -> bool:
        """Make the request anew for the model that an operator named for such hours; False where there is none."""
        assert self.loaded
        assert self.budget
        assert self.policy
        assert self.assembled
        instead = fallback.after(error, self.loaded, self.engine)
        if instead is None:
            return False
        self.running.usage = error.partial or self.running.usage
        await self.engine.database.run(
            closing.record_broken, self.running, self.loaded, self.budget, self.policy, self.assembled, error.code
        )
        self.running.call, self.running.usage = uuid.uuid4(), Usage()
        self.running.steps.clear()
        self.loaded = instead
        await self._plan()
        self.assembled = await requests.first_request(instead, self.budget, self.engine, self.counter)
        return True

    async def _plan(self) -> None:
        """Budget, policy and counter of the model that will answer."""
        loaded, engine = self.loaded, self.engine
        assert loaded
        self.budget = await engine.budget(loaded.model, loaded.history.instructions, thinking=loaded.thinking)
        self.policy = await engine.policy(loaded)
        self.counter = engine.counter(loaded.model)

    async def _load(self) -> None:
        """Load the turn; at the hard mark compact first, for as long as a user may be kept waiting."""
        claim, engine = self.running.claim, self.engine
        loaded = fallback.chosen(await engine.load(claim.id), engine)
        self.loaded = loaded
        self.running.live = self.hub.begin(loaded.session_id, loaded.turn_id, loaded.number, claim.epoch)
        await self._plan()
        assert self.budget
        assert self.policy
        reached = due_level(loaded, self.budget, self.policy, engine.counter(loaded.model))
        if reached == "hard" and await make_room(loaded, engine, self.hub):
            self.loaded = replace(await engine.load(claim.id), model=loaded.model)

    async def _smaller(self, refused: Assembled, error: ContextOverflow) -> Assembled:
        """A strictly smaller request: with a summary that became ready meanwhile, else further down the ladder."""
        assert self.loaded
        assert self.budget
        requests.learn_overflow(self.engine, refused, error)
        fresh = replace(await self.engine.load(self.running.claim.id), model=self.loaded.model)
        if fresh.context_version != self.loaded.context_version:
            self.loaded = fresh
            self.counter = self.engine.counter(fresh.model)
            ready = await requests.first_request(fresh, self.budget, self.engine, self.counter)
            # By characters: the two estimates are those of a counter before and after it learnt from the error.
            if _characters(ready) < _characters(refused):
                return ready
        return await requests.smaller(
            refused, self.loaded, self.budget, self.engine, self.counter, actual=error.actual, allowed=error.limit
        )

    async def _stream(self, assembled: Assembled) -> None:
        """One call to the model. Text goes to the hub; the whole reply has come only with a Completion."""
        running, live = self.running, self.running.live
        assert self.loaded
        assert live
        running.sent_at = time.monotonic()
        session, turn = self.loaded.session_id, self.loaded.turn_id
        trying = StillTrying(lambda since_ms: self.hub.status(session, turn, "retrying", since_ms))
        async with AsyncExitStack() as stack:
            stack.callback(trying.over)
            told = tracing.call(
                self.engine.provider.stream(assembled.request),
                assembled.request,
                purpose="reply",
                session=session,
                compacted=any(run.how == "summarised" for run in assembled.manifest.runs),
            )
            events = await stack.enter_async_context(aclosing(told))
            async for event in events:
                if isinstance(event, TextDelta):
                    if running.first_ms is None:
                        trying.over()
                        running.first_ms = int((time.monotonic() - running.sent_at) * 1000)
                    self.hub.append(self.loaded.session_id, live, storable(event.text))
                    self.engine.holding.grew(running)
                elif isinstance(event, StepEvent):
                    running.steps.append(event.step)
                    if event.step.kind == "thinking":
                        trying.over()
                        took = time.monotonic() - running.sent_at
                        self.hub.status(session, turn, "thought", round(took * 1000))
                elif isinstance(event, Started):
                    trying.over()
                    running.usage = event.usage
                elif isinstance(event, Waiting):
                    trying.waits()
                    if event.spent is not None:
                        running.failed(event.cause, event.spent)
                elif isinstance(event, Completion):
                    running.usage, running.stop_reason = event.usage, event.stop_reason
        if not running.stop_reason:
            raise Unavailable("the stream ended without a Completion")

    async def _close(self, status: str, error: str = "") -> Closed | None:
        """Store how it ended, in one transaction; then tell those who watch."""
        ending = await closing.ending(
            self.running, self.loaded, self.budget, self.policy, self.assembled, status, error, self.engine
        )
        # The reply is paid for and nobody else has it: while this process lives, a database that is away is waited for.
        closed = await self.engine.database.insist(closing.close, ending)
        if closed is None:
            return self._let_go()
        live = self.running.live or self.hub.begin(
            closed.session_id, closed.turn_id, closed.number, self.running.claim.epoch
        )
        for kind, first, last in closed.notices:
            self.hub.notice(closed.session_id, kind=kind, first=first, last=last)
        self.hub.finish(
            closed.session_id,
            live,
            status=closed.status,
            stop_reason=self.running.stop_reason or error,
            usage=ending.outcome.usage,
            gauge=ending.gauge,
            text=ending.outcome.reply,
        )
        if self.assembled and self.running.usage.total_input:
            await requests.learn(self.engine, self.assembled, self.running.usage.total_input)
        if self.loaded:
            await self.engine.remember(self.loaded, closed, ending.outcome.steps)
        return closed

    def _may_try_again(self) -> bool:
        return self.running.claim.attempt < leases.MOST_ATTEMPTS

    async def _requeue(self, phase: str, *, costs_attempt: bool, error: str = "") -> None:
        """Back to the queue. What was said so far stays in the row until a later attempt has said more.

        With `error` the call is recorded: its tokens were paid, whatever comes of the turn.
        """
        claim = self.running.claim
        if len(self.running.text) > len(claim.kept):
            await self.engine.database.insist(leases.beat_turn, claim, self.running.lease_s, self.running.text)
        await self.engine.database.insist(leases.release_turn, claim, costs_attempt=costs_attempt)
        if error and self.loaded and self.budget and self.policy and self.assembled:
            await self.engine.database.run(
                closing.record_broken, self.running, self.loaded, self.budget, self.policy, self.assembled, error
            )
        self.hub.status(claim.session_id, claim.id, phase)
        self._let_go()

    def _let_go(self) -> None:
        if self.running.live:
            self.hub.drop(self.running.claim.session_id, self.running.live)


def _characters(assembled: Assembled) -> int:
    return sum(len(block.text) for block in assembled.request.blocks())
