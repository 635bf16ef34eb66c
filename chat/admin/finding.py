"""Finding conversations: by fullness, by what is wrong with them, by id and by user. Never by words."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from chat.admin import gauges, troubles
from chat.models import ChatSession

_FULL = "f" * 32
LEAST_DIGITS = 4


class Utilisation(admin.SimpleListFilter):
    """Over 70, 80 or 100 % of the window."""

    title = "utilisation"
    parameter_name = "over"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("70", "over 70 %"), ("80", "over 80 %"), ("100", "over 100 %"), ("none", "no calls yet")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChatSession]) -> QuerySet[ChatSession]:
        value = self.value()
        if value in ("70", "80", "100"):
            return queryset.filter(pk__in=gauges.over(int(value) / 100))
        if value == "none":
            return queryset.filter(~gauges.known())
        return queryset


class Trouble(admin.SimpleListFilter):
    """Stuck, stale, failing."""

    title = "trouble"
    parameter_name = "trouble"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, title) for name, (title, _) in troubles.KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChatSession]) -> QuerySet[ChatSession]:
        value = self.value()
        return queryset.filter(troubles.sessions(value)) if value in troubles.KINDS else queryset


class Standing(admin.SimpleListFilter):
    """Those in use, unless others are asked for."""

    title = "state"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "a turn is live"), ("archived", "archived"), ("deleted", "deleted, can be undone")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChatSession]) -> QuerySet[ChatSession]:
        match self.value():
            case "live":
                from_turns = troubles.Turn.objects.live().values("session_id")
                return queryset.filter(pk__in=from_turns)
            case "archived":
                return queryset.filter(archived_at__isnull=False)
            case "deleted":
                return queryset.filter(deleted_at__gt=ChatSession.GOING)
        return queryset


class Marks(admin.SimpleListFilter):
    """Those whose marks, or limit of messages, are not the settings'."""

    title = "marks"
    parameter_name = "marks"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("own", "its own")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChatSession]) -> QuerySet[ChatSession]:
        own = Q(soft_mark__isnull=False) | Q(hard_mark__isnull=False) | Q(window_messages__isnull=False)
        return queryset.filter(own) if self.value() == "own" else queryset


def search(queryset: QuerySet[ChatSession], text: str) -> QuerySet[ChatSession]:
    """Sessions by their id, or the beginning of it, or by their user: name, address or number."""
    wanted = Q()
    for word in text.split():
        own = Q(owner_id__in=_users(word))
        if bounds := _ids(word):
            own |= Q(pk__range=bounds)
        wanted &= own
    return queryset.filter(wanted)


def _ids(word: str) -> tuple[UUID, UUID] | None:
    """The first and the last id that begin so."""
    digits = word.lower().replace("-", "")
    if not LEAST_DIGITS <= len(digits) <= 32 or any(one not in "0123456789abcdef" for one in digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits + _FULL[len(digits) :])


def _users(word: str) -> QuerySet[Any]:
    name = Q(username__icontains=word) | Q(email__iexact=word)
    number = word.removeprefix("u-")
    if number.isascii() and number.isdecimal() and len(number) < 10:
        name |= Q(pk=int(number))
    return get_user_model()._default_manager.filter(name).values("pk")
