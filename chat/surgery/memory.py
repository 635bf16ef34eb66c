"""Operations on what stands for turns and beside them: summaries and facts. Words come in, and none go to the audit."""

from collections.abc import Mapping
from typing import Any

from chat.models import ChatSession, Fact, Summary
from chat.store import coverage, facts, summaries
from chat.store.portable.storing import counter_of
from chat.store.summaries import Made
from chat.surgery.handling import NOTHING
from chat.surgery.turns import figures
from chat.surgery.values import Done, Kind, Operation, Parameter, Refused

State = Summary.State
_TOLD = frozenset({"session", "summaries", "notices"})
_FACTS = frozenset({"session", "facts"})
_SUMMARY = Parameter(name="summary", label="Summary", kind="id", help="The number of the summary, without its S.")
_FACT = Parameter(name="fact", label="Fact", kind="id")
_VALUE = Parameter(name="value", label="Value", kind="text", help="One line.")


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


def _edit_summary(session: ChatSession, values: Mapping[str, Any]) -> Done:
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


def _roll_back_summary(session: ChatSession, values: Mapping[str, Any]) -> Done:
    old = active(session, values["summary"])
    before = Summary.objects.filter(
        session=session, first=old.first, last=old.last, until_id=old.until_id, committed_at__isnull=False
    )
    back = before.filter(source_hash=old.source_hash, version__lt=old.version).order_by("-version").first()
    if back is None:
        raise Refused("nothing", f"S{old.pk} has no earlier version that still says what its turns say.")
    made = Made(text=back.text, tokens=back.tokens, model=back.model, made_by=back.made_by, gate=back.gate)
    return _done(old, put_in_place(session, old, made))


def _room(session: ChatSession) -> dict[str, Any]:
    known = figures(session)
    return {"count": known.counter.count, "most": known.budget.facts}


def _add_fact(session: ChatSession, values: Mapping[str, Any]) -> Done:
    before = Fact.objects.filter(session=session).count()
    made = facts.add(session.pk, values["value"], **_room(session))
    if Fact.objects.filter(session=session).count() == before:
        raise NOTHING()
    return Done(target={"facts": [made]})


def _correct_fact(session: ChatSession, values: Mapping[str, Any]) -> Done:
    made = facts.correct(session.pk, values["fact"], values["value"], **_room(session))
    if made == values["fact"]:
        raise NOTHING()
    return Done(target={"facts": [values["fact"], made]})


def _forget_fact(session: ChatSession, values: Mapping[str, Any]) -> Done:
    if not facts.forget(session.pk, values["fact"]):
        raise NOTHING()
    return Done(target={"facts": [values["fact"]]})


OPERATIONS = (
    Operation(
        name="edit_summary",
        label="Edit a summary",
        help="Put your words in the place of a summary, as its next version.",
        kind=Kind.UNDOABLE,
        work=_edit_summary,
        touches=_TOLD,
        created="rejected",
        parameters=(_SUMMARY, Parameter(name="text", label="Text", kind="text")),
    ),
    Operation(
        name="roll_back_summary",
        label="Roll back a summary",
        help="Put the version before this one in its place again, as the next version.",
        kind=Kind.UNDOABLE,
        work=_roll_back_summary,
        touches=_TOLD,
        created="rejected",
        parameters=(_SUMMARY,),
    ),
    Operation(
        name="add_fact",
        label="Add a fact",
        help="Have the model told of something in every request.",
        kind=Kind.UNDOABLE,
        work=_add_fact,
        grant="facts",
        touches=_FACTS,
        parameters=(_VALUE,),
    ),
    Operation(
        name="correct_fact",
        label="Correct a fact",
        help="Put another value in the place of one that is remembered.",
        kind=Kind.UNDOABLE,
        work=_correct_fact,
        grant="facts",
        touches=_FACTS,
        parameters=(_FACT, _VALUE),
    ),
    Operation(
        name="forget_fact",
        label="Forget a fact",
        help="Take something that is remembered out of every later request.",
        kind=Kind.UNDOABLE,
        work=_forget_fact,
        grant="facts",
        touches=_FACTS,
        parameters=(_FACT,),
    ),
)
