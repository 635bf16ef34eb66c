"""Rollups say what the calls say: made at any time, in any order, twice, or after somebody was killed."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from monitoring import folding, rolled, rollups, userdays
from monitoring.folding import Figures
from monitoring.models import ModelCall, Progress, Rollup, UserDay
from monitoring.times import DAY, FIVE, HOUR

NOW = datetime(2026, 11, 22, 3, 12, tzinfo=UTC)
START = NOW - timedelta(days=2, hours=4, minutes=7)


@pytest.fixture
def traffic(tell):
    """Two and a bit days of calls, 41 minutes apart, of three users and two models."""
    for step in range(76):
        tell(
            number=step + 1,
            user=step % 3 + 1,
            model=("claude-opus-4-6", "somebody-elses")[step % 5 == 0],
            session=None,
            outcome="overloaded" if step % 9 == 0 else "ok",
            cache_read=0 if step % 4 == 0 else 8_000,
            at=START + timedelta(minutes=41) * step,
        )


def summed(**filters):
    """The truth: all calls of the time, added up one by one."""
    figures = Figures()
    for call in rolled.calls(START - DAY, NOW, filters):
        figures.add(call)
    return figures


def same(one, other):
    return [getattr(one, name) for name in folding.COLUMNS if name != "share_sum"] == [
        getattr(other, name) for name in folding.COLUMNS if name != "share_sum"
    ] and one.share_sum == pytest.approx(other.share_sum)


@pytest.mark.django_db
@pytest.mark.usefixtures("traffic")
def test_every_view_of_the_rollups_adds_up_to_the_calls():
    before = rolled.over(START - DAY, NOW)
    assert rollups.roll(NOW) == rollups.Rolled(made=52)
    place = Progress.objects.get(pk="rollups")
    assert (place.five_until, place.hour_until, place.day_until) == (
        NOW - timedelta(minutes=2), NOW - timedelta(minutes=12), datetime(2026, 11, 22, tzinfo=UTC),
    )  # fmt: skip
    assert same(before, summed())
    assert before.unpriced == 16
    for step in (FIVE, HOUR, 6 * HOUR, DAY):
        assert same(folding.total(rolled.between(START - DAY, NOW, step=step).values()), summed())
    for filters in ({"user": 2}, {"model": "somebody-elses"}, {"user": 1, "model": "claude-opus-4-6"}):
        assert same(rolled.over(START - DAY, NOW, **filters), summed(**filters))
    sums = folding.total(rolled.sums(START - DAY, NOW, step=HOUR).values())
    assert [getattr(sums, name) for name in (*folding.SUMS[:-4], "peak")] == [
        getattr(before, name) for name in (*folding.SUMS[:-4], "peak")
    ]
    by_model = rolled.by("model", START - DAY, NOW)
    assert {name: one.calls for name, one in by_model.items()} == {"claude-opus-4-6": 60, "somebody-elses": 16}
    people = userdays.by_user(START - DAY, NOW)
    assert {user: one.calls for user, one in people.items()} == {1: 26, 2: 25, 3: 25}
    assert sum((one.cost for one in people.values()), Decimal(0)) == summed().cost


@pytest.mark.django_db
@pytest.mark.usefixtures("traffic")
def test_a_call_that_comes_late_is_added_once_however_often_one_rolls(tell):
    for minutes in range(3):
        rollups.roll(NOW + timedelta(minutes=minutes))
    late = START + timedelta(hours=30)
    tell(number=99, session=None, user=3, at=late)
    for minutes in range(3, 16, 4):
        rollups.roll(NOW + timedelta(minutes=minutes))
        assert same(rolled.over(START - DAY, NOW), summed())
    assert rolled.over(START - DAY, NOW).calls == 77
    sizes = {
        size: sum(Rollup.objects.filter(size=size, user=0).values_list("calls", flat=True)) for size in ("1h", "5m")
    }
    assert sizes == {"1h": 77, "5m": 77}
    day = Rollup.objects.filter(size="1d", user=3, start=late.replace(hour=0, minute=0))
    assert sum(day.values_list("calls", flat=True)) == summed_day(late, user=3)


def summed_day(moment, **filters):
    start = moment.replace(hour=0, minute=0, second=0)
    return ModelCall.objects.filter(at__gte=start, at__lt=start + DAY, **filters).count()


@pytest.mark.django_db
def test_the_open_hour_is_rolled_by_five_minutes_and_a_round_without_news_writes_nothing(
    tell, django_assert_max_num_queries
):
    tell(at=NOW - timedelta(minutes=12))
    assert rollups.roll(NOW).made == 1
    assert set(Rollup.objects.values_list("size", flat=True)) == {"5m"}
    tell(2, at=NOW - timedelta(minutes=1))
    with django_assert_max_num_queries(19):
        assert rollups.roll(NOW + timedelta(seconds=60)).made == 0
    assert rolled.over(NOW - HOUR, NOW).calls == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("traffic")
def test_who_is_killed_in_the_middle_of_an_hour_leaves_nothing_behind_and_the_next_one_goes_on(monkeypatch):
    whole, made = rollups._replace, []

    def dies(size, start, end, rows):
        whole(size, start, end, rows)
        made.append(size)
        if len(made) == 21:
            raise KeyboardInterrupt

    monkeypatch.setattr(rollups, "_replace", dies)
    with pytest.raises(KeyboardInterrupt):
        rollups.roll(NOW)
    assert rolled.until() == START.replace(minute=0) + 10 * HOUR
    assert Rollup.objects.filter(start__gte=rolled.until()).count() == 0
    assert same(rolled.over(START - DAY, NOW), summed())
    monkeypatch.setattr(rollups, "_replace", whole)
    assert rollups.roll(NOW).made == 42
    assert same(rolled.over(START - DAY, NOW), summed())


@pytest.mark.django_db
@pytest.mark.usefixtures("traffic")
def test_a_round_stops_when_its_time_is_up_and_rests_after_each_piece():
    rests = []
    assert rollups.roll(NOW, seconds=0, breathe=rests.append) == rollups.Rolled(made=1, more=True)
    assert len(rests) == 1
    while rollups.roll(NOW, seconds=0).more:
        pass
    assert same(rolled.over(START - DAY, NOW), summed())


@pytest.mark.django_db
@pytest.mark.usefixtures("traffic")
def test_users_add_up_the_same_from_days_as_from_calls_by_any_filter(tell):
    def listed(**chosen):
        return {
            user: [getattr(one, name) for name in userdays.SUMS]
            for user, one in userdays.by_user(START - DAY, NOW, **chosen).items()
        }

    asked = [{}, {"model": "somebody-elses"}, {"strategy": "summary"}, {"strategy": "none"}, {"user": 2},
             {"user": 1, "model": "claude-opus-4-6"}]  # fmt: skip
    before = [listed(**chosen) for chosen in asked]
    assert [len(users) for users in before] == [3, 3, 3, 0, 1, 1]
    rollups.roll(NOW)
    assert [listed(**chosen) for chosen in asked] == before
    assert UserDay.objects.filter(model=userdays.ALL).count() == 2 + 3 + 3
    # The days of a release that had no such rows are made by the next round, and until then nothing is missing.
    UserDay.objects.all().delete()
    Progress.objects.filter(pk=userdays.NAME).delete()
    assert [listed(**chosen) for chosen in asked] == before
    rollups.roll(NOW + timedelta(seconds=30))
    assert UserDay.objects.exists()
    assert [listed(**chosen) for chosen in asked] == before
    # A call that comes late makes its day again, and these rows with it.
    tell(number=99, session=None, user=3, at=START + timedelta(hours=30))
    for minutes in (1, 6, 11):
        rollups.roll(NOW + timedelta(minutes=minutes))
    assert listed()[3][0] == before[0][3][0] + 1
    assert listed()[2] == before[0][2]


@pytest.mark.django_db
@pytest.mark.usefixtures("traffic")
def test_within_one_page_what_is_not_rolled_up_is_read_once():
    rollups.roll(NOW - timedelta(hours=6))
    asked = [{}, {"model": "somebody-elses"}, {"purpose": "reply"}, {"strategy": "none"}]
    apart = [rolled.over(START - DAY, NOW, **filters) for filters in asked]
    with CaptureQueriesContext(connection) as queries, rolled.once(NOW):
        # A chart's last step ends later than now.
        ends = (NOW, NOW + HOUR, NOW, NOW + DAY)
        together = [rolled.over(START - DAY, end, **filters) for end, filters in zip(ends, asked, strict=True)]
    assert sum('FROM "monitoring_modelcall"' in query["sql"] for query in queries) == 1
    assert [same(*pair) for pair in zip(apart, together, strict=True)] == [True] * 4
    assert [figures.calls for figures in apart] == [76, 16, 76, 0]


@pytest.mark.django_db
def test_without_a_call_there_is_nothing_to_roll():
    assert rollups.roll(NOW) == rollups.Rolled()
    assert rolled.between(NOW - DAY, NOW, step=HOUR) == {}
    with transaction.atomic():
        assert rolled.over(NOW - DAY, NOW) == Figures()
