"""Counting: calibrated, overcounting at first, never falling, and addable."""

import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.context.tokens import (
    CLAMP_HIGH,
    CLAMP_LOW,
    CLASSES,
    LEAST_SAMPLE,
    START,
    Counter,
    Ratios,
    Shares,
    classify,
    total,
)

ENGLISH = (
    "The parcel arrived yesterday, but two of the screws are missing and I would like to know when you can send the"
    " rest of them. Nobody at the shop could tell me whether the order was packed by hand or by the machine. "
)
GERMAN = (
    "Die Lieferung ist gestern angekommen, aber leider fehlten zwei Schrauben, und ich möchte wissen, wann Sie den Rest"
    " schicken können. Im Geschäft konnte mir niemand sagen, ob von Hand gepackt wurde. "
)
PYTHON = (
    "def total(self, items: list[Item]) -> Decimal:\n    result = Decimal(0)\n    for item in items:\n"
    "        if item.price is None:\n            raise ValueError(f'{item.name}: no price')\n"
    "        result += item.price * item.count\n    return result\n\n"
)
CHINESE = "我们昨天在北京见面，讨论了新的项目计划，下周再联系。"


def _json() -> str:
    source = random.Random(1)
    rows = [{"id": n, "at": source.randint(10**9, 2 * 10**9), "x": round(source.random(), 4)} for n in range(300)]
    return json.dumps(rows, separators=(",", ":"))


any_text = st.text(alphabet=st.characters(), max_size=400)
ratios = st.builds(
    Ratios,
    **{name: st.floats(getattr(START, name) * CLAMP_LOW, getattr(START, name) * CLAMP_HIGH) for name in CLASSES},
)


@pytest.mark.parametrize(
    ("text", "measured"),
    [
        (ENGLISH, 4.5),
        (GERMAN, 2.8),
        (PYTHON, 2.9),
        (_json(), 1.4),
        (random.Random(2).randbytes(2000).hex(), 1.5),
        (CHINESE, 1.0),
    ],
    ids=["english", "german", "python", "json", "hex", "chinese"],
)
def test_the_start_overcounts_each_kind_of_text_but_not_twofold(text, measured):
    tokens = Counter().count(text)
    assert len(text) / measured <= tokens <= 2 * len(text) / measured


@given(any_text)
def test_every_character_is_counted_once_and_those_beyond_the_basic_plane_twice(text):
    assert classify(text).characters == len(text) + sum(character > "\uffff" for character in text)


@given(any_text, any_text, ratios)
def test_a_count_never_falls_when_text_is_appended(text, more, learnt):
    counter = Counter(learnt)
    assert counter.count(text + more) >= counter.count(text)


@given(any_text, any_text)
def test_two_texts_joined_cost_at_most_two_tokens_more_than_apart(one, other):
    counter = Counter()
    assert counter.count(one + other) <= counter.count(one) + counter.count(other) + 2


@given(any_text.filter(bool), ratios)
def test_text_costs_at_least_one_token_and_no_text_none(text, learnt):
    assert Counter(learnt).count(text) >= 1
    assert Counter(learnt).count("") == 0


def test_a_part_of_a_token_counts_as_a_whole_one():
    assert Counter(Ratios(prose=3.0)).count("word") == 2


def test_emoji_lone_surrogates_and_control_characters_are_counted():
    assert classify("👩‍👩‍👧").cjk == 6
    assert classify("\ud800\udc00").cjk == 2
    assert classify("\x00\x07\x1b").code == 3
    assert Counter().count("🎉" * 100) >= 200


def test_a_digit_draws_the_letters_that_hang_on_it_into_the_dense_class():
    assert classify("a9f3bcd e") == Shares(prose=3, dense=6)
    assert classify("a9f3bcde") == Shares(prose=2, dense=6)
    assert classify("ABC x") == Shares(prose=2, dense=3)


def test_letters_of_other_alphabets_are_not_taken_for_latin_prose():
    assert classify("Привет").dense == 6
    assert classify("größer") == Shares(prose=4, dense=2)


def test_shares_add_up():
    assert total([ENGLISH, CHINESE, PYTHON]) == classify(ENGLISH) + classify(CHINESE) + classify(PYTHON)


