"""The operator's pages over ten million recorded calls: the server's time for each, and what the rollups cost.

`python -m tests.bench monitoring`, or `python -m tests.bench.bench_monitoring [CALLS]` for PostgreSQL alone. Calls of
30 days: 200 sessions at a time, 50 calls each, 2,000 users, 3 models, also summaries and titles; one event in 20. The
whole path of a signed-in request without the network: middleware, view, queries, template.
"""

import os
import resource
import subprocess
import sys
import time
from datetime import timedelta
from typing import Any
from unittest import mock

from tests.bench.load import machine

CALLS = {"postgresql": 10_000_000, "sqlite": 200_000}
DAYS = 30
USERS = 2_000
AT_A_TIME, A_SESSION = 200, 50
ROUNDS = 20
FRESH = timedelta(minutes=5)
BATCH = 500_000

# One statement makes a batch: %(first)s to %(last)s of %(calls)s calls. What looks random is the hash of a number.
FILL = f"""
INSERT INTO monitoring_modelcall ("call", at, session, turn, number, "user", purpose, model, strategy, "window", input,
    cache_read, cache_write, output, components, estimate, compacts_at, reserve, first_ms, total_ms, ttl, system_digest,
    stop_reason, outcome, miss_cause, cost, saved, "left", spared)
SELECT md5('c' || i)::uuid, %(start)s + %(span)s * (i::float / %(calls)s), md5('s' || s)::uuid, i, 1 + n,
    1 + s %% {USERS},
    CASE WHEN h %% 100 < 8 THEN 'summary' WHEN h %% 100 < 15 THEN 'title' ELSE 'reply' END,
    (ARRAY['claude-opus-4-6', 'claude-sonnet-4-6', 'claude-haiku-4-5-20251001'])[1 + s %% 3],
    CASE WHEN s %% 10 = 0 THEN 'sliding_window' ELSE 'summary' END, 200000, 800 + h %% 3000,
    CASE WHEN miss THEN 0 ELSE 3000 * n + h %% 1000 END, CASE WHEN miss THEN 3000 * n + h %% 1000 ELSE 700 END,
    100 + h %% 900,
    ('{{"system": 3000, "history": ' || 3000 * n || ', "current": ' || h %% 3000 || '}}')::jsonb, 3000 * n + 3000,
    104000, 16000, 300 + h %% 1500, 2000 + h %% 20000, '5m', substr(md5('p' || s %% 7), 1, 16),
    'end_turn', CASE WHEN h %% 200 = 0 THEN 'overloaded' ELSE 'ok' END, CASE WHEN miss THEN 'ttl' ELSE '' END,
    (h %% 9000) / 1000000.0, (h %% 5000) / 1000000.0, 3000 * n, CASE WHEN n > 10 THEN 40000 ELSE 0 END
FROM (
    SELECT i, i / ({AT_A_TIME} * {A_SESSION}) * {AT_A_TIME} + i %% {AT_A_TIME} AS s,
        (i / {AT_A_TIME} %% {A_SESSION})::int AS n, h, h %% 17 = 0 AS miss
    FROM (SELECT i, abs(hashint8(i)::bigint) AS h FROM generate_series(%(first)s, %(last)s) i) numbered
) calls ORDER BY i
"""

EVENTS = """
INSERT INTO monitoring_contextevent (at, session, "user", kind, number, model, tokens_before, tokens_after, seconds,
    outcome, code)
SELECT at, session, "user", CASE WHEN id %% 400 = 0 THEN 'gate_rejected' WHEN id %% 1000 = 20 THEN 'rung'
    ELSE 'compaction' END, number, 'claude-haiku-4-5-20251001', 60000, 2000, 4.2,
    CASE WHEN id %% 400 = 0 THEN 'rejected' ELSE 'ok' END, 'summary'
FROM monitoring_modelcall WHERE id %% 20 = 0 ORDER BY id
"""

GAUGES = """
INSERT INTO monitoring_sessiongauge (session, "user", model, strategy, state, number, tokens, "window", utilisation,
    growth, turns_left, turns_to_compaction, base_tokens, base_number, base_growth, cached, ttl, system_digest,
    tools_digest, changed, at)
SELECT session, "user", model, strategy, 'calm', number, input + cache_read + cache_write, "window",
    (input + cache_read + cache_write) / 200000.0 + (id %% 50) / 100.0, 6000, 10, 4, 0, 0, 0, cache_read, '5m', '', '',
    '', at
FROM (SELECT DISTINCT ON (session) * FROM monitoring_modelcall ORDER BY session, at DESC) newest
"""


