"""What is asked again and again finds its few rows by an index, however many turns and jobs there ever were."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from chat.context.exact import Exact
from chat.models import Job, Turn
from chat.store import branches, facts, leases, loading
from tests.store.building import conversation

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite]

FEW = ("chat_turn_live", "chat_job_due", "one_live_turn", "one_open_job_a_session")
ASKED: dict[str, Callable[[], Any]] = {
    "claim a turn": lambda: leases.claim_turns("me", 10),
    "claim a job": lambda: leases.claim_job("me", ["compact"], 10),
    "reap turns": leases.reap_turns,
    "reap jobs": leases.reap_jobs,
    "what is live": lambda: list(Turn.objects.live().values_list("pk")),
    "what is open": lambda: list(Job.objects.open().values_list("pk")),
}


def plans(work: Callable[[], Any]) -> list[str]:
    """How SQLite finds the rows of every statement of `work`."""
    asked: list[tuple[str, Any]] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        work()
    found = []
    for sql, params in asked:
        if sql.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
                found += [row[3] for row in cursor.fetchall()]
    return found


@pytest.mark.parametrize("name", ASKED)
def test_no_table_is_read_from_end_to_end(name: str) -> None:
    found = plans(ASKED[name])
    assert found
    # To scan a partial index is to read the few rows that it holds; any other scan is of all there ever was.
    assert not [plan for plan in found if plan.startswith("SCAN") and plan.split()[-1] not in FEW]


def test_of_many_facts_only_those_are_read_that_a_request_tells_or_a_turn_repeats(alice: Any) -> None:
    session = conversation(alice, 2)
    live = branches.new_turn(session, prompt="And?", client_id=uuid.uuid4(), tokens=3)
    loaded = plans(lambda: loading.load(live.pk, lambda plan: loading.LoadLimits(turns=9, tokens=9_000)))
    assert [plan for plan in loaded if "chat_fact_told" in plan]
    one = Exact(kind="number", value="A-7731", quote="My order is A-7731.", start=12)
    kept = plans(lambda: facts.keep(live, [one], since=1))
    assert [plan for plan in kept if "chat_fact_value (session_id=? AND <expr>=?)" in plan]
