"""Hours of events say what the events say."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from monitoring import eventhours, filters, over, rollups
from monitoring.filters import SPANS, Filter
from monitoring.models import ContextEvent, EventHour
from monitoring.times import HOUR

NOW = datetime(2026, 11, 22, 3, 12, tzinfo=UTC)
START = NOW - timedelta(days=2, hours=4, minutes=7)
SESSIONS = [UUID(int=number) for number in (1, 2, 3)]


@pytest.fixture
def happened(tell, happen):
    """Two days of events, 53 minutes apart, in sessions of two models; one session nobody knows."""
    for session, model in zip(SESSIONS[:2], ("claude-opus-4-6", "somebody-elses"), strict=True):
        tell(1, session=session, model=model, at=START)
    for step in range(58):
        kind, outcome = (("compaction", "ok"), ("gate_rejected", "rejected"), ("rung", "ok"))[step % 3]
        happen(step, session=SESSIONS[step % 3 if step % 7 else 0], kind=kind, outcome=outcome, user=step % 2 + 1,
               seconds=None if step % 5 else 2.5, at=START + timedelta(minutes=53) * step)  # fmt: skip


def seen(span, **chosen):
    """The events of a span as the charts have them, by step."""
    filter_ = Filter(SPANS[span], **chosen)
    step = max(filter_.span.step, HOUR) if span != "24h" else filter_.span.step
    points = over.events(filter_, filters.floor(filter_.since(NOW), step), NOW, step)
    return {at: (point.counts, point.before, point.after, point.seconds, point.timed) for at, point in points.items()}


@pytest.mark.django_db
@pytest.mark.usefixtures("happened")
def test_charts_read_the_same_from_hours_as_from_events(django_assert_max_num_queries):
    asked = [("7d", {}), ("30d", {}), ("24h", {}), ("7d", {"model": "somebody-elses"}),
             ("30d", {"strategy": "summary"}), ("30d", {"user": 2})]  # fmt: skip
    before = [seen(span, **chosen) for span, chosen in asked]
    assert sum(point[0].total() for point in before[1].values()) == 58
    rollups.roll(NOW)
    assert eventhours.until() == NOW.replace(minute=0)
    assert EventHour.objects.filter(model="").exists(), "a session of which nothing is known"
    ContextEvent.objects.filter(at__lt=eventhours.until()).update(kind="trim")
    assert [seen(span, **chosen) for span, chosen in asked[:2] + asked[3:5]] == before[:2] + before[3:5]
    with django_assert_max_num_queries(3):
        seen("30d")


@pytest.mark.django_db
@pytest.mark.usefixtures("happened")
def test_an_event_that_comes_late_is_added_once_and_a_round_without_news_writes_nothing(happen):
    rollups.roll(NOW)
    held = set(EventHour.objects.values_list("pk", flat=True))
    rollups.roll(NOW + timedelta(minutes=1))
    assert set(EventHour.objects.values_list("pk", flat=True)) == held
    late = START + timedelta(hours=20)
    happen(1, session=SESSIONS[0], at=late)
    for minutes in (2, 6, 11):
        rollups.roll(NOW + timedelta(minutes=minutes))
    hour = late.replace(minute=0)
    assert eventhours._told(hour) == eventhours._made(hour)
    assert sum(EventHour.objects.values_list("events", flat=True)) == ContextEvent.objects.filter(
        at__lt=eventhours.until()
    ).count()  # fmt: skip


@pytest.mark.django_db
def test_every_turn_that_overflowed_is_counted_and_the_newest_are_looked_after(tell, happen, monkeypatch):
    monkeypatch.setattr(over, "OVERFLOWS", 2)
    for number in range(1, 6):
        at = NOW - timedelta(minutes=60 - number)
        happen(number, session=SESSIONS[0], kind="rung", at=at)
        happen(number, session=SESSIONS[0], kind="recovery", at=at)
    tell(5, session=SESSIONS[0], at=NOW)
    found = over.overflows(Filter(SPANS["24h"]), NOW - HOUR, NOW)
    assert (found.turns, found.answered, found.lost) == (5, 4, ((SESSIONS[0], 4),))
    assert (found.first, found.last) == (NOW - timedelta(minutes=59), NOW - timedelta(minutes=55))
