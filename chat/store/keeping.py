"""What the active summaries kept: every exact value of their turns is looked for again, and every text is judged.

The gate saw to that when a summary was made. This looks at what stands now: after edits, corrected facts, imports,
and releases that find values which an earlier one did not know.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from chat.context import exact, gate
from chat.context.exact import Haystack
from chat.models import Step, Summary, Turn
from chat.store import coverage, facts

MOST_FACTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What one active summary holds of its turns' exact values: how many there are, stand in its text, else among
    the facts, else in the transcript alone. `wrong` are codes: stale, blank, and those of `gate.foreign`."""

    session: UUID
    summary: int
    first: int
    last: int
    values: int
    in_summary: int
    in_facts: int
    wrong: tuple[str, ...] = ()

    @property
    def outside(self) -> int:
        """Values that the model sees only when recall finds their turn."""
        return self.values - self.in_summary - self.in_facts


def audit(session_id: UUID | None = None) -> Iterator[Kept]:
    """Every active summary of the active paths, or of one session: by session, oldest turns first. Writes nothing."""
    rows = Summary.objects.filter(state=Summary.State.ACTIVE, until__active=True, session__deleted_at__isnull=True)
    if session_id is not None:
        rows = rows.filter(session=session_id)
    known: tuple[UUID, Haystack] | None = None
    for row in rows.order_by("session_id", "first").iterator(chunk_size=100):
        if known is None or known[0] != row.session_id:
            known = row.session_id, _facts(row.session_id)
        yield _kept(row, known[1])


def _facts(session_id: UUID) -> Haystack:
    found, _ = facts.current(session_id, MOST_FACTS)
    return Haystack("\n".join(f"{one.value}\n{one.quote}" for one in found))


def _kept(row: Summary, told: Haystack) -> Kept:
    values = [one.value for one in exact.find(_source(row))]
    text = Haystack(row.text)
    absent = [value for value in values if not text.holds(value)]
    in_facts = sum(told.holds(value) for value in absent)
    wrong = gate.foreign(row.text)
    if not row.text.strip():
        wrong.append("blank")
    if coverage.source_hash(row.session_id, row.first, row.last) != row.source_hash:
        wrong.append("stale")
    return Kept(
        session=row.session_id, summary=row.pk, first=row.first, last=row.last, values=len(values),
        in_summary=len(values) - len(absent), in_facts=in_facts, wrong=tuple(wrong),
    )  # fmt: skip


def _source(row: Summary) -> str:
    """The words of its turns as the gate saw them: without those that are excluded, and without thinking."""
    turns = Turn.objects.filter(
        session=row.session_id, active=True, number__range=(row.first, row.last), excluded_by=""
    ).order_by("number")
    steps: dict[int, list[str]] = {}
    told = Step.objects.filter(turn__in=turns.values("pk")).exclude(kind="thinking").order_by("turn_id", "index")
    for turn, body in told.values_list("turn_id", "body"):
        steps.setdefault(turn, []).append(body)
    words = (
        part
        for pk, prompt, reply in turns.values_list("pk", "prompt", "reply")
        for part in (prompt, *steps.get(pk, ()), reply)
    )
    return "\n\n".join(part.strip() for part in words if part.strip())
