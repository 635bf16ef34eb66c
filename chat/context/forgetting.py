"""Why did it forget? What became of one turn in every later request, read off the manifests.

A manifest says of every turn how it reached the model. Put side by side, the manifests of the requests that followed
say when that changed; what else was different in that request says why. Numbers and codes only, no text, so that the
answer may be shown where the words may not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from chat.context.values import How, Run

Why = Literal[
    "said",  # its own request: the words were just written
    "recent",  # it stands word for word, as it always did
    "compacted",  # a summary took its place
    "compacted_again",  # another summary took the place of that one
    "restored",  # word for word again, after something else stood for it
    "recalled",  # the words of that request found it
    "pinned",  # somebody pinned it, and it rides along with the message
    "not_recalled",  # no longer recalled: back to what stands for it
    "excluded",  # somebody took it out of the context, or the reply was refused
    "included",  # no longer excluded
    "window",  # left out: a sliding window keeps so many messages
    "trimmed",  # left out: it did not fit, and no summary was there
    "ladder",  # left out or shortened after the service refused a longer request
    "model",  # left out or shortened: the request went to a model with a smaller window
    "clamped",  # sent shortened: it is too large for its share
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as its manifest has it: `number` of its turn, window in tokens, the rung of the overflow ladder."""

    number: int
    runs: Sequence[Run]
    model: str = ""
    window: int = 0
    rung: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """In the requests `first`..`last` (`requests` of them have a manifest) the turn was `how`, since `why`.

    `by` is the summary (S3), who excluded it, or the code of why it was left out. `covers` are the turns that the
    model saw in the same way together with it, in the first of these requests. `model` is that request's.
    """

    first: int
    last: int
    requests: int
    how: How
    by: str
    why: Why
    covers: tuple[int, int]
    model: str = ""

    @property
    def words_seen(self) -> bool:
        """Whether the model had the turn's own words before it, shortened at most."""
        return self.how in ("verbatim", "clamped", "recalled")

    @property
    def lost(self) -> bool:
        """Whether nothing at all stood for the turn."""
        return self.how in ("omitted", "excluded")


def run_of(turn: int, runs: Sequence[Run]) -> Run | None:
    """The run that holds `turn`, or None in a manifest that is damaged."""
    return next((run for run in runs if run.first <= turn <= run.last), None)


def fate(turn: int, requests: Iterable[Seen]) -> tuple[Stretch, ...]:
    """What became of turn number `turn` in these requests, which are in order; a stretch for each change.

    Requests before the turn are passed over. Costs one pass, whatever their number.
    """
    out: list[Stretch] = []
    before: Seen | None = None
    for seen in requests:
        run = run_of(turn, seen.runs) if seen.number >= turn else None
        if run is None:
            continue
        last = out[-1] if out else None
        if last and (last.how, last.by) == (run.how, run.by) and last.why != "said":
            out[-1] = _longer(last, seen.number)
        else:
            out.append(
                Stretch(
                    first=seen.number,
                    last=seen.number,
                    requests=1,
                    how=run.how,
                    by=run.by,
                    why=_why(turn, run, seen, last, before),
                    covers=(run.first, run.last),
                    model=seen.model,
                )
            )
        before = seen
    return tuple(out)


def at(fates: Sequence[Stretch], request: int) -> Stretch | None:
    """The stretch that holds request number `request`, or None where that request left no manifest."""
    return next((one for one in fates if one.first <= request <= one.last), None)


def _longer(stretch: Stretch, number: int) -> Stretch:
    return Stretch(
        first=stretch.first,
        last=number,
        requests=stretch.requests + 1,
        how=stretch.how,
        by=stretch.by,
        why=stretch.why,
        covers=stretch.covers,
        model=stretch.model,
    )


def _why(turn: int, run: Run, seen: Seen, last: Stretch | None, before: Seen | None) -> Why:
    """The cause of a change: what the run says, and what else was new in this request."""
    match run.how:
        case "recalled":
            return "pinned" if run.by == "pin" else "recalled"
        case "excluded":
            return "excluded"
        case "summarised":
            return _summarised(last)
        case "verbatim":
            return _verbatim(turn, seen, last)
        case _:
            return _shortened(turn, run, seen, before)


def _summarised(last: Stretch | None) -> Why:
    if last is None or last.how in ("verbatim", "clamped", "omitted"):
        return "compacted"
    if last.how == "recalled":
        return "not_recalled"
    return "included" if last.how == "excluded" else "compacted_again"


def _verbatim(turn: int, seen: Seen, last: Stretch | None) -> Why:
    if seen.number == turn:
        return "said"
    if last is None or last.why == "said" or last.how == "clamped":
        return "recent"
    return "included" if last.how == "excluded" else "restored"


def _shortened(turn: int, run: Run, seen: Seen, before: Seen | None) -> Why:
    if seen.rung:
        return "ladder"
    if before and before.window > seen.window > 0:
        return "model"
    if run.how == "clamped":
        return "said" if seen.number == turn else "clamped"
    return "window" if run.by == "window" else "trimmed"
