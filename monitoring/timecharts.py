"""The charts of what was sent, cached and waited for: what each is drawn from and what it says. Pure.

Every chart is made of the same points, so that the picture, its table, its CSV and its sentence agree.
"""

from collections.abc import Sequence

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from monitoring import chart, figures, histograms, saying, series
from monitoring.drawing import Column, Drawn, Limit, Rows, Value, write
from monitoring.filters import Filter
from monitoring.folding import Figures
from monitoring.histograms import MS, OFF, SHARE
from monitoring.plotting import drawn, marks, rows_of
from monitoring.points import Point, whole

CAUSES = {
    "model": _("model changed"),
    "tools": _("tools changed"),
    "system": _("system prompt changed"),
    "compaction": _("compaction"),
    "messages": _("earlier messages changed"),
    "ttl": _("cache entry expired"),
    "unexplained": _("unexplained"),
}


def causes() -> dict[str, str]:
    """The words for the causes of cache misses."""
    return {code: str(words) for code, words in CAUSES.items()}


def utilisation(points: Sequence[Point], chosen: Filter) -> Drawn:
    """Mean and p95 of the replies' share of the window, with compactions in a lane below."""
    rows = rows_of(
        points,
        lambda point: (
            *_shares(point.replies),
            point.events.of("compaction", ok=True),
            point.events.of("compaction", ok=False) + point.events.of("gate_rejected"),
        ),
    )
    columns = (
        Column(code="mean", name=gettext("mean"), unit="share", draw="line", says=gettext("mean")),
        Column(code="p95", name=gettext("p95, nearest rank"), unit="share", draw="band", says="p95"),
        Column(code="peak", name=gettext("highest"), unit="share"),
        Column(code="over_70", name=gettext("calls over 70 %"), unit="count"),
        Column(code="over_80", name=gettext("calls over 80 %"), unit="count"),
        Column(code="compactions", name=gettext("compactions"), unit="count", draw="lane"),
        Column(code="failed", name=gettext("compactions failed"), unit="count", draw="fails", tint="danger"),
    )
    return drawn(
        "utilisation",
        gettext("Utilisation"),
        _says_utilisation(points),
        rows,
        columns,
        quantity=gettext("of the window"),
        top=1,
        limits=(
            Limit(series.WATCH, gettext("70 %, mean"), "warn"),
            Limit(series.ALERT, gettext("80 %, one session"), "danger"),
        ),
        marks=marks(points),
    )


def _shares(one: Figures | None) -> tuple[Value, ...]:
    if one is None or not one.shares:
        return None, None, None, 0, 0
    return one.mean_utilisation, histograms.quantile(one.utilisation, SHARE, 0.95), one.peak, one.watch, one.alert


def _says_utilisation(points: Sequence[Point]) -> str:
    known = [(point.start, point.replies) for point in points if point.replies and point.replies.shares]
    if not known:
        return gettext("No calls yet.")
    peak_at, peak = max(known, key=lambda pair: pair[1].mean_utilisation or 0)
    over = whole(points).alert
    now = known[-1][1].mean_utilisation
    values = {
        "now": figures.percent(now, 0),
        "peak": figures.percent(peak.mean_utilisation, 0),
        "at": saying.clock(peak_at, known[-1][0]),
        "n": figures.whole(over),
    }
    sentence = gettext("Mean {now}, highest {peak} at {at}; {n} calls over 80 %.")
    return sentence.format(**values)


