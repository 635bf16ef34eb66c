"""Rows that every call writes, by statements that are put together once.

Django builds the SQL of an insert anew each time, which costs more than the database does; the columns never change
while a process runs. Values go through the fields, as they would in `bulk_create`: no signal is sent either way.
"""

from functools import cache

from django.db import connection, models


def add(row: models.Model, *, unique: str) -> None:
    """Insert a row; one that is there already under `unique` (a field) stays as it is."""
    _insert(row, unique, replace=False)


def put(row: models.Model, *, unique: str) -> None:
    """Insert a row, or replace all fields of the one that is there under `unique` (a field)."""
    _insert(row, unique, replace=True)


def _insert(row: models.Model, unique: str, *, replace: bool) -> None:
    statement, fields = _statement(type(row), unique, replace)
    values = [field.get_db_prep_save(field.pre_save(row, True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


@cache
def _statement(model: type[models.Model], unique: str, replace: bool) -> tuple[str, list[models.Field]]:
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
    return statement, fields
