"""What a turn's request was made of, read back: its manifest, and the rows that its references name. O(window) rows.

Rows are taken as they are now, on the turn's own branch, whether or not it is the active one. `rebuilding` says which
of them are no longer what was sent.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from chat.context import rebuilding, recipes
from chat.context import values as context
from chat.context.rebuilding import Rebuilt
from chat.context.recipes import Sources
from chat.models import Document, Fact, Instructions, Manifest, Step, Summary, Turn
from chat.store.loading import STEP

NEWEST = 50
"""Turns among which one with a manifest is looked for: an imported history has none, however long it is."""


@dataclass(frozen=True, slots=True)
class Where:
    """A turn that stands in a request: its row, whether the page of the active path shows it, and whether the API
    counted both its sides."""

    id: int
    active: bool
    redacted: bool
    counted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one turn's request was. `turn` and `manifest` are their rows; `rebuilt` the request as it can be told now.

    `turns` are those whose words stand in it; `made_by` says of a summary's ref how it was made, and by which model.
    Up to number `shared` its branch is the active path.
    """

    turn: Turn
    manifest: Manifest
    parts: tuple[context.Part, ...]
    rebuilt: Rebuilt
    sources: Sources
    turns: dict[int, Where]
    made_by: dict[str, tuple[str, str]]
    shared: int

    @property
    def runs(self) -> tuple[context.Run, ...]:
        """How each turn reached the model."""
        return tuple(context.Run(*one) for one in self.manifest.ranges)


def turn(session_id: UUID, turn_id: int) -> Turn | None:
    """A turn of a session, of whatever branch, without its words."""
    words = ("prompt", "reply", "reply_html")
    return Turn.objects.filter(session_id=session_id, pk=turn_id).defer(*words).first()


def newest(session_id: UUID, head: int) -> int | None:
    """The newest turn of the active path that has a manifest. Looked for among the newest alone."""
    rows = Manifest.objects.filter(turn__session_id=session_id, turn__active=True, turn__number__gt=head - NEWEST)
    return rows.order_by("-turn__number").values_list("turn_id", flat=True).first()


def beside(of: Turn) -> tuple[int | None, int | None]:
    """The ids of the turn before one and of the one after it, on its branch."""
    after = Turn.objects.filter(session_id=of.session_id, parent_id=of.pk)
    return of.parent_id, after.order_by("-active", "-id").values_list("pk", flat=True).first()


def at(of: Turn, number: int) -> Turn | None:
    """The turn of this number on the branch of another: before it among its ancestors, behind it on the active path."""
    if number == of.number:
        return of
    if of.active or number > of.number:
        found = Turn.objects.filter(session_id=of.session_id, active=True, number=number)
    else:
        line, shared = _branch(of, number)
        if number <= shared:
            found = Turn.objects.filter(session_id=of.session_id, active=True, number=number)
        else:
            found = Turn.objects.filter(pk=line[number])
    return found.defer("prompt", "reply", "reply_html").first()


def read(of: Turn) -> Seen | None:
    """The request of a turn; None when none was made for it: it waits, or failed before."""
    manifest = Manifest.objects.filter(turn_id=of.pk).first()
    if manifest is None:
        return None
    parts = rebuilding.read_parts(manifest.parts)
    line, shared = _branch(of, min(_numbers(parts), default=of.number))
    turns, where = _turns(of, set(_numbers(parts)), line, shared)
    summaries, made_by = _summaries(of, parts)
    sources = Sources(
        instructions=_instructions(parts),
        turns=turns,
        summaries=summaries,
        facts=_facts(of, parts),
        documents=_documents(of, parts),
    )
    rebuilt = rebuilding.rebuild(
        parts, model=manifest.model, frame=manifest.frame, sha256=manifest.body_sha256, sources=sources
    )
    return Seen(
        turn=of,
        manifest=manifest,
        parts=parts,
        rebuilt=rebuilt,
        sources=sources,
        turns=where,
        made_by=made_by,
        shared=shared,
    )


def _numbers(parts: Iterable[context.Part]) -> list[int]:
    found = (recipes.turn_number(part.ref) for part in parts)
    return [number for number in found if number is not None]


