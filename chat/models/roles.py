"""The three roles of staff: who looks, who operates, who cuts. Made by every migrate that finds one missing.

Whoever looks sees the operator's pages as well, and whoever operates acknowledges their alerts: the permissions for
that are monitoring's, known here by their names.

One that is there is left as its administrator made it. Whoever gives a role must also make its bearer staff.
"""

from typing import Any

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db import connections

from chat.models.surgery import PERMISSIONS

_LOOKED_AT = ("audit", "batch", "batchitem", "chatsession", "document", "fact", "job", "manifest", "notice", "summary")
APPS = ("chat", "monitoring")
VIEWER = frozenset(f"view_{name}" for name in (*_LOOKED_AT, "turn", "worker", "modelcall"))
# What reads or writes words, or can't be taken back.
SURGEON_ONLY = frozenset(
    {
        *("read_text", "surgery_edit_summary", "surgery_roll_back_summary", "surgery_facts", "surgery_fork"),
        *("surgery_export", "surgery_redact"),
    }
)
# Of an earlier release. Nothing ever asked for them: what they were named for is done in the shell only.
RETIRED = ("surgery_repair", "surgery_erase")
OPERATOR = VIEWER | {"handle_alert", *(name for name, _ in PERMISSIONS)} - SURGEON_ONLY
SURGEON = OPERATOR | SURGEON_ONLY
ROLES = {"viewer": VIEWER, "operator": OPERATOR, "surgeon": SURGEON}


def install(*, using: str = "default", **_kwargs: Any) -> None:
    """Make the missing roles in the database `using`, and take away what nobody asks for. A post_migrate receiver."""
    if "auth_group" not in connections[using].introspection.table_names():
        return  # migrated back to nothing
    Permission.objects.using(using).filter(content_type__app_label="chat", codename__in=RETIRED).delete()
    groups = Group.objects.using(using)
    there = set(groups.filter(name__in=ROLES).values_list("name", flat=True))
    missing = [name for name in ROLES if name not in there]
    if not missing:
        return
    # Django makes them for its own receiver's turn, which comes after this one.
    for label in APPS:
        create_permissions(apps.get_app_config(label), verbosity=0, using=using)
    known = dict(
        Permission.objects.using(using)
        .filter(content_type__app_label__in=APPS, codename__in=SURGEON)
        .values_list("codename", "pk")
    )
    made = groups.bulk_create([Group(name=name) for name in missing])
    link = Group.permissions.through
    link.objects.using(using).bulk_create(
        [link(group_id=group.pk, permission_id=known[code]) for group in made for code in ROLES[group.name]]
    )
