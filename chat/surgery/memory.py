"""Operations on what stands for turns and beside them: summaries and facts. Words come in, and none go to the audit."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from chat.models import ChatSession, Fact, Summary
from chat.store import coverage, facts, summaries
from chat.store.portable.storing import counter_of
from chat.store.summaries import Made
from chat.surgery.handling import NOTHING
from chat.surgery.turns import figures
from chat.surgery.values import Done, Parameter, Refused, operation

State = Summary.State
TOLD = frozenset({"session", "summaries", "notices"})
SUMMARY = Parameter(name="summary", label="Summary", kind="id", help="The number of the summary, without its S.")
_FACT = Parameter(name="fact", label="Fact", kind="id")
_VALUE = Parameter(name="value", label="Value", kind="text", help="One line.")
_summary = partial(operation, touches=TOLD, created="rejected", tells="compressed")
_fact = partial(operation, grant="facts", touches=frozenset({"session", "facts"}), tells="remembered")


def active(session: ChatSession, pk: int) -> Summary:
    """A summary that the model is sent now, and that still says what its turns say. Raises Refused."""
    row = Summary.objects.filter(pk=pk, session=session, state=State.ACTIVE, until__active=True).first()
    if row is None:
        raise Refused("unknown_summary", f"There is no active summary S{pk} in this conversation.")
    return row


def put_in_place(session: ChatSession, old: Summary, made: Made) -> Summary:
    """Make a new version of a summary what the model sees; the old one rests."""
    draft = summaries.save(
        session.pk,
        old.first,
        old.last,
        old.source_hash,
        tier=old.tier,
        source_tokens=old.source_tokens,
        made=made,
        keep=session.keep,
    )
    # A merge of one: what rests below it is its own former version.
    if draft is None or summaries.commit(session.pk, [draft.pk], window_from=session.window_from, merge=True) is None:
        raise Refused("stale_summary", "The turns that this summary stands for have changed: have it made anew.")
    Summary.objects.filter(pk=draft.pk).update(replaces=old)
    return draft


def _done(old: Summary, new: Summary) -> Done:
    says = f"Turns {old.first}-{old.last}: version {old.version} rests, version {new.version} takes its place."
    target = {"summary": old.pk, "made": new.pk, "turns": [[old.first, old.last]]}
    return Done(target=target, turns=old.last - old.first + 1, says=(says,))


@_summary("Edit a summary", SUMMARY, Parameter(name="text", label="Text", kind="text"))
def edit_summary(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Put your words in the place of a summary, as its next version."""
    old, text = active(session, values["summary"]), values["text"]
    if text == old.text:
        raise NOTHING()
    tokens = counter_of(session.model).count(text)
    source = coverage.range_tokens(session.pk, old.first, old.last)
    if tokens >= source:
        raise Refused(
            "too_large", f"The text has {tokens:,} tokens, the turns themselves {source:,}: restore them instead."
        )
    made = Made(text=text, tokens=tokens, model="", made_by=Summary.MadeBy.USER, gate={})
    return _done(old, put_in_place(session, old, made))


@_summary("Roll back a summary", SUMMARY)
def roll_back_summary(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Put the version before this one in its place again, as the next version."""
    old = active(session, values["summary"])
    before = Summary.objects.filter(
        session=session, first=old.first, last=old.last, until_id=old.until_id, committed_at__isnull=False
    )
    # A rejected one was taken back by somebody, a stale one may tell what may no longer be told.
    before = before.filter(state__in=(State.RESTING, State.UNDONE))
    back = before.filter(source_hash=old.source_hash, version__lt=old.version).order_by("-version").first()
    if back is None:
        raise Refused("nothing", f"S{old.pk} has no earlier version that still says what its turns say.")
    made = Made(text=back.text, tokens=back.tokens, model=back.model, made_by=back.made_by, gate=back.gate)
    return _done(old, put_in_place(session, old, made))


def _room(session: ChatSession) -> dict[str, Any]:
    known = figures(session)
    return {"count": known.counter.count, "most": known.budget.facts}


@_fact("Add a fact", _VALUE)
def add_fact(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Have the model told of something in every request."""
    before = Fact.objects.filter(session=session).count()
    made = facts.add(session.pk, values["value"], **_room(session))
    if Fact.objects.filter(session=session).count() == before:
        raise NOTHING()
    return Done(target={"facts": [made]})


@_fact("Correct a fact", _FACT, _VALUE)
def correct_fact(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Put another value in the place of one that is remembered."""
    made = facts.correct(session.pk, values["fact"], values["value"], **_room(session))
    if made == values["fact"]:
        raise NOTHING()
    return Done(target={"facts": [values["fact"], made]})


@_fact("Forget a fact", _FACT)
def forget_fact(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Take something that is remembered out of every later request."""
    if not facts.forget(session.pk, values["fact"]):
        raise NOTHING()
    return Done(target={"facts": [values["fact"]]})
