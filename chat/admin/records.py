"""The audit, which can only grow, and the batches with their progress."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from chat.admin import bars, desk, gauges, operations, results
from chat.admin.results import undo_link
from chat.models import Audit, Batch, BatchItem
from chat.surgery import batches, operating, registry
from chat.surgery.values import Kind, Operation, Refused


class Kept(admin.ModelAdmin):
    """Rows that nobody writes by hand."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return lookup in desk.asked_by(self.list_filter)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}


def plain(value: Any, within: str = "{}") -> str:
    """What an entry holds under a name, as somebody who is tired reads it: `parameters: (turns: 4), window_from: 9`.

    In the order of names, for PostgreSQL keeps no other. `within`: how what consists of several is set apart from what
    stands around it.
    """
    if value is None or value in ({}, []):
        return bars.NONE
    if isinstance(value, dict):
        return within.format(", ".join(f"{name}: {plain(one, '({})')}" for name, one in sorted(value.items())))
    if isinstance(value, list):
        return f"({', '.join(plain(one, '({})') for one in value)})"
    return str(value)


@admin.register(Audit)
class AuditAdmin(Kept):
    """Who, when, why; before and after; and the way back."""

    list_display = ("at", "operation", "who", "on", "reason", "batch", "back")
    list_filter = ("operation",)
    search_fields = ("reason",)
    search_help_text = "Session's id, u-<number> or pseudonym of who did it (shell: a command), words of the reason"
    ordering = ("-at",)
    change_list_template = "admin/chat/records.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Audit]:
        return super().get_queryset(request).select_related("undone_by", "batch").defer("before", "after")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Audit], search_term: str
    ) -> tuple[QuerySet[Audit], bool]:
        for word in search_term.split():
            wanted = Q(reason__icontains=word) | Q(pseudonym=word) | Q(operation=word)
            number = word.removeprefix("u-")
            if number.isascii() and number.isdecimal() and len(number) < 10:
                wanted |= Q(actor=int(number))
            try:
                wanted |= Q(session=UUID(word))
            except ValueError:
                wanted |= Q(actor__in=get_user_model()._default_manager.filter(username=word).values("pk"))
            queryset = queryset.filter(wanted)
        return queryset, False

    @admin.display(description="who", ordering="actor")
    def who(self, entry: Audit) -> str:
        return entry.who

    @admin.display(description="session")
    def on(self, entry: Audit) -> SafeString | str:
        if entry.session is None:
            return bars.NONE
        address = reverse("admin:chat_chatsession_change", args=[entry.session])
        return format_html('<a class="mono" href="{}">{}</a>', address, bars.short(entry.session))

    @admin.display(description="action")
    def back(self, entry: Audit) -> SafeString | str:
        return undo_link(entry)

    def get_urls(self) -> list[URLPattern]:
        """Taking back, before Django's own."""
        view = self.admin_site.admin_view(operations.undo)
        return [path("<int:audit_id>/undo/", view, name="chat_audit_undo"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """One entry, all of it: ids, numbers, hashes."""
        desk.demand(request, "chat.view_audit")
        rows = Audit.objects.select_related("undone_by", "undo_of", "batch")
        entry = rows.filter(pk=object_id).first() if object_id.isdecimal() else None
        if entry is None:
            raise Http404
        pairs = [
            (name, plain(entry.before.get(name)), plain(entry.after.get(name)))
            for name in sorted({*entry.before, *entry.after})
        ]
        context = {"entry": entry, "target": plain(entry.target), "pairs": pairs}
        context |= {"back": undo_link(entry), "opts": Audit._meta}
        return desk.show(request, "admin/chat/entry.html", f"Entry {entry.pk}: {entry.operation}", context)


@admin.register(Batch)
class BatchAdmin(Kept):
    """Work on many, how far it is, and what it came to."""

    list_display = ("at", "operation", "who", "total", "state", "reason")
    list_filter = ("state", "operation")
    ordering = ("-at",)
    change_list_template = "admin/chat/records.html"

    @admin.display(description="who", ordering="actor")
    def who(self, batch: Batch) -> str:
        return f"u-{batch.actor}"

    def get_urls(self) -> list[URLPattern]:
        """Progress, cancel, undo."""

        def own(route: str, view: Callable[..., HttpResponse], name: str) -> URLPattern:
            return path(f"<int:batch_id>/{route}/", self.admin_site.admin_view(view), name=f"chat_batch_{name}")

        return [
            own("progress", progress, "progress"),
            own("cancel", cancel, "cancel"),
            own("undo", undo, "undo"),
            own("csv", download, "csv"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The page of a batch: it may be left, the work goes on."""
        batch = _batch(request, object_id)
        context = standing(request, batch) | {"opts": Batch._meta}
        return desk.show(request, "admin/chat/batch.html", _title(batch), context)


def progress(request: HttpRequest, batch_id: int) -> HttpResponse:
    """The part of the page that moves."""
    return render(request, "admin/chat/_progress.html", standing(request, _batch(request, str(batch_id))))


def download(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Its results as a file."""
    return results.download(_batch(request, str(batch_id)))


@require_POST
def cancel(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Stop after what runs now. What is done stays done."""
    batch = _batch(request, str(batch_id))
    _may_operate(request, batch)
    batches.cancel(request.user, batch.pk)
    messages.success(request, "Stopped: what was done stays done, what waited was left as it was.")
    return redirect("admin:chat_batch_change", batch.pk)


@require_POST
def undo(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Take all of a batch back, in the background."""
    batch = _batch(request, str(batch_id))
    _may_operate(request, batch)
    try:
        made = batches.undo(request.user, batch.pk, request.POST.get("reason", ""))
    except Refused as refused:
        messages.error(request, f"{refused} Nothing was changed.")
        return redirect("admin:chat_batch_change", batch.pk)
    operations.wake()
    return redirect("admin:chat_batch_change", made.pk)


def standing(request: HttpRequest, batch: Batch) -> dict[str, Any]:
    """How far a batch is. In the address `outcome` chooses which results are listed, `all` how many: the part that
    moves lists the newest only."""
    found = batches.progress(batch)
    chosen = request.GET.get("outcome", "")
    sums = Counter(
        {name: getattr(found, name) for name in ("done", "nothing", "refused", "failed", "cancelled", "due")}
    )
    over = sum(sums.values()) - sums["due"]
    if not sums["due"]:
        batch.refresh_from_db(fields=["state", "finished_at"])  # the last one ended since it was read
    running = batch.state == Batch.State.RUNNING
    rate = over / found.seconds if found.seconds and over else 0
    left = round(sums["due"] / rate) if running and rate else None
    operation = registry.OPERATIONS.get(batch.operation)
    return {
        "batch": batch,
        "found": found,
        "over": over,
        "running": running,
        "left": left,
        "share": round(100 * over / found.total) if found.total else 100,
        "failed_share": round(100 * (sums["failed"] + sums["refused"]) / found.total) if found.total else 0,
        "outcomes": [(state, word_, sums[state]) for state, word_ in results.OUTCOMES.items() if sums[state]],
        "chosen": chosen,
        **results.table(batch, chosen, whole=not running and "all" in request.GET),
        "tokens": _tokens(batch),
        "spent": _spent(batch),
        "title": _title(batch),
        "may_operate": operation is not None and operating.allowed(request.user, batch.operation),
        "undoable": 0 if running else _undoable(batch, operation),
    }


def _undoable(batch: Batch, operation: Operation | None) -> int:
    """Of how many conversations something of it is left to take back."""
    if operation is None or operation.kind != Kind.UNDOABLE or batch.undo_of_id:
        return 0
    left = Audit.objects.filter(batch=batch, session__isnull=False, undo_of__isnull=True, undone_by__isnull=True)
    return left.values("session").distinct().count()


def _tokens(batch: Batch) -> tuple[str, str]:
    before = after = 0
    rows = BatchItem.objects.filter(batch=batch, state=BatchItem.State.DONE, tokens_after__isnull=False)
    for one, other in rows.values_list("tokens_before", "tokens_after"):
        before, after = before + (one or 0), after + other
    return bars.tokens(before), bars.tokens(after)


def _spent(batch: Batch) -> str:
    """What the summaries of these conversations cost since it began, in US dollars; '' where no model was asked."""
    operation = registry.OPERATIONS.get(batch.operation)
    if operation is None or not operation.background or batch.undo_of_id:
        return ""
    sessions = BatchItem.objects.filter(batch=batch).values("session")
    known, unknown = gauges.spent(sessions, batch.at, batch.finished_at)
    if not unknown:
        return "" if known is None else bars.dollars(known)
    calls = f"the price of {unknown:,} call{'' if unknown == 1 else 's'} is unknown"
    return calls if known is None else f"{bars.dollars(known)}, and {calls}"


def _batch(request: HttpRequest, batch_id: str) -> Batch:
    desk.demand(request, "chat.view_batch")
    batch = Batch.objects.filter(pk=batch_id).first() if batch_id.isdecimal() else None
    if batch is None:
        raise Http404
    return batch


def _may_operate(request: HttpRequest, batch: Batch) -> None:
    if batch.operation not in registry.OPERATIONS or not operating.allowed(request.user, batch.operation):
        raise PermissionDenied


def _title(batch: Batch) -> str:
    operation = registry.OPERATIONS.get(batch.operation)
    label = operation.label if operation else batch.operation
    return f"{'Undo: ' if batch.undo_of_id else ''}{label}: {batch.total:,} session{'' if batch.total == 1 else 's'}"
