"""What is asked again and again finds its few rows by an index, however many turns and jobs there ever were."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from chat.models import Job, Turn
from chat.store import leases

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


@pytest.mark.parametrize("name", ASKED)
def test_no_table_is_read_from_end_to_end(name: str) -> None:
    asked: list[tuple[str, Any]] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        ASKED[name]()
    plans = []
    for sql, params in asked:
        if sql.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
                plans += [row[3] for row in cursor.fetchall()]
    assert plans
    # To scan a partial index is to read the few rows that it holds; any other scan is of all there ever was.
    assert not [plan for plan in plans if plan.startswith("SCAN") and plan.split()[-1] not in FEW]
