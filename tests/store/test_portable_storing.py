"""Imports are kept whole or not at all, once, with every total right; our own format comes back equal."""

import json
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone, translation

from chat.models import ChatSession, Fact, Notice, Step, Summary, Turn
from chat.store import branches, coverage, integrity, sessions
from chat.store.portable import bundle, dumping, markdown, reading, storing
from chat.store.portable.values import Broken, Conversation, Exchange

pytestmark = pytest.mark.django_db

ORDER = "My order number is A-7731 and the deposit was 480 EUR."


def conversation(*turns: Exchange, **values: Any) -> Conversation:
    return Conversation(place="here", turns=turns, **({"title": "Kayak"} | values))


def line(*pairs: tuple[str, str]) -> Conversation:
    return conversation(*(Exchange(prompt=p, reply=r, parent=n - 1 if n else None) for n, (p, r) in enumerate(pairs)))


FORKED = conversation(
    Exchange(prompt=ORDER, reply="Noted."),
    Exchange(prompt="Which colour?", reply="Red, A-7731.", parent=0, active=False),
    Exchange(prompt="And the paddle?", reply="Ask for PX-90.", parent=1, active=False),
    Exchange(prompt="Which colour?", reply="Blue, order A-7731.", parent=0),
)


def clean(*, session: ChatSession) -> bool:
    return integrity.violations([session.pk]) == []


class TestKeeping:
    def test_an_imported_conversation_stands_as_if_it_had_been_held_here(self, alice: Any) -> None:
        session = storing.store(alice, line((ORDER, "Noted."), ("When does it come?", "On Friday.")))
        first, second = Turn.objects.path(session.pk)
        assert (second.parent, second.status, second.stop_reason) == (first, "complete", "imported")
        assert second.tokens_upto == first.tokens + second.tokens == session.open_tokens
        assert (session.head, session.turns_active, session.turns_total, session.seen) == (second, 2, 2, 2)
        assert session.title == "Kayak"
        assert clean(session=session)

    def test_exact_values_are_facts_once_on_their_path(self, alice: Any) -> None:
        session = storing.store(alice, FORKED)
        told = Fact.objects.filter(session=session).values_list("value", "turn__number", "turn__active")
        assert [row for row in told if row[0] == "A-7731"] == [("A-7731", 1, True)]
        assert ("PX-90", 3, False) in told

    def test_a_branch_beside_the_shown_one_can_be_switched_to(self, alice: Any) -> None:
        session = storing.store(alice, FORKED)
        assert (session.turns_active, session.turns_total) == (2, 4)
        branches.switch(session.pk, Turn.objects.get(session=session, reply="Red, A-7731.").pk)
        assert [turn.reply for turn in Turn.objects.path(session.pk)] == ["Noted.", "Red, A-7731.", "Ask for PX-90."]
        session.refresh_from_db()
        assert clean(session=session)

    def test_a_message_without_a_reply_is_a_stopped_turn(self, alice: Any) -> None:
        session = storing.store(alice, line(("Hello?", "")))
        assert session.head.status == "stopped"
        assert clean(session=session)

    def test_without_a_title_the_first_words_are_it(self, alice: Any) -> None:
        assert storing.store(alice, conversation(Exchange(prompt="Tell me of seals", reply="x"), title="")).title == (
            "Tell me of seals"
        )

    def test_turns_by_the_thousand_take_far_fewer_statements(
        self, alice: Any, django_assert_max_num_queries: Any
    ) -> None:
        long = line(*((f"Question {n}, ticket T-{n:05d}.", f"Answer {n}.") for n in range(2_000)))
        with django_assert_max_num_queries(200):
            session = storing.store(alice, long)
        assert session.turns_active == 2_000
        last = session.head
        assert last.parent.number == 1_999
        assert last.tokens_upto == session.open_tokens

    def test_a_session_over_its_window_is_what_the_sweep_looks_for(self, alice: Any) -> None:
        session = storing.store(alice, line(*(("word " * 200, "more " * 200) for _ in range(40))))
        assert list(ChatSession.objects.fullest(10_000)) == [session]

    def test_nothing_of_a_conversation_that_does_not_fit_is_kept(self, alice: Any) -> None:
        twice = conversation(Exchange(prompt="a", reply="b"), Exchange(prompt="c", reply="d"))
        with pytest.raises(Broken, match=r"^here: its parts do not fit together\.$"):
            storing.store(alice, twice)
        assert not ChatSession.objects.exists()


