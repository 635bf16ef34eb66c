"""What one person may use in a day: set aside before a call, settled when its turn ends.

Setting aside is one statement, an insert that becomes a conditional update where the day's row is there already. The
row's lock puts the messages of one person in line, so that of any number at once no more pass than fit. A day is a
UTC day by this process's clock; a turn is settled on the day on which it was opened.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from chat.models import Allowance, Turn
from chat.store import plain
from chat.store.plain import Change, Plus

MILLION = 1_000_000
UNLIMITED = 1 << 62
# When a reply ends, nobody knows: ask again after this.
LIVE_RETRY = timedelta(seconds=2)

_RESERVE = """
INSERT INTO chat_allowance AS held (user_id, day, messages, live, reserved, used, reserved_cost, cost)
VALUES (%s, %s, 1, 1, %s, 0, %s, 0)
ON CONFLICT (user_id, day) DO UPDATE SET
  messages = held.messages + 1,
  live = held.live + 1,
  reserved = held.reserved + excluded.reserved,
  reserved_cost = held.reserved_cost + excluded.reserved_cost
WHERE held.live < %s
  AND held.used + held.reserved + excluded.reserved <= %s
  AND held.cost + held.reserved_cost + excluded.reserved_cost <= %s
"""

_SPEND = """
INSERT INTO chat_allowance AS held (user_id, day, messages, live, reserved, used, reserved_cost, cost)
VALUES (%s, %s, 0, 0, 0, %s, 0, %s)
ON CONFLICT (user_id, day) DO UPDATE SET used = held.used + excluded.used, cost = held.cost + excluded.cost
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What one person may use: replies at once, tokens a day, millionths of a US dollar a day."""

    live: int = UNLIMITED
    tokens: int = UNLIMITED
    cost: int = UNLIMITED


@dataclass(frozen=True, slots=True)
class Reserved:
    """What was set aside: tokens, and millionths of a US dollar."""

    day: date
    tokens: int
    cost: int

    @property
    def columns(self) -> dict[str, object]:
        """As the turn remembers it, for the settlement."""
        return {"reserved_on": self.day, "reserved": self.tokens, "reserved_cost": self.cost}


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing was set aside. `reason`: live, tokens, spend, or messages (see store.rates); `ends_at`: when it ends."""

    reason: str
    ends_at: datetime

    @property
    def retry_after_ms(self) -> int:
        """From now until `ends_at`, in milliseconds."""
        return max(0, round((self.ends_at - timezone.now()).total_seconds() * 1000))


def caps() -> Caps:
    """The caps of the settings; 0 there means none."""
    return Caps(
        live=settings.CHAT_LIVE_TURNS or UNLIMITED,
        tokens=settings.CHAT_TOKENS_PER_DAY or UNLIMITED,
        cost=round(settings.CHAT_SPEND_PER_DAY * MILLION) or UNLIMITED,
    )


def reserve(user_id: int, tokens: int, cost: int, most: Caps | None = None) -> Reserved | Over:
    """Set aside what a call may use at most, in the caller's transaction; `most`: the settings' caps.

    Tokens, and millionths of a US dollar. What is set aside here goes into the columns of the turn, and lives and
    ends with it.
    """
    most = most or caps()
    now = timezone.now().astimezone(UTC)
    # Without a row there is nothing to compare with: one call that is over by itself would be inserted.
    if tokens > most.tokens or cost > most.cost:
        return Over("tokens" if tokens > most.tokens else "spend", _midnight(now))
    values = [user_id, now.date().isoformat(), tokens, cost, most.live, most.tokens, most.cost]
    if plain.together((_RESERVE, values)) == [1]:
        return Reserved(now.date(), tokens, cost)
    row = Allowance.objects.get(user_id=user_id, day=now.date())
    if row.used + row.reserved + tokens > most.tokens:
        # Replies that run have most set aside; as they end, what they did not use comes back.
        return Over("tokens", _midnight(now) if row.used + tokens > most.tokens else now + LIVE_RETRY)
    if row.cost + row.reserved_cost + cost > most.cost:
        return Over("spend", _midnight(now) if row.cost + cost > most.cost else now + LIVE_RETRY)
    return Over("live", now + LIVE_RETRY)