def components(points: Sequence[Point], chosen: Filter) -> Drawn:
    """What was sent, by component, fitted to what the API counted."""
    stacks = [series.stack(point.replies.components, point.replies.size) if point.replies else {} for point in points]
    codes = [code for code in series.COMPONENTS if any(code in each for each in stacks)]
    codes += sorted({code for each in stacks for code in each} - set(codes))
    sums = {code: sum(each.get(code, 0) for each in stacks) for code in codes}
    size = sum(sums.values())
    rows = tuple(
        (point.start, (*(each.get(code, 0) for code in codes), sum(each.values())))
        for point, each in zip(points, stacks, strict=True)
    )
    columns = [
        Column(code=code, name=chart.name_of(code), unit="tokens", draw="stack",
               tint=code) for code in codes
    ]  # fmt: skip
    columns.append(Column(code="all", name=gettext("all"), unit="tokens"))
    largest = max(codes, key=lambda code: sums[code], default="")
    say = gettext("No calls yet.")
    if size:
        say = gettext("{tokens} sent; {part} is the largest part, {share}.").format(
            tokens=figures.tokens(size),
            part=chart.name_of(largest),
            share=figures.percent(sums[largest] / size, 0),
        )
    return drawn(
        "components",
        gettext("Tokens by component"),
        say,
        rows,
        columns,
        unit="tokens",
        quantity=gettext("tokens sent"),
        parts=tuple(
            (chart.name_of(code), sums[code], sums[code] / size)
            for code in sorted(codes, key=lambda code: (-sums[code], code))
        )
        if size
        else (),
    )


