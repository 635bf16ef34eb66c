"""Which sessions will be full, why, and how far off that was on conversations played through the real planner."""

import random

import pytest

from chat.context.budget import split
from monitoring import forecast
from monitoring.forecast import Point, Reason, Standing
from tests.context.conversation import Conversation, text_of

FULL = {"tokens": 170_000, "before": 165_000, "window": 200_000}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"strategy": "sliding_window"}, Reason("off", name="sliding_window")),
        ({"mode": "never", "rejections": 2}, Reason("off", name="never")),
        ({"rejections": 2, "job_state": "due", "job_s": 900}, Reason("gate", count=2)),
        ({"job_state": "due", "job_s": 900}, Reason("backlog", count=900)),
        ({"job_state": "due", "job_s": 5, "pinned": 82_000}, Reason("pins", share=0.41)),
        ({"parts": {"documents": 60_000, "history": 110_000}}, Reason("documents", share=0.3)),
        ({}, Reason("growth")),
    ],
)
def test_a_strategy_that_fails_has_one_reason_the_certain_before_the_likely(given, reason):
    assert forecast.failing(Standing(**FULL | given)) == reason


@pytest.mark.parametrize(
    "given", [{"before": 159_999}, {"tokens": 159_999}, {"window": 0}], ids=["once over", "below again", "no window"]
)
def test_one_call_over_the_line_is_no_failure(given):
    assert forecast.failing(Standing(**FULL | given)) is None


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"job_state": "running", "job_s": 14}, "compacting"),
        ({"job_state": "due", "job_s": 40}, "queued"),
        ({"mode": "ask", "compacts_in": 0}, "off"),
        ({"compacts_in": 0}, "next"),
        ({"compacts_in": 3}, "planned"),
        ({}, "unknown"),
    ],
)
def test_what_happens_next_is_told_by_what_is_known(given, code):
    assert forecast.happens(Standing(**FULL | given)).code == code


def played(seed: int, turns: int = 70) -> list[Point]:
    """The context of a conversation over its turns, as the real assembly and planner shape it."""
    dice = random.Random(seed)
    talk = Conversation(budget=split(16_000))
    points = []
    mean = dice.choice((150, 300, 500))
    for _ in range(turns):
        asked = talk.ask(
            text_of(int(dice.uniform(0.3, 1.7) * mean / 2)), text_of(int(dice.uniform(0.3, 1.7) * mean / 2))
        )
        points.append(Point(asked.manifest.estimated, 8_000))
        if asked.manifest.estimated >= 8_000:
            talk.compact(force=True)
    return points


def test_the_forecast_holds_on_replayed_conversations():
    replays = [played(seed) for seed in range(5)]
    found = forecast.backtest(replays)
    assert found.forecasts > 60
    assert found.median <= 1
    assert found.share <= 0.35


def test_a_forecast_that_knows_nothing_is_not_judged():
    assert forecast.backtest([[Point(10, 100)] * 5, []]) == forecast.Backtest(0, None, None)


def test_a_steady_growth_is_forecast_to_the_turn():
    steady = [Point(tokens, 10_000) for tokens in range(1_100, 11_000, 500)]
    assert forecast.backtest([steady]).median == 0
