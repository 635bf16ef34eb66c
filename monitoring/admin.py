"""What was recorded, to look at: nothing here can be added, changed or deleted by hand."""

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from monitoring import figures
from monitoring.models import (
    Alert,
    AlertRule,
    ContextEvent,
    Delivery,
    EventHour,
    ModelCall,
    Progress,
    Rollup,
    SessionGauge,
    UserDay,
)


class ReadOnly(admin.ModelAdmin):
    """Rows are facts. No full count: these are the tables that grow to millions.

    An address asks only what the filters of the page ask, and what one of our own pages links to.
    """

    linked: tuple[str, ...] = ()
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        hows = ("", "__exact", "__isnull", "__id__exact")
        return lookup in self.linked or lookup in {f"{name}{how}" for name in self.list_filter for how in hows}


@admin.register(ModelCall)
class ModelCallAdmin(ReadOnly):
    """Calls to models, newest first."""

    linked = ("session",)
    list_display = (
        "at",
        "session",
        "number",
        "purpose",
        "model",
        "whole_input",
        "output",
        "outcome",
        "miss_cause",
        "cost",
    )
    list_filter = ("purpose", "outcome", "miss_cause")
    ordering = ("-at",)

    @admin.display(description=_("input"))
    def whole_input(self, call: ModelCall) -> str:
        """Cached tokens included."""
        return figures.tokens(call.size)


@admin.register(ContextEvent)
class ContextEventAdmin(ReadOnly):
    """What was done to contexts, newest first."""

    list_display = ("at", "session", "number", "kind", "outcome", "code", "tokens_before", "tokens_after", "seconds")
    list_filter = ("kind", "outcome")
    ordering = ("-at",)


@admin.register(SessionGauge)
class SessionGaugeAdmin(ReadOnly):
    """How full each session is."""

    list_display = ("session", "user", "model", "strategy", "bar", "turns_to_compaction", "turns_left", "at")
    list_filter = ("state",)
    ordering = ("-utilisation",)

    @admin.display(description=_("utilisation"), ordering="utilisation")
    def bar(self, gauge: SessionGauge) -> SafeString:
        """The share of the window as a meter, which a strict content policy lets through."""
        return format_html(
            '<meter min="0" max="1" low="0.7" high="0.8" optimum="0" value="{}"></meter> {}',
            f"{gauge.utilisation or 0:.4f}",
            figures.percent(gauge.utilisation),
        )


@admin.register(Rollup)
class RollupAdmin(ReadOnly):
    """What calls add up to. User 0 is everybody; -1 that again, all models and strategies in one row."""

    list_display = ("start", "size", "user", "model", "purpose", "strategy", "calls", "failed", "cost", "priced")
    list_filter = ("size", "purpose")
    ordering = ("-start",)


@admin.register(UserDay)
class UserDayAdmin(ReadOnly):
    """What each user's calls of a day come to. Model "*" is all models and strategies in one row."""

    list_display = ("start", "user", "model", "strategy", "calls", "failed", "output", "cost", "priced")
    ordering = ("-start", "user")


@admin.register(EventHour)
class EventHourAdmin(ReadOnly):
    """What was done to contexts, by the hour."""

    list_display = ("start", "kind", "outcome", "code", "model", "strategy", "events", "tokens_before", "tokens_after")
    list_filter = ("kind", "outcome")
    ordering = ("-start",)


@admin.register(Progress)
class ProgressAdmin(ReadOnly):
    """How far the work in the background has come, and which process does it."""

    list_display = ("name", "owner", "until", "done_at", "five_until", "hour_until", "day_until", "floor")


@admin.register(AlertRule)
class AlertRuleAdmin(ReadOnly):
    """Rules as they stand; they are edited where one sees what they would have done."""

    list_display = ("code", "measure", "limit", "resolve", "severity", "enabled", "value", "evaluated_at", "edit")
    list_filter = ("severity", "enabled")

    @admin.display(description=_("page"))
    def edit(self, rule: AlertRule) -> SafeString:
        """The way to its form."""
        return format_html('<a href="{}">{}</a>', reverse("monitoring:alert_rule", args=[rule.code]), _("Edit"))


@admin.register(Alert)
class AlertAdmin(ReadOnly):
    """What fired, newest first."""

    list_display = (
        "opened_at", "severity", "key", "state", "value", "peak", "limit", "acknowledged_by", "resolved_at",
        "resolved_by",
    )  # fmt: skip
    list_filter = ("state", "severity", "rule")
    ordering = ("-opened_at",)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnly):
    """Messages about alerts, newest first."""

    list_display = ("created_at", "channel", "target", "event", "alert", "state", "attempts", "error", "ended_at")
    list_filter = ("state", "channel", "event")
    list_select_related = ("alert",)
    ordering = ("-created_at",)
