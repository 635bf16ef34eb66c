"""The one door into monitoring: what happened is told here, in plain values.

Call these inside the transaction that makes the thing true. They are synchronous, cost three statements at most,
and write one structured log line each once that transaction has committed: `model_call` with the fields
CALL_FIELDS, `context_event` with EVENT_FIELDS. Numbers, ids and codes only.

What is not a code (a blank in it, too long) is recorded as "other": a reply is never lost for the sake of its
statistics, and no sentence gets in.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog
from django.db import connections, transaction
from django.utils import timezone

from monitoring import pricing, rows, series, sparing
from monitoring.models import CODE, ContextEvent, Kind, ModelCall, Purpose, SessionGauge

log = structlog.get_logger("monitoring")

CALL_FIELDS = (
    "call", "session", "turn", "number", "user", "purpose", "model", "strategy", "window", "input", "cache_read",
    "cache_write", "output", "components", "estimate", "utilisation", "first_ms", "total_ms", "stop_reason",
    "outcome", "miss_cause", "cost",
)  # fmt: skip
EVENT_FIELDS = (
    "session", "user", "kind", "number", "model", "tokens_before", "tokens_after", "seconds", "outcome", "code",
)  # fmt: skip

OTHER = "other"
_WORD = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{{0,{CODE - 1}}}")
_HEX = re.compile(r"[0-9a-f]{16,}")
# The largest value of a 32-bit column; a wilder number is a fault elsewhere, which must not cost the reply.
MOST = 2**31 - 1

# How an event changes the prefix that the next call hopes to find in the cache.
CHANGES = {
    Kind.COMPACTION: "compaction",
    Kind.TRIM: "messages",
    Kind.RUNG: "messages",
    Kind.RECOVERY: "messages",
    Kind.SURGERY: "messages",
}

# By name, because Django would put the same statement together for every call. Parameters: a call, a session.
GAUGE = (
    f'SELECT EXISTS(SELECT 1 FROM {ModelCall._meta.db_table} c WHERE c."call" = %s), '
    + ", ".join(f'g."{field.column}"' for field in SessionGauge._meta.concrete_fields)
    + f' FROM (SELECT 1 AS one) one LEFT JOIN {SessionGauge._meta.db_table} g ON g."session" = %s'
)

Source = Callable[[], Mapping[str, int | float]]
_sources: dict[str, Source] = {}

# Told the name of a log line and its fields.
Listener = Callable[[str, Mapping[str, Any]], None]
_listeners: list[Listener] = []


def record_call(
    *,
    call: UUID,
    session: UUID | None,
    user: int | None,
    turn: int | None,
    number: int | None,
    purpose: str,
    model: str,
    strategy: str,
    window: int,
    input: int,
    cache_read: int,
    cache_write: int,
    output: int,
    components: Mapping[str, int],
    estimate: int | None,
    first_ms: int | None,
    total_ms: int | None,
    stop_reason: str,
    outcome: str,
    miss_cause: str = "",
    ttl: str = "5m",
    compacts_at: int = 0,
    reserve: int = 0,
    system_digest: str = "",
    tools_digest: str = "",
    spared: int | None = None,
    cut: Mapping[str, int] | None = None,
    at: datetime | None = None,
) -> bool:
    """Record one call to a model, once for each `call`; False when it had been recorded before.

    Tokens as the API counted them (`input` without what the cache gave), times in milliseconds from sending the
    request, `outcome` "ok" or the code of the error. `number` is the turn's number, `turn` its row's id. For a
    reply without `miss_cause` the cause is found here, from the gauge. `compacts_at` (the context length at which
    compaction is due) and `reserve` (reply and headroom), both in tokens, draw the chart's marks and make the
    forecast. `spared` is what the summaries in the request kept out of it: the tokens of the turns that they cover less
    their own; None when not told. `cut` are the tokens of each component that had no room. The digests are hexadecimal
    hashes of the system prompt and of the tools as they were sent.
    Raises ValueError for a purpose that does not exist.
    """
    row = ModelCall(
        call=call,
        at=at or timezone.now(),
        session=session,
        turn=turn,
        number=_whole(number),
        user=user,
        purpose=Purpose(purpose).value,
        model=_code(model),
        strategy=_code(strategy),
        window=_tokens(window),
        input=_tokens(input),
        cache_read=_tokens(cache_read),
        cache_write=_tokens(cache_write),
        output=_tokens(output),
        components={_code(name): _tokens(tokens) for name, tokens in components.items() if tokens},
        estimate=_whole(estimate),
        compacts_at=_tokens(compacts_at),
        reserve=_tokens(reserve),
        first_ms=_whole(first_ms),
        total_ms=_whole(total_ms),
        ttl="1h" if ttl == "1h" else "5m",
        system_digest=_digest(system_digest),
        stop_reason=_code(stop_reason),
        outcome=_code(outcome) or "ok",
        miss_cause=_code(miss_cause),
        spared=_whole(spared),
        cut={_code(name): _tokens(tokens) for name, tokens in (cut or {}).items() if tokens > 0} or None,
    )
    row.cost, row.saved = _cost(row)
    # Only a reply tells how full its session is; one that failed before the API counted it tells nothing.
    if session is not None and row.purpose == Purpose.REPLY and row.size:
        gauge, recorded = _gauge(session, call)
        row.miss_cause = row.miss_cause or _miss_cause(gauge, row, _digest(tools_digest))
        row.left = gauge.cached if gauge.at else None
        row.rewritten = _rewritten(gauge, row)
    else:
        gauge, recorded = None, ModelCall.objects.filter(call=call).exists()
    if recorded:
        return False
    # Two that record one call at once must not break the caller's transaction.
    changes = [rows.adding(row, unique="call")]
    if gauge is not None:
        changes.append(_moved(gauge, row, _digest(tools_digest)))
    rows.write(*changes)
    share = series.utilisation(row.size, row.window)
    given = {name: getattr(row, name) for name in CALL_FIELDS if name != "utilisation"}
    _log_on_commit("model_call", given | {"utilisation": None if share is None else round(share, 4)})
    return True


def record_event(
    *,
    session: UUID | None,
    user: int | None,
    kind: str,
    number: int | None,
    model: str,
    tokens_before: int,
    tokens_after: int,
    seconds: float | None,
    outcome: str,
    code: str,
    at: datetime | None = None,
) -> None:
    """Record something that was done to a context, or tried. `outcome` is "ok" only when it took effect.

    `number` is the turn that it happened at; of a compaction the last turn covered, and the pages find by time the
    turn that first sees it. Tokens are those of what was changed, before and after. Tell a trim or a rung before the
    call that it shaped: the cause of that call's cache miss is then known.
    Raises ValueError for a kind that does not exist.
    """
    row = ContextEvent.objects.create(
        at=at or timezone.now(),
        session=session,
        user=user,
        kind=Kind(kind).value,
        number=_whole(number),
        model=_code(model),
        tokens_before=_tokens(tokens_before),
        tokens_after=_tokens(tokens_after),
        seconds=None if seconds is None else max(0.0, float(seconds)),
        outcome=_code(outcome) or "ok",
        code=_code(code),
    )
    change = CHANGES.get(Kind(kind))
    if change and row.outcome == "ok" and session is not None:
        SessionGauge.objects.filter(pk=session).update(changed=change, changed_at=row.at)
    _log_on_commit("context_event", {name: getattr(row, name) for name in EVENT_FIELDS})


def price(model: str, *, input: int = 0, cache_read: int = 0, cache_write: int = 0, output: int = 0, ttl: str) -> int:
    """What a call of so many tokens costs, in millionths of a US dollar, rounded up; 0 when nobody knows its price."""
    cost = pricing.cost(
        model,
        input=input,
        cache_read=cache_read,
        cache_write=cache_write,
        output=output,
        ttl="1h" if ttl == "1h" else "5m",
    )
    return 0 if cost is None else math.ceil(cost * pricing.MILLION)


def listen(listener: Listener) -> None:
    """Have `listener` told what was recorded once it is committed, with the fields of its log line. It must not wait:
    it runs in the thread that recorded. The same one again: no change."""
    if listener not in _listeners:
        _listeners.append(listener)


def register_source(name: str, source: Source) -> None:
    """Have `source()` asked for numbers that monitoring can't know (backlog, live turns). Same name: replaced."""
    _sources[name] = source


