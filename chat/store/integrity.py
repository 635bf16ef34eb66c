"""The invariants of a stored conversation, checked against the rows. Numbers and ids come out, never a word.

The first nine are those of docs/architecture.md, the tenth is that of the allowances, the eleventh that everything
finished can be found by its words. What the schema already forbids
is checked all the same: a guard that was lost with a remade table, or a row that was written around it, shows here.
Set-based where a query can say it; what must be computed is streamed and done in batches, so that no session and no
database is too large.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Exists, F, Max, Min, Model, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from chat.context.caching import MOST_BREAKPOINTS
from chat.context.manifest import ManifestGap, check
from chat.context.values import Run
from chat.models import (
    ChatSession,
    Document,
    Fact,
    Feedback,
    Job,
    Manifest,
    Notice,
    Share,
    Summary,
    Turn,
    guards,
    words,
)
from chat.store import coverage, quotas, ranges, totals

BATCH = 500
MOST_NAMED = 5_000

Ids = Collection[UUID] | None


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One broken invariant by its number; `session` is its id, '' for the database itself."""

    number: int
    session: str
    detail: str

    def __str__(self) -> str:
        return f"{self.number} {self.session or '-'} {self.detail}"


def violations(session_ids: Ids = None) -> list[Violation]:
    """Every broken invariant of these sessions (None: of all), in order.

    No lock is held, so that a site that serves may be checked: what was true a moment ago may be half of a
    transaction's work to two queries. Only what is still wrong at a second look is told.
    """
    suspects = {(found.number, found.session) for found in _look(session_ids)}
    if not suspects:
        return []
    sessions = {UUID(session) for _, session in suspects if session}
    # A statement takes only so many parameters.
    again = sessions if len(sessions) <= MOST_NAMED else session_ids
    return sorted({found for found in _look(again) if (found.number, found.session) in suspects})


def _look(ids: Ids) -> Iterator[Violation]:
    """One look. What is left of a conversation that is being removed is no conversation: nothing is asked of it."""
    going = _going()
    found = [Violation(number, str(session or ""), detail) for look in CHECKS for number, session, detail in look(ids)]
    # Asked before and after: a removal may begin, or end, meanwhile.
    going |= _going()
    return (one for one in found if one.session not in going)


def _going() -> set[str]:
    return {str(pk) for pk in ChatSession.objects.filter(deleted_at=ChatSession.GOING).values_list("pk", flat=True)}


Found = Iterator[tuple[int, Any, str]]


def _of(rows: QuerySet, ids: Ids, path: str = "session_id") -> QuerySet:
    return rows if ids is None else rows.filter(**{f"{path}__in": ids})


def _batches(rows: Iterable[Any], size: int = BATCH) -> Iterator[list[Any]]:
    source = iter(rows)
    while batch := list(islice(source, size)):
        yield batch


# --- 1 and 6: manifests -------------------------------------------------------------------------------------


def manifests(ids: Ids) -> Found:
    """The ranges tile 1..number along the turn's own ancestors; the request had the form that the API takes."""
    for number, session, turn, sentence in _manifests(ids):
        yield number, session, f"the {'manifest' if number == 1 else 'request'} of turn {turn} {sentence}"


def damaged_manifests(ids: Ids) -> Iterator[tuple[int, str]]:
    """The turns whose manifests say what can't have been, and what is wrong with each."""
    for _, _, turn, sentence in _manifests(ids):
        yield turn, sentence


