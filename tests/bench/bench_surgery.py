"""The administration at night: previews of 847 conversations at once, and its list over 100,000, on both databases.

`python -m tests.bench surgery`. The previews are of the engine itself, without a page; the list is the whole path of a
signed-in request without the network: middleware, view, queries, template.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

NIGHT, WINDOW = 847, 16_000
SESSIONS, USERS = 100_000, 2_000
ROUNDS = 7
ASKED = (("mode", {"mode": "ask"}), ("trim", {"turns": "5"}), ("compact", {}))
LISTS = {
    "newest first": "",
    "fullest first": "o=-3",
    "fullest first, page 1,000": "o=-3&p=1000",
    "emptiest first": "o=3",
    "by user": "o=2",
    "by turns": "o=-7",
    "over 80 %": "over=80",
    "over 80 %, fullest first": "over=80&o=-3",
    "no calls yet": "over=none",
    "stuck": "trouble=stuck",
    "of one user, fullest first": "q=user-77&o=-3",
    "marks of its own": "marks=own",
}


def parent() -> int:
    """Run the measurement once on each database."""
    from tests.bench.load import machine, site

    print(machine.describe())
    for kind in ("sqlite", "postgresql"):
        with site.database(kind) as env:
            environment = os.environ | {"DJANGO_SETTINGS_MODULE": "ctxsite.settings", "CHAT_LOG_LEVEL": "WARNING"} | env
            command = [sys.executable, "-m", "tests.bench.bench_surgery", kind]
            subprocess.run(command, env=environment, check=True)
    return 0


def child(kind: str) -> None:
    """Furnish the database, measure, print a line each."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", verbosity=0, skip_checks=True)
    people = get_user_model().objects
    people.bulk_create([people.model(username=f"user-{number}") for number in range(USERS)])
    _previews(kind, people.create_user("night"))
    _lists(kind, people.create_superuser("olga"))


def _previews(kind: str, owner: Any) -> None:
    from chat.management import nights
    from chat.surgery import batches

    ids = [one.session for one in nights.make(owner, NIGHT, WINDOW, lambda made: None)]
    _settle()
    for name, given in ASKED:
        shown = batches.preview(ids, name, given)
        spent = time.process_time()
        took = _median(lambda name=name, given=given: batches.preview(ids, name, given))
        print(
            f"preview of “{name}” for {NIGHT} sessions, {kind}: median {took:.2f} s,"
            f" {(time.process_time() - spent) / ROUNDS:.2f} s of processor time; {shown.count - shown.refused_count}"
            f" to do, {shown.total_before:,} tokens to {shown.total_low:,}-{shown.total_high:,}",
            flush=True,
        )


def _lists(kind: str, olga: Any) -> None:
    from django.contrib.auth import get_user_model
    from django.test import Client
    from django.utils import timezone

    from chat.models import ChatSession
    from chat.store import sessions
    from monitoring.models import SessionGauge

    users = list(get_user_model().objects.filter(username__startswith="user-"))
    like, now = sessions.create(users[0]), timezone.now()
    for start in range(0, SESSIONS, 5_000):
        made = [
            ChatSession(
                owner=users[at * 7 % USERS], instructions_id=like.instructions_id, model=like.model,
                turns_active=at % 90, updated_at=now - timedelta(seconds=at * 37 % 2_000_000),
            )
            for at in range(start, start + 5_000)
        ]  # fmt: skip
        ChatSession.objects.bulk_create(made)
        SessionGauge.objects.bulk_create(
            SessionGauge(
                session=one.pk, user=one.owner_id, model=one.model, state="calm", window=200_000,
                tokens=(start + at) * 31 % 210_000, utilisation=(start + at) * 31 % 210_000 / 200_000, at=now,
            )
            for at, one in enumerate(made)
            if at % 10
        )  # fmt: skip
    _settle()
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(olga, backend="django.contrib.auth.backends.ModelBackend")
    for name, query in LISTS.items():
        address = f"/admin/chat/chatsession/?{query}"
        assert client.get(address).status_code == 200, query
        took = _median(lambda address=address: client.get(address))
        print(f"list of {SESSIONS:,} sessions, {kind}, {name}: median {took * 1e3:.0f} ms", flush=True)


def _median(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _settle() -> None:
    """What a database that has been there for a while knows of its rows."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    sys.exit(parent() if len(sys.argv) == 1 else child(sys.argv[1]))
