"""Whatever was said is found again, by its owner alone, and what was taken back is not."""

import uuid
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from chat.models import ChatSession, Document, Turn, words, wordsql
from chat.models.wordsql import INDEXES, TURNS
from chat.store import branches, documents, integrity, mending, search, snippets
from chat.store.portable import storing
from chat.store.portable.values import Conversation, Exchange
from tests.store.building import compress, conversation, extend, fork, purged, reread, turn


def said(session: ChatSession, number: int, prompt: str = "", reply: str = "") -> Turn:
    """Put these words into the finished turn of this number."""
    Turn.objects.filter(session=session, number=number, active=True).update(prompt=prompt, reply=reply)
    return turn(session, number)


def numbers(session: ChatSession, query: str) -> list[int]:
    return [hit.number for one in search.within(session, query).conversations for hit in one.hits]


def found(owner: Any, query: str, **options: Any) -> list[str]:
    return [str(one.session_id) for one in search.find(owner, query, **options).conversations]


def attached(session: ChatSession, number: int, told: str, name: str = "contract.pdf") -> Document:
    """A document that came with the active turn of this number."""
    row = Document(session=session, turn=turn(session, number), name=name, kind="text", text=told, size=9, tokens=9)
    row.save()
    return row


def text(parts: tuple[snippets.Part, ...]) -> str:
    """Marked words in brackets."""
    return "".join(f"[{part.text}]" if part.marked else part.text for part in parts)


@pytest.fixture
def session(alice: Any) -> ChatSession:
    return conversation(alice, 12)


def test_words_of_prompts_and_replies_are_found_also_in_a_compressed_part(session: ChatSession, alice: Any) -> None:
    said(session, 2, "The courier lost my zeppelin.", "How sad.")
    said(session, 9, "And now?", "Look for the Zeppelin in Friedrichshafen.")
    compress(session, (1, 4))
    assert numbers(session, "zeppelin") == [9, 2]
    [one] = search.find(alice, "zeppelin").conversations
    assert [(hit.number, hit.by_user, text(hit.snippet)) for hit in one.hits] == [
        (9, False, "Look for the [Zeppelin] in Friedrichshafen."),
        (2, True, "The courier lost my [zeppelin]."),
    ]


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("corvo valve", True), ("valve corvo", True), ("corvo pump", False), ("corv", True), ("corv valve", False),
        ("corv ", False), ('"corvo duo"', True), ('"duo corvo"', False), ("CORVO", True), ("ubergang", True),
        ("Übergang", True), ("A-7731", True), ("7731", True), ("A7731", False), ("lena@example.org", True),
        ("example", True), ("1,849.00", True), ("don't", True), ("snake_case", True), ("注文", True), ("番号", True),
        ("注文 corvo", True), ("文番号x", False), ("v", False),
    ],
)  # fmt: skip
def test_what_is_typed_is_looked_for(session: ChatSession, query: str, matches: bool) -> None:
    prompt = "My Corvo Duo leaks: the valve. Order A-7731, EUR 1,849.00, lena@example.org"
    said(session, 5, prompt, "Am Übergang. I don't know snake_case. 私の注文番号です")
    assert numbers(session, query) == ([5] if matches else [])


@pytest.mark.parametrize("query", ["", "  ", "?!", '""', "' OR 1=1 --", "NEAR(", "a* AND b:", "%", "\x00", "²", "🙂"])
def test_nothing_that_is_typed_breaks_anything(session: ChatSession, alice: Any, query: str) -> None:
    assert search.find(alice, query).hits == search.within(session, query).hits == 0


def test_a_reply_is_found_once_it_has_ended(session: ChatSession) -> None:
    live = branches.new_turn(session, prompt="A zeppelin?", client_id=uuid.uuid4(), tokens=3)
    Turn.objects.filter(pk=live.pk).update(status="running", reply="Zeppelin", lease_until=timezone.now())
    assert numbers(session, "zeppelin") == []
    Turn.objects.filter(pk=live.pk).update(status="stopped")
    assert numbers(session, "zeppelin") == [13]


