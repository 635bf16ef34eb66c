"""The switches that an operator turns while the site runs: one row, read by every process."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

ONLY = 1


class Switches(models.Model):
    """How the site runs just now, where that differs from the settings. No row: as the settings say.

    `summary_model` and `fallback_model`: '' means none but the settings'. `concurrency`: replies at once in one
    process, at most its own slots; None means all of them. What each one does: docs/runbook.md.
    """

    id = models.PositiveSmallIntegerField(primary_key=True, default=ONLY, editable=False)
    compaction_paused = models.BooleanField(default=False)
    inline_off = models.BooleanField(default=False)
    summary_model = models.CharField(max_length=100, blank=True, default="")
    fallback_model = models.CharField(max_length=100, blank=True, default="")
    concurrency = models.PositiveIntegerField(null=True, blank=True)
    read_only = models.BooleanField(default=False)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "switches"
        verbose_name_plural = "switches"
        default_permissions = ("view",)
        constraints = [models.CheckConstraint(name="one_row_of_switches", condition=Q(id=ONLY))]

    def __str__(self) -> str:
        return "runtime switches"
