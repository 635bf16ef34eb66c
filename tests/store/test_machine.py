"""Any order of what people, runners and compactors do to a conversation keeps every invariant.

`CHAT_MACHINE=examples,steps` runs more of it than the suite does: CHAT_MACHINE=20,500 takes about ten minutes on a
machine without other work. The first examples are the simplest: take four or more.
"""

import contextlib
import itertools
import os
import uuid
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chat.context.values import Line, Manifest, Part, Run, Step
from chat.flow import opening
from chat.models import ChatSession, Notice, Summary, Turn
from chat.store import branches, closing, facts, integrity, leases, loading, marks, ranges, summaries, undoing
from chat.store.closing import Outcome, Sent
from chat.store.loading import LoadLimits
from chat.store.recent import Key, Window
from tests.store.building import USAGE, conversation, draft, extend, reread

_names = itertools.count()
LIMITS = (LoadLimits(turns=3, tokens=100_000), LoadLimits(turns=400, tokens=300))


class Memory:
    """A window cache as another process sees it: what comes back has been text."""

    hits = 0

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Key, str]] = {}

    def get(self, key: Key) -> Window | None:
        found = self.kept.get(key.session)
        if found is None or found[0] != key:
            return None
        Memory.hits += 1
        return Window.from_json(found[1])

    def put(self, key: Key, window: Window) -> None:
        self.kept[key.session] = (key, window.to_json())

    def forget(self, session: str) -> None:
        self.kept.pop(session, None)


