"""The pages of alerts: what fired, what to do about it, who was told, and the rules.

Looking takes the permission of all operator's pages; to acknowledge, resolve and test monitoring.handle_alert; to edit
a rule monitoring.change_alertrule, to make one monitoring.add_alertrule. What changes something is a POST.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from monitoring import alerting, delivery, rehearsal, wording
from monitoring.access import PERMISSION, View, operators_only
from monitoring.models import Alert, AlertRule, Delivery, Measure, Progress, Severity
from monitoring.ruleforms import RuleForm
from monitoring.sending import common, csv_of

HANDLE = "monitoring.handle_alert"
RESOLVED = 20  # that the page shows; the CSV has all
MOST_RULES = 60


def acting(*permissions: str) -> Callable[[View], View]:
    """A POST by staff who may look at these pages and have all these permissions; anybody else 403."""

    def guard(view: View) -> View:
        @never_cache
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not (request.user.is_staff and request.user.has_perms([PERMISSION, *permissions])):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return checked

    return guard


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the page is narrowed to; the address holds it."""

    severity: str = ""
    state: str = ""
    rule: str = ""

    @property
    def rows(self) -> Q:
        """As a condition."""
        given = {"severity": self.severity, "state": self.state, "rule__code": self.rule}
        return Q(**{name: value for name, value in given.items() if value})


def _chosen(request: HttpRequest) -> Chosen:
    severity, state, rule = (request.GET.get(name, "") for name in ("severity", "state", "rule"))
    return Chosen(
        severity if severity in Severity.values else "",
        state if state in Alert.State.values else "",
        rule if AlertRule.objects.filter(code=rule).exists() else "",
    )


@operators_only
def index(request: HttpRequest) -> HttpResponse:
    """What is open, what was, and the rules."""
    now = timezone.now()
    chosen = _chosen(request)
    ran = Progress.objects.filter(pk=alerting.ALERTS).first()
    stamp = _stamp(ran, now)
    if request.GET.get("stamp") == stamp:
        return HttpResponse(status=204)
    rules = list(AlertRule.objects.annotate(fired=Max("alerts__opened_at"))[:MOST_RULES])
    found = (
        Alert.objects.filter(chosen.rows)
        .select_related("rule")
        .annotate(failed=Count("deliveries", filter=Q(deliveries__state=Delivery.State.FAILED)))
    )
    unresolved = list(found.filter(resolved_at=None).order_by("severity", "-opened_at"))
    resolved = found.filter(state=Alert.State.RESOLVED)
    groups = [(state, [one for one in unresolved if one.state == state]) for state in ("open", "acknowledged")] + [
        ("resolved", list(resolved.order_by("-opened_at")[:RESOLVED]))
    ]
    return render(
        request,
        "monitoring/alerts.html",
        {
            "groups": [(Alert.State(state).label, rows) for state, rows in groups if rows],
            "resolved": resolved.count(),
            "rules": rules,
            "on": sum(one.enabled for one in rules),
            "ran": ran,
            "late": ran is None or ran.done_at is None or (now - ran.done_at).total_seconds() > 300,
            "ways": _ways(),
            "chosen": chosen,
            "severities": Severity.choices,
            "states": Alert.State.choices,
            "now": now,
            "stamp": stamp,
            "may_handle": request.user.has_perm(HANDLE),
            "may_edit": request.user.has_perm("monitoring.change_alertrule"),
            "may_add": request.user.has_perm("monitoring.add_alertrule"),
        }
        | common(request),
    )


def _stamp(ran: Progress | None, now: datetime) -> str:
    """Changes with every evaluation, and with what somebody did to an alert."""
    touched = Alert.objects.aggregate(n=Count("pk"), acknowledged=Max("acknowledged_at"), resolved=Max("resolved_at"))
    moments = [ran.done_at if ran else None, touched["acknowledged"], touched["resolved"]]
    return "-".join([str(touched["n"]), *(f"{moment.timestamp():.3f}" if moment else "0" for moment in moments)])


