"""What a file says in words of ours is said in one language, to its end.

A file is made while it is sent, piece by piece, in threads that know nothing of the request that asked for it: the
language is taken when the file is begun, and is in force for each piece alone.
"""

from collections.abc import Iterator
from typing import TypeVar

from django.conf import settings
from django.utils import formats, translation

Piece = TypeVar("Piece")


def in_one_language(made: Iterator[Piece]) -> Iterator[Piece]:
    """The pieces of `made`, each made in the language that is in force now."""
    return _each(made, translation.get_language() or settings.LANGUAGE_CODE)


def _each(made: Iterator[Piece], language: str) -> Iterator[Piece]:
    while True:
        # Not around the yield: whoever takes the piece has a language of their own.
        with translation.override(language):
            try:
                piece = next(made)
            except StopIteration:
                return
        yield piece


def count(number: int) -> str:
    """A number with its digits grouped as the language does."""
    return str(formats.number_format(number, force_grouping=True))
