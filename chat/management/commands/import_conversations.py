"""Take conversations in from a file that another product, or this one, gave out."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from chat.models import ChatSession
from chat.store.portable import reading, storing
from chat.store.portable.values import Broken, Conversation, Unreadable


class Command(BaseCommand):
    """Each conversation is kept whole or not at all; one that is broken does not stop the others.

    A conversation that this user imported before is left alone, unless --again asks for a copy. The exit code is 1
    when anything could not be imported.
    """

    requires_migrations_checks = True
    help = "Import conversations (formats: chatgpt, claude, locomo, ours)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file, whose it becomes, and how it goes on."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--user", default="", help="name of the owner, else the administrator")
        parser.add_argument("--format", choices=list(reading.FORMATS), default="", help="else found out")
        parser.add_argument("--model", default="", help="model that the conversations go on with")
        parser.add_argument("--strategy", choices=ChatSession.Strategy.values, default="")
        parser.add_argument("--again", action="store_true", help="import a second copy of what is there already")

    def handle(self, *args: Any, **options: Any) -> None:
        """Import the file's conversations in order and say what became of each."""
        owner = self._owner(options["user"])
        values = {name: options[name] for name in ("model", "strategy") if options[name]}
        counts = {"imported": 0, "there already": 0, "empty": 0, "failed": 0}
        try:
            for read in reading.read(options["file"], name=options["format"]):
                counts[self._take(owner, read, values, again=options["again"])] += 1
        except Unreadable as error:
            self.stderr.write(f"failed    {error}")
            counts["failed"] += 1
        self.stdout.write(", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing found")
        if counts["failed"]:
            raise CommandError("Not everything could be imported.")

    def _owner(self, name: str) -> Any:
        """Who was named, else the administrator that `prepare_site` makes, else the first there is."""
        people = get_user_model().objects
        if name:
            if (owner := people.filter(username=name).first()) is None:
                raise CommandError(f"There is no user named {name}.")
            return owner
        chief = people.filter(is_superuser=True).order_by("pk")
        if (owner := chief.filter(username=settings.SUPERUSER_USERNAME).first() or chief.first()) is None:
            raise CommandError("There is no administrator yet: --user says whose the conversations become.")
        self.stdout.write(f"for       {owner.get_username()} (--user names another)")
        return owner

    def _take(self, owner: Any, read: Conversation | Broken, values: dict[str, str], *, again: bool) -> str:
        if isinstance(read, Broken):
            self.stderr.write(f"failed    {read}")
            return "failed"
        if not read.turns:
            self.stdout.write(f"empty     {read.place}")
            return "empty"
        before = None if again else storing.stored(owner, read)
        if before:
            self.stdout.write(f"there     {before.pk}  {before.title}")
            return "there already"
        try:
            session = storing.store(owner, read, **values)
        except Broken as error:
            self.stderr.write(f"failed    {error}")
            return "failed"
        siblings = session.turns_total - session.turns_active
        beside = f" and {siblings:,} beside them" if siblings else ""
        self.stdout.write(f"imported  {session.pk}  {session.turns_active:,} turns{beside}  {session.title}")
        return "imported"
