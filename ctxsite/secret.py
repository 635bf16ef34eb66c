"""The key that signs, of a site that was given none: made once, kept beside the database."""

import contextlib
import os
import tempfile
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key


def key_in(directory: Path) -> str:
    """What `secret_key` in this directory holds; the first process that asks makes it, for its owner's eyes alone.

    It is written aside and then linked to its name, which only one of several that start together can do: nobody ever
    reads half a key, and one that is killed in between leaves none. Raises ImproperlyConfigured.
    """
    path = directory / "secret_key"
    if not path.exists():
        handle, aside = tempfile.mkstemp(dir=directory)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(get_random_secret_key())
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        finally:
            os.unlink(aside)
    if not (key := path.read_text().strip()):
        raise ImproperlyConfigured(f"{path} is empty: delete it.")
    return key
