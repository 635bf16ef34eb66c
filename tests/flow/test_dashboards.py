"""The example dashboard and rules ask for what /metrics tells, by the labels that it has."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitoring import exposing, recording
from monitoring.metrics import metrics
from tests.flow.conftest import Start
from tests.law import ROOT

DASHBOARD = ROOT / "docs" / "grafana" / "chat.json"
RULES = ROOT / "docs" / "prometheus" / "chat.rules.yml"
EXPRESSION = re.compile(r"^ *expr: *(?:>-\n((?: {10,}.*\n)+)|(.+)\n)", re.MULTILINE)
RECORD = re.compile(r"record: (\S+)")
# Given by the language, and by whoever scrapes.
WORDS = {
    "absent", "and", "avg_over_time", "by", "histogram_quantile", "increase", "max", "min", "on", "rate", "sum",
}  # fmt: skip
SCRAPED = {"job", "instance", "le"}


def of_dashboard() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def of_rules() -> list[str]:
    return [" ".join((many or one).split()) for many, one in EXPRESSION.findall(RULES.read_text())]


def balanced(expression: str) -> bool:
    """Whether brackets close in their order, and quotes at all."""
    waiting = []
    bare = re.sub(r'"[^"]*"', "", expression)
    for letter in bare:
        if letter in "([{":
            waiting.append({"(": ")", "[": "]", "{": "}"}[letter])
        elif letter in ")]}" and (not waiting or waiting.pop() != letter):
            return False
    return not waiting and '"' not in bare


def asked(expression: str) -> tuple[set[str], set[tuple[str, str]]]:
    """The names of series in an expression, and each label that is asked of one, as (name, label)."""
    bare = re.sub(r"\[[^]]*]", "", re.sub(r'"[^"]*"', "", expression))
    pairs = {
        (name, label)
        for name, inside in re.findall(r"([a-z][a-z0-9_:]*)\{([^}]*)}", bare)
        for label in re.findall(r"([a-z_]+)\s*[=!]", inside)
    }
    names = set(re.findall(r"\b[a-z][a-z0-9_:]*\b", re.sub(r"\{[^}]*}|\bby \([^)]*\)|\bon \([^)]*\)", "", bare)))
    pairs |= {
        (name, label)
        for group, name in re.findall(r"by \(([^)]*)\) \((?:rate|increase)?\(?([a-z][a-z0-9_:]*)", bare)
        for label in re.split(r",\s*", group)
    }
    return names - WORDS, pairs


@pytest.mark.parametrize("file", [DASHBOARD, RULES], ids=lambda path: path.name)
async def test_what_is_asked_for_is_told(start: Start, file: Path) -> None:
    chat = await start()
    chat.standin.faults.add("overflow", purpose="reply")
    await chat.say("Hello. " * 40)
    recording.record_event(
        session=None, user=None, kind="compaction", number=None, model="", tokens_before=2, tokens_after=1,
        seconds=1.0, outcome="ok", code="summary",
    )  # fmt: skip
    metrics.heard("model_call", EXTRA)
    told: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposing.told()[0].decode()):
        for sample in family.samples:
            told.setdefault(sample.name, set()).update(sample.labels)
    told |= {name: {"job"} for name in RECORD.findall(RULES.read_text())}
    # Series that come with the first alert.
    told["chat_alerts"] = {"severity", "state"}
    expressions = of_dashboard() if file == DASHBOARD else of_rules()
    assert len(expressions) >= 15
    for expression in expressions:
        assert balanced(expression), expression
        names, pairs = asked(expression)
        assert names, expression
        assert names <= set(told), expression
        for name, label in pairs:
            assert label in told.get(name, set()) | SCRAPED, (expression, label)


EXTRA = {
    "purpose": "reply", "model": "unheard-of", "outcome": "ok", "input": 1, "cache_read": 1, "cache_write": 1,
    "output": 1, "cost": None, "total_ms": 5, "first_ms": 5, "stop_reason": "end_turn", "miss_cause": "expired",
    "utilisation": 0.1, "estimate": 3,
}  # fmt: skip


def test_every_rule_is_read_and_a_wrong_name_would_be_seen() -> None:
    assert len(of_rules()) == RULES.read_text().count("expr:")
    assert asked('sum by (job) (rate(chat_calls_total{outcome!="ok"}[5m])) > 0.1') == (
        {"chat_calls_total"},
        {("chat_calls_total", "outcome"), ("chat_calls_total", "job")},
    )
    assert not balanced("sum(rate(chat_calls_total[5m])")
    assert not balanced('chat_calls_total{outcome="ok}')
