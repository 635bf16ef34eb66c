"""An operation on one conversation: its form, its preview, and the deed with a reason; and taking an entry back.

Parameters travel by POST, for some hold words. A preview changes nothing and asks no model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods

from chat import service
from chat.admin import bars, desk, gauges
from chat.models import Audit
from chat.surgery import batches, operating, registry, telling
from chat.surgery.values import Kind, Operation, Parameter, Preview, Refused, Result

CLASSES = {
    Kind.UNDOABLE: ("Undoable", "originals are kept, and the entry in the audit takes it back."),
    Kind.COMPENSATING: ("Compensating", "it can't be taken back, but something else balances it."),
    Kind.IRREVERSIBLE: ("Irreversible", "it can't be taken back at all."),
}
WAITING = "wait"


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter as the form shows it."""

    parameter: Parameter
    value: str = ""

    @property
    def control(self) -> str:
        """The form control for its kind."""
        if self.parameter.choices:
            return "select"
        return {"text": "textarea", "number": "number", "id": "number"}.get(self.parameter.kind, "input")


def offered(user: Any) -> list[Operation]:
    """The operations that this person may do, in their order."""
    return [one for one in registry.OPERATIONS.values() if operating.allowed(user, one.name)]


def fields(operation: Operation, given: Mapping[str, str]) -> list[Field]:
    """The form."""
    return [Field(one, given.get(one.name, "")) for one in operation.parameters]


def values_of(operation: Operation, given: Mapping[str, str]) -> dict[str, str]:
    """What was filled in, by the names of the operation's own parameters."""
    return {one.name: given.get(one.name, "") for one in operation.parameters}


def known(name: str) -> Operation:
    """The operation of this name. Raises Http404."""
    try:
        return registry.get(name)
    except Refused:
        raise Http404 from None


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest, session_id: UUID, name: str) -> HttpResponse:
    """The form, the preview, the deed."""
    session = desk.session_of(request, session_id)
    operation = known(name)
    desk.demand(request, operation.permission)
    given = request.POST if request.method == "POST" else request.GET
    context: dict[str, Any] = {
        "session": session,
        "operation": operation,
        "fields": fields(operation, given),
        "kind": CLASSES[operation.kind],
        "reason": request.POST.get("reason", ""),
    }
    status = 200
    try:
        if request.POST.get("step") == "apply":
            return _apply(request, session.pk, operation)
        if request.method == "POST" or not any(one.required for one in operation.parameters):
            preview = operating.plan(session.pk, name, values_of(operation, given))
            context |= told(preview, gauges.of([session.pk]).get(session.pk, gauges.Gauge()))
    except Refused as refused:
        context["refused"], status = str(refused), 400
        if refused.code not in ("bad_parameters", "unknown_operation"):
            status = 409
            context |= _again(session.pk, operation, given)
    return desk.show(request, "admin/chat/operate.html", operation.label, context, status=status)


def _apply(request: HttpRequest, session_id: UUID, operation: Operation) -> HttpResponse:
    reason, given = request.POST.get("reason", ""), values_of(operation, request.POST)
    if operation.background:
        batch = batches.start(request.user, [session_id], operation.name, given, reason)
        wake()
        return redirect("admin:chat_batch_change", batch.pk)
    result = operating.apply(
        request.user, session_id, operation.name, given, reason, request.POST.get("stamp") or WAITING
    )
    follow(session_id, operation, result)
    if result.content is not None:
        return _file(session_id, result)
    tell(request, operation.label, result)
    return redirect("admin:chat_chatsession_change", result.made or session_id)


def _file(session_id: UUID, result: Result) -> HttpResponse:
    ending = "md" if result.target.get("format") == "markdown" else "json"
    answer = HttpResponse("".join(result.content or ()), content_type="application/octet-stream")
    answer["Content-Disposition"] = f'attachment; filename="session-{bars.short(session_id)}.{ending}"'
    answer["Cache-Control"] = "no-store"
    return answer


def _again(session_id: UUID, operation: Operation, given: Mapping[str, str]) -> dict[str, Any]:
    """The preview as it is now, beside the sentence that says why nothing was done."""
    try:
        preview = operating.plan(session_id, operation.name, values_of(operation, given))
    except Refused:
        return {}
    return told(preview, gauges.of([session_id]).get(session_id, gauges.Gauge()))


def _parts(preview: Preview) -> list[tuple[str, str, str]]:
    return [
        (word, bars.tokens(getattr(preview.before, name)), bars.tokens(getattr(preview.after, name)))
        for word, name in (("word for word", "verbatim"), ("summaries", "summaries"), ("documents", "documents"))
    ]


def told(preview: Preview, gauge: gauges.Gauge) -> dict[str, Any]:
    """A preview in the page's words."""
    window = gauge.window or max(preview.before.total, preview.after_high, 1)
    bar = bars.Bar(preview.before.total / window, preview.after_low / window, preview.after_high / window)
    after = bars.span(preview.after_low, preview.after_high)
    expected = preview.after_low != preview.after_high
    return {
        "preview": preview,
        "bar": bar.svg(f"before {bars.tokens(preview.before.total)}, after {after} of {bars.tokens(window)} tokens"),
        "window": bars.tokens(window),
        "before": bars.tokens(preview.before.total),
        "before_share": bars.percent(preview.before.total / window),
        "after": after,
        "freed": ("~" if expected else "") + bars.tokens(max(0, preview.before.total - preview.after_high)),
        # What takes a model is only planned: nobody knows its parts yet.
        "parts": [] if expected else _parts(preview),
    }


def tell(request: HttpRequest, label: str, result: Result) -> None:
    """What was done, with the way to its entry."""
    said = " ".join(result.says) or f"{label}: done."
    if result.audit is None:
        messages.success(request, said)
        return
    entry = reverse("admin:chat_audit_change", args=[result.audit])
    messages.success(
        request,
        format_html('{} <a href="{}">Entry {} in the audit</a>', said, entry, result.audit),
    )


def wake() -> None:
    """There may be work for the jobs."""
    if service.running():
        service.current().wake_jobs()


def follow(session_id: UUID, operation: Operation, result: Result) -> None:
    """Have the jobs and the open pages of the conversation know what was done to it."""
    wake()
    if service.running():
        site = service.current()
        async_to_sync(telling.tell)(session_id, operation, result.target, site.engine, site.hub)


@require_http_methods(["GET", "POST"])
def undo(request: HttpRequest, audit_id: int) -> HttpResponse:
    """What taking an entry back would do, and the deed. The permission is that of the operation itself."""
    desk.demand(request, "chat.view_audit")
    entry = Audit.objects.filter(pk=audit_id).first()
    if entry is None:
        raise Http404
    operation = registry.OPERATIONS.get(entry.operation)
    if operation is not None:
        desk.demand(request, operation.permission)
    context: dict[str, Any] = {"entry": entry, "operation": operation, "reason": request.POST.get("reason", "")}
    status = 200
    try:
        preview = operating.plan_undo(audit_id)
        context |= told(preview, gauges.of([preview.session]).get(preview.session, gauges.Gauge()))
        if request.method == "POST":
            result = operating.undo(request.user, audit_id, request.POST.get("reason", ""))
            if operation is not None:
                follow(preview.session, operation, result)
            tell(request, "Undo", result)
            return redirect("admin:chat_chatsession_change", entry.session)
    except Refused as refused:
        context["refused"], status = str(refused), 409
    return desk.show(request, "admin/chat/undo.html", f"Take back entry {entry.pk}", context, status=status)
