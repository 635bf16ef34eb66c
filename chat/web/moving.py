"""Bringing conversations in: upload, look at what is in it, take it, see what became of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chat import service
from chat.flow import importing
from chat.models import Import, ImportItem
from chat.store.portable import staging
from chat.web.pages import page

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One conversation of an upload, in words. `address` leads to it where it is there."""

    title: str
    turns: int
    when: Any
    state: str
    said: str
    address: str = ""
    detail: str = ""


@require_http_methods(["GET", "HEAD", "POST"])
@page
def upload(request: HttpRequest) -> HttpResponse:
    """Choose a file; what is in it is shown before anything is stored."""
    wrong = ""
    if request.method == "POST":
        file = request.FILES.get("file")
        if file is None or not file.size:
            wrong = _("Choose a file first.")
        elif file.size > settings.CHAT_IMPORT_MB << 20:
            wrong = _("This file is larger than %(most)s MB.") % {"most": settings.CHAT_IMPORT_MB}
        else:
            made = staging.stage(request.user, file.file, file.name or _("The file"), file.size)
            return redirect("chat:import", made.pk)
    context = {"title": _("Import"), "wrong": wrong, "most": settings.CHAT_IMPORT_MB, "open": _open(request)}
    return render(request, "chat/import.html", context, status=422 if wrong else 200)


@require_safe
@page
def show(request: HttpRequest, import_id: UUID) -> HttpResponse:
    """What is in an upload; while it is taken, how far that has got; afterwards, what became of each."""
    made = _own(request, import_id)
    partial = bool(request.headers.get("HX-Request"))
    return render(request, "chat/_import.html" if partial else "chat/import_shown.html", _context(made))


@require_POST
@page
def take(request: HttpRequest, import_id: UUID) -> HttpResponse:
    """Take all that is new."""
    made = _own(request, import_id)
    with transaction.atomic():
        if staging.begin(made):
            importing.enqueue(made.pk)
    if service.running():
        service.current().wake_jobs()
    return redirect("chat:import", made.pk)


@require_POST
@page
def drop(request: HttpRequest, import_id: UUID) -> HttpResponse:
    """Forget an upload. What was taken of it stays."""
    _own(request, import_id).delete()
    return redirect("chat:imports")


def _own(request: HttpRequest, import_id: UUID) -> Import:
    made = Import.objects.filter(owner=request.user, pk=import_id).first()
    if made is None:
        raise Http404
    return made


def _open(request: HttpRequest) -> list[dict[str, Any]]:
    """Uploads of today, newest first."""
    rows = Import.objects.filter(owner=request.user).order_by("-created_at")[:5]
    return [
        {"address": reverse("chat:import", args=[one.pk]), "at": one.created_at, "state": one.state} for one in rows
    ]


def _context(made: Import) -> dict[str, Any]:
    counts = staging.figures(made)
    all_of_them = sum(counts[state] for state in ImportItem.State.values)
    rows = list(made.items.defer("body").order_by("index")[:MOST_SHOWN])
    waiting = counts["new"]
    return {
        "title": _("Import"),
        "upload": made,
        "counts": counts,
        "total": all_of_them,
        "taken": counts["taken"],
        "waiting": waiting,
        "part": counts["taken"] + counts["broken"] + counts["there"] + counts["empty"],
        "lines": [_line(row) for row in rows],
        "more": max(0, all_of_them - len(rows)),
        "left_out": _left_out(staging.left_out(made)),
        "problem": _problem(made.problem),
        "running": made.state == Import.State.RUNNING,
        "done": made.state == Import.State.DONE,
    }


def _line(item: ImportItem) -> Line:
    said = {
        ImportItem.State.NEW: "",
        ImportItem.State.THERE: _("there already"),
        ImportItem.State.EMPTY: _("empty"),
        ImportItem.State.BROKEN: _("can’t be read"),
        ImportItem.State.TAKEN: _("imported"),
    }[ImportItem.State(item.state)]
    return Line(
        title=item.title or _("Without a title"),
        turns=item.turns,
        when=item.started_at,
        state=item.state,
        said=said,
        address=reverse("chat:conversation", args=[item.session_id]) if item.session_id else "",
        detail=item.problem,
    )


def _left_out(counts: Mapping[str, int]) -> list[str]:
    words = {
        "images": lambda n: ngettext(
            "%(n)s image; a mark stands in its place", "%(n)s images; a mark stands in place of each", n
        ),
        "files": lambda n: ngettext("%(n)s attached file without text", "%(n)s attached files without text", n),
        "media": lambda n: ngettext("%(n)s recording", "%(n)s recordings", n),
        "thoughts": lambda n: ngettext("%(n)s piece of thinking", "%(n)s pieces of thinking", n),
        "model": lambda n: ngettext(
            "the model of %(n)s conversation, which is not on offer here",
            "the models of %(n)s conversations, which are not on offer here",
            n,
        ),
        "marks": lambda n: ngettext(
            "the marks for compressing of %(n)s conversation, which staff set",
            "the marks for compressing of %(n)s conversations, which staff set",
            n,
        ),
        "choices": lambda n: ngettext(
            "instructions or settings of %(n)s conversation beyond what can be chosen here",
            "instructions or settings of %(n)s conversations beyond what can be chosen here",
            n,
        ),
        "tools": lambda n: ngettext("%(n)s use of a tool", "%(n)s uses of tools", n),
    }
    return [words[code](counts[code]) % {"n": counts[code]} for code in words if counts.get(code)]


def _problem(code: str) -> str:
    return {
        "unreadable": _("The file could not be read to its end; what stands below came before that place."),
        "too_many": _("There are more conversations in it than can be taken at once; the first ones are shown."),
        "unfinished": _("The upload broke off. Send the file again."),
    }.get(code, "")
