"""What of the service is not well, in one sentence that says what still works: for who is signed in, while it lasts."""

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat import service
from chat.flow import compactor, fallback
from chat.web.pages import page


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong, and what that means for who writes here."""

    code: str
    title: str
    text: str


def now(model: str = "") -> Trouble | None:
    """The worst trouble that this process knows of, for a conversation with `model`. Asks nobody."""
    if not service.running():
        return None
    running = service.current()
    if running.pulse.failing:
        text = _("You can read what is there. What you write is kept in this browser and sent as soon as it can be.")
        return Trouble("storage", _("Nothing can be stored just now."), text)
    switches = running.engine.switches
    if switches.read_only:
        text = _("You can read, search and export everything. What you write is kept; send it when this line is gone.")
        return Trouble("read_only", _("The site is read-only for a while."), text)
    if fallback.refusal(model or settings.CHAT_MODEL, running.engine) > 0:
        text = _("You can read, search and export everything. What you write is kept; send it in a moment.")
        return Trouble("model", _("The model does not answer just now."), text)
    if compactor.service_rests(running.engine):
        text = _("Replies go on. Where a window gets full, older parts are left out, with a line that says so.")
        return Trouble("compaction", _("Older parts can’t be compressed just now."), text)
    if settings.REDIS_URL and not running.bus.up:
        text = _("Everything works; in other tabs and devices replies appear a little later.")
        return Trouble("bus", _("Live updates are slower just now."), text)
    return None


@require_safe
@page
def condition(request: HttpRequest) -> HttpResponse:
    """The banner as it is now, empty when all is well."""
    return render(request, "chat/_condition.html", {"trouble": now(request.GET.get("model", "")[:100])})
