"""What calls add up to by time, and how far the work in the background has come."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from monitoring.models.calls import CODE, Purpose


class Size(models.TextChoices):
    """How long a bucket is."""

    FIVE = "5m", _("5 minutes")
    HOUR = "1h", _("1 hour")
    DAY = "1d", _("1 day")


class Rollup(models.Model):
    """What the calls of one bucket of time add up to, for one model, purpose and strategy. See monitoring.rollups.

    `user` 0 is everybody (calls of nobody too); -1 is that again with all models and strategies in one row, without a
    name of either; rows of single users exist for hours and days only. Buckets start at
    whole multiples of their size in UTC. Whatever is a sum can be added over rows; a histogram maps the number of a
    bucket of its scale to how many calls fell in it (monitoring.histograms), and is added bucket by bucket.

    `calls` of any outcome, `failed` of them not "ok", `counted` by the API (their size is known), `priced` with a
    known price: where calls > priced, cost and savings are those of the priced ones, and the rest is unknown.
    `left`, `reused` and `spared` are in tokens as in ModelCall; `spared_cost` is what the spared tokens would have
    cost, at the price of a cached token where the call had a hit and at the input price elsewhere. `watch` and
    `alert` count calls at or over 70 % and 80 % of their window, `peak` is the highest share. First-token
    times stand apart by what the call found in the cache: all of it, part, nothing.
    """

    start = models.DateTimeField()
    size = models.CharField(max_length=2, choices=Size)
    model = models.CharField(max_length=CODE, blank=True)
    purpose = models.CharField(max_length=10, choices=Purpose)
    strategy = models.CharField(max_length=CODE, blank=True)
    user = models.BigIntegerField(default=0)
    calls = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    counted = models.PositiveIntegerField(default=0)
    priced = models.PositiveIntegerField(default=0)
    input = models.BigIntegerField(default=0)
    cache_read = models.BigIntegerField(default=0)
    cache_write = models.BigIntegerField(default=0)
    output = models.BigIntegerField(default=0)
    left = models.BigIntegerField(default=0)
    reused = models.BigIntegerField(default=0)
    spared = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    saved = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    spared_cost = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    shares = models.PositiveIntegerField(default=0)
    share_sum = models.FloatField(default=0)
    watch = models.PositiveIntegerField(default=0)
    alert = models.PositiveIntegerField(default=0)
    peak = models.FloatField(null=True, blank=True)
    utilisation = models.JSONField(default=dict, blank=True)
    first_hit = models.JSONField(default=dict, blank=True)
    first_partial = models.JSONField(default=dict, blank=True)
    first_miss = models.JSONField(default=dict, blank=True)
    total = models.JSONField(default=dict, blank=True)
    estimate = models.JSONField(default=dict, blank=True)
    outcomes = models.JSONField(default=dict, blank=True)
    misses = models.JSONField(default=dict, blank=True)
    components = models.JSONField(default=dict, blank=True)
    systems = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name = _("rollup")
        verbose_name_plural = _("rollups")
        constraints = [
            models.UniqueConstraint(
                fields=["size", "user", "start", "model", "purpose", "strategy"], name="rollup_once"
            ),
        ]
        indexes = [models.Index(fields=["size", "start"], name="rollup_size_start")]

    def __str__(self) -> str:
        return f"{self.size} {self.start:%Y-%m-%d %H:%M} {self.model} {self.purpose}"


class Progress(models.Model):
    """How far a piece of work in the background has come, and who does it now. One row a name.

    Of "loop": who holds the lease, until when, and when it last went round. Of "rollups": `seen` is the number of
    the newest call that is looked at no more, `ahead` that of the newest one looked at, since `ahead_at` (a call with
    a smaller number may still be committed meanwhile). Every bucket that ends by `five_until`, `hour_until` or
    `day_until` is rolled up. Calls before `floor` are deleted: their buckets must not be made again.
    """

    name = models.CharField(max_length=16, primary_key=True)
    owner = models.CharField(max_length=CODE, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    seen = models.BigIntegerField(default=0)
    ahead = models.BigIntegerField(default=0)
    ahead_at = models.DateTimeField(null=True, blank=True)
    five_until = models.DateTimeField(null=True, blank=True)
    hour_until = models.DateTimeField(null=True, blank=True)
    day_until = models.DateTimeField(null=True, blank=True)
    floor = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("progress")
        verbose_name_plural = _("progress")

    def __str__(self) -> str:
        return self.name
