"""What of each component is sent: each cuts itself to its own budget before the whole is counted."""

from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace

from chat.context import prompts
from chat.context.budget import Budget
from chat.context.exact import Haystack
from chat.context.overflow import Cut
from chat.context.tokens import BLOCK_TOKENS, Counter
from chat.context.values import Block, Extra, Fact, Summary, Turn

# Below this a cut document says nothing; it is left out instead.
LEAST_PIECE = 64  # tokens

Count = Callable[[str], int]


def extras(
    given: Sequence[Extra], *, cut: Cut, budget: Budget, counter: Counter, present: Set[int], before: int
) -> list[tuple[Extra, Block]]:
    """What is injected fresh, with its block: recalled turns in their order, then documents.

    Given best first. A turn is recalled whole or not at all, and not when it is `present` (stands in the request or
    was excluded); a document is cut to what is left, with a marker. Each may borrow what the other leaves free.
    """
    recalled: dict[int, tuple[Extra, Block]] = {}
    others: list[tuple[Extra, Block]] = []
    shared = budget.recall + budget.documents
    wanted = {"recall": 0, "documents": 0}
    usable = [(extra, _extra(extra, counter)) for extra in given if extra.text.strip()]
    for extra, block in usable:
        wanted[extra.component] += block.tokens
    left = {
        "recall": 0 if cut.recall or cut.alone else max(budget.recall, shared - wanted["documents"]),
        "documents": 0 if cut.documents or cut.alone else max(budget.documents, shared - wanted["recall"]),
    }
    for extra, block in usable:
        if extra.turn is not None:
            if extra.turn in present or extra.turn in recalled or extra.turn >= before:
                continue
            if block.tokens <= left["recall"]:
                recalled[extra.turn] = extra, block
                left["recall"] -= block.tokens
        else:
            if block.tokens > left[extra.component] >= LEAST_PIECE and extra.component == "documents":
                marker = prompts.truncated(component="documents", budget=budget.documents)
                most = left["documents"] - BLOCK_TOKENS
                text = prompts.clamp(text=extra.text, counter=counter, tokens=most, marker=marker)
                block = _extra(replace(extra, text=text), counter)
            if block.tokens <= left[extra.component]:
                others.append((extra, block))
                left[extra.component] -= block.tokens
    return [*(recalled[turn] for turn in sorted(recalled)), *others]


def summaries(given: Iterable[Summary], limit: int) -> tuple[Summary, ...]:
    """The newest summaries that hold at most `limit` tokens, oldest first; the newest one always."""
    kept: list[Summary] = []
    left = limit
    for summary in sorted(given, key=lambda summary: -summary.first):
        if kept and summary.tokens > left:
            break
        left -= summary.tokens
        kept.append(summary)
    return tuple(reversed(kept))


@dataclass(frozen=True, slots=True)
class Priced:
    """A fact with its tokens, and whether one of the summaries lists its value."""

    fact: Fact
    tokens: int
    summarised: bool


def _listed(text: str) -> str:
    """The list of exact values of a summary; all of one that has none, as a person may have written it."""
    _, heading, rest = text.partition(prompts.EXACT_HEADING)
    return rest.partition("\n## ")[0] if heading else text


def price(given: Iterable[Fact], summaries: Iterable[Summary], count: Count) -> tuple[Priced, ...]:
    """The facts as `facts` chooses from them: what a person pinned, then the cached prefix, so that what code found
    since pushes nothing out of it."""
    # In the list of exact values, which has the words around each. "Hello Lena Brandt" does not say whose name it is.
    said = Haystack("\n".join(_listed(summary.text) for summary in summaries))
    ordered = sorted(given, key=lambda fact: (not fact.pinned, not fact.settled))
    return tuple(Priced(fact, count(prompts.wrap_facts([fact])), said.holds(fact.value)) for fact in ordered)


def facts(
    given: Iterable[Priced], *, summaries: bool, start: int, unsaid: Set[int], limit: int
) -> tuple[tuple[Fact, ...], int]:
    """The facts that nothing else in the request says, up to `limit` tokens, and the tokens of those beyond it.

    The first given win. A fact goes unsaid when its turn stands word for word (from `start` on) or, where there are
    `summaries`, one of them says its value, unless it is pinned; a fact of a turn of `unsaid` (excluded, or standing
    word for word before `start`) always does.
    """
    left, beyond = limit, 0
    out: list[Fact] = []
    for one in given:
        fact = one.fact
        if fact.turn in unsaid:
            continue
        if fact.turn is not None and not fact.pinned and (fact.turn >= start or (summaries and one.summarised)):
            continue
        if one.tokens <= left:
            left -= one.tokens
            out.append(fact)
        else:
            beyond += one.tokens
    return tuple(out), beyond


def pins(loaded: Sequence[Turn], *, start: int, window_from: int, limit: int) -> set[int]:
    """Numbers of pinned turns before `start` that stand in the cached prefix, newest first up to `limit` tokens.

    A pin younger than the last commit rides in the current message instead (see `riding`).
    """
    left = limit
    out: set[int] = set()
    for turn in reversed(loaded):
        stands = turn.pin_settled or turn.restored or turn.number >= window_from
        if turn.pinned and turn.number < start and stands and turn.tokens <= left:
            left -= turn.tokens
            out.add(turn.number)
    return out


def riding(loaded: Sequence[Turn], *, window_from: int, limit: int) -> list[Turn]:
    """Older turns whose pin is younger than the last commit, up to `limit` tokens, the newest first to be taken."""
    left = limit
    out: list[Turn] = []
    for turn in reversed(loaded):
        waits = turn.pinned and not turn.pin_settled and not turn.restored
        if waits and turn.number < window_from and turn.tokens <= left:
            left -= turn.tokens
            out.append(turn)
    return out[::-1]


def _extra(extra: Extra, counter: Counter) -> Block:
    tokens = counter.count(extra.text) + BLOCK_TOKENS
    return Block(text=extra.text, component=extra.component, ref=extra.ref, tokens=tokens)
