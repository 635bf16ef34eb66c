"""Where somebody is signed in: what Django's own sessions don't tell."""

from django.conf import settings
from django.db import models
from django.utils import timezone


class SignIn(models.Model):
    """One browser of one person. `key` names the Django session; without one by that name it is over.

    No foreign key to it: a process of the release before ends sessions without knowing of this table. `browser` is
    what the browser called itself, in our words; '' where nobody noted it.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="sign_ins")
    key = models.CharField(max_length=40, unique=True)
    browser = models.CharField(max_length=60, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"sign-in {self.pk} of user {self.user_id}"
