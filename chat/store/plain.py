"""Changes of single rows that every turn makes, by statements that are put together once.

Django builds the SQL of an update or an insert anew each time, which costs several times what the database does.
The shape of a statement (table, columns, conditions) is its key here; values go through their fields, as in Django's
own. No signals, no joins, conditions by equality only: for everything else there is the ORM.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.db import connection, connections, models

Row = TypeVar("Row", bound=models.Model)
Change = tuple[str, list[Any]]
NOTHING: Mapping[str, Any] = {}
Stored = tuple[type, Callable[..., Any]]

# Values of exactly these types are as these fields store them; to ask the field takes longer than to execute.
_BARE = ((models.IntegerField, int), (models.CharField | models.TextField, str), (models.BooleanField, bool))


@dataclass(frozen=True, slots=True)
class Plus:
    """What stands in the column, and so much more."""

    amount: int


class _Now:
    """The database's own clock."""


class _Made:
    """The id that the database makes for a row, in the change that comes with its insert."""


_SPECIAL = {Plus, _Now, _Made}
NOW = _Now()
MADE = _Made()

# As Django writes it for each of them, so that rows can be compared.
_CLOCKS = {"sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW')", "postgresql": "STATEMENT_TIMESTAMP()"}


def update(model: type[models.Model], where: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """`model.objects.filter(**where).update(**values)`; how many rows it changed. Names are fields (or `..._id`)."""
    return together(updating(model, where, values))[0]


def insert(
    row: models.Model,
    model: type[models.Model] | None = None,
    where: Mapping[str, Any] = NOTHING,
    values: Mapping[str, Any] = NOTHING,
) -> None:
    """Insert a new row, and give it the id that the database made, if it makes one.

    With `model`, also `update(model, where, values)` of a row that exists; a value MADE is the new id there.
    """
    own: Any = connections["default"]
    statement, parameters = inserting(row)
    if not isinstance(row._meta.pk, models.AutoField):
        own.fixed_counts([(statement, parameters)])
    elif model and own.vendor == "postgresql":
        change, more = updating(model, where, values)
        # The id gets a name that no column has.
        setting, _, conditions = change.rpartition(" WHERE ")
        both = f"WITH made(made_id) AS ({statement} RETURNING id) {setting} FROM made WHERE {conditions}"
        row.pk = own.fixed_rows(f"{both} RETURNING made_id", [*parameters, *more])[0][0]
    else:
        row.pk = own.fixed_rows(f"{statement} RETURNING {own.ops.quote_name(row._meta.pk.column)}", parameters)[0][0]
        if model:
            own_id = {name: row.pk if value is MADE else value for name, value in values.items()}
            update(model, where, own_id)
    row._state.adding = False
    row._state.db = own.alias


def together(*changes: Change) -> list[int]:
    """Make changes that don't build on each other, in one statement where the database can: how many rows each changed.

    No two may change the same row.
    """
    own: Any = connections["default"]
    return own.fixed_counts(changes)


def updating(model: type[models.Model], where: Mapping[str, Any], values: Mapping[str, Any]) -> Change:
    """What `update` executes, for `together`."""
    own = connections["default"]
    shape = tuple(
        (name, type(value) if isinstance(value, Plus | _Now | _Made) else None) for name, value in values.items()
    )
    statement, set_fields, where_fields = _update(model, tuple(where), shape, own.vendor)
    parameters = [
        value.amount if type(value) is Plus else value if type(value) is bare else prepare(value, own)
        for (bare, prepare), value in zip(set_fields, values.values(), strict=True)
        if value is not NOW and value is not MADE
    ]
    parameters += [
        value if type(value) is bare else prepare(value, own)
        for (bare, prepare), value in zip(where_fields, where.values(), strict=True)
    ]
    return statement, parameters


def inserting(row: models.Model) -> Change:
    """What `insert` executes, for `together`; for a row whose id is given."""
    own = connections["default"]
    statement, fields = _insert(type(row))
    values = [field.pre_save(row, True) for field, _, _ in fields]
    return statement, [
        value if type(value) is bare else prepare(value, own)
        for (_, bare, prepare), value in zip(fields, values, strict=True)
    ]


def known(model: type[Row], values: Mapping[str, Any]) -> Row:
    """A stored row of which these columns (by attribute) were read; any other is read when it is asked for."""
    in_order = [field.attname for field in model._meta.concrete_fields if field.attname in values]
    return model.from_db(connection.alias, in_order, [values[name] for name in in_order])


def found(model: type[Row], names: tuple[str, ...], values: Sequence[Any]) -> Row:
    """The stored row of which a fixed statement read these columns (by attribute, as `known`): values as the driver
    gives them, each made what its field makes of it."""
    own = connections["default"]
    in_order, places, converters = _reading(model, names, own.vendor)
    made = list(values)
    for place, convert, column in converters:
        made[place] = convert(made[place], column, own)
    return model.from_db(own.alias, in_order, [made[place] for place in places])


def columns(model: type[models.Model], table: str, names: tuple[str, ...]) -> str:
    """The columns of these attributes, for a SELECT from `table`."""
    return ", ".join(f"{table}.{connection.ops.quote_name(_field(model, name).column)}" for name in names)


def attributes(model: type[models.Model]) -> tuple[str, ...]:
    """The attributes of all columns of a model."""
    return tuple(field.attname for field in model._meta.concrete_fields)


@cache
def _reading(
    model: type[models.Model], names: tuple[str, ...], vendor: str
) -> tuple[list[str], list[int], list[tuple[int, Callable[..., Any], Any]]]:
    in_order = [name for name in attributes(model) if name in names]
    converters = []
    for place, name in enumerate(names):
        column = _field(model, name).get_col(model._meta.db_table)
        both = connection.ops.get_db_converters(column) + column.get_db_converters(connection)
        converters += [(place, convert, column) for convert in both]
    return in_order, [names.index(name) for name in in_order], converters


def _field(model: type[models.Model], name: str) -> models.Field:
    own = model._meta
    if name == "pk":
        return own.pk
    return next(field for field in own.concrete_fields if name in (field.name, field.attname))


def _stored(field: models.Field) -> Stored:
    """The type whose values the driver takes as they are, and what makes one of any other."""
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    return next((bare for kind, bare in _BARE if isinstance(field, kind)), _Now), field.get_db_prep_save


@cache
def _update(
    model: type[models.Model], where: tuple[str, ...], shape: tuple[tuple[str, type | None], ...], vendor: str
) -> tuple[str, list[Stored], list[Stored]]:
    quoted = connection.ops.quote_name
    set_fields = [_field(model, name) for name, _ in shape]
    changes = []
    for field, (_, kind) in zip(set_fields, shape, strict=True):
        column = quoted(field.column)
        if kind is Plus:
            changes.append(f"{column} = {column} + %s")
        else:
            changes.append(f"{column} = {_CLOCKS[vendor] if kind is _Now else 'made_id' if kind is _Made else '%s'}")
    where_fields = [_field(model, name) for name in where]
    conditions = " AND ".join(f"{quoted(field.column)} = %s" for field in where_fields)
    return (
        f"UPDATE {quoted(model._meta.db_table)} SET {', '.join(changes)} WHERE {conditions}",
        [_stored(field) for field in set_fields],
        [_stored(field) for field in where_fields],
    )


@cache
def _insert(model: type[models.Model]) -> tuple[str, list[tuple[models.Field, type, Callable[..., Any]]]]:
    quoted, own = connection.ops.quote_name, model._meta
    fields = [field for field in own.concrete_fields if not isinstance(field, models.AutoField)]
    columns = ", ".join(quoted(field.column) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    statement = f"INSERT INTO {quoted(own.db_table)} ({columns}) VALUES ({marks})"
    return statement, [(field, *_stored(field)) for field in fields]
