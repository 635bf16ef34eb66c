"""Why there is no reply, in words."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from chat.providers import base
from chat.web import failures

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (45, "45 seconds"), (119, "119 seconds"), (300, "5 minutes"), (7199, "120 minutes"),
     (7200, "2 hours"), (86_400, "24 hours")],
)  # fmt: skip
def test_a_wait_is_named_in_its_largest_unit(seconds: int, words: str) -> None:
    assert failures.wait(seconds) == words


def test_a_long_wait_is_named_with_its_end() -> None:
    said = failures.sentence("rate_limited:7200", AT)
    assert said == (
        "The model’s service is taking no more messages for the moment. "
        "It asks to wait 2 hours (until March 1, 2026, 2 p.m.)."
    )


def test_an_end_today_is_a_time_alone() -> None:
    now = timezone.now().replace(hour=0, minute=0)
    assert "until 12:05 a.m." in failures.sentence("unavailable:300", now)
    assert "2026" not in failures.sentence("unavailable:300", now + timedelta(minutes=1))


def test_a_code_without_a_wait_names_none() -> None:
    assert "wait" not in failures.sentence("rate_limited", AT)
    assert failures.sentence("rate_limited:60") == failures.sentence("rate_limited") + " It asks to wait 60 seconds."


def test_what_is_too_large_is_named() -> None:
    assert failures.sentence("too_large:current").startswith("Your message has more bytes")
    assert failures.sentence("too_large:documents").startswith("The attached documents")
    assert failures.sentence("too_large:documents", document="notes.txt").endswith("The largest is “notes.txt”.")
    assert "notes.txt" not in failures.sentence("too_large:current", document="notes.txt")
    assert failures.sentence("too_large:system").startswith("The request has more bytes")
    assert failures.sentence("too_large") == "This message is larger than the model can take."


def test_every_error_of_a_provider_has_a_sentence_of_its_own() -> None:
    leaves = base.ProviderError.__subclasses__()
    assert leaves
    for leaf in leaves:
        assert failures.sentence(leaf.code) != failures.sentence("never heard of")
