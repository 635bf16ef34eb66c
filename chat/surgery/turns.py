"""Operations on which turns and documents the model is sent: trim, pins, exclusions, redactions, restoring."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.db.models import F
from django.db.models.functions import Now

from chat.flow import compactor, control
from chat.flow.closing import compacts
from chat.flow.control import Figures
from chat.models import ChatSession, Turn
from chat.store import documents, leases, marks, redacting, standing, undoing
from chat.store.portable.storing import counter_of
from chat.store.ranges import Ranges
from chat.store.standing import placed
from chat.surgery.handling import NOTHING
from chat.surgery.values import Done, Kind, Parameter, Refused, operation
from chat.surgery.weighing import count

OPERATOR = "operator"
MOST_REDACTED = 50
"""Turns at once: each is looked for in every table, while nobody else may write on SQLite."""
_TURNS = Parameter(name="turns", label="Turns", kind="turns", help="Numbers on the active path, like “3, 5-7”.")
_seen = partial(operation, touches=frozenset({"session", "marks", "summaries", "notices"}))


@_seen(
    "Trim to the last turns",
    Parameter(name="turns", label="Turns to keep", kind="number", most=100_000),
    bulk=True,
    tells="trimmed",
)
def trim(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Send only the last turns word for word. The rest stays in the record, and a notice says so."""
    start = session.turns_active - values["turns"] + 1
    if start <= session.window_from and not session.restored:
        raise NOTHING()
    stands = placed(session.pk, max(start, session.window_from), [])
    standing.write(session, stands, prefix=True, trims=F("trims") + 1)
    return Done(target={"window_from": stands.window_from}, turns=stands.window_from - session.window_from)


def figures(session: ChatSession) -> Figures:
    """What the session may hold. Raises Refused while nobody knows how large its model's window is."""
    found = control.figures(session, counter_of(session.model))
    if found is None:
        raise Refused("unknown_window", "It is not known yet how large the model's window is.")
    return found


def _each(
    session: ChatSession, turns: Ranges, change: Callable[[Sequence[int]], list[marks.Marked]], what: str
) -> tuple[Done, list[marks.Marked]]:
    """Change these turns of the active path; those that are so already are left as they are."""
    rows = [row for first, last in turns for row in _path(session, first, last)]
    if len(rows) < count(turns):
        raise Refused("unknown_turn", f"There are only {session.turns_active:,} turns on the active path.")
    done = change([pk for pk, _ in rows])
    changed = [one for one in done if one.changed]
    if not changed:
        raise NOTHING()
    says = f"{len(changed)} of {len(rows)} turns are {what}." if len(changed) < len(rows) else ""
    numbers = [one.number for one in changed]
    return Done(target={"turns": numbers}, turns=len(numbers), says=(says,) if says else ()), changed


def _path(session: ChatSession, first: int, last: int) -> Iterable[tuple[int, int]]:
    path = Turn.objects.filter(session=session, active=True, number__range=(first, last))
    return path.order_by("number").values_list("pk", "number")


