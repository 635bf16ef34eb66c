"""Compressing by hand: first what would go and what it costs, then the work in the background with its progress."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Max, Min, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from chat import service
from chat.flow import compactor, control
from chat.flow.control import Preview
from chat.models import ChatSession, Job, Summary
from chat.store.standing import Standing
from chat.stream.inbound import clean_text
from chat.web import measuring, surroundings
from chat.web.deciding import Refused, figures, wake, write
from chat.web.gauge import about
from chat.web.notices import model_name
from chat.web.pages import own, page

MOST_KEPT = ChatSession._meta.get_field("keep").max_length or 0


@require_http_methods(["GET", "HEAD", "POST"])
@page
def compact(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """What compressing now would do; by POST: do it."""
    session = own(request, session_id)
    if request.method == "POST":
        keep = " ".join(clean_text(request.POST.get("keep", "")).split())[:MOST_KEPT]
        job = write(control.ask_compaction, session.pk, keep)
        wake()
        if not request.htmx:
            return redirect("chat:compact-job", session.pk, job)
        return _progress(request, session, job or 0)
    return _render(request, session, "chat/_compact.html", _offer(session))


@require_safe
@page
def progress(request: HttpRequest, session_id: UUID, job_id: int) -> HttpResponse:
    """How far a compression is; in the end what it came to."""
    return _progress(request, own(request, session_id), job_id)


@require_POST
@page
def mode(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Compress by itself from now on: what "always" on the card says."""
    session = own(request, session_id)
    write(control.set_mode, session.pk, ChatSession.Mode.AUTO)
    wake()
    if not request.htmx:
        return redirect("chat:conversation", session.pk)
    session.refresh_from_db()
    shown = surroundings.parts(request.user, session, surroundings.shown(request))
    return surroundings.tell(render(request, "chat/_around.html", shown), session)


def _progress(request: HttpRequest, session: ChatSession, job_id: int) -> HttpResponse:
    job = control.job(session.pk, job_id)
    if job is None:
        raise Http404
    context = {"job": job, "running": job.state in (Job.State.DUE, Job.State.RUNNING), "said": _said(job)}
    note = job.progress or {}
    if context["running"] and note.get("of"):
        context |= {"made": note["made"], "of": note["of"]}
    answer = _render(request, session, "chat/_compacting.html", context)
    return answer if context["running"] else trigger_client_event(answer, "compressed", {})


def _said(job: Job) -> str:
    """How it stands, in a sentence."""
    note = job.progress or {}
    if job.state == Job.State.DUE:
        if service.running() and compactor.service_rests(service.current().engine):
            return _("The service that writes summaries is resting. This goes on by itself when it is back.")
        return _("Waiting for its turn …")
    if job.state == Job.State.RUNNING:
        if note.get("of"):
            return ngettext("Part %(n)s of %(of)s …", "Part %(n)s of %(of)s …", note["of"]) % {
                "n": min(note["of"], note["made"] + 1),
                "of": note["of"],
            }
        return _("Reading the conversation …")
    if job.state != Job.State.DONE or "code" not in note:
        # It failed, perhaps at its second part; or a reply that waited for room, or somebody's batch, ended it for us.
        note = _came_of(job) or {"code": "lost" if job.state == Job.State.DONE else "failed"}
    code = note["code"]
    if code == "committed" and "first" in note:
        return _("Done. Turns %(first)s–%(last)s: %(before)s became %(after)s tokens.") % {
            "first": note["first"],
            "last": note["last"],
            "before": about(note["before"]),
            "after": about(note["after"]),
        }
    return {
        "committed": _("Done. The summaries were brought together."),
        "nothing": _("Nothing to do: what is left stays word for word anyway."),
        "not_wanted": _("Nothing to do: what is left stays word for word anyway."),
        "refused": _("Not compressed: no summary could be made that keeps what was said. Every turn stays as it is."),
        "lost": _("Not compressed: something else was done first. Every turn stays as it is; try again in a moment."),
        "resting": _("Not compressed: a moment ago no summary could be made. Every turn stays; try again in a minute."),
    }.get(code, _("Not compressed: something went wrong. Every turn stays as it is; try again in a moment."))


def _came_of(job: Job) -> dict[str, Any] | None:
    """What was compressed since a job was made, as its note would say it; None where nothing was."""
    made = Summary.objects.filter(
        session_id=job.session_id, until__active=True, committed_at__gte=job.created_at
    ).exclude(made_by=Summary.MadeBy.USER)
    found = made.filter(tier=1).aggregate(
        first=Min("first"), last=Max("last"), before=Sum("source_tokens"), after=Sum("tokens")
    )
    if found["first"] is not None:
        return {"code": "committed", **found}
    return {"code": "committed"} if made.exists() else None


def _summariser() -> str:
    """The model that writes summaries now."""
    return service.current().engine.summary_model if service.running() else settings.CHAT_SUMMARY_MODEL


def _offer(session: ChatSession) -> dict[str, Any]:
    try:
        known = figures(session)
    except Refused as why:
        return {"nothing": str(why)}
    found = control.preview(session, known, _summariser())
    if found is None:
        return {
            "nothing": _("Nothing to compress: the newest turns stay word for word, and there is little before them.")
        }
    return {"preview": found, "rows": _rows(session, found), "keep": session.keep, "most_kept": MOST_KEPT}


def _rows(session: ChatSession, found: Preview) -> list[tuple[str, str, str]]:
    """What goes, what stays, the context before and after, and the price: a name, its value, and a remark."""
    gone = _range(found.first, found.last)
    stays = _range(found.keep_from, found.head) if found.keep_from <= found.head else ""
    marked = _("pinned and restored turns, too") if session.marked or Standing.of(session).restored else ""
    parts = ngettext("%(n)s summary", "%(n)s summaries", found.parts) % {"n": found.parts}
    rows = [
        (_("Goes"), gone, _("%(tokens)s tokens, into %(parts)s") % {"tokens": about(found.leave), "parts": parts}),
        (_("Stays word for word"), stays, marked),
    ]
    now = measuring.measure(session)
    if now:
        before = now.gauge.tokens
        low, high = (about(max(0, before - found.leave + told)) for told in (found.low, found.high))
        change = f"{'~' if now.gauge.estimated else ''}{about(before)} → ~{_span(low, high)}"
        rows.append((_("Context"), change, _("of %(window)s") % {"window": about(now.gauge.window)}))
    cost = _("unknown")
    if found.cost_high:
        low, high = (number_format(round(cost / 1_000_000, 4), 4) for cost in (found.cost_low, found.cost_high))
        cost = f"~{_span(low, high)} US$"
    rows.append((_("Price"), cost, _("once, by %(model)s") % {"model": model_name(_summariser())}))
    return [row for row in rows if row[1]]


def _range(first: int, last: int) -> str:
    if first == last:
        return _("turn %(first)s") % {"first": first}
    return _("turns %(first)s–%(last)s") % {"first": first, "last": last}


def _span(low: str, high: str) -> str:
    return low if low == high else f"{low}–{high}"


def _render(request: HttpRequest, session: ChatSession, partial: str, context: dict[str, Any]) -> HttpResponse:
    context |= {"session": session, "session_id": session.pk, "title": _("Compact now"), "partial": partial}
    return render(request, partial if request.htmx else "chat/turn.html", context)
