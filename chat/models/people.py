"""What people may do and have done, in numbers, and what they chose for themselves."""

from django.conf import settings
from django.db import models
from django.utils import timezone


class Allowance(models.Model):
    """What one person used on one day (UTC), and what is reserved for the turns that still run.

    Costs in millionths of a US dollar, so that sums are exact on every database. `live` and the two `reserved`
    columns always equal the sums over this person's live turns of that day; `check_invariants` recomputes them.
    Nothing forbids a negative number here: an error in this account must never cost anybody a reply.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="allowances")
    day = models.DateField()
    messages = models.IntegerField(default=0, db_default=0)
    live = models.IntegerField(default=0, db_default=0)
    reserved = models.BigIntegerField(default=0, db_default=0, help_text="Tokens set aside for live turns.")
    used = models.BigIntegerField(default=0, db_default=0, help_text="Tokens of finished calls, cached ones included.")
    reserved_cost = models.BigIntegerField(default=0, db_default=0)
    cost = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "day"], name="one_allowance_a_day")]

    def __str__(self) -> str:
        return f"allowance of user {self.user_id} on {self.day}"


class Preference(models.Model):
    """What one person chose once for all conversations. `delete_after_days`: without a message; empty: never.

    `new_email` is an address that was asked for and not yet confirmed. `preset`: what new conversations begin with;
    empty: the site's own instructions.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="preference")
    delete_after_days = models.PositiveIntegerField(null=True, blank=True)
    new_email = models.EmailField(blank=True, default="", db_default="")
    preset = models.ForeignKey("chat.Preset", models.SET_NULL, null=True, blank=True, related_name="+")

    def __str__(self) -> str:
        return f"preference of user {self.user_id}"


class Preset(models.Model):
    """Instructions that somebody keeps under a name, to be chosen for a conversation."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="presets")
    name = models.CharField(max_length=80)
    instructions = models.ForeignKey("chat.Instructions", models.PROTECT, related_name="presets")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_preset_a_name")]

    def __str__(self) -> str:
        return f"preset {self.pk}"