def rich(owner: Any) -> ChatSession:
    """A session with branches, usage, steps, a pin, an exclusion, a summary, notices and facts."""
    session = storing.store(owner, FORKED)
    turns = list(Turn.objects.path(session.pk))
    usage = {"input": 40, "cache_read": 300, "cache_write": 9, "output": 25}
    Turn.objects.filter(pk=turns[1].pk).update(
        usage=usage, stop_reason="end_turn", reply_tokens=25, reply_source="api", pinned_since=0, step_count=1
    )
    Step.objects.create(turn=turns[1], index=0, kind="tool_use", call_id="c1", name="look", body="{}", tokens=7)
    made = Summary.objects.create(
        session=session,
        first=1,
        last=1,
        until=turns[0],
        state="active",
        text="Previously: an order.",
        tokens=6,
        source_tokens=40,
        source_hash=coverage.source_hash(session.pk, 1, 1),
        input_hash="i" * 64,
        model="claude-haiku-4-5-20251001",
        gate={"values": 2},
        committed_at=timezone.now(),
    )
    rejected = Summary.objects.create(
        session=session, first=1, last=1, until=turns[0], state="rejected", source_hash="s", input_hash="j", version=2
    )
    rejected.replaces = made
    rejected.save()
    Notice.objects.create(
        session=session, kind="compressed", first=1, last=1, until=turns[0], summary=made, tokens_before=40,
        tokens_after=6,
    )  # fmt: skip
    old = Fact.objects.filter(session=session).first()
    Fact.objects.create(session=session, kind="note", value="Likes red", made_by="user", supersedes=old, pinned=True)
    ChatSession.objects.filter(pk=session.pk).update(
        context_version=3, prefix_version=3, window_from=2, compactions=1, trims=2, pinned=True, mode="ask",
        input_tokens=349, output_tokens=25, marked=1,
    )  # fmt: skip
    Turn.objects.filter(pk=turns[1].pk).update(tokens_upto=turns[0].tokens + turns[1].prompt_tokens + 25 + 7)
    ChatSession.objects.filter(pk=session.pk).update(open_tokens=coverage.open_tokens(session.pk))
    session.refresh_from_db()
    return session


def taken_in(folder: Path, owner: Any, item: Any) -> ChatSession:
    path = folder / "ours.json"
    path.write_text(json.dumps(item))
    (found,) = reading.read(path)
    if isinstance(found, Broken):
        raise found
    return storing.store(owner, found)


