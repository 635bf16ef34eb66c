"""Work to be done, who does it, and what was learnt about models. Ids, numbers and codes; no user's text."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from chat.models.literal import one_of


class JobQuerySet(models.QuerySet):
    """Jobs by what becomes of them."""

    def open(self) -> "JobQuerySet":
        """Jobs that wait or run: few, and found by an index of their own."""
        return self.filter(one_of("state", *Job.OPEN))


class Job(models.Model):
    """Background work as a row: enqueued by an insert in the caller's transaction, claimed by a conditional update."""

    class State(models.TextChoices):
        DUE = "due"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    OPEN = (State.DUE, State.RUNNING)

    kind = models.CharField(max_length=20)
    session = models.ForeignKey("chat.ChatSession", models.CASCADE, null=True, blank=True, related_name="jobs")
    args = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.DUE)
    priority = models.SmallIntegerField(default=0, help_text="Higher goes first.")
    run_after = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    epoch = models.PositiveIntegerField(default=0)
    owner = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=40, blank=True)
    progress = models.JSONField(null=True, blank=True, help_text="How far it is, and what it came to: numbers, codes.")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["-priority", "run_after"], name="chat_job_due", condition=Q(state__in=["due", "running"])
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "session"], name="one_open_job_a_session", condition=Q(state__in=["due", "running"])
            ),
            models.CheckConstraint(
                name="running_job_has_a_lease", condition=~Q(state="running") | Q(lease_until__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} job {self.pk}"


class Worker(models.Model):
    """A process that claims work, and when it last said so."""

    id = models.CharField(primary_key=True, max_length=64)
    kinds = models.CharField(max_length=60)
    slots = models.PositiveSmallIntegerField(default=0)
    live = models.PositiveSmallIntegerField(default=0)
    beat_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.id


class Calibration(models.Model):
    """Characters per token of a model, learnt from the usage of its calls."""

    model = models.CharField(primary_key=True, max_length=100)
    ratios = models.JSONField()
    samples = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.model


class Model(models.Model):
    """What the Models API said of a model: its window and its longest reply, in tokens."""

    id = models.CharField(primary_key=True, max_length=100)
    window = models.PositiveIntegerField()
    max_output = models.PositiveIntegerField(default=0)
    fetched_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.id