def _branch(of: Turn, least: int) -> tuple[dict[int, int], int]:
    """The inactive ancestors of a turn down to number `least`, itself included, as ids by number, and the number up to
    which its branch is the active path. One recursive query, as long as the branch."""
    if of.active:
        return {}, of.number
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE line(id, parent_id, number, active) AS ("
            "  SELECT id, parent_id, number, active FROM chat_turn WHERE id = %s"
            "  UNION ALL SELECT t.id, t.parent_id, t.number, t.active FROM chat_turn t"
            "    JOIN line ON t.id = line.parent_id WHERE NOT line.active AND line.number > %s"
            ") SELECT id, number, active FROM line",
            [of.pk, least],
        )
        rows = cursor.fetchall()
    line = {number: pk for pk, number, active in rows if not active}
    return line, min(line) - 1


def _turns(
    of: Turn, numbers: set[int], line: dict[int, int], shared: int
) -> tuple[dict[int, context.Turn], dict[int, Where]]:
    own = [line[number] for number in numbers if number in line]
    fields = ("id", "number", "prompt", "reply", "prompt_tokens", "reply_tokens", "step_count", "redacted_at", "active")
    fields += ("prompt_source", "reply_source")
    rows = list(Turn.objects.filter(pk__in=own).values_list(*fields)) if own else []
    common = sorted(number for number in numbers if number <= shared)
    if common:
        path = Turn.objects.filter(session_id=of.session_id, active=True, number__in=common)
        rows += path.values_list(*fields)
    steps: dict[int, list[context.Step]] = {}
    stepped = [row[0] for row in rows if row[6]]
    if stepped:
        for turn_id, *step in (
            Step.objects.filter(turn_id__in=stepped).order_by("turn_id", "index").values_list("turn_id", *STEP)
        ):
            steps.setdefault(turn_id, []).append(context.Step(**dict(zip(STEP, step, strict=True))))
    turns, where = {}, {}
    for pk, number, prompt, reply, prompt_tokens, reply_tokens, _, redacted, active, *counted in rows:
        turns[number] = context.Turn(
            number=number,
            prompt=prompt,
            reply=reply,
            steps=tuple(steps.get(pk, ())),
            prompt_tokens=prompt_tokens,
            reply_tokens=reply_tokens,
        )
        where[number] = Where(pk, active, redacted is not None, set(counted) == {Turn.Source.API})
    return turns, where


def _summaries(
    of: Turn, parts: Iterable[context.Part]
) -> tuple[dict[str, context.Summary], dict[str, tuple[str, str]]]:
    ids = [int(part.ref[1:]) for part in parts if part.component == "summaries" and part.ref[1:].isdecimal()]
    rows = Summary.objects.filter(pk__in=ids, session_id=of.session_id) if ids else []
    found, made_by = {}, {}
    for row in rows:
        ref = f"S{row.pk}"
        found[ref] = context.Summary(
            first=row.first, last=row.last, text=row.text, tokens=row.tokens, tier=row.tier, ref=ref
        )
        made_by[ref] = row.made_by, row.model
    return found, made_by


def _facts(of: Turn, parts: Iterable[context.Part]) -> dict[str, context.Fact]:
    refs = [str(ref) for part in parts if part.recipe and part.recipe[0] == "facts" for ref in part.recipe[1:]]
    ids = [int(ref[1:]) for ref in refs]
    own = Fact.objects.filter(pk__in=ids, session_id=of.session_id)
    rows = own.values_list("pk", "kind", "value", "quote", "turn__number", "pinned") if ids else []
    return {
        f"F{pk}": context.Fact(kind=kind, value=value, quote=quote, turn=number, pinned=pinned, ref=f"F{pk}")
        for pk, kind, value, quote, number, pinned in rows
    }


def _documents(of: Turn, parts: Iterable[context.Part]) -> dict[str, context.Document]:
    begins = context.DOCUMENT_REF
    ids = [int(part.ref.removeprefix(begins)) for part in parts if part.ref.startswith(begins)]
    rows = Document.objects.filter(pk__in=ids, session_id=of.session_id).select_related("turn") if ids else []
    return {
        f"{begins}{row.pk}": context.Document(
            name=row.name,
            text=row.text,
            tokens=row.tokens,
            ref=f"{begins}{row.pk}",
            turn=row.turn.number if row.turn else 0,
        )
        for row in rows
    }


def _instructions(parts: Iterable[context.Part]) -> dict[str, str]:
    names = [str(part.recipe[1]) for part in parts if part.recipe and part.recipe[0] == "instructions"]
    if not names:
        return {}
    return dict(Instructions.objects.filter(digest__in=names).values_list("digest", "text"))
