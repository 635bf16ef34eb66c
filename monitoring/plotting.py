"""How a chart is put together of points: rows, what is said at the end of its lines, its marks. Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from monitoring import figures
from monitoring.drawing import Column, Drawn, Rows, Value, newest, write
from monitoring.filters import DAY
from monitoring.points import Point

WORDS = {"trim": _("trims"), "recovery": _("overflow recoveries"), "surgery": _("surgery"), "utc": _("UTC")}
MARKS = {"trim": ("trim",), "recovery": ("recovery", "rung"), "surgery": ("surgery",)}


def rows_of(points: Sequence[Point], values: Callable[[Point], tuple[Value, ...]]) -> Rows:
    return tuple((point.start, values(point)) for point in points)


def drawn(code: str, title: str, say: str, rows: Rows, columns: Sequence[Column], **more: Any) -> Drawn:
    """The chart with the newest known value said at the right end of each line that has a name there."""
    named = tuple(
        Column(
            code=one.code,
            name=one.name,
            unit=one.unit,
            draw=one.draw,
            tint=one.tint,
            says=f"{one.says} {_short(newest(rows, index), one.unit)}" if one.says else "",
        )
        for index, one in enumerate(columns)
    )
    times = [start for start, _ in rows if not isinstance(start, str)]
    unit = more.pop("unit", columns[0].unit)
    return Drawn(
        code=code,
        title=title,
        say=say,
        unit=unit,
        columns=named,
        rows=rows,
        long=len(times) > 1 and times[-1] - times[0] > DAY,
        words={kind: str(words) for kind, words in WORDS.items()},
        nothing=more.pop("nothing", "") or gettext("No calls in this time. Choose a longer one, or fewer filters."),
        **more,
    )


def _short(value: Value, unit: str) -> str:
    if value is not None and unit == "share":
        return figures.percent(float(value), 0)
    return write(value, unit)


def marks(points: Sequence[Point]) -> tuple[tuple[int, str, int], ...]:
    """Trims, recoveries and surgery: (index of the point, kind, how many)."""
    return tuple(
        (index, kind, n)
        for index, point in enumerate(points)
        for kind, kinds in MARKS.items()
        if (n := point.events.of(*kinds, ok=True))
    )
