"""Who was demoted is told so: a POST of theirs is refused, and not sent to a page where they are to sign in again."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse


class FrontDoor(AdminSite):
    """As Django's, with 403 instead of a redirect for what would change something."""

    site_header = "Chat administration"
    site_title = "Chat administration"
    index_title = "Conversations, surgery, audit"

    def admin_view(self, view: Callable[..., HttpResponse], cacheable: bool = False) -> Callable[..., HttpResponse]:
        """Every page of the administration goes through here, at the moment of each request."""
        guarded = super().admin_view(view, cacheable)

        @wraps(guarded)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method == "POST" and request.user.is_authenticated and not self.has_permission(request):
                raise PermissionDenied
            return guarded(request, *args, **kwargs)

        return inner
