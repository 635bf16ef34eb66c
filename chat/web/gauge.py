"""The gauge in words and shapes: figures come from `context.gauge`, this only says and draws them.

Every figure is rounded to the same unit so that what is shown adds up to what is shown: a sum that is off by a
tenth reads like a bug.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db.models import Sum
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.context import budget as budgets
from chat.context import gauge as gauges
from chat.context.budget import Budget
from chat.context.values import Line
from chat.flow import engine
from chat.models import ChatSession, Manifest, Summary, Turn
from chat.store import coverage

BAR = 1000
"""Units of the drawn bar's width."""

# Over this share of the window the gauge turns amber: compaction lags (the operators' first alert is the same).
HIGH = 0.70

NEWEST = 20
"""Turns among which a counted one is looked for: an imported history has none, however long it is."""

KILO_FROM = 10_000
"""Tokens of a window from which figures are shown in thousands, to a tenth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One component: its share of the bar (units of BAR) and its line in the legend."""

    name: str
    label: str
    detail: str
    tokens: str
    percent: str
    x: int = 0
    width: int = 0
    over: bool = False


def of_session(session: ChatSession) -> dict[str, Any] | None:
    """What the gauge template shows; None until a reply has been counted."""
    manifest = (
        Manifest.objects.filter(
            turn__session_id=session.pk,
            turn__active=True,
            turn__number__gt=session.turns_active - NEWEST,
            turn__status__in=Turn.TERMINAL,
        )
        .select_related("turn")
        .defer("turn__prompt", "turn__reply", "turn__reply_html", "parts")
        .order_by("-turn__number")
        .first()
    )
    if manifest is None:
        return None
    lines = [Line(*line) for line in manifest.budget]
    budget = _budget(manifest.window, lines)
    if budget is None:
        return None
    number, measured, estimated, reply = (
        manifest.turn.number,
        manifest.measured,
        manifest.estimated,
        manifest.turn.reply_tokens,
    )
    # A compaction since that request: what the next one will hold is known by counting the rows.
    if session.window_from != manifest.window_from:
        lines = _next_lines(session, lines, number)
        measured, estimated, reply = None, sum(line.used for line in lines), 0
    found = gauges.gauge(
        lines,
        budget=budget,
        policy=engine.policy(session.window_messages, chunk_tokens=0),
        measured=measured,
        estimated=estimated,
        reply_tokens=reply,
        verbatim=number - session.window_from + 1,
        compacts=session.strategy == ChatSession.Strategy.SUMMARY and session.mode == ChatSession.Mode.AUTO,
    )
    return present(found, number=number, details=_details(session, number), counted=measured)


def _budget(window: int, lines: Sequence[Line]) -> Budget | None:
    """The split that the request was made with; None when the settings have changed so that it can't be."""
    system = next((line.used for line in lines if line.component == "system"), 0)
    try:
        return budgets.split(
            window,
            preset=budgets.parse(settings.CHAT_BUDGET),
            response=settings.CHAT_RESPONSE_TOKENS,
            system_tokens=system,
        )
    except budgets.BudgetError:
        return None


def _next_lines(session: ChatSession, lines: Sequence[Line], number: int) -> list[Line]:
    summaries = Summary.objects.filter(session_id=session.pk, state=Summary.State.ACTIVE, until__active=True)
    now = {
        "history": coverage.range_tokens(session.pk, session.window_from, number),
        "summaries": summaries.aggregate(total=Sum("tokens"))["total"] or 0,
        "current": 0,
    }
    return [replace(line, used=now.get(line.component, line.used)) for line in lines]


def present(
    gauge: gauges.Gauge, *, number: int = 0, details: Mapping[str, str] | None = None, counted: int | None = None
) -> dict[str, Any]:
    """The words and shapes for one gauge. `details` says of a component what is in it; `counted` is the API's own."""
    details = details or {}
    names = [name for name, tokens in gauge.components.items() if tokens > 0]
    figures = [*(gauge.components[name] for name in names), gauge.reserve, gauge.free]
    # Past the hard limit nothing is free, and what is over eats into the reserve.
    figures[-2] -= max(0, sum(figures) - gauge.window)
    unit = 100 if gauge.window >= KILO_FROM else 1
    rounded = apportion(figures, gauge.window, unit)
    shares = apportion(figures, 1000 if gauge.window else 0, 1, whole=gauge.window)
    about = "~" if gauge.estimated else ""
    parts, x = [], 0
    for name, tokens, share in zip(names, rounded, shares, strict=False):
        width = max(2, round(tokens * BAR / gauge.window))
        parts.append(
            Part(
                name=name,
                label=_label(name),
                detail=details.get(name, ""),
                tokens=about + kilo(tokens, unit),
                percent=_percent(share),
                x=x,
                width=min(width, BAR - x),
            )
        )
        x = min(BAR, x + width)
    used = sum(rounded[: len(names)])
    share = round(used * 100 / gauge.window) if gauge.window else 0
    title = _("Context %(used)s of %(window)s (%(share)s %%)") % {
        "used": about + kilo(used, unit),
        "window": kilo(gauge.window, unit),
        "share": share,
    }
    reserve = Part(
        name="reserve",
        label=_("Reply reserve"),
        detail=_("the reply and a margin of safety"),
        tokens=kilo(rounded[-2], unit),
        percent=_percent(shares[-2]),
        over=True,
    )
    free = Part(
        name="free", label=_("Free"), detail="", tokens=about + kilo(rounded[-1], unit), percent=_percent(shares[-1])
    )
    mark = gauge.compacts_at if gauge.compacts_at is not None else gauge.hard_limit
    return {
        "window": gauge.window,
        "used": gauge.tokens,
        "high": gauge.share >= HIGH,
        "percent": f"{about}{share} %",
        "title": title,
        "sentence": f"{title}{_left(gauge, short=True)}",
        "next": _left(gauge),
        "parts": parts,
        "legend": [*parts, reserve, free],
        "now": about + kilo(used, unit),
        "mark": about + kilo(_to(mark, unit), unit),
        "mark_label": _("compacts at") if gauge.compacts_at is not None else _("leaves out from"),
        "limit": kilo(_to(gauge.hard_limit, unit), unit),
        "now_x": min(BAR, round(used * BAR / gauge.window)),
        "mark_x": min(BAR, round(mark * BAR / gauge.window)),
        "limit_x": min(BAR, round(gauge.hard_limit * BAR / gauge.window)),
        "reserve_w": BAR - min(BAR, round(gauge.hard_limit * BAR / gauge.window)),
        "note": _note(gauge, number, counted),
        "ring": _ring(used, mark, gauge),
    }


