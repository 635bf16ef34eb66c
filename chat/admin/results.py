"""What a batch came to, conversation by conversation: the table of its page, and the same as a file."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chat.admin import bars
from chat.models import Audit, Batch, BatchItem
from chat.surgery import registry
from chat.surgery.values import Kind

SHOWN, MOST = 200, 5_000
OUTCOMES = {
    BatchItem.State.DONE: "done",
    BatchItem.State.NOTHING: "nothing to do",
    BatchItem.State.REFUSED: "refused",
    BatchItem.State.FAILED: "failed",
    BatchItem.State.CANCELLED: "cancelled",
    BatchItem.State.DUE: "waiting",
}
COLUMNS = ("session", "result", "code", "tokens before", "tokens after", "seconds", "ended (UTC)", "audit entry")


def table(batch: Batch, outcome: str, *, whole: bool) -> dict[str, Any]:
    """The newest results, or all of them, up to a bound; of one outcome where one is named."""
    rows = BatchItem.objects.filter(batch=batch)
    rows = rows.filter(state=outcome) if outcome in OUTCOMES else rows.exclude(state=BatchItem.State.DUE)
    most = MOST if whole else SHOWN
    items = list(rows.order_by("-finished_at", "-pk")[: most + 1])
    entries = _entries(batch, items[:most])
    return {
        "rows": [_row(one, entries.get(one.session)) for one in items[:most]],
        "more": len(items) > most,
        "most": most,
    }


def download(batch: Batch) -> HttpResponse:
    """All results, with plain numbers: tokens, and seconds of the attempt that ended it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    writer.writerows(_lines(batch, BatchItem.objects.filter(batch=batch).order_by("pk")))
    answer = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="batch-{batch.pk}-{batch.operation}.csv"'
    return answer


def _lines(batch: Batch, items: QuerySet[BatchItem]) -> Iterator[tuple[Any, ...]]:
    newest = dict(Audit.objects.filter(batch=batch).order_by("pk").values_list("session", "pk"))
    for one in items:
        yield (
            one.session, OUTCOMES.get(one.state, one.state), one.code, one.tokens_before, one.tokens_after,
            None if one.seconds is None else round(one.seconds, 2),
            one.finished_at.isoformat(timespec="seconds") if one.finished_at else None, newest.get(one.session),
        )  # fmt: skip


def _entries(batch: Batch, items: Iterable[BatchItem]) -> dict[Any, Audit]:
    """The entry of each: of several the newest, which is the one to take back first."""
    made = Audit.objects.filter(batch=batch, session__in=[one.session for one in items]).select_related("undone_by")
    return {entry.session: entry for entry in made.order_by("pk")}


def _row(item: BatchItem, entry: Audit | None) -> dict[str, Any]:
    return {
        "item": item,
        "short": bars.short(item.session),
        "word": OUTCOMES.get(item.state, item.state),
        "mark": {"done": "✓", "failed": "✕", "refused": "✕"}.get(item.state, "–"),
        "before": bars.tokens(item.tokens_before),
        "after": bars.tokens(item.tokens_after),
        "took": bars.seconds(item.seconds),
        "code": "" if item.state == BatchItem.State.NOTHING else item.code.replace("_", " "),
        "kept": item.state in (BatchItem.State.FAILED, BatchItem.State.REFUSED),
        "back": undo_link(entry) if entry else "",
    }


def undo_link(entry: Audit) -> SafeString | str:
    """The way to take an entry back, or what became of it."""
    if getattr(entry, "undone_by", None):
        return "taken back"
    operation = registry.OPERATIONS.get(entry.operation)
    if entry.session is None or operation is None or operation.kind != Kind.UNDOABLE:
        return ""
    return format_html('<a href="{}">Undo</a>', reverse("admin:chat_audit_undo", args=[entry.pk]))