def parent(wanted: list[str]) -> int:
    """Run the measurement on each database, in a process of its own."""
    from tests.bench.load import site

    for kind, calls in {"postgresql": int(wanted[0])}.items() if wanted else CALLS.items():
        with site.database(kind) as env:
            environment = os.environ | {"DJANGO_SETTINGS_MODULE": "ctxsite.settings", "CHAT_LOG_LEVEL": "ERROR"} | env
            command = [sys.executable, "-m", "tests.bench.bench_monitoring", kind, str(calls), "fill", "roll", "pages"]
            subprocess.run(command, env=environment, check=True)
    return 0


def fill(calls: int, kind: str) -> None:
    """Migrate, and write the calls."""
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    call_command("migrate", verbosity=0, skip_checks=True)
    span = timedelta(days=DAYS)
    start = timezone.now() - span
    begun = time.monotonic()
    if kind == "sqlite":
        _by_rows(calls, start, span)
        print(f"{kind}: {calls:,} calls written in {time.monotonic() - begun:.0f} s", flush=True)
        return
    with connection.cursor() as cursor:
        # Indexes are made at the end, at once: ten million random keys one by one take ten times as long.
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'monitoring_modelcall'"
            " AND indexname NOT LIKE '%%_pkey'"
        )
        indexes = cursor.fetchall()
        cursor.execute("ALTER TABLE monitoring_modelcall DROP CONSTRAINT IF EXISTS monitoring_modelcall_call_key")
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX IF EXISTS "{name}"')
        for first in range(0, calls, BATCH):
            given = {
                "start": start,
                "span": span,
                "calls": calls,
                "first": first,
                "last": min(calls, first + BATCH) - 1,
            }
            cursor.execute(FILL, given)
        cursor.execute("SET maintenance_work_mem = '512MB'")
        for _, definition in indexes:
            cursor.execute(definition)
        cursor.execute(EVENTS, [])
        cursor.execute(GAUGES, [])
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT pg_database_size(current_database()) / 1000000")
        (size,) = cursor.fetchone()
    print(f"{kind}: {calls:,} calls written in {time.monotonic() - begun:.0f} s, {size:,} MB", flush=True)


def _by_rows(calls: int, start: Any, span: Any) -> None:
    """The same, by one door: what SQLite has no words for."""
    from uuid import UUID

    from monitoring.models import ContextEvent, ModelCall, SessionGauge

    def made() -> Any:
        for i in range(calls):
            s, n = i // (AT_A_TIME * A_SESSION) * AT_A_TIME + i % AT_A_TIME, i // AT_A_TIME % A_SESSION
            h = i * 2_654_435_761 % 2**31
            miss = h % 17 == 0
            yield ModelCall(
                call=UUID(int=i + 1), at=start + span * (i / calls), session=UUID(int=s + 1), turn=i, number=1 + n,
                user=1 + s % USERS, purpose="summary" if h % 100 < 8 else "title" if h % 100 < 15 else "reply",
                model=("claude-opus-4-6", "claude-sonnet-4-6", "claude-haiku-4-5-20251001")[s % 3],
                strategy="sliding_window" if s % 10 == 0 else "summary", window=200_000, input=800 + h % 3_000,
                cache_read=0 if miss else 3_000 * n + h % 1_000, cache_write=3_000 * n + h % 1_000 if miss else 700,
                output=100 + h % 900, components={"system": 3_000, "history": 3_000 * n, "current": h % 3_000},
                estimate=3_000 * n + 3_000, compacts_at=104_000, reserve=16_000, first_ms=300 + h % 1_500,
                total_ms=2_000 + h % 20_000, system_digest=f"{(s % 7 + 1) * 0x1F35_79BD_1357_9BDF % 16**16:016x}",
                stop_reason="end_turn", outcome="overloaded" if h % 200 == 0 else "ok",
                miss_cause="ttl" if miss else "", cost=h % 9_000 / 1e6, saved=h % 5_000 / 1e6, left=3_000 * n,
                spared=40_000 if n > 10 else 0,
            )  # fmt: skip

    ModelCall.objects.bulk_create(made(), batch_size=1_000)
    chosen = ModelCall.objects.filter(pk__gt=0)
    ContextEvent.objects.bulk_create(
        (
            ContextEvent(at=call.at, session=call.session, user=call.user, kind="compaction", number=call.number,
                         tokens_before=60_000, tokens_after=2_000, seconds=4.2, code="summary")
            for call in chosen.filter(pk__in=range(20, calls, 20)).iterator(2_000)
        ),
        batch_size=1_000,
    )  # fmt: skip
    SessionGauge.objects.bulk_create(
        (
            SessionGauge(session=call.session, user=call.user, model=call.model, strategy=call.strategy, state="calm",
                         number=call.number, tokens=call.size, window=call.window, utilisation=call.size / call.window,
                         growth=6_000, turns_left=10, turns_to_compaction=4, at=call.at)
            for call in chosen.filter(number=A_SESSION).iterator(2_000)
        ),
        batch_size=1_000,
        ignore_conflicts=True,
    )  # fmt: skip