class Conversation(RuleBasedStateMachine):
    """One session; the rules are what people, runners, compactors and crashes do to it."""

    @initialize(turns=st.integers(0, 12), limits=st.sampled_from(LIMITS))
    def begin(self, turns: int, limits: LoadLimits) -> None:
        """A conversation that may have been imported."""
        self.limits = limits
        owner = get_user_model().objects.create(username=f"machine-{next(_names)}")
        self.session = conversation(owner, turns)
        self.recent = Memory()
        self.sent: list[tuple[uuid.UUID, str]] = []

    def teardown(self) -> None:
        """All examples share one transaction: what is left waiting here would be claimed there."""
        if hasattr(self, "session"):
            self.session.owner.delete()

    @property
    def row(self) -> ChatSession:
        return reread(self.session)

    @property
    def live(self) -> Turn | None:
        return Turn.objects.live().filter(session=self.session).first()

    def open(self, client_id: uuid.UUID, text: str) -> opening.Opened | opening.Rejected:
        return opening.open_turn(
            owner_id=self.session.owner_id, session_id=self.session.pk, client_id=client_id, text=text
        )

    @rule()
    def send(self) -> None:
        """A new message; refused while one lives."""
        busy, total = self.live is not None, self.row.turns_total
        answer = self.open(client_id := uuid.uuid4(), "Next.")
        if busy:
            assert answer == opening.Rejected("busy", opening.BUSY_RETRY_MS)
        else:
            assert isinstance(answer, opening.Opened)
            self.sent.append((client_id, "Next."))
        assert self.row.turns_total == total + (not busy)

    @rule(times=st.integers(1, 4), steps=st.booleans())
    def talk(self, times: int, steps: bool) -> None:
        """Messages and answers, as most days are."""
        for _ in range(times):
            if self.live is None:
                assert isinstance(self.open(uuid.uuid4(), "And then?"), opening.Opened)
            self.kept_windows_are_those_of_the_database()
            self.end(Turn.Status.COMPLETE, trim=False, steps=steps)

    @rule(data=st.data(), other=st.booleans())
    def resend(self, data: st.DataObject, other: bool) -> None:
        """The acknowledgement was lost, or somebody uses a client id again; nothing is written."""
        if not self.sent:
            return
        at = data.draw(st.integers(0, len(self.sent) - 1), label="resent")
        client_id, text = self.sent[at]
        total = self.row.turns_total
        answer = self.open(client_id, "Other words." if other else text)
        if other:
            assert answer == opening.Rejected("client_id_reuse")
        else:
            assert isinstance(answer, opening.Opened)
            assert answer.duplicate
        assert self.row.turns_total == total

    @rule(data=st.data())
    def edit(self, data: st.DataObject) -> None:
        """An edit, or another answer to the same words."""
        last = self.row.turns_active
        if self.live is None and last:
            number = data.draw(st.integers(1, last), label="edited")
            with transaction.atomic():
                row = branches.locked(self.session.pk)
                of = Turn.objects.select_related("parent").get(session=row, number=number, active=True)
                branches.sibling(row, of, prompt="Other words.", client_id=uuid.uuid4(), tokens=7)

    @rule(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        """Any turn, wherever it hangs."""
        turns = list(Turn.objects.filter(session=self.session).order_by("pk").values_list("pk", flat=True))
        if turns:
            to = data.draw(st.sampled_from(range(len(turns))), label="to")
            try:
                branches.switch(self.session.pk, turns[to])
            except branches.SessionBusy:
                assert self.live is not None

    def claimed(self) -> leases.Claim | None:
        turn = self.live
        if turn is None:
            return None
        if turn.status == "queued":
            claim = leases.claim_turn("machine", 15)
            assert claim is not None
            assert claim.id == turn.pk
            return claim
        return leases.Claim(turn.pk, turn.session_id, turn.epoch, turn.attempt, turn.owner, turn.reply)

    @rule(said=st.text("abc 7", max_size=12))
    def run_on(self, said: str) -> None:
        """A runner takes the turn and says something."""
        claim = self.claimed()
        if claim:
            assert leases.beat_turn(claim, 15, said) is not None

    @rule(status=st.sampled_from(Turn.TERMINAL), trim=st.booleans(), steps=st.booleans())
    def close(self, status: str, trim: bool, steps: bool) -> None:
        """It ends in one of its ways; under pressure the request had been trimmed."""
        self.end(status, trim, steps)

    def end(self, status: str, trim: bool, steps: bool) -> None:
        """A runner closes the live turn, if there is one, and keeps the window for the next."""
        claim = self.claimed()
        if claim is None:
            return
        before = loading.load(claim.id, lambda plan: self.limits, self.recent)
        row = self.row
        number, start = row.turns_active, row.window_from
        start = min(number, start + 1) if trim else start
        runs = runs_of(row, start, number)
        manifest = Manifest(
            number=number,
            window=16_000,
            window_from=start,
            estimated=900,
            runs=runs,
            parts=(Part("user", "current", f"turn {number}", 9),),
            report=(Line("history", 900, 900, 900),),
            trimmed=start > row.window_from,
            restored=tuple(ranges.read(row.restored)),
        )
        sent = Sent(
            manifest=manifest, context_version=row.context_version, model="large", rung="", body_sha256="", measured=900
        )
        outcome = Outcome(
            status=status,
            reply="Your number is A-7731.",
            stop_reason="end_turn",
            usage=USAGE,
            prompt_tokens=11,
            reply_tokens=40,
            steps=(Step(kind="tool_use", body="{}", tokens=6), Step(kind="thinking", body="Hm.", tokens=9))
            if steps
            else (),
            sent=sent,
        )
        closed = closing.close_turn(claim, outcome)
        assert closed is not None
        if not closed.trimmed and closed.context_version == before.context_version:
            following = loading.following(before, closed.row, outcome.steps, self.limits)
            if following:
                self.recent.put(*following)

    @rule()
    def stop_waiting(self) -> None:
        """Stop, before any runner came."""
        turn = self.live
        if turn is not None and turn.status == "queued":
            with transaction.atomic():
                branches.locked(self.session.pk)
                assert branches.stop_queued(turn.pk)

    @rule(asked=st.booleans())
    def crash(self, asked: bool) -> None:
        """The runner dies, perhaps after a stop was asked for; the reaper comes."""
        Turn.objects.filter(session=self.session, status="running").update(
            lease_until=timezone.now() - timedelta(minutes=1), cancel_requested=asked
        )
        leases.reap_turns()

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        """One or two neighbouring summaries of what none covers; whoever loses the race changes nothing."""
        row = self.row
        most = row.turns_active - (1 if self.live else 0)
        if most < 1:
            return
        first = data.draw(st.integers(1, most), label="first")
        last = data.draw(st.integers(first, min(most, first + 4)), label="last")
        middle = data.draw(st.integers(first, last), label="middle")
        ranges = [(first, last)] if middle == last else [(first, middle), (middle + 1, last)]
        made = [draft(self.session, *one).pk for one in ranges]
        before = (row.context_version, row.window_from)
        if summaries.commit(self.session.pk, made, window_from=max(row.window_from, last + 1)) is None:
            after = self.row
            assert (after.context_version, after.window_from) == before

    @rule()
    def merge(self) -> None:
        """The first two neighbours become one of the next tier."""
        own = Summary.objects.filter(session=self.session, state="active").order_by("first")
        for left, right in itertools.pairwise(own):
            if left.last + 1 == right.first:
                made = draft(self.session, left.first, right.last, tier=max(left.tier, right.tier) + 1)
                assert summaries.commit(self.session.pk, [made.pk], window_from=1, merge=True)
                return

    def drawn(self, data: st.DataObject, name: str) -> Turn | None:
        """Some turn of the active path."""
        last = self.row.turns_active
        if not last:
            return None
        number = data.draw(st.integers(1, last), label=name)
        return Turn.objects.get(session=self.session, number=number, active=True)

    @rule(data=st.data(), change=st.sampled_from(["pin", "unpin", "exclude", "include"]), fits=st.booleans())
    def mark(self, data: st.DataObject, change: str, fits: bool) -> None:
        """A person pins or excludes a turn, or takes it back; refused while one lives, and repeated it does nothing."""
        one = self.drawn(data, change)
        if one is None:
            return
        most = {} if change == "unpin" else {"most": 1_000_000 if fits else 300}
        before = self.row.context_version
        try:
            done = getattr(marks, change)(self.session.pk, one.pk, **most)
        except branches.SessionBusy:
            assert self.live is not None
        except (marks.PinsFull, marks.Excluded):
            assert self.row.context_version == before
        else:
            assert self.row.context_version == before + done.changed
            assert getattr(marks, change)(self.session.pk, one.pk, **most).changed is False

    @rule(data=st.data(), fits=st.booleans())
    def restore(self, data: st.DataObject, fits: bool) -> None:
        """A person takes a compression back, where it fits."""
        told = Notice.objects.filter(session=self.session, kind="compressed", ended_at=None, until__active=True)
        ranges = list(told.order_by("pk").values_list("first", "last"))
        if not ranges:
            return
        one = data.draw(st.sampled_from(ranges), label="restored")
        before = ChatSession.objects.values().get(pk=self.session.pk)
        try:
            undoing.restore(self.session.pk, *one, most=1_000_000 if fits else 500)
        except (branches.SessionBusy, undoing.DoesNotFit, undoing.NothingThere):
            assert ChatSession.objects.values().get(pk=self.session.pk) == before

    @rule(data=st.data())
    def compress_again(self, data: st.DataObject) -> None:
        """A person changes their mind."""
        told = Notice.objects.filter(session=self.session, kind="restored", ended_at=None, until__active=True)
        ranges = list(told.order_by("pk").values_list("first", "last"))
        if ranges:
            with contextlib.suppress(branches.SessionBusy, undoing.NothingThere):
                undoing.compress_again(self.session.pk, *data.draw(st.sampled_from(ranges), label="again"))

    @rule(pressed=st.booleans())
    def wake(self, pressed: bool) -> None:
        """The hard mark is reached, perhaps before a turn that runs."""
        before = self.row.open_tokens
        if undoing.wake(self.session.pk, lambda row: pressed):
            assert self.row.open_tokens <= before

    @rule(data=st.data(), value=st.sampled_from(["A-7731", "A-7732", "R-2209"]), change=st.sampled_from("acf"))
    def remember(self, data: st.DataObject, value: str, change: str) -> None:
        """A person adds, corrects or takes away what is remembered."""
        room = {"count": len, "most": 400}
        known, count = facts.current(self.session.pk)
        assert len({one.id for one in known}) == len(known) == count
        with contextlib.suppress(facts.FactsFull):
            if change == "a":
                facts.add(self.session.pk, value, **room)
            elif known:
                one = known[data.draw(st.integers(0, len(known) - 1), label="fact")]
                if change == "f":
                    assert facts.forget(self.session.pk, one.id)
                else:
                    facts.correct(self.session.pk, one.id, value, **room)

    @precondition(lambda self: self.live is None)
    @rule()
    def grow(self) -> None:
        """Some finished turns at once, so that there is something to compact."""
        extend(self.session, 3)

    @invariant()
    def holds(self) -> None:
        """All of them, after every step."""
        if hasattr(self, "session"):
            assert integrity.violations([self.session.pk]) == []

    @invariant()
    def kept_windows_are_those_of_the_database(self) -> None:
        """What the next turn finds in the cache is what it would have read."""
        live = self.live if hasattr(self, "session") else None
        if live is None:
            return
        cached = loading.load(live.pk, lambda plan: self.limits, self.recent)
        read = loading.load(live.pk, lambda plan: self.limits)
        for field in fields(loading.Loaded):
            if field.name != "window":
                assert getattr(cached, field.name) == getattr(read, field.name), field.name


def runs_of(row: ChatSession, start: int, number: int) -> tuple[Run, ...]:
    """How the turns reach the model when the window starts at `start`."""
    covers = {}
    for pk, first, last in Summary.objects.filter(session=row, state="active").values_list("pk", "first", "last"):
        covers |= dict.fromkeys(range(first, last + 1), f"S{pk}")
    restored = ranges.read(row.restored)
    marked = dict(Turn.objects.path(row.pk).exclude(excluded_by="").values_list("number", "excluded_by"))
    runs: list[Run] = []
    for at in range(1, number + 1):
        if at in marked:
            runs.append(Run(at, at, "excluded", marked[at]))
        elif at >= start or at == number or ranges.hold(restored, at):
            runs.append(Run(at, at, "verbatim", "", 10))
        elif at in covers:
            runs.append(Run(at, at, "summarised", covers[at]))
        else:
            runs.append(Run(at, at, "omitted", "window"))
    return tuple(joined(runs))


def joined(runs: list[Run]) -> list[Run]:
    """Neighbours of one kind as one run, as assembly stores them."""
    out: list[Run] = []
    for run in runs:
        if out and (out[-1].how, out[-1].by) == (run.how, run.by):
            out[-1] = Run(out[-1].first, run.last, run.how, run.by, out[-1].tokens + run.tokens)
        else:
            out.append(run)
    return out


def run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Conversation,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            # Shrinking a run of so many statements takes minutes; the steps of a failure are told as they were.
            phases=(Phase.generate,),
        ),
    )


@pytest.mark.django_db
@pytest.mark.timeout(3_600 if "CHAT_MACHINE" in os.environ else 300)
@pytest.mark.parametrize(
    ("examples", "steps"),
    [tuple(map(int, os.environ["CHAT_MACHINE"].split(",")))] if "CHAT_MACHINE" in os.environ else [(15, 20), (4, 250)],
)
def test_any_order_of_events_keeps_every_invariant(monkeypatch: Any, examples: int, steps: int) -> None:
    # Only the turns of this machine may be claimed, and at once.
    monkeypatch.setattr(leases, "COURTESY_S", 0)
    monkeypatch.setattr(Memory, "hits", 0)
    run(examples, steps)
    assert Memory.hits >= steps // 20, "the cache was hardly asked"