def _manifests(ids: Ids) -> Iterator[tuple[int, Any, int, str]]:
    rows = _of(Manifest.objects.all(), ids, "turn__session_id").values_list(
        "turn_id", "turn__session_id", "turn__number", "turn__active", "ranges", "parts"
    )
    for batch in _batches(rows.iterator(chunk_size=BATCH)):
        known = _summaries(batch)
        lines: dict[Any, dict[int, int | None]] = {}
        for turn, session, number, active, runs, parts in batch:
            try:
                check([Run(*one) for one in runs], number)
            except (ManifestGap, TypeError):
                yield 1, session, turn, f"does not tile 1-{number}"
                continue
            for first, last, how, by, _ in runs:
                if how != "summarised":
                    continue
                summary = known.get(_key(by))
                if summary is None or summary["session_id"] != session:
                    yield 1, session, turn, f"names a summary that is not there: {by[:12]}"
                elif not summary["first"] <= first <= last <= summary["last"]:
                    yield 1, session, turn, f"stretches {by[:12]} over {first}-{last}"
                elif not (active and summary["until__active"]):
                    line = lines.get(session) or lines.setdefault(session, _parents(session))
                    if summary["until_id"] not in _ancestors(turn, line):
                        yield 1, session, turn, f"takes {by[:12]} from another branch"
            messages = [part for part in parts if part[0] != "system"]
            if sum(bool(part[4]) for part in parts) > MOST_BREAKPOINTS:
                yield 6, session, turn, f"had more than {MOST_BREAKPOINTS} breakpoints"
            if not messages or messages[0][0] != "user" or messages[-1][0] != "user":
                yield 6, session, turn, "did not begin and end with the user"


def _key(by: str) -> int | None:
    return int(by[1:]) if by[:1] == "S" and by[1:].isdecimal() else None


def _summaries(batch: list[tuple]) -> dict[int | None, dict[str, Any]]:
    named = {_key(run[3]) for row in batch for run in row[4] if len(run) == 5 and run[2] == "summarised"}
    fields = ("pk", "session_id", "first", "last", "until_id", "until__active")
    out: dict[int | None, dict[str, Any]] = {}
    for part in _batches(sorted(key for key in named if key is not None)):
        out |= {row["pk"]: row for row in Summary.objects.filter(pk__in=part).values(*fields)}
    return out


def _parents(session: UUID) -> dict[int, int | None]:
    return dict(Turn.objects.filter(session_id=session).values_list("pk", "parent_id"))


def _ancestors(turn: int, parents: dict[int, int | None]) -> set[int]:
    line: set[int] = set()
    at = parents.get(turn)
    while at is not None and at not in line:
        line.add(at)
        at = parents.get(at)
    return line


# --- 2: summaries -------------------------------------------------------------------------------------------


def summaries(ids: Ids) -> Found:
    """Active summaries never overlap, cover finished turns of the active path only, and hash to what they cover."""
    active = _of(Summary.objects.filter(state=Summary.State.ACTIVE), ids)
    others = Summary.objects.filter(
        session_id=OuterRef("session_id"),
        state=Summary.State.ACTIVE,
        first__lte=OuterRef("last"),
        last__gte=OuterRef("first"),
    ).exclude(pk=OuterRef("pk"))
    for pk, session in active.filter(Exists(others)).values_list("pk", "session_id"):
        yield 2, session, f"summary {pk} overlaps another active one"
    for pk, session in active.filter(~Q(until__active=True) | ~Q(until__number=F("last"))).values_list(
        "pk", "session_id"
    ):
        yield 2, session, f"summary {pk} does not end on the active path"
    live = Turn.objects.live().filter(
        session_id=OuterRef("session_id"),
        active=True,
        number__gte=OuterRef("first"),
        number__lte=OuterRef("last"),
    )
    for pk, session in active.filter(Exists(live)).values_list("pk", "session_id"):
        yield 2, session, f"summary {pk} covers a turn that is not finished"
    rows = active.filter(until__active=True).values_list("pk", "session_id", "first", "last", "source_hash")
    for pk, session, first, last, source in rows.iterator(chunk_size=BATCH):
        if coverage.source_hash(session, first, last) != source:
            yield 2, session, f"summary {pk} was made from something else than turns {first}-{last} hold"


# --- 3: turns -----------------------------------------------------------------------------------------------


