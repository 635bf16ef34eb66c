"""Database statements of a plain turn and of a token: every connection of the process is listened to.

The turn goes through the real socket application in this process: a message in, the end of the reply out, then its
mark as seen. BEGIN, COMMIT, savepoints and checkpoints are apart, and so is what the loops of a runner ask by the
clock. Tokens are compared by two lengths of reply.
"""

import asyncio
import collections
import json
import os
import re
import subprocess
import sys
import uuid
from typing import Any

TURNS = 12
SHORT, LONG = 50, 400
APART = re.compile(r"^\s*(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|PRAGMA|SET )", re.IGNORECASE)


def parent() -> int:
    """Run the measurement once on each database."""
    from tests.bench.load import site

    for kind in ("sqlite", "postgresql"):
        with site.database(kind) as env:
            place = site.furnish(env, "http://127.0.0.1:1", 2)
            person = place.people[0]
            environment = (
                os.environ
                | place.env
                | {"CHAT_LOG_LEVEL": "WARNING", "BENCH_COOKIE": person.cookie, "BENCH_SESSION": person.session}
            )
            command = [sys.executable, "-m", "tests.bench.bench_statements", kind, *sys.argv[1:]]
            subprocess.run(command, env=environment, check=True)
    return 0


class Listener:
    """Counts statements on every connection that the process opens."""

    def __init__(self) -> None:
        from django.db.backends.signals import connection_created

        self.heard: list[str] = []
        connection_created.connect(self._listen)

    def _listen(self, connection: Any, **_: Any) -> None:
        if self not in connection.execute_wrappers:
            connection.execute_wrappers.append(self)

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not APART.match(sql):
            self.heard.append(" ".join(sql.split()))
        return execute(sql, params, many, context)


async def talk(kind: str, listener: Listener) -> None:
    """A conversation of turns, alternately short and long; prints the figures."""
    from channels.testing import WebsocketCommunicator
    from django.conf import settings

    from chat import service
    from chat.providers.scripted import ScriptedProvider
    from ctxsite.protocols import application

    provider = ScriptedProvider()
    await service.start(provider=provider, sweep=False)
    session = os.environ["BENCH_SESSION"]
    headers = [
        (b"cookie", os.environ["BENCH_COOKIE"].encode()),
        (b"origin", settings.CHAT_ORIGINS[-1].encode()),
        (b"host", b"127.0.0.1"),
    ]
    socket = WebsocketCommunicator(application, f"/ws/c/{session}/", headers=headers)
    assert (await socket.connect())[0]
    await socket.send_to(text_data=json.dumps({"v": 1, "type": "hello", "session": session}))
    counts: dict[int, list[int]] = {SHORT: [], LONG: []}
    sample: list[str] = []
    for number in range(TURNS):
        length = (SHORT, LONG)[number % 2]
        provider.default = ["word "] * length
        await asyncio.sleep(0.3)
        before = len(listener.heard)
        body = {"v": 1, "type": "send", "client_id": str(uuid.uuid4()), "text": "What became of the pump?"}
        await socket.send_to(text_data=json.dumps(body))
        while json.loads(await socket.receive_from(30))["type"] != "done":
            pass
        await asyncio.sleep(0.15)
        told = listener.heard[before:]
        counts[length].append(len(told))
        if length == SHORT and (not sample or len(told) < len(sample)):
            sample = told
    await socket.disconnect()
    await service.drain()
    await service.stop()
    # The least: what a clock asked in between is no part of the turn.
    short, long = min(counts[SHORT][1:]), min(counts[LONG][1:])
    print(
        f"statements {kind}: a plain turn {short} (runs {counts[SHORT]}), a token {(long - short) / (LONG - SHORT):.3f}"
    )
    if "-v" in sys.argv:
        for statement, times in collections.Counter(sample).most_common():
            print(f"   {times} x {statement[:170]}")


def child(kind: str) -> None:
    """Count, in a process with the site's settings."""
    import django

    django.setup()
    listener = Listener()
    asyncio.run(talk(kind, listener))


if __name__ == "__main__":
    sys.exit(parent() if len(sys.argv) == 1 or sys.argv[1] == "-v" else child(sys.argv[1]))
