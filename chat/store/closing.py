"""The end of a turn: reply, usage, manifest, notices, facts and totals in one transaction, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from chat import models
from chat.context import exact, rebuilding
from chat.context import values as context
from chat.models import ChatSession, Manifest, Notice, Step, Summary, Turn
from chat.store import coverage, facts, plain, quotas, statements
from chat.store.database import storable
from chat.store.leases import Claim
from chat.store.plain import Plus

MOST_VALUES = facts.MOST_A_TURN
# Exact values are looked for in so much of a text; what is longer was pasted, and stays findable in the record.
SEARCHED_CHARACTERS = 100_000

_HOW_NOTICED = {"omitted": Notice.Kind.TRIMMED, "clamped": Notice.Kind.CLAMPED}


# Written out: Django puts the statement together anew for every reply, which costs ten times what it does.
_OF_TURN = (
    *("id", "session_id", "number", "prompt", "prompt_tokens", "excluded_by", "pinned_since"),
    *("reserved_on", "reserved", "reserved_cost"),
)
_OF_SESSION = (
    *("id", "owner_id", "title", "mode", "strategy", "context_version", "window_from", "open_tokens", "compactions"),
)
# The last turn that a summary covers is one of the columns, not a statement of its own. One that a commit brings while
# the locks are waited for may be missed: it only says how soon the next compaction is looked for.
_OURS = f"""
SELECT p.tokens_upto,
       (SELECT max(c.last) FROM {Summary._meta.db_table} c JOIN {Turn._meta.db_table} u ON u.id = c.until_id
        WHERE c.session_id = t.session_id AND c.state = 'active' AND u.active = %s),
       {plain.columns(Turn, "t", _OF_TURN)}, {plain.columns(ChatSession, "s", _OF_SESSION)}