@pytest.mark.parametrize(
    "gone",
    [{"prompt": "", "reply": ""}, {"redacted_at": timezone.now()}],
    ids=["the words are replaced", "the turn is redacted"],
)
def test_what_was_taken_back_is_not_found_from_the_same_transaction_on(session: ChatSession, gone: Any) -> None:
    said(session, 3, "zeppelin one", "zeppelin two")
    with transaction.atomic():
        Turn.objects.filter(session=session, number=3).update(**gone)
        assert numbers(session, "zeppelin") == []


def test_of_an_erased_conversation_no_word_is_left_in_any_table_of_the_index(session: ChatSession) -> None:
    said(session, 3, "a zeppelin", "zeppelins")
    attached(session, 3, "a zeppelin")
    ChatSession.objects.filter(pk=session.pk).update(deleted_at=timezone.now())
    assert purged(-1) == [session.pk]
    assert not words.forget()
    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if name.startswith(TURNS.table)]
        rows = []
        for table in tables:
            if table not in {one.table for one in INDEXES} or connection.vendor == "postgresql":
                cursor.execute(f"SELECT * FROM {table}")
                rows += [bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                         for row in cursor.fetchall() for value in row]  # fmt: skip
    assert tables
    assert not [row for row in rows if b"zep" in row]


@pytest.mark.sqlite
def test_what_was_deleted_is_forgotten_in_steps_and_what_stands_is_found_all_along(
    session: ChatSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "PAGES", 1)
    for number in range(1, 11):
        said(session, number, f"a zeppelin {'and more ' * number}", " ".join(f"word{one}" for one in range(500)))
    said(session, 3, "gone", "gone")
    steps = 0
    while words.forget(most=1):
        steps += 1
        assert len(numbers(session, "zeppelin")) == 9
    assert steps > 3
    assert not words.forget(most=1)
    assert len(numbers(session, "zeppelin")) == 9


def test_our_words_that_ask_for_the_rest_of_a_reply_are_not_the_users(session: ChatSession) -> None:
    Turn.objects.filter(session=session, number=5).update(kind=Turn.Kind.CONTINUE)
    said(session, 5, "Go on exactly where it stopped.", "and the zeppelin flew on.")
    said(session, 6, "Where exactly did it stop?")
    assert numbers(session, "exactly") == [6]
    assert [text(hit.snippet) for hit in search.within(session, "zeppelin").conversations[0].hits] == [
        "and the [zeppelin] flew on."
    ]
    said(session, 7, "続きを書いて")
    assert numbers(session, "続き") == [7]
    Turn.objects.filter(session=session, number=7).update(kind=Turn.Kind.CONTINUE)
    assert numbers(session, "続き") == []


def test_what_was_attached_is_found_at_the_turn_that_it_came_with(session: ChatSession, alice: Any) -> None:
    attached(session, 4, "The charter of a zeppelin.\n私の注文番号です", "Über-charter.pdf")
    for query in ("zeppelin", "charter zeppelin", "uber charter", "注文", "注文 zeppelin"):
        [one] = search.find(alice, query).conversations
        assert [(hit.number, hit.by_user) for hit in one.hits] == [(4, True)], query
    [hit] = search.within(session, "charter").conversations[0].hits
    assert (text(hit.document), text(hit.snippet)) == (
        "Über-[charter].pdf", "The [charter] of a zeppelin. 私の注文番号です"
    )  # fmt: skip
    said(session, 4, "My zeppelin.")
    [hit] = search.within(session, "zeppelin").conversations[0].hits
    assert (hit.document, text(hit.snippet)) == ((), "My [zeppelin].")
    assert numbers(session, "charter my") == []


