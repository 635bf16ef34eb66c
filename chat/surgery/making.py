"""Operations that take a model: compact now, and have a summary made anew. Planned here; done by `jobs`."""

from collections.abc import Mapping
from typing import Any

from chat.flow import control
from chat.models import ChatSession, Summary
from chat.store import coverage, outline
from chat.surgery import forecasts
from chat.surgery.memory import SUMMARY, TOLD, active
from chat.surgery.sentences import price
from chat.surgery.turns import figures
from chat.surgery.values import Done, Live, Refused, operation
from chat.surgery.weighing import weigh


@operation("Compact now", touches=TOLD, bulk=True, background=True, live=Live.ANY, tells="compressed")
def compact(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Have a model summarise the older turns, whatever the marks and the mode say."""
    model = forecasts.summariser()
    plan = control.preview(session, figures(session), model)
    if plan is None:
        raise Refused("nothing", "There is nothing to compact: what stands word for word is needed or too little.")
    sketch = outline.read(session.pk)
    rest = weigh(session).total - forecasts.leaving(session, sketch.sizes, sketch.taken, plan)
    parts = "one part" if plan.parts == 1 else f"{plan.parts} parts"
    says = (
        f"Turns {plan.first}-{plan.last} are summarised in {parts}; the rest stays word for word.",
        f"Price: {price(plan.cost_low, plan.cost_high)}, by {model}.",
    )
    return Done(
        target={"turns": [[plan.first, plan.last]]},
        turns=plan.last - plan.first + 1,
        says=says,
        low=max(0, rest + plan.low),
        high=max(0, rest + plan.high),
    )


@operation(
    "Have a summary made anew",
    SUMMARY,
    touches=TOLD,
    created="rejected",
    background=True,
    live=Live.ANY,
    tells="compressed",
)
def rebuild_summary(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """From the turns themselves, as its next version."""
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
