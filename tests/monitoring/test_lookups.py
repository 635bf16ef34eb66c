"""What only the chat knows of a session, as its pages show it: versions, notices, totals, the fate of a turn."""

import re
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chat.models import ChatSession, Job, Manifest, Turn
from monitoring import lookups
from tests.monitoring.test_views import text
from tests.web import conftest

pytestmark = pytest.mark.django_db

make_session, compressed = conftest.make_session, conftest.compressed


def test_a_session_shows_its_versions_notices_totals_and_what_became_of_a_turn(client, olga, compressed, tell):
    session = compressed
    first = Turn.objects.get(session=session, number=2)
    Manifest.objects.filter(turn__session=session).update(
        ranges=[[1, 4, "summarised", "S1", 30], [5, 6, "verbatim", "", 20]]
    )
    newest = Manifest.objects.get(turn__session=session)
    newest.pk = first.pk
    newest.ranges = [[1, 2, "verbatim", "", 20]]
    newest.save(force_insert=True)
    Job.objects.create(kind="compact", session=session)
    for number in (5, 6):
        tell(number, session=session.pk, user=session.owner_id, input=160_000, at=timezone.now())
    client.force_login(olga)
    words = text(client.get(reverse("monitoring:session", args=[session.pk]), {"turn": "2"}))
    assert re.search(r"S\d+ v1 1 to 4 ✓ active 80 30", words)
    assert "compressed 1 to 4 8.0 k → 300" in words
    assert "Turns compressed 4 of 6" in words
    assert "Turns 6 of 6 ever Messages 12 " in words
    assert "Turn 2 was word for word up to turn 2; since turn 6 it is summarised by S1: it was compressed" in words
    overview = text(client.get(reverse("monitoring:sessions"), {"state": "failing"}))
    assert "strategy failing: it grows faster than it is compressed" in overview
    assert "queued for" in overview
    theirs = text(client.get(reverse("monitoring:user", args=[session.owner_id])))
    assert "Conversations 1 Turns 6 of 6 ever Messages 12 Turns compressed 4 of 6 Compactions 1 + 0 trims" in theirs
    assert lookups.rows("person", 10**9) == []
    assert lookups.rows("work", ChatSession(pk="00000000-0000-4000-8000-000000000000").pk) == []


def test_no_word_of_anybody_passes_and_a_lookup_that_fails_costs_no_page(monkeypatch):
    monkeypatch.setattr(lookups, "_lookups", {})
    assert lookups.rows("nobody") == []
    lookups.register_lookup("said", lambda: [{"state": "my secret words", "n": 3, "code": "left_out", "x": object()}])
    assert lookups.rows("said") == [{"state": "other", "n": 3, "code": "left_out", "x": "other"}]
    lookups.register_lookup("broken", lambda: 1 / 0)
    assert lookups.rows("broken") == []
    assert lookups.by_key("broken") == {}


def test_a_page_costs_the_same_statements_however_much_there_is(client, olga, tell, happen):
    client.force_login(olga)
    pages = [reverse(f"monitoring:{name}") for name in ("index", "sessions", "users")]
    pages.append(reverse("monitoring:user", args=[7]))

    def statements() -> list[int]:
        counts = []
        for page in pages:
            with CaptureQueriesContext(connection) as captured:
                assert client.get(page, {"span": "30d"}).status_code == 200
            counts.append(len(captured))
        return counts

    for _ in range(2):
        tell(1, session=uuid.uuid4(), input=170_000)
    happen(1)
    few = statements()
    for number in range(12):
        tell(number + 2, session=uuid.uuid4(), input=170_000, user=number % 3 + 7)
        happen(number)
    assert statements() == few
    assert max(few) <= 40, few