def sources() -> dict[str, dict[str, int | float] | None]:
    """The numbers of every source by name; None for one that could not answer, so that no page fails with it."""
    return {name: _ask(name, source) for name, source in sorted(_sources.items())}


def _ask(name: str, source: Source) -> dict[str, int | float] | None:
    try:
        return dict(source())
    except Exception:
        log.exception("source_failed", source=name)
        return None


def _cost(row: ModelCall) -> tuple[Decimal | None, Decimal | None]:
    """What the call cost and what the cache saved on it, in US dollars."""
    if row.purpose == Purpose.COUNT:
        return Decimal(0), Decimal(0)
    sent = {"input": row.input, "cache_read": row.cache_read, "cache_write": row.cache_write}
    cost = pricing.cost(row.model, output=row.output, ttl=row.ttl, **sent)
    return cost, pricing.saved_by_caching(row.model, ttl=row.ttl, **sent)


def _gauge(session: UUID, call: UUID) -> tuple[SessionGauge, bool]:
    """The session's gauge, or a new one that has not seen a call; and whether this call is recorded already."""
    as_stored, own = SessionGauge._meta.pk.get_db_prep_value, connections["default"]
    recorded, gauge = rows.read(SessionGauge, GAUGE, [as_stored(call, own), as_stored(session, own)])
    return gauge or SessionGauge(session=session), bool(recorded)


