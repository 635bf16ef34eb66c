"""The gauge: what is shown adds up, and says what is an estimate."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from chat.context.gauge import Gauge
from chat.models import ChatSession, Fact, Manifest
from chat.web import gauge, measuring
from chat.web.gauge import BAR, apportion, kilo, present
from tests.web.conftest import add_manifest, add_turn


def make(components: dict[str, int], *, window: int = 200_000, reserve: int = 32_000, **values) -> Gauge:
    tokens = sum(components.values())
    limit = window - reserve
    return Gauge(**{
        "tokens": tokens,
        "window": window,
        "share": tokens / window,
        "estimated": False,
        "components": components,
        "compacts_at": int(limit * 0.6),
        "hard_limit": limit,
        "reserve": reserve,
        "free": max(0, limit - tokens),
        "turns_left": 38,
    } | values)  # fmt: skip


def figure(text: str) -> int:
    """The tokens that a text such as "~41.2 k" speaks of."""
    digits = re.sub(r"[^0-9.]", "", text)
    return round(float(digits) * (1000 if "k" in text else 1))


STORY = {"system": 3_100, "documents": 9_600, "facts": 900, "summaries": 2_200, "recall": 3_372, "history": 22_028}


def test_two_numbers_and_what_comes_next():
    shown = present(make(STORY))
    assert shown["title"] == "Context 41.2 k of 200 k (21 %)"
    assert shown["next"] == "About 38 turns left until older parts are compressed."
    assert shown["sentence"] == "Context 41.2 k / 200 k (21 %), ~38 turns left"
    assert (shown["figures"], shown["soon"]) == ("41.2 k / 200 k", "~38 turns left")
    assert (shown["now"], shown["mark"], shown["limit"]) == ("41.2 k", "100.8 k", "168 k")


def test_an_estimate_says_so():
    shown = present(make(STORY, estimated=True), counted=None)
    assert shown["title"].startswith("Context ~41.2 k")
    assert all(part.tokens.startswith("~") for part in shown["parts"])
    assert "estimate" in shown["note"]
    assert "~" not in present(make(STORY), counted=41_000)["title"]


def test_where_nothing_is_compacted_the_mark_is_the_limit():
    shown = present(make(STORY, compacts_at=None, turns_left=0))
    assert shown["mark_x"] == shown["limit_x"]
    assert shown["next"] == "With the next turns older parts leave the model’s view."
    assert shown["soon"] == "older parts go next"
    assert present(make(STORY, turns_left=0), asks=True)["soon"] == "asks you next"
    assert present(make(STORY, turns_left=0))["soon"] == "compresses next"


def test_pressure_has_a_word_and_not_only_a_colour():
    assert present(make({"history": 150_000}))["high"]
    assert not present(make({"history": 100_000}))["high"]


@given(
    st.lists(st.integers(0, 60_000), min_size=6, max_size=6),
    st.sampled_from([8_000, 16_000, 150_000, 200_000, 1_000_000]),
    st.floats(0.05, 0.3),
)
def test_what_is_shown_adds_up(tokens, window, reserved):
    components = dict(zip(STORY, tokens, strict=True))
    reserve = int(window * reserved)
    shown = present(make(components, window=window, reserve=reserve))
    legend = [figure(part.tokens) for part in shown["legend"]]
    total = sum(components.values())
    if total <= window:
        assert sum(legend) == window
        assert sum(round(float(part.percent[:-2]) * 10) for part in shown["legend"]) == 1000
    assert sum(legend[:-2]) == figure(shown["now"])
    assert all(part.width >= 2 for part in shown["parts"] if figure(part.tokens) and part.x < BAR - 2)
    assert all(part.x >= 0 and part.x + part.width <= BAR for part in shown["parts"])


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=9))
def test_rounding_moves_nothing_by_more_than_one_unit(figures):
    total = sum(figures)
    rounded = apportion(figures, total, 100)
    assert sum(rounded) == round(total / 100) * 100
    assert all(abs(a - b) <= 100 for a, b in zip(figures, rounded, strict=True))


@pytest.mark.parametrize(("tokens", "text"), [(0, "0 k"), (300, "0.3 k"), (8_000, "8 k"), (41_200, "41.2 k")])
def test_thousands(tokens, text):
    assert kilo(tokens) == text


class TestOfASession:
    def test_it_is_absent_until_a_reply_has_been_counted(self, make_session):
        assert gauge.of_session(make_session(1)) is None

    def test_it_shows_what_the_api_counted_and_the_reply(self, make_session):
        session = make_session(2)
        add_manifest(session, measured=5_000)
        shown = gauge.of_session(session)
        assert shown["used"] == 5_010
        assert shown["note"].startswith("The API counted 5,000 tokens for turn 2")

    def test_after_a_compaction_it_estimates_what_the_next_request_holds(self, make_session):
        session = make_session(6)
        add_manifest(session, measured=5_000)
        ChatSession.objects.filter(pk=session.pk).update(window_from=5)
        session.refresh_from_db()
        shown = gauge.of_session(session)
        assert shown["title"].startswith("Context ~")
        told = measuring.counter(session.model).count(session.instructions.text)
        assert shown["used"] == told + 40  # the instructions, and turns 5 and 6 of 20 tokens each

    def test_it_shows_no_wrong_figures_when_the_settings_no_longer_fit(self, make_session, settings):
        session = make_session(1)
        add_manifest(session, window=1_000)
        settings.CHAT_RESPONSE_TOKENS = 2_000
        assert gauge.of_session(session) is None

    def test_a_turn_that_runs_changes_nothing_yet(self, make_session):
        session = make_session(2)
        add_manifest(session)
        add_turn(session, status="running")
        assert gauge.of_session(session)["used"] == 5_010

    def test_facts_beyond_what_anybody_counts_are_not_counted_with_each_reply(
        self, client, alice, make_session, monkeypatch
    ):
        monkeypatch.setattr(gauge, "MOST_REMEMBERED", 3)
        session = make_session(1)
        add_manifest(session)
        Manifest.objects.update(budget=[["facts", 9_999, 40, 40]])
        client.force_login(alice)
        for number, said in ((3, "3"), (5, "3+")):
            for value in range(session.facts.count(), number):
                Fact.objects.create(session=session, kind="id", value=f"A-{value}", made_by="code")
            with CaptureQueriesContext(connection) as asked:
                page = client.get(f"/c/{session.pk}/").content.decode()
            assert f'id="remembered-count">{said}</span>' in page
            assert f"{said} remembered" in page
            counts = [one["sql"] for one in asked if "COUNT(" in one["sql"] and "chat_fact" in one["sql"]]
            assert len(counts) == 1
            assert "LIMIT 4" in counts[0]
