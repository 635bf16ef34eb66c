"""What the database keeps of surgery, whatever the code above it believes; and the roles that a migrate makes."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import IntegrityError, transaction

from chat.admin import desk, switching
from chat.models import Audit, roles
from chat.models.surgery import PERMISSIONS
from chat.surgery import registry


@pytest.mark.parametrize("work", ["change", "delete"])
def test_an_entry_of_the_audit_is_neither_changed_nor_deleted(db: None, work: str) -> None:
    entry = Audit.objects.create(operation="trim", reason="It was stuck.", actor=1)
    own = Audit.objects.filter(pk=entry.pk)
    with pytest.raises(IntegrityError), transaction.atomic():
        own.update(reason="Somebody else did it.") if work == "change" else own.delete()
    assert own.get().reason == "It was stuck."


@pytest.mark.django_db(transaction=True)
def test_the_database_as_a_whole_can_still_be_emptied_and_the_guard_is_back_then() -> None:
    Audit.objects.create(operation="trim", reason="It was stuck.", actor=1)
    call_command("flush", interactive=False, verbosity=0)
    entry = Audit.objects.create(operation="trim", reason="Again.", actor=1)
    with pytest.raises(IntegrityError):
        Audit.objects.filter(pk=entry.pk).delete()


def test_a_migrate_makes_three_roles_that_hold_one_another_and_leaves_them_as_they_are_later(db: None) -> None:
    def held(name: str) -> set[str]:
        return set(Group.objects.get(name=name).permissions.values_list("codename", flat=True))

    assert {name: held(name) for name in roles.ROLES} == roles.ROLES
    assert held("viewer") < held("operator") < held("surgeon")
    assert not {"read_text", "surgery_redact"} & held("operator")
    # Who is sent to the operator's pages at night may open them, and acknowledge what rings.
    assert ("view_modelcall" in held("viewer"), "handle_alert" in held("viewer")) == (True, False)
    assert "handle_alert" in held("operator")
    words: Any = Permission.objects.get(codename="read_text")
    Group.objects.get(name="surgeon").permissions.remove(words)
    call_command("migrate", verbosity=0)
    assert held("surgeon") == roles.ROLES["surgeon"] - {"read_text"}


def test_a_migrate_takes_away_what_an_earlier_release_gave_and_nothing_asks_for(db: None) -> None:
    kind = ContentType.objects.get_for_model(Audit)
    old = [Permission.objects.create(content_type=kind, codename=name, name=name) for name in roles.RETIRED]
    Group.objects.get(name="surgeon").permissions.add(*old)
    call_command("migrate", verbosity=0)
    assert not Permission.objects.filter(codename__in=roles.RETIRED).exists()
    assert Group.objects.get(name="surgeon").permissions.count() == len(roles.ROLES["surgeon"])


def test_every_permission_of_surgery_is_asked_for_somewhere() -> None:
    asked = {one.permission for one in registry.OPERATIONS.values()} | {switching.CHANGE, desk.READ}
    assert {f"chat.{name}" for name, _ in PERMISSIONS} == asked
