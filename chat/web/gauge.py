"""The gauge in words and shapes: figures come from `context.gauge`, this only says and draws them.

Every figure is rounded to the same unit so that what is shown adds up to what is shown: a sum that is off by a
tenth reads like a bug.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.context import gauge as gauges
from chat.models import ChatSession
from chat.store import coverage, documents, marks
from chat.store.standing import Standing
from chat.web import measuring

BAR = 1000
"""Units of the drawn bar's width."""

# Over this share of the window the gauge turns amber: compaction lags (the operators' first alert is the same).
HIGH = 0.70

MOST_REMEMBERED = 1_000
"""Facts that are counted: with each reply, for a figure that nobody reads to its last digit."""

KILO_FROM = 10_000
"""Tokens of a window from which figures are shown in thousands, to a tenth."""

ROWS = ("system", "documents", "facts", "summaries", "recall", "history")
"""What the legend always names, in the order in which the model reads it."""

FOLDED = {"pins": "history", "tool_results": "history"}
"""Shown as a part of another: all of it is turns, word for word."""


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


def of_session(session: ChatSession, remembered: int = 0) -> dict[str, Any] | None:
    """What the gauge template shows; None until a reply has been counted. `remembered`: how many facts there are."""
    found = measuring.measure(session)
    if found is None:
        return None
    details = _details(session, found.number, remembered)
    if found.gauge.components.get("documents"):
        files = documents.seen(session.pk).count()
        details["documents"] = ngettext("%(n)s file", "%(n)s files", files) % {"n": files}
    shown = present(
        found.gauge,
        number=found.number,
        details=details,
        counted=found.counted,
        asks=session.mode == ChatSession.Mode.ASK,
    )
    own = measuring.counter(session.model).ratios
    return shown | {"ratios": f"{own.prose} {own.code} {own.dense} {own.cjk}"}


def known(remembered: int) -> str:
    """How many facts are remembered, as it is shown."""
    return f"{remembered}" if remembered <= MOST_REMEMBERED else f"{MOST_REMEMBERED}+"


def about(tokens: int) -> str:
    """Tokens in a sentence: all digits below a thousand, else to a tenth of one."""
    return number_format(tokens) if tokens < 1_000 else kilo(round(tokens / 100) * 100)


def present(
    gauge: gauges.Gauge,
    *,
    number: int = 0,
    details: Mapping[str, str] | None = None,
    counted: int | None = None,
    asks: bool = False,
) -> dict[str, Any]:
    """The words and shapes for one gauge.

    `details` says of a component what is in it; `counted` is the API's own; `asks`: nothing is compressed unasked.
    """
    details = details or {}
    components = dict.fromkeys(ROWS, 0)
    for name, tokens in gauge.components.items():
        shown = FOLDED.get(name, name)
        components[shown] = components.get(shown, 0) + tokens
    names = list(components)
    thought = [gauge.thinking] if gauge.thinking else []
    figures = [*components.values(), *thought, gauge.reserve - gauge.thinking, gauge.free]
    # Past the hard limit nothing is free, and what is over eats into the reserve.
    figures[-2] -= max(0, sum(figures) - gauge.window)
    unit = 100 if gauge.window >= KILO_FROM else 1
    rounded = apportion(figures, gauge.window, unit)
    shares = apportion(figures, 1000 if gauge.window else 0, 1, whole=gauge.window)
    near = "~" if gauge.estimated else ""
    parts, x = [], 0
    for name, tokens, share in zip(names, rounded, shares, strict=False):
        width = max(2, round(tokens * BAR / gauge.window)) if tokens else 0
        parts.append(
            Part(
                name=name,
                label=_label(name),
                detail=details.get(name, "") if tokens else _("none"),
                tokens=(near if tokens else "") + kilo(tokens, unit),
                percent=_percent(share),
                x=x,
                width=min(width, BAR - x),
            )
        )
        x = min(BAR, x + width)
    used = sum(rounded[: len(names)])
    share = round(used * 100 / gauge.window) if gauge.window else 0
    said = {"used": near + kilo(used, unit), "window": kilo(gauge.window, unit), "share": share}
    title = _("Context %(used)s of %(window)s (%(share)s %%)") % said
    left = _left(gauge, short=True)
    reserve = Part(
        name="reserve",
        label=_("Reply reserve"),
        detail=_("the reply and a margin of safety"),
        tokens=kilo(rounded[-2], unit),
        percent=_percent(shares[-2]),
        over=not thought,
    )
    set_aside = [
        Part(
            name="thinking",
            label=_("Thinking"),
            detail=_("set aside for it; never sent again"),
            tokens=kilo(rounded[-3], unit),
            percent=_percent(shares[-3]),
            over=True,
        )
        for _tokens in thought
    ]
    free = Part(
        name="free", label=_("Free"), detail="", tokens=near + kilo(rounded[-1], unit), percent=_percent(shares[-1])
    )
    mark = gauge.compacts_at if gauge.compacts_at is not None else gauge.hard_limit
    return {
        "window": gauge.window,
        "used": gauge.tokens,
        "high": gauge.share >= HIGH,
        "figures": "{used} / {window}".format(**said),
        "soon": _soon(gauge, asks),
        "title": title,
        "sentence": (_("Context %(used)s / %(window)s (%(share)s %%)") % said) + left,
        "spoken": title + left,
        "next": _left(gauge, asks=asks),
        "parts": parts,
        "legend": [*parts, *set_aside, reserve, free],
        "now": near + kilo(used, unit),
        "mark": near + kilo(_to(mark, unit), unit),
        "mark_label": _mark_label(gauge, asks),
        "limit": kilo(_to(gauge.hard_limit, unit), unit),
        "now_x": min(BAR, round(used * BAR / gauge.window)),
        "mark_x": min(BAR, round(mark * BAR / gauge.window)),
        "limit_x": min(BAR, round(gauge.hard_limit * BAR / gauge.window)),
        "reserve_w": BAR - min(BAR, round(gauge.hard_limit * BAR / gauge.window)),
        "note": _note(gauge, number, counted),
        "ring": _ring(used, mark, gauge),
        "unit": unit,
        "shown": used,
        "free": rounded[-1],
        "free_share": shares[-1],
        "near": near,
        "left": left,
    }


