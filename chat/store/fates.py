"""The manifests that say what became of a turn: those of the requests on its own line."""

from collections.abc import Iterator
from uuid import UUID

from chat.context.forgetting import Seen
from chat.context.values import Run
from chat.models import Manifest, Turn
from chat.store import ranges
from chat.store.coverage import covered
from chat.store.standing import Standing

AT_ONCE = 500


def turn_at(session_id: UUID, number: int) -> Turn | None:
    """The active turn of this number, without its words."""
    rows = Turn.objects.filter(session_id=session_id, active=True, number=number)
    return rows.defer("prompt", "reply", "reply_html").select_related("session").first()


def requests(turn: Turn) -> Iterator[Seen]:
    """The requests of an active turn and of those after it, in order; those that left no manifest are not there."""
    rows = Manifest.objects.filter(
        turn__session_id=turn.session_id, turn__active=True, turn__number__gte=turn.number
    ).order_by("turn__number")
    columns = ("turn__number", "ranges", "model", "window", "rung")
    for number, runs, model, window, rung in rows.values_list(*columns).iterator(chunk_size=AT_ONCE):
        yield Seen(number=number, runs=[Run(*one) for one in runs], model=model, window=window, rung=rung)


def now(turn: Turn) -> tuple[str, str]:
    """How the next request would hold an active, finished turn, as (how, by): by the rows, no request is made."""
    if turn.excluded_by:
        return "excluded", turn.excluded_by
    if Standing.of(turn.session).holds(turn.number):
        return "verbatim", ""
    if turn.pinned_since is not None:
        return "recalled", "pin"
    if ranges.hold(covered(turn.session_id), turn.number):
        own = turn.session.summaries.filter(state="active", first__lte=turn.number, last__gte=turn.number)
        return "summarised", f"S{own.values_list('pk', flat=True)[0]}"
    return "omitted", "trimmed"