def settle(
    user_id: int, day: date | None, reserved: int | None, reserved_cost: int | None, *, used: int = 0, cost: int = 0
) -> None:
    """A turn has ended: give back what was set aside for it, and count what it used. In the transaction of its end.

    Tokens, and millionths of a US dollar. A turn for which nothing was set aside (`day` is None) is left out: it was
    opened by an older release, or copied in.
    """
    for change in settling(user_id, day, reserved, reserved_cost, used=used, cost=cost):
        plain.together(change)


def settling(
    user_id: int, day: date | None, reserved: int | None, reserved_cost: int | None, *, used: int = 0, cost: int = 0
) -> list[Change]:
    """What `settle` executes, for `plain.together`."""
    if day is None:
        return []
    changes = {
        "live": Plus(-1),
        "reserved": Plus(-(reserved or 0)),
        "reserved_cost": Plus(-(reserved_cost or 0)),
        "used": Plus(used),
        "cost": Plus(cost),
    }
    return [plain.updating(Allowance, {"user_id": user_id, "day": day}, changes)]


def spend(user_id: int, *, used: int, cost: int) -> None:
    """Count a call that did not end its turn (an attempt that broke off, a summary) as of today.

    Tokens, and millionths of a US dollar. Counted, never refused: it belongs to a turn that was let in.
    """
    if used or cost:
        with connection.cursor() as cursor:
            cursor.execute(_SPEND, [user_id, timezone.now().astimezone(UTC).date().isoformat(), used, cost])


def _midnight(now: datetime) -> datetime:
    """The next 00:00 UTC."""
    return datetime.combine(now.date() + timedelta(days=1), time(), UTC)


# --- what must hold -----------------------------------------------------------------------------------------

Due = tuple[int, int, int]


def wrong() -> list[tuple[int, date, Due, Due]]:
    """Allowances that don't hold what their live turns reserve: (user, day, what it holds, what is due).

    Both as (live, tokens, millionths of a US dollar).
    """
    due = {(user, day): (live, tokens, cost) for user, day, live, tokens, cost in _due()}
    rows = Allowance.objects.exclude(live=0, reserved=0, reserved_cost=0)
    held = {
        (row.user_id, row.day): (row.live, row.reserved, row.reserved_cost)
        for row in [*rows, *Allowance.objects.filter(day__in={day for _, day in due})]
    }
    none = (0, 0, 0)
    return [
        (user, day, held.get((user, day), none), due.get((user, day), none))
        for user, day in sorted({*due, *held})
        if held.get((user, day), none) != due.get((user, day), none)
    ]


def mend(user_id: int, day: date) -> bool:
    """Write what live turns reserve anew; whether anything changed. The caller holds a transaction.

    The row is locked before the turns are counted: whoever opens or ends a turn of this person waits, or was seen.
    """
    row, _ = Allowance.objects.get_or_create(user_id=user_id, day=day)
    row = Allowance.objects.select_for_update().get(pk=row.pk)
    due = next(iter(_due(user_id=user_id, day=day)), (user_id, day, 0, 0, 0))[2:]
    if due == (row.live, row.reserved, row.reserved_cost):
        return False
    Allowance.objects.filter(pk=row.pk).update(live=due[0], reserved=due[1], reserved_cost=due[2])
    return True


def _due(user_id: int | None = None, day: date | None = None):
    turns = Turn.objects.live().filter(reserved_on__isnull=False).order_by()
    if user_id is not None:
        turns = turns.filter(session__owner_id=user_id, reserved_on=day)
    counted = turns.values("session__owner_id", "reserved_on").annotate(
        count=Count("pk"), tokens=Coalesce(Sum("reserved"), 0), money=Coalesce(Sum("reserved_cost"), 0)
    )
    return counted.values_list("session__owner_id", "reserved_on", "count", "tokens", "money")
