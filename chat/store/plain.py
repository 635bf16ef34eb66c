"""Changes of single rows that every turn makes, by statements that are put together once.

Django builds the SQL of an update or an insert anew each time, which costs several times what the database does.
The shape of a statement (table, columns, conditions) is its key here; values go through their fields, as in Django's
own. No signals, no joins, conditions by equality only: for everything else there is the ORM.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.db import connection, models

Row = TypeVar("Row", bound=models.Model)


@dataclass(frozen=True, slots=True)
class Plus:
    """What stands in the column, and so much more."""

    amount: int


class _Now:
    """The database's own clock."""


NOW = _Now()

# As Django writes it for each of them, so that rows can be compared.
_CLOCKS = {"sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')", "postgresql": "STATEMENT_TIMESTAMP()"}


def update(model: type[models.Model], where: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """`model.objects.filter(**where).update(**values)`; how many rows it changed. Names are fields (or `..._id`)."""
    shape = tuple((name, type(value) if isinstance(value, Plus | _Now) else None) for name, value in values.items())
    statement, set_fields, where_fields = _update(model, tuple(where), shape, connection.vendor)
    parameters = [
        value.amount if isinstance(value, Plus) else field.get_db_prep_save(value, connection)
        for field, value in zip(set_fields, values.values(), strict=True)
        if value is not NOW
    ]
    parameters += [
        field.get_db_prep_value(value, connection) for field, value in zip(where_fields, where.values(), strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def insert(row: models.Model) -> None:
    """Insert a new row, and give it the id that the database made, if it makes one."""
    statement, fields, made = _insert(type(row))
    values = [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        if made:
            row.pk = cursor.fetchone()[0]
    row._state.adding = False
    row._state.db = connection.alias


def known(model: type[Row], values: Mapping[str, Any]) -> Row:
    """A stored row of which these columns (by attribute) were read; any other is read when it is asked for."""
    in_order = [field.attname for field in model._meta.concrete_fields if field.attname in values]
    return model.from_db(connection.alias, in_order, [values[name] for name in in_order])


def _field(model: type[models.Model], name: str) -> models.Field:
    own = model._meta
    if name == "pk":
        return own.pk
    return next(field for field in own.concrete_fields if name in (field.name, field.attname))


@cache
def _update(
    model: type[models.Model], where: tuple[str, ...], shape: tuple[tuple[str, type | None], ...], vendor: str
) -> tuple[str, list[models.Field], list[models.Field]]:
    quoted = connection.ops.quote_name
    set_fields = [_field(model, name) for name, _ in shape]
    changes = []
    for field, (_, kind) in zip(set_fields, shape, strict=True):
        column = quoted(field.column)
        value = _CLOCKS[vendor] if kind is _Now else f"{column} + %s" if kind is Plus else "%s"
        changes.append(f"{column} = {value}")
    where_fields = [_field(model, name) for name in where]
    conditions = " AND ".join(f"{quoted(field.column)} = %s" for field in where_fields)
    return (
        f"UPDATE {quoted(model._meta.db_table)} SET {', '.join(changes)} WHERE {conditions}",
        set_fields,
        where_fields,
    )


@cache
def _insert(model: type[models.Model]) -> tuple[str, list[models.Field], bool]:
    quoted, own = connection.ops.quote_name, model._meta
    made = isinstance(own.pk, models.AutoField)
    fields = [field for field in own.concrete_fields if not isinstance(field, models.AutoField)]
    columns = ", ".join(quoted(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    returning = f" RETURNING {quoted(own.pk.column)}" if made else ""
    return f"INSERT INTO {quoted(own.db_table)} ({columns}) VALUES ({marks}){returning}", fields, made
