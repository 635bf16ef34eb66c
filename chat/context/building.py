"""One request of a history at one rung of the ladder: what stands in it, in which order, and the proof of it.

The order of the request is the order of its stability, so that the prompt cache holds: static instructions; one
exchange with documents, facts and summaries; the turns, append-only; the current message with all that is fresh.
A document that came since the last commit stands where it was attached (see `documents`).
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from chat.context import caching, documents, manifest, prompts, selection, transcript
from chat.context.budget import WIDEST, Budget
from chat.context.overflow import Cut
from chat.context.tokens import BLOCK_TOKENS, MESSAGE_TOKENS, REQUEST_TOKENS, Counter
from chat.context.values import (
    Assembled,
    Block,
    Document,
    Extra,
    Fact,
    History,
    How,
    Manifest,
    Message,
    Prompt,
    Request,
    Run,
    Summary,
    Turn,
)
from chat.context.window import Size, WindowLimits, newest, slide


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verbatim:
    """The turns that are sent word for word, where they start, and which of them were cut."""

    turns: tuple[Turn, ...]
    start: int
    clamped: frozenset[int] = frozenset()


class Builder:
    """Builds requests of one history for different cuts. All figures are tokens."""

    def __init__(
        self,
        history: History,
        prompt: Prompt,
        budget: Budget,
        counter: Counter,
        model: str,
        extras: Sequence[Extra],
        limits: WindowLimits,
        ttl: str,
    ):
        self.history, self.prompt, self.budget, self.counter = history, prompt, budget, counter
        self.model, self.limits, self.ttl = model, limits, ttl
        self.extras = tuple(extras)
        self._counts: dict[str, int] = {}
        excluded = {turn.number: turn.excluded_by for turn in history.turns if turn.excluded_by}
        self.excluded: Mapping[int, str] = dict(history.excluded) | excluded
        self.stored = tuple(
            transcript.measured(turn, self.count)
            for turn in history.turns
            if turn.number < prompt.number and turn.number not in self.excluded
        )
        self.loaded = tuple(transcript.clamp_results(turn, counter, budget.tool_results) for turn in self.stored)
        sizes = [Size(turn.number, turn.tokens, turn.pinned, bool(turn.excluded_by)) for turn in history.turns]
        self.start = slide(sizes, window_from=history.window_from, limits=limits)
        self.riding = selection.riding(self.loaded, window_from=history.window_from, limit=budget.pins)
        self.summaries = selection.summaries(history.summaries, budget.summaries_at_most)
        self.facts = selection.price(history.facts, self.summaries, self.count)
        self.documents = documents.fit(history.documents, budget.documents, self.count)
        self.wanted: Mapping[str, int] = self._wanted()

    def count(self, text: str) -> int:
        """Tokens of a text; each is counted once, however many rungs it stands on."""
        known = self._counts.get(text)
        if known is None:
            known = self._counts[text] = self.counter.count(text)
        return known

    def build(self, cut: Cut, limit: int) -> Assembled:
        """One request and its manifest, whatever its size."""
        system = self._system()
        summaries = () if cut.summaries or cut.alone else self.summaries
        attached = self._documents(cut)
        extras = self._extras(cut, self._beside(attached))
        fresh = [block for _, block in extras]
        verbatim = self._verbatim(cut, self._room(cut, limit, summaries, [*fresh, *attached.values()]))
        said = {turn.number for turn in verbatim.turns if turn.restored}
        facts, unsaid = self._facts(cut, summaries, verbatim.start, said)
        current = self._current(cut, limit, facts, fresh)
        runs = self._runs(cut, verbatim, summaries, extras, current[-1])
        stands = {turn.number for turn in verbatim.turns} | {self.prompt.number}
        first, beside = documents.place(attached, stands)
        head = [*first, *self._head(facts, summaries, {run.how for run in runs})]
        turns, unanswered = transcript.turn_messages(verbatim.turns, self.count, beside)
        final = Message(role="user", blocks=(*unanswered, *beside.get(self.prompt.number, ()), *current))
        placed_system, messages = caching.place(
            system,
            [*self._opening(head), *turns, final],
            head=bool(head),
            least=caching.least_prefix(self.model),
        )
        request = Request(
            model=self.model,
            max_tokens=self.budget.response,
            system=placed_system,
            messages=messages,
            ttl=self.ttl,
        )
        report = manifest.report(request, self.budget, self.wanted, {"facts": unsaid})
        return Assembled(
            request=request,
            manifest=Manifest(
                number=self.prompt.number,
                window=self.budget.window,
                window_from=verbatim.start,
                estimated=sum(line.used for line in report),
                runs=runs,
                parts=manifest.parts(request),
                report=report,
                trimmed=verbatim.start > self.history.window_from or bool(self._left(verbatim)),
                restored=_runs_of(turn.number for turn in verbatim.turns if turn.restored),
            ),
            rung=cut.rung,
            dropped=frozenset(line.component for line in report if line.truncated),
        )

    def _room(self, cut: Cut, limit: int, summaries: Sequence[Summary], fresh: Sequence[Block]) -> int:
        """What is left for turns beside `fresh` (documents too).

        Which facts are said depends on them: as many as there could be are held back.
        """
        if cut.history is None or cut.alone:
            return 0
        facts, _ = self._facts(cut, summaries, self.prompt.number)
        aside = [*self._system(), *self._head(facts, summaries, set()), *self._current(cut, limit, facts, fresh)]
        return max(0, min(self.budget.input_limit, limit) - self._frame() - _tokens(aside))

    def _block(self, text: str, component: str, ref: str) -> Block:
        return Block(text=text, component=component, ref=ref, tokens=self.count(text) + BLOCK_TOKENS)

    def _frame(self) -> int:
        """What stands around the texts at most: notes and acknowledgement are held back even where none is due."""
        texts = (prompts.NOTE_COMPRESSED, prompts.NOTE_OMITTED, prompts.ACKNOWLEDGEMENT)
        return REQUEST_TOKENS + 3 * MESSAGE_TOKENS + sum(self.count(text) + BLOCK_TOKENS for text in texts)

    def _documents(self, cut: Cut) -> dict[Document, Block]:
        """The attached documents that are sent, each as its block, in order."""
        if cut.documents or cut.alone:
            return {}
        return {one: self._block(text, "documents", one.ref) for one, text in self.documents}

    def _beside(self, attached: Mapping[Document, Block]) -> Budget:
        """The budget for what is injected fresh, beside the attached documents."""
        held = _tokens(list(attached.values()))
        return replace(self.budget, documents=max(0, self.budget.documents - held))

    def _wanted(self) -> dict[str, int]:
        """Tokens by component had everything been sent."""
        turns, unanswered = transcript.turn_messages(self.stored, self.count)
        unbounded = replace(self.budget, recall=WIDEST, documents=WIDEST)
        fresh = [block for _, block in self._extras(Cut(), unbounded)]
        current = self._current(Cut(), self.budget.input_limit, (), fresh)
        whole = [self._block(documents.wrapped(one), "documents", one.ref) for one in self.history.documents]
        messages = (
            *self._opening(self._head((), self.history.summaries, set())),
            *turns,
            # Not as the last of a message, whose frame would count as theirs.
            Message(role="user", blocks=(*unanswered, *whole, *current)),
        )
        return manifest.used(Request(model=self.model, max_tokens=1, system=self._system(), messages=messages))

    def _extras(self, cut: Cut, budget: Budget) -> list[tuple[Extra, Block]]:
        return selection.extras(
            self.extras,
            cut=cut,
            budget=budget,
            counter=self.counter,
            present=self.excluded.keys() | {turn.number for turn in self._uncut(cut)},
            before=self.prompt.number,
        )

    def _system(self) -> tuple[Block, ...]:
        text = self.history.instructions
        return (self._block(text, "system", "instructions"),) if text.strip() else ()

    def _facts(
        self, cut: Cut, summaries: Sequence[Summary], start: int, said: Set[int] = frozenset()
    ) -> tuple[tuple[Fact, ...], int]:
        """The facts that are said, and the tokens of those that would be, were there room."""
        return selection.facts(
            self.facts,
            summaries=bool(summaries),
            start=start,
            unsaid=self.excluded.keys() | said,
            limit=0 if cut.alone else self.budget.facts,
        )

    def _head(self, facts: Sequence[Fact], summaries: Sequence[Summary], hows: set[How]) -> list[Block]:
        """What follows the documents in the first message: notes, facts known at the last commit, summaries."""
        blocks: list[Block] = []
        if "summarised" in hows:
            blocks.append(self._block(prompts.NOTE_COMPRESSED, "system", "note"))
        if "omitted" in hows:
            blocks.append(self._block(prompts.NOTE_OMITTED, "system", "note"))
        settled = prompts.wrap_facts(fact for fact in facts if fact.settled)
        if settled:
            blocks.append(self._block(settled, "facts", "facts"))
        for summary in summaries:
            text = prompts.wrap_summary(text=summary.text, first=summary.first, last=summary.last)
            blocks.append(self._block(text, "summaries", summary.ref))
        return blocks

    def _opening(self, head: Sequence[Block]) -> list[Message]:
        """The first exchange; none when there is nothing to put there."""
        if not head:
            return []
        reply = self._block(prompts.ACKNOWLEDGEMENT, "system", "acknowledgement")
        return [Message(role="user", blocks=tuple(head)), Message(role="assistant", blocks=(reply,))]

    def _current(self, cut: Cut, limit: int, facts: Sequence[Fact], extras: Sequence[Block]) -> list[Block]:
        """The current message: recalled and retrieved text, younger pins and facts, the date, the user's words."""
        blocks = list(extras)
        for turn in () if cut.pins or cut.alone else self.riding:
            text = prompts.wrap_recalled(text=prompts.render_turn(turn), turn=turn.number)
            blocks.append(self._block(text, "pins", f"turn {turn.number}"))
        fresh = prompts.wrap_facts(fact for fact in facts if not fact.settled)
        if fresh:
            blocks.append(self._block(fresh, "facts", "new facts"))
        if self.prompt.date:
            blocks.append(self._block(f"Today is {self.prompt.date}.", "current", "date"))
        text = transcript.spoken(self.prompt.text)
        if cut.clamp_current:
            most = max(1, limit - self._frame() - _tokens([*self._system(), *blocks]) - BLOCK_TOKENS)
            marker = prompts.truncated(component="message", budget=most)
            if self.count(text) > most:
                text = transcript.spoken(prompts.clamp(text=text, counter=self.counter, tokens=most, marker=marker))
        return [*blocks, self._block(text, "current", f"turn {self.prompt.number}")]

    def _uncut(self, cut: Cut) -> list[Turn]:
        """The turns that stand in the request before its length is looked at, and the pins that ride in it."""
        if cut.alone:
            return []
        pins = set() if cut.pins else self._pins(self.start) | {turn.number for turn in self.riding}
        return [turn for turn in self.loaded if self._stands(turn) or turn.number in pins]

    def _stands(self, turn: Turn) -> bool:
        """Whether it stands word for word where nothing has to give way."""
        return turn.number >= self.start or turn.restored

    def _pins(self, start: int) -> set[int]:
        return selection.pins(self.loaded, start=start, window_from=self.history.window_from, limit=self.budget.pins)

    def _verbatim(self, cut: Cut, room: int) -> _Verbatim:
        """What of the turns fits `room` after `cut`."""
        if cut.alone:
            return _Verbatim(turns=(), start=self.prompt.number)
        start, oldest = self.start, 1
        if cut.history is not None:
            sizes = [Size(turn.number, transcript.cost(turn)) for turn in self.loaded if self._stands(turn)]
            most = min(room, sum(size.tokens for size in sizes))
            oldest = newest(sizes, int(most * cut.history))
            start = max(start, oldest)
        pins = set() if cut.pins else self._pins(start)
        turns = tuple(
            turn
            for turn in self.loaded
            if turn.number >= start or turn.number in pins or (turn.restored and turn.number >= oldest)
        )
        if cut.stub_tools:
            turns = tuple(transcript.stub_tools(turn, self.count) for turn in turns)
        if cut.clamp:
            most = transcript.clamp_limit(turns, room, self.budget.window // 4)
            turns = tuple(transcript.clamp_turn(turn, self.counter, most) for turn in turns)
        whole = {turn.number: turn for turn in self.stored}
        clamped = frozenset(turn.number for turn in turns if turn != whole[turn.number])
        return _Verbatim(turns=turns, start=start, clamped=clamped)

    def _left(self, verbatim: _Verbatim) -> list[int]:
        """Restored turns that had to leave."""
        stands = {turn.number for turn in verbatim.turns}
        return [turn.number for turn in self.loaded if turn.restored and turn.number not in stands]

    def _runs(
        self,
        cut: Cut,
        verbatim: _Verbatim,
        summaries: Sequence[Summary],
        extras: Sequence[tuple[Extra, Block]],
        current: Block,
    ) -> tuple[Run, ...]:
        """The manifest's runs: later entries of `known` win over earlier ones."""
        known: dict[int, tuple[How, str, int]] = {}
        for turn in self.loaded:
            if self.start <= turn.number < verbatim.start and not _covered(turn.number, summaries):
                known[turn.number] = ("omitted", cut.rung, 0)
        for number in self._left(verbatim):
            known[number] = ("omitted", cut.rung, 0)
        for extra, block in extras:
            if extra.turn is not None:
                known[extra.turn] = ("recalled", extra.ref, block.tokens)
        for turn in () if cut.pins or cut.alone else self.riding:
            known[turn.number] = ("recalled", "pin", turn.tokens)
        for turn in verbatim.turns:
            known[turn.number] = ("clamped" if turn.number in verbatim.clamped else "verbatim", "", turn.tokens)
        for number, by in self.excluded.items():
            known[number] = ("excluded", by, 0)
        whole = current.text == transcript.spoken(self.prompt.text)
        known[self.prompt.number] = ("verbatim" if whole else "clamped", "", current.tokens)
        return manifest.tile(self.prompt.number, known, summaries, "window" if self.limits.max_messages else "trimmed")


def _tokens(blocks: Sequence[Block]) -> int:
    return sum(block.tokens for block in blocks)


def _runs_of(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Numbers in order as ranges."""
    out: list[tuple[int, int]] = []
    for number in numbers:
        if out and out[-1][1] + 1 == number:
            out[-1] = (out[-1][0], number)
        else:
            out.append((number, number))
    return tuple(out)


def _covered(number: int, summaries: Sequence[Summary]) -> bool:
    return any(summary.first <= number <= summary.last for summary in summaries)
