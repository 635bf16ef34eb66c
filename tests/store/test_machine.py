"""Any order of what people, runners and compactors do to a conversation keeps every invariant.

`CHAT_MACHINE=examples,steps` runs more of it than the suite does: CHAT_MACHINE=20,500 takes about ten minutes on a
machine without other work. The first example is the simplest there is, the others are what is meant.
"""

import contextlib
import itertools
import os
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Model
from django.db.models.functions import Now
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

from chat import models
from chat.context.values import Line, Manifest, Part, Run, Step
from chat.flow import opening
from chat.models import Allowance, ChatSession, Fact, Job, Notice, Summary, Turn
from chat.store import (
    branches,
    closing,
    facts,
    following,
    integrity,
    leases,
    loading,
    marks,
    ranges,
    summaries,
    undoing,
)
from chat.store.closing import Outcome, Sent
from chat.store.loading import LoadLimits
from chat.store.recent import Key, Window
from chat.web import attaching
from tests.store.building import USAGE, conversation, draft, extend, purged, reread

_names = itertools.count()
LIMITS = (LoadLimits(turns=3, tokens=100_000), LoadLimits(turns=400, tokens=300))

# Longer than any test: a lease ends when a rule says so, and an undo window, too.
LONG_S = 86_400.0
# Runners by name. Some take a turn again that they lost: then only the epoch tells the two attempts apart.
RUNNERS = ("one", "one", "another")
# What hangs on a conversation, by the way to it.
TABLES: dict[type[Model], str] = {
    ChatSession: "pk",
    Turn: "session",
    models.Step: "turn__session",
    models.Manifest: "turn__session",
    Notice: "session",
    Summary: "session",
    Fact: "session",
    Job: "session",
}


class Straight:
    """The database of somebody who reads, without a thread of its own."""

    async def read(self, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)


def read(told: Coroutine[Any, Any, Any]) -> Any:
    """What a reader on that database says. Without a loop: inside one there is another connection."""
    with pytest.raises(StopIteration) as end:
        told.send(None)
    return end.value.value


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


while_there = precondition(lambda self: not self.deleted)
while_deleted = precondition(lambda self: self.deleted)
while_waiting = precondition(lambda self: self.status == "queued")
while_running = precondition(lambda self: self.status == "running")