def roll(calls: int, kind: str) -> None:
    """Roll everything up, and look how long a round without news takes."""
    from django.db import connection

    from monitoring import alerting, rolled, rollups
    from monitoring.models import Progress, Rollup

    begun, cpu = time.monotonic(), time.process_time()
    # As a site has it that is in use: the newest minutes are not rolled up yet.
    now = _newest() - FRESH
    while rollups.roll(now, seconds=60).more:
        done = Progress.objects.get(pk=rolled.ROLLUPS).hour_until
        print(f"{kind}: rolled up to {done:%d %b %H:%M}, {time.monotonic() - begun:.0f} s", flush=True)
    took = time.monotonic() - begun
    print(
        f"{kind}: rolled up in {took:.0f} s, {calls / took:,.0f} calls a second ({time.process_time() - cpu:.0f} s "
        f"of this process's processor time), {Rollup.objects.count():,} rows, at most "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB of memory; load {machine.load()}",
        flush=True,
    )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for table in ("rollup", "userday", "eventhour"):
                cursor.execute(f"VACUUM ANALYZE monitoring_{table}")
    for what, work in (("rollups", lambda: rollups.roll(now)), ("alerts", alerting.evaluate)):
        begun = time.monotonic()
        work()
        print(f"{kind}: a round of {what} without news: {(time.monotonic() - begun) * 1e3:.0f} ms", flush=True)


def pages(calls: int, kind: str) -> None:
    """Ask for every page ROUNDS times; a line a page."""
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.test import Client, override_settings

    from monitoring.models import SessionGauge

    # Whatever `collectstatic` may have left here is of another day.
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    override_settings(
        STORAGES=settings.STORAGES | {"staticfiles": plain},
        SERVESTATIC_USE_MANIFEST=False,
        SERVESTATIC_USE_FINDERS=True,
    ).enable()

    people = get_user_model().objects
    operator = people.filter(username="bench").first() or people.create_superuser("bench")
    client = Client(HTTP_HOST="127.0.0.1")
    client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    session = SessionGauge.objects.order_by("-at").values_list("session", flat=True).first()
    root = "/monitoring/"
    asked = {
        **{f"overview, {span}": f"{root}?span={span}" for span in ("1h", "24h", "7d", "30d")},
        "overview, 30d, one model": f"{root}?span=30d&model=claude-opus-4-6",
        "overview, 24h, one user": f"{root}?user=7",
        "overview, 30d, one user": f"{root}?span=30d&user=7",
        "sessions": f"{root}sessions/",
        "sessions, fullest": f"{root}sessions/?sort=fullest",
        "sessions that will be full soon": f"{root}sessions/?state=soon",
        "a session": f"{root}sessions/{session}/",
        "users, 24h": f"{root}users/",
        "users, 30d": f"{root}users/?span=30d",
        "a user": f"{root}users/7/",
        "alerts": f"{root}alerts/",
        "a rule, over 7 days": f"{root}alerts/rules/session-over-80/",
        "a rule, of errors": f"{root}alerts/rules/error-rate/",
    }
    worst = 0.0
    clock = mock.patch("django.utils.timezone.now", return_value=_newest())
    clock.start()
    for name, path in asked.items():
        times = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            answer = client.get(path)
            times.append(time.perf_counter() - begun)
            if answer.status_code != 200:
                raise SystemExit(f"{path}: {answer.status_code}")
        times.sort()
        p95 = times[-(-95 * ROUNDS // 100) - 1]
        worst = max(worst, p95)
        print(
            f"{kind} {calls:,}: {name}: p50 {times[ROUNDS // 2] * 1e3:.0f} ms, p95 {p95 * 1e3:.0f} ms,"
            f" {len(answer.content) / 1e3:.0f} KB",
            flush=True,
        )
    clock.stop()
    print(f"{kind} {calls:,}: the slowest page's p95 {worst * 1e3:.0f} ms; load {machine.load()}", flush=True)


def _newest() -> Any:
    """When the newest call was: the pages are asked at that moment."""
    from monitoring.models import ModelCall

    return ModelCall.objects.order_by("-at").values_list("at", flat=True).first()


def main() -> int:
    """The command. Returns the exit code."""
    if len(sys.argv) < 3:
        return parent(sys.argv[1:])
    import django

    django.setup()
    kind, calls, *steps = sys.argv[1:]
    for step in steps:
        {"fill": fill, "roll": roll, "pages": pages}[step](int(calls), kind)
    return 0


if __name__ == "__main__":
    sys.exit(main())
