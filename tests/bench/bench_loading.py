"""Loading the context of a session: queries and microseconds by the length of the conversation, on both databases.

The rows are made here; the load is the real one. The window starts late, as after a compaction, so that what is
measured is O(window) against O(history).
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

LENGTHS = (100, 1_000, 10_000, 100_000)
WINDOW_TURNS = 20
FACTS_A_TURN = 4
ROUNDS = 400
WORDS = "The pump was checked again and the pressure held at nine bar for the whole evening. " * 4


def parent() -> int:
    """Run the measurement once on each database."""
    from tests import postgres

    with tempfile.TemporaryDirectory() as scratch:
        _child("sqlite", scratch, {})
    with tempfile.TemporaryDirectory() as scratch, postgres.server() as url:
        _child("postgresql", scratch, {"DATABASE_URL": url})
    return 0


def _child(name: str, scratch: str, extra: dict[str, str]) -> None:
    environment = os.environ | {"CHAT_VAR_DIR": scratch, "DJANGO_SETTINGS_MODULE": "ctxsite.settings"} | extra
    subprocess.run([sys.executable, "-m", "tests.bench.bench_loading", name], env=environment, check=True)


def child(name: str) -> None:
    """Make the conversations, then load each many times, in turns, and print a line a length."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from chat.store import loading, sessions

    call_command("migrate", verbosity=0, skip_checks=True)
    owner = get_user_model().objects.create(username="bench")
    turns = {length: _conversation(sessions.create(owner), length) for length in LENGTHS}
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    limits = loading.LoadLimits(turns=400, tokens=200_000)
    times: dict[int, list[float]] = {length: [] for length in LENGTHS}
    for _ in range(ROUNDS):
        for length, turn_id in turns.items():
            started = time.perf_counter()
            loading.load(turn_id, lambda plan: limits)
            times[length].append((time.perf_counter() - started) * 1e6)
    base = statistics.median(times[LENGTHS[0]])
    for length, turn_id in turns.items():
        with CaptureQueriesContext(connection) as captured:
            loaded = loading.load(turn_id, lambda plan: limits)
        median = statistics.median(times[length])
        print(
            f"load {name} {length:>7,} turns: {len(captured)} queries, {len(loaded.history.turns)} turns read, "
            f"median {median:,.0f} us, p95 {sorted(times[length])[int(ROUNDS * 0.95)]:,.0f} us, "
            f"{median / base:.2f} x of {LENGTHS[0]} turns",
            flush=True,
        )


def _conversation(session, length: int) -> int:
    """A conversation of finished turns, all but the newest covered by summaries, and one live turn; its id."""
    from django.utils import timezone

    from chat.models import ChatSession, Fact, Summary, Turn
    from chat.stream import rendering

    stored = rendering.render(WORDS)
    parent, upto = None, 0
    for start in range(1, length + 1, 2_000):
        batch = []
        for number in range(start, min(start + 2_000, length + 1)):
            upto += 160
            batch.append(
                Turn(
                    session=session,
                    number=number,
                    active=True,
                    client_id=uuid.uuid4(),
                    prompt=WORDS,
                    reply=WORDS,
                    reply_html=stored.html,
                    html_version=stored.version,
                    status=Turn.Status.COMPLETE,
                    stop_reason="end_turn",
                    usage={},
                    closed_at=timezone.now(),
                    prompt_tokens=80,
                    reply_tokens=80,
                    tokens_upto=upto,
                    digest="0" * 64,
                )
            )
        # Ids of a batch are known only after it is made; its turns hang below the last turn of the one before,
        # which no load looks at.
        for turn in batch:
            turn.parent_id = parent.pk if parent else None
        if parent is None:
            first = batch.pop(0)
            first.save()
            parent = first
            for turn in batch:
                turn.parent_id = first.pk
        made = Turn.objects.bulk_create(batch)
        Fact.objects.bulk_create(
            [
                Fact(session=session, kind="number", value=f"{turn.number}-{one}", quote=WORDS[:60], turn=turn)
                for turn in made
                for one in range(FACTS_A_TURN)
            ]
        )
        parent = made[-1] if made else parent
    last = max(1, length - WINDOW_TURNS)
    until = Turn.objects.get(session=session, number=last)
    Summary.objects.create(
        session=session, first=1, last=last, until=until, state=Summary.State.ACTIVE, text=WORDS, tokens=80,
        source_tokens=last * 160, source_hash="0" * 64, input_hash="0" * 64,
    )  # fmt: skip
    head = Turn.objects.get(session=session, number=length)
    live = Turn.objects.create(
        session=session, number=length + 1, parent=head, prompt=WORDS, prompt_tokens=80, tokens_upto=upto + 80
    )
    ChatSession.objects.filter(pk=session.pk).update(
        head=live, turns_active=length + 1, turns_total=length + 1, compactions=1, window_from=last + 1,
        context_version=1, prefix_version=1,
    )  # fmt: skip
    return live.pk


if __name__ == "__main__":
    sys.exit(parent() if len(sys.argv) == 1 else child(sys.argv[1]))
