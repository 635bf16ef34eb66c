"""The law of migrations: the release before a migration runs on the schema after it, so that a deploy can roll.

What a migration after the first may do is read from its operations; that it is enough is tried out, with the models of
each earlier state on the schema of the last one.
"""

import datetime
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

APPS = ("chat", "monitoring")


def later_migrations() -> list[Any]:
    """Every migration of ours after the first of its app."""
    loader = MigrationLoader(None)
    return [one for (app, name), one in sorted(loader.disk_migrations.items()) if app in APPS and name[:4] != "0001"]


def breaches(operations: list[Any]) -> list[str]:
    """What the release before can't live with, in a migration's operations."""
    found = []
    made = {operation.name_lower for operation in operations if isinstance(operation, migrations.CreateModel)}
    for operation in operations:
        if isinstance(operation, migrations.AddField):
            field = operation.field
            if operation.model_name_lower in made or field.null or field.has_db_default():
                continue
            found.append(f"{operation.model_name}.{operation.name} is neither nullable nor has it a db_default")
        elif isinstance(operation, migrations.AlterField):
            found += [f"{operation.model_name}.{operation.name} is altered"] if _stricter(operation.field) else []
        elif isinstance(operation, migrations.AddConstraint):
            if operation.model_name_lower not in made:
                found.append(f"a constraint on {operation.model_name} that rows of the release before may break")
        elif not isinstance(
            operation,
            migrations.CreateModel
            | migrations.AddIndex
            | migrations.RemoveIndex
            | migrations.RemoveConstraint
            | migrations.AlterModelOptions
            | migrations.AlterModelManagers,
        ):
            found.append(type(operation).__name__)
    return found


def _stricter(field: models.Field) -> bool:
    """Whether a new definition takes less than the old one may write. Choices are no part of the schema."""
    return not field.choices


@pytest.mark.parametrize("migration", later_migrations(), ids=lambda one: f"{one.app_label}.{one.name}")
def test_a_migration_only_adds(migration: Any) -> None:
    assert breaches(migration.operations) == []


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("turn", "colour", models.CharField(max_length=5, default="red")),
        migrations.RemoveField("turn", "reply"),
        migrations.RenameField("turn", "reply", "answer"),
        migrations.RenameModel("turn", "exchange"),
        migrations.DeleteModel("turn"),
        migrations.AlterField("turn", "reply", models.CharField(max_length=5)),
        migrations.AddConstraint("turn", models.UniqueConstraint(fields=["prompt"], name="x")),
        migrations.RunPython(migrations.RunPython.noop),
        migrations.RunSQL("DROP TABLE chat_turn"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_the_law_sees_a_breach(operation: Any) -> None:
    assert breaches([operation])


def earlier_states() -> list[tuple[str, dict[str, str]]]:
    """Before each later migration: what was the newest migration of each app then."""
    return [(f"{one.app_label}.{one.name}", {one.app_label: _before(one)}) for one in later_migrations()]


def _before(migration: Any) -> str:
    return next(name for app, name in migration.dependencies if app == migration.app_label)


@pytest.fixture
def whole_schema(transactional_db: None) -> Iterator[None]:
    """The newest schema, also after a test that went back."""
    yield
    call_command("migrate", verbosity=0, interactive=False)


@pytest.mark.parametrize("state", earlier_states(), ids=lambda one: one[0])
def test_the_release_before_writes_and_reads_on_the_schema_after(state: Any, transactional_db: None) -> None:
    ((app, name),) = state[1].items()
    old = MigrationExecutor(connection).loader.project_state([(app, name)]).apps
    made: dict[str, Any] = {}
    if "auth" in old.app_configs:
        made["user"] = old.get_model("auth", "User").objects.create(username="from before", password="!")
    waiting = list(old.get_app_config(app).get_models())
    while waiting:
        model = waiting.pop(0)
        if _needs(model) <= made.keys():
            made[model._meta.model_name] = model.objects.create(**_values(model, made))
        else:
            waiting.append(model)
    # What is written once and for all, and what it points to, is only read.
    kept = {"audit", "batch"} if "audit" in made else set()
    for row in (row for name, row in made.items() if name not in kept):
        again = type(row).objects.get(pk=row.pk)
        again.save(force_update=True)
        field = _field(type(row))
        assert type(row).objects.filter(pk=row.pk).update(**{field.name: _value(field)}) == 1
    for row in (row for name, row in reversed(made.items()) if name not in kept):
        type(row).objects.filter(pk=row.pk).delete()


def _needs(model: Any) -> set[str]:
    """The models whose rows must be there first."""
    fields = model._meta.concrete_fields
    return {field.related_model._meta.model_name for field in fields if field.is_relation and not field.null}


def _field(model: Any) -> models.Field:
    return next(
        field
        for field in reversed(model._meta.concrete_fields)
        if not field.is_relation and not field.primary_key and not field.unique
    )


def _values(model: Any, made: dict[str, Any]) -> dict[str, Any]:
    """A value for each column that must have one."""
    values: dict[str, Any] = {}
    for field in model._meta.concrete_fields:
        if field.has_default() or field.null or field.has_db_default():
            continue
        if isinstance(field, models.AutoField):
            continue
        if field.is_relation:
            values[field.name] = made[field.related_model._meta.model_name]
        elif not field.blank or field.primary_key:
            values[field.name] = _value(field)
    return values


def _value(field: models.Field) -> Any:
    if field.choices:
        return field.choices[0][0]
    for kind, value in (
        (models.UUIDField, uuid.uuid4()),
        (models.DateTimeField, timezone.now()),
        (models.DateField, datetime.date(2026, 1, 1)),
        (models.JSONField, []),
        (models.BooleanField, True),
        (models.DecimalField, 1),
        (models.FloatField, 1.0),
        (models.IntegerField, 1),
        (models.BinaryField, b"x"),
    ):
        if isinstance(field, kind):
            return value
    return "x"


@pytest.mark.parametrize("state", earlier_states(), ids=lambda one: one[0])
def test_a_copy_of_the_release_before_is_brought_up_to_this_one(
    state: Any, whole_schema: None, tmp_path: Path, django_user_model: Any
) -> None:
    ((app, name),) = state[1].items()
    django_user_model.objects.create_user("alice")
    call_command("migrate", app, name, verbosity=0, interactive=False)
    call_command("backup", str(tmp_path / "copy"), verbosity=0)
    call_command("migrate", verbosity=0, interactive=False)
    call_command("restore", str(tmp_path / "copy"), replace=True, verbosity=0)
    executor = MigrationExecutor(connection)
    assert executor.migration_plan(executor.loader.graph.leaf_nodes()) == []
    assert django_user_model.objects.filter(username="alice").exists()
