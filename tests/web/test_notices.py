"""Notices: each kind in its own words, and a summary taken apart for reading."""

import pytest
from django.utils import timezone

from chat.models import Notice, Summary, Turn
from chat.web import notices
from tests.web.conftest import SUMMARY


def test_a_summary_is_read_by_its_sections():
    sections, values = notices.read_summaries([Summary(text=SUMMARY)])
    assert [section.title for section in sections] == [
        "In short", "Goal and situation", "Decisions and why", "Words to find it by",
    ]  # fmt: skip
    assert sections[0].html == "<p>Lena asks about her order.</p>"
    assert "<strong>valve</strong>" in sections[2].html
    assert values == ("A-7731", "Corvo Duo", "EUR 1,849.00")


def test_several_summaries_are_joined_heading_by_heading():
    other = Summary(text="## Goal and situation\nThe kit arrived.\n## Exact values\n- A-7731\n- R-2209")
    sections, values = notices.read_summaries([Summary(text=SUMMARY), other])
    goal = next(section for section in sections if section.title == "Goal and situation")
    assert "loses pressure" in goal.html
    assert "The kit arrived." in goal.html
    assert values == ("A-7731", "Corvo Duo", "EUR 1,849.00", "R-2209")


def test_a_summary_of_another_shape_is_still_shown():
    sections, values = notices.read_summaries([Summary(text="Just some words. <script>alert(1)</script>")])
    assert [section.title for section in sections] == ["In short"]
    assert "<script>" not in sections[0].html
    assert "Just some words." in sections[0].html
    assert values == ()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("compressed", "Earlier parts of this conversation were compressed for length"),
        ("trimmed", "are not in the model’s view"),
        ("left_out", "did not fit the model’s view"),
        ("clamped", "reached the model shortened"),
        ("failed", "could not be compressed"),
        ("restored", "are back in the model’s view"),
    ],
)
def test_each_kind_has_its_own_wording(kind, words):
    shown = notices.show(Notice(pk=1, kind=kind, first=1, last=4, created_at=timezone.now()))
    assert words in shown.sentence
    assert shown.bad is (kind == "failed")
    assert ("compressed for length" in shown.sentence) is (kind == "compressed")


def test_an_extract_made_by_code_says_so(compressed):
    Summary.objects.update(made_by=Summary.MadeBy.EXTRACT)
    shown = notices.of_session(compressed, 1, 6)[4][0]
    assert shown.made_by.startswith("Extract made by code, without a model")


def test_an_ended_notice_and_one_of_another_branch_are_not_shown(compressed):
    Notice.objects.update(ended_at=timezone.now())
    assert notices.of_session(compressed, 1, 6) == {}
    assert notices.changed_places(compressed, 1, 6) == [4]


def test_only_the_summaries_of_the_notices_on_the_page_are_read(compressed, monkeypatch):
    early, late = (Turn.objects.get(session=compressed, number=number) for number in (4, 6))
    told = {"session": compressed, "state": "active", "source_hash": "c", "input_hash": "d"}
    Summary.objects.create(first=5, last=6, until=late, text="Previously: the kit.", **told)
    Summary.objects.create(first=1, last=4, until=early, text="Previously: the pump.", **(told | {"state": "resting"}))
    Notice.objects.create(session=compressed, kind="compressed", first=5, last=6, until=late)
    read, from_db = [], Summary.from_db.__func__
    monkeypatch.setattr(
        Summary, "from_db", classmethod(lambda cls, *row: (found := from_db(cls, *row), read.append(found))[0])
    )
    assert [shown.first for shown in notices.of_session(compressed, 5, 6)[6]] == [5]
    assert [(one.first, one.last) for one in read] == [(5, 6)]
    read.clear()
    assert [shown.first for shown in notices.of_session(compressed, 3, 4)[4]] == [1]
    assert {(one.first, one.last) for one in read} == {(1, 4)}