class TestOurs:
    def test_what_goes_out_comes_back_equal(self, tmp_path: Path, alice: Any, bob: Any) -> None:
        session = rich(alice)
        assert clean(session=session)
        out = dumping.dump(session)
        copy = taken_in(tmp_path, bob, out)
        assert dumping.dump(copy) == out
        assert clean(session=copy)
        totals = (
            "turns_active",
            "turns_total",
            "open_tokens",
            "input_tokens",
            "output_tokens",
            "marked",
            "window_from",
        )
        assert [getattr(copy, name) for name in totals] == [getattr(session, name) for name in totals]
        assert (copy.owner, copy.head.reply) == (bob, session.head.reply)
        assert [turn["usage"]["cache_read"] for turn in out["turns"] if turn["steps"]] == [300]

    def test_a_turn_that_is_still_being_answered_is_left_out(self, alice: Any) -> None:
        session = rich(alice)
        before = dumping.dump(session)
        branches.new_turn(session, prompt="live", client_id=session.pk, tokens=3)
        assert [turn["prompt"] for turn in dumping.dump(session)["turns"]] == [t["prompt"] for t in before["turns"]]

    @pytest.mark.parametrize(
        ("where", "value", "sentence"),
        [
            (("turns", 1, "parent"), 3, "turns 1: 'parent' names a row that is not there."),
            (("turns", 1, "parent"), None, "turns 1: its number does not follow that of its parent."),
            (("turns", 0, "status"), "running", "turns 0: it is not finished."),
            (("turns", 0, "status"), "lost", "turns 0: 'status' is not a value that it can have."),
            (("turns", 0, "usage"), {"input": 1}, "turns 0: its usage does not hold input, cache_read"),
            (("turns", 0, "closed_at"), None, "turns 0: it is complete without a stop reason"),
            (("turns", 0, "prompt"), ["x"], "turns 0: 'prompt' is not a plain value."),
            (("turns", 0, "prompt_tokens"), -4, "turns 0: 'prompt_tokens' is not a value that it can have."),
            (("turns", 0, "active"), False, "it is on the active path, and its parent is not."),
            (("turns", 1, "leaf"), 99, "a turn names a leaf that is not there."),
            (("summaries", 0, "until"), None, "summaries 0: 'until' names a row that is not there."),
            (("summaries", 0, "last"), 2, "summaries 0: it does not end where its last turn is."),
            (("summaries", 0, "source_hash"), "0" * 64, "the summary of turns 1-1 is not of these turns."),
            (("facts", 0, "turn"), 77, "facts 0: 'turn' names a row that is not there."),
            (("notices", 0, "kind"), "whispered", "notices 0: 'kind' is not a value that it can have."),
            (("version",), 2, "this is version 2 of the format; 1 can be read."),
        ],
    )
    def test_what_does_not_hold_together_is_refused_with_its_place(
        self, tmp_path: Path, alice: Any, where: tuple[Any, ...], value: Any, sentence: str
    ) -> None:
        out = dumping.dump(rich(alice))
        target: Any = out
        for step in where[:-1]:
            target = target[step]
        target[where[-1]] = value
        with pytest.raises(Broken) as caught:
            taken_in(tmp_path, alice, out)
        assert sentence in str(caught.value)
        assert ChatSession.objects.count() == 1

    def test_a_missing_value_is_named(self, tmp_path: Path, alice: Any) -> None:
        out = dumping.dump(rich(alice))
        del out["facts"][0]["since"]
        with pytest.raises(Broken, match="facts 0: 'since' is missing"):
            taken_in(tmp_path, alice, out)


class TestMarkdown:
    def test_the_shown_path_reads_with_notices_summaries_facts_and_usage(self, alice: Any) -> None:
        text = markdown.render(rich(alice))
        assert text.startswith("# Kayak\n")
        assert "Blue, order A-7731." in text
        assert "Ask for PX-90." not in text
        assert "were compressed for length (turn 1, 40 tokens to 6)." in text
        assert "349 tokens in (300 from the cache), 25 out" in text
        assert "1 other version" in text
        assert "## Turns 1-1\n\n*40 tokens to 6, by claude-haiku-4-5-20251001*\n\nPreviously: an order." in text
        assert "- Likes red (note)" in text
        assert text.index("Noted.") < text.index("compressed for length") < text.index("## Turn 2")

    def test_our_own_words_are_not_told_as_the_users(self, alice: Any) -> None:
        session = rich(alice)
        session.turns.filter(number=2, active=True).update(kind=Turn.Kind.CONTINUE, prompt="Go on where it stopped.")
        text = markdown.render(session)
        assert "Go on where it stopped." not in text
        assert "## Turn 2\n\n*Continued*" in text

    def test_it_speaks_the_language_of_who_asks_to_its_end(self, alice: Any) -> None:
        session = rich(alice)
        with translation.override("de"):
            pieces, everything = markdown.pieces(session), bundle.pieces(alice)
        # They are made when another language is in force, as in the thread of a server.
        text = "".join(pieces)
        assert translation.get_language() == "en"
        for words in ("- Modell: ", "## Runde 2", "wurden aus Platzgründen verdichtet (Runde 1, 40 ", "# Gemerkt"):
            assert words in text
        assert "urn " not in text
        with ZipFile(BytesIO(b"".join(everything))) as archive:
            assert "Alles, was diese Website" in archive.read("README.txt").decode()
            assert archive.read(next(name for name in archive.namelist() if name.endswith(".md"))).decode() == text


