"""What happened, in numbers: one row a call, one row an event, one row a session's fullness now.

Plain values and no foreign keys, so that usage outlives an erased conversation. No column takes free text: words
are codes of at most 64 characters that `monitoring.recording` checks, so a dashboard can't show what a user wrote.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

CODE = 64  # characters of the longest code; a model's name is the longest in use


class Purpose(models.TextChoices):
    """What a call to a model was for."""

    REPLY = "reply", _("reply")
    SUMMARY = "summary", _("summary")
    TITLE = "title", _("title")
    MERGE = "merge", _("merge")
    COUNT = "count", _("count")


class Kind(models.TextChoices):
    """What was done to a context, or tried."""

    COMPACTION = "compaction", _("Compaction")
    TRIM = "trim", _("Trim")
    RUNG = "rung", _("Overflow ladder")
    GATE_REJECTED = "gate_rejected", _("Gate rejection")
    RECOVERY = "recovery", _("Overflow recovery")
    SURGERY = "surgery", _("Surgery")
    UPSTREAM = "upstream", _("Trouble with the model's service")


class ModelCall(models.Model):
    """One call to a model. Tokens as the API counted them; `estimate` is what we had thought the input to be.

    The size of the input is input + cache_read + cache_write. `components` are our estimates of its parts.
    `compacts_at` is the context length at which compaction is due and `reserve` what is kept free for the reply
    and as headroom, both in tokens, 0 when not told. `cost` and `saved` (by the prompt cache) are in US dollars
    at the prices of the day, None when the price is unknown. `left` is what the session's call before had left in the
    cache (its reads and writes), so that reuse = least(cache_read, left) / left; `spared` is what the summaries in
    the request kept out of it (the turns that they cover, less the summaries). Both in tokens, None when not told.
    `rewritten` is what a compaction before this call had it write to the cache again (monitoring.sparing): None where
    none broke the cache. `cut` maps a component to the tokens of it that had no room; None where all had.
    `outcome` is "ok" or the code of the error; `system_digest` tells system prompts apart without holding them.
    """

    call = models.UUIDField(unique=True)
    at = models.DateTimeField()
    session = models.UUIDField(null=True, blank=True)
    turn = models.BigIntegerField(null=True, blank=True)
    number = models.PositiveIntegerField(null=True, blank=True)
    user = models.BigIntegerField(null=True, blank=True)
    purpose = models.CharField(max_length=10, choices=Purpose)
    model = models.CharField(max_length=CODE)
    strategy = models.CharField(max_length=CODE, blank=True)
    window = models.PositiveIntegerField(default=0)
    input = models.PositiveIntegerField(default=0)
    cache_read = models.PositiveIntegerField(default=0)
    cache_write = models.PositiveIntegerField(default=0)
    output = models.PositiveIntegerField(default=0)
    components = models.JSONField(default=dict, blank=True)
    estimate = models.PositiveIntegerField(null=True, blank=True)
    compacts_at = models.PositiveIntegerField(default=0)
    reserve = models.PositiveIntegerField(default=0)
    first_ms = models.PositiveIntegerField(null=True, blank=True)
    total_ms = models.PositiveIntegerField(null=True, blank=True)
    ttl = models.CharField(max_length=2, default="5m")
    system_digest = models.CharField(max_length=16, blank=True)
    stop_reason = models.CharField(max_length=CODE, blank=True)
    outcome = models.CharField(max_length=CODE, default="ok")
    miss_cause = models.CharField(max_length=CODE, blank=True)
    cost = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    saved = models.DecimalField(max_digits=12, decimal_places=6, null=True, blank=True)
    left = models.PositiveIntegerField(null=True, blank=True)
    spared = models.PositiveIntegerField(null=True, blank=True)
    rewritten = models.PositiveIntegerField(null=True, blank=True)
    cut = models.JSONField(null=True, blank=True)

    class Meta:
        verbose_name = _("model call")
        verbose_name_plural = _("model calls")
        indexes = [
            models.Index(fields=["session", "at"], name="call_session_at"),
            models.Index(fields=["at"], name="call_at"),
        ]

    def __str__(self) -> str:
        return str(self.call)

    @property
    def size(self) -> int:
        """The whole input: input_tokens + cache_read_input_tokens + cache_creation_input_tokens."""
        return self.input + self.cache_read + self.cache_write


class ContextEvent(models.Model):
    """A compaction, a trim, a rung of the overflow ladder, a rejected summary, a recovery, or surgery.

    `number` is the turn at which it took effect; tokens before and after; how many seconds it took. `outcome` is
    "ok" when it took effect, else the code of why not; `code` says which one of its kind it was.
    """

    at = models.DateTimeField()
    session = models.UUIDField(null=True, blank=True)
    user = models.BigIntegerField(null=True, blank=True)
    kind = models.CharField(max_length=16, choices=Kind)
    number = models.PositiveIntegerField(null=True, blank=True)
    model = models.CharField(max_length=CODE, blank=True)
    tokens_before = models.PositiveIntegerField(default=0)
    tokens_after = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(null=True, blank=True)
    outcome = models.CharField(max_length=CODE, default="ok")
    code = models.CharField(max_length=CODE, blank=True)

    class Meta:
        verbose_name = _("context event")
        verbose_name_plural = _("context events")
        indexes = [
            models.Index(fields=["session", "at"], name="event_session_at"),
            models.Index(fields=["at"], name="event_at"),
            models.Index(fields=["kind", "at"], name="event_kind_at"),
            models.Index(fields=["user", "at"], name="event_user_at"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class SessionGauge(models.Model):
    """How full a session is now: written with every reply, so that nobody has to scan calls to know.

    `growth` is the running average of tokens that a turn adds. `turns_left` fit below the hard limit if nothing is
    compacted, `turns_to_compaction` below the mark; None when nobody can tell. The `base_` columns hold the state
    before the newest turn, so that all calls of one turn count as one step. The `cached`, `ttl`, digest and
    `changed` columns are what the next call's cache is judged by, and `spared` what its rewriting is reckoned from.
    """

    session = models.UUIDField(primary_key=True)
    user = models.BigIntegerField(null=True, blank=True)
    model = models.CharField(max_length=CODE)
    strategy = models.CharField(max_length=CODE, blank=True)
    state = models.CharField(max_length=8)
    number = models.PositiveIntegerField(default=0)
    tokens = models.PositiveIntegerField(default=0)
    window = models.PositiveIntegerField(default=0)
    utilisation = models.FloatField(null=True, blank=True)
    growth = models.FloatField(default=0)
    turns_left = models.PositiveIntegerField(null=True, blank=True)
    turns_to_compaction = models.PositiveIntegerField(null=True, blank=True)
    base_tokens = models.PositiveIntegerField(default=0)
    base_number = models.PositiveIntegerField(default=0)
    base_growth = models.FloatField(default=0)
    cached = models.PositiveIntegerField(default=0)
    ttl = models.CharField(max_length=2, default="5m")
    system_digest = models.CharField(max_length=16, blank=True)
    tools_digest = models.CharField(max_length=16, blank=True)
    changed = models.CharField(max_length=10, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)
    spared = models.PositiveIntegerField(null=True, blank=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("session gauge")
        verbose_name_plural = _("session gauges")
        indexes = [
            models.Index(fields=["-at"], name="gauge_at"),
            models.Index(fields=["-utilisation"], name="gauge_utilisation"),
        ]

    def __str__(self) -> str:
        return str(self.session)
