"""The ribbon of "What the model sees": one cell a turn, whose shape says how it reached the model.

Thin is a summary, full height is word for word. Of a long conversation it shows runs of turns instead of cells.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.context.values import Run

MOST_CELLS = 160
HEIGHT = 20
"""Of the drawing, in pixels."""

# Height of a cell and its colour, by how turns reached the model.
_SHAPES = {
    "summarised": (5, "c-summaries"),
    "verbatim": (20, "c-history"),
    "clamped": (12, "c-history"),
    "recalled": (20, "c-recall"),
    "excluded": (4, "c-reserve"),
    "omitted": (4, "c-reserve"),
}
_LEAST = 0.4
"""Width of the narrowest run, in per cent."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One turn, or one run of them. Places and widths are per cents as text, heights pixels."""

    name: str
    x: str
    width: str
    y: int
    height: int
    title: str


@dataclass(frozen=True, slots=True)
class Key:
    """A line of the legend: so many turns reached the model like this."""

    name: str
    y: int
    height: int
    text: str


@dataclass(frozen=True, slots=True)
class Ribbon:
    """What the template draws. `single`: a cell is one turn. `marks` are numbers of turns with a place; `label` says
    all of it in words."""

    single: bool
    cells: list[Cell]
    keys: list[Key]
    marks: list[tuple[str, str, str]]
    label: str
    caption: str
    detail: str


def ribbon(runs: Sequence[Run]) -> Ribbon:
    """Draw the runs of a manifest, which tile all turns up to its own."""
    number = runs[-1].last
    single = number <= MOST_CELLS
    spans = [(run, at, at) for run in runs for at in range(run.first, run.last + 1)] if single else [
        (run, run.first, run.last) for run in runs
    ]  # fmt: skip
    out = sum(run.last - run.first + 1 for run in runs if run.how in ("omitted", "excluded"))
    return Ribbon(
        single=single,
        cells=[_cell(run, first, last, number) for run, first, last in spans],
        keys=_keys(runs),
        marks=_marks(runs, number),
        label="; ".join(f"{_turns(run.first, run.last)} {_how(run)}" for run in _merged(runs)),
        caption=ngettext("%(n)s of %(n)s turn", "%(n)s of %(n)s turns", number) % {"n": _digits(number)},
        detail=_("accounted for, none left out")
        if not out
        else ngettext("accounted for, %(n)s left out", "accounted for, %(n)s left out", out) % {"n": _digits(out)},
    )


def _cell(run: Run, first: int, last: int, number: int) -> Cell:
    height, name = _SHAPES[run.how]
    width = max(_LEAST, (last - first + 1) * 100 / number)
    start = min(100 - width, (first - 1) * 100 / number)
    title = f"{_turns(first, last)} {_how(run)}"
    return Cell(name, f"{start:.3f}%", f"{width:.3f}%", HEIGHT - height, height, title[:1].upper() + title[1:])


def _keys(runs: Iterable[Run]) -> list[Key]:
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.how] = counts.get(run.how, 0) + run.last - run.first + 1
    return [
        Key(_SHAPES[how][1], HEIGHT - _SHAPES[how][0], _SHAPES[how][0], _counted(how, counts[how]))
        for how in _SHAPES
        if how in counts
    ]


def _counted(how: str, count: int) -> str:
    said = {
        "summarised": ngettext("%(n)s turn as summary", "%(n)s turns as summary", count),
        "verbatim": ngettext("%(n)s turn word for word", "%(n)s turns word for word", count),
        "clamped": ngettext("%(n)s turn shortened", "%(n)s turns shortened", count),
        "recalled": ngettext("%(n)s turn put back word for word", "%(n)s turns put back word for word", count),
        "excluded": ngettext("%(n)s turn excluded", "%(n)s turns excluded", count),
        "omitted": ngettext("%(n)s turn left out", "%(n)s turns left out", count),
    }
    return said[how] % {"n": _digits(count)}


def _digits(count: int) -> str:
    return number_format(count, force_grouping=True)


def _how(run: Run) -> str:
    return {
        "summarised": _("as summary"),
        "verbatim": _("word for word"),
        "clamped": _("shortened"),
        "recalled": _("put back word for word"),
        "excluded": _("excluded"),
        "omitted": _("left out"),
    }[run.how]


def _turns(first: int, last: int) -> str:
    if first == last:
        return _("turn %(first)s") % {"first": _digits(first)}
    return _("turns %(first)s–%(last)s") % {"first": _digits(first), "last": _digits(last)}


def _merged(runs: Sequence[Run]) -> list[Run]:
    """Runs that look alike, whoever made their summaries."""
    out: list[Run] = []
    for run in runs:
        if out and out[-1].how == run.how:
            out[-1] = Run(out[-1].first, run.last, run.how)
        else:
            out.append(Run(run.first, run.last, run.how))
    return out


def _marks(runs: Sequence[Run], number: int) -> list[tuple[str, str, str]]:
    """Numbers under the ribbon: where the way changes, as far as they don't stand in each other's way, and both ends.

    As (place, anchor, number).
    """
    out = [("0%", "start", "1")]
    last = 0.0
    for run in _merged(runs)[1:]:
        place = (run.first - 1) * 100 / number
        if place - last >= 6 and place <= 92:
            out.append((f"{place:.3f}%", "start", _digits(run.first)))
            last = place
    if number > 1:
        out.append(("100%", "end", _digits(number)))
    return out
