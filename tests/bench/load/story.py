"""Fills a conversation to be looked at: `python -m tests.bench.load.story SESSION TURNS`, with the site's own settings.

Messages and replies of some hundred words with their stored HTML, as a chat leaves them; all but the newest turns are
covered by a summary. Every message holds a word that stands nowhere else: `mark(number)`.
"""

import sys

from tests.bench.load import author, words

REPLIES = 60
WINDOW_TURNS = 20
PROMPT_TOKENS, REPLY_TOKENS = 20, 160


def mark(number: int) -> str:
    """The word that stands in the message of this turn and nowhere else."""
    return words.mark("story", number)


def main(session_id: str, count: int) -> None:
    """Add `count` finished turns to an empty conversation."""
    import django

    django.setup()
    from django.utils import timezone

    from chat.models import ChatSession, Summary, Turn
    from chat.store.portable import inserting
    from chat.stream import rendering

    session = ChatSession.objects.get(pk=session_id)
    replies = [author.text(seed, 2 + seed % 4) for seed in range(REPLIES)]
    stored = [rendering.render(reply) for reply in replies]
    turns = [
        Turn(
            session=session, number=number, active=True, status=Turn.Status.COMPLETE, stop_reason="end_turn",
            prompt=f"Question {number}: what became of {mark(number)}?", reply=replies[number * 7 % REPLIES],
            reply_html=stored[number * 7 % REPLIES].html, html_version=stored[0].version, usage={},
            closed_at=timezone.now(), prompt_tokens=PROMPT_TOKENS, reply_tokens=REPLY_TOKENS,
            tokens_upto=number * (PROMPT_TOKENS + REPLY_TOKENS), digest="0" * 64,
        )
        for number in range(1, count + 1)
    ]  # fmt: skip
    parents = [None, *range(count - 1)]
    inserting.insert(turns, parents, [None] * count, f"{session_id}{count}")
    last = max(1, count - WINDOW_TURNS)
    Summary.objects.create(
        session=session, first=1, last=last, until=turns[last - 1], state=Summary.State.ACTIVE, text=replies[0],
        tokens=REPLY_TOKENS, source_tokens=last * (PROMPT_TOKENS + REPLY_TOKENS), source_hash="0" * 64,
        input_hash="0" * 64,
    )  # fmt: skip
    inserting.total(session, turns, turns[-1], window_from=last + 1, context_version=1, prefix_version=1, compactions=1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
