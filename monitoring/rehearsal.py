"""What a rule would have done in the last days, in words and as a drawing of SVG attributes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from monitoring import alerting, alerts, hindsight, wording
from monitoring.alerts import Episode
from monitoring.models import AlertRule

WIDTH, HEIGHT = 420, 90


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A drawing of WIDTH x HEIGHT with the line of the readings, the limit's height, and a mark where it opens."""

    says: str
    episodes: list[tuple[Episode, str, str]]
    lines: list[str]
    limit_y: float
    limit: str
    top: str
    marks: list[float]
    start: datetime
    known: bool


def of(rule: AlertRule, now: datetime) -> Rehearsal:
    """Rehearse a rule, saved or not."""
    readings, step = hindsight.history(rule, now)
    # A row stands for as many evaluations as fit into it.
    evaluations = max(1, round(step / timedelta(seconds=rule.every_s)))
    episodes = alerts.rehearse(alerting.values(rule), readings, evaluations)
    known = [value for _, value in readings if value is not None]
    top = max([rule.limit * 1.25, *known], default=1.0) or 1.0
    start = readings[0][0] if readings else now - hindsight.WEEK
    whole = (now - start) / timedelta(seconds=1) or 1.0

    def x(at: datetime) -> float:
        return round((at - start) / timedelta(seconds=1) / whole * WIDTH, 1)

    return Rehearsal(
        says=_says(episodes, bool(known)),
        episodes=[
            (
                one,
                wording.amount(rule.measure, one.peak),
                wording.duration(((one.ended or now) - one.began).total_seconds()),
            )
            for one in episodes[::-1]
        ],
        lines=_lines(readings, x, top),
        limit_y=round(HEIGHT - rule.limit / top * HEIGHT, 1),
        limit=wording.amount(rule.measure, rule.limit),
        top=wording.amount(rule.measure, round(top)),
        marks=[x(one.began) for one in episodes],
        start=start,
        known=bool(known),
    )


def _says(episodes: list[Episode], known: bool) -> str:
    if not known:
        return _("Nothing was measured in the last 7 days, or nothing is kept of it.")
    if not episodes:
        return _("Would not have fired in 7 days.")
    return ngettext("Would have fired once in 7 days.", "Would have fired {n} times in 7 days.", len(episodes)).format(
        n=len(episodes)
    )


def _lines(readings: hindsight.Seen, x: Callable[[datetime], float], top: float) -> list[str]:
    """The readings as polylines: a gap in the data is a gap in the line. Of many in one pixel the highest is drawn."""
    found: list[str] = []
    points: dict[int, float] = {}

    def finish() -> None:
        if points:
            if len(points) == 1:
                # A line of one point is drawn by nobody.
                (at, value), *_rest = points.items()
                points[at + 1] = value
            found.append(" ".join(f"{at},{HEIGHT - value / top * HEIGHT:.1f}" for at, value in points.items()))
            points.clear()

    last: datetime | None = None
    for at, value in readings:
        if value is None:
            continue
        # Calls that come less often than the step are no gap yet.
        if last is not None and at - last > timedelta(hours=1):
            finish()
        pixel = int(x(at))
        points[pixel] = max(points.get(pixel, 0.0), value)
        last = at
    finish()
    return found
