"""A conversation is removed in steps: each is short, what is left between two is for nobody, nothing brings it back."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connections, models, transaction
from django.test import Client
from django.utils import timezone

from chat.models import ChatSession, Document, Fact, Feedback, Job, Manifest, Step, Summary, Thought, Turn
from chat.store import branches, integrity, purging, sharing
from tests.store.building import compress, conversation, extend, fork, merge, reread, turn

MOST = 5
"""Of rows beside the turns, and of turns, that go in one piece here."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "PIECE", MOST)
    monkeypatch.setattr(purging, "TURNS", MOST)
    monkeypatch.setattr(purging, "BESIDE", tuple((model, min(most, MOST)) for model, most in purging.BESIDE))


def lived(owner: Any, turns: int) -> ChatSession:
    """A deleted conversation with something in every table that hangs on it; its undo window is over."""
    session = conversation(owner, turns, words="My number is A-7731.", text="Be brief.")
    compress(session, *((first, first + 1) for first in range(1, turns - 8, 2)))
    merge(session, 1, 4)
    fork(session, turns - 4)
    fork(session, 6)
    extend(session, 3)
    for of in Turn.objects.filter(session=session):
        Fact.objects.create(session=session, kind="id", value="A-7731", turn=of)
        Step.objects.create(turn=of, index=0, kind="tool_use")
        Thought.objects.create(turn=of, text="Well.")
        Manifest.objects.create(
            turn=of, context_version=0, model="m", window=1, window_from=1, estimated=1, body_sha256="",
            ranges=[[1, of.number, "verbatim", "", 1]], parts=[["user", "prompt", "", 1, 0]], budget=[],
        )  # fmt: skip
        Document.objects.create(
            session=session, turn=of, name="a.txt", kind="text", text="A-7731", digest="", size=1, tokens=1
        )
    Feedback.objects.create(turn=turn(session, 3), user=owner, reason="wrong")
    sharing.share(reread(session))
    Job.objects.create(kind="compact", session=session)
    delete(session)
    return reread(session)


def delete(session: ChatSession, seconds: float = 900) -> None:
    at = timezone.now() - timedelta(seconds=seconds)
    ChatSession.objects.filter(pk=session.pk).update(deleted_at=at)


def rows() -> Counter[str]:
    """How many rows each of our tables has."""
    return Counter({model.__name__: model.objects.count() for model in apps.get_app_config("chat").get_models()})


def steps(step: Callable[[], bool]) -> Iterator[Counter[str]]:
    """Do one step after the other to the end: how many rows of each table went, and how many leaves were changed."""
    gone = False
    while not gone:
        before, leaves = rows(), dict(Turn.objects.values_list("pk", "leaf_id"))
        gone = step()
        now = dict(Turn.objects.values_list("pk", "leaf_id"))
        changed = sum(now[pk] != leaf for pk, leaf in leaves.items() if pk in now)
        yield before - rows() + Counter({"leaves": changed})


def purge() -> bool:
    """One piece of what is due, as a step that is over at once does it."""
    step = purging.purge(600, step_s=0.0)
    return step is None or step.gone


@pytest.mark.parametrize("turns", [16, 64])
def test_a_step_takes_as_little_of_a_long_conversation_as_of_a_short_one(alice: Any, turns: int) -> None:
    lived(alice, turns)
    before = rows()
    assert all(before[name] for name in ("Turn", "Summary", "Notice", "Fact", "Document", "Job", "Share", "Feedback"))
    taken = list(steps(purge))
    assert len(taken) > before["Turn"] / MOST
    # The conversation's own row and its instructions go last. Whatever hangs on a turn, one of each here, goes with it.
    assert {name: most for name, most in sum_of(taken[:-1]).items() if most > MOST} == {}
    assert taken[-1] == {"ChatSession": 1, "Instructions": 1}
    assert not +rows()


def sum_of(taken: list[Counter[str]]) -> Counter[str]:
    """The most that a step has done, by table."""
    most: Counter[str] = Counter()
    for one in taken:
        most |= one
    return most


