"""Monitoring's own work: one process at a time, through a database that is away, and no call is lost to retention."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from monitoring import alerting, loop, retention, rolled, rollups
from monitoring.loop import LEASE, Loop, Lost
from monitoring.models import AlertRule, ContextEvent, ModelCall, Progress, Rollup, SessionGauge

NOW = datetime(2026, 11, 22, 3, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.django_db
def test_one_process_works_and_another_takes_over_when_its_lease_has_run_out(tell):
    now = timezone.now()
    tell(at=now - timedelta(hours=2))
    one, other = Loop(), Loop()
    one.once(now)
    assert Rollup.objects.exists()
    assert AlertRule.objects.filter(evaluated_at=now).count() == 9
    other.once(now + timedelta(minutes=1))
    assert not AlertRule.objects.filter(evaluated_at__gt=now).exists()
    other.once(now + 2 * LEASE)
    assert Progress.objects.get(pk=loop.LOOP).owner == other.owner
    assert AlertRule.objects.filter(evaluated_at__gt=now).count() == 9


@pytest.mark.django_db
def test_who_lost_the_lease_in_the_middle_of_a_round_leaves_it():
    one, other = Loop(rest=0), Loop()
    one.once()
    Progress.objects.filter(pk=loop.LOOP).update(owner=other.owner, until=timezone.now() + LEASE)
    with pytest.raises(Lost):
        one._breathe(0.0)


@pytest.mark.django_db(transaction=True)
def test_a_round_that_fails_is_not_the_last_one_and_the_end_gives_the_lease_back(monkeypatch):
    own, rounds = Loop(round_s=0.01), []

    def evaluate(now):
        rounds.append(now)
        if len(rounds) == 1:
            raise OperationalError("the database is away")
        if len(rounds) == 2:
            raise KeyError("a fault of ours")
        own._ends.set()
        return alerting.Evaluated()

    monkeypatch.setattr(alerting, "evaluate", evaluate)
    own.start()
    own._thread.join(10)
    assert not own._thread.is_alive()
    assert len(rounds) == 3
    assert Progress.objects.get(pk=loop.LOOP).until is None


@pytest.mark.django_db
def test_a_stop_ends_a_long_piece_of_work_after_what_is_at_hand():
    own = Loop()
    own.stop(0)
    with pytest.raises(Lost):
        own._breathe(60.0)


# --- retention


@pytest.mark.django_db
def test_calls_go_when_they_are_old_and_rolled_up_and_their_sums_stay(tell, happen, settings):
    settings.MONITORING_KEEP_DAYS = 10
    settings.MONITORING_KEEP_EVENTS_DAYS = 15
    for days in range(20):
        tell(days + 1, at=NOW - days * DAY, session=None)
        happen(days + 1, at=NOW - days * DAY)
    tell(at=NOW - 15 * DAY)
    assert retention.purge(NOW) == {"contextevent": 4}  # nothing is rolled up yet, so no call goes
    rollups.roll(NOW)
    before = rolled.over(NOW - 30 * DAY, NOW)
    assert retention.purge(NOW) == {"modelcall": 10, "sessiongauge": 1}
    assert (ModelCall.objects.count(), ContextEvent.objects.count(), SessionGauge.objects.count()) == (11, 16, 0)
    assert Progress.objects.get(pk="rollups").floor == datetime(2026, 11, 12, tzinfo=UTC)
    # Who comes late to a day whose calls are gone must not have the day made again from what is left.
    tell(99, at=NOW - 12 * DAY, session=None)
    for minutes in range(0, 20, 6):
        rollups.roll(NOW + timedelta(minutes=minutes))
    after = rolled.over(NOW - 30 * DAY, NOW)
    assert (after.calls, after.cost, after.utilisation) == (before.calls, before.cost, before.utilisation)
    assert retention.purge(NOW) == {"modelcall": 1}


@pytest.mark.django_db
def test_batches_are_bounded_and_no_time_is_no_work(tell, settings, monkeypatch):
    settings.MONITORING_KEEP_DAYS = 10
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        tell(number + 1, at=NOW - 20 * DAY, session=None)
    tell(9, at=NOW, session=None)
    rollups.roll(NOW)
    rests = []
    assert retention.purge(NOW, seconds=0, breathe=rests.append) == {}
    assert retention.purge(NOW, breathe=rests.append)["modelcall"] == 5
    assert len(rests) >= 3


@pytest.mark.django_db
def test_nothing_goes_with_a_retention_of_zero_days(tell, happen, settings):
    settings.MONITORING_KEEP_DAYS = settings.MONITORING_KEEP_EVENTS_DAYS = 0
    tell(at=NOW - 3_000 * DAY)
    happen(at=NOW - 3_000 * DAY)
    rollups.roll(NOW - 2_990 * DAY)
    assert "modelcall" not in retention.purge(NOW - 2_900 * DAY)
    assert (ModelCall.objects.count(), ContextEvent.objects.count()) == (1, 1)
