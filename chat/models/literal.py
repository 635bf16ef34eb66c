"""Conditions whose values stand in the SQL itself.

SQLite uses a partial index only where the query repeats its condition: values that are bound later could be any, and
so it reads the whole table.
"""

from django.db.models import BooleanField, F, Func


def one_of(column: str, *values: str) -> Func:
    """`column IN (values)`, in the order of the index's own condition. Values are constants of ours, never input."""
    written = ", ".join(f"'{value}'" for value in values)
    return Func(F(column), template=f"%(expressions)s IN ({written})", output_field=BooleanField())
