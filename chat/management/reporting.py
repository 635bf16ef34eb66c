"""The report of a replay, as a table for people or as JSON."""

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings

from chat.flow.replay import Figures

_TOTAL = "total"


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %"


_ROWS: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("turns", lambda one: f"{one.turns:,}"),
    ("answered", lambda one: f"{one.answered:,}"),
    ("failed", lambda one: f"{one.failed:,}"),
    ("cut off", lambda one: f"{one.cut:,}"),
    ("upstream 400s", lambda one: f"{one.refused:,}"),
    ("calls", lambda one: f"{one.calls:,}"),
    ("largest input", lambda one: f"{one.largest:,}"),
    ("window", lambda one: f"{one.window:,}"),
    ("compactions", lambda one: f"{one.compactions:,}"),
    ("trims", lambda one: f"{one.trims:,}"),
    ("rungs", lambda one: f"{one.rungs:,}"),
    ("notices", lambda one: f"{one.notices:,}"),
    ("gate rejections", lambda one: f"{one.rejections:,}"),
    ("extracts by code", lambda one: f"{one.extracts:,}"),
    ("input tokens", lambda one: f"{one.input + one.cache_read + one.cache_write:,}"),
    ("cache hit rate", lambda one: _percent(one.hit_rate)),
    ("saved by caching *", lambda one: f"{one.saved_caching:,}"),
    ("saved by compaction", lambda one: f"{one.saved_compaction:,}"),
    ("spent on summaries", lambda one: f"{one.summary_tokens:,}"),
    ("estimate error p50", lambda one: _percent(one.error_median)),
    ("estimate error p95", lambda one: _percent(one.error_p95)),
    ("seconds", lambda one: f"{one.seconds:,.1f}"),
)
_ASKED: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("questions", lambda one: f"{one.recall.questions:,}" if one.recall else ""),
    ("evidence verbatim", lambda one: _percent(one.recall.verbatim) if one.recall else ""),
    ("evidence summarised", lambda one: _percent(one.recall.summarised) if one.recall else ""),
)


def total(found: Sequence[Figures]) -> Figures:
    """All of them added up."""
    return sum(found, Figures(name=_TOTAL))


def as_json(found: Sequence[Figures], violations: Sequence[str], strategy: str) -> dict[str, Any]:
    """Plain values: one object a conversation, the total, the broken invariants."""
    return {
        "strategy": strategy,
        "standin": settings.CHAT_STANDIN,
        "conversations": [one.to_dict() for one in found],
        "total": total(found).to_dict(),
        "violations": list(violations),
    }


def _cell(index: int, text: str, width: int) -> str:
    return text.rjust(width) if index else text.ljust(width)


def as_text(found: Sequence[Figures], violations: Sequence[str], strategy: str) -> str:
    """A table, one column a conversation; then the broken invariants."""
    columns = [*found, total(found)]
    rows = [*_ROWS, *(_ASKED if columns[-1].recall else ())]
    table = [["", *(one.name for one in columns)], *([label, *map(show, columns)] for label, show in rows)]
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    lines = ["  ".join(map(_cell, range(len(row)), row, widths)) for row in table]
    upstream = "the offline stand-in, saying what was recorded" if settings.CHAT_STANDIN else "the API"
    return "\n".join(
        [
            f"Strategy {strategy}; replies from {upstream}. Tokens as the API counted them.",
            "",
            *lines,
            "",
            "* in uncached input tokens' worth",
            f"broken invariants: {len(violations)}",
            *violations,
        ]
    )