def test_a_million_characters_need_no_python_loop_over_them():
    # Time is not asserted; a loop over characters or a pattern that backtracks would run into the test's timeout.
    for piece in (ENGLISH, PYTHON, CHINESE, "9f", "1", "a", "🎉", "\n", "A1_"):
        text = piece * (1_000_000 // len(piece))
        assert classify(text).characters >= len(text)


factors = st.one_of(st.floats(0.5, 0.85), st.floats(1.15, 1.5))


def _mixed(source: random.Random) -> Shares:
    """A request like those of a conversation: mostly prose, now and then one that is mostly something else."""
    size = source.randint(400, 40_000)
    parts = {name: source.random() * (1 if name == "prose" else 0.15) for name in CLASSES}
    parts[source.choice(CLASSES)] += source.random() * 1.5
    return Shares(**{name: int(size * part / sum(parts.values())) for name, part in parts.items()})


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(CLASSES, factors)), st.integers(0, 10**6))
def test_it_learns_a_hidden_tokenizer_to_five_percent_within_sixty_calls(factor, seed):
    source = random.Random(seed)
    hidden = Ratios(**{name: getattr(START, name) * factor[name] for name in CLASSES})
    counter = Counter()
    for _ in range(60):
        shares = _mixed(source)
        frame = 5 * source.randint(1, 20)
        measured = round(hidden.tokens(shares) * source.uniform(0.99, 1.01)) + frame
        counter = counter.learn(shares=shares, estimated=counter.count_shares(shares) + frame, measured=measured)
    errors = [
        counter.ratios.tokens(shares) / hidden.tokens(shares) - 1 for shares in (_mixed(source) for _ in range(20))
    ]
    assert sum(map(abs, errors)) / len(errors) < 0.05


def test_one_call_of_prose_alone_is_enough_to_know_prose_and_moves_nothing_else():
    shares = Shares(prose=9_000)
    counter = Counter().learn(shares=shares, estimated=Counter().count_shares(shares), measured=2_000)
    assert counter.count_shares(shares) == pytest.approx(2_000, abs=2)
    assert (counter.ratios.code, counter.ratios.dense, counter.ratios.cjk) == (START.code, START.dense, START.cjk)


def test_what_is_known_beside_the_text_is_not_blamed_on_the_text():
    shares = Shares(prose=3_000)
    body = Counter().count_shares(shares)
    assert Counter().learn(shares=shares, estimated=body + 500, measured=body + 500).ratios.prose == START.prose


def test_with_experience_one_strange_call_moves_a_ratio_by_a_quarter_of_its_error():
    shares = Shares(prose=3_000)
    learnt = Ratios(samples=50)
    estimated = Counter(learnt).count_shares(shares)
    moved = learnt.learn(shares=shares, estimated=estimated, measured=estimated * 2)
    assert math.log(START.prose / moved.prose) == pytest.approx(math.log(2) / 4, rel=0.01)


@given(
    st.lists(
        st.tuples(
            st.builds(Shares, **dict.fromkeys(CLASSES, st.integers(0, 10**6))),
            st.integers(-5, 10**7),
            st.integers(-5, 10**7),
        ),
        max_size=12,
    )
)
def test_no_measurement_takes_a_ratio_out_of_its_clamps(calls):
    counter = Counter()
    for shares, estimated, measured in calls:
        counter = counter.learn(shares=shares, estimated=estimated, measured=measured)
        counter = counter.from_overflow(actual=measured, estimated=estimated)
    for name in CLASSES:
        assert CLAMP_LOW <= getattr(counter.ratios, name) / getattr(START, name) <= CLAMP_HIGH


def test_a_sample_too_small_to_tell_anything_teaches_nothing():
    shares = Shares(prose=LEAST_SAMPLE)
    assert Counter().learn(shares=shares, estimated=20, measured=900) == Counter()
    assert Counter().learn(shares=Shares(prose=9_000), estimated=3_000, measured=3) == Counter()


def test_after_an_overflow_the_same_request_is_estimated_above_what_the_error_said():
    shares = Shares(prose=300_000, code=20_000, cjk=4_000)
    before = Counter()
    estimated = before.count_shares(shares)
    after = before.from_overflow(actual=int(estimated * 1.4), estimated=estimated)
    assert after.count_shares(shares) >= estimated * 1.4


@pytest.mark.parametrize(("actual", "estimated"), [(None, 900), (0, 900), (900, 900), (800, 900), (900, 0)])
def test_an_overflow_without_numbers_or_below_the_estimate_teaches_nothing(actual, estimated):
    assert Counter().from_overflow(actual=actual, estimated=estimated) == Counter()


@given(ratios, st.integers(0, 10**6))
def test_ratios_survive_a_row_of_json(learnt, samples):
    stored = json.loads(json.dumps(Ratios(samples=samples, **{n: getattr(learnt, n) for n in CLASSES}).to_dict()))
    read = Ratios.from_dict(stored)
    assert read.samples == samples
    for name in CLASSES:
        assert getattr(read, name) == pytest.approx(getattr(learnt, name), rel=1e-5)


def test_a_damaged_row_falls_back_to_the_start_and_the_clamps():
    read = Ratios.from_dict({"prose": "4", "code": float("nan"), "dense": 1e9, "cjk": None, "samples": -3})
    assert (read.prose, read.code, read.cjk, read.samples) == (START.prose, START.code, START.cjk, 0)
    assert read.dense == START.dense * CLAMP_HIGH
    assert Ratios.from_dict({}) == START