def _ways() -> list[str]:
    """Where messages go, without the addresses."""
    found = []
    if settings.MONITORING_ALERT_EMAILS:
        found.append(_("e-mail to {n}").format(n=len(settings.MONITORING_ALERT_EMAILS)))
    if settings.MONITORING_ALERT_WEBHOOKS:
        found.append(_("webhook to {n}").format(n=len(settings.MONITORING_ALERT_WEBHOOKS)))
    return found


@operators_only
def alert(request: HttpRequest, pk: int) -> HttpResponse:
    """One alert with what was told about it."""
    found = get_object_or_404(Alert.objects.select_related("rule"), pk=pk)
    return render(
        request,
        "monitoring/alert.html",
        common(request)
        | {
            # After what all pages share, where "alert" is the line at 80 %.
            "alert": found,
            "deliveries": found.deliveries.order_by("-created_at", "-pk")[:50],
            "most_attempts": delivery.MOST_ATTEMPTS,
            "now": timezone.now(),
            "may_handle": request.user.has_perm(HANDLE),
        },
    )


@operators_only
def alerts_csv(request: HttpRequest) -> HttpResponse:
    """All alerts that are chosen, newest first."""
    header = ["id", "severity", "state", "rule", "key", "value", "peak", "limit", "unit", "count", "session", "model",
              "opened_at", "acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by"]  # fmt: skip
    chosen = _chosen(request)
    rows = Alert.objects.filter(chosen.rows).select_related("rule").order_by("-opened_at")
    lines = [
        [one.pk, one.severity, one.state, one.rule.code, one.key, one.value, one.peak, one.limit,
         wording.UNITS[one.rule.measure], one.count, one.session or "", one.model, one.opened_at.isoformat(),
         _iso(one.acknowledged_at), one.acknowledged_by, _iso(one.resolved_at), one.resolved_by]
        for one in rows[:10_000]
    ]  # fmt: skip
    return csv_of("-".join(filter(None, ["alerts", chosen.severity, chosen.state, chosen.rule])), header, lines)


def _iso(at: datetime | None) -> str:
    return at.isoformat() if at else ""


@require_POST
@acting(HANDLE)
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Somebody looks at it."""
    get_object_or_404(Alert, pk=pk)
    if not alerting.acknowledge(pk, request.user.pk):
        messages.info(request, _("Somebody else was faster: it was not open any more."))
    return _back(request, pk)


@require_POST
@acting(HANDLE)
def resolve(request: HttpRequest, pk: int) -> HttpResponse:
    """Somebody says that it is over."""
    get_object_or_404(Alert, pk=pk)
    if not alerting.resolve(pk, request.user.pk):
        messages.info(request, _("It was resolved already."))
    return _back(request, pk)


@require_POST
@acting(HANDLE)
def test(request: HttpRequest) -> HttpResponse:
    """Send a test on every way that is set up, now, and say what came of it."""
    now = timezone.now()
    newest = Delivery.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    if not delivery.tell(None, Delivery.Event.TEST, now):
        messages.warning(
            request, _("Nobody is set up to be told: see MONITORING_ALERT_EMAILS and MONITORING_ALERT_WEBHOOKS.")
        )
        return redirect("monitoring:alerts")
    delivery.send_due()
    for one in Delivery.objects.filter(pk__gt=newest, event=Delivery.Event.TEST).order_by("pk"):
        way = one.get_channel_display()
        if one.state == Delivery.State.SENT:
            messages.success(request, _("Test by {way}: arrived.").format(way=way))
        else:
            why = wording.outcome(one, delivery.MOST_ATTEMPTS)
            messages.error(request, _("Test by {way}: {outcome}.").format(way=way, outcome=why))
    return redirect("monitoring:alerts")


def _back(request: HttpRequest, pk: int) -> HttpResponseRedirect:
    if request.POST.get("from") == "alert":
        return redirect("monitoring:alert", pk)
    return redirect(f"{reverse('monitoring:alerts')}#alert-{pk}")


@operators_only
def runbook(request: HttpRequest) -> HttpResponse:
    """What to do about each kind of alert."""
    return render(request, "monitoring/alerts_runbook.html", common(request))


def rule(request: HttpRequest, code: str) -> HttpResponse:
    """A rule as a form, with what it would have done in the last 7 days; saved by POST."""
    return _rule(request, code)


def rule_new(request: HttpRequest) -> HttpResponse:
    """The form for a rule of one's own."""
    return _rule(request, None)