def test_what_was_attached_is_searched_while_it_is_there_and_only_by_its_owner(session: ChatSession, bob: Any) -> None:
    row = attached(session, 4, "A zeppelin.")
    assert search.find(bob, "zeppelin").hits == 0
    Document.objects.filter(pk=row.pk).update(turn=None)
    assert numbers(session, "zeppelin") == [], "it waits beside the message box"
    Document.objects.filter(pk=row.pk).update(turn=turn(session, 4))
    Turn.objects.filter(pk=row.turn_id).update(redacted_at=timezone.now())
    assert numbers(session, "zeppelin") == []
    Turn.objects.filter(pk=row.turn_id).update(redacted_at=None)
    assert numbers(session, "zeppelin") == [4]
    assert documents.remove(session.owner_id, session.pk, row.pk)
    assert numbers(session, "zeppelin") == []
    assert integrity.violations([session.pk]) == []


def test_what_was_attached_to_another_version_of_a_message_leads_to_the_one_that_is_shown(session: ChatSession) -> None:
    attached(session, 9, "A zeppelin.")
    attached(session, 10, "A balloon.")
    made = fork(session, 9)
    [hit] = search.within(session, "zeppelin").conversations[0].hits
    assert (hit.turn_id, hit.active) == (made.pk, True)
    [hit] = search.within(session, "balloon").conversations[0].hits
    assert (hit.number, hit.active) == (10, False)


