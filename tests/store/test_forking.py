"""A fork: a copy of the path up to a turn, with all that is true of it there, and nothing else."""

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.models import ChatSession, Document, Fact, Notice, Step, Summary, Thought, Turn
from chat.store import branches, coverage, forking, integrity, summaries
from tests.store.building import active, compress, conversation, draft, extend, merge, numbers, reread, turn
from tests.store.building import fork as edit


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 10, title="About A-7731")


@pytest.fixture(autouse=True)
def whole(session: ChatSession) -> Any:
    """Every test ends with a store that holds its invariants: the original's, and the copy's."""
    yield
    assert integrity.violations() == []


def fork(session: ChatSession, number: int) -> ChatSession:
    return forking.fork(session.owner_id, session.pk, turn(session, number).pk, title="A copy")


def words(session: ChatSession) -> list[tuple[int, str, str]]:
    return list(Turn.objects.path(session.pk).values_list("number", "prompt", "reply"))


def standing(session: ChatSession) -> list[tuple[str, int, int]]:
    rows = Notice.objects.filter(session=session, ended_at__isnull=True, until__active=True)
    return list(rows.order_by("first", "last").values_list("kind", "first", "last"))


def test_the_copy_says_what_the_original_said_up_to_there(session: ChatSession) -> None:
    made = fork(session, 6)
    assert words(made) == words(session)[:6]
    assert (made.title, made.forked_from, made.owner_id) == ("A copy", session, session.owner_id)
    assert (made.turns_active, made.turns_total, made.seen, made.open_tokens) == (6, 6, 6, 600)
    assert (made.input_tokens, made.output_tokens) == (600, 240)
    assert not Turn.objects.filter(session=made).filter(pk__in=Turn.objects.filter(session=session)).exists()


def test_each_goes_on_by_itself(session: ChatSession) -> None:
    made = fork(session, 6)
    extend(made, 2)
    edit(made, 3)
    assert numbers(made) == [1, 2, 3]
    assert numbers(session) == list(range(1, 11))
    session.delete()
    assert reread(made).forked_from_id is None


def test_other_versions_stay_where_they_are(session: ChatSession) -> None:
    edit(session, 4, "Another question.")
    extend(session, 2)
    made = fork(session, 5)
    assert words(made)[3][1] == "Another question."
    assert Turn.objects.filter(session=made).count() == 5


def test_a_summary_of_what_was_copied_stands_for_it_here_too(session: ChatSession) -> None:
    compress(session, (1, 4))
    made = fork(session, 8)
    assert active(made) == [(1, 4, 1)]
    assert made.window_from == 5
    assert standing(made) == [("compressed", 1, 4)]
    notice = Notice.objects.get(session=made)
    assert notice.summary.session_id == notice.until.session_id == made.pk
    assert made.compactions == 1


def test_a_summary_that_reaches_further_stands_for_nothing_here(session: ChatSession) -> None:
    compress(session, (1, 8))
    made = fork(session, 6)
    assert active(made) == []
    assert made.window_from == 1
    assert standing(made) == []
    assert made.open_tokens == 600


def test_of_a_merge_that_reaches_further_the_parts_that_fit_stand_again(session: ChatSession) -> None:
    parts = compress(session, (1, 3), (4, 8))
    merge(session, 1, 8)
    made = fork(session, 6)
    assert active(made) == [(1, 3, 1)]
    assert made.window_from == 4
    assert standing(made) == [("compressed", 1, 3)]
    assert Summary.objects.get(session=made).text == parts[0].text


def test_a_summary_of_another_branch_is_not_taken_along(session: ChatSession) -> None:
    compress(session, (1, 6))
    edit(session, 3)
    extend(session, 5)
    draft(session, 1, 4)
    made = fork(session, 7)
    assert not Summary.objects.filter(session=made).exists()


