"""The ladder: in which order a request gives way until it fits, by our estimate or by the API's word.

One table serves both. Before sending, assembly climbs down while its own count is over the limit; after a
"prompt is too long", the flow asks for the next rung, which must make a strictly smaller request. The last rungs
need no model. Nothing here deletes a turn: what gives way is omitted, and the manifest and a notice say so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How much of a request has given way. The default is: nothing.

    `history` is the share of what they may hold that the newest turns keep (None: all from the window's start);
    `clamp` cuts single items over a quarter of the window; `pins` leaves out pinned turns before the newest ones;
    `alone` leaves the system prompt and the current message.
    """

    rung: str = ""
    recall: bool = False
    documents: bool = False
    history: float | None = None
    stub_tools: bool = False
    clamp: bool = False
    summaries: bool = False
    pins: bool = False
    alone: bool = False
    clamp_current: bool = False


@dataclass(frozen=True, slots=True)
class Rung:
    """One step down: its name, the component that gives way, and what it does to a cut."""

    name: str
    component: str
    step: Callable[[Cut], Cut]


LADDER: tuple[Rung, ...] = (
    Rung("recall", "recall", lambda cut: replace(cut, recall=True)),
    Rung("documents", "documents", lambda cut: replace(cut, documents=True)),
    Rung("half", "history", lambda cut: replace(cut, history=0.50)),
    Rung("quarter", "history", lambda cut: replace(cut, history=0.25)),
    Rung("tool_results", "tool_results", lambda cut: replace(cut, stub_tools=True)),
    Rung("clamp", "history", lambda cut: replace(cut, clamp=True)),
    Rung("summaries", "summaries", lambda cut: replace(cut, summaries=True)),
    Rung("pins", "pins", lambda cut: replace(cut, pins=True)),
    Rung("alone", "facts", lambda cut: replace(cut, alone=True)),
    Rung("clamp_current", "current", lambda cut: replace(cut, clamp_current=True)),
)


def below(cut: Cut) -> Iterator[Cut]:
    """Every cut below `cut`, in order; each holds all that the ones before it gave."""
    names = [rung.name for rung in LADDER]
    start = names.index(cut.rung) + 1 if cut.rung else 0
    current = cut
    for rung in LADDER[start:]:
        current = replace(rung.step(current), rung=rung.name)
        yield current


def at(rung: str) -> Cut:
    """The cut that the rung of this name stands for; '' is the top of the ladder. Raises KeyError for no rung."""
    if not rung:
        return Cut()
    for cut in below(Cut()):
        if cut.rung == rung:
            return cut
    raise KeyError(rung)