def test_of_long_turns_only_a_few_go_at_once(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = conversation(alice, 4, words="a" * 30)
    Turn.objects.filter(session=session, number=2).update(reply="b" * 1_000)
    delete(session)
    monkeypatch.setattr(purging, "CHARACTERS", 250)
    assert [one["Turn"] for one in steps(purge)] == [2, 1, 1, 0]


def test_a_step_goes_on_until_its_time_is_over(alice: Any) -> None:
    session = lived(alice, 16)
    assert purging.purge(600, step_s=60.0) == purging.Purged(session.pk, True)
    assert purging.purge(600, step_s=60.0) is None


def test_whatever_hangs_on_a_conversation_is_known_here() -> None:
    own = {one.related_model for one in ChatSession._meta.related_objects if one.on_delete is models.CASCADE}
    assert {model for model, _ in purging.BESIDE} | {Turn} == own


def test_between_two_steps_every_invariant_holds_and_nobody_sees_what_is_left(alice: Any, bob: Any) -> None:
    kept = conversation(bob, 3)
    session = lived(alice, 16)
    for _ in steps(purge):
        assert integrity.violations() == []
        assert integrity.violations([session.pk]) == []
        assert not ChatSession.objects.owned_by(alice).exists()
        assert not ChatSession.objects.deleted_by(alice).exists()
    assert ChatSession.objects.get().pk == kept.pk
    assert set(Turn.objects.values_list("session_id", flat=True)) == {kept.pk}


def test_of_one_that_is_only_deleted_the_invariants_are_still_asked(alice: Any) -> None:
    session = lived(alice, 16)
    Summary.objects.filter(session=session, state="active").delete()
    assert {one.number for one in integrity.violations()} >= {8, 9}


def test_a_later_sweep_goes_on_with_it_before_all_others_whatever_the_settings_say_by_then(alice: Any) -> None:
    older = conversation(alice, 2)
    begun = lived(alice, 16)
    assert purging.purge(600, step_s=0.0) == purging.Purged(begun.pk, False)
    delete(older, seconds=90_000)
    assert purging.purge(600, step_s=60.0) == purging.Purged(begun.pk, True)
    assert purging.purge(600, step_s=0.0) == purging.Purged(older.pk, False)
    # A longer window to undo than when it was begun.
    assert purging.purge(1_000_000, step_s=60.0) == purging.Purged(older.pk, True)


def test_a_step_that_dies_leaves_what_the_one_before_it_left(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = lived(alice, 16)

    def dying(*args: Any) -> Iterator[None]:
        yield from list(whole(*args))[:3]
        raise KeyboardInterrupt

    whole = purging._pieces
    for begun in (False, True):
        if begun:
            assert not purge()
        before, at = rows(), reread(session).deleted_at
        with monkeypatch.context() as patch:
            patch.setattr(purging, "_pieces", dying)
            with pytest.raises(KeyboardInterrupt):
                purging.purge(600, step_s=60.0)
        assert (rows(), reread(session).deleted_at == at) == (before, True)
        assert ChatSession.objects.deleted_by(alice).exists() is not begun
    assert len(list(steps(purge))) > 3
    assert not +rows()


def test_a_conversation_that_is_still_answered_holds_up_no_other(alice: Any) -> None:
    busy, other = conversation(alice, 2), conversation(alice, 2)
    live = branches.new_turn(busy, prompt="And now?", client_id=other.pk, tokens=3)
    delete(busy, seconds=5_000)
    delete(other)
    assert purging.purge(600, step_s=60.0) == purging.Purged(other.pk, True)
    assert purging.purge(600, step_s=60.0) is None
    branches.stop_queued(live.pk)
    assert purging.purge(600, step_s=60.0) == purging.Purged(busy.pk, True)


def test_an_erasure_takes_one_that_nobody_has_deleted_in_the_same_steps(alice: Any) -> None:
    session = lived(alice, 16)
    ChatSession.objects.filter(pk=session.pk).update(deleted_at=None)
    taken = list(steps(lambda: purging.remove(session.pk, step_s=0.0)))
    assert {name: most for name, most in sum_of(taken).items() if most > MOST} == {}
    assert not +rows()
    assert purging.remove(session.pk), "somebody else was quicker"


class TestUndo:
    """Either everything comes back, or nothing."""

    pytestmark = [pytest.mark.django_db(transaction=True)]

    @pytest.fixture
    def page(self, alice: Any) -> Client:
        page = Client()
        page.force_login(alice)
        return page

    def behind(self, work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
        """Run `work` in a thread, and give it the time to come to the lock."""
        answers: list[Any] = []

        def run() -> None:
            try:
                answers.append(work())
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(0.3)
        return thread, answers

    def test_one_that_comes_in_the_middle_of_the_first_step_comes_too_late(
        self, page: Client, alice: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = lived(alice, 16)
        undo: list[Any] = []

        def held(session_id: Any) -> Iterator[None]:
            for piece in whole(session_id):
                if not undo:
                    undo.extend(self.behind(lambda: page.post(f"/c/{session_id}/restore/").status_code))
                yield piece

        whole = purging._pieces
        monkeypatch.setattr(purging, "_pieces", held)
        assert not purge()
        thread, answers = undo
        thread.join(30)
        assert answers == [404]
        assert reread(session).deleted_at == ChatSession.GOING

    def test_one_that_comes_before_it_brings_back_everything(self, page: Client, alice: Any) -> None:
        session = lived(alice, 16)
        before = rows()
        with transaction.atomic():
            assert page.post(f"/c/{session.pk}/restore/").status_code == 302
            thread, answers = self.behind(lambda: purging.purge(600, step_s=60.0))
        thread.join(30)
        assert answers == [purging.Purged(session.pk, False)]
        assert rows() == before
        assert reread(session).deleted_at is None
        assert integrity.violations() == []
        assert purging.purge(600) is None

    def test_nothing_between_two_steps_offers_it_or_brings_it_back(self, page: Client, alice: Any) -> None:
        session = lived(alice, 16)
        assert f"/c/{session.pk}/restore/" in page.get("/archive/").content.decode()
        for _ in range(4):
            assert not purge()
            assert f"/c/{session.pk}/restore/" not in page.get("/archive/").content.decode()
            assert f"/c/{session.pk}/restore/" not in page.get(f"/?undo={session.pk}", follow=True).content.decode()
            assert page.post(f"/c/{session.pk}/restore/").status_code == 404
            assert page.get(f"/c/{session.pk}/").status_code == 404
