"""While an operator has made the site read-only, pages change nothing: every other request is refused in a sentence.

Messages take their own way (chat.flow.fallback.refusal), which answers one that is stored already. Signing in and
out go on, and so does the administration: that is where the switch is turned back.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.utils.decorators import sync_and_async_middleware
from django.utils.translation import gettext as _

from chat import service
from chat.flow.fallback import READ_ONLY_S

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
OPEN_ROOMS = ("admin",)
# By the names of the addresses.
OPEN = ("login", "logout", "set_language", "chat:turns", "chat:stop", "chat:theme", "chat:count")


def refuses(request: HttpRequest) -> bool:
    """Whether this request would change something now. Asks no database."""
    if request.method in SAFE or not service.running() or not service.current().engine.switches.read_only:
        return False
    try:
        found = resolve(request.path_info)
    except Resolver404:
        return False
    return found.namespace not in OPEN_ROOMS and found.view_name not in OPEN


def refusal() -> HttpResponse:
    """What is said instead."""
    sentence = _("Nothing can be changed just now: the site is read-only for a while. Nothing was lost.")
    answer = HttpResponse(sentence, status=503, content_type="text/plain; charset=utf-8")
    answer["Retry-After"] = str(round(READ_ONLY_S))
    return answer


@sync_and_async_middleware
def reading_only(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware, behind the one for the language."""
    if iscoroutinefunction(get_response):

        async def later(request: HttpRequest) -> Any:
            return refusal() if refuses(request) else await get_response(request)

        return later

    def now(request: HttpRequest) -> Any:
        return refusal() if refuses(request) else get_response(request)

    return now
