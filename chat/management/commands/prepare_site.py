"""Bring a checkout up to serving: tables, static files, an administrator, something to look at."""

import secrets
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand

DEMO = "demo_session"


class Command(BaseCommand):
    """What `make run` does before it serves. Safe to repeat: the second time changes nothing."""

    help = __doc__
    # They import every view, and with them the SDK: seconds, which the server that starts next spends anyway.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate, collect, and see to the administrator; each step says nothing unless it did something."""
        call_command("migrate", verbosity=0, interactive=False)
        call_command("collectstatic", verbosity=0, interactive=False)
        administrator = self.see_to_administrator()
        if DEMO in get_commands():
            call_command(DEMO, user=administrator)

    def see_to_administrator(self) -> str:
        """Make the first administrator and print the password, once. Returns the name of an administrator.

        A password in DJANGO_SUPERUSER_PASSWORD holds at every start; a generated one is never shown again.
        """
        people = get_user_model().objects
        name, given = settings.SUPERUSER_USERNAME, settings.SUPERUSER_PASSWORD
        user = people.filter(username=name).first()
        if user is None:
            if not given and not settings.SUPERUSER_NAMED and (other := people.filter(is_superuser=True).first()):
                return other.get_username()
            password = given or secrets.token_urlsafe(12)
            people.create_superuser(name, password=password)
            once = "" if given else "  (shown this once)"
            self.stdout.write(f"Administrator: {name}\nPassword:      {password}{once}")
        elif given and not user.check_password(given):
            user.set_password(given)
            user.save(update_fields=["password"])
            self.stdout.write(f"Administrator: {name} (password set from DJANGO_SUPERUSER_PASSWORD)")
        return name
