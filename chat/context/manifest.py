"""The proof of what a request holds: every turn in exactly one run, or no request at all."""

from collections.abc import Iterable, Mapping, Sequence

from chat.context.values import How, Run, Summary


class ManifestGap(AssertionError):
    """A turn is unaccounted for. Never seen outside a bug; the request must not leave."""


def tile(number: int, known: Mapping[int, tuple[How, str, int]], summaries: Iterable[Summary], why: str) -> tuple[Run, ...]:
    """Runs that tile 1..`number`.

    `known` says of single turns how they reached the model, as (how, by, tokens); a turn in it is never looked up
    elsewhere, which makes the first match of excluded, verbatim or clamped, recalled win. Of the rest the
    `summaries` (that were sent) cover their ranges, and what nobody covers is omitted because of `why`. Costs
    O(known + summaries), whatever `number` is.
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


def _between(first: int, last: int, covers: Sequence[Summary], why: str) -> list[Run]:
    """Runs of first..last, none of whose turns is known by itself."""
    runs: list[Run] = []
    at = first
    for summary in covers:
        if summary.last < at:
            continue
        if summary.first > last or at > last:
            break
        start = max(at, summary.first)
        if start > at:
            runs.append(Run(at, start - 1, "omitted", why))
        end = min(last, summary.last)
        runs.append(Run(start, end, "summarised", summary.ref, summary.tokens))
        at = end + 1
    if at <= last:
        runs.append(Run(at, last, "omitted", why))
    return runs


def _merge(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Join neighbours that reached the model alike. The tokens of a summary count once."""
    out: list[Run] = []
    for run in runs:
        previous = out[-1] if out else None
        if previous and previous.last + 1 == run.first and (previous.how, previous.by) == (run.how, run.by):
            tokens = previous.tokens if run.how == "summarised" else previous.tokens + run.tokens
            out[-1] = Run(previous.first, run.last, run.how, run.by, tokens)
        else:
            out.append(run)
    return tuple(out)
