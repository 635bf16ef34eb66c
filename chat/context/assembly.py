"""Assembly: a history, a message and a budget become one request and the manifest that proves what it holds.

The order of the request is the order of its stability, so that the prompt cache holds: static instructions; one
exchange with documents, facts and summaries; the turns, append-only; the current message with all that is fresh.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from chat.context import caching, exact, manifest, prompts
from chat.context.budget import COMPONENTS, Budget, BudgetError
from chat.context.overflow import Cut, at, below
from chat.context.tokens import BLOCK_TOKENS, MESSAGE_TOKENS, REQUEST_TOKENS, TOOL_BLOCK_TOKENS, Counter
from chat.context.transcript import clamp_turn, turn_messages
from chat.context.values import (
    Assembled,
    Block,
    Extra,
    Fact,
    History,
    Line,
    Manifest,
    Message,
    Part,
    Prompt,
    Request,
    Summary,
    Turn,
)
from chat.context.window import Size, WindowLimits, newest, slide

__all__ = ["assemble", "next_rung"]


def assemble(
    history: History,
    prompt: Prompt,
    budget: Budget,
    counter: Counter,
    *,
    model: str,
    extras: Sequence[Extra] = (),
    limits: WindowLimits | None = None,
    ttl: str = "5m",
    cut: Cut | None = None,
    limit: int | None = None,
) -> Assembled:
    """Make the request for `prompt`.

    `limits` bounds the word-for-word messages (the sliding window); `limit` replaces the budget's own input limit
    in tokens; `cut` starts lower on the ladder. Climbs down until the estimate fits. Raises BudgetError when not
    even the clamped message alone fits.
    """
    builder = _Builder(history, prompt, budget, counter, model, tuple(extras), limits or WindowLimits(), ttl)
    most = budget.input_limit if limit is None else limit
    start = cut or Cut()
    built = builder.build(start, most)
    for lower in below(start):
        if built.manifest.estimated <= most:
            break
        built = builder.build(lower, most)
    if built.manifest.estimated > most:
        raise BudgetError(
            f"The instructions leave no room for a message in {most:,} tokens.", least=built.manifest.estimated
        )
    return built


def next_rung(
    assembled: Assembled,
    history: History,
    prompt: Prompt,
    budget: Budget,
    counter: Counter,
    *,
    actual: int | None = None,
    allowed: int | None = None,
    extras: Sequence[Extra] = (),
    limits: WindowLimits | None = None,
) -> Assembled | None:
    """The next strictly smaller request after the API refused `assembled` as too long; None at the ladder's end.

    `actual` and `allowed` are the tokens that the error named: the estimate is held to be wrong by that factor, so
    one step may go down several rungs.
    """
    most = assembled.manifest.estimated - 1
    if actual and allowed and actual > allowed:
        fits = min(allowed - budget.response, int(allowed * 0.95))
        most = min(most, assembled.manifest.estimated * fits // actual)
    builder = _Builder(
        history,
        prompt,
        budget,
        counter,
        assembled.request.model,
        tuple(extras),
        limits or WindowLimits(),
        assembled.request.ttl,
    )
    for cut in below(at(assembled.rung)):
        built = builder.build(cut, most)
        if built.manifest.estimated <= most:
            return built
    return None


@dataclass(frozen=True, slots=True)
class _Builder:
    """Builds one request for a given cut. All figures are tokens."""

    history: History
    prompt: Prompt
    budget: Budget
    counter: Counter
    model: str
    extras: tuple[Extra, ...]
    limits: WindowLimits
    ttl: str

    def build(self, cut: Cut, limit: int) -> Assembled:
        """One request and its manifest, whatever its size."""
        system = self._system()
        extras = self._extras(cut)
        summaries = () if cut.summaries or cut.alone else self._summaries()
        # Facts depend on what stays verbatim, and what may stay depends on the facts' size: the facts that could
        # be needed at most are held first, then chosen.
        start = self._start()
        facts = () if cut.alone else self._facts(summaries, start)
        current = self._current(cut, limit, system, facts, extras)
        head = self._head(facts, summaries)
        held = (
            REQUEST_TOKENS
            + _tokens(system)
            + _tokens(head)
            + self._frame()
            + _tokens(current)
            + MESSAGE_TOKENS
        )
        room = max(0, min(self.budget.room(held), limit - held))
        start, turns, clamped = self._turns(cut, start, room)
        runs = self._runs(turns, clamped, summaries, extras, cut, start)
        hows = {run.how for run in runs}
        notes = [
            Block(component="system", text=text, ref="note", tokens=self._count(text) + BLOCK_TOKENS)
            for how, text in (("summarised", prompts.NOTE_COMPRESSED), ("omitted", prompts.NOTE_OMITTED))
            if how in hows
        ]
        head = [*notes, *head]

        messages, tail = turn_messages(turns, self._count)
        opening: list[Message] = []
        if head:
            acknowledgement = Block(
                component="system",
                text=prompts.ACKNOWLEDGEMENT,
                ref="acknowledgement",
                tokens=self._count(prompts.ACKNOWLEDGEMENT) + BLOCK_TOKENS,
            )
            opening = [
                Message(role="user", blocks=tuple(head)),
                Message(role="assistant", blocks=(acknowledgement,)),
            ]
        final = Message(role="user", blocks=(*tail, *current))
        placed_system, placed = caching.place(
            system, [*opening, *messages, final], head=bool(head), least=caching.least_prefix(self.model)
        )
        request = Request(
            model=self.model,
            max_tokens=self.budget.response,
            system=placed_system,
            messages=placed,
            ttl=self.ttl,
        )
        estimated = REQUEST_TOKENS + MESSAGE_TOKENS * len(placed) + _tokens(request.blocks())
        return Assembled(
            request=request,
            manifest=Manifest(
                number=self.prompt.number,
                window=self.budget.window,
                window_from=start,
                estimated=estimated,
                runs=runs,
                parts=_parts(request),
                report=self._report(request),
                trimmed=start > self.history.window_from,
            ),
            rung=cut.rung,
        )

    def _count(self, text: str) -> int:
        return self.counter.count(text)

    def _frame(self) -> int:
        """What notes and acknowledgement cost at most; held back whether or not they will be needed."""
        texts = (prompts.NOTE_COMPRESSED, prompts.NOTE_OMITTED, prompts.ACKNOWLEDGEMENT)
        return sum(self._count(text) + BLOCK_TOKENS for text in texts) + 2 * MESSAGE_TOKENS

    def _block(self, text: str, component: str, ref: str = "") -> Block:
        return Block(text=text, component=component, ref=ref, tokens=self._count(text) + BLOCK_TOKENS)

    def _system(self) -> tuple[Block, ...]:
        text = self.history.instructions
        return (self._block(text, "system", "instructions"),) if text.strip() else ()

    def _extras(self, cut: Cut) -> tuple[Extra, ...]:
        """What is injected fresh, whole items up to each component's budget."""
        out: list[Extra] = []
        if cut.alone:
            return ()
        for component, dropped in (("recall", cut.recall), ("documents", cut.documents)):
            left = 0 if dropped else self.budget.of(component)
            for extra in self.extras:
                if extra.component == component and extra.tokens <= left:
                    left -= extra.tokens
                    out.append(extra)
        return tuple(out)

    def _summaries(self) -> tuple[Summary, ...]:
        """The newest summaries that fit; they may borrow what documents, recall and tools leave free."""
        budget = self.budget
        spent = sum(extra.tokens for extra in self.extras)
        left = budget.summaries + max(0, budget.documents + budget.recall + budget.tool_results - spent)
        kept: list[Summary] = []
        for summary in sorted(self.history.summaries, key=lambda summary: -summary.first):
            if kept and summary.tokens > left:
                break
            left -= summary.tokens
            kept.append(summary)
        return tuple(reversed(kept))

    def _start(self) -> int:
        """The first turn of the word-for-word part before anything gives way: the sliding window's own rule."""
        return slide(_sizes(self.history.turns), window_from=self.history.window_from, limits=self.limits)

    def _facts(self, summaries: Sequence[Summary], start: int) -> tuple[Fact, ...]:
        """The facts that nothing else in the request says, up to their budget; the first given win."""
        said = "\n".join(summary.text for summary in summaries)
        left = self.budget.facts
        out: list[Fact] = []
        for fact in self.history.facts:
            if fact.turn is not None and not fact.pinned and (fact.turn >= start or exact.contains(said, fact.value)):
                continue
            cost = self._count(prompts.wrap_facts([fact]))
            if cost > left:
                break
            left -= cost
            out.append(fact)
        return tuple(out)

    def _head(self, facts: Sequence[Fact], summaries: Sequence[Summary]) -> list[Block]:
        """The first exchange's user side: facts known at the last commit, then summaries, oldest first."""
        blocks: list[Block] = []
        settled = prompts.wrap_facts(fact for fact in facts if fact.settled)
        if settled:
            blocks.append(self._block(settled, "facts", "facts"))
        for summary in summaries:
            text = prompts.wrap_summary(text=summary.text, first=summary.first, last=summary.last)
            blocks.append(self._block(text, "summaries", summary.ref))
        return blocks

    def _current(
        self, cut: Cut, limit: int, system: Sequence[Block], facts: Sequence[Fact], extras: Sequence[Extra]
    ) -> list[Block]:
        """The current message: recalled and retrieved text, younger pins and facts, the date, the user's words."""
        blocks: list[Block] = []
        for extra in extras:
            blocks.append(self._block(extra.text, extra.component, extra.ref))
        if not cut.alone:
            blocks += [
                self._block(
                    prompts.wrap_recalled(text=prompts.render_turn(turn), turn=turn.number),
                    "recall",
                    f"turn {turn.number}",
                )
                for turn in self._riding()
            ]
        fresh = prompts.wrap_facts(fact for fact in facts if not fact.settled)
        if fresh:
            blocks.append(self._block(fresh, "facts", "new facts"))
        if self.prompt.date:
            blocks.append(self._block(f"Today is {self.prompt.date}.", "current", "date"))
        text = self.prompt.text
        if cut.clamp_current:
            most = limit - REQUEST_TOKENS - MESSAGE_TOKENS - BLOCK_TOKENS - self._frame()
            most = max(1, most - _tokens(system) - _tokens(blocks))
            marker = prompts.truncated(component="message", budget=most)
            text = prompts.clamp(text=text, counter=self.counter, tokens=most, marker=marker)
        blocks.append(self._block(text, "current", f"turn {self.prompt.number}"))
        return blocks

    def _riding(self) -> list[Turn]:
        """Pinned turns of a covered range whose pin is younger than the last commit."""
        return [
            turn
            for turn in self.history.turns
            if turn.pinned and not turn.pin_settled and not turn.excluded_by and turn.number < self.history.window_from
        ]

    def _turns(self, cut: Cut, start: int, room: int) -> tuple[int, list[Turn], frozenset[int]]:
        """The turns that are sent word for word, where they start, and which of them had to be clamped."""
        if cut.alone:
            return self.prompt.number, [], frozenset()
        loaded = [turn for turn in self.history.turns if not turn.excluded_by]
        if cut.history is not None:
            sizes = [size for size in _sizes(loaded) if size.number >= start]
            start = max(start, newest(sizes, int(room * cut.history)))
        pins = self._settled_pins(loaded, start)
        turns = [turn for turn in loaded if turn.number >= start or turn.number in pins]
        if cut.stub_tools:
            turns = [_stubbed(turn, self.counter) for turn in turns]
        if not cut.clamp or not turns:
            return start, turns, frozenset()
        most = min(self.budget.window // 4, max(16, room // (2 * len(turns)) - BLOCK_TOKENS - MESSAGE_TOKENS))
        shorter = [clamp_turn(turn, self.counter, most) for turn in turns]
        changed = frozenset(old.number for old, new in zip(turns, shorter, strict=True) if new != old)
        return start, shorter, changed

    def _settled_pins(self, loaded: Sequence[Turn], start: int) -> set[int]:
        """Older pinned turns that stand in the cached prefix, newest first up to the pins' budget."""
        left = self.budget.pins
        out: set[int] = set()
        for turn in reversed(loaded):
            old = turn.number < self.history.window_from
            if turn.pinned and turn.number < start and (turn.pin_settled or not old) and turn.tokens <= left:
                left -= turn.tokens
                out.add(turn.number)
        return out

    def _runs(
        self,
        turns: Sequence[Turn],
        clamped: Iterable[int],
        summaries: Sequence[Summary],
        extras: Sequence[Extra],
        cut: Cut,
        start: int,
    ) -> tuple[manifest.Run, ...]:
        known: dict[int, tuple[manifest.How, str, int]] = {}
        for extra in extras:
            if extra.turn is not None:
                known[extra.turn] = ("recalled", extra.ref, extra.tokens)
        if not cut.alone:
            for turn in self._riding():
                known[turn.number] = ("recalled", "pin", turn.tokens)
        cut_short = set(clamped)
        for turn in turns:
            known[turn.number] = ("clamped" if turn.number in cut_short else "verbatim", "", turn.tokens)
        for number, by in self.history.excluded:
            known[number] = ("excluded", by, 0)
        for turn in self.history.turns:
            if turn.excluded_by:
                known[turn.number] = ("excluded", turn.excluded_by, 0)
        known[self.prompt.number] = ("clamped" if cut.clamp_current else "verbatim", "", 0)
        why = cut.rung or ("window" if self.limits.max_messages else "trimmed")
        return manifest.tile(self.prompt.number, known, summaries, why)

    def _report(self, request: Request) -> tuple[Line, ...]:
        used = dict.fromkeys(COMPONENTS, 0)
        for block in request.blocks():
            component = "tool_results" if block.type == "tool_result" else block.component
            used[component] += block.tokens
        wanted = dict(used)
        for extra in self.extras:
            wanted[extra.component] = max(
                wanted[extra.component], sum(e.tokens for e in self.extras if e.component == extra.component)
            )
        wanted["summaries"] = max(used["summaries"], sum(summary.tokens for summary in self.history.summaries))
        wanted["history"] = max(
            used["history"], sum(turn.tokens for turn in self.history.turns if not turn.excluded_by)
        )
        wanted["current"] = max(used["current"], self._count(self.prompt.text))
        return tuple(
            Line(component, self.budget.of(component), used[component], wanted[component]) for component in COMPONENTS
        )


def _tokens(blocks: Iterable[Block]) -> int:
    return sum(block.tokens for block in blocks)


def _sizes(turns: Iterable[Turn]) -> list[Size]:
    return [
        Size(turn.number, turn.tokens + 2 * (MESSAGE_TOKENS + BLOCK_TOKENS), turn.pinned, bool(turn.excluded_by))
        for turn in turns
    ]


def _stubbed(turn: Turn, counter: Counter) -> Turn:
    """The turn with every tool result replaced by a stub that names it."""
    steps = []
    for step in turn.steps:
        if step.kind == "tool_result":
            body = f"[result of {step.name or 'a tool'} left out for length, {step.tokens:,} tokens]"
            steps.append(replace(step, body=body, tokens=counter.count(body) + TOOL_BLOCK_TOKENS))
        else:
            steps.append(step)
    return replace(turn, steps=tuple(steps))


def _parts(request: Request) -> tuple[Part, ...]:
    parts = [Part("system", block.component, block.ref, block.tokens, block.cache) for block in request.system]
    for message in request.messages:
        parts += [
            Part(message.role, block.component, block.ref, block.tokens, block.cache) for block in message.blocks
        ]
    return tuple(parts)