def run(name: str, *args: Any, **options: Any) -> str:
    out = StringIO()
    call_command(name, *args, stdout=out, stderr=out, **options)
    return out.getvalue()


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """Two conversations of another product, a broken one between them, an empty one behind."""
    good = {"name": "One", "chat_messages": [{"sender": "human", "text": ORDER}, {"sender": "assistant", "text": "k"}]}
    other = good | {"name": "Two", "chat_messages": [{"sender": "human", "text": "Hello"}]}
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([good, {"chat_messages": [{}]}, other, {"chat_messages": []}]))
    return path


class TestCommands:
    def test_what_is_broken_is_said_and_the_others_are_imported(self, exported: Path, alice: Any) -> None:
        out = StringIO()
        with pytest.raises(CommandError, match="Not everything"):
            call_command("import_conversations", exported, user="alice", stdout=out, stderr=out)
        assert "conversation 1, message 0: 'sender' is missing." in out.getvalue()
        assert out.getvalue().splitlines()[-1] == "2 imported, 1 empty, 1 failed"
        assert set(alice.chat_sessions.values_list("title", flat=True)) == {"One", "Two"}

    def test_a_second_import_leaves_alone_what_is_there(self, tmp_path: Path, alice: Any, bob: Any) -> None:
        path = tmp_path / "one.json"
        path.write_text(json.dumps({"name": "One", "chat_messages": [{"sender": "human", "text": "Hi"}]}))
        assert run("import_conversations", path, user="alice").endswith("1 imported\n")
        assert run("import_conversations", path, user="alice").endswith("1 there already\n")
        assert run("import_conversations", path, user="alice", again=True).endswith("1 imported\n")
        assert run("import_conversations", path, user="bob").endswith("1 imported\n")
        assert (alice.chat_sessions.count(), bob.chat_sessions.count()) == (2, 1)
        bob.chat_sessions.update(deleted_at=timezone.now())
        assert run("import_conversations", path, user="bob").endswith("1 imported\n")

    def test_model_and_strategy_may_be_chosen(self, tmp_path: Path, alice: Any) -> None:
        path = tmp_path / "one.json"
        path.write_text(json.dumps({"name": "One", "chat_messages": [{"sender": "human", "text": "Hi"}]}))
        run("import_conversations", path, user="alice", model="claude-x", strategy="sliding_window")
        session = alice.chat_sessions.get()
        assert (session.model, session.strategy) == ("claude-x", "sliding_window")

    def test_without_a_name_they_become_the_administrators(self, tmp_path: Path, bob: Any) -> None:
        path = tmp_path / "one.json"
        path.write_text(json.dumps({"name": "One", "chat_messages": [{"sender": "human", "text": "Hi"}]}))
        with pytest.raises(CommandError, match="no administrator yet"):
            run("import_conversations", path)
        people = get_user_model().objects
        first = people.create_superuser("first")
        assert "for       first" in run("import_conversations", path)
        chief = people.create_superuser(settings.SUPERUSER_USERNAME)
        assert run("import_conversations", path).endswith("1 imported\n")
        assert [one.chat_sessions.count() for one in (bob, first, chief)] == [0, 1, 1]

    def test_a_stranger_is_refused(self, exported: Path, db: None) -> None:
        with pytest.raises(CommandError, match="no user named nobody"):
            run("import_conversations", exported, user="nobody")

    def test_an_export_can_be_imported(self, tmp_path: Path, alice: Any, bob: Any) -> None:
        session = rich(alice)
        path = tmp_path / "out.json"
        path.write_text(run("export_conversation", str(session.pk)))
        run("import_conversations", path, user="bob")
        assert dumping.dump(bob.chat_sessions.get()) == dumping.dump(session)

    def test_an_export_may_be_markdown_and_a_deleted_conversation_is_not_there(self, alice: Any) -> None:
        session = sessions.create(alice, title="Empty")
        assert run("export_conversation", str(session.pk), format="markdown").startswith("# Empty\n")
        ChatSession.objects.filter(pk=session.pk).update(deleted_at=timezone.now())
        with pytest.raises(CommandError, match="There is no conversation"):
            run("export_conversation", str(session.pk))
