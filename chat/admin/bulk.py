"""An operation on many conversations: chosen in the list, previewed as a whole, done in the background."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from chat.admin import bars, desk, gauges, operations
from chat.admin.operations import CLASSES, fields, known, values_of
from chat.models import ChatSession
from chat.surgery import batches
from chat.surgery.batches import BulkPreview, Row
from chat.surgery.sentences import price
from chat.surgery.values import Operation, Refused

MOST = 5_000
"""Conversations of one batch: its preview must come within seconds."""
SHOWN = 25


def actions(user: Any) -> dict[str, tuple[Callable[..., HttpResponse | None], str, str]]:
    """The actions of the list: what may be run on many, and by this person."""
    return {
        one.name: (partial(_chosen, operation=one), one.name, f"{one.label} …")
        for one in operations.offered(user)
        if one.bulk
    }


def _chosen(
    _admin: Any, request: HttpRequest, queryset: QuerySet[ChatSession], *, operation: Operation
) -> HttpResponse | None:
    desk.demand(request, desk.VIEW, operation.permission)
    ids = list(queryset.values_list("pk", flat=True)[: MOST + 1])
    if len(ids) > MOST:
        messages.error(request, f"At most {MOST:,} sessions at once. Nothing was done: filter the list further.")
        return None
    return _shown(request, operation, gauges.fullest_first(ids), {})


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest, name: str) -> HttpResponse:
    """Preview again with other parameters, or start. What was chosen comes with the form, so that a GET has nothing."""
    operation = known(name)
    desk.demand(request, desk.VIEW, operation.permission)
    ids = chosen(request.POST.get("ids", ""))
    if request.method == "GET" or not ids:
        messages.warning(request, "Choose sessions in the list first.")
        return redirect("admin:chat_chatsession_changelist")
    if request.POST.get("step") != "run":
        return _shown(request, operation, ids, request.POST)
    try:
        batch = batches.start(
            request.user, ids, name, values_of(operation, request.POST), request.POST.get("reason", "")
        )
    except Refused as refused:
        return _shown(request, operation, ids, request.POST, str(refused))
    operations.wake()
    return redirect("admin:chat_batch_change", batch.pk)


def chosen(given: str) -> list[UUID]:
    """The ids of a form's field; what is no id is left out."""
    out: dict[UUID, None] = {}
    for word in given.split()[:MOST]:
        try:
            out[UUID(word)] = None
        except ValueError:
            continue
    return list(out)


def _shown(
    request: HttpRequest, operation: Operation, ids: Sequence[UUID], given: Any, refused: str = ""
) -> HttpResponse:
    values = values_of(operation, given)
    context: dict[str, Any] = {
        "operation": operation,
        "fields": fields(operation, given),
        "kind": CLASSES[operation.kind],
        "ids": "\n".join(str(one) for one in ids),
        "count": len(ids),
        "reason": given.get("reason", "") if given else "",
        "refused": refused,
    }
    ready = given or not any(one.required for one in operation.parameters)
    if ready:
        try:
            context |= _told(operation, batches.preview(ids, operation.name, values, shown=SHOWN))
        except Refused as why:
            context["refused"] = refused or str(why)
    title = f"{operation.label}: {len(ids):,} {word(len(ids))}"
    return desk.show(request, "admin/chat/bulk.html", title, context, status=409 if context["refused"] else 200)


def _told(operation: Operation, found: BulkPreview) -> dict[str, Any]:
    """A preview of many in the page's words."""
    shown = [row.session for row in found.rows]
    known_gauges = gauges.of(shown)
    owners = dict(ChatSession.objects.filter(pk__in=shown).values_list("pk", "owner__username"))
    rows = [_row(one, known_gauges.get(one.session, gauges.Gauge()), owners.get(one.session)) for one in found.rows]
    run = found.count - found.refused_count
    return {
        "found": found,
        "rows": rows,
        "more": found.count - len(rows),
        "run": run,
        "button": f"{run:,} {word(run)}",
        "total_before": bars.tokens(found.total_before),
        "total_after": bars.span(found.total_low, found.total_high),
        "price": _price(found, run) if operation.name == "compact" else "",
    }


def _price(found: BulkPreview, run: int) -> str:
    """What the summaries will cost, as far as anybody knows."""
    if found.unpriced == run:
        return "unknown"
    known = price(found.cost_low, found.cost_high)
    return f"{known}, and unknown for {found.unpriced:,}" if found.unpriced else known


def _row(one: Row, gauge: gauges.Gauge, owner: str | None) -> dict[str, Any]:
    window = gauge.window or max(one.before, one.after_high, 1)
    after = bars.span(one.after_low, one.after_high)
    bar = bars.Bar(one.before / window, *(() if one.refused else (one.after_low / window, one.after_high / window)))
    about = "~" if one.after_low != one.after_high else ""
    return {
        "session": one.session,
        "short": bars.short(one.session),
        "user": owner or bars.NONE,
        "bar": bar.svg(f"before {bars.tokens(one.before)}, after {after} of {bars.tokens(window)} tokens"),
        "before": f"{bars.tokens(one.before)}, {bars.percent(one.before / window)}",
        "after": bars.NONE if one.refused else after,
        "freed": bars.NONE if one.refused else about + bars.tokens(max(0, one.before - one.after_high)),
        "refused": one.refused,
    }


def word(count: int) -> str:
    """session, sessions."""
    return "session" if count == 1 else "sessions"
