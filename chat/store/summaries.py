"""Summaries as rows: drafts that survive a crash, and the commit that makes them what the model sees."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from chat.context.prompts import PROMPT_VERSION
from chat.models import ChatSession, Notice, Summary, Turn
from chat.store import coverage, ranges
from chat.store.branches import locked
from chat.store.ranges import Ranges
from chat.store.standing import Standing, placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A text that passed the gate. `left_out` counts exact values kept outside of it."""

    text: str
    tokens: int
    model: str
    made_by: str
    gate: dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What a commit made true."""

    first: int
    last: int
    tokens_before: int
    tokens_after: int
    summaries: int
    window_from: int
    merge: bool = False


def input_hash(source_hash: str, keep: str = "") -> str:
    """What a summary is made from: its source, the version of the prompt, and what was asked to be kept.

    Unchanged input is never paid twice.
    """
    asked = f":{hashlib.sha256(keep.encode()).hexdigest()}" if keep else ""
    return hashlib.sha256(f"{source_hash}:{PROMPT_VERSION}{asked}".encode()).hexdigest()


def draft_of(session_id: UUID, first: int, last: int, source_hash: str, keep: str = "") -> Summary | None:
    """The draft that an earlier, interrupted compaction left for exactly this input."""
    return Summary.objects.filter(
        session_id=session_id,
        first=first,
        last=last,
        source_hash=source_hash,
        input_hash=input_hash(source_hash, keep),
        state=Summary.State.DRAFT,
        until__active=True,
    ).first()


def rejected(session_id: UUID, first: int, last: int, source_hash: str, keep: str = "") -> int:
    """How many attempts at exactly this input the gate has refused."""
    return Summary.objects.filter(
        session_id=session_id,
        first=first,
        last=last,
        input_hash=input_hash(source_hash, keep),
        state=Summary.State.REJECTED,
    ).count()


def save(
    session_id: UUID,
    first: int,
    last: int,
    source_hash: str,
    *,
    tier: int,
    source_tokens: int,
    made: Made,
    state: str = Summary.State.DRAFT,
    reason: str = "",
    keep: str = "",
) -> Summary | None:
    """Store a draft (or, for the record, a rejected attempt without its text). None when the range changed."""
    with transaction.atomic():
        locked(session_id)
        path = Turn.objects.filter(session_id=session_id, active=True)
        until = path.filter(number=last).values_list("pk", flat=True).first()
        if until is None or coverage.source_hash(session_id, first, last) != source_hash:
            return None
        return Summary.objects.create(
            session_id=session_id,
            tier=tier,
            first=first,
            last=last,
            until_id=until,
            state=state,
            version=coverage.next_version(session_id, first, last),
            text=made.text if state == Summary.State.DRAFT else "",
            tokens=made.tokens,
            source_tokens=source_tokens,
            source_hash=source_hash,
            input_hash=input_hash(source_hash, keep),
            model=made.model,
            made_by=made.made_by,
            gate=made.gate,
            reason=reason,
        )


def commit(session_id: UUID, draft_ids: Sequence[int], *, window_from: int, merge: bool = False) -> Committed | None:
    """Make drafts what the model sees, in one transaction; None when the race was lost, and nothing was changed.

    The session is locked; every draft's source must still hash to what it was made from; nothing active may overlap
    (a merge rests its children first). The window starts at `window_from` afterwards, versions rise, notices of
    trims within the range end, and the notice of the compression is written.
    """
    try:
        with transaction.atomic():
            return _commit(session_id, draft_ids, window_from, merge)
    except IntegrityError:
        return None


def _commit(session_id: UUID, draft_ids: Sequence[int], window_from: int, merge: bool) -> Committed | None:
    session = locked(session_id)
    drafts = list(
        Summary.objects.filter(
            pk__in=draft_ids, session_id=session_id, state=Summary.State.DRAFT, until__active=True
        ).order_by("first")
    )
    if len(drafts) != len(draft_ids) or not drafts:
        return None
    if any(coverage.source_hash(session_id, one.first, one.last) != one.source_hash for one in drafts):
        return None
    first, last = drafts[0].first, drafts[-1].last
    unfinished = _live_number(session_id, session.turns_active)
    if session.head is None or last >= unfinished:
        return None
    if merge:
        own = Summary.objects.filter(session_id=session_id, state=Summary.State.ACTIVE)
        own.filter(first__gte=first, last__lte=last).update(state=Summary.State.RESTING, merged_into=drafts[0])
    Summary.objects.filter(pk__in=draft_ids).update(state=Summary.State.ACTIVE, committed_at=Now())
    version = session.context_version + 1
    # An edit behind the range may have made the path shorter than the plan saw it.
    start = session.window_from if merge else min(window_from, unfinished)
    stands = placed(session_id, start, _still_sent(session, start))
    ChatSession.objects.filter(pk=session_id).update(
        context_version=version,
        prefix_version=version,
        compactions=F("compactions") + 1,
        open_tokens=coverage.open_tokens(session_id),
        **stands.stored(),
    )
    before = sum(one.source_tokens for one in drafts)
    after = sum(one.tokens for one in drafts)
    if not merge:
        _notices(session, drafts)
    return Committed(
        first=first,
        last=last,
        tokens_before=before,
        tokens_after=after,
        summaries=len(drafts),
        window_from=stands.window_from,
        merge=merge,
    )


def _still_sent(session: ChatSession, start: int) -> Ranges:
    """Older ranges that a person had sent word for word again: a commit beside them takes none back."""
    before = Standing.of(session)
    undone = Summary.objects.filter(session=session, state=Summary.State.UNDONE, until__active=True)
    inside = [
        (max(first, before.window_from), last)
        for first, last in undone.values_list("first", "last")
        if last >= before.window_from
    ]
    return ranges.before([*before.restored, *inside], start)


def _live_number(session_id: UUID, head: int) -> int:
    """The number of the live turn, or one behind the head: summaries cover finished turns only."""
    live = Turn.objects.live_in(session_id).values_list("number", flat=True).first()
    return live or head + 1


def _notices(session: ChatSession, drafts: Sequence[Summary]) -> None:
    """One notice for each contiguous range that was compressed; notices of trims that it heals end."""
    runs: list[list[Summary]] = []
    for one in drafts:
        if runs and runs[-1][-1].last + 1 == one.first:
            runs[-1].append(one)
        else:
            runs.append([one])
    for run in runs:
        coverage.say(
            session,
            Notice.Kind.COMPRESSED,
            run[0].first,
            run[-1].last,
            summary=run[-1],
            tokens_before=sum(one.source_tokens for one in run),
            tokens_after=sum(one.tokens for one in run),
            model=run[-1].model,
        )
    # Ends what is healed; and should the window stand behind something that nobody summarised, says so.
    coverage.tell(session.pk)
