"""What the chart of a session is drawn from: one structure for the picture, its table and its sentence."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from monitoring import figures, series

# The words that people read; a component without one is called by its code.
NAMES = {
    "system": _("system"),
    "documents": _("documents"),
    "facts": _("facts"),
    "summaries": _("summaries"),
    "recall": _("recalled"),
    "history": _("history"),
    "tool_results": _("tool results"),
    "current": _("this message"),
    "input": _("input"),
}
# Before there is anything to compare, the axis is this long: a first call is not a bar as wide as the page.
LEAST_TURNS = 30


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the stack: its code (a colour hangs on it), its word, and what it holds at the newest turn."""

    code: str
    name: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One turn: its call and the parts that its input is made of, in tokens, in the order of the components."""

    sample: series.Sample
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """The chart. `components` from the bottom up; `data` is what the script draws, as JSON."""

    headline: str
    bars: tuple[Bar, ...]
    components: tuple[Component, ...]
    marks: tuple[series.Mark, ...]
    counts: dict[str, int]
    data: str

    @property
    def from_top(self) -> tuple[Component, ...]:
        """The components in the order in which they are named beside the chart."""
        return self.components[::-1]


def draw(turns: Sequence[series.Sample], marks: Sequence[series.Mark], first: int, last: int) -> Chart:
    """The chart of turns `first` to `last`. `turns` as series.by_turn gives them, `marks` in any order."""
    counted = [sample for sample in turns if sample.size and sample.utilisation is not None]
    stacks = [series.stack(sample.components, sample.size) or {"input": sample.size} for sample in counted]
    codes = list(dict.fromkeys(code for code in (*series.COMPONENTS, "input") if any(code in each for each in stacks)))
    codes += sorted({code for each in stacks for code in each} - set(codes))
    bars = tuple(
        Bar(sample, tuple(parts.get(code, 0) for code in codes)) for sample, parts in zip(counted, stacks, strict=True)
    )
    newest = stacks[-1] if stacks else {}
    components = tuple(Component(code, name_of(code), newest.get(code, 0)) for code in codes)
    lane = tuple(series.lane(marks))
    counts: dict[str, int] = {}
    for mark in lane:
        counts[mark.kind] = counts.get(mark.kind, 0) + 1
    return Chart(
        headline=series.headline(turns, lane, gettext),
        bars=bars,
        components=components,
        marks=lane,
        counts=counts,
        data=json.dumps(
            _data(bars, components, lane, first, last) | {"nothing": _nothing(turns)}, separators=(",", ":")
        ),
    )


def name_of(code: str) -> str:
    """The word for a component."""
    return str(NAMES.get(code, code.replace("_", " ")))


def _nothing(turns: Sequence[series.Sample]) -> str:
    if any(sample.size for sample in turns):
        return gettext("The window of this model is not known, so there is no share of it to draw.")
    return gettext("No calls yet. The chart begins with the first reply.")


def _data(
    bars: Sequence[Bar], components: Sequence[Component], lane: Sequence[series.Mark], first: int, last: int
) -> dict[str, Any]:
    newest = bars[-1].sample if bars else None
    return {
        "first": first,
        "last": max(last, first + LEAST_TURNS - 1, *(mark.number or 0 for mark in lane)),
        "newest": last,
        "window": figures.window(newest.window) if newest else "",
        "watch": series.WATCH,
        "alert": series.ALERT,
        "components": [[part.code, part.name, figures.tokens(part.tokens)] for part in components],
        # number, time, window, size, output, read from cache, compacts at, reserve, then the parts: all in tokens
        "bars": [
            [
                bar.sample.number,
                f"{bar.sample.at.astimezone(UTC):%H:%M}",
                bar.sample.window,
                bar.sample.size,
                bar.sample.output,
                bar.sample.cache_read,
                bar.sample.compacts_at,
                bar.sample.reserve,
                *bar.parts,
            ]
            for bar in bars
        ],
        "marks": [[mark.number, mark.kind, mark.tokens_before, mark.tokens_after] for mark in lane],
        "words": {
            "turn": gettext("turn"),
            "quantity": gettext("of the {window} window"),
            "watch": gettext("70 % alert"),
            "alert": gettext("80 % alert"),
            "compacts": gettext("compacts"),
            "reserve": gettext("kept free"),
            "size": gettext("input, from the API"),
            "output": gettext("reply"),
            "cached": gettext("from cache"),
            "compaction": gettext("compaction"),
            "trim": gettext("trim"),
            "recovery": gettext("recovery"),
            "surgery": gettext("surgery"),
        },
    }