def test_a_long_attachment_is_found_to_its_bound_and_no_further(session: ChatSession) -> None:
    filler = "word " * (wordsql.DOCUMENT_MOST // 5 - 100)
    attached(session, 4, f"{filler} zeppelin {filler} balloon")
    assert numbers(session, "zeppelin") == [4]
    assert numbers(session, "balloon") == []
    [hit] = search.within(session, "zeppelin").conversations[0].hits
    assert "[zeppelin]" in text(hit.snippet)


def test_another_branch_is_found_and_said_to_be_one(session: ChatSession) -> None:
    said(session, 9, "the zeppelin", "yes")
    fork(session, 7)
    [one] = search.within(session, "zeppelin").conversations
    assert [(hit.number, hit.active) for hit in one.hits] == [(9, False)]


def test_only_ones_own_conversations_are_searched(session: ChatSession, bob: Any) -> None:
    said(session, 2, "zeppelin", "zeppelin")
    ChatSession.objects.filter(pk=session.pk).update(title="zeppelin")
    assert found(bob, "zeppelin") == []
    assert search.find(bob, "zeppelin").hits == 0
    theirs = conversation(bob, 3)
    said(theirs, 1, "zeppelin")
    assert found(bob, "zeppelin") == [str(theirs.pk)]


def test_deleted_and_temporary_ones_are_never_found_archived_ones_are(session: ChatSession, alice: Any) -> None:
    said(session, 2, "zeppelin")
    row = ChatSession.objects.filter(pk=session.pk)
    assert found(alice, "zeppelin", archived=True) == []
    row.update(archived_at=timezone.now())
    assert found(alice, "zeppelin") == found(alice, "zeppelin", archived=True) == [str(session.pk)]
    row.update(temporary=True, title="zeppelin")
    assert found(alice, "zeppelin") == []
    assert numbers(session, "zeppelin") == [2], "inside of it one may look"
    row.update(temporary=False, deleted_at=timezone.now())
    assert found(alice, "zeppelin") == []


def test_a_title_is_found_and_marked(session: ChatSession, alice: Any) -> None:
    ChatSession.objects.filter(pk=session.pk).update(title="Crème brûlée & co")
    [one] = search.find(alice, "creme bru").conversations
    assert text(one.title) == "[Crème] [brûlée] & co"
    assert one.hits == ()


def test_words_side_by_side_come_before_newer_ones_apart(alice: Any) -> None:
    together, apart = conversation(alice, 2), conversation(alice, 2)
    said(apart, 1, "a pump of the valve")
    said(together, 1, "the valve pump")
    ChatSession.objects.filter(pk=apart.pk).update(updated_at=timezone.now())
    assert found(alice, "valve pump") == [str(together.pk), str(apart.pk)]
    assert found(alice, "valve") == [str(apart.pk), str(together.pk)]


def test_what_is_imported_is_indexed_with_it(alice: Any) -> None:
    told = Conversation(place="here", title="", turns=[Exchange(prompt="My zeppelin.", reply="I see.")])
    session = storing.store(alice, told)
    assert found(alice, "zeppelin") == [str(session.pk)]


def test_a_pasted_giant_is_found_to_its_end(session: ChatSession) -> None:
    filler = " ".join(f"w{number}" for number in range(60_000))
    said(session, 4, f"alpha {filler} omega", "zeppelin")
    assert len(turn(session, 4).prompt) > 3 * wordsql.PART
    for query in ("alpha", "w20123", "omega", "zeppelin", "w59999"):
        assert numbers(session, query) == [4], query


def test_many_hits_are_cut_and_counted(session: ChatSession, alice: Any) -> None:
    extend(session, 60, words="zeppelin")
    shown = search.within(reread(session), "zeppelin")
    assert (shown.hits, len(shown.conversations[0].hits), shown.conversations[0].more, shown.cut) == (60, 50, 10, True)
    [one] = search.find(alice, "zeppelin").conversations
    assert ([hit.number for hit in one.hits], one.more) == ([72, 71, 70], 57)


@pytest.mark.parametrize(
    ("told", "query", "shown"),
    [
        ("A zeppelin.", "zeppelin", "A [zeppelin]."),
        ("<b>zeppelin</b>", "zeppelin", "<b>[zeppelin]</b>"),
        ("word " * 100 + "zeppelin flies" + " word" * 100, "zeppelin", None),
        ("x" * 900 + " zeppelin", "zeppelin", None),
        ("ÄÖÜ zéppelin", "zeppelin", "ÄÖÜ [zéppelin]"),
        ("|Part|Price|\n|---|:-:|\n|zeppelin|9|", "zeppelin", "|Part|Price| |[zeppelin]|9|"),
    ],
)
def test_a_snippet_holds_the_word(told: str, query: str, shown: str | None) -> None:
    parts = snippets.snippet(told, snippets.pattern(search.read(query)))
    assert text(parts) == shown if shown else "[zeppelin]" in text(parts)
    assert len("".join(part.text for part in parts)) <= snippets.SNIPPET + 4


def test_the_snippet_is_where_most_of_the_words_are() -> None:
    told = "valve " + "filler " * 60 + "the pump and the valve" + " filler" * 60
    assert "[pump] and the [valve]" in text(snippets.snippet(told, snippets.pattern(search.read("pump valve "))))


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.source)
def test_the_index_comes_back_whole_after_its_table_was_remade(session: ChatSession, index: wordsql.Index) -> None:
    assert words.missing() == []
    with connection.cursor() as cursor:
        for name in ("insert", "update", "delete"):
            cursor.execute(
                f"DROP TRIGGER {index.table}_{name}" + ("" if connection.vendor == "sqlite" else f" ON {index.source}")
            )
    if index is TURNS:
        said(session, 3, "A zeppelin.")
    else:
        attached(session, 3, "A zeppelin.")
    assert numbers(session, "zeppelin") == []
    assert words.missing()
    assert integrity.violations()[0].number == 11
    words.install()
    words.install()
    assert words.missing() == []
    assert numbers(session, "zeppelin") == [3]


@pytest.mark.parametrize("index", INDEXES, ids=lambda index: index.source)
def test_what_is_lost_from_the_index_is_seen_and_mended(session: ChatSession, index: wordsql.Index) -> None:
    said(session, 3, "A zeppelin.")
    attached(session, 3, "A contract.")
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"INSERT INTO {index.table}({index.table}) VALUES ('delete-all')")
        else:
            cursor.execute(f"DELETE FROM {index.table}")
    assert [(one.number, one.session) for one in integrity.violations([session.pk])] == [(11, str(session.pk))]
    assert mending.repair([session.pk]) == ["the index of words made again"]
    assert integrity.violations() == []
    assert numbers(session, "zeppelin") == [3]
