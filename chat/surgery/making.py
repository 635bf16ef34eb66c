"""Operations that take a model: compact now, and have a summary made anew. Planned here; done by `jobs`."""

from collections.abc import Mapping
from typing import Any

from chat.flow import control
from chat.models import ChatSession, Summary
from chat.store import coverage
from chat.surgery.memory import active
from chat.surgery.turns import figures
from chat.surgery.values import Done, Kind, Live, Operation, Parameter, Refused
from chat.surgery.weighing import weigh


def _compact(session: ChatSession, values: Mapping[str, Any]) -> Done:
    plan = control.preview(session, figures(session))
    if plan is None:
        raise Refused("nothing", "There is nothing to compact: what stands word for word is needed or too little.")
    now = weigh(session)
    says = (f"Turns {plan.first}-{plan.last} are summarised in {plan.parts} parts; the rest stays word for word.",)
    return Done(
        target={"turns": [[plan.first, plan.last]]},
        turns=plan.last - plan.first + 1,
        says=says,
        low=max(0, now.total - plan.leave + plan.low),
        high=max(0, now.total - plan.leave + plan.high),
    )


def _rebuild(session: ChatSession, values: Mapping[str, Any]) -> Done:
    old = active(session, values["summary"])
    if old.tier > 1 and not children(old):
        raise Refused("too_large", "What it was merged from is out of date: restore its turns, and compact them anew.")
    if coverage.source_hash(session.pk, old.first, old.last) != old.source_hash:
        raise Refused("stale_summary", "The turns that this summary stands for have changed.")
    now = weigh(session).total - old.tokens
    return Done(
        target={"summary": old.pk, "turns": [[old.first, old.last]]},
        turns=old.last - old.first + 1,
        says=("A model writes it anew from the turns themselves." if old.tier == 1 else "It is merged anew.",),
        low=now + old.tokens // 4,
        high=now + 2 * old.tokens,
    )


def children(of: Summary) -> list[Summary]:
    """The summaries that one was merged from, if they still stand for all of its turns."""
    rows = list(Summary.objects.filter(merged_into=of, state=Summary.State.RESTING, tier=of.tier - 1).order_by("first"))
    edges = [of.first, *(row.last + 1 for row in rows)]
    whole = rows and [row.first for row in rows] == edges[:-1] and edges[-1] == of.last + 1
    return rows if whole else []


OPERATIONS = (
    Operation(
        name="compact",
        label="Compact now",
        help="Have a model summarise the older turns, whatever the marks and the mode say.",
        kind=Kind.UNDOABLE,
        work=_compact,
        touches=frozenset({"session", "summaries", "notices"}),
        bulk=True,
        background=True,
        live=Live.ANY,
    ),
    Operation(
        name="rebuild_summary",
        label="Have a summary made anew",
        help="From the turns themselves, as its next version.",
        kind=Kind.UNDOABLE,
        work=_rebuild,
        touches=frozenset({"session", "summaries", "notices"}),
        created="rejected",
        background=True,
        live=Live.ANY,
        parameters=(
            Parameter(name="summary", label="Summary", kind="id", help="The number of the summary, without its S."),
        ),
    ),
)
