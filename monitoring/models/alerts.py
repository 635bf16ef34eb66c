"""When somebody is told, what fired, and who was told how. Numbers, ids and codes here too."""

import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from monitoring.models.calls import CODE


class Measure(models.TextChoices):
    """What a rule looks at. Shares are given in percent, backlog in minutes, spend in US dollars."""

    MEAN = "mean", _("mean utilisation")
    SESSION = "session", _("utilisation of any session")
    OVERFLOW = "overflow", _("overflow recoveries")
    GATE = "gate", _("share of summaries refused by the gate")
    BACKLOG = "backlog", _("age of the oldest compaction that waits")
    CACHE = "cache", _("fall of the cache hit rate against 7 days")
    ERRORS = "errors", _("share of failed calls")
    SPEND = "spend", _("spend today")
    UPSTREAM = "upstream", _("trouble with the model's service")


class Severity(models.TextChoices):
    """How soon somebody has to look."""

    P0 = "P0", _("P0, wake someone")
    P1 = "P1", _("P1, now")
    P2 = "P2", _("P2, today")
    P3 = "P3", _("P3, this week")


class AlertRule(models.Model):
    """When to tell somebody. The decision itself is pure: monitoring.alerts.

    `measure` over the last `period_s` seconds is compared once every `every_s`; over `limit` for `opens_after`
    evaluations in a row it opens, below `resolve` for `resolves_after` it resolves, between the two nothing
    changes. With fewer than `minimum` samples there is no reading. `each` "model" or "session" makes an alert of its
    own for each. `standing` holds, by key, how many evaluations in a row were over or under; `value` is the newest
    reading.
    """

    class Each(models.TextChoices):
        ALL = "", _("one alert for all")
        MODEL = "model", _("one for each model")
        SESSION = "session", _("one for each session")

    code = models.CharField(max_length=24, unique=True)
    measure = models.CharField(max_length=16, choices=Measure)
    each = models.CharField(max_length=8, choices=Each, blank=True, default=Each.ALL)
    limit = models.FloatField()
    resolve = models.FloatField()
    opens_after = models.PositiveSmallIntegerField(default=1)
    resolves_after = models.PositiveSmallIntegerField(default=1)
    every_s = models.PositiveIntegerField(default=60)
    period_s = models.PositiveIntegerField(default=900)
    minimum = models.PositiveIntegerField(default=1)
    severity = models.CharField(max_length=2, choices=Severity, default=Severity.P2)
    repeat_s = models.PositiveIntegerField(default=14_400)
    email = models.BooleanField(default=True)
    webhook = models.BooleanField(default=True)
    enabled = models.BooleanField(default=True)
    standing = models.JSONField(default=dict, blank=True)
    value = models.FloatField(null=True, blank=True)
    evaluated_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("alert rule")
        verbose_name_plural = _("alert rules")
        ordering = ["severity", "code"]
        constraints = [
            models.CheckConstraint(condition=models.Q(resolve__lte=models.F("limit")), name="rule_resolves_below"),
            models.CheckConstraint(
                condition=models.Q(opens_after__gte=1, resolves_after__gte=1, every_s__gte=10, repeat_s__gte=60),
                name="rule_in_bounds",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class Alert(models.Model):
    """One time that a rule held, from opening to resolution. `key` is what it is deduplicated by: the rule's code,
    with the model or the session behind a colon where the rule makes one for each (see monitoring.alerts.key).

    `value` is the newest reading, `peak` the worst; `count` how many sessions or calls are over the limit now.
    `session` is the worst of them. People are ids.
    """

    class State(models.TextChoices):
        OPEN = "open", _("open")
        ACKNOWLEDGED = "acknowledged", _("acknowledged")
        RESOLVED = "resolved", _("resolved")

    rule = models.ForeignKey(AlertRule, on_delete=models.PROTECT, related_name="alerts")
    key = models.CharField(max_length=CODE)
    session = models.UUIDField(null=True, blank=True)
    model = models.CharField(max_length=CODE, blank=True)
    severity = models.CharField(max_length=2, choices=Severity)
    state = models.CharField(max_length=12, choices=State, default=State.OPEN)
    limit = models.FloatField()
    value = models.FloatField()
    peak = models.FloatField()
    count = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField()
    told_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.BigIntegerField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.BigIntegerField(null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        permissions = [("handle_alert", _("Can acknowledge and resolve alerts"))]
        constraints = [
            # The key, not (rule, session): SQLite can't take two nulls for the same.
            models.UniqueConstraint(
                fields=["rule", "key"], condition=models.Q(resolved_at__isnull=True), name="alert_unresolved_once"
            ),
            models.CheckConstraint(
                condition=models.Q(state="resolved", resolved_at__isnull=False)
                | (~models.Q(state="resolved") & models.Q(resolved_at__isnull=True)),
                name="alert_resolved_has_time",
            ),
        ]
        indexes = [models.Index(fields=["-opened_at"], name="alert_opened_at")]

    def __str__(self) -> str:
        return f"{self.key} {self.state}"


class Delivery(models.Model):
    """One message about an alert on one way; without an alert it is a test. `error` is a code.

    A due one is sent from `next_at` on; whoever sends it first moves `next_at` ahead, so that two never send at once,
    and one whose sender died is sent again: a receiver may see the same `uid` twice.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", _("e-mail")
        WEBHOOK = "webhook", _("webhook")

    class Event(models.TextChoices):
        OPENED = "opened", _("opened")
        REPEATED = "repeated", _("still open")
        ACKNOWLEDGED = "acknowledged", _("acknowledged")
        RESOLVED = "resolved", _("resolved")
        TEST = "test", _("test")

    class State(models.TextChoices):
        DUE = "due", _("due")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")

    uid = models.UUIDField(unique=True, default=uuid.uuid4)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, null=True, blank=True, related_name="deliveries")
    channel = models.CharField(max_length=8, choices=Channel)
    target = models.PositiveSmallIntegerField(default=0)
    event = models.CharField(max_length=12, choices=Event)
    state = models.CharField(max_length=8, choices=State, default=State.DUE)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=CODE, blank=True)
    value = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField()
    next_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [
            models.Index(fields=["next_at"], condition=models.Q(state="due"), name="delivery_due"),
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.event} {self.state}"
