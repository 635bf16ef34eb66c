"""What every page here shares: who may see it, which conversation, and the frame of Django's administration."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from chat.models import ChatSession

VIEW = "chat.view_chatsession"
READ = "chat.read_text"


def demand(request: HttpRequest, *permissions: str) -> None:
    """Raise PermissionDenied unless this person has all of these. The site has asked already whether they are staff."""
    if not request.user.is_active or not request.user.is_staff or not request.user.has_perms(permissions):
        raise PermissionDenied


def session_of(request: HttpRequest, session_id: UUID | str) -> ChatSession:
    """The conversation, for whoever may look at conversations. Raises PermissionDenied, Http404. Without its title."""
    demand(request, VIEW)
    try:
        key = session_id if isinstance(session_id, UUID) else UUID(session_id)
    except ValueError:
        raise Http404 from None
    rows = ChatSession.objects.select_related("owner", "head", "forked_from").defer(
        "title", "keep", "head__prompt", "head__reply", "head__reply_html", "forked_from__title"
    )
    session = rows.filter(pk=key).first()
    if session is None:
        raise Http404
    return session


def asked_by(filters: Collection[Any]) -> set[str]:
    """What an address may ask of a list: what these filters write into it, and nothing else.

    Left to itself Django answers for every column, how it begins included, and so spells out words that no page shows.
    """
    columns = {f"{one}{how}" for one in filters if isinstance(one, str) for how in ("", "__exact", "__isnull")}
    return columns | {one.parameter_name for one in filters if not isinstance(one, str)}


def show(request: HttpRequest, template: str, title: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """A page in the administration's frame. No cache keeps it: `admin_view` says so of every page of its own."""
    frame = admin.site.each_context(request) | {"title": title, "opts": ChatSession._meta}
    return render(request, template, frame | context, status=status)
