"""How full conversations are, as monitoring keeps it: a table that the settings name, as they name the user's.

The chat knows nothing of monitoring but its door in; by the name that the wiring gives, pages may join its rows.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db.models import Count, Exists, Model, OuterRef, Q, QuerySet, Subquery, Sum

SUMMARIES = ("summary", "merge")


@dataclass(frozen=True, slots=True)
class Gauge:
    """The last reply's context length and its model's window, in tokens, and their quotient."""

    tokens: int | None = None
    window: int | None = None
    utilisation: float | None = None
    turns_left: int | None = None


def model() -> type[Model]:
    """The table: `session` (the key), `tokens`, `window`, `utilisation`, `turns_left`."""
    return apps.get_model(settings.CHAT_GAUGE_MODEL)


def rows() -> QuerySet[Any]:
    """All gauges."""
    return model()._default_manager.all()


def share() -> Subquery:
    """The utilisation of a session in a query of sessions."""
    return Subquery(rows().filter(session=OuterRef("pk")).values("utilisation")[:1])


def over(least: float) -> QuerySet[Any]:
    """The ids of sessions that are at least so full: an index says it."""
    return rows().filter(utilisation__gte=least).values("session")


def of(sessions: Iterable[UUID]) -> dict[UUID, Gauge]:
    """The gauges of these sessions. One statement."""
    found = rows().filter(session__in=list(sessions)).values("session", *Gauge.__dataclass_fields__)
    return {row.pop("session"): Gauge(**row) for row in found}


def fullest_first(sessions: Iterable[UUID]) -> list[UUID]:
    """These ids by utilisation; those without a gauge last."""
    ids = list(sessions)
    share = dict(rows().filter(session__in=ids).values_list("session", "utilisation"))
    return sorted(ids, key=lambda one: share.get(one) or 0.0, reverse=True)


def in_order(sessions: QuerySet[Any], *, fullest: bool) -> QuerySet[Any, UUID]:
    """The ids of those sessions that have a utilisation, by it. The index walks in that order, so that a page costs
    what stands before it and no sort of all."""
    chosen = rows().filter(Exists(sessions.filter(pk=OuterRef("session")).order_by()), utilisation__isnull=False)
    return chosen.order_by("-utilisation" if fullest else "utilisation", "-session").values_list("session", flat=True)


def without(sessions: QuerySet[Any]) -> QuerySet[Any, UUID]:
    """The ids of those that have none, as no call was counted."""
    return sessions.filter(~known()).order_by("-pk").values_list("pk", flat=True)


def known() -> Exists:
    """The condition on a session that its utilisation is known: asked by its key, a row at a time."""
    return Exists(rows().filter(session=OuterRef("pk"), utilisation__isnull=False))


def spent(sessions: QuerySet[Any], since: datetime, until: datetime | None) -> tuple[Decimal | None, int]:
    """What summaries for these sessions cost in that time, in US dollars, None when no price is known; and of how many
    calls nobody knows it."""
    calls = apps.get_model(settings.CHAT_CALL_MODEL)._default_manager.filter(
        session__in=sessions, purpose__in=SUMMARIES, at__gte=since
    )
    found = (calls.filter(at__lte=until) if until else calls).aggregate(
        sum=Sum("cost"), unknown=Count("pk", filter=Q(cost__isnull=True))
    )
    return found["sum"], found["unknown"]
