"""What the model sees: for any turn the literal request, rebuilt from rows, and compared with that of another turn.

In a dialog over the conversation, or a page of its own. A GET writes nothing.
"""

from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from chat.context import segments as context
from chat.context.segments import Segment
from chat.models import ChatSession, Turn
from chat.store import manifests
from chat.store.manifests import Seen
from chat.web import listing, segments
from chat.web.gauge import kilo
from chat.web.notices import model_name
from chat.web.pages import number, own, page
from chat.web.ribbon import ribbon
from chat.web.segments import figure, signed

PREVIEW = "model-view-preview"
"""The part that is fetched alone when another segment is chosen."""


@require_safe
@page
def newest(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """The newest request of a conversation. `about` chooses the segment that stands for that turn."""
    session = own(request, session_id)
    turn_id = manifests.newest(session.pk, session.turns_active) or session.head_id
    if turn_id is None:
        raise Http404
    about = number(request.GET.get("about"))
    address = reverse("chat:view", args=[session.pk, turn_id])
    return redirect(f"{address}?{urlencode({'about': about})}" if about else address)


@require_safe
@page
def view(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """The request of a turn: all of it, or the one segment that was chosen."""
    session, turn = _turn(request, session_id, turn_id)
    seen = manifests.read(turn)
    told = _context(request, session, turn, seen)
    htmx = request.headers.get("HX-Request") == "true"
    if htmx and seen and request.headers.get("HX-Target") == PREVIEW:
        return render(request, "chat/_model_segment.html", told)
    return render(request, "chat/_model_view.html" if htmx else "chat/model_view.html", told)


@require_safe
@page
def body(request: HttpRequest, session_id: UUID, turn_id: int) -> HttpResponse:
    """The body as JSON. One that is no longer what was sent says so, and what is missing in it."""
    _session, turn = _turn(request, session_id, turn_id)
    seen = manifests.read(turn)
    if seen is None:
        raise Http404
    options = {"indent": 2, "ensure_ascii": False}
    rebuilt = seen.rebuilt
    if rebuilt.verified:
        return JsonResponse(rebuilt.body, json_dumps_params=options)
    differs = [
        {"role": piece.part.role, "part": piece.part.ref, "state": piece.state}
        for piece in rebuilt.pieces
        if piece.state != "sent"
    ]
    told = {"verified": False, "sha256": seen.manifest.body_sha256, "differs": differs, "body": rebuilt.body}
    return JsonResponse(told, json_dumps_params=options)


def _turn(request: HttpRequest, session_id: UUID, turn_id: int) -> tuple[ChatSession, Turn]:
    session = own(request, session_id)
    turn = manifests.turn(session.pk, turn_id)
    if turn is None:
        raise Http404
    return session, turn


def _context(request: HttpRequest, session: ChatSession, turn: Turn, seen: Seen | None) -> dict[str, Any]:
    before, after = manifests.beside(turn)
    shared = {
        "session_id": session.pk,
        "title": listing.title(session),
        "turn": turn,
        "before": before,
        "after": after,
        "seen": seen,
    }
    if seen is None:
        return shared | {"reason": _reason(turn)}
    wanted = number(request.GET.get("with"))
    compared = manifests.at(turn, wanted) if wanted else None
    other = manifests.read(compared) if compared and compared.pk != turn.pk else None
    against = context.compare(seen.rebuilt, other.rebuilt) if other else None
    shown = context.segments(seen.rebuilt, turn.number, against)
    chosen = _chosen(request, shown, seen)
    return shared | {
        "lines": segments.lines(seen, shown),
        "chosen": segments.preview(seen, shown[chosen - 1], chosen, whole="whole" in request.GET) if shown else None,
        "frame": figure(seen.rebuilt.frame_tokens),
        "sum": figure(seen.manifest.estimated),
        "measured": figure(seen.manifest.measured) if seen.manifest.measured else "",
        "figures": _figures(seen, other),
        "ribbon": ribbon(seen.runs),
        "model": model_name(seen.manifest.model),
        "differs": [at for at, one in enumerate(shown, start=1) if one.state != "sent"],
        "old_layout": seen.manifest.frame is None,
        "with": wanted if other else None,
        "no_other": wanted if wanted and not other else None,
        "query": f"with={wanted}" if other else "",
        **({"versus": _versus(seen, other, against)} if other and against else {}),
    }


def _chosen(request: HttpRequest, shown: tuple[Segment, ...], seen: Seen) -> int:
    """The segment that is open: the one that was asked for, else the message."""
    asked = number(request.GET.get("segment"))
    if asked and asked <= len(shown):
        return asked
    about = number(request.GET.get("about"))
    if about:
        for at, one in enumerate(shown, start=1):
            summary = seen.sources.summaries.get(one.ref)
            if about in one.turns or (summary and summary.first <= about <= summary.last):
                return at
    return len(shown)


def _figures(seen: Seen, other: Seen | None) -> list[tuple[str, str]]:
    """The figures over the ribbon, each with what it means."""
    row = seen.manifest
    tokens = row.measured or row.estimated
    share = {"share": round(tokens * 100 / row.window) if row.window else 0, "window": kilo(row.window)}
    if row.measured:
        out = [(_("%(n)s tokens") % {"n": figure(tokens)}, _("counted by the API, %(share)s %% of %(window)s") % share)]
    else:
        out = [(_("~%(n)s tokens") % {"n": figure(tokens)}, _("estimated, %(share)s %% of %(window)s") % share)]
    if other:
        both = row.measured is not None and other.manifest.measured is not None
        more = (row.measured or 0) - (other.manifest.measured or 0) if both else (
            row.estimated - other.manifest.estimated
        )  # fmt: skip
        said = _("against turn %(n)s") % {"n": other.turn.number}
        out.append((("" if both else "~") + signed(more), said))
    usage = seen.turn.usage or {}
    read, written = usage.get("cache_read", 0), usage.get("cache_write", 0)
    if row.measured and (read or written):
        figures = {"read": figure(read), "written": figure(written)}
        out.append(
            (
                _("%(share)s %% from cache") % {"share": round(read * 100 / row.measured)},
                _("%(read)s read, %(written)s written") % figures,
            )
        )
    return out


def _versus(seen: Seen, other: Seen, against: context.Comparison) -> dict[str, Any]:
    """What the other request says about this one: what both begin with, and what only the other held."""
    gone = context.gone(against, other.turn.number)
    return {
        "number": other.turn.number,
        "prefix": figure(against.prefix_tokens),
        "blocks": against.prefix,
        "gone": segments.lines(other, gone),
        "frame": signed(seen.rebuilt.frame_tokens - other.rebuilt.frame_tokens),
        "total": signed(seen.manifest.estimated - other.manifest.estimated),
        "unlike": seen.manifest.model != other.manifest.model,
    }


def _reason(turn: Turn) -> str:
    """Why there is nothing to show."""
    if turn.status == Turn.Status.QUEUED:
        return _("This turn waits; nothing has been sent yet.")
    if turn.status == Turn.Status.RUNNING:
        return _("The reply is being written. What was sent is stored when it has ended.")
    if turn.status == Turn.Status.FAILED:
        return _("This turn failed before anything was sent.")
    if turn.status == Turn.Status.STOPPED:
        return _("This turn was stopped before anything was sent.")
    return _("This turn came from elsewhere (an import, a fork, an older release): no request was stored with it.")
