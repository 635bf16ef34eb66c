"""Conditions and expressions whose values stand in the SQL itself.

SQLite uses a partial index, or one of an expression, only where the query repeats it: values that are bound later could
be any, and so it reads the whole table.
"""

from django.db.models import BooleanField, CharField, F, Func

BEGINNING = 40
"""Characters of a text that an index of its `beginning` holds: an index of whole texts has no room for long ones."""


def one_of(column: str, *values: str) -> Func:
    """`column IN (values)`, in the order of the index's own condition. Values are constants of ours, never input."""
    written = ", ".join(f"'{value}'" for value in values)
    return Func(F(column), template=f"%(expressions)s IN ({written})", output_field=BooleanField())


def beginning(column: str) -> Func:
    """The first BEGINNING characters of a text."""
    return Func(F(column), template=f"SUBSTR(%(expressions)s, 1, {BEGINNING})", output_field=CharField())
