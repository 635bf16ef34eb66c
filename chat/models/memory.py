"""What stands for turns that are no longer sent word for word: summaries, facts, and the notices that say so."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from chat.models.literal import beginning


class Summary(models.Model):
    """The text that stands for the turns `first`..`last` of the branch on which `until` is its last turn.

    Rows are never edited: an edit or a rebuild is a new version. A draft is a chunk that was paid for but not yet
    committed, so that a killed compactor never pays twice. `source_hash` covers the digests and exclusions of the
    turns; `input_hash` adds the version of the prompt.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        ACTIVE = "active"
        RESTING = "resting"
        STALE = "stale"
        UNDONE = "undone"
        REJECTED = "rejected"

    class MadeBy(models.TextChoices):
        MODEL = "model"
        EXTRACT = "extract"
        USER = "user"

    session = models.ForeignKey("chat.ChatSession", models.CASCADE, related_name="summaries")
    tier = models.PositiveSmallIntegerField(default=1)
    first = models.PositiveIntegerField()
    last = models.PositiveIntegerField()
    until = models.ForeignKey("chat.Turn", models.CASCADE, related_name="+")
    state = models.CharField(max_length=8, choices=State, default=State.DRAFT)
    version = models.PositiveSmallIntegerField(default=1)
    replaces = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="+")
    merged_into = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="merged")
    text = models.TextField(blank=True)
    tokens = models.PositiveIntegerField(default=0)
    source_tokens = models.PositiveIntegerField(default=0)
    source_hash = models.CharField(max_length=64)
    input_hash = models.CharField(max_length=64)
    model = models.CharField(max_length=100, blank=True)
    made_by = models.CharField(max_length=8, choices=MadeBy, default=MadeBy.MODEL)
    gate = models.JSONField(default=dict, blank=True)
    reason = models.CharField(max_length=40, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    committed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "summaries"
        indexes = [models.Index(fields=["session", "state", "first"], name="chat_summary_state")]
        constraints = [
            models.CheckConstraint(name="summary_range_is_ordered", condition=Q(first__gte=1, first__lte=F("last"))),
            models.UniqueConstraint(
                fields=["session", "first", "last", "input_hash", "version"], name="one_summary_an_input_and_version"
            ),
        ]

    def __str__(self) -> str:
        return f"S{self.pk} of turns {self.first}-{self.last}"


class Notice(models.Model):
    """That the model sees less than the user can scroll to: said at the place in the transcript after `last`."""

    class Kind(models.TextChoices):
        COMPRESSED = "compressed"
        TRIMMED = "trimmed"
        LEFT_OUT = "left_out"
        CLAMPED = "clamped"
        FAILED = "failed"
        RESTORED = "restored"

    session = models.ForeignKey("chat.ChatSession", models.CASCADE, related_name="notices")
    kind = models.CharField(max_length=10, choices=Kind)
    first = models.PositiveIntegerField()
    last = models.PositiveIntegerField()
    until = models.ForeignKey("chat.Turn", models.CASCADE, related_name="+")
    summary = models.ForeignKey(Summary, models.SET_NULL, null=True, blank=True, related_name="notices")
    turn = models.ForeignKey("chat.Turn", models.SET_NULL, null=True, blank=True, related_name="+")
    tokens_before = models.PositiveIntegerField(default=0)
    tokens_after = models.PositiveIntegerField(default=0)
    model = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["session", "first"], name="chat_notice_place")]
        constraints = [
            models.UniqueConstraint(
                fields=["session", "kind", "first", "last", "until"],
                name="one_notice_a_range",
                condition=Q(ended_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.first}-{self.last} of {self.session_id}"


class Fact(models.Model):
    """A value that must not be lost, with the sentence that it rests on.

    Current = not forgotten, its turn (if any) active, not superseded by a current one: so a branch switch writes
    nothing. `since` is the session's context version when it was learnt.
    """

    class MadeBy(models.TextChoices):
        CODE = "code"
        MODEL = "model"
        USER = "user"

    session = models.ForeignKey("chat.ChatSession", models.CASCADE, related_name="facts")
    kind = models.CharField(max_length=20)
    value = models.TextField()
    quote = models.TextField(blank=True)
    turn = models.ForeignKey("chat.Turn", models.CASCADE, null=True, blank=True, related_name="facts")
    since = models.PositiveIntegerField(default=0)
    supersedes = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="superseded_by")
    pinned = models.BooleanField(default=False)
    made_by = models.CharField(max_length=8, choices=MadeBy, default=MadeBy.CODE)
    created_at = models.DateTimeField(default=timezone.now)
    forgotten_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["session", "-id"], name="chat_fact_newest"),
            # What a request tells, pinned first: a long conversation has many thousands that it does not.
            models.Index(
                fields=["session", "-pinned", "-id"], condition=Q(forgotten_at__isnull=True), name="chat_fact_told"
            ),
            models.Index("session", beginning("value"), name="chat_fact_value"),
        ]

    def __str__(self) -> str:
        return f"fact {self.pk} of {self.session_id}"
