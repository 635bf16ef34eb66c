"""The demo conversation: made once, true to all rules, never forced on anybody."""

import re

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from chat.models import ChatSession, Fact, Notice, Summary
from chat.store import integrity


def demo(**options):
    call_command("demo_session", verbosity=0, **options)


def test_it_has_a_compressed_part_and_breaks_no_invariant(olga, client):
    demo(user="olga")
    session = ChatSession.objects.get()
    assert session.owner == olga
    assert (session.turns_active, session.window_from) == (12, 9)
    assert integrity.violations() == []
    notice = Notice.objects.get()
    assert (notice.kind, notice.first, notice.last) == ("compressed", 1, 8)
    assert notice.tokens_after < 0.7 * notice.tokens_before
    client.force_login(olga)
    page = client.get("/", follow=True).content.decode()
    assert "Earlier parts of this conversation were compressed for length" in page
    assert "<math" in page
    assert "figure" in page


def test_every_exact_value_of_the_compressed_part_is_kept(olga):
    demo(user="olga")
    text = Summary.objects.get().text
    told = Fact.objects.filter(turn__number__lte=8).values_list("value", flat=True)
    values = [value for value in told if re.fullmatch(r"[A-Z0-9]+(-[A-Z0-9]+)+|EUR .*|.*@.*", value)]
    assert len(values) >= 7
    lost = [value for value in values if value not in text]
    assert lost == []


def test_a_second_start_makes_no_second_one_nor_brings_a_deleted_one_back(olga):
    demo(user="olga")
    demo(user="olga")
    assert ChatSession.objects.count() == 1
    ChatSession.objects.update(deleted_at=timezone.now())
    demo(user="olga")
    assert ChatSession.objects.count() == 1


def test_without_a_name_it_goes_to_the_first_administrator(alice, olga):
    demo()
    assert ChatSession.objects.get().owner == olga


def test_an_unknown_name_is_an_error(olga):
    with pytest.raises(CommandError, match="no such user"):
        demo(user="nobody")
    assert not ChatSession.objects.exists()
