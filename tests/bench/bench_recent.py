"""The window cache between processes: hit rate, statements with and without, and that it is never stale.

One process talks, edits, compacts, excludes, pins and switches at random; another loads what the next request would
be made of, through Redis and past it, after every step. `python -m tests.bench.bench_recent [STEPS]`
"""

import dataclasses
import multiprocessing
import os
import random
import sys
import tempfile
import time
import uuid
from typing import Any

STEPS = 2_000
SESSIONS = 8
TURNS, TOKENS = 400, 100_000


def parent(steps: int) -> int:
    """Start Redis and both processes; the number of loads that were stale."""
    from tests import redis

    with tempfile.TemporaryDirectory() as scratch, redis.server() as server:
        os.environ |= {"CHAT_VAR_DIR": scratch, "DJANGO_SETTINGS_MODULE": "ctxsite.settings"}
        os.environ.pop("DATABASE_URL", None)
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        other = context.Process(target=change, args=(there, server.url()), daemon=True)
        other.start()
        there.close()  # so that its end is heard here
        stale = load(here, server.url(), steps)
        other.join(30)
    return stale


def change(pipe: Any, url: str) -> None:
    """Do one random thing to a random session whenever asked, as a runner, a compactor or a surgeon would."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    from chat.store.rediswindows import RedisRecent
    from tests.store.building import conversation

    call_command("migrate", verbosity=0, skip_checks=True)
    owner = get_user_model().objects.create(username="bench")
    made = [conversation(owner, 6) for _ in range(SESSIONS)]
    recent = RedisRecent(url)
    dice = random.Random(2026)
    while pipe.recv():
        session = dice.choice(made)
        kind = dice.choices(tuple(CHANGES), weights=(60, 6, 6, 4, 4, 4))[0]
        pipe.send((kind, CHANGES[kind](session, recent, dice)))


def end(session: Any, recent: Any) -> None:
    """Close the live turn, and keep the window for the next one."""
    from chat.models import Turn
    from chat.store import closing, leases, loading
    from tests.store.building import USAGE

    live = Turn.objects.live().filter(session=session).first()
    if live is None:
        return
    if live.status == Turn.Status.QUEUED:
        leases.claim_turns("bench", 60, SESSIONS)
        live.refresh_from_db()
    claim = leases.Claim(live.pk, session.pk, live.epoch, live.attempt, live.owner)
    loaded = loading.load(live.pk, limits, recent)
    outcome = closing.Outcome(
        status="complete", reply=f"Said {uuid.uuid4()}.", stop_reason="end_turn", usage=USAGE, reply_tokens=40
    )
    closed = closing.close_turn(claim, outcome)
    assert closed
    if not closed.trimmed and closed.context_version == loaded.context_version:
        following = loading.following(loaded, closed.row, outcome.steps, limits(None))
        if following:
            recent.put(*following)


def begin(session: Any) -> int:
    """A new message; its turn's id."""
    from django.db import transaction

    from chat.store import branches

    with transaction.atomic():
        row = branches.locked(session.pk)
        return branches.new_turn(row, prompt=f"And {uuid.uuid4()}?", client_id=uuid.uuid4(), tokens=9, owner="bench").pk


def talk(session: Any, recent: Any, dice: random.Random) -> int:
    """An answer, and the next message."""
    end(session, recent)
    return begin(session)


def edit(session: Any, recent: Any, dice: random.Random) -> int:
    """Another message in place of one of the last."""
    from tests.store.building import fork, reread

    end(session, recent)
    fork(session, max(1, reread(session).turns_active - dice.randrange(3)))
    return begin(session)


def switch(session: Any, recent: Any, dice: random.Random) -> int:
    """Back to another branch."""
    from chat.models import Turn
    from chat.store import branches

    end(session, recent)
    others = list(Turn.objects.filter(session=session, active=False).order_by("-pk").values_list("pk", flat=True)[:5])
    if others:
        branches.switch(session.pk, dice.choice(others))
    return begin(session)


def compact(session: Any, recent: Any, dice: random.Random) -> int:
    """A summary of what none covers yet, while a turn lives."""
    from chat.models import Turn
    from chat.store import summaries
    from tests.store.building import draft, reread

    row = reread(session)
    live = Turn.objects.live().filter(session=session).first()
    turn = live.pk if live else begin(session)
    last = row.turns_active - 4
    if last >= row.window_from:
        # After a switch of branches something may be covered there: then the commit is refused, as a compactor's is.
        made = draft(session, row.window_from, last)
        summaries.commit(session.pk, [made.pk], window_from=last + 1)
    return turn


def mark(session: Any, recent: Any, dice: random.Random, **values: Any) -> int:
    """Change how one finished turn is seen, as an operator does: the version goes up in the same transaction."""
    from django.db import transaction
    from django.db.models import F

    from chat.models import ChatSession, Turn

    end(session, recent)
    with transaction.atomic():
        path = Turn.objects.path(session.pk).filter(excluded_by="", pinned_since=None)
        number = dice.choice(list(path.values_list("number", flat=True)))
        path.filter(number=number).update(**values)
        ChatSession.objects.filter(pk=session.pk).update(
            context_version=F("context_version") + 1, marked=F("marked") + 1
        )
    return begin(session)


def exclude(session: Any, recent: Any, dice: random.Random) -> int:
    """Leave a turn out of the context."""
    return mark(session, recent, dice, excluded_by="operator")


def pin(session: Any, recent: Any, dice: random.Random) -> int:
    """Keep a turn in the context."""
    return mark(session, recent, dice, pinned_since=0)


CHANGES = {"talk": talk, "edit": edit, "switch": switch, "compact": compact, "exclude": exclude, "pin": pin}


def limits(plan: Any) -> Any:
    """What a load reads at most."""
    from chat.store.loading import LoadLimits

    return LoadLimits(turns=TURNS, tokens=TOKENS)


def load(pipe: Any, url: str, steps: int) -> int:
    """Ask for a change, then load with the cache and without, `steps` times; how often they differed."""
    import django

    django.setup()
    from django.db import connection, reset_queries
    from django.test.utils import CaptureQueriesContext

    from chat.store import loading
    from chat.store.rediswindows import RedisRecent

    recent = RedisRecent(url)
    stale, statements = 0, {True: [], False: []}
    after: dict[str, list[int]] = {}
    started = time.monotonic()
    for _ in range(steps):
        pipe.send(True)
        kind, turn_id = pipe.recv()
        hits = recent.hits
        reset_queries()
        with CaptureQueriesContext(connection) as cached:
            kept = loading.load(turn_id, limits, recent)
        hit = recent.hits > hits
        statements[hit].append(len(cached))
        after.setdefault(kind, []).append(hit)
        read = loading.load(turn_id, limits)
        stale += any(
            getattr(kept, field.name) != getattr(read, field.name)
            for field in dataclasses.fields(kept)
            if field.name != "window"
        )
    pipe.send(False)
    rates = ", ".join(f"{kind} {sum(found) / len(found):.0%} of {len(found):,}" for kind, found in after.items())
    print(f"window cache: {steps:,} interleavings in {time.monotonic() - started:.0f} s, {stale} stale")
    print(f"window cache: hit after {rates}")
    for hit, counts in statements.items():
        if counts:
            name = "hit" if hit else "miss"
            print(f"window cache: statements of a load at a {name}: {min(counts)} to {max(counts)}", flush=True)
    return stale


if __name__ == "__main__":
    sys.exit(bool(parent(int(sys.argv[1]) if len(sys.argv) > 1 else STEPS)))