def _soon(gauge: gauges.Gauge, asks: bool) -> str:
    """What comes next, in the few words that stand beside the ring."""
    left = gauge.turns_left
    if left is None:
        return ""
    if left:
        return ngettext("~%(n)s turn left", "~%(n)s turns left", left) % {"n": left}
    if gauge.compacts_at is None:
        return _("older parts go next")
    return _("asks you next") if asks else _("compresses next")


def _mark_label(gauge: gauges.Gauge, asks: bool) -> str:
    if gauge.compacts_at is None:
        return _("leaves out from")
    return _("asks you at") if asks else _("compacts at")


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
    }.get(name, name)


def _details(session: ChatSession, last: int, remembered: int) -> dict[str, str]:
    """What each component holds."""
    first = min(session.window_from, last)
    out = {"system": _("instructions, static")}
    out["facts"] = ngettext("%(n)s remembered", "%(n)s remembered", remembered) % {"n": known(remembered)}
    told = coverage.covered(session.pk) if session.compactions else []
    if told:
        out["summaries"] = _turns(_("for turns %(first)s–%(last)s"), _("for turn %(last)s"), told[0][0], told[-1][1])
    history = _turns(_("turns %(first)s–%(last)s, word for word"), _("turn %(last)s, word for word"), first, last)
    older = sum(end - begin + 1 for begin, end in Standing.of(session).restored)
    if session.marked:
        older += sum(not one.excluded and one.number < first for one in marks.sizes(session.pk))
    if older:
        history = ngettext("%(range)s, and %(n)s older", "%(range)s, and %(n)s older", older) % {
            "range": _turns(_("turns %(first)s–%(last)s"), _("turn %(last)s"), first, last),
            "n": older,
        }
    out["history"] = history
    return out


def _turns(many: str, one: str, first: int, last: int) -> str:
    return (one if first == last else many) % {"first": first, "last": last}


def _left(gauge: gauges.Gauge, *, short: bool = False, asks: bool = False) -> str:
    left = gauge.turns_left
    if left is None:
        return ""
    if short:
        return ", " + ngettext("~%(n)s turn left", "~%(n)s turns left", left) % {"n": left}
    if left == 0:
        if gauge.compacts_at is None:
            return _("With the next turns older parts leave the model’s view.")
        if asks:
            return _("Older parts can be compressed now. Nothing is, before you say so.")
        return _("Older parts are compressed next, in the background.")
    if gauge.compacts_at is None:
        return ngettext(
            "About %(n)s turn left until older parts leave the model’s view.",
            "About %(n)s turns left until older parts leave the model’s view.",
            left,
        ) % {"n": left}
    if asks:
        return ngettext(
            "About %(n)s turn left until you are asked about older parts.",
            "About %(n)s turns left until you are asked about older parts.",
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
