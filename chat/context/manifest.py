"""The proof of what a request holds: every turn in exactly one run, every token in exactly one line."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from chat.context.budget import COMPONENTS, Budget
from chat.context.tokens import MESSAGE_TOKENS, REQUEST_TOKENS
from chat.context.values import Block, How, Line, Part, Request, Run, Summary


class ManifestGap(AssertionError):
    """A turn is unaccounted for. Never seen outside a bug; the request must not leave."""


def tile(
    number: int, known: Mapping[int, tuple[How, str, int]], summaries: Iterable[Summary], why: str
) -> tuple[Run, ...]:
    """Runs that tile 1..`number`.

    `known` says of single turns how they reached the model, as (how, by, tokens); a turn in it is never looked up
    elsewhere, which makes the first match of excluded, verbatim or clamped, recalled win. Of the rest the
    `summaries` (that were sent) cover their ranges, and what nobody covers is omitted because of `why`. The tokens
    of a summary count in its first run alone. Costs O(known + summaries), whatever `number` is.
    """
    runs: list[Run] = []
    covers = sorted(summaries, key=lambda summary: summary.first)
    at = 1
    for turn in sorted(key for key in known if 1 <= key <= number):
        runs += _between(at, turn - 1, covers, why)
        how, by, tokens = known[turn]
        runs.append(Run(turn, turn, how, by, tokens))
        at = turn + 1
    runs += _between(at, number, covers, why)
    merged = _merge(runs)
    check(merged, number)
    return merged


def check(runs: Sequence[Run], number: int) -> None:
    """Raise ManifestGap unless the runs tile 1..`number`."""
    expected = 1
    for run in runs:
        if run.first != expected or run.last < run.first:
            raise ManifestGap(f"run {run.first}-{run.last} where turn {expected} was due")
        expected = run.last + 1
    if expected != number + 1:
        raise ManifestGap(f"the runs end at {expected - 1}, the request is turn {number}")


def used(request: Request) -> dict[str, int]:
    """Tokens of the request by component. They add up to its estimate: a message's frame counts with its last block."""
    out = dict.fromkeys(COMPONENTS, 0)
    out["system"] += REQUEST_TOKENS + sum(block.tokens for block in request.system)
    for message in request.messages:
        for block in message.blocks:
            out[component(block)] += block.tokens
        out[component(message.blocks[-1])] += MESSAGE_TOKENS
    return out


def report(request: Request, budget: Budget, wanted: Mapping[str, int], beyond: Mapping[str, int]) -> tuple[Line, ...]:
    """The budget report: a line a component, with what it holds and what it would have held, had all fitted.

    That is what was `wanted`, or what it holds and what was left `beyond` its budget.
    """
    held = used(request)
    return tuple(
        Line(name, budget.of(name), held[name], max(held[name] + beyond.get(name, 0), wanted.get(name, 0)))
        for name in COMPONENTS
    )


def component(block: Block) -> str:
    """The line of the report that a block counts in; all of a pinned turn counts as pins."""
    return "tool_results" if block.type == "tool_result" and block.component == "history" else block.component


def parts(request: Request) -> tuple[Part, ...]:
    """Every block of the request by reference."""
    out = [_part("system", block) for block in request.system]
    for message in request.messages:
        out += [_part(message.role, block) for block in message.blocks]
    return tuple(out)


def _part(role: str, block: Block) -> Part:
    return Part(role, component(block), block.ref, block.tokens, block.cache)


def _between(first: int, last: int, covers: Sequence[Summary], why: str) -> list[Run]:
    """Runs of first..last, none of whose turns is known by itself."""
    runs: list[Run] = []
    at = first
    # Summaries never overlap, so that the last one that begins at or before `first` is the first that can matter.
    for summary in covers[max(0, bisect_right(covers, first, key=lambda cover: cover.first) - 1) :]:
        if summary.first > last or at > last:
            break
        if summary.last < at:
            continue
        start = max(at, summary.first)
        if start > at:
            runs.append(Run(at, start - 1, "omitted", why))
        end = min(last, summary.last)
        runs.append(Run(start, end, "summarised", summary.ref, summary.tokens if start == summary.first else 0))
        at = end + 1
    if at <= last:
        runs.append(Run(at, last, "omitted", why))
    return runs


def _merge(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Join neighbours that reached the model alike."""
    out: list[Run] = []
    for run in runs:
        previous = out[-1] if out else None
        if previous and (previous.how, previous.by) == (run.how, run.by):
            out[-1] = Run(previous.first, run.last, run.how, run.by, previous.tokens + run.tokens)
        else:
            out.append(run)
    return tuple(out)
