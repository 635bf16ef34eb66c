"""What compaction saved, checked by what would have been without it: the same conversation, once append-only."""

from decimal import Decimal
from typing import Any

from django.db.models import F, Sum
from django.utils import timezone

from chat.flow import compactor
from chat.store import sessions
from monitoring import people, pricing, reading
from monitoring.filters import SPANS, Filter
from monitoring.models import ModelCall
from tests.flow.conftest import Chat, Start

# The least cacheable prefix that the stand-in knows, so that nearly every call meets the cache.
MODEL = "claude-sonnet-4-6"
TURNS, COMPACTED = 24, (9, 17)
# Other words of the same size each time: the second one must not find the first one's cache.
WORDS = "About the {what} survey: on day {n} we looked at pier {n} and wrote down what we saw there. " * 14
# Of what was spared, before anything is taken off it: what the page has to go by are our own counts of turns and
# summaries, the stand-in counts by another rule; and the notes around a summary are in nobody's account.
TOLERANCE = Decimal("0.05")
ROUNDING = Decimal("0.00005")  # half a millionth for each call, twice


async def played(chat: Chat, what: str, *, compacted: bool) -> None:
    for number in range(1, TURNS + 1):
        turn = await chat.say(WORDS.format(what=what, n=number))
        assert turn.status == "complete"
        if compacted and number in COMPACTED:
            outcome = await compactor.compact(chat.session.pk, chat.service.engine, chat.service.hub, force=True)
            assert outcome.code == "committed"


def spent(chat: Chat) -> tuple[Decimal, int]:
    """US dollars of all calls of a session, and the tokens that its replies were sent."""
    rows = ModelCall.objects.filter(session=chat.session.pk)
    size = F("input") + F("cache_read") + F("cache_write")
    assert not rows.filter(cost=None).exists()
    return rows.aggregate(all=Sum("cost"))["all"], rows.filter(purpose="reply").aggregate(all=Sum(size))["all"]


async def test_what_the_pages_say_was_saved_is_what_the_same_conversation_cost_more_append_only(
    start: Start, olga: Any
) -> None:
    chat = await start(window=150_000, model=MODEL, jobs=False)
    await played(chat, "harbour", compacted=False)
    append_only, sent_whole = spent(chat)
    assert not ModelCall.objects.exclude(cut=None).exists(), "all had room"

    chat.session = sessions.create(olga, model=MODEL)
    chat.owner = olga
    chat.close()
    chat.attend()
    await played(chat, "station", compacted=True)
    actual, sent = spent(chat)

    found, totals = reading.spared(chat.session.pk), reading.totals(chat.session.pk)
    said, true = found.dollars - totals.summaries, append_only - actual
    broken = ModelCall.objects.filter(session=chat.session.pk, miss_cause="compaction")
    assert broken.count() == len(COMPACTED)
    assert found.rewritten == sum(broken.values_list("rewritten", flat=True)) > 0
    again = sum(pricing.of_rewritten(MODEL, call.rewritten, call.size, ttl=call.ttl) for call in broken)
    gross = found.dollars + again
    assert abs(said - true) <= TOLERANCE * gross, (said, true, gross)
    assert abs(found.tokens - (sent_whole - sent)) <= TOLERANCE * (sent_whole - sent), (found.tokens, sent_whole - sent)
    # So short a conversation is not worth it: without what is cached anew the page would say the opposite.
    assert true < 0 < gross - totals.summaries

    # The same on every page: rounded for each call here, added up before there.
    used = people.usage(Filter(SPANS["24h"], user=olga.pk), timezone.now())
    assert abs(used.spared - said) <= ROUNDING