@_seen("Pin turns", _TURNS, tells="marked")
def pin(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Keep them word for word through every compression."""
    most = figures(session).budget.pins
    return _each(session, values["turns"], partial(marks.pin_all, session.pk, most=most), "not pinned yet")[0]


@_seen("Unpin turns", _TURNS, grant="pin", tells="marked")
def unpin(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Let them be compressed like any other."""
    return _each(session, values["turns"], partial(marks.unpin_all, session.pk), "pinned")[0]


@_seen("Exclude turns", _TURNS, tells="marked")
def exclude(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Leave them out of every later request. Summaries that speak of them are made anew."""
    change = partial(marks.exclude_all, session.pk, by=OPERATOR, most=_most(session))
    return _remade(session, *_each(session, values["turns"], change, "not excluded yet"))


@_seen("Include turns again", _TURNS, grant="exclude", tells="marked")
def include(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Send turns again that an operator excluded."""
    change = partial(marks.include_all, session.pk, by=OPERATOR, most=_most(session))
    return _remade(session, *_each(session, values["turns"], change, "excluded"))


def _most(session: ChatSession) -> int | None:
    found = control.figures(session, counter_of(session.model))
    return found.most(found.turns) if found else None


def _remade(session: ChatSession, done: Done, changed: list[marks.Marked]) -> Done:
    """What was summarised with these turns must be summarised anew."""
    if not any(one.stale for one in changed):
        return done
    if compacts(session.strategy, session.mode):
        leases.enqueue(compactor.KIND, session.pk)
    says = "Summaries that spoke of them are out of date; what they stood for is summarised anew."
    return Done(target=done.target, turns=done.turns, says=(*done.says, says))


@_seen("Restore compressed turns", _TURNS, tells="restored")
def restore(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Send turns word for word again that a summary stands for now."""
    known = figures(session)
    turns, target = 0, []
    for first, last in values["turns"]:
        price = control.price_of_restoring(session, first, last, known)
        if price is None:
            these = f"turn {first}" if first == last else f"any of the turns {first}-{last}"
            raise Refused("nothing", f"No summary stands for {these}.")
        if not price.fits:
            raise undoing.DoesNotFit(price.tokens_after, price.most)
        done = undoing.restore(session.pk, first, last, most=price.most)
        session.refresh_from_db()
        turns += done.last - done.first + 1
        target.append([done.first, done.last])
    return Done(target={"turns": target}, turns=turns)


@operation(
    "Redact turns",
    replace(_TURNS, most=MOST_REDACTED),
    kind=Kind.IRREVERSIBLE,
    touches=frozenset({"session", "marks", "summaries", "notices", "facts", "documents"}),
    tells="marked",
)
def redact(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Remove what was said in them for good, in every version, with summaries, facts and files that came of it. Other
    turns that repeat it stay as they are: name them, too."""
    most, tokens = _most(session), counter_of(session.model).count(redacting.MARKER)
    gone: list[redacting.Redacted] = []

    def change(ids: Sequence[int]) -> list[marks.Marked]:
        gone.extend(redacting.redact(session.pk, pk, tokens=tokens, most=most) for pk in ids)
        return list(gone)

    done = _remade(session, *_each(session, values["turns"], change, "not redacted yet"))
    copies = ChatSession.objects.filter(forked_from=session, deleted_at__isnull=True).count()
    says = (
        ("other versions of them go, too", sum(one.versions - 1 for one in gone if one.changed)),
        ("documents that came with them are removed", sum(one.documents for one in gone)),
        ("remembered facts that rest on them are removed", sum(one.facts for one in gone)),
        ("copies of this conversation (forks) keep what was said", copies),
    )
    told = tuple(f"{what[0].upper()}{what[1:]}: {number:,}." for what, number in says if number)
    return Done(target=done.target, turns=done.turns, says=(*done.says, *told))


@operation("Drop documents", touches=frozenset({"session", "documents"}), bulk=True, tells="documents")
def drop_documents(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Take every attached document out of later requests. The files' text stays in the record."""
    rows = list(documents.seen(session.pk).values_list("pk", "tokens"))
    if not rows:
        raise NOTHING()
    documents.standing(session.pk).model.objects.filter(pk__in=[pk for pk, _ in rows]).update(removed_at=Now())
    # The first message of every request begins with them: all of it is written to the cache anew.
    ChatSession.objects.filter(pk=session.pk).update(context_version=F("context_version") + 1)
    what = "The document" if len(rows) == 1 else f"All {len(rows)} documents"
    says = f"{what} with {sum(tokens for _, tokens in rows):,} tokens {'is' if len(rows) == 1 else 'are'} taken out."
    return Done(target={"documents": [pk for pk, _ in rows]}, says=(says,))
