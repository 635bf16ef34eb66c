"""What people may do and have done, in numbers."""

from django.conf import settings
from django.db import models


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
