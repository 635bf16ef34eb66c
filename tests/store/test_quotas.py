"""Set aside before a call, settled after it: no number of messages at once gets past a cap."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from chat.models import Allowance
from chat.store import quotas
from chat.store.quotas import Caps, Over, Reserved
from tests.store.building import conversation

NONE = Caps()
At = Callable[[datetime], None]


@pytest.fixture
def at() -> Iterator[At]:
    """`at(moment)` stops the clock there."""
    with time_machine.travel(datetime(2026, 11, 22, 12, tzinfo=UTC), tick=False) as clock:
        yield clock.move_to


def held(user: Any) -> tuple[int, ...]:
    row = Allowance.objects.get(user=user)
    return row.messages, row.live, row.reserved, row.used, row.reserved_cost, row.cost


def reserve(user: Any, tokens: int = 100, cost: int = 5, most: Caps = NONE) -> Reserved | Over:
    with transaction.atomic():
        return quotas.reserve(user.pk, tokens, cost, most)


def settle(user: Any, kept: Reserved, used: int = 0, cost: int = 0) -> None:
    quotas.settle(user.pk, kept.day, kept.tokens, kept.cost, used=used, cost=cost)


def test_what_is_set_aside_is_settled_by_what_was_used(alice: Any) -> None:
    first, second = reserve(alice), reserve(alice)
    assert held(alice) == (2, 2, 200, 0, 10, 0)
    settle(alice, first, used=70, cost=3)
    assert held(alice) == (2, 1, 100, 70, 5, 3)
    settle(alice, second)
    assert held(alice) == (2, 0, 0, 70, 0, 3)


def test_setting_aside_is_one_statement_and_so_is_settling(alice: Any) -> None:
    for _ in range(2):
        with CaptureQueriesContext(connection) as done:
            kept = quotas.reserve(alice.pk, 100, 5, NONE)
        assert len(done) == 1
    with CaptureQueriesContext(connection) as done:
        settle(alice, kept)
    assert len(done) == 1


def test_the_last_token_fits_and_one_more_does_not(alice: Any) -> None:
    most = Caps(tokens=300)
    settle(alice, reserve(alice, 100, most=most), used=100)
    assert isinstance(reserve(alice, 200, most=most), Reserved)
    assert reserve(alice, 1, most=most).reason == "tokens"


def test_a_first_message_that_is_over_by_itself_leaves_no_row(alice: Any) -> None:
    assert reserve(alice, 301, most=Caps(tokens=300)).reason == "tokens"
    assert reserve(alice, 1, 301, most=Caps(cost=300)).reason == "spend"
    assert not Allowance.objects.exists()


def test_used_tokens_come_back_at_midnight_utc(alice: Any, at: At) -> None:
    most = Caps(tokens=100)
    at(datetime(2026, 11, 22, 23, 59, 50, tzinfo=UTC))
    settle(alice, reserve(alice, 100, most=most), used=90)
    over = reserve(alice, 20, most=most)
    assert over == Over("tokens", datetime(2026, 11, 23, tzinfo=UTC))
    assert over.retry_after_ms == 10_000
    at(datetime(2026, 11, 23, 0, 0, 1, tzinfo=UTC))
    assert isinstance(reserve(alice, 20, most=most), Reserved)


def test_what_is_only_set_aside_may_come_back_soon(alice: Any, at: At) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    at(now)
    reserve(alice, 90, 90, most=NONE)
    assert reserve(alice, 20, 0, most=Caps(tokens=100)) == Over("tokens", now + quotas.LIVE_RETRY)
    assert reserve(alice, 0, 20, most=Caps(cost=100)) == Over("spend", now + quotas.LIVE_RETRY)


def test_the_third_reply_at_once_waits_for_one_to_end(alice: Any, bob: Any) -> None:
    most = Caps(live=2)
    first, _ = reserve(alice, most=most), reserve(alice, most=most)
    assert reserve(alice, most=most).reason == "live"
    assert isinstance(reserve(bob, most=most), Reserved)
    settle(alice, first)
    assert isinstance(reserve(alice, most=most), Reserved)


def test_a_turn_over_midnight_is_settled_on_its_own_day(alice: Any, at: At) -> None:
    at(datetime(2026, 11, 22, 23, 59, tzinfo=UTC))
    kept = reserve(alice)
    at(datetime(2026, 11, 23, 0, 1, tzinfo=UTC))
    settle(alice, kept, used=7)
    row = Allowance.objects.get(user=alice)
    assert (row.day, row.live, row.reserved, row.used) == (kept.day, 0, 0, 7)


def test_a_turn_for_which_nothing_was_set_aside_settles_nothing(alice: Any) -> None:
    quotas.settle(alice.pk, None, None, None, used=5)
    assert not Allowance.objects.exists()


def test_a_call_that_ended_no_turn_counts_too(alice: Any, bob: Any) -> None:
    reserve(alice)
    for _ in range(2):
        quotas.spend(alice.pk, used=20, cost=1)
        quotas.spend(bob.pk, used=20, cost=1)
    assert held(alice) == (1, 1, 100, 40, 5, 2)
    assert held(bob) == (0, 0, 0, 40, 0, 2)


def test_the_caps_are_the_settings_and_zero_is_none(settings: Any) -> None:
    settings.CHAT_LIVE_TURNS, settings.CHAT_TOKENS_PER_DAY, settings.CHAT_SPEND_PER_DAY = 3, 1_000, 2.5
    assert quotas.caps() == Caps(live=3, tokens=1_000, cost=2_500_000)
    settings.CHAT_LIVE_TURNS = settings.CHAT_TOKENS_PER_DAY = settings.CHAT_SPEND_PER_DAY = 0
    assert quotas.caps() == Caps()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("most", [Caps(tokens=500), Caps(cost=25), Caps(live=5)], ids=["tokens", "spend", "live"])
def test_of_twenty_at_once_as_many_pass_as_fit(alice: Any, at_once: Any, most: Caps) -> None:
    answers = at_once(*[lambda: reserve(alice, 100, 5, most)] * 20)
    assert sum(isinstance(one, Reserved) for one in answers) == 5
    assert sum(isinstance(one, Over) for one in answers) == 15
    assert held(alice) == (5, 5, 500, 0, 25, 0)


@pytest.mark.django_db(transaction=True)
def test_twenty_that_end_at_once_leave_nothing_set_aside(alice: Any, at_once: Any) -> None:
    kept = [reserve(alice) for _ in range(20)]
    at_once(*[lambda one=one: settle(alice, one, used=1, cost=1) for one in kept])
    assert held(alice) == (20, 0, 0, 20, 0, 20)


def test_an_account_that_is_wrong_is_found_and_mended(alice: Any, bob: Any) -> None:
    kept = reserve(alice)
    assert quotas.wrong() == [(alice.pk, kept.day, (1, 100, 5), (0, 0, 0))]
    session = conversation(alice, 1)
    with transaction.atomic():
        from_turn = session.turns.create(number=2, parent=session.head, prompt="?", **kept.columns)
    assert quotas.wrong() == []
    from_turn.delete()
    assert quotas.mend(alice.pk, kept.day)
    assert not quotas.mend(alice.pk, kept.day)
    assert quotas.wrong() == []
    assert held(alice) == (1, 0, 0, 0, 0, 0)


def test_a_turn_whose_account_is_lost_is_found_too(alice: Any) -> None:
    kept = reserve(alice)
    Allowance.objects.all().delete()
    session = conversation(alice, 1)
    session.turns.create(number=2, parent=session.head, prompt="?", **kept.columns)
    assert quotas.wrong() == [(alice.pk, kept.day, (0, 0, 0), (1, 100, 5))]
    assert quotas.mend(alice.pk, kept.day)
    assert quotas.wrong() == []
