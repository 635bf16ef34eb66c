"""When a service in trouble is left alone."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chat.providers.breaker import PROBE_S, Breaker, Breakers, Rule, Ticket

RULE = Rule()


def ticket(breaker: Breaker, now: float) -> Ticket:
    found = breaker.admit(now)
    assert isinstance(found, Ticket)
    return found


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    changes = [breaker.failed(ticket(breaker, at), at) for _ in range(5)]
    assert changes == ["", "", "", "", "opened"]
    return breaker


class TestOpening:
    def test_five_failures_within_thirty_seconds_open_it(self) -> None:
        breaker = Breaker()
        for at in (0.0, 7.0, 14.0, 21.0):
            assert breaker.failed(ticket(breaker, at), at) == ""
            assert breaker.refusal(at) == 0
        assert breaker.failed(ticket(breaker, 29.9), 29.9) == "opened"
        assert breaker.state == "open"
        assert breaker.refusal(29.9) == 15.0

    def test_five_in_more_than_thirty_do_not(self) -> None:
        breaker = Breaker()
        for at in range(0, 100, 8):
            assert breaker.failed(ticket(breaker, at), at) == ""
        assert breaker.state == "closed"

    @pytest.mark.parametrize(("answers", "change"), [(45, "opened"), (46, "")])
    def test_a_tenth_of_the_calls_must_have_failed(self, answers: int, change: str) -> None:
        breaker = Breaker()
        for _ in range(answers):
            assert breaker.answered(ticket(breaker, 1.0), 1.0) == ""
        for _ in range(4):
            assert breaker.failed(ticket(breaker, 2.0), 2.0) == ""
        assert breaker.failed(ticket(breaker, 2.0), 2.0) == change

    def test_answers_that_are_long_past_do_not_count(self) -> None:
        breaker = Breaker()
        for _ in range(1000):
            breaker.answered(ticket(breaker, 0.0), 0.0)
        for _ in range(4):
            assert breaker.failed(ticket(breaker, 31.0), 31.0) == ""
        assert breaker.failed(ticket(breaker, 31.0), 31.0) == "opened"


class TestOpen:
    def test_it_says_how_long_it_stays_so(self) -> None:
        breaker = opened(100.0)
        assert breaker.refusal(100.0) == 15.0
        assert breaker.refusal(114.0) == 1.0
        assert breaker.admit(114.0) == 1.0
        assert breaker.refusal(115.0) == 0.0

    def test_after_its_rest_one_call_is_let_through(self) -> None:
        breaker = opened()
        probe = ticket(breaker, 15.0)
        assert probe.probe
        assert breaker.state == "probing"
        assert breaker.admit(15.0) == breaker.refusal(15.0) == PROBE_S

    def test_a_probe_that_is_answered_closes_it_and_starts_afresh(self) -> None:
        breaker = opened()
        assert breaker.answered(ticket(breaker, 15.0), 15.1) == "closed"
        assert [breaker.failed(ticket(breaker, 16.0), 16.0) for _ in range(4)] == [""] * 4

    def test_a_probe_that_fails_opens_it_again(self) -> None:
        breaker = opened()
        assert breaker.failed(ticket(breaker, 20.0), 21.0) == "reopened"
        assert breaker.refusal(21.0) == 15.0

    def test_a_probe_that_was_given_up_leaves_the_place_to_another(self) -> None:
        breaker = opened()
        late = ticket(breaker, 15.0)
        breaker.dropped(late)
        assert breaker.answered(late, 15.0) == ""
        assert ticket(breaker, 15.0).probe

    def test_what_began_before_changes_nothing_any_more(self) -> None:
        breaker = Breaker()
        early = ticket(breaker, 0.0)
        for _ in range(5):
            breaker.failed(ticket(breaker, 0.0), 0.0)
        assert breaker.failed(early, 1.0) == breaker.answered(early, 2.0) == ""
        assert breaker.refusal(2.0) == 13.0
        probe = ticket(breaker, 15.0)
        breaker.dropped(early)
        assert breaker.answered(early, 15.0) == ""
        assert breaker.state == "probing"
        assert breaker.answered(probe, 15.0) == "closed"
        assert [breaker.failed(early, 16.0) for _ in range(9)] == [""] * 9

    def test_a_probe_counts_once(self) -> None:
        breaker = opened()
        probe = ticket(breaker, 15.0)
        breaker.failed(probe, 15.0)
        assert breaker.answered(probe, 16.0) == ""
        assert breaker.state == "open"


class TestMany:
    def test_each_key_has_its_own(self) -> None:
        many = Breakers(Rule(failures=1))
        one = many.of("a")
        one.failed(ticket(one, 0.0), 0.0)
        assert (many.refusal("a", 1.0), many.refusal("b", 1.0)) == (14.0, 0.0)
        assert (many.count("open"), many.count("closed"), len(many)) == (1, 0, 1)
        many.forget("a")
        assert many.refusal("a", 1.0) == 0.0


class Model(RuleBasedStateMachine):
    """The breaker beside the plainest account of its rule that there is: lists of what happened when."""

    @initialize(share=st.sampled_from([0.0, 0.1, 0.5]))
    def begin(self, share: float) -> None:
        self.rule = Rule(failures=3, within=10.0, rest=5.0, share=share)
        self.breaker = Breaker(self.rule)
        self.now = 0.0
        self.under_way: list[Ticket] = []
        self.probe: Ticket | None = None
        self.failures: list[float] = []
        self.answers: list[float] = []
        self.open_since: float | None = None
        self.openings = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 4.0, 5.0, 9.5, 10.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def call(self) -> None:
        asked = self.breaker.refusal(self.now)
        found = self.breaker.admit(self.now)
        if self.open_since is None:
            assert found == Ticket(False, self.openings)
        elif self.now < self.open_since + self.rule.rest:
            assert found == asked == self.open_since + self.rule.rest - self.now
        elif self.probe:
            assert found == asked == PROBE_S
        else:
            assert found == Ticket(True, self.openings)
            self.probe = found
        if isinstance(found, Ticket):
            self.under_way.append(found)

    @precondition(lambda self: self.under_way)
    @rule(pick=st.integers(0, 10**6), how=st.sampled_from(["failed", "failed", "answered"]))
    def end(self, pick: int, how: str) -> None:
        one = self.under_way.pop(pick % len(self.under_way))
        change = getattr(self.breaker, how)(one, self.now)
        if self.open_since is None:
            assert change == self.count(how, one)
        elif one is not self.probe:
            assert change == ""
        else:
            self.probe = None
            assert change == ("closed" if how == "answered" else "reopened")
            self.open_since = None if how == "answered" else self.now
            self.openings += how == "failed"

    @precondition(lambda self: self.under_way)
    @rule(pick=st.integers(0, 10**6))
    def give_up(self, pick: int) -> None:
        one = self.under_way.pop(pick % len(self.under_way))
        self.breaker.dropped(one)
        self.probe = None if one is self.probe else self.probe

    def count(self, how: str, one: Ticket) -> str:
        """What the end of an ordinary call does, by the rule's own words."""
        (self.answers if how == "answered" else self.failures).append(self.now)
        if how == "answered":
            return ""
        if one.opening != self.openings:
            self.failures.pop()
            return ""
        recent, answers = ([at for at in times if at > self.now - 10.0] for times in (self.failures, self.answers))
        if len(recent) < 3 or len(recent) < self.rule.share * (len(recent) + len(answers)):
            return ""
        self.failures, self.answers = [], []
        self.open_since, self.openings = self.now, self.openings + 1
        return "opened"

    @invariant()
    def never_more_than_one_probe(self) -> None:
        assert sum(1 for one in self.under_way if one.probe and one.opening == self.openings) <= 1
        assert (self.breaker.state == "probing") == (self.probe is not None)
        assert (self.breaker.state == "closed") == (self.open_since is None)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from(["failed", "answered"])), max_size=80))
def test_no_course_of_events_lets_two_through_at_once(course: list[tuple[float, str]]) -> None:
    breaker, now = opened(), 0.0
    probes: list[Ticket] = []
    for seconds, how in course:
        now += seconds
        found = breaker.admit(now)
        if isinstance(found, Ticket) and found.probe:
            probes.append(found)
        assert len(probes) <= 1
        end: Callable[[Ticket, float], str] = getattr(breaker, how)
        if probes and seconds > 2:
            end(probes.pop(), now)
