"""What the chart is drawn from."""

import json
from datetime import UTC, datetime, timedelta

from monitoring import chart
from monitoring.series import Mark, Sample, lane, place

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def sample(number: int, size: int = 10_000, **given) -> Sample:
    values = {"at": NOON + timedelta(minutes=number), "window": 200_000, "input": size, "total_ms": 5_000}
    return Sample(number=number, **values | given)


def mark(number: int, at: float, kind: str = "compaction") -> Mark:
    return Mark(kind=kind, number=number, at=NOON + timedelta(minutes=at))


def test_picture_table_and_sentence_come_from_the_same_parts():
    turns = [sample(1, components={"system": 1, "history": 3}), sample(2, 20_000, components={"history": 5})]
    drawn = chart.draw(turns, [], 1, 2)
    data = json.loads(drawn.data)
    assert [part.code for part in drawn.components] == ["system", "history"]
    assert [bar.parts for bar in drawn.bars] == [(2_500, 7_500), (0, 20_000)]
    assert [bar[8:] for bar in data["bars"]] == [[2_500, 7_500], [0, 20_000]]
    assert [bar[:5] for bar in data["bars"]] == [[1, "12:01", 200_000, 10_000, 0], [2, "12:02", 200_000, 20_000, 0]]
    assert [part.code for part in drawn.from_top] == ["history", "system"]
    assert drawn.headline.startswith("10\u00a0% of the 200\u00a0k window at turn 2.")


def test_a_call_whose_parts_nobody_told_is_one_part():
    drawn = chart.draw([sample(1)], [], 1, 1)
    assert [(part.code, part.tokens) for part in drawn.components] == [("input", 10_000)]


def test_a_failed_turn_is_a_gap_and_not_a_bar_of_nothing():
    drawn = chart.draw([sample(1), sample(2, 0, outcome="overloaded"), sample(3)], [], 1, 3)
    assert [bar.sample.number for bar in drawn.bars] == [1, 3]


def test_without_a_known_window_there_is_no_share_to_draw_and_the_page_says_so():
    unknown = chart.draw([sample(1, window=0)], [], 1, 1)
    nothing = chart.draw([], [], 1, 0)
    assert unknown.bars == nothing.bars == ()
    assert "window" in json.loads(unknown.data)["nothing"]
    assert "No calls yet" in json.loads(nothing.data)["nothing"]


def test_a_component_that_nobody_has_named_keeps_its_code():
    drawn = chart.draw([sample(1, components={"side_notes": 4})], [], 1, 1)
    assert [part.name for part in drawn.components] == ["side notes"]


def test_a_compaction_stands_at_the_first_turn_whose_request_left_after_it():
    calls = [sample(1), sample(2), sample(3)]
    (before, during, after) = place([mark(1, 1.5), mark(1, 1.95), mark(2, 3.5)], calls)
    assert (before.number, during.number, after.number) == (2, 3, 4)


def test_what_happens_within_a_turn_stands_at_that_turn():
    (trim,) = place([mark(2, 2.0, "trim")], [sample(1), sample(2), sample(3)])
    assert trim.number == 2


def test_the_axis_has_room_for_a_compaction_that_no_request_has_seen():
    turns = [sample(number) for number in range(1, 61)]
    marks = place([mark(40, 61)], turns)
    assert lane(marks)[0].number == 61
    assert json.loads(chart.draw(turns, marks, 1, 60).data)["last"] == 61


def test_an_early_chart_has_an_axis_that_a_first_call_does_not_fill():
    assert json.loads(chart.draw([sample(1)], [], 1, 1).data)["last"] == chart.LEAST_TURNS