class Conversation(RuleBasedStateMachine):
    """One session; the rules are what people, runners, compactors and crashes do to it.

    `said` is what each attempt at a turn has said, by (turn, epoch), and `ended` the reply that each turn ended with.
    `lost` are the claims whose turns were taken away, or have ended; `claim` is the one that may hold. A page has
    `shown` of the attempts that it saw. `expired`: the lease of the running turn is over, and no reaper came yet.
    """

    @initialize(turns=st.integers(0, 12), limits=st.sampled_from(LIMITS))
    def begin(self, turns: int, limits: LoadLimits) -> None:
        """A conversation that may have been imported."""
        self.limits = limits
        self.owner = get_user_model().objects.create(username=f"machine-{next(_names)}")
        self.runners = itertools.cycle(RUNNERS)
        self.claim: leases.Claim | None = None
        self.lost: list[leases.Claim] = []
        self.rows = following.Rows(Straight())
        self.expired = False
        self.new(turns)

    def new(self, turns: int) -> None:
        self.session = conversation(self.owner, turns)
        self.recent = Memory()
        self.sent: list[tuple[uuid.UUID, str]] = []
        self.said: dict[tuple[int, int], str] = {}
        self.ended: dict[int, str] = {}
        self.shown: dict[tuple[int, int], str] = {}
        self.deleted = False

    def teardown(self) -> None:
        """All examples share one transaction: what is left waiting here would be claimed there."""
        if hasattr(self, "owner"):
            self.owner.delete()

    @property
    def row(self) -> ChatSession:
        return reread(self.session)

    @property
    def live(self) -> Turn | None:
        return Turn.objects.live().filter(session=self.session).first()

    @property
    def status(self) -> str:
        """That of the live turn, "" where none lives."""
        return self.live.status if self.live else ""

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of the conversation, and what its owner has used."""
        found = {
            model.__name__: model._default_manager.filter(**{way: self.session.pk}) for model, way in TABLES.items()
        } | {"Allowance": Allowance.objects.filter(user=self.owner)}
        return {name: list(rows.order_by("pk").values_list()) for name, rows in found.items()}

    def open(self, client_id: uuid.UUID, text: str) -> opening.Opened | opening.Rejected:
        return opening.open_turn(
            owner_id=self.session.owner_id, session_id=self.session.pk, client_id=client_id, text=text
        )

    @while_there
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

    @while_there
    @rule(times=st.integers(1, 4), steps=st.booleans())
    def talk(self, times: int, steps: bool) -> None:
        """Messages and answers, as most days are."""
        for _ in range(times):
            if self.live is None:
                assert isinstance(self.open(uuid.uuid4(), "And then?"), opening.Opened)
            self.kept_windows_are_those_of_the_database()
            self.end(Turn.Status.COMPLETE, trim=False, steps=steps)

    @while_there
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

    @while_there
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

    @while_there
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
        """The claim of the live turn, which a runner takes if none has it."""
        turn = self.live
        if turn is None:
            return None
        if turn.status == "queued":
            self.claim = leases.claim_turn(next(self.runners), LONG_S)
            assert self.claim
            self.said[turn.pk, self.claim.epoch] = ""
            if self.lost and self.lost[-1].id == turn.pk:
                self.come_back()
        assert self.claim
        assert (self.claim.id, self.claim.epoch) == (turn.pk, turn.epoch + (turn.status == "queued"))
        return self.claim

    def says(self, claim: leases.Claim, words: str) -> str:
        """An attempt says more; all that it has said. No two attempts begin alike."""
        said = self.said[claim.id, claim.epoch] or f"<{claim.epoch}> "
        self.said[claim.id, claim.epoch] = said + words
        return said + words

    @rule(words=st.text("abc 7", max_size=12))
    def run_on(self, words: str) -> None:
        """A runner takes the turn and says something; so it hears whether somebody asked it to stop."""
        claim = self.claimed()
        if claim:
            said = self.says(claim, words)
            # What an earlier attempt had said stays until this one has said more.
            asked = leases.beat_turn(claim, LONG_S, said if len(said) > len(claim.kept) else None)
            assert asked is Turn.objects.get(pk=claim.id).cancel_requested
            self.expired = False

    @rule(status=st.sampled_from(Turn.TERMINAL), trim=st.booleans(), steps=st.booleans())
    def close(self, status: str, trim: bool, steps: bool) -> None:
        """It ends in one of its ways; under pressure the request had been trimmed."""
        self.end(status, trim, steps)

    def end(self, status: str, trim: bool, steps: bool) -> None:
        """A runner closes the live turn, if there is one, and keeps the window for the next."""
        claim = self.claimed()
        if claim is None:
            return
        reply = self.says(claim, "Your number is A-7731.")
        if status == Turn.Status.FAILED and len(reply) < len(claim.kept):
            reply = claim.kept
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
            reply=reply,
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
        self.ended[claim.id] = reply
        self.lost.append(claim)
        self.expired = False
        if not closed.trimmed and closed.context_version == before.context_version:
            following = loading.following(before, closed.row, outcome.steps, self.limits)
            if following:
                self.recent.put(*following)

    def stop(self, turn_id: int) -> str:
        return opening.ask_stop(owner_id=self.owner.pk, session_id=self.session.pk, turn_id=turn_id)

    @while_there
    @while_waiting
    @rule()
    def stop_waiting(self) -> None:
        """Stop, while no runner has it: it ends at once, with what an earlier attempt had said."""
        turn = self.live
        assert turn
        assert self.stop(turn.pk) == "stopped"
        self.ended[turn.pk] = turn.reply
        assert self.live is None

    @while_there
    @while_running
    @rule()
    def stop_running(self) -> None:
        """Stop, while a runner writes: it is asked, and goes on until it hears of it."""
        turn = self.live
        assert turn
        assert self.stop(turn.pk) == "asked"
        assert leases.cancelled([turn.pk]) == {turn.pk}
        assert self.status == "running"

    @while_there
    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def stop_late(self, data: st.DataObject) -> None:
        """Stop, when the reply has ended: nothing changes."""
        turn_id = data.draw(st.sampled_from(sorted(self.ended)), label="ended")
        known = Turn.objects.filter(session=self.session, pk=turn_id).exists()
        before = self.stored()
        assert self.stop(turn_id) == ("finished" if known else "not_found")
        assert self.stored() == before

    @while_running
    @rule()
    def crash(self) -> None:
        """The runner's process is gone, and somebody of its machine sees that: its lease is not waited for."""
        assert self.claim
        self.taken_away(lambda owner: owner == self.claim.owner)

    @while_running
    @rule()
    def expire(self) -> None:
        """The runner was not heard of for as long as its lease was. It may still come, before the reaper."""
        Turn.objects.filter(session=self.session, status="running").update(lease_until=Now() - timedelta(minutes=1))
        self.expired = True

    @while_running
    @rule()
    def reap(self) -> None:
        """The reaper comes: what has a lease is left alone."""
        if self.expired:
            self.taken_away(lambda owner: False)
        else:
            before = self.stored()
            assert leases.reap_turns() == []
            assert self.stored() == before

    def taken_away(self, is_gone: Callable[[str], bool]) -> None:
        """The running turn waits again; one that was to stop, or was tried often enough, ends."""
        turn, claim = self.live, self.claim
        assert turn
        assert claim
        state = "stopped" if turn.cancel_requested else "queued" if turn.attempt < leases.MOST_ATTEMPTS else "failed"
        assert leases.reap_turns(is_gone) == [(turn.pk, self.session.pk, state)]
        after = Turn.objects.get(pk=turn.pk)
        assert (after.status, after.reply) == (state, turn.reply)
        if state != "queued":
            self.ended[turn.pk] = turn.reply
        self.lost.append(claim)
        self.expired = False

    @while_running
    @rule(broken=st.booleans())
    def release(self, broken: bool) -> None:
        """The runner shuts down, or its call broke off: somebody else takes the turn."""
        turn, claim = self.live, self.claim
        assert turn
        assert claim
        if not broken or turn.attempt < leases.MOST_ATTEMPTS:
            assert leases.release_turn(claim, costs_attempt=broken)
            assert Turn.objects.values_list("status", "attempt").get(pk=turn.pk) == (
                "queued",
                turn.attempt - (not broken),
            )
            self.lost.append(claim)
            self.expired = False

    @precondition(lambda self: self.lost)
    @rule()
    def come_back(self) -> None:
        """Runners come back with claims that hold no more, and go on: nothing changes."""
        before = self.stored()
        for claim in self.lost[-3:]:
            assert leases.beat_turn(claim, LONG_S) is None
            assert leases.beat_turn(claim, LONG_S, "What nobody asked for any more. " * 9) is None
            assert not leases.release_turn(claim, costs_attempt=False)
            late = Outcome(status="complete", reply="Too late.", stop_reason="end_turn", usage=USAGE, used=7, cost=7)
            assert closing.close_turn(claim, late) is None
        assert self.stored() == before

    @while_there
    @rule(data=st.data())
    def reconnect(self, data: st.DataObject) -> None:
        """A page comes back and asks what became of a reply: what it is told goes on where it stopped."""
        turns = list(Turn.objects.filter(session=self.session).order_by("pk").values_list("pk", flat=True))
        live = self.live
        # Most often the newest is what was watched.
        asked = data.draw(st.sampled_from([None, *turns[:-1], *turns[-1:] * len(turns)]), label="asked")
        place = attaching.place(self.owner.pk, self.session.pk, asked)
        assert place
        assert place.known
        assert place.head == self.row.turns_active
        assert (place.live and place.live["turn"]) == (live and live.pk)
        if live and place.live:
            assert place.live == {"turn": live.pk, "epoch": live.epoch, "end": len(live.reply)}
            self.watch(live)
        if asked is None or asked not in self.ended:
            return
        assert place.rest
        assert place.rest.done
        assert place.rest.text == self.ended[asked]
        shown = self.shown.get((asked, place.rest.epoch), "")
        # What a failed reply keeps may be another attempt's text.
        assert place.rest.done.status == "failed" or place.rest.text.startswith(shown)

    def watch(self, live: Turn) -> None:
        """A page reads on in the row of a reply that is being written."""
        shown = self.shown.get((live.pk, live.epoch), "")
        (row,) = read(self.rows.rows({live.pk: len(shown)}))
        assert (row.turn, row.session, row.epoch, row.finished) == (live.pk, self.session.pk, live.epoch, False)
        assert row.length == len(live.reply)
        whole = shown + row.piece
        said = [text for (turn, _), text in self.said.items() if turn == live.pk]
        assert not whole or any(text.startswith(whole) for text in said), "a beginning of what one attempt said"
        # What stands there of an earlier attempt is not shown as this one's.
        if live.status == "running" and self.said[live.pk, live.epoch].startswith(whole):
            self.shown[live.pk, live.epoch] = whole
        told = [change for change in read(self.rows.news()) if change.session == self.session.pk]
        assert ("live", live.pk, live.epoch, live.status) in [(one.kind, one.id, one.second, one.word) for one in told]

    @while_there
    @rule()
    def delete(self) -> None:
        """Its owner deletes the conversation; a reply that is being written is stopped first."""
        turn = self.live
        if turn and self.stop(turn.pk) == "stopped":
            self.ended[turn.pk] = turn.reply
        assert ChatSession.objects.owned_by(self.owner).filter(pk=self.session.pk).update(deleted_at=Now())
        self.deleted = True

    @while_deleted
    @rule(asks=st.sampled_from(["send", "resend", "stop", "reconnect"]))
    def knock(self, asks: str) -> None:
        """Whatever is asked of a conversation that is deleted, there is none."""
        before = self.stored()
        newest = Turn.objects.filter(session=self.session).order_by("-pk").values_list("pk", flat=True).first() or 0
        match asks:
            case "send":
                assert self.open(uuid.uuid4(), "Are you there?") == opening.Rejected("not_found")
            case "resend":
                assert all(self.open(*one) == opening.Rejected("not_found") for one in self.sent[-1:])
            case "stop":
                assert self.stop(newest) == "not_found"
            case "reconnect":
                assert attaching.place(self.owner.pk, self.session.pk, newest) is None
                assert ("gone", self.session.pk) in [(one.kind, one.session) for one in read(self.rows.news())]
        assert self.stored() == before

    @while_deleted
    @rule()
    def undo_deletion(self) -> None:
        """Its owner wants it back: it goes on where it was."""
        before = self.row.turns_total
        assert ChatSession.objects.filter(pk=self.session.pk, owner=self.owner).update(deleted_at=None)
        self.deleted = False
        assert attaching.place(self.owner.pk, self.session.pk) is not None
        for client_id, text in self.sent[-1:]:
            answer = self.open(client_id, text)
            assert isinstance(answer, opening.Opened)
            assert answer.duplicate
        assert self.row.turns_total == before

    @while_deleted
    @rule(late=st.sampled_from([False, False, False, True]))
    def sweep(self, late: bool) -> None:
        """The sweep comes: what can still be taken back stays, and so does what a runner writes."""
        gone = ChatSession.objects.filter(pk=self.session.pk)
        if late:
            gone.update(deleted_at=Now() - timedelta(seconds=2 * LONG_S))
        busy, before = self.live is not None, self.stored()
        removed = purged(LONG_S)
        if busy or not late:
            assert removed == []
            assert self.stored() == before
            gone.update(deleted_at=Now())
        else:
            assert removed == [self.session.pk]
            assert [name for name, rows in self.stored().items() if rows and name != "Allowance"] == []
            self.new(4)

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

    @while_there
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

    @while_there
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

    @while_there
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

    @while_there
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

    @while_there
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
@pytest.mark.timeout(3_600 if "CHAT_MACHINE" in os.environ else 600)
@pytest.mark.parametrize(
    ("examples", "steps"),
    [tuple(map(int, os.environ["CHAT_MACHINE"].split(",")))] if "CHAT_MACHINE" in os.environ else [(15, 20), (2, 500)],
)
def test_any_order_of_events_keeps_every_invariant(monkeypatch: Any, examples: int, steps: int) -> None:
    # Only the turns of this machine may be claimed, and at once.
    monkeypatch.setattr(leases, "COURTESY_S", 0)
    monkeypatch.setattr(Memory, "hits", 0)
    # A lease that is over may wait for the reaper, and a page for its conversation, for as long as the machine wants.
    monkeypatch.setattr("django.conf.settings.CHAT_REAP_S", LONG_S)
    monkeypatch.setattr(following, "DELETED_WITHIN", timedelta(seconds=LONG_S))
    run(examples, steps)
    assert Memory.hits >= steps // 20, "the cache was hardly asked"