def paths(ids: Ids) -> Found:
    """One live turn a session, one row a client id, one active turn a number, and the path 1..head without a gap."""
    turns = _of(Turn.objects.order_by(), ids)
    for session, count in _repeated(turns.live(), "session_id"):
        yield 3, session, f"{count} live turns"
    for session, _, count in _repeated(turns, "session_id", "client_id"):
        yield 3, session, f"{count} turns with one client id"
    path = turns.filter(active=True)
    for session, number, count in _repeated(path, "session_id", "number"):
        yield 3, session, f"{count} active turns with number {number}"
    spans = path.values("session_id").annotate(count=Count("pk"), first=Min("number"), last=Max("number"))
    for span in spans.exclude(first=1, last=F("count")):
        yield 3, span["session_id"], f"{span['count']} active turns from {span['first']} to {span['last']}"
    torn = turns.filter(parent__isnull=False).exclude(parent__number=F("number") - 1)
    for pk, session in torn.values_list("pk", "session_id"):
        yield 3, session, f"turn {pk} does not follow its parent's number"
    for pk, session in path.filter(parent__active=False).values_list("pk", "session_id"):
        yield 3, session, f"turn {pk} is active below an inactive one"
    top = Turn.objects.filter(session_id=OuterRef("pk"), active=True).order_by("-number")
    sessions = _of(ChatSession.objects.annotate(top=Subquery(top.values("pk")[:1])), ids, "pk")
    wrong = sessions.annotate(there=Coalesce("head_id", 0), due=Coalesce("top", 0)).exclude(there=F("due"))
    for session in wrong.values_list("pk", flat=True):
        yield 3, session, "the head is not the last active turn"


def _repeated(rows: QuerySet, *fields: str) -> Iterator[tuple]:
    counted = rows.values(*fields).annotate(count=Count("pk")).filter(count__gt=1)
    yield from counted.values_list(*fields, "count")


# --- 4 and 5: states and leases -----------------------------------------------------------------------------


def states(ids: Ids) -> Found:
    """`complete` has a stop reason, a closing time and usage; every end has its time and its digest."""
    turns = _of(Turn.objects.all(), ids)
    part = Q(stop_reason="") | Q(closed_at__isnull=True) | Q(usage__isnull=True)
    for pk, session in turns.filter(part, status=Turn.Status.COMPLETE).values_list("pk", "session_id"):
        yield 4, session, f"turn {pk} is complete without stop reason, closing time or usage"
    ended = turns.finished().filter(Q(closed_at__isnull=True) | Q(digest=""))
    for pk, session in ended.values_list("pk", "session_id"):
        yield 4, session, f"turn {pk} has ended without closing time or digest"
    for pk, session in turns.live().filter(closed_at__isnull=False).values_list("pk", "session_id"):
        yield 4, session, f"turn {pk} lives with a closing time"


def guarded(ids: Ids) -> Found:
    """The guards that keep 2 and 4 stand in the database."""
    for name in guards.missing():
        yield (4 if "terminal" in name else 2), "", f"the guard {name} is missing"


def index(ids: Ids) -> Found:
    """The index of words stands, and holds the finished turns and no others."""
    if lost := words.missing():
        yield from ((11, "", f"{name} is missing") for name in lost)
        return
    named = None if ids is None else {str(one) for one in ids}
    for session, count in words.unindexed():
        if named is None or session in named:
            yield 11, session, f"{count} turns stand wrongly in the index of words"


def leases(ids: Ids) -> Found:
    """A running turn or job has a lease in the future, give or take the period of what reaps it."""
    reaped: tuple[tuple[str, type[Model], float], ...] = (
        ("turn", Turn, settings.CHAT_REAP_S),
        ("job", Job, settings.CHAT_SWEEP_S),
    )
    for word, model, period in reaped:
        late = Q(lease_until__isnull=True) | Q(lease_until__lt=Now() - timedelta(seconds=period))
        rows = _of(model._default_manager.filter(late, status_or_state(model)), ids)
        for pk, session in rows.values_list("pk", "session_id"):
            yield 5, session, f"{word} {pk} runs without a lease"


