"""What compacting many conversations would come to: as `control.preview` says of one, in few statements for all."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import OuterRef, Q, Subquery

from chat.context.tokens import Counter
from chat.context.values import Line
from chat.context.window import Size
from chat.flow import control
from chat.models import ChatSession, Manifest, Summary, Turn
from chat.store import outline, switches
from chat.store.portable.storing import counter_of
from chat.store.standing import Standing
from chat.surgery.values import Weight
from chat.surgery.weighing import portions

# Sessions of which turns are read in one statement: each brings conditions of its own.
TURNS_OF = 40
State = Summary.State


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Tokens of the next request afterwards, and the price of the summaries in millionths of a US dollar, each at
    least and at most; 0 where nobody knows the price."""

    low: int
    high: int
    cost_low: int
    cost_high: int


@dataclass(slots=True)
class _Told:
    """The summaries of a session: ranges that are not summarised again, and the active ones' turns and tokens."""

    taken: list[tuple[int, int]]
    turns: int = 0
    tokens: int = 0


def many(ids: Sequence[UUID], known: Mapping[UUID, Weight]) -> dict[UUID, Forecast | None]:
    """The forecast of each session, given what it weighs now; None where there is nothing to compact."""
    window, counter = cache(control.window_of), cache(counter_of)
    model = summariser()
    out: dict[UUID, Forecast | None] = {}
    for some in portions(ids):
        sessions = list(ChatSession.objects.filter(pk__in=some).select_related("instructions").defer("title", "keep"))
        told, requests = _summaries(some), _requests(some)
        sizes = _sizes({one.pk: outline.first_gap(tuple(told[one.pk].taken)) for one in sessions})
        for one in sessions:
            seen, report = requests.get(one.pk, (None, []))
            out[one.pk] = _forecast(
                one, counter(one.model), window(one.model) or seen, report, told[one.pk], sizes[one.pk],
                known[one.pk].total, model,
            )  # fmt: skip
    return out


def summariser() -> str:
    """The model that writes summaries now."""
    return switches.read().summary_model or settings.CHAT_SUMMARY_MODEL


def _forecast(
    session: ChatSession,
    counter: Counter,
    window: int | None,
    report: Sequence[Line],
    told: _Told,
    sizes: Sequence[Size],
    tokens: int,
    model: str,
) -> Forecast | None:
    turns = session.turns_active - told.turns
    own = control.figures_of(session, counter, window=window, report=report, told=told.tokens, turns=turns)
    plan = control.preview_of(session, own, sizes, told.taken, model) if own else None
    if plan is None:
        return None
    rest = tokens - leaving(session, sizes, told.taken, plan)
    return Forecast(
        low=max(0, rest + plan.low),
        high=max(0, rest + plan.high),
        cost_low=plan.cost_low,
        cost_high=plan.cost_high,
    )


def leaving(
    session: ChatSession, sizes: Sequence[Size], taken: Sequence[tuple[int, int]], plan: control.Preview
) -> int:
    """Tokens that leave the next request: of the turns that a plan covers those that are sent word for word now. After
    a trim, or by a sliding window, others are not."""
    stands = Standing.of(session)
    return sum(
        one.tokens
        for one in sizes
        if one.number < plan.keep_from
        and stands.holds(one.number)
        and not (one.pinned or one.excluded or any(first <= one.number <= last for first, last in taken))
    )


def _summaries(some: Sequence[UUID]) -> dict[UUID, _Told]:
    out: dict[UUID, _Told] = defaultdict(lambda: _Told([]))
    rows = Summary.objects.filter(
        session_id__in=some, state__in=(State.ACTIVE, State.UNDONE), until__active=True
    ).order_by("first")
    for pk, first, last, tokens, state in rows.values_list("session_id", "first", "last", "tokens", "state"):
        out[pk].taken.append((first, last))
        if state == State.ACTIVE:
            out[pk].turns += last - first + 1
            out[pk].tokens += tokens
    return out


def _requests(some: Sequence[UUID]) -> dict[UUID, tuple[int, list[Line]]]:
    """The window and the budget report of each session's last request."""
    path = Manifest.objects.filter(turn__session=OuterRef("pk"), turn__active=True).order_by("-turn__number")
    newest = ChatSession.objects.filter(pk__in=some).annotate(newest=Subquery(path.values("turn_id")[:1]))
    turns = {turn: pk for pk, turn in newest.values_list("pk", "newest") if turn is not None}
    rows = Manifest.objects.filter(turn_id__in=list(turns)).values_list("turn_id", "window", "budget")
    return {turns[turn]: (window, [Line(*line) for line in budget]) for turn, window, budget in rows}


def _sizes(starts: Mapping[UUID, int]) -> dict[UUID, list[Size]]:
    """The finished turns of each session from a number on, as many as one pass of planning looks at."""
    out: dict[UUID, list[Size]] = defaultdict(list)
    for some in portions(starts, TURNS_OF):
        wanted = Q()
        for pk in some:
            wanted |= Q(session_id=pk, active=True, number__range=(starts[pk], starts[pk] + outline.MOST_TURNS - 1))
        for pk, *row in _turns(wanted):
            out[pk].append(outline.size(*row))
    return out


def _turns(wanted: Q) -> Iterator[tuple[Any, ...]]:
    rows = Turn.objects.filter(wanted, status__in=Turn.TERMINAL)
    return rows.order_by("session_id", "number").values_list("session_id", *outline.SIZE).iterator(chunk_size=5_000)
