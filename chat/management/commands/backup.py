"""Copy the whole database into one file, while the site serves."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from chat.management import copies


class Command(BaseCommand):
    """Ends with the file's name and size; with an error and no file when anything went wrong."""

    help = "Write a copy of the database to FILE, which must not exist. Verified, and readable by its owner only."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The file."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it."""
        copies.save(options["file"])
        self.stdout.write(f"{options['file']}: {options['file'].stat().st_size:,} bytes")
