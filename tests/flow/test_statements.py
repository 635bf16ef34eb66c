"""What a turn costs the database: a number of statements that doesn't grow with the words of the reply."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db.backends.utils import CursorWrapper

from chat.providers.scripted import ScriptedProvider
from chat.stream.protocol import Done
from tests.flow.conftest import Start

# Of the 18 that a turn may cost; two are the socket's: that the login holds, and that the reply was seen. BEGIN and
# COMMIT, and what a process does once a second, are nobody's.
MOST = 16
NOT_A_TURNS = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")
CHECKPOINT = re.compile(r"UPDATE chat_turn (t )?SET lease_until|.*chat_worker")


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What all threads executed since the last time it was asked."""
    seen: list[str] = []
    execute = CursorWrapper.execute

    def note(self: CursorWrapper, sql: str, params: Any = None) -> Any:
        seen.append(" ".join(sql.split()))
        return execute(self, sql, params)

    monkeypatch.setattr(CursorWrapper, "execute", note)

    def taken() -> list[str]:
        out = [sql for sql in seen if not sql.startswith(NOT_A_TURNS) and not CHECKPOINT.match(sql)]
        seen.clear()
        return out

    return taken


def is_end(frame: Any, turn: int) -> bool:
    return isinstance(frame, Done) and frame.turn == turn


@pytest.mark.parametrize("pieces", [2, 500])
async def test_a_plain_turn_costs_sixteen_statements_however_many_pieces_it_comes_in(
    start: Start, statements: Callable[[], list[str]], pieces: int
) -> None:
    chat = await start(ScriptedProvider(default=["more words "] * pieces), jobs=False)
    for _ in range(3):
        await chat.say("Please go on.")
    statements()
    # The runner's looks for waiting turns and for stops are not this turn's: the fewest of several is.
    counts = []
    for _ in range(5):
        opened = await chat.open("Please go on.")
        await chat.until(lambda turn=opened.turn_id: [one for one in chat.frames if is_end(one, turn)])
        counts.append(statements())
    least = min(counts, key=len)
    assert len(least) <= MOST, "\n".join(least)
