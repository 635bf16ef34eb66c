"""Statements that are put together once do what Django's own do."""

import uuid
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from chat.models import ChatSession, Manifest, Turn
from chat.store import branches, plain, statements
from chat.store.plain import NOW, Plus
from chat.store.sessions import create as new_session

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(alice):
    return new_session(alice)


def columns(model, pk):
    return model.objects.filter(pk=pk).values().get()


def test_an_update_is_the_one_that_django_makes(session):
    ours = {"title": "Pump", "open_tokens": Plus(7), "head_id": None, "seen": 3}
    assert plain.update(ChatSession, {"pk": session.pk}, ours) == 1
    row = columns(ChatSession, session.pk)
    assert (row["title"], row["open_tokens"], row["head_id"], row["seen"]) == ("Pump", 7, None, 3)


def test_the_clock_is_the_databases_and_written_as_django_writes_it(session):
    plain.update(ChatSession, {"pk": session.pk}, {"updated_at": NOW})
    written = columns(ChatSession, session.pk)["updated_at"]
    assert abs(written - timezone.now()) < timedelta(seconds=30)
    assert ChatSession.objects.filter(pk=session.pk, updated_at__lte=Now()).exists()


def test_every_condition_must_hold(session):
    assert plain.update(ChatSession, {"pk": session.pk, "title": "Other"}, {"seen": 3}) == 0
    assert plain.update(ChatSession, {"pk": uuid.uuid4()}, {"seen": 3}) == 0
    assert columns(ChatSession, session.pk)["seen"] == 0


def test_json_goes_through_its_field(session):
    turn = Turn(session=session, number=1, prompt="Hi", client_id=uuid.uuid4())
    plain.insert(turn)
    for usage in ({"input": 3, "words": "schön"}, None):
        plain.update(Turn, {"pk": turn.pk}, {"usage": usage})
        assert columns(Turn, turn.pk)["usage"] == usage
    assert Turn.objects.filter(pk=turn.pk, usage__isnull=True).exists()


def test_an_inserted_row_is_the_one_that_django_makes(session, alice):
    client, at = uuid.uuid4(), timezone.now()
    one = Turn(session=session, number=1, prompt="Hi", client_id=client, created_at=at)
    two = Turn(session=new_session(alice), number=1, prompt="Hi", client_id=client, created_at=at)
    plain.insert(one)
    two.save()
    apart = {"id", "session_id"}
    ours, theirs = columns(Turn, one.pk), columns(Turn, two.pk)
    assert {k: v for k, v in ours.items() if k not in apart} == {k: v for k, v in theirs.items() if k not in apart}
    one.prompt = "Hi again"
    one.save(update_fields=["prompt"])
    assert columns(Turn, one.pk)["prompt"] == "Hi again"


def test_a_row_whose_key_is_another_row_keeps_it(session):
    turn = Turn(session=session, number=1, prompt="Hi", client_id=uuid.uuid4())
    plain.insert(turn)
    manifest = Manifest(
        turn=turn, context_version=0, model="m", window=10, window_from=1, ranges=[[1, 1, "verbatim", "", 5]], parts=[],
        budget=[], rung="", estimated=5, measured=None, body_sha256="0" * 64,
    )  # fmt: skip
    plain.insert(manifest)
    assert columns(Manifest, turn.pk)["ranges"] == [[1, 1, "verbatim", "", 5]]


def test_what_the_database_refuses_is_an_error_of_djangos(session):
    client = uuid.uuid4()
    plain.insert(Turn(session=session, number=1, prompt="Hi", client_id=client))
    with pytest.raises(IntegrityError), transaction.atomic():
        plain.insert(Turn(session=session, number=2, prompt="Hi", client_id=client))
    with pytest.raises(IntegrityError), transaction.atomic():
        plain.update(ChatSession, {"pk": session.pk}, {"open_tokens": Plus(-1)})


def test_a_row_that_is_known_in_part_is_read_where_it_is_not(session, django_assert_num_queries):
    half = plain.known(ChatSession, {"seen": 5, "id": session.pk, "title": "As read"})
    with django_assert_num_queries(0):
        assert (half.pk, half.title, half.seen) == (session.pk, "As read", 5)
    with django_assert_num_queries(1):
        assert half.model == session.model


def test_changes_made_together_are_counted_one_by_one(session, alice):
    other = new_session(alice)
    done = plain.together(
        plain.updating(ChatSession, {"pk": session.pk}, {"seen": 4}),
        plain.updating(ChatSession, {"pk": other.pk, "title": "Not its own"}, {"seen": 5}),
        plain.updating(ChatSession, {"pk": other.pk, "seen": 0}, {"open_tokens": Plus(6)}),
    )
    assert done == [1, 0, 1]
    assert (columns(ChatSession, session.pk)["seen"], columns(ChatSession, other.pk)["seen"]) == (4, 0)
    assert columns(ChatSession, other.pk)["open_tokens"] == 6


def test_a_row_is_inserted_together_with_the_change_that_names_it(session):
    turn = Turn(session=session, number=1, prompt="Where is it?", client_id=uuid.uuid4())
    plain.insert(turn, ChatSession, {"pk": session.pk}, {"head_id": plain.MADE, "turns_total": Plus(1)})
    row = columns(ChatSession, session.pk)
    assert (row["head_id"], row["turns_total"]) == (turn.pk, 1)
    assert columns(Turn, turn.pk)["prompt"] == "Where is it?"


def test_a_row_that_is_found_is_the_one_that_django_finds(session):
    names = plain.attributes(ChatSession)
    key = ChatSession._meta.pk.get_db_prep_value(session.pk, connection)
    statement = f"SELECT {plain.columns(ChatSession, 's', names)} FROM {ChatSession._meta.db_table} s WHERE s.id = %s"
    found = plain.found(ChatSession, names, statements.rows(statement, [key])[0])
    django = ChatSession.objects.get(pk=session.pk)
    assert {name: getattr(found, name) for name in names} == {name: getattr(django, name) for name in names}


def test_a_column_added_by_a_newer_release_breaks_no_prepared_statement(session, alice):
    for _ in range(4):
        assert branches.locked_of(alice.pk, session.pk) == session
    connection.check_constraints()  # no table is altered while some are still to be checked
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {ChatSession._meta.db_table} ADD COLUMN later integer NULL")
    assert branches.locked_of(alice.pk, session.pk) == session
