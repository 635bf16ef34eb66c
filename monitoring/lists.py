"""The lists: all sessions, and all users with what they cost. Sorted and filtered by the address."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.db.models import F, OrderBy, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from monitoring import filters, over, saying, series, userdays
from monitoring.access import operators_only
from monitoring.filters import Filter
from monitoring.folding import Figures
from monitoring.models import ModelCall, SessionGauge
from monitoring.sending import common, csv_of

PAGE = 50  # sessions or users
MOST = 10_000  # lines of a CSV
SORTS: dict[str, tuple[OrderBy | str, ...]] = {
    "newest": ("-at", "pk"),
    "fullest": (F("utilisation").desc(nulls_last=True), "-at"),
    "context": ("-tokens", "pk"),
    "growth": ("-growth", "pk"),
    "compacts": (F("turns_to_compaction").asc(nulls_last=True), "-at"),
    "limit": (F("turns_left").asc(nulls_last=True), "-at"),
    "turns": ("-number", "pk"),
}
STATES = ("all", "soon", "over70", "over80", "failing")
USERS_BY = ("cost", "calls", "input", "output", "user")
SESSION_HEADER = [
    "session", "user", "model", "strategy", "turn", "utilisation", "context_tokens", "window_tokens",
    "growth_tokens_a_turn", "compacts_in_turns", "hard_limit_in_turns", "last_call_utc",
]  # fmt: skip


def _chosen(request: HttpRequest, name: str, offered: Any) -> str:
    given = request.GET.get(name, "")
    return given if given in offered else next(iter(offered))


def _sort(request: HttpRequest) -> str:
    """What will be full is listed by what comes first, everything else by what is newest."""
    soon = request.GET.get("state") == "soon" and "sort" not in request.GET
    return "limit" if soon else _chosen(request, "sort", SORTS)


def found(request: HttpRequest, chosen: Filter) -> Any:
    """The sessions that the address asks for, in its order."""
    now, state = timezone.now(), _chosen(request, "state", STATES)
    if state == "failing":
        rows = over.failing(chosen, now)
    elif state == "soon":
        rows = over.near(chosen, now)
    else:
        since = None if _ever(request, state) else now - chosen.span.length
        rows = over.gauges(chosen, since)
        limit = {"over70": series.WATCH, "over80": series.ALERT}.get(state)
        rows = rows.filter(utilisation__gte=limit) if limit else rows
    return rows.order_by(*SORTS[_sort(request)])


def _ever(request: HttpRequest, state: str) -> bool:
    """Whether the list is of all sessions there ever were: without a span in the address, but for what is now."""
    return "span" not in request.GET and state not in ("soon", "failing")


def named(text: str) -> Q | None:
    """Sessions whose id begins so: as many digits as one remembers. None for what is no beginning of an id."""
    digits = text.replace("-", "").lower()
    if not digits or len(digits) > 32 or not set(digits) <= set("0123456789abcdef"):
        return None
    return Q(session__gte=UUID(digits.ljust(32, "0")), session__lte=UUID(digits.ljust(32, "f")))


def _turn(request: HttpRequest) -> str:
    given = request.GET.get("turn", "")
    return given if given.isascii() and given.isdigit() and len(given) < 10 else ""


@operators_only
def sessions(request: HttpRequest) -> HttpResponse:
    """The sessions that have calls, with how full each is, why, and what happens next."""
    chosen = filters.read(request.GET)
    rows = found(request, chosen)
    looked_for, turn = request.GET.get("find", "").strip(), _turn(request)
    if looked_for:
        wanted = named(looked_for)
        rows = SessionGauge.objects.filter(wanted).order_by("-at") if wanted else SessionGauge.objects.none()
        only = list(rows[:2])
        if len(only) == 1:
            asked = f"?turn={turn}#fate" if turn else ""
            return redirect(reverse("monitoring:session", args=[only[0].session]) + asked)
    newest = SessionGauge.objects.order_by("-at").values_list("at", flat=True).first()
    call = ModelCall.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    stamp = f"{call}-{newest.timestamp() if newest else 0}"
    if request.GET.get("stamp") == stamp:
        return HttpResponse(status=204)
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "monitoring/sessions.html",
        {
            "page": page,
            "soon": over.stood(page.object_list),
            "counts": over.fullness(Filter(filters.EVER, chosen.model, chosen.strategy, chosen.user), timezone.now()),
            "sort": _sort(request),
            "state": _chosen(request, "state", STATES),
            "states": STATES,
            "find": looked_for,
            "turn": turn,
            "stamp": stamp,
        }
        | common(request, chosen),
    )


@operators_only
def sessions_csv(request: HttpRequest) -> HttpResponse:
    """The same sessions as lines, at most MOST of them."""
    chosen, state = filters.read(request.GET), _chosen(request, "state", STATES)
    columns = (
        "session", "user", "model", "strategy", "number", "utilisation", "tokens", "window", "growth",
        "turns_to_compaction", "turns_left", "at",
    )  # fmt: skip
    lines = (
        [*row[:5], "" if row[5] is None else f"{row[5]:.4f}", *row[6:8], round(row[8]), *row[9:11], row[11].isoformat()]
        for row in found(request, chosen).values_list(*columns)[:MOST]
    )
    of = replace(chosen, span=filters.EVER) if _ever(request, state) else chosen
    return csv_of("-".join(filter(None, ["monitoring-sessions", state, of.name])), SESSION_HEADER, lines)


def _by_user(chosen: Filter, order: str) -> list[tuple[int, Figures]]:
    now = timezone.now()
    asked = {"model": chosen.model or None, "strategy": chosen.strategy or None, "user": chosen.user}
    by = userdays.by_user(filters.floor(chosen.since(now), filters.HOUR), now, **asked)

    def key(pair: tuple[int, Figures]) -> tuple[Any, ...]:
        user, one = pair
        sizes = {"cost": one.cost, "calls": one.calls, "input": one.size, "output": one.output}
        return (-sizes[order], user) if order in sizes else (user,)

    return sorted(by.items(), key=key)


@operators_only
def users(request: HttpRequest) -> HttpResponse:
    """What each user costs in the span, the dearest first."""
    chosen, order = filters.read(request.GET), _chosen(request, "sort", USERS_BY)
    rows = _by_user(chosen, order)
    every = over.folding.total(one for _, one in rows)
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "monitoring/users.html",
        {"page": page, "sort": order, "every": every, "of": saying.of_time(chosen.span.length)}
        | common(request, chosen),
    )


@operators_only
def users_csv(request: HttpRequest) -> HttpResponse:
    """The same users as lines."""
    chosen = filters.read(request.GET)
    header = ["user", "calls", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_usd",
              "saved_by_caching_usd", "calls_without_a_price"]  # fmt: skip
    lines = (
        [user, one.calls, one.size, one.cache_read, one.cache_write, one.output, one.cost, one.saved, one.unpriced]
        for user, one in _by_user(chosen, _chosen(request, "sort", USERS_BY))[:MOST]
    )
    return csv_of(f"monitoring-users-{chosen.name}", header, lines)
