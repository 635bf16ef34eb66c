"""What summaries kept: each exact value is looked for in the text, then among the facts, then nowhere."""

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from chat.models import ChatSession, Fact, Summary, Turn
from chat.store import keeping
from tests.store.building import compress, conversation, turn

pytestmark = pytest.mark.django_db

WORDS = "My order number is A-7731, my ticket is KX-2210-B, and mail goes to ann@example.org."


@pytest.fixture
def session(alice: Any) -> ChatSession:
    """Turns 1 to 8 stand in a summary that has the order, a fact has the ticket, and nothing has the address."""
    made = conversation(alice, 12, words=WORDS)
    compress(made, (1, 8))
    Summary.objects.filter(session=made).update(text="The order is A-7731.")
    Fact.objects.create(session=made, kind="id", value="KX-2210-B", quote="my ticket", turn=turn(made, 1))
    return made


def told(**options: Any) -> str:
    """What the command says."""
    out = io.StringIO()
    call_command("audit_summaries", stdout=out, **options)
    return out.getvalue()


def test_a_value_is_in_the_summary_else_among_the_facts_else_in_the_transcript_alone(session: ChatSession) -> None:
    [one] = keeping.audit(session.pk)
    assert (one.first, one.last, one.values, one.in_summary, one.in_facts, one.outside) == (1, 8, 3, 1, 1, 1)
    Fact.objects.update(forgotten_at="2026-01-01T00:00Z")
    assert next(keeping.audit()).outside == 2
    Turn.objects.filter(session=session, number__lte=8).update(excluded_by="user")
    [one] = keeping.audit(session.pk)
    assert (one.values, one.wrong) == (0, ("stale",))


def test_the_command_tells_numbers_and_codes_and_fails_for_what_no_summary_says(session: ChatSession) -> None:
    said = told(session=session.pk)
    assert "turns 1-8: 1 of 3 exact values only in the transcript" in said
    assert said.endswith("1 summary, 3 exact values: 1 in the summaries, 1 among the facts, 1 only in the transcript\n")
    assert not any(word in said for word in ("A-7731", "KX-2210", "example.org"))
    assert json.loads(told(report="json"))["summaries"][0]["outside"] == 1
    Summary.objects.update(text="<thinking>What was it?</thinking>")
    with pytest.raises(CommandError, match="1 summary wrong"):
        told()
