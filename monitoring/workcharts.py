"""The charts of what it cost and what went wrong: money, compactions, errors. Pure."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from django.utils.translation import gettext

from monitoring import figures, timecharts
from monitoring.drawing import Column, Drawn
from monitoring.filters import Filter
from monitoring.folding import Figures
from monitoring.plotting import drawn, rows_of
from monitoring.points import Point, whole


def money(points: Sequence[Point], chosen: Filter, today: str = "") -> Drawn:
    """Cost, and what caching and compaction saved: US dollars."""
    rows = rows_of(
        points,
        lambda point: (
            point.all.cost if point.all else None,
            point.all.saved if point.all else None,
            spared(point.all, point.summaries) if point.all else None,
            point.all.unpriced if point.all else 0,
        ),
    )
    columns = (
        Column(code="cost", name=gettext("cost"), unit="dollars", draw="line", says=gettext("cost")),
        Column(code="saved_by_caching", name=gettext("saved by caching"), unit="dollars", draw="thin", tint="soft",
               says=gettext("caching")),
        Column(code="saved_by_compaction", name=gettext("saved by compaction"), unit="dollars", draw="dash",
               tint="soft", says=gettext("compaction")),
        Column(code="unpriced", name=gettext("calls without a price"), unit="count"),
    )  # fmt: skip
    return drawn(
        "money",
        gettext("Cost, and what was saved"),
        today or says_money(whole(points, "all"), whole(points, "summaries")),
        rows,
        columns,
        quantity=gettext("US dollars"),
        note=how_saved(),
    )


def how_saved() -> str:
    """How "saved by compaction" is reckoned, for the pages that show it."""
    return gettext(
        "Saved by compaction: what the turns that summaries stand for would have cost in later calls (read from the"
        " cache where the call read from it or a compaction broke it, written to it where it wrote only, else in full);"
        " less what the summaries cost; less what the call after a compaction cached anew in the place of reading it."
        " Below 0 is shown."
    )


def spared(replies: Figures | None, summaries: Figures | None) -> Decimal:
    """What compaction saved: what later calls were spared, less what they wrote to the cache again and what the
    summaries cost. Negative is shown."""
    return (replies.spared_dollars if replies else Decimal(0)) - (summaries.cost if summaries else Decimal(0))


def says_money(all_: Figures, summaries: Figures) -> str:
    """What it cost and what was saved; "at least" where a price is unknown."""
    if not all_.calls:
        return gettext("No calls yet.")
    values = {
        "cost": figures.dollars(all_.cost),
        "caching": figures.dollars(all_.saved),
        "compaction": figures.dollars(spared(all_, summaries)),
        "summaries": figures.dollars(summaries.cost),
        "again": figures.dollars(all_.rewrite_cost),
        "n": figures.whole(all_.unpriced),
    }
    sentence = gettext(
        "{cost}; caching saved {caching}, compaction {compaction} after {summaries} for its summaries and {again} for"
        " caching anew"
    )
    end = gettext("; {n} calls without a price are not in it.") if all_.unpriced else "."
    return (sentence + end).format(**values)


def says_today(all_: Figures, summaries: Figures) -> str:
    """The same of today."""
    if not all_.calls:
        return gettext("Today: no calls yet.")
    return gettext("Today: {sentence}").format(sentence=says_money(all_, summaries))


def compactions(points: Sequence[Point], chosen: Filter) -> Drawn:
    """How many compactions, how much they took off, how long they took, how many came to nothing."""
    rows = rows_of(
        points,
        lambda point: (
            point.events.of("compaction", ok=True),
            point.events.of("gate_rejected"),
            point.events.of("compaction", ok=False) + (point.summaries.failed if point.summaries else 0),
            point.events.after / point.events.before if point.events.before else None,
            point.events.seconds / point.events.timed * 1000 if point.events.timed else None,
            point.events.before - point.events.after,
        ),
    )
    columns = (
        Column(code="compactions", name=gettext("compactions"), unit="count", draw="bar", says=""),
        Column(code="gate_rejections", name=gettext("refused by the gate"), unit="count", draw="bar", tint="warn"),
        Column(code="failures", name=gettext("calls failed"), unit="count", draw="bar", tint="danger"),
        Column(code="ratio", name=gettext("left of the tokens"), unit="share"),
        Column(code="mean_time", name=gettext("mean time"), unit="ms"),
        Column(code="tokens_taken_off", name=gettext("tokens taken off"), unit="tokens"),
    )
    done = sum(point.events.of("compaction", ok=True) for point in points)
    before, after = sum(point.events.before for point in points), sum(point.events.after for point in points)
    timed, seconds = sum(point.events.timed for point in points), sum(point.events.seconds for point in points)
    failed = sum(int(row[2] or 0) for _, row in rows)
    refused = sum(int(row[1] or 0) for _, row in rows)
    values = {
        "n": figures.whole(done),
        "before": figures.tokens(before),
        "after": figures.tokens(after),
        "ratio": figures.percent(after / before) if before else figures.NONE,
        "time": f"{seconds / timed:.1f}{figures.SPACE}s" if timed else figures.NONE,
        "refused": figures.whole(refused),
        "failed": figures.whole(failed),
    }
    sentence = (
        gettext("{n}: {before} to {after} ({ratio}), {time} each; {refused} refused by the gate, {failed} failed.")
        if done
        else gettext("None; {refused} refused by the gate, {failed} failed.")
    )
    return drawn(
        "compactions",
        gettext("Compactions"),
        sentence.format(**values),
        rows,
        columns,
        quantity=gettext("compactions"),
        nothing=gettext("No compaction in this time."),
    )


def errors(points: Sequence[Point], chosen: Filter) -> Drawn:
    """Calls that failed, by kind, for any purpose."""
    all_ = whole(points, "all")
    codes = [code for code, _n in sorted(all_.outcomes.items(), key=lambda pair: (-pair[1], pair[0])) if code != "ok"]
    rows = rows_of(
        points,
        lambda point: (
            point.all.failed if point.all else 0,
            point.all.error_rate if point.all else None,
            *((point.all.outcomes.get(code, 0) if point.all else 0) for code in codes),
        ),
    )
    columns = [
        Column(code="failed", name=gettext("failed"), unit="count", draw="bar", tint="danger"),
        Column(code="rate", name=gettext("of all calls"), unit="share"),
        *(Column(code=code, name=code.replace("_", " "), unit="count") for code in codes),
    ]
    values = {
        "n": figures.whole(all_.failed),
        "all": figures.whole(all_.calls),
        "rate": figures.percent(all_.error_rate),
        "code": codes[0].replace("_", " ") if codes else "",
    }
    sentence = gettext("{n} of {all} calls failed ({rate}), most: {code}.") if all_.failed else gettext("None failed.")
    return drawn("errors", gettext("Errors by kind"), sentence.format(**values) if all_.calls else
                  gettext("No calls yet."), rows, columns, quantity=gettext("calls that failed"),
                  nothing=gettext("No call failed in this time."),
                  parts=tuple((code.replace("_", " "), all_.outcomes[code], all_.outcomes[code] / all_.failed)
                              for code in codes) if all_.failed else ())  # fmt: skip


Build = Callable[..., Drawn]
CHARTS: dict[str, Build] = {
    "utilisation": timecharts.utilisation,
    "components": timecharts.components,
    "cache": timecharts.cache,
    "money": money,
    "compactions": compactions,
    "first": timecharts.first,
    "time": timecharts.whole_time,
    "estimate": timecharts.estimate,
    "errors": errors,
}