def _rule(request: HttpRequest, code: str | None) -> HttpResponse:
    right = "monitoring.change_alertrule" if code else "monitoring.add_alertrule"
    view = acting(right)(_save) if request.method == "POST" else operators_only(_show)
    return view(request, code)


def _found(code: str | None) -> AlertRule | None:
    """The rule of this code, looked for behind the guard: strangers learn nothing of which rules there are."""
    return get_object_or_404(AlertRule, code=code) if code else None


def _show(request: HttpRequest, code: str | None) -> HttpResponse:
    """The form; of a rule that is being edited, with the fields of the address, what it would have done."""
    found = _found(code)
    edited = RuleForm(request.GET if "limit" in request.GET else None, instance=_copy(found))
    drawn = None
    if not edited.is_bound and found:
        drawn = rehearsal.of(found, timezone.now())
    elif edited.is_bound and edited.is_valid():
        drawn = rehearsal.of(edited.instance, timezone.now())
    if "HX-Request" in request.headers:
        return render(request, "monitoring/_rehearsal.html", {"rehearsal": drawn, "form": edited})
    return _form(request, found, edited, drawn)


def _save(request: HttpRequest, code: str | None) -> HttpResponse:
    found = _found(code)
    edited = RuleForm(request.POST, instance=_copy(found))
    if not edited.is_valid():
        return _form(request, found, edited, None, status=422)
    now = timezone.now()
    with transaction.atomic():
        changed = edited.instance
        if found is None:
            changed.code = _code(changed)
        # Counts of evaluations against the old lines say nothing about the new ones.
        changed.standing, changed.evaluated_at = {}, None
        changed.save()
        LogEntry.objects.log_actions(
            request.user.pk, [changed], ADDITION if found is None else CHANGE,
            change_message=[{"changed": {"fields": [*edited.changed_data]}}], single_object=True,
        )  # fmt: skip
        if not changed.enabled:
            alerting.end_of(changed, request.user.pk, now)
    messages.success(request, _("Saved: {name}.").format(name=wording.name(changed)))
    return redirect("monitoring:alerts")


def _copy(found: AlertRule | None) -> AlertRule:
    """What a form may write on: validating it must not change what the page shows as saved."""
    if found is None:
        return AlertRule(measure=Measure.SESSION, limit=90, resolve=85, opens_after=2, resolves_after=2, period_s=3_600)
    return AlertRule.objects.get(pk=found.pk)


def _code(rule: AlertRule) -> str:
    """A code of its own for a rule that somebody made: session-2, session-3."""
    taken = set(AlertRule.objects.filter(code__startswith=f"{rule.measure}-").values_list("code", flat=True))
    return next(code for number in range(1, 10_000) if (code := f"{rule.measure}-{number}") not in taken)


def _form(
    request: HttpRequest,
    found: AlertRule | None,
    edited: RuleForm,
    drawn: rehearsal.Rehearsal | None,
    status: int = 200,
) -> HttpResponse:
    right = "monitoring.change_alertrule" if found else "monitoring.add_alertrule"
    context = {"rule": found, "form": edited, "rehearsal": drawn, "may_save": request.user.has_perm(right)}
    return render(request, "monitoring/alerts_rule.html", context | common(request), status=status)
