"""Demo traffic is real traffic, and what was recorded of it equals the books of the stand-in that answered it."""

import asyncio
import csv
import re
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError
from django.test import Client
from django.utils import timezone
from tqdm import tqdm

from chat.management import demo
from chat.management.commands import demo_traffic
from chat.management.commands.demo_traffic import Findings
from chat.management.demo import MISHAPS, Scene, scenes
from monitoring import checking
from monitoring.models import ContextEvent, ModelCall

MODELS = ["claude-opus-4-6", "claude-sonnet-4-6"]
ASK = "About the harbour survey: we looked at it and wrote it down. The order number is A-{}. "
QUIET = tqdm(disable=True)


def scene(mishap: str, *, turns: int = 1, words: int = 2, **given: Any) -> Scene:
    prompts = tuple(ASK.format(number) * words for number in range(turns))
    values: dict[str, Any] = {"person": 0, "strategy": "summary", "model": MODELS[0], "instructions": "Be brief."}
    return Scene(**values | {"prompts": prompts, "mishap": mishap, "at": turns - 1, "again": False} | given)


PLAYED = [
    scene("nothing for a summary", turns=9, words=28, at=5, model=MODELS[1]),
    scene("overflow twice", turns=3, words=6),
    scene("refused", strategy="sliding_window"),
    scene("wrong", again=True),
    scene("broken at its start"),
    scene("broken in the middle", turns=2, at=0),
    scene("overloaded"),
]


@pytest.fixture
def played(
    transactional_db: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> tuple[demo.Traffic, dict[str, Any]]:
    """Traffic that has happened, and what there was before it."""
    # One after the other, so that each mishap happens to the one that it is meant for.
    monkeypatch.setattr(demo, "SIDE_BY_SIDE", 1)
    settings.CHAT_CONTEXT_WINDOW = 6_000
    settings.CHAT_TITLES = "model"
    given = {"before": checking.counted(), "start": timezone.now()}
    return asyncio.run(demo_traffic._run(PLAYED, [demo_traffic._person(0)], QUIET)), given


def verdict(found: Findings) -> str:
    told = StringIO()
    demo_traffic.Command(stdout=told).judge(found)
    return told.getvalue()


def added_up(client: Client, who: Any) -> dict[str, float]:
    """What the columns of the operator's tables come to."""
    client.force_login(who)
    told: dict[str, float] = {}
    for page in ("users.csv", "charts/compactions.csv", "charts/errors.csv"):
        for row in csv.DictReader(StringIO(client.get(f"/monitoring/{page}").content.decode())):
            for name, value in row.items():
                if re.fullmatch(r"\d+", value):
                    told[name] = told.get(name, 0) + int(value)
    return told


def test_every_number_is_equal_and_one_record_lost_or_doubled_is_found(
    played: tuple[demo.Traffic, dict[str, Any]], client: Client, olga: Any
) -> None:
    traffic, given = played
    found = Findings(traffic, **given)
    assert found.differences() == []
    assert verdict(found) == "Every number is equal.\n"
    # There was something to be wrong about.
    sums = checking.sums(found.own)
    assert {"reply ok", "reply context_overflow", "reply overloaded", "reply misconfigured", "summary ok"} <= set(sums)
    assert sums["cache_read"] > 0
    assert sums["cache_write"] > 0
    assert {"compaction", "rung", "gate_rejected (rejected)"} <= set(found._kinds())
    assert {"complete", "refused", "failed"} <= set(traffic.ends)

    on_pages = added_up(client, olga)
    assert on_pages["calls"] == sums["calls"]
    assert on_pages["input_tokens"] == sums["input"] + sums["cache_read"] + sums["cache_write"]
    assert [on_pages[f"{kind}_tokens"] for kind in ("cache_read", "cache_write", "output")] == [
        sums[kind] for kind in ("cache_read", "cache_write", "output")
    ]
    assert on_pages["compactions_n"] == found.said["compactions"]
    assert on_pages["context_overflow_n"] == sums["reply context_overflow"]
    assert on_pages["overloaded_n"] == sums["reply overloaded"]

    replies = ModelCall.objects.filter(purpose="reply", outcome="ok").order_by("input")
    lost, doubled = replies[0], replies.last()
    assert (lost.input, lost.output) != (doubled.input, doubled.output)
    lost.delete()
    doubled.pk, doubled.call = None, uuid4()
    doubled.save()
    wrong = Findings(traffic, **given)
    assert checking.sums(wrong.own)["calls"] == sums["calls"], "the number of calls alone would tell nothing"
    with pytest.raises(CommandError, match="2 numbers are not equal"):
        verdict(wrong)

    ContextEvent.objects.filter(kind="compaction")[0].delete()
    ContextEvent.objects.filter(kind="rung")[0].delete()
    assert [one for one in Findings(traffic, **given).differences() if "recorded events" in one] == [
        f"recorded events: {name} is {count - 1}, not {count}"
        for name, count in (("compactions", found.said["compactions"]), ("rungs", found._happened("rung")))
    ]


def test_the_same_seed_makes_the_same_scenes_and_few_make_every_mishap() -> None:
    few = scenes(len(MISHAPS), 7, MODELS)
    assert few == scenes(len(MISHAPS), 7, MODELS)
    assert few != scenes(len(MISHAPS), 8, MODELS)
    assert {one.mishap for one in few} == set(MISHAPS)
    many = scenes(200, 7, MODELS)
    sizes = [len(one.prompts) for one in many]
    assert min(sizes) <= 2
    assert max(sizes) >= 20
    assert {one.strategy for one in many} == {"summary", "sliding_window"}
    assert {one.model for one in many} == set(MODELS)


def test_demo_traffic_never_goes_to_the_real_service(settings: Any) -> None:
    settings.CHAT_STANDIN = False
    with pytest.raises(CommandError, match="stand-in only"):
        demo_traffic.Command().handle(sessions=1)
