"""A chart over time as values: one structure for the picture, its table, its CSV and its sentence. Pure."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from monitoring import figures

Value = int | float | Decimal | None
Rows = tuple[tuple[datetime | str, tuple[Value, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One quantity of a chart. `code` names it in the CSV, `unit` is share, change, tokens, dollars, ms or count.

    `draw` is line, thin, dash, stack, bar, lane, or "" for what only the card and the table show; `tint` a component
    or "soft", "danger", "warn". `says` is what stands at the right end of what is drawn.
    """

    code: str
    name: str
    unit: str
    draw: str = ""
    tint: str = ""
    says: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A dashed line across a chart, with its name on it; `tint` as of a column."""

    value: float
    name: str
    tint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A chart. `quantity` stands once, above the axis; `top` is where the axis ends, None where the data say.

    `rows` are (start, or the name of a bin, values in the order of the columns). `marks` are (index of the row, kind,
    how many). `uprights` are (edge, name, tint): dashed lines before the row of that index.
    """

    code: str
    title: str
    say: str
    quantity: str
    unit: str
    columns: tuple[Column, ...]
    rows: Rows
    top: float | None = None
    limits: tuple[Limit, ...] = ()
    marks: tuple[tuple[int, str, int], ...] = ()
    uprights: tuple[tuple[int, str, str], ...] = ()
    parts: tuple[tuple[str, int, float], ...] = ()
    """(name, count, share of the whole): a list beside the chart, the largest first."""
    long: bool = False
    nothing: str = ""
    note: str = ""
    """How its figures are made, where that is no matter of course."""
    words: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> list[Column]:
        """The columns that are named beside the picture, from the top down: for pages too narrow to hold the names."""
        return [one for one in reversed(self.columns) if one.draw == "stack" or one.says]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(
            value for _, values in self.rows for value, column in zip(values, self.columns, strict=True) if column.draw
        )

    @property
    def data(self) -> str:
        """What the script draws, as JSON. Money becomes a float here, and only here."""
        return json.dumps(
            {
                "code": self.code,
                "unit": self.unit,
                "quantity": self.quantity,
                "top": self.top,
                "columns": [[one.name, one.unit, one.draw, one.tint, one.says] for one in self.columns],
                "times": [moment(start) for start, _ in self.rows],
                "long": self.long,
                "rows": [[_number(value) for value in values] for _, values in self.rows],
                "limits": [[limit.value, limit.name, limit.tint] for limit in self.limits],
                "marks": [list(mark) for mark in self.marks],
                "uprights": [list(upright) for upright in self.uprights],
                "nothing": self.nothing if self.empty else "",
                "words": self.words,
            },
            separators=(",", ":"),
        )

    @property
    def written(self) -> list[tuple[str, list[str]]]:
        """The table: times and values as people read them, the newest first."""
        rows = [
            (moment(start), [write(value, one.unit) for value, one in zip(values, self.columns, strict=True)])
            for start, values in self.rows
        ]
        return rows if self.uprights else rows[::-1]

    @property
    def header(self) -> list[str]:
        """The header of the CSV, with the unit of each column."""
        unit = {"share": "share", "change": "share", "tokens": "tokens", "dollars": "usd", "ms": "ms", "count": "n"}
        first = "bin" if self.rows and isinstance(self.rows[0][0], str) else "start_utc"
        return [first, *(f"{column.code}_{unit[column.unit]}" for column in self.columns)]

    @property
    def lines(self) -> list[list[Any]]:
        """The lines of the CSV, oldest first: plain numbers, nothing where nothing is known."""
        return [
            [iso(start), *("" if value is None else _number(value) for value in values)] for start, values in self.rows
        ]


def moment(at: datetime | str) -> str:
    """A time in a table: Sun 22 Nov 10:41. A bin is called by its name."""
    if isinstance(at, str):
        return at
    given = at.astimezone(UTC)
    return f"{given:%a} {given.day} {given:%b %H:%M}"


def iso(at: datetime | str) -> str:
    """A time in a CSV, in UTC."""
    return at if isinstance(at, str) else f"{at.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def write(value: Value, unit: str) -> str:
    """A value with its unit, as everywhere on the pages."""
    if value is None:
        return figures.NONE
    match unit:
        case "share":
            return figures.percent(float(value))
        case "change":
            return figures.change(float(value))
        case "tokens":
            return figures.tokens(float(value))
        case "dollars":
            return figures.dollars(value)
        case "ms":
            return figures.seconds(round(value))
        case _:
            return figures.whole(round(value))


def _number(value: Value) -> float | int | None:
    if isinstance(value, Decimal):
        return round(float(value), 6)
    return round(value, 5) if isinstance(value, float) else value


def newest(rows: Rows, column: int) -> Value:
    """The last known value of a column, or None."""
    return next((values[column] for _, values in reversed(rows) if values[column] is not None), None)
