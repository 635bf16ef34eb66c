"""Who may look at the operator's pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

View = Callable[..., HttpResponse]

PERMISSION = "monitoring.view_modelcall"


def operators_only(view: View) -> View:
    """Staff with the permission monitoring.view_modelcall; anybody else 403, strangers to the login page."""

    def allowed(request: HttpRequest) -> bool:
        return bool(request.user.is_staff and request.user.has_perm(PERMISSION))

    return _guarded(view, allowed)


def signed_in_only(view: View) -> View:
    """Anybody who is signed in, for what is their own."""
    return _guarded(view, lambda request: True)


def _guarded(view: View, allowed: Callable[[HttpRequest], bool]) -> View:
    # A poll of somebody who was signed out gets 401 and the order to reload: a swapped-in login form would be worse.
    @require_GET
    @never_cache
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            if "HX-Request" in request.headers:
                return HttpResponse(status=401, headers={"HX-Refresh": "true"})
            return redirect_to_login(request.get_full_path())
        if not allowed(request):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return checked
