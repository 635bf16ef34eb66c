"""What stands beside the turns of a conversation: attached documents."""

from django.db import models
from django.utils import timezone


class Document(models.Model):
    """A file that was attached to a conversation, as text. The original bytes are not kept.

    Sent whole in the first message of every request while it stands (docs/architecture.md). `turn` is the turn it came
    with; none yet while it only waits beside the message box. `since` is the session's context version from which it
    is seen. `tokens` are estimated; `size` is the upload's, in bytes; `digest` is the SHA-256 of `text`.
    """

    session = models.ForeignKey("chat.ChatSession", models.CASCADE, related_name="documents")
    turn = models.ForeignKey("chat.Turn", models.SET_NULL, null=True, blank=True, related_name="documents")
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=12)
    text = models.TextField()
    digest = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField()
    tokens = models.PositiveIntegerField()
    since = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["session", "id"], name="chat_document_standing", condition=models.Q(removed_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"document {self.pk} of session {self.session_id}"
