"""The drill itself, small: clean where the site is, and not where something of it is broken on purpose."""

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from chat.management import drilling
from chat.models import ChatSession, Notice
from chat.store import coverage


@pytest.fixture(autouse=True)
def brisk(transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams as long as twelve others take."""
    settings.CHAT_SWEEP_S = 3600.0
    monkeypatch.setattr(drilling, "STREAMS", 4)
    monkeypatch.setattr(drilling, "SOCKETS", 8)


def drill(count: int) -> dict[str, Any]:
    out = StringIO()
    call_command("drill", sessions=count, report="json", stdout=out)
    return json.loads(out.getvalue())


def test_a_drill_of_twelve_loses_nothing_and_leaves_nothing() -> None:
    found = drill(12)
    assert found["good"]
    assert (found["answered"], found["known"], found["errors"], found["violations"]) == (12, 12, {}, 0)
    assert (found["sockets"], found["streams"], found["streams_broken"]) == (8, 4, 0)
    assert found["beside_streams"] > 0
    assert found["fullest_before"] > 1 > 0.7 > found["fullest_after"]
    assert found["notices"] >= 12
    assert not ChatSession.objects.exists()
    assert not get_user_model().objects.exists()


def test_a_drill_without_notices_is_not_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    say = coverage.say

    def silent(session: Any, kind: str, *args: Any, **values: Any) -> Notice | None:
        return None if kind == Notice.Kind.COMPRESSED else say(session, kind, *args, **values)

    monkeypatch.setattr(coverage, "say", silent)
    with pytest.raises(CommandError, match="not clean"):
        drill(1)


def test_a_drill_in_which_the_model_refused_a_request_is_not_clean_though_all_were_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, out = drilling.Drill.run, StringIO()

    async def refused(self: drilling.Drill) -> None:
        assert self.site.standin
        self.site.standin.faults.add("overflow", purpose="reply")
        await run(self)

    monkeypatch.setattr(drilling.Drill, "run", refused)
    with pytest.raises(CommandError, match="not clean"):
        call_command("drill", sessions=2, report="json", stdout=out)
    found = json.loads(out.getvalue())
    assert (found["upstream_400s"], found["answered"], found["known"], found["errors"]) == (1, 2, 2, {})
    assert not found["good"]