def status_or_state(model: type[Model]) -> Q:
    """The rows of `model` that a worker holds."""
    return Q(status=Turn.Status.RUNNING) if model is Turn else Q(state=Job.State.RUNNING)


# --- 7: owners ----------------------------------------------------------------------------------------------


def owners(ids: Ids) -> Found:
    """No row hangs on a row of another session, and so of another owner."""
    links: tuple[tuple[type[Model], tuple[str, ...]], ...] = (
        (Turn, ("parent", "leaf")),
        (Summary, ("until", "replaces", "merged_into")),
        (Notice, ("until", "summary", "turn")),
        (Fact, ("turn", "supersedes")),
        (Document, ("turn",)),
        (Share, ("until",)),
    )
    for model, names in links:
        for name in names:
            rows = _of(model._default_manager.filter(**{f"{name}__isnull": False}), ids)
            strange = rows.exclude(**{f"{name}__session_id": F("session_id")})
            for pk, session in strange.values_list("pk", "session_id"):
                yield 7, session, f"{model._meta.model_name} {pk} points into another session ({name})"
    heads = _of(ChatSession.objects.filter(head__isnull=False), ids, "pk").exclude(head__session_id=F("pk"))
    for session in heads.values_list("pk", flat=True):
        yield 7, session, "the head is a turn of another session"
    forks = _of(ChatSession.objects.filter(forked_from__isnull=False), ids, "pk")
    for session in forks.exclude(forked_from__owner_id=F("owner_id")).values_list("pk", flat=True):
        yield 7, session, "it was forked from somebody else's"
    judged = _of(Feedback.objects.exclude(user_id=F("turn__session__owner_id")), ids, "turn__session_id")
    for turn, session in judged.values_list("turn_id", "turn__session_id"):
        yield 7, session, f"turn {turn} was judged by somebody else"


# --- 8 and 9: notices and totals ----------------------------------------------------------------------------


def notices(ids: Ids) -> Found:
    """A notice stands for every range that the model no longer sees word for word, and reads as what happened."""
    for session in coverage.shortened(ids):
        for kind, first, last in coverage.missing_notices(session):
            yield 8, session, f"no notice ({kind}) for turns {first}-{last}"
    beyond = _of(ChatSession.objects.filter(window_from__gt=Coalesce(F("head__number"), 0) + 1), ids, "pk")
    for session in beyond.values_list("pk", flat=True):
        yield 8, session, "the window starts behind the head"


def restored(ids: Ids) -> Found:
    """What stands word for word before the window has the one form in which it is stored, and no summary over it."""
    rows = _of(ChatSession.objects.filter(restored__isnull=False), ids, "pk")
    for session, window_from, stored in rows.values_list("pk", "window_from", "restored"):
        own = ranges.read(stored)
        if [list(one) for one in own] != stored or not own or own[-1][1] >= window_from - 1:
            yield 8, session, "the ranges before the window are not as they are stored"
        elif ranges.without(own, coverage.covered(session)) != own:
            yield 8, session, "a summary stands for turns that are sent word for word"


def running_totals(ids: Ids) -> Found:
    """The totals on the session row and the running sums of its turns equal what they total."""
    for session, name, is_, due in totals.wrong(ids):
        yield 9, session, f"{name} is {is_}, not {due}"
    for session, count in totals.wrong_sums(ids):
        yield 9, session, f"tokens_upto of {count} turns"


# --- 10: allowances -----------------------------------------------------------------------------------------


def allowances(ids: Ids) -> Found:
    """What is set aside for a person is what their live turns reserved. Of the whole database: it has no session."""
    for user, day, is_, due in quotas.wrong():
        yield 10, "", f"user {user} on {day} has {is_} set aside (turns, tokens, cost), not {due}"


CHECKS: tuple[Callable[[Ids], Found], ...] = (
    manifests,
    summaries,
    paths,
    states,
    guarded,
    index,
    leases,
    owners,
    notices,
    restored,
    running_totals,
    allowances,
)