FROM {Turn._meta.db_table} t JOIN {ChatSession._meta.db_table} s ON s.id = t.session_id
LEFT JOIN {Turn._meta.db_table} p ON p.id = t.parent_id
WHERE t.id = %s AND t.owner = %s AND t.epoch = %s AND t.status = 'running'"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """The request that led to the reply, as the manifest remembers it. `measured` is its input in tokens."""

    manifest: context.Manifest
    context_version: int
    model: str
    rung: str
    frame: dict[str, Any] | None = None
    body_sha256: str
    measured: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """What a model wrote while it thought, in so many tokens and seconds."""

    text: str
    tokens: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a turn ended. Tokens carry their source: "api" or "estimated".

    `used` and `cost` are all tokens of its last call and their price in millionths of a US dollar, for the allowance.
    """

    status: str
    reply: str
    reply_html: str = ""
    html_version: int = 0
    error: str = ""
    stop_reason: str = ""
    usage: dict[str, int] | None = None
    prompt_tokens: int | None = None
    prompt_source: str = Turn.Source.ESTIMATED
    reply_tokens: int = 0
    reply_source: str = Turn.Source.ESTIMATED
    steps: Sequence[context.Step] = ()
    thought: Thought | None = None
    sent: Sent | None = None
    used: int = 0
    cost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What closing a turn made true, for those who are told about it.

    `row` is the turn as a load reads it; `compacts`: a compaction was enqueued with it.
    """

    session_id: object
    owner_id: int
    turn_id: int
    number: int
    status: str
    open_tokens: int
    open_turns: int
    mode: str
    strategy: str
    trimmed: bool
    context_version: int
    row: tuple[Any, ...]
    notices: tuple[tuple[str, int, int], ...] = ()
    compacts: bool = False


def close_turn(claim: Claim, outcome: Outcome) -> Closed | None:
    """Close a running turn; None when it is no longer ours, and then nothing was written.

    Succeeds past the lease as long as nobody else has taken the turn, whose row is locked first. A trim moves the
    window only if the context is still the one that the request was assembled from.
    """
    with transaction.atomic(savepoint=False):
        turn, before, covered = _locked(claim)
        if turn is None:
            return None
        session = turn.session
        prompt_tokens = turn.prompt_tokens if outcome.prompt_tokens is None else outcome.prompt_tokens
        # Thinking is deleted at close: newer models refuse it after any edit of what is before.
        steps = [step for step in outcome.steps if step.kind != "thinking"]
        own = prompt_tokens + outcome.reply_tokens + sum(step.tokens for step in steps)
        upto = before + own
        prompt = turn.prompt
        excluded = "refusal" if outcome.status == Turn.Status.REFUSED else turn.excluded_by
        closing = plain.updating(
            Turn,
            {"pk": claim.id, "owner": claim.owner, "epoch": claim.epoch, "status": Turn.Status.RUNNING},
            {
                "status": outcome.status,
                "reply": outcome.reply,
                "reply_html": outcome.reply_html,
                "html_version": outcome.html_version,
                "error": outcome.error,
                "stop_reason": outcome.stop_reason,
                "usage": outcome.usage,
                "prompt_tokens": prompt_tokens,
                "prompt_source": outcome.prompt_source,
                "reply_tokens": outcome.reply_tokens,
                "reply_source": outcome.reply_source,
                "step_count": len(steps),
                "tokens_upto": upto,
                "digest": coverage.turn_digest(prompt, outcome.reply, [step.body for step in steps]),
                "excluded_by": excluded,
                "lease_until": None,
                "closed_at": plain.NOW,
            },
        )
        if steps:
            Step.objects.bulk_create(_steps(turn, steps))
        if outcome.thought:
            models.Thought.objects.create(
                turn_id=turn.pk,
                text=storable(outcome.thought.text),
                tokens=outcome.thought.tokens,
                seconds=outcome.thought.seconds,
            )
        notices, trimmed, changes = (), False, [closing]
        if outcome.sent:
            changes.append(plain.inserting(_manifest(turn, outcome.sent)))
            moved = outcome.sent.context_version != session.context_version
            trimmed = outcome.sent.manifest.trimmed and not moved
            if moved or _tells(outcome.sent):
                # What is said of the turns below is counted with this one closed.
                plain.together(*changes)
                changes = []
            notices = _notices(session, turn, outcome.sent)
            if moved:
                # A compaction committed meanwhile: what this request left out may be covered by now.
                coverage.heal_trims(session, session.window_from)
        version = session.context_version + (1 if trimmed else 0)
        values: dict[str, object] = {"open_tokens": Plus(own), "updated_at": plain.NOW}
        if trimmed and outcome.sent:
            # Facts of turns that just left the window belong to the new prefix at once.
            values |= {
                "window_from": outcome.sent.manifest.window_from,
                "restored": [list(one) for one in outcome.sent.manifest.restored] or None,
                "trims": Plus(1),
                "context_version": version,
                "prefix_version": version,
            }
            coverage.end_untrue(session.pk, outcome.sent.manifest.window_from, outcome.sent.manifest.restored)
        if outcome.usage:
            sizes = outcome.usage
            values["input_tokens"] = Plus(sizes["input"] + sizes["cache_read"] + sizes["cache_write"])
            values["output_tokens"] = Plus(sizes["output"])
        if excluded and not turn.excluded_by:
            values["marked"] = Plus(0 if turn.pinned_since is not None else 1)
        changes.append(plain.updating(ChatSession, {"pk": session.pk}, values))
        if not excluded:
            found = (
                *exact.find(prompt[:SEARCHED_CHARACTERS], limit=MOST_VALUES),
                *exact.find(outcome.reply[:SEARCHED_CHARACTERS], limit=MOST_VALUES),
            )
            facts.keep(turn, found, since=version)
        changes += quotas.settling(
            *(session.owner_id, turn.reserved_on, turn.reserved, turn.reserved_cost),
            used=outcome.used,
            cost=outcome.cost,
        )
        plain.together(*changes)
        return Closed(
            session_id=session.pk,
            owner_id=session.owner_id,
            turn_id=turn.pk,
            number=turn.number,
            status=outcome.status,
            open_tokens=session.open_tokens + own,
            open_turns=turn.number - covered,
            mode=session.mode,
            strategy=session.strategy,
            trimmed=trimmed,
            context_version=version,
            row=(
                turn.pk,
                turn.number,
                prompt,
                outcome.reply,
                prompt_tokens,
                outcome.reply_tokens,
                turn.pinned_since,
                excluded,
                len(steps),
                upto,
            ),
            notices=tuple(notices),
        )


def _locked(claim: Claim) -> tuple[Turn | None, int, int]:
    """The turn with its session, if it is still ours, the tokens up to its parent, and the number of the last turn
    that a summary covers (0: none); the rows of turn and session are locked until the transaction ends.

    What is not read here is read when somebody asks for it.
    """
    lock = "FOR UPDATE OF s FOR NO KEY UPDATE OF t" if connection.features.has_select_for_update_of else ""
    for upto, covered, *row in statements.rows(f"{_OURS} {lock}", [True, claim.id, claim.owner, claim.epoch]):
        turn = plain.found(Turn, _OF_TURN, row[: len(_OF_TURN)])
        turn.session = plain.found(ChatSession, _OF_SESSION, row[len(_OF_TURN) :])
        return turn, upto or 0, covered or 0
    return None, 0, 0


def _steps(turn: Turn, steps: Sequence[context.Step]) -> list[Step]:
    return [
        Step(
            turn=turn,
            index=index,
            kind=step.kind,
            call_id=step.call_id,
            name=step.name,
            body=step.body,
            tokens=step.tokens,
            is_error=step.is_error,
            finished_at=Now(),
        )
        for index, step in enumerate(steps)
    ]


def _manifest(turn: Turn, sent: Sent) -> Manifest:
    manifest = sent.manifest
    return Manifest(
        turn_id=turn.pk,
        context_version=sent.context_version,
        model=sent.model,
        window=manifest.window,
        window_from=manifest.window_from,
        ranges=[[run.first, run.last, run.how, run.by, run.tokens] for run in manifest.runs],
        parts=[rebuilding.write_part(part) for part in manifest.parts],
        budget=[[line.component, line.budget, line.used, line.before] for line in manifest.report],
        rung=sent.rung,
        estimated=manifest.estimated,
        measured=sent.measured,
        frame=sent.frame,
        body_sha256=sent.body_sha256,
        layout=Manifest.LAYOUT,
    )


def _tells(sent: Sent) -> bool:
    """Whether `_notices` may have anything to say."""
    return any(run.how in _HOW_NOTICED for run in sent.manifest.runs) or any(_left_out(sent))


def _left_out(sent: Sent) -> list[bool]:
    return [line.truncated for line in sent.manifest.report if line.component in ("recall", "documents")]


def _known_to_be_out(turn: Turn, sent: Sent) -> bool:
    """Whether it is documents alone that were left out, and of the turn before they were, too: that is said once."""
    if any(line.truncated for line in sent.manifest.report if line.component == "recall"):
        return False
    before = Manifest.objects.filter(turn__session_id=turn.session_id, turn__active=True, turn__number=turn.number - 1)
    lines = before.values_list("budget", flat=True).first() or []
    return any(component == "documents" and used < wanted for component, _, used, wanted in lines)


def _notices(session: ChatSession, turn: Turn, sent: Sent) -> list[tuple[str, int, int]]:
    """Say what the model did not see word for word, once: a range that grew replaces the smaller one.

    Compressed ranges have their notice since the commit; here are those that were trimmed or clamped.
    """
    told: list[tuple[str, int, int]] = []
    for run in sent.manifest.runs:
        kind = _HOW_NOTICED.get(run.how)
        if kind is None:
            continue
        before = coverage.range_tokens(session.pk, run.first, min(run.last, turn.number))
        made = coverage.say(session, kind, run.first, run.last, turn=turn, tokens_before=before, model=sent.model)
        if made:
            coverage.end_smaller(session.pk, kind, run.first, run.last)
            told.append((kind, run.first, run.last))
    if any(_left_out(sent)) and not _known_to_be_out(turn, sent):
        made = coverage.say(session, Notice.Kind.LEFT_OUT, turn.number, turn.number, turn=turn, model=sent.model)
        if made:
            told.append((Notice.Kind.LEFT_OUT, turn.number, turn.number))
    return told
