"""The cards at the top of the overview: what, figure with its unit, trend in words, and what it means when it is bad.

Pure. A card speaks of now, or of the newest part of the span ("lately"), and compares it with the whole span. Trends
have no colour: up is not good or bad by itself. Only the state has one, with its word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext, ngettext

from monitoring import figures, folding, histograms, saying, series, workcharts
from monitoring.filters import Filter
from monitoring.folding import Figures
from monitoring.histograms import MS
from monitoring.points import Full, Point, Today, whole

WIDTH, HEIGHT = 88, 24  # px of a spark line
SLOW_MS = 3_000
"""A p95 of the first token from which people notice."""
OLD_S = 600
"""Age of the oldest compaction that waits from which the summariser is not keeping up, in seconds."""
ERRORS = 0.05
"""Share of failed calls: as the alert rule's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """`state` is "", "watch" or "alert". `spark` is the path of a line without an axis, `dot` its end; "" for none."""

    code: str
    name: str
    figure: str
    unit: str
    trend: str
    bad: str
    state: str = ""
    spark: str = ""
    dot: tuple[float, float] | None = None
    to: str = ""
    """The chart that it belongs to."""


def spark(values: Sequence[float | None]) -> tuple[str, tuple[float, float] | None]:
    """A line of the values, gaps left out, and its end. Nothing for fewer than two values: a dot shows no shape."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return "", None
    low, high = min(known), max(known)
    across = (WIDTH - 6) / max(1, len(values) - 1)
    path, pen, at = [], "M", (0.0, 0.0)
    for index, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        height = (value - low) / (high - low) if high > low else 0.0
        at = round(2 + index * across, 1), round(HEIGHT - 3 - height * (HEIGHT - 6), 1)
        path.append(f"{pen}{at[0]} {at[1]}")
        pen = "L"
    return "".join(path), at


def points_change(now: float | None, before: float | None, span: str) -> str:
    """The difference of two shares in words: "▲ 0.9 points on the 24 h"."""
    if now is None or before is None:
        return gettext("nothing to compare with yet")
    difference = (now - before) * 100
    sign = "▲" if difference >= 0.05 else "▼" if difference <= -0.05 else "="
    return gettext("{sign} {n} points on the {span}").format(sign=sign, n=f"{abs(difference):.1f}", span=span)


def seconds(count: int) -> str:
    """130 -> "2 min 10 s"."""
    if count < 60:
        return f"{count}{figures.SPACE}s"
    if count < 3600:
        return f"{count // 60}{figures.SPACE}min {count % 60}{figures.SPACE}s"
    return f"{count // 3600}{figures.SPACE}h {count % 3600 // 60}{figures.SPACE}min"


def cards(
    chosen: Filter,
    points: Sequence[Point],
    full: Full,
    today: Today,
    jobs: Mapping[str, int | float] | None,
    overflowed: tuple[int, int],
) -> list[Card]:
    """All of them in reading order. `overflowed` are the turns that did and those of them answered;
    `jobs` None where nobody told of the queue."""
    span = saying.of_time(chosen.span.length)
    lately = max(1, chosen.span.lately // (points[1].start - points[0].start)) if len(points) > 1 else 1
    every, late = whole(points), whole(points[-lately:])
    every_call = folding.total(point.all for point in points if point.all)
    return [
        _live(points, full, late, every, len(points) / lately, span, chosen),
        _mean(points, full, every, span),
        _over(points, full),
        _backlog(points, jobs),
        _overflow(points, overflowed, span),
        _errors(points, every_call, span),
        _cache(points, late, every, span, chosen),
        _first(points, late, every, span),
        _spend(points, today),
        _saved(points, today),
    ]


def _spark(values: Sequence[float | None]) -> dict[str, Any]:
    path, dot = spark(values)
    return {"spark": path, "dot": dot}


def _live(points: Sequence[Point], full: Full, late: Figures, every: Figures, parts: float, span: str,
          chosen: Filter) -> Card:  # fmt: skip
    mean = every.calls / parts if parts else 0
    change = (late.calls - mean) / mean if mean else 0.0
    sign = "▲" if change >= 0.005 else "▼" if change <= -0.005 else "="
    return Card(
        code="live",
        name=gettext("Sessions live"),
        figure=figures.whole(full.live),
        unit=gettext("of {n} in {span}").format(n=figures.whole(full.all), span=span),
        trend=gettext("{n} calls in {lately}, {sign} {change} on the mean").format(
            n=figures.whole(late.calls),
            lately=_lately(chosen),
            sign=sign,
            change=figures.percent(abs(change), 0),
        )
        if every.calls
        else gettext("no calls in {span}").format(span=span),
        bad=gettext("Bad if it falls fast: sockets are down."),
        **_spark([float(point.replies.calls) if point.replies else 0.0 for point in points]),
    )


def _lately(chosen: Filter) -> str:
    minutes = int(chosen.span.lately.total_seconds() // 60)
    return gettext("15 min") if minutes < 60 else saying.of_time(chosen.span.lately)


def _mean(points: Sequence[Point], full: Full, every: Figures, span: str) -> Card:
    state = series.pressure(full.mean)
    return Card(
        code="mean",
        name=gettext("Mean utilisation"),
        figure=_share(full.mean),
        unit="%",
        trend=points_change(full.mean, every.mean_utilisation, span),
        bad=gettext("Bad over 70 %: compaction lags everywhere."),
        state=state if state in ("watch", "alert") else "",
        to="utilisation",
        **_spark([point.replies.mean_utilisation if point.replies else None for point in points]),
    )


def _share(share: float | None) -> str:
    return figures.percent(share).removesuffix(f"{figures.SPACE}%")


def _over(points: Sequence[Point], full: Full) -> Card:
    return Card(
        code="over",
        name=gettext("Over 70 % / 80 %"),
        figure=f"{figures.whole(full.watch)} / {figures.whole(full.alert)}",
        unit=gettext("sessions"),
        trend=ngettext(
            "the strategy fails in {n} session", "the strategy fails in {n} sessions", full.failing
        ).format(n=figures.whole(full.failing)) if full.failing else gettext("the strategy fails in none"),
        bad=gettext("Bad when rising: people soon wait."),
        state="alert" if full.failing else "watch" if full.alert else "",
        to="failing",
        **_spark([point.replies.alert / point.replies.shares if point.replies and point.replies.shares else None
                  for point in points]),
    )  # fmt: skip


def _backlog(points: Sequence[Point], jobs: Mapping[str, int | float] | None) -> Card:
    known = jobs or {}
    oldest = int(known.get("oldest_s", 0))
    return Card(
        code="backlog",
        name=gettext("Compaction backlog"),
        figure=figures.whole(int(known["backlog"])) if "backlog" in known else figures.NONE,
        unit=gettext("jobs"),
        trend=gettext("nobody told") if "backlog" not in known else
        gettext("oldest {time}").format(time=seconds(oldest)) if known["backlog"] else gettext("nothing waits"),
        bad=gettext("Bad over 10 min: the summariser fails."),
        state="alert" if oldest > OLD_S else "",
        to="compactions",
        **_spark([float(point.events.of("compaction", ok=True)) for point in points]),
    )  # fmt: skip


def _overflow(points: Sequence[Point], overflowed: tuple[int, int], span: str) -> Card:
    turns, answered = overflowed
    return Card(
        code="overflow",
        name=gettext("Overflow recoveries"),
        figure=figures.whole(turns),
        unit=gettext("in {span}").format(span=span),
        trend=gettext("none") if not turns else gettext("all answered") if answered == turns else
        gettext("{n} without a reply").format(n=figures.whole(turns - answered)),
        bad=gettext("Bad above 0: compaction came too late."),
        state="" if not turns else "watch" if answered == turns else "alert",
        to="wrong",
        **_spark([float(point.events.of("rung", "recovery")) for point in points]),
    )  # fmt: skip


def _errors(points: Sequence[Point], every: Figures, span: str) -> Card:
    most = saying.top({code: n for code, n in every.outcomes.items() if code != "ok"})
    return Card(
        code="errors",
        name=gettext("Calls that failed"),
        figure=_share(every.error_rate),
        unit="%",
        trend=gettext("{n} in {span}, most: {code}").format(
            n=figures.whole(every.failed), span=span, code=(most or "").replace("_", " ")
        ) if most else gettext("none in {span}").format(span=span),
        bad=gettext("Bad over 5 %: the model’s service fails."),
        state="alert" if (every.error_rate or 0) > ERRORS else "",
        to="errors",
        **_spark([point.all.error_rate if point.all else None for point in points]),
    )  # fmt: skip


def _cache(points: Sequence[Point], late: Figures, every: Figures, span: str, chosen: Filter) -> Card:
    fell = late.hit_rate is not None and every.hit_rate is not None and every.hit_rate - late.hit_rate >= saying.FALL
    return Card(
        code="cache",
        name=gettext("Cache hit rate, {lately}").format(lately=_lately(chosen)),
        figure=_share(late.hit_rate),
        unit="%",
        trend=points_change(late.hit_rate, every.hit_rate, span),
        bad=gettext("Bad 5 points below: the prefix changed."),
        state="watch" if fell else "",
        to="cache",
        **_spark([point.replies.hit_rate if point.replies else None for point in points]),
    )


def _first(points: Sequence[Point], late: Figures, every: Figures, span: str) -> Card:
    now = [histograms.quantile(late.first, MS, share) for share in (0.5, 0.95)]
    before = [histograms.quantile(every.first, MS, share) for share in (0.5, 0.95)]
    changes = [
        f"{'▲' if one >= other else '▼'} {abs(one - other) / 1000:.2f}"
        for one, other in zip(now, before, strict=True)
        if one is not None and other is not None
    ]
    return Card(
        code="first",
        name=gettext("First token p50 / p95"),
        figure=" / ".join(figures.NONE if each is None else f"{each / 1000:.2f}" for each in now),
        unit="s",
        trend=gettext("{change} s on the {span}").format(change=" / ".join(changes), span=span)
        if changes
        else gettext("nothing to compare with yet"),
        bad=gettext("Bad over 3 s at p95: misses, or a queue."),
        state="watch" if (now[1] or 0) > SLOW_MS else "",
        to="first",
        **_spark([histograms.quantile(point.replies.first, MS, 0.5) if point.replies else None for point in points]),
    )


def _spend(points: Sequence[Point], today: Today) -> Card:
    unpriced = today.all.unpriced
    return Card(
        code="spend",
        name=gettext("Spend today"),
        figure=figures.dollars(today.all.cost) if today.all.priced or not today.all.calls else figures.NONE,
        unit=gettext("at least") if unpriced else "",
        trend=gettext("caching saved {dollars}").format(dollars=figures.dollars(today.all.saved)),
        bad=gettext("Bad if it doubles: a client loops."),
        to="money",
        **_spark([float(point.all.cost) if point.all else 0.0 for point in points]),
    )


def _saved(points: Sequence[Point], today: Today) -> Card:
    saved = workcharts.spared(today.all, today.summaries)
    return Card(
        code="saved",
        name=gettext("Saved by compaction today"),
        figure=figures.dollars(saved),
        unit="",
        trend=gettext("{tokens} tokens not sent, {again} cached anew").format(
            tokens=figures.tokens(today.all.spared), again=figures.tokens(today.all.rewritten)
        ),
        bad=gettext("Bad below 0: what it shortens is not read."),
        state="watch" if saved < 0 else "",
        to="money",
        **_spark([float(workcharts.spared(point.all, point.summaries)) if point.all else 0.0 for point in points]),
    )