def cache(points: Sequence[Point], chosen: Filter, found: saying.Fall | None) -> Drawn:
    """The hit rate, reuse, and what broke caches; `found` is the fall that the sentence is about."""
    rates = [(point.start, point.replies) for point in points]
    all_ = whole(points)
    breaks = sum(all_.misses.values())
    words = causes()
    ordered = sorted(all_.misses.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = rows_of(
        points,
        lambda point: (
            point.replies.hit_rate if point.replies else None,
            point.replies.reuse if point.replies else None,
            sum(point.replies.misses.values()) if point.replies else 0,
            *((point.replies.misses.get(code, 0) if point.replies else 0) for code, _n in ordered),
            point.replies.system_prompts if point.replies else 0,
        ),
    )
    columns = (
        Column(code="hit_rate", name=gettext("hit rate"), unit="share", draw="line", says=gettext("hit rate")),
        Column(code="reuse", name=gettext("reuse of what was left"), unit="share", draw="dash", tint="soft",
               says=gettext("reuse")),
        Column(code="breaks", name=gettext("caches broken"), unit="count"),
        # So that the cause of any fall can be read, not only of the deepest, which the sentence is about.
        *(Column(code=f"broken_by_{code}", name=words.get(code, code), unit="count") for code, _n in ordered),
        Column(code="system_prompts", name=gettext("distinct system prompts"), unit="count"),
    )  # fmt: skip
    return drawn(
        "cache",
        gettext("Cache hit rate, and what broke it"),
        saying.of_cache(rates, found, words),
        rows,
        columns,
        quantity=gettext("input tokens read from the cache"),
        top=1,
        parts=tuple((words.get(code, code), n, n / breaks) for code, n in ordered),
    )


def first(points: Sequence[Point], chosen: Filter) -> Drawn:
    """Time to the first token, by what the call found in the cache."""
    kinds = (
        ("hit", gettext("hit"), "line", ""),
        ("partial", gettext("partial"), "thin", "soft"),
        ("miss", gettext("miss"), "dash", "soft"),
    )

    def values(point: Point) -> tuple[Value, ...]:
        found: list[Value] = []
        for share in (0.5, 0.95):
            for kind, *_rest in kinds:
                of = getattr(point.replies, f"first_{kind}") if point.replies else {}
                found.append(histograms.quantile(of, MS, share))
        return tuple(found)

    rows = rows_of(points, values)
    columns = [
        Column(code=f"{kind}_p50", name=f"{name}, p50", unit="ms", draw=draw, tint=tint, says=name)
        for kind, name, draw, tint in kinds
    ] + [Column(code=f"{kind}_p95", name=f"{name}, p95", unit="ms") for kind, name, _draw, _tint in kinds]
    all_ = whole(points)
    of = {kind: histograms.quantile(getattr(all_, f"first_{kind}"), MS, 0.5) for kind, *_rest in kinds}
    sentence = gettext("p50 {all}, p95 {p95}: with a cache hit {hit}, without {miss}.")
    say = sentence.format(
        all=write(histograms.quantile(all_.first, MS, 0.5), "ms"),
        p95=write(histograms.quantile(all_.first, MS, 0.95), "ms"),
        hit=write(of["hit"], "ms"),
        miss=write(of["miss"], "ms"),
    )
    return drawn("first", gettext("First token"), say if all_.first else gettext("No calls yet."), rows, columns,
                  quantity=gettext("seconds, by what was in the cache"))  # fmt: skip


def whole_time(points: Sequence[Point], chosen: Filter) -> Drawn:
    """How long whole replies took."""
    rows = rows_of(
        points,
        lambda point: (
            histograms.quantile(point.replies.total, MS, 0.5) if point.replies else None,
            histograms.quantile(point.replies.total, MS, 0.95) if point.replies else None,
        ),
    )
    columns = (
        Column(code="p50", name="p50", unit="ms", draw="line", says="p50"),
        Column(code="p95", name=gettext("p95, nearest rank"), unit="ms", draw="thin", says="p95"),
    )
    all_ = whole(points)
    say = gettext("p50 {p50}, p95 {p95} from sending to the last token.").format(
        p50=write(histograms.quantile(all_.total, MS, 0.5), "ms"),
        p95=write(histograms.quantile(all_.total, MS, 0.95), "ms"),
    )
    return drawn("time", gettext("Whole reply"), say if all_.total else gettext("No calls yet."), rows, columns,
                  quantity=gettext("seconds"))  # fmt: skip


def estimate(points: Sequence[Point], chosen: Filter) -> Drawn:
    """How far our estimate of a request was off the API's count: below 0 is too low, the dangerous side."""
    shares = (("p50", 0.5, "line", ""), ("p95", 0.95, "thin", "soft"), ("p5", 0.05, "thin", "soft"))
    rows = rows_of(
        points,
        lambda point: tuple(
            histograms.quantile(point.replies.estimate, OFF, share) if point.replies else None
            for _name, share, _draw, _tint in shares
        ),
    )
    columns = [
        Column(code=name, name=name, unit="change", draw=draw, tint=tint, says=name)
        for name, _share, draw, tint in shares
    ]
    all_ = whole(points)
    say = gettext("Half of all within {p5} and {p95} of the truth, {p50} at the median.")
    quantiles = {
        name: write(histograms.quantile(all_.estimate, OFF, share), "change")
        for name, share in (("p5", 0.25), ("p95", 0.75), ("p50", 0.5))
    }
    return drawn("estimate", gettext("Estimate error"),
                  say.format(**quantiles) if all_.estimate else gettext("No calls yet."), rows, columns,
                  quantity=gettext("estimate against the API's count"))  # fmt: skip


def fullness(counts: Sequence[int], mean: float | None) -> Drawn:
    """Sessions by utilisation, in bins of 5 % of the window."""
    width = 100 // len(counts)
    watch, alert = round(series.WATCH * len(counts)), round(series.ALERT * len(counts))
    rows: Rows = tuple(
        (
            f"{index * width}–{(index + 1) * width} %" if index < len(counts) - 1 else f"≥ {index * width} %",
            (n if index < watch else 0, n if watch <= index < alert else 0, n if index >= alert else 0),
        )
        for index, n in enumerate(counts)
    )
    over, most = sum(counts[watch:]), sum(counts[alert:])
    columns = (
        Column(code="calm", name=gettext("sessions below 70 %"), unit="count", draw="bar"),
        Column(code="watch", name=gettext("sessions from 70 %"), unit="count", draw="bar", tint="warn"),
        Column(code="alert", name=gettext("sessions from 80 %"), unit="count", draw="bar", tint="danger"),
    )
    values = {
        "n": figures.whole(sum(counts)),
        "over": figures.whole(over),
        "most": figures.whole(most),
        "mean": figures.percent(mean, 0),
    }
    say = gettext("{n} sessions; {over} over 70 %, {most} of them over 80 %.").format(**values)
    return drawn(
        "fullness",
        gettext("Fullness now"),
        say if sum(counts) else gettext("No calls yet."),
        rows,
        columns,
        quantity=gettext("sessions by share of the window"),
        uprights=(
            (watch, gettext("{over} over 70 %").format(**values), "warn"),
            (alert, gettext("{most} over 80 %").format(**values), "danger"),
        ),
    )
