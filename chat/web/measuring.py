"""How full the window of a conversation is, from the rows: what the gauge draws and decisions are weighed by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from chat import service
from chat.context import budget as budgets
from chat.context import gauge as gauges
from chat.context.budget import Budget
from chat.context.tokens import Counter
from chat.context.values import Line
from chat.flow import control, engine
from chat.flow.waking import wakes
from chat.models import ChatSession, Manifest, Turn
from chat.providers.base import ModelInfo
from chat.store import coverage, documents, marks
from chat.store.standing import Standing

NEWEST = 20
"""Turns among which a counted one is looked for: an imported history has none, however long it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The gauge of a session after turn `number`; `counted` is the API's own count for it, where there is one."""

    gauge: gauges.Gauge
    number: int
    counted: int | None


def measure(session: ChatSession) -> Measured | None:
    """How full the window is; None until a reply has been counted."""
    manifest = (
        Manifest.objects.filter(
            turn__session_id=session.pk,
            turn__active=True,
            turn__number__gt=session.turns_active - NEWEST,
            turn__status__in=Turn.TERMINAL,
        )
        .select_related("turn")
        .defer("turn__prompt", "turn__reply", "turn__reply_html", "parts")
        .order_by("-turn__number")
        .first()
    )
    if manifest is None:
        return None
    lines = [Line(*line) for line in manifest.budget]
    switched = manifest.model != session.model
    window = control.window_of(session.model) if switched else None
    budget = _budget(session, window or manifest.window, lines)
    if budget is None:
        return None
    number, measured, estimated, reply = (
        manifest.turn.number,
        manifest.measured,
        manifest.estimated,
        manifest.turn.reply_tokens,
    )
    stands = Standing.of(session)
    older = sum(last - first + 1 for first, last in stands.restored)
    # The context changed since that request: what the next one will hold is known by counting the rows.
    if switched or _changed(session, manifest):
        lines = _next_lines(session, lines, number, stands)
        measured, estimated, reply = None, sum(line.used for line in lines), 0
    found = gauges.gauge(
        lines,
        budget=budget,
        policy=engine.policy(session, chunk_tokens=0),
        measured=measured,
        estimated=estimated,
        reply_tokens=reply,
        verbatim=number - stands.window_from + 1 + older,
        compacts=wakes(session.strategy, session.mode),
    )
    return Measured(gauge=found, number=number, counted=measured)


def asked(session: ChatSession) -> dict[str, str] | None:
    """The question whether to compress now, for who wants to be asked; None while there is nothing to ask."""
    if session.mode != ChatSession.Mode.ASK or session.strategy != ChatSession.Strategy.SUMMARY:
        return None
    known = control.figures(session, counter(session.model))
    if known is None:
        return None
    reached = known.reached(known.tokens, known.turns)
    if reached == "none" or control.preview(session, known) is None:
        return None
    return {"level": reached}


def counter(model: str) -> Counter:
    """What counts tokens for a model, with all that this process has learnt of it."""
    return service.current().engine.counter(model) if service.running() else Counter()


def _changed(session: ChatSession, manifest: Manifest) -> bool:
    """Whether finished turns are seen otherwise than in that request, save for what its own trim moved."""
    if session.window_from != manifest.window_from:
        return True
    moved = session.context_version - manifest.context_version
    trimmed = moved == 1 and session.prefix_version == session.context_version and not session.restored
    return moved > 0 and not (trimmed and any(run[2] == "omitted" for run in manifest.ranges))


def _budget(session: ChatSession, window: int, lines: Sequence[Line]) -> Budget | None:
    """The split that the next request is made with; None when the settings have changed so that it can't be."""
    system = next((line.used for line in lines if line.component == "system"), 0)
    try:
        return engine.split(ModelInfo(id=session.model, window=window), system, thinking=session.thinking)
    except budgets.BudgetError:
        return None


def _next_lines(session: ChatSession, lines: Sequence[Line], number: int, stands: Standing) -> list[Line]:
    marked = marks.sizes(session.pk)
    ranges = [*stands.restored, (stands.window_from, number)]
    history = sum(coverage.range_tokens(session.pk, *one) for one in ranges if one[0] <= one[1])
    history -= sum(one.tokens for one in marked if one.excluded and stands.holds(one.number))
    now = {
        "system": counter(session.model).count(session.instructions.text),
        "documents": _attached(session, lines),
        "history": history,
        "pins": sum(one.tokens for one in marked if not one.excluded and not stands.holds(one.number)),
        "summaries": coverage.summary_tokens(session.pk),
        "tool_results": 0,
        "current": 0,
    }
    return [replace(line, used=now.get(line.component, line.used)) for line in lines]


def _attached(session: ChatSession, lines: Sequence[Line]) -> int:
    """Tokens of the documents that the next request holds: at most their budget."""
    most = next((line.budget for line in lines if line.component == "documents"), 0)
    return min(most, sum(documents.seen(session.pk).values_list("tokens", flat=True)))
