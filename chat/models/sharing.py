"""What leaves a conversation by its owner's will: links to read it, and what was thought of a reply."""

import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

TOKEN_BYTES = 24


def token() -> str:
    """A name nobody can guess."""
    return secrets.token_urlsafe(TOKEN_BYTES)


class Share(models.Model):
    """A link to read a conversation as far as it had got when it was made. Revoked, it is as if it never was.

    `until` is the head at that time: what is written later, or on another branch, is not shown.
    """

    session = models.ForeignKey("chat.ChatSession", models.CASCADE, related_name="shares")
    token = models.CharField(max_length=64, unique=True, default=token)
    until = models.ForeignKey("chat.Turn", models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["session"], name="one_share_a_session", condition=models.Q(revoked_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return f"share {self.pk} of session {self.session_id}"


class Feedback(models.Model):
    """That a reply was no good, and why. The turn's manifest says what the model saw when it wrote it."""

    class Reason(models.TextChoices):
        FORGOT = "forgot", _("It forgot something")
        WRONG = "wrong", _("It is wrong")

    turn = models.OneToOneField("chat.Turn", models.CASCADE, primary_key=True, related_name="feedback")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    reason = models.CharField(max_length=8, choices=Reason)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"feedback on turn {self.turn_id}"
