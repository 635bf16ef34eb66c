"""One call in the background whose text is wanted as a whole: asked, recorded whatever comes of it, and counted."""

import hashlib
import time
import uuid
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from django.db import transaction

from chat.context.values import Request
from chat.flow.engine import Engine
from chat.flow.tracing import tracing
from chat.providers.base import Completion, ProviderError, TextDelta, Usage, Waiting
from chat.providers.steady import BREAKER
from chat.store import quotas
from chat.store.database import storable
from monitoring import recording


async def ask(
    request: Request,
    engine: Engine,
    *,
    purpose: str,
    session_id: UUID,
    owner_id: int,
    number: int | None,
    strategy: str,
) -> tuple[str, str]:
    """The text and the stop reason of one call for `purpose`. Raises ProviderError; that is recorded, too.

    Raises UnknownWindow before anything is asked: what can't be recorded is not paid for.
    """
    window = await engine.window(request.model)
    call, started = uuid.uuid4(), time.monotonic()
    parts: list[str] = []
    usage, stop_reason, outcome, first_ms = Usage(), "", "cancelled", None
    failed: list[tuple[str, Usage]] = []
    try:
        told = tracing.call(engine.background.stream(request), request, purpose=purpose, session=session_id)
        async with aclosing(told) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    first_ms = first_ms or int((time.monotonic() - started) * 1000)
                    parts.append(event.text)
                elif isinstance(event, Waiting) and event.spent is not None:
                    failed.append((event.cause, event.spent))
                elif isinstance(event, Completion):
                    usage, stop_reason, outcome = event.usage, event.stop_reason, "ok"
    except ProviderError as error:
        outcome, usage = BREAKER if error.cause == BREAKER else error.code, error.partial or usage
        raise
    finally:
        await engine.database.run(
            _record,
            failed,
            call=call,
            session=session_id,
            user=owner_id,
            turn=None,
            number=number,
            purpose=purpose,
            model=request.model,
            strategy=strategy,
            window=window.window,
            input=usage.input,
            cache_read=usage.cache_read,
            cache_write=usage.cache_write,
            output=usage.output,
            components={},
            estimate=None,
            first_ms=first_ms,
            total_ms=int((time.monotonic() - started) * 1000),
            stop_reason=stop_reason,
            outcome=outcome,
            system_digest=hashlib.sha256(request.system[0].text.encode()).hexdigest(),
        )
    return storable("".join(parts)), stop_reason


def _record(failed: Sequence[tuple[str, Usage]], **call: Any) -> None:
    """Record a call, and count it for the owner: it is part of what they use. One transaction.

    `failed` are the outcomes of the calls before it that it repeats, and what they used.
    """
    sizes = {name: call[name] for name in ("input", "cache_read", "cache_write", "output")}
    with transaction.atomic():
        for outcome, spent in failed:
            told = {name: getattr(spent, name) for name in sizes}
            again = {"call": uuid.uuid4(), "outcome": outcome, "stop_reason": "", "first_ms": None}
            recording.record_call(**call | again | told)
        if recording.record_call(**call):
            cost = recording.price(call["model"], ttl="5m", **sizes)
            quotas.spend(call["user"], used=sum(sizes.values()), cost=cost)
