"""Rows that every call writes, by statements that are put together once.

Django builds the SQL of an insert anew each time, which costs more than the database does; the columns never change
while a process runs. Values go through the fields, as they would in `bulk_create`: no signal is sent either way.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import connection, connections, models

Row = TypeVar("Row", bound=models.Model)
Change = tuple[str, list[Any]]

# Values of exactly these types are as these fields store them; to ask the field takes longer than to execute.
_BARE = ((models.IntegerField, int), (models.CharField | models.TextField, str), (models.BooleanField, bool))


def adding(row: models.Model, *, unique: str) -> Change:
    """The insert of a row; one that is there already under `unique` (a field) stays as it is."""
    return _insert(row, unique, replace=False)


def putting(row: models.Model, *, unique: str) -> Change:
    """The insert of a row, or the change of all fields of the one that is there under `unique` (a field)."""
    return _insert(row, unique, replace=True)


def write(*changes: Change) -> None:
    """Execute changes that don't build on each other, in one statement where the database can."""
    own: Any = connections["default"]
    own.fixed_counts(changes)


def read(model: type[Row], statement: str, parameters: Sequence[Any]) -> tuple[Any, Row | None]:
    """The first column of the one row that a statement finds, and the row of `model` that stands behind it, if one
    does: all its columns in their order."""
    own: Any = connections["default"]
    (first, *values), *_ = own.fixed_rows(statement, parameters)
    if values[0] is None:
        return first, None
    names, converters = _reading(model, own.vendor)
    for place, convert, column in converters:
        values[place] = convert(values[place], column, own)
    return first, model.from_db(own.alias, names, values)


@cache
def _reading(model: type[models.Model], vendor: str) -> tuple[list[str], list[tuple[int, Any, Any]]]:
    fields = model._meta.concrete_fields
    converters = []
    for place, field in enumerate(fields):
        column = field.get_col(model._meta.db_table)
        both = connection.ops.get_db_converters(column) + column.get_db_converters(connection)
        converters += [(place, convert, column) for convert in both]
    return [field.attname for field in fields], converters


def _insert(row: models.Model, unique: str, *, replace: bool) -> Change:
    own = connections["default"]
    statement, fields = _statement(type(row), unique, replace)
    values = [field.pre_save(row, True) for field, _ in fields]
    return statement, [
        value if type(value) is bare else field.get_db_prep_save(value, own)
        for (field, bare), value in zip(fields, values, strict=True)
    ]


@cache
def _statement(model: type[models.Model], unique: str, replace: bool) -> tuple[str, list[tuple[models.Field, Any]]]:
    own, quoted = model._meta, connection.ops.quote_name
    # A number that the database makes is left to it.
    fields = [field for field in own.concrete_fields if not isinstance(field, models.AutoField)]
    columns = [quoted(field.column) for field in fields]
    key = quoted(own.get_field(unique).column)
    changes = ", ".join(f"{column} = EXCLUDED.{column}" for column in columns if column != key)
    statement = (
        f"INSERT INTO {quoted(own.db_table)} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) "
        f"ON CONFLICT ({key}) DO {f'UPDATE SET {changes}' if replace else 'NOTHING'}"
    )
    bare = [next((bare for kind, bare in _BARE if isinstance(field, kind)), None) for field in fields]
    return statement, list(zip(fields, bare, strict=True))
