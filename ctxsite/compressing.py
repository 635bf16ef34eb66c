"""Pages leave compressed: a conversation is a tenth of its size on the wire.

BREACH reads a secret out of the length of answers that hold it beside text of the attacker's choice, asked for many
times in the victim's name. Here nobody else can ask in that name (cookies are SameSite=Lax: only whole pages by GET
carry them from elsewhere, and no page with a conversation in it repeats a word of its address), the token in every
form is masked anew for each answer, and Django's middleware adds up to a hundred random bytes to the length.
"""

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware

WORDS = ("text/", "application/json")
"""Beginnings of the kinds of content that are worth it; an archive or a picture is compressed already."""


class CompressingMiddleware(GZipMiddleware):
    """Compresses what is text. Static files come before it: they lie there compressed (`ctxsite.static`)."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """The answer, compressed where the browser takes it so and it becomes shorter.

        What is streamed stays as it is: Django compresses each of its pieces by itself, and Chromium reads only the
        first one of several.
        """
        told = response.headers.get("Content-Type", "")
        if response.streaming or not told.startswith(WORDS):
            return response
        return super().process_response(request, response)
