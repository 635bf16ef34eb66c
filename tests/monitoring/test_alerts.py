"""When somebody is told: once, not at every swing at the line, again while nobody looks, and when it is over."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring import alerts
from monitoring.alerts import Decision, Episode, Firing, Rule, Standing

NOW = datetime(2026, 11, 22, 3, 12, tzinfo=UTC)
RULE = Rule(code="session-over-80", limit=80, resolve=75, opens_after=2, resolves_after=2, repeat_s=3_600)


def run(values, rule=RULE, acknowledged=False):
    """The decisions of evaluations a minute apart."""
    standing, firing, found = Standing(), None, []
    for minute, value in enumerate(values):
        at = NOW + timedelta(minutes=minute)
        standing, decision = alerts.decide(rule, standing, firing, value, at)
        if decision in (Decision.OPEN, Decision.REPEAT):
            firing = Firing(at, acknowledged)
        elif decision is Decision.RESOLVE:
            firing = None
        if decision:
            found.append((minute, decision.value))
    return found


def test_it_opens_after_its_evaluations_and_resolves_below_the_lower_line():
    assert run([81, 82, 83, 79, 76, 75, 74, 60]) == [(1, "opened"), (6, "resolved")]


def test_a_swing_over_the_line_is_not_two_in_a_row():
    assert run([81, 79, 81, 80, 81, 79]) == []


def test_at_the_line_it_does_not_flap():
    assert run([81, 81] + [79, 81] * 20) == [(1, "opened")]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(75.01, 200) | st.floats(80.0, 80.5), max_size=80))
def test_what_never_falls_to_the_lower_line_opens_at_most_once_and_never_resolves(values):
    told = [decision for _, decision in run(values) if decision != "repeated"]
    assert told in ([], ["opened"])


def test_it_is_told_again_until_somebody_acknowledges_it():
    assert run([90] * 130) == [(1, "opened"), (61, "repeated"), (121, "repeated")]
    assert run([90] * 130, acknowledged=True) == [(1, "opened")]


def test_nothing_to_measure_is_no_trouble():
    assert run([90, 90, None, None]) == [(1, "opened"), (3, "resolved")]
    assert run([90, None, 90, None]) == []


def test_a_count_resolves_when_there_is_none():
    rule = Rule(code="overflow-recovery", limit=0, resolve=0)
    assert run([0, 1, 2, 1, 0], rule) == [(1, "opened"), (4, "resolved")]


def test_a_rehearsal_tells_when_it_would_have_been_open():
    minutes = [NOW + timedelta(minutes=5) * step for step in range(6)]
    readings = list(zip(minutes, [70, 85, 91, 70, 85, None], strict=True))
    assert alerts.rehearse(RULE, readings, evaluations=5) == [
        Episode(minutes[1], minutes[3], 91),
        Episode(minutes[4], minutes[5], 85),
    ]
    assert alerts.rehearse(RULE, readings[:3]) == [Episode(minutes[2], None, 91)]


def test_a_key_is_a_code_however_long_a_models_name_is():
    assert alerts.key("cache-drop") == "cache-drop"
    assert alerts.key("cache-drop", "claude-opus-4-6") == "cache-drop:claude-opus-4-6"
    assert len(alerts.key("cache-drop", "m" * 64)) == alerts.KEY


def test_standings_are_stored_while_they_say_something():
    held = alerts.stored({"a": Standing(over=2), "b": Standing(), "c": Standing(under=1)})
    assert held == {"a": [2, 0], "c": [0, 1]}
    assert alerts.standing_of(held, "a") == Standing(over=2)
    assert alerts.standing_of(held, "b") == Standing()


@pytest.mark.parametrize("default", alerts.DEFAULTS, ids=lambda one: one.code)
def test_a_default_opens_above_where_it_resolves(default):
    assert default.resolve <= default.limit
    assert len(default.code) <= 24


def test_the_defaults_are_those_of_the_product():
    by_code = {one.code: one for one in alerts.DEFAULTS}
    mean, session = by_code["mean-over-70"], by_code["session-over-80"]
    assert (mean.limit, mean.resolve, session.limit) == (70, 65, 80)
    assert mean.values == {"minimum": 5, "period_s": 900, "opens_after": 3}
    assert {"overflow-recovery", "gate-failures", "backlog-age", "cache-drop", "error-rate", "spend"} <= by_code.keys()
