"""Give a conversation out, to be read by people or by import_conversations."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from chat.models import ChatSession
from chat.store.portable import dumping, markdown
from chat.surgery import auditing
from chat.surgery.values import Refused


class Command(BaseCommand):
    """Writes to standard output, with summaries, notices, facts and usage.

    Before the first word comes an entry in the audit, every time: the words of a user leave the site.
    """

    help = "Export one conversation as JSON (all branches) or Markdown (what is shown)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which conversation, in which form, and why."""
        parser.add_argument("id", type=UUID)
        parser.add_argument("--format", choices=("json", "markdown"), default="json")
        parser.add_argument("--reason", default=auditing.FROM_SHELL, help="stays in the audit")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it down, then write the export."""
        found = ChatSession.objects.filter(pk=options["id"], deleted_at__isnull=True)
        session = found.select_related("instructions").first()
        if session is None:
            raise CommandError(f"There is no conversation {options['id']}.")
        target = {"format": options["format"]}
        try:
            auditing.from_shell("export", reason=options["reason"], session=session.pk, target=target)
        except Refused as refused:
            raise CommandError(str(refused)) from None
        if options["format"] == "markdown":
            self.stdout.write(markdown.render(session), ending="")
        else:
            for piece in dumping.pieces(session):
                self.stdout.write(piece, ending="")
