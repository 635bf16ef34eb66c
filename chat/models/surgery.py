"""What staff did to conversations: who, when, why, and what was so before and after; and work on many at once.

Ids, versions, numbers, codes and hashes; no words of a user. Plain ids and no foreign keys to people or
conversations, so that the record outlives an erasure and never has to change for one.
"""

from django.db import models
from django.db.models import F
from django.utils import timezone

# What each operation of chat.surgery asks for, and what else staff may be allowed to do.
PERMISSIONS = (
    ("surgery_compact", "Can compact a conversation"),
    ("surgery_strategy", "Can change how a conversation is compressed"),
    ("surgery_mode", "Can change when a conversation is compressed"),
    ("surgery_thresholds", "Can change how many messages are sent word for word"),
    ("surgery_trim", "Can trim a conversation to its last turns"),
    ("surgery_drop_documents", "Can take documents out of a conversation"),
    ("surgery_model", "Can switch the model of a conversation"),
    ("surgery_pin", "Can pin turns"),
    ("surgery_exclude", "Can exclude turns, and include them again"),
    ("surgery_redact", "Can remove what was said in turns, for good"),
    ("surgery_restore", "Can send compressed turns word for word again"),
    ("surgery_edit_summary", "Can edit a summary"),
    ("surgery_roll_back_summary", "Can go back to an earlier version of a summary"),
    ("surgery_rebuild_summary", "Can have a summary made anew"),
    ("surgery_facts", "Can change what is remembered"),
    ("surgery_cancel", "Can cancel a stuck turn"),
    ("surgery_release", "Can release a lease"),
    ("surgery_fork", "Can fork a copy to reproduce a problem"),
    ("surgery_export", "Can export a conversation"),
    ("surgery_archive", "Can archive a conversation"),
    ("surgery_switches", "Can turn runtime switches"),
    ("read_text", "Can read the words of users"),
)


class Audit(models.Model):
    """One thing that was done. Never changed and never deleted: the database refuses both (chat.models.guards).

    `actor` is the id of who did it, None for the machine itself and for a command; `pseudonym` names a person after
    the account is gone, and is `SHELL` for a command: no person's looks like that, theirs are of hex.
    `target` are the numbers it was done to (turns, ids of summaries, facts or documents). `before` and `after` hold
    what chat.surgery.snapshot needs to take it back. `undo_of` is the entry that this one took back.
    """

    SHELL = "shell"

    at = models.DateTimeField(default=timezone.now)
    actor = models.BigIntegerField(null=True, blank=True)
    pseudonym = models.CharField(max_length=16, blank=True)
    operation = models.CharField(max_length=30)
    session = models.UUIDField(null=True, blank=True)
    target = models.JSONField(default=dict, blank=True)
    before = models.JSONField(default=dict, blank=True)
    after = models.JSONField(default=dict, blank=True)
    reason = models.CharField(max_length=500)
    undo_of = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="undone_by")
    batch = models.ForeignKey("chat.Batch", models.PROTECT, null=True, blank=True, related_name="audits")

    class Meta:
        verbose_name_plural = "audit"
        default_permissions = ("view",)
        permissions = PERMISSIONS
        indexes = [
            models.Index(F("at").desc(), name="chat_audit_newest"),
            models.Index(F("session"), F("id").desc(), name="chat_audit_session"),
            models.Index(F("actor"), F("id").desc(), name="chat_audit_actor"),
        ]

    def __str__(self) -> str:
        return f"audit {self.pk}: {self.operation}"

    @property
    def who(self) -> str:
        """Who did it, as pages say it."""
        if self.actor:
            return f"u-{self.actor}"
        return "the shell" if self.pseudonym == self.SHELL else "the machine"


class Batch(models.Model):
    """One operation on many conversations, done in the background. Its progress is that of its items."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        CANCELLED = "cancelled"

    at = models.DateTimeField(default=timezone.now)
    actor = models.BigIntegerField()
    operation = models.CharField(max_length=30)
    parameters = models.JSONField(default=dict, blank=True)
    reason = models.CharField(max_length=500)
    state = models.CharField(max_length=10, choices=State, default=State.RUNNING)
    total = models.PositiveIntegerField()
    undo_of = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="undone_by")
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "batches"
        default_permissions = ("view",)
        indexes = [models.Index(F("at").desc(), name="chat_batch_newest")]

    def __str__(self) -> str:
        return f"batch {self.pk}: {self.operation}"


class BatchItem(models.Model):
    """One conversation of a batch. `code` says what it came to where that is not plain success, `detail` with which
    figures. `tokens_before` and `tokens_after` are of what stands word for word or in summaries; `seconds` is what its
    last attempt took."""

    class State(models.TextChoices):
        DUE = "due"
        DONE = "done"
        NOTHING = "nothing"
        REFUSED = "refused"
        FAILED = "failed"
        CANCELLED = "cancelled"

    batch = models.ForeignKey(Batch, models.PROTECT, related_name="items")
    session = models.UUIDField()
    state = models.CharField(max_length=10, choices=State, default=State.DUE)
    code = models.CharField(max_length=40, blank=True)
    detail = models.JSONField(default=dict, blank=True)
    tokens_before = models.PositiveBigIntegerField(null=True, blank=True)
    tokens_after = models.PositiveBigIntegerField(null=True, blank=True)
    seconds = models.FloatField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["batch", "session"], name="one_item_a_session")]
        indexes = [models.Index(fields=["batch", "state", "id"], name="chat_batchitem_state")]

    def __str__(self) -> str:
        return f"session {self.session} in batch {self.batch_id}"
