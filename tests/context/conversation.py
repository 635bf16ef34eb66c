"""A conversation that grows turn by turn in memory, as the store and the flow would keep it.

What the real ones do with rows and a model is done here with values: a turn is appended when it is answered, the
window's start is kept when a request moved it, a plan's chunks become summaries of made-up text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from chat.context import documents as attached
from chat.context.assembly import assemble
from chat.context.budget import Budget
from chat.context.compaction import Level, Plan, Policy, Span, compressible, level, plan_compaction, plan_merge
from chat.context.gauge import held
from chat.context.values import Assembled, Document, Extra, Fact, History, Prompt, Step, Summary, Turn
from chat.context.window import MESSAGES_A_TURN, Size, WindowLimits
from tests.context.strategies import COUNTER, MODEL


def text_of(tokens: int, words: str = "") -> str:
    """A text that the counter takes for exactly `tokens`, beginning with `words` (lower-case Latin letters)."""
    filler = "word " * tokens
    return (words + filler)[: max(1, tokens * 3)]


@dataclass(kw_only=True)
class Conversation:
    """One conversation. All figures are tokens."""

    budget: Budget
    policy: Policy = field(default_factory=Policy)
    limits: WindowLimits = field(default_factory=WindowLimits)
    instructions: str = ""
    facts: tuple[Fact, ...] = ()
    documents: tuple[Document, ...] = ()
    model: str = MODEL
    turns: list[Turn] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    window_from: int = 1
    made: int = 0
    last: Assembled | None = None

    def history(self) -> History:
        """What a load would bring: turns from the window's start on, and older pins."""
        return History(
            instructions=self.instructions,
            documents=self.documents,
            facts=self.facts,
            summaries=tuple(self.summaries),
            turns=tuple(turn for turn in self.turns if turn.number >= self.window_from or turn.pinned),
            last=len(self.turns),
            window_from=self.window_from,
            excluded=tuple(
                (turn.number, turn.excluded_by)
                for turn in self.turns
                if turn.excluded_by and turn.number < self.window_from
            ),
        )

    def attach(self, name: str, text: str) -> Document:
        """Attach a document to the next message."""
        ref = f"document:{len(self.documents) + 1}"
        tokens = attached.tokens(name, text, COUNTER)
        one = Document(name=name, text=text, tokens=tokens, ref=ref, turn=len(self.turns) + 1, settled=False)
        self.documents = (*self.documents, one)
        return one

    def ask(
        self,
        text: str,
        reply: str = "Well. ",
        *,
        extras: Sequence[Extra] = (),
        steps: tuple[Step, ...] = (),
        date: str = "",
    ) -> Assembled:
        """Send a message and answer it."""
        number = len(self.turns) + 1
        self.last = assemble(
            self.history(),
            Prompt(text=text, number=number, date=date),
            self.budget,
            COUNTER,
            model=self.model,
            extras=extras,
            limits=self.limits,
        )
        self.window_from = self.last.manifest.window_from
        self.turns.append(
            Turn(
                number=number,
                prompt=text,
                reply=reply,
                steps=steps,
                prompt_tokens=COUNTER.count(text),
                reply_tokens=COUNTER.count(reply),
            )
        )
        return self.last

    def sizes(self) -> list[Size]:
        """What planning looks at."""
        return [Size(turn.number, turn.tokens, turn.pinned, bool(turn.excluded_by)) for turn in self.turns]

    def covered(self) -> list[tuple[int, int]]:
        """The ranges that summaries stand for."""
        return [(summary.first, summary.last) for summary in self.summaries]

    def room(self) -> int:
        """What history may hold beside what the last request held of all else."""
        return self.budget.room(held(self.last.manifest.report) if self.last else 0)

    def level(self) -> Level:
        """The mark that has been reached."""
        uncovered = len(self.turns) - sum(last - first + 1 for first, last in self.covered())
        tokens = compressible(self.sizes(), self.covered())
        return level(tokens, uncovered * MESSAGES_A_TURN, room=self.room(), policy=self.policy)

    def compact(self, *, force: bool = False) -> Plan | None:
        """Plan and commit a compaction, if one is due."""
        plan = plan_compaction(self.sizes(), room=self.room(), policy=self.policy, covered=self.covered(), force=force)
        if plan is None:
            return None
        for chunk in plan.chunks:
            tokens = max(1, min(self.policy.summary_tokens, int(chunk.tokens * 0.6)))
            self._summarise(chunk.first, chunk.last, tokens, tier=1)
        self.window_from = plan.keep_from
        self.turns = [replace(turn, pin_settled=True) for turn in self.turns]
        self.facts = tuple(replace(fact, settled=True) for fact in self.facts)
        self.documents = tuple(replace(one, settled=True) for one in self.documents)
        return plan

    def merge(self) -> bool:
        """Plan and commit a merge, if one is due."""
        spans = [Span(one.first, one.last, one.tier, one.tokens) for one in self.summaries]
        merge = plan_merge(spans, budget=self.budget.summaries)
        if merge is None:
            return False
        first, last = merge.spans[0].first, merge.spans[-1].last
        self.summaries = [one for one in self.summaries if one.last < first or one.first > last]
        self._summarise(first, last, max(span.tokens for span in merge.spans), tier=merge.tier)
        return True

    def _summarise(self, first: int, last: int, tokens: int, tier: int) -> None:
        self.made += 1
        text = text_of(tokens, f"summary number {self.made} ")
        self.summaries.append(Summary(first=first, last=last, text=text, tokens=tokens, tier=tier, ref=f"S{self.made}"))
        self.summaries.sort(key=lambda summary: summary.first)
