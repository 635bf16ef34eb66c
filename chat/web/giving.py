"""Giving files out: a conversation, or all that somebody has. Made while they are sent, a piece at a time."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe

from chat.store.portable import bundle, dumping, markdown
from chat.store.portable.naming import file_name
from chat.web import listing, sending
from chat.web.pages import own, page

GATHERED = 1 << 16
"""Bytes that are sent together."""

FORMS: dict[str, tuple[Callable[[Any], Iterator[str]], str]] = {
    "md": (markdown.pieces, "text/markdown; charset=utf-8"),
    "json": (dumping.pieces, "application/json"),
}


@require_safe
@page
def export(request: HttpRequest, session_id: UUID, form: str) -> HttpResponseBase:
    """A conversation as Markdown (what is shown) or JSON (all branches), with summaries, notices and usage."""
    session = own(request, session_id)
    pieces, kind = FORMS[form]
    name = file_name(listing.title(session), timezone.localtime(session.updated_at), form)
    return attachment(request, (piece.encode() for piece in pieces(session)), name, kind)


@require_safe
@page
def everything(request: HttpRequest) -> HttpResponseBase:
    """All that is kept about whoever asks, as a zip: their account, every conversation, what they chose."""
    name = file_name(request.user.get_username(), timezone.localtime(), "zip")
    return attachment(request, bundle.pieces(request.user), name, "application/zip")


def attachment(request: HttpRequest, pieces: Iterator[bytes], name: str, kind: str) -> HttpResponseBase:
    """Pieces as a file to be saved, never shown by the browser."""
    if request.method == "HEAD":
        answer: HttpResponseBase = HttpResponse(content_type=kind)
    else:
        # Django would gather a plain iterator as a whole before it sends any of it over ASGI.
        body = _later(_gathered(pieces)) if isinstance(request, ASGIRequest) else _gathered(pieces)
        answer = StreamingHttpResponse(body, content_type=kind)
    answer["Content-Disposition"] = content_disposition_header(True, name)
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cache-Control"] = "no-store, private"
    return answer


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= GATHERED:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


async def _later(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece is made in a thread that may read the database; between two of them nothing is held."""
    while (piece := await sending.read(next, pieces, None)) is not None:
        yield piece