def _miss_cause(gauge: SessionGauge, row: ModelCall, tools_digest: str) -> str:
    if gauge.at is None:
        return ""
    previous = series.Prefix(
        at=gauge.at,
        model=gauge.model,
        cached=gauge.cached,
        system=gauge.system_digest,
        tools=gauge.tools_digest,
        ttl=gauge.ttl,
    )
    current = series.Prefix(
        at=row.at,
        model=row.model,
        read=row.cache_read,
        system=row.system_digest,
        tools=tools_digest,
        changed=gauge.changed if _was_sent_with(gauge, row) else "",
    )
    return series.cache_miss_cause(previous, current)


def _rewritten(gauge: SessionGauge, row: ModelCall) -> int | None:
    if gauge.at is None:
        return None
    return sparing.rewritten(
        miss_cause=row.miss_cause,
        left=row.left,
        read=row.cache_read,
        spared=row.spared,
        spared_before=gauge.spared,
        age=row.at - gauge.at,
        life=series.LIVES[gauge.ttl],
    )


def _was_sent_with(gauge: SessionGauge, row: ModelCall) -> bool:
    """Whether the request held the last change. A compaction that committed while it ran is for the next one."""
    sent = row.at - timedelta(milliseconds=row.total_ms or 0)
    return gauge.changed_at is None or gauge.changed_at <= sent or gauge.changed != "compaction"


def _moved(gauge: SessionGauge, row: ModelCall, tools_digest: str) -> rows.Change:
    number, size = row.number or 0, row.size
    if number > gauge.number:
        base = gauge.tokens, gauge.number, gauge.growth
    elif number == gauge.number:
        base = gauge.base_tokens, gauge.base_number, gauge.base_growth
    else:
        # Another branch took over: what it grew from is not known here.
        base = 0, number, gauge.growth
    gauge.base_tokens, gauge.base_number, gauge.base_growth = base
    gauge.growth = series.grow(gauge.base_growth, gauge.base_tokens, size, number - gauge.base_number)
    gauge.number, gauge.tokens, gauge.window = number, size, row.window
    gauge.utilisation = series.utilisation(size, row.window)
    gauge.state = series.pressure(gauge.utilisation)
    gauge.turns_left = series.turns_left(size, row.window - row.reserve, gauge.growth)
    gauge.turns_to_compaction = series.turns_left(size, row.compacts_at, gauge.growth)
    gauge.user, gauge.model, gauge.strategy, gauge.at = row.user, row.model, row.strategy, row.at
    gauge.cached, gauge.ttl, gauge.spared = row.cache_read + row.cache_write, row.ttl, row.spared
    gauge.system_digest, gauge.tools_digest = row.system_digest, tools_digest
    if _was_sent_with(gauge, row):
        gauge.changed, gauge.changed_at = "", None
    # One statement, and no race for the first row of a session.
    return rows.putting(gauge, unique="session")


def _log_on_commit(name: str, fields: Mapping[str, Any]) -> None:
    plain = {
        key: str(value) if isinstance(value, UUID) else float(value) if isinstance(value, Decimal) else value
        for key, value in fields.items()
    }

    def tell() -> None:
        log.info(name, **plain)
        for listener in _listeners:
            listener(name, plain)

    transaction.on_commit(tell, robust=True)


def _code(given: str) -> str:
    return "" if not given else given if _WORD.fullmatch(given) else OTHER


def _digest(given: str) -> str:
    return given[:16] if _HEX.fullmatch(given) else ""


def _tokens(given: int) -> int:
    return min(MOST, max(0, int(given)))


def _whole(given: float | None) -> int | None:
    return None if given is None else _tokens(int(given))
