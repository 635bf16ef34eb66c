"""A page of history in a conversation of 10,000 turns: the server's time for it, on both databases.

The whole path of a signed-in request without the network: middleware, view, queries, template. Replies carry their
stored HTML, as they do once they are finished.
"""

import os
import statistics
import subprocess
import sys
import time

TURNS = 10_000
ROUNDS = 40
EARLIER = 5_000


def parent() -> int:
    """Run the measurement once on each database."""
    from tests.bench.load import site

    for kind in ("sqlite", "postgresql"):
        with site.database(kind) as env:
            environment = os.environ | {"DJANGO_SETTINGS_MODULE": "ctxsite.settings", "CHAT_LOG_LEVEL": "WARNING"} | env
            command = [sys.executable, "-m", "tests.bench.bench_pages", kind]
            subprocess.run(command, env=environment, check=True)
    return 0


def child(kind: str) -> None:
    """Make the conversation, ask for its pages, print a line a page."""
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from chat.store import sessions
    from tests.bench.bench_loading import _conversation

    call_command("migrate", verbosity=0, skip_checks=True)
    owner = get_user_model().objects.create(username="bench")
    session = sessions.create(owner)
    _conversation(session, TURNS)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    pages = {
        "the newest turns, whole page": f"/c/{session.pk}/",
        "50 turns from the middle": f"/c/{session.pk}/earlier/?before={EARLIER}",
    }
    for name, path in pages.items():
        times = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            answer = client.get(path)
            times.append((time.perf_counter() - started) * 1e3)
        assert answer.status_code == 200, answer.status_code
        with CaptureQueriesContext(connection) as captured:
            client.get(path)
        print(
            f"history of {TURNS:,} turns, {kind}, {name}: median {statistics.median(times):.1f} ms, "
            f"p95 {sorted(times)[int(ROUNDS * 0.95)]:.1f} ms, {len(captured)} queries, "
            f"{len(answer.content) / 1000:.0f} kB",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(parent() if len(sys.argv) == 1 else child(sys.argv[1]))