def apportion(figures: list[int], total: int, unit: int, *, whole: int | None = None) -> list[int]:
    """Round `figures` to multiples of `unit` whose sum is `total`, so rounded too (largest remainder).

    With `whole` the figures are first scaled from it to `total`: shares of one whole.
    """
    scale = 1 if whole is None else total / whole if whole else 0
    exact = [figure * scale / unit for figure in figures]
    floors = [int(value) for value in exact]
    missing = round(total / unit) - sum(floors)
    by_rest = sorted(range(len(exact)), key=lambda at: floors[at] - exact[at])
    for at in by_rest[: max(0, missing)]:
        floors[at] += 1
    return [value * unit for value in floors]


def kilo(tokens: int, unit: int = 100) -> str:
    """Tokens as people read them: "41.2 k", or all digits where the unit is one token."""
    if unit == 1:
        return number_format(tokens)
    text = number_format(tokens / 1000, 1 if tokens % 1000 else 0)
    return f"{text} k"


def _to(tokens: int, unit: int) -> int:
    return round(tokens / unit) * unit


def _percent(thousandths: int) -> str:
    return f"{number_format(thousandths / 10, 1)} %"


def _label(name: str) -> str:
    return {
        "system": _("System"),
        "documents": _("Documents"),
        "facts": _("Facts"),
        "summaries": _("Summaries"),
        "recall": _("Recalled"),
        "history": _("History"),
        "tool_results": _("Tool results"),
    }.get(name, name)


def _details(session: ChatSession, last: int) -> dict[str, str]:
    """What each component holds."""
    first = min(session.window_from, last)
    out = {"system": _("instructions, static"), "facts": _("exact values")}
    if first > 1:
        out["summaries"] = _("for turns %(first)s–%(last)s") % {"first": 1, "last": first - 1}
    out["history"] = (
        _("turn %(last)s, word for word") % {"last": last}
        if first == last
        else _("turns %(first)s–%(last)s, word for word") % {"first": first, "last": last}
    )
    return out


def _left(gauge: gauges.Gauge, *, short: bool = False) -> str:
    left = gauge.turns_left
    if left is None:
        return ""
    if short:
        return ", " + ngettext("~%(n)s turn left", "~%(n)s turns left", left) % {"n": left}
    if left == 0:
        if gauge.compacts_at is None:
            return _("With the next turns older parts leave the model’s view.")
        return _("Older parts are compressed next, in the background.")
    if gauge.compacts_at is None:
        return ngettext(
            "About %(n)s turn left until older parts leave the model’s view.",
            "About %(n)s turns left until older parts leave the model’s view.",
            left,
        ) % {"n": left}
    return ngettext(
        "About %(n)s turn left until older parts are compressed.",
        "About %(n)s turns left until older parts are compressed.",
        left,
    ) % {"n": left}


def _note(gauge: gauges.Gauge, number: int, counted: int | None) -> str:
    if counted is None:
        return _("“~” is an estimate: no request of this shape has been counted by the API yet.")
    return _("The API counted %(tokens)s tokens for turn %(number)s; its reply is added.") % {
        "tokens": number_format(counted, force_grouping=True),
        "number": number,
    }


def _ring(used: int, mark: int, gauge: gauges.Gauge) -> dict[str, str]:
    """Lengths on a ring of 100, and the mark's angle in degrees; with a point, whatever the language."""
    used_share = min(100.0, used * 100 / gauge.window)
    kept = gauge.reserve * 100 / gauge.window
    return {
        "used": f"{used_share:.1f}",
        "not_used": f"{100 - used_share:.1f}",
        "kept": f"{kept:.1f}",
        "not_kept": f"{100 - kept:.1f}",
        "mark": f"{min(1.0, mark / gauge.window) * 360:.1f}",
    }
