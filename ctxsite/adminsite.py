"""Who was demoted is told so: a POST of theirs is refused, and not sent to a page where they are to sign in again."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse


class FrontDoor(AdminSite):
    """As Django's, with 403 instead of a redirect or of a page like any other, for what would change something."""

    site_header = "Chat administration"
    site_title = "Chat administration"
    index_title = "Conversations, surgery, audit"

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Callable[..., HttpResponse]:
        """Every page of the administration goes through here, at the moment of each request."""
        guarded = super().admin_view(view, cacheable)

        @wraps(guarded)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            changes = request.method == "POST" and request.user.is_authenticated
            if changes and (not self.has_permission(request) or _beyond(request, view)):
                raise PermissionDenied
            return guarded(request, *args, **kwargs)

        return inner


def _beyond(request: HttpRequest, view: Callable[..., HttpResponse]) -> bool:
    """Whether the POST to a list asks for an action that this person may not do. Django shows the list again then, as
    if nothing had been asked."""
    rows = getattr(view, "__self__", None)
    if not isinstance(rows, ModelAdmin) or getattr(view, "__name__", "") != "changelist_view":
        return False
    asked = {name for name in request.POST.getlist("action") if name}
    return bool(asked and not asked <= rows.get_actions(request).keys())
