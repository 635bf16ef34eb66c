"""What a replayed conversation came to, in figures: read from the rows that the flow itself wrote."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any
from uuid import UUID

from chat.context.values import Request
from chat.models import ChatSession, Manifest, Summary, Turn

# Shares of the input's price, for savings in tokens' worth. Source: Anthropic's price list, "Prompt caching".
READ_PRICE = 0.1
WRITE_PRICES = {"5m": 1.25, "1h": 2.0}
ANSWERED = (Turn.Status.COMPLETE, Turn.Status.TRUNCATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Of the lines that answer a question, the share that its request held: averages over questions, of 1.

    `verbatim`: the line's words stand in the request. `summarised`: they do not, and a summary stands for their turn.
    """

    questions: int = 0
    verbatim: float = 0.0
    summarised: float = 0.0

    def __add__(self, other: "Recall") -> "Recall":
        both = self.questions + other.questions
        if not both:
            return self
        share = self.questions / both
        return Recall(
            questions=both,
            verbatim=self.verbatim * share + other.verbatim * (1 - share),
            summarised=self.summarised * share + other.summarised * (1 - share),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One conversation, or, added up, all of them. Tokens as the API counted them, seconds of the wall clock.

    `refused` are 400s of the API; `largest` is the largest input of one call, summaries included. `saved_compaction`
    sums over the replies what the summaries in their requests stood for, less the summaries' own tokens;
    `summary_tokens` is what making them cost. `saved_caching` is in uncached input tokens' worth. `errors` are the
    estimates' relative errors.
    """

    name: str = ""
    window: int = 0
    turns: int = 0
    answered: int = 0
    failed: int = 0
    cut: int = 0
    refused: int = 0
    calls: int = 0
    largest: int = 0
    compactions: int = 0
    trims: int = 0
    rungs: int = 0
    notices: int = 0
    rejections: int = 0
    extracts: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    saved_compaction: int = 0
    summary_tokens: int = 0
    saved_caching: int = 0
    errors: tuple[float, ...] = ()
    seconds: float = 0.0
    recall: Recall | None = None

    def __add__(self, other: "Figures") -> "Figures":
        values: dict[str, Any] = {}
        for one in fields(self):
            mine, theirs = getattr(self, one.name), getattr(other, one.name)
            if one.name == "name":
                values[one.name] = mine or theirs
            elif one.name in ("largest", "window"):
                values[one.name] = max(mine, theirs)
            elif one.name == "recall":
                values[one.name] = mine + theirs if mine and theirs else mine or theirs
            else:
                values[one.name] = mine + theirs
        return Figures(**values)

    @property
    def hit_rate(self) -> float:
        """cache_read / (input + cache_read + cache_write)."""
        total = self.input + self.cache_read + self.cache_write
        return self.cache_read / total if total else 0.0

    @property
    def error_median(self) -> float:
        """The middle one of the estimates' errors."""
        return statistics.median(self.errors) if self.errors else 0.0

    @property
    def error_p95(self) -> float:
        """The estimates' error that 19 of 20 do not exceed."""
        ordered = sorted(self.errors)
        return ordered[-(-len(ordered) * 95 // 100) - 1] if ordered else 0.0

    @property
    def good(self) -> bool:
        """Every turn answered, nothing refused, no call over the window."""
        whole = self.answered == self.turns and not self.failed
        return whole and not self.refused and self.largest <= self.window

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ratios rounded to four places."""
        out = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("errors", "recall")}
        out |= {
            "seconds": round(self.seconds, 2),
            "hit_rate": round(self.hit_rate, 4),
            "error_median": round(self.error_median, 4),
            "error_p95": round(self.error_p95, 4),
        }
        if self.recall:
            found = self.recall
            out |= {
                "questions": found.questions,
                "recall_verbatim": round(found.verbatim, 4),
                "recall_summarised": round(found.summarised, 4),
            }
        return out


def read(session_id: UUID, *, ttl: str = "5m") -> dict[str, Any]:
    """The figures that a session's own rows tell. `ttl` is that of the prompt cache."""
    session = ChatSession.objects.get(pk=session_id)
    turns = list(
        Turn.objects.filter(session=session, active=True)
        .order_by("number")
        .values_list("status", "prompt_tokens", "reply_tokens", "usage")
    )
    statuses = [status for status, *_ in turns]
    used = {name: sum((row[3] or {}).get(name, 0) for row in turns) for name in _USAGE}
    summaries = Summary.objects.filter(session=session)
    upto = [0, *accumulate(prompt + reply for _, prompt, reply, _ in turns)]
    sent = list(
        Manifest.objects.filter(turn__session=session, turn__active=True).values_list(
            "ranges", "estimated", "measured", "rung"
        )
    )
    return {
        "answered": sum(status in ANSWERED for status in statuses),
        "failed": sum(status not in ANSWERED for status in statuses),
        "cut": statuses.count(Turn.Status.TRUNCATED),
        "compactions": session.compactions,
        "trims": session.trims,
        "rungs": sum(bool(rung) for *_, rung in sent),
        "notices": session.notices.count(),
        "rejections": summaries.filter(state=Summary.State.REJECTED).count(),
        "extracts": summaries.filter(made_by=Summary.MadeBy.EXTRACT).exclude(state=Summary.State.REJECTED).count(),
        **used,
        "saved_compaction": sum(_spared(ranges, upto) for ranges, *_ in sent),
        "saved_caching": round(used["cache_read"] * (1 - READ_PRICE) - used["cache_write"] * (WRITE_PRICES[ttl] - 1)),
        "errors": tuple(abs(guess - true) / true for _, guess, true, _ in sent if true),
    }


_USAGE = ("input", "cache_read", "cache_write", "output")


def _spared(ranges: Sequence[Sequence[Any]], upto: Sequence[int]) -> int:
    """Tokens of the turns that summaries stood for in one request, less the summaries' own."""
    return sum(
        upto[min(last, len(upto) - 1)] - upto[first - 1] - tokens
        for first, last, how, _, tokens in ranges
        if how == "summarised"
    )


def how_sent(turn_id: int) -> tuple[str, Mapping[int, str]]:
    """The hash of the request that answered a turn, and how each turn reached it; ('', {}) for one never sent."""
    found = Manifest.objects.filter(turn_id=turn_id).values_list("body_sha256", "ranges").first()
    if found is None:
        return "", {}
    return found[0], {number: how for first, last, how, *_ in found[1] for number in range(first, last + 1)}


def recall(evidence: Sequence[tuple[int, str]], request: Request, hows: Mapping[int, str]) -> Recall:
    """Of the evidence of one question, as (turn, the line's words), what its request held. `evidence` is not empty."""
    text = "\n".join(block.text for block in request.blocks())
    verbatim = [line in text for _, line in evidence]
    summarised = [
        not whole and hows.get(turn) == "summarised" for whole, (turn, _) in zip(verbatim, evidence, strict=True)
    ]
    return Recall(questions=1, verbatim=sum(verbatim) / len(evidence), summarised=sum(summarised) / len(evidence))
