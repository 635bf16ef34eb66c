"""What calls add up to by time, and how far the work in the background has come."""

from decimal import Decimal

from django.db import models
from django.utils.translation import gettext_lazy as _

from monitoring.models.calls import CODE, Kind, Purpose


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
    `left`, `reused`, `spared` and `rewritten` are in tokens as in ModelCall; `spared_cost` is what the spared tokens
    would have cost, and `rewrite_cost` what writing to the cache again did (monitoring.sparing says how). `watch` and
    `alert` count calls at or over 70 % and 80 % of their window, `peak` is the highest share. First-token
    times stand apart by what the call found in the cache: all of it, part, nothing. `cut` counts the calls in which
    a component had no room for all of it.
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
    rewritten = models.BigIntegerField(default=0, db_default=0)
    cost = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    saved = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    spared_cost = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    rewrite_cost = models.DecimalField(max_digits=18, decimal_places=6, default=0, db_default=Decimal(0))
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
    cut = models.JSONField(null=True, blank=True)

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


class UserDay(models.Model):
    """What one user's calls of a day come to, for one model and strategy: the list of users reads nothing else.

    Made from the day's rows of Rollup (monitoring.userdays), whose histograms nobody asks for by the thousand. `model`
    "*" is all models and strategies in one row. Sums as in Rollup.
    """

    start = models.DateTimeField()
    user = models.BigIntegerField()
    model = models.CharField(max_length=CODE, blank=True)
    strategy = models.CharField(max_length=CODE, blank=True)
    calls = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    counted = models.PositiveIntegerField(default=0)
    priced = models.PositiveIntegerField(default=0)
    input = models.BigIntegerField(default=0)
    cache_read = models.BigIntegerField(default=0)
    cache_write = models.BigIntegerField(default=0)
    output = models.BigIntegerField(default=0)
    cost = models.DecimalField(max_digits=18, decimal_places=6, default=0)
    saved = models.DecimalField(max_digits=18, decimal_places=6, default=0)

    class Meta:
        verbose_name = _("day of a user")
        verbose_name_plural = _("days of users")
        constraints = [
            models.UniqueConstraint(fields=["model", "start", "user", "strategy"], name="user_day_once"),
        ]
        indexes = [models.Index(fields=["start"], name="user_day_start")]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d} {self.user} {self.model}"


class EventHour(models.Model):
    """How many events of one kind, outcome and code an hour had, in sessions of one model and strategy.

    `model` and `strategy` are the session's when the hour was added up, '' where nothing was known of it. Tokens and
    seconds are sums; `timed` events told how long they took.
    """

    start = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=Kind)
    outcome = models.CharField(max_length=CODE)
    code = models.CharField(max_length=CODE, blank=True)
    model = models.CharField(max_length=CODE, blank=True)
    strategy = models.CharField(max_length=CODE, blank=True)
    events = models.PositiveIntegerField(default=0)
    tokens_before = models.BigIntegerField(default=0)
    tokens_after = models.BigIntegerField(default=0)
    seconds = models.FloatField(default=0)
    timed = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name = _("hour of events")
        verbose_name_plural = _("hours of events")
        constraints = [
            models.UniqueConstraint(
                fields=["start", "kind", "outcome", "code", "model", "strategy"], name="event_hour_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} {self.kind} {self.events}"


class Progress(models.Model):
    """How far a piece of work in the background has come, and who does it now. One row a name.

    Of "loop": who holds the lease, until when, and when it last went round. Of "rollups": `seen` is the number of
    the newest call that is looked at no more, `ahead` that of the newest one looked at, since `ahead_at` (a call with
    a smaller number may still be committed meanwhile). Every bucket that ends by `five_until`, `hour_until` or
    `day_until` is rolled up. Calls before `floor` are deleted: their buckets must not be made again. "events" is the
    same for the hours of events, and "userdays" knows a `day_until` alone.
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