def test_what_was_left_out_is_still_said_to_be(session: ChatSession) -> None:
    ChatSession.objects.filter(pk=session.pk).update(window_from=6)
    coverage.tell(session.pk)
    made = fork(session, 4)
    assert made.window_from == 5
    assert standing(made) == [("trimmed", 1, 4)]


def test_what_hangs_on_a_turn_comes_along(session: ChatSession) -> None:
    three, nine = turn(session, 3), turn(session, 9)
    now = timezone.now()
    for one in (three, nine):
        Step.objects.create(turn=one, index=0, kind="tool_use", call_id="c", body="{}", finished_at=now)
        Thought.objects.create(turn=one, text=f"thought {one.number}", tokens=3)
        Document.objects.create(
            session=session, turn=one, name=f"{one.number}.txt", kind="text", text="x", digest="d", size=1, tokens=1
        )
    old = Fact.objects.create(session=session, kind="id", value="A-1", turn=three)
    Fact.objects.create(session=session, kind="id", value="A-2", turn=three, supersedes=old)
    Fact.objects.create(session=session, kind="id", value="A-9", turn=nine)
    Fact.objects.create(session=session, kind="note", value="by hand", made_by="user")
    Fact.objects.create(session=session, kind="id", value="gone", turn=three, forgotten_at=now)
    Turn.objects.filter(pk=three.pk).update(pinned_since=1, step_count=1)
    ChatSession.objects.filter(pk=session.pk).update(marked=1)

    made = fork(session, 6)
    assert [step.turn.number for step in Step.objects.filter(turn__session=made)] == [3]
    assert [one.text for one in Thought.objects.filter(turn__session=made)] == ["thought 3"]
    assert list(Document.objects.filter(session=made).values_list("name", "turn__number")) == [("3.txt", 3)]
    facts = Fact.objects.filter(session=made).order_by("pk")
    assert [one.value for one in facts] == ["A-1", "A-2", "by hand"]
    assert facts[1].supersedes == facts[0]
    assert facts[0].turn.session_id == made.pk
    assert turn(made, 3).pinned_since == 1
    assert made.marked == 1


def test_a_document_of_another_version_of_a_message_comes_with_the_version_that_stands(session: ChatSession) -> None:
    three = turn(session, 3)
    values = {"kind": "text", "text": "the text", "digest": "d", "size": 1, "tokens": 1}
    Document.objects.create(session=session, turn=three, name="a.txt", **values)
    edit(session, 3)
    extend(session, 2)
    made = fork(session, 5)
    copy = Document.objects.get(session=made)
    assert (copy.name, copy.text, copy.turn) == ("a.txt", "the text", turn(made, 3))


def test_the_statements_of_a_fork_do_not_grow_with_it(alice: Any, session: ChatSession) -> None:
    long = conversation(alice, 60)
    counts = []
    for source, number in ((session, 5), (long, 55)):
        with CaptureQueriesContext(connection) as queries:
            fork(source, number)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_only_its_owner_forks_and_only_what_is_there_and_finished(session: ChatSession, bob: Any) -> None:
    four = turn(session, 4)
    edit(session, 4)
    live = branches.new_turn(reread(session), prompt="?", client_id=uuid.UUID(int=7), tokens=1)
    with pytest.raises(ChatSession.DoesNotExist):
        forking.fork(bob.pk, session.pk, turn(session, 2).pk, title="")
    with pytest.raises(branches.UnknownTurn):
        forking.fork(session.owner_id, session.pk, four.pk, title="")
    with pytest.raises(forking.NotFinished):
        forking.fork(session.owner_id, session.pk, live.pk, title="")
    assert fork(session, 4).turns_active == 4
    branches.stop_queued(live.pk)
    assert ChatSession.objects.count() == 2


def test_a_draft_of_a_summary_that_is_committed_meanwhile_is_none_of_the_copys(session: ChatSession) -> None:
    half = draft(session, 1, 4)
    made = fork(session, 8)
    assert summaries.commit(session.pk, [half.pk], window_from=5)
    assert active(made) == []
    assert active(session) == [(1, 4, 1)]
