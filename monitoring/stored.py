"""Rollups written by one prepared statement: what builds each row as a model takes longer than adding it up did."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from django.db import connection

from monitoring import folding
from monitoring.folding import Figures
from monitoring.models import Rollup

KEYS = ("size", "start", "user", "model", "purpose", "strategy")
MONEY = ("cost", "saved", "spared_cost", "rewrite_cost")
DECIMALS = tuple(name for name in folding.COLUMNS if name in MONEY)
OPEN = (*folding.HISTOGRAMS, *folding.COUNTS)
PLAIN = tuple(name for name in folding.COLUMNS if name not in (*DECIMALS, *OPEN))
# Rows that are sent at once: bounds what waits in memory.
BATCH = 1_000

Row = tuple[datetime, int, str, str, str]


def insert(size: str, rows: Mapping[Row, Figures]) -> None:
    """Insert rows of one size, by (start, user, model, purpose, strategy), within the caller's transaction."""
    waiting = list(rows.items())
    with connection.cursor() as cursor:
        for first in range(0, len(waiting), BATCH):
            batch = waiting[first : first + BATCH]
            if connection.vendor == "postgresql":
                # One value for a thousand rows: the driver would take longer for each of forty thousand than the
                # database does.
                cursor.execute(_at_once(), [json.dumps(list(_objects(size, batch)))])
            else:
                cursor.executemany(_statement(), list(_values(size, batch)))


def _objects(size: str, rows: Iterable[tuple[Row, Figures]]) -> Iterator[dict[str, Any]]:
    for (at, *keys), figures in rows:
        made = dict(zip(KEYS, (size, at.isoformat(), *keys), strict=True))
        for name in (*PLAIN, *OPEN):
            made[name] = getattr(figures, name)
        for name in DECIMALS:
            made[name] = str(getattr(figures, name))
        yield made


def _values(size: str, rows: Iterable[tuple[Row, Figures]]) -> Iterator[list[Any]]:
    moment, amount = connection.ops.adapt_datetimefield_value, connection.ops.adapt_decimalfield_value
    for (at, *keys), figures in rows:
        yield [
            size,
            moment(at),
            *keys,
            *[getattr(figures, name) for name in PLAIN],
            *[amount(getattr(figures, name), *_fields()[name]) for name in DECIMALS],
            *[json.dumps(getattr(figures, name)) for name in OPEN],
        ]


@cache
def _fields() -> dict[str, tuple[int | None, int | None]]:
    found = {}
    for name in DECIMALS:
        field = Rollup._meta.get_field(name)
        found[name] = getattr(field, "max_digits", None), getattr(field, "decimal_places", None)
    return found


def _columns() -> str:
    return ", ".join(map(connection.ops.quote_name, (*KEYS, *PLAIN, *DECIMALS, *OPEN)))


@cache
def _statement() -> str:
    values = ", ".join(["%s"] * (len(KEYS) + len(folding.COLUMNS)))
    return f"INSERT INTO {connection.ops.quote_name(Rollup._meta.db_table)} ({_columns()}) VALUES ({values})"


@cache
def _at_once() -> str:
    table = connection.ops.quote_name(Rollup._meta.db_table)
    return f"INSERT INTO {table} ({_columns()}) SELECT {_columns()} FROM json_populate_recordset(NULL::{table}, %s)"
