"""Light, dark, or as the system has it: a cookie, so that the first paint is right without a script."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from chat.web.pages import page

COOKIE = "theme"
THEMES = ("light", "dark")
"""What may stand in the cookie; without one the system decides."""
YEAR_S = 31_536_000


@require_POST
@page
def theme(request: HttpRequest) -> HttpResponse:
    """Choose one, and go back to where that was done."""
    after = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(after, {request.get_host()}, require_https=request.is_secure()):
        after = "/"
    response = redirect(after)
    chosen = request.POST.get("theme", "")
    if chosen in THEMES:
        response.set_cookie(COOKIE, chosen, max_age=YEAR_S, samesite="Lax", secure=request.is_secure(), httponly=True)
    else:
        response.delete_cookie(COOKIE)
    return response
