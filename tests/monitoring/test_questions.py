"""The eight questions of an operator: the answer as text with its cause seeded, and another with the cause absent."""

import re
from collections.abc import Callable, Iterator

import pytest
import time_machine
from django.urls import reverse

from tests.monitoring import asking
from tests.monitoring.test_views import text

pytestmark = pytest.mark.django_db

OVERVIEW = reverse("monitoring:index")
USERS = reverse("monitoring:users")


def page(session) -> str:
    return reverse("monitoring:session", args=[session])


# What is asked: where the answer stands, with the cause, and without it.
QUESTIONS: dict[str, tuple[str, str, str]] = {
    "full": (
        OVERVIEW,
        r"Next: f01100, at 82 %; its hard limit is ~\d+ turns away",
        "No session will be full within 10 turns.",
    ),
    "saved": (
        OVERVIEW,
        r"Today: \S+; caching saved \S+, compaction \$0\.038 after \$0\.012 for its summaries and \$0\.00 for caching",
        r"Today: \S+; caching saved \S+, compaction \$0\.00 after \$0\.00 for its summaries and \$0\.00 for caching",
    ),
    "cache": (
        OVERVIEW,
        r"Fell from 9\d % to 1\d % at 14:05: system prompt changed \(1 of 1 breaks\); back since 14:10\.",
        "No fall of 5 points or more; 95 % of the input came from the cache.",
    ),
    "fills": (
        page(asking.FILLED),
        r"Filled by documents: 50\.0 k of 60\.0 k tokens \(83 %\); next history, 7\.0 k\.",
        r"Filled by history: 57\.0 k of 60\.0 k tokens \(95 %\); next system, 3\.0 k\.",
    ),
    "summariser": (
        OVERVIEW,
        # With "saved" there is one more, which made a summary.
        r"Summariser Failing: 3 of [34] calls failed, most: overloaded\.",
        r"Summariser Not failing: it was not needed\.",
    ),
    "costs": (USERS, r"user 44 \$1\.00", r"1 user with calls"),
    "overflow": (
        OVERVIEW,
        r"2 turns overflowed from 03:40 to 03:40; 1 answered, 1 got no reply\..* Without a reply 105700 ?, turn 9",
        "None: no request was refused as too long.",
    ),
    "forgot": (
        page(asking.FORGETFUL) + "?turn=12",
        r"Turn 12 was compressed with the turns up to 20 \(60\.0 k to 2\.0 k tokens\)\.",
        "Not forgotten: no compaction has covered turn 12.",
    ),
}


@pytest.fixture
def ask(client, olga) -> Iterator[Callable[[str], str]]:
    client.force_login(olga)
    with time_machine.travel(asking.NOW, tick=False):
        yield lambda address: text(client.get(address))


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered_by_its_cause_and_otherwise_where_there_is_none(ask, question):
    address, with_cause, without_cause = QUESTIONS[question]
    others = set(asking.CAUSES) - {question}
    asking.afternoon(without={*others})
    found = ask(address)
    assert re.search(with_cause, found), found
    assert not re.search(without_cause, found)


def test_without_any_cause_every_answer_says_so(ask):
    asking.afternoon(without=asking.CAUSES)
    pages: dict[str, str] = {}
    for question, (address, with_cause, without_cause) in QUESTIONS.items():
        pages[address] = pages.get(address) or ask(address)
        assert re.search(without_cause, pages[address]), (question, pages[address])
        assert not re.search(with_cause, pages[address]), question


def test_the_fall_is_told_to_five_minutes_in_a_day_of_quarters(ask):
    asking.afternoon(without={*asking.CAUSES} - {"cache"})
    for span in ("1h", "24h"):
        assert " at 14:05: system prompt changed" in ask(f"{OVERVIEW}?span={span}")


def test_with_all_causes_at_once_each_answer_still_names_its_own(ask):
    asking.afternoon()
    pages: dict[str, str] = {}
    for question, (address, with_cause, _) in QUESTIONS.items():
        pages[address] = pages.get(address) or ask(address)
        assert re.search(with_cause, pages[address]), (question, pages[address])
