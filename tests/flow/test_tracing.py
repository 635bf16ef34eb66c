"""Spans and metrics by OpenTelemetry: a real turn, its calls and its attempts, without a word of anybody."""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from chat.flow.tracing import tracing
from monitoring import recording
from monitoring.telemetry import Telemetry
from tests.flow.conftest import Start, eventually
from tests.flow.test_compaction import words

CANARY = "Quetzalcoatlus"


class Heard:
    """What arrived at a collector."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.telemetry = Telemetry(SimpleSpanProcessor(self.exporter), self.reader)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [one for one in self.exporter.get_finished_spans() if one.name.startswith(name)]

    def points(self) -> dict[str, list[Any]]:
        told = self.reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for resource in told.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def heard() -> Iterator[Heard]:
    one = Heard()
    tracing.use(one.telemetry.provider)
    recording.listen(one.telemetry.heard)
    yield one
    tracing.use(None)
    recording._listeners.remove(one.telemetry.heard)
    one.telemetry.stop()


async def test_a_turn_is_a_span_with_a_child_for_each_attempt_of_its_call(start: Start, heard: Heard) -> None:
    chat = await start(window=8_000)
    chat.standin.faults.add("status", status=529, purpose="reply", message=CANARY)
    turn = await chat.say(f"Where is {CANARY}?")
    # Its end is told to the page before its task has ended.
    [whole] = await eventually(lambda: heard.spans("chat.turn"))
    failed, good = heard.spans("chat claude")
    assert whole.attributes["chat.turn.status"] == "complete"
    assert whole.attributes["gen_ai.conversation.id"] == str(chat.session.pk)
    for call in (failed, good):
        assert call.parent.span_id == whole.context.span_id
        assert call.kind == SpanKind.CLIENT
        assert call.name == "chat claude-opus-4-6"
        assert call.attributes["gen_ai.operation.name"] == "chat"
        assert call.attributes["gen_ai.provider.name"] == "anthropic"
        assert call.attributes["gen_ai.request.model"] == "claude-opus-4-6"
        assert call.attributes["gen_ai.conversation.compacted"] is False
        assert call.start_time <= call.end_time
    assert (failed.attributes["error.type"], failed.status.status_code) == ("overloaded", StatusCode.ERROR)
    assert good.status.status_code == StatusCode.UNSET
    assert good.attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    assert good.attributes["gen_ai.response.id"].startswith("msg_")
    assert good.attributes["gen_ai.usage.output_tokens"] == turn.usage["output"]
    sent = sum(turn.usage[kind] for kind in ("input", "cache_read", "cache_write"))
    assert good.attributes["gen_ai.usage.input_tokens"] == sent
    assert good.attributes["gen_ai.response.time_to_first_chunk"] >= 0


async def test_what_is_measured_equals_the_answers_and_no_word_of_anybody_leaves(start: Start, heard: Heard) -> None:
    chat = await start(window=8_000, text=f"You are {CANARY}.", title=CANARY)
    for number in range(1, 8):
        await chat.say(f"{CANARY} {words(number)}")
        await chat.settled()
    chat.standin.faults.add("template", message=f"prompt: bad {CANARY}", purpose="reply")
    await chat.say(f"{CANARY}, once more.")
    points = heard.points()
    answered = [one for one in chat.standin.log if one.endpoint == "messages"]
    counted = {
        name: sum(point.value for point in points[f"gen_ai.client.inference.usage.{name}"])
        for name in ("output_tokens", "cache_read.input_tokens", "cache_write.input_tokens", "input_tokens")
    }
    told = {
        "output_tokens": sum(one.told.get("output_tokens", 0) for one in answered),
        "cache_read.input_tokens": sum(one.told.get("cache_read_input_tokens", 0) for one in answered),
        "cache_write.input_tokens": sum(one.told.get("cache_creation_input_tokens", 0) for one in answered),
    }
    assert counted == told | {"input_tokens": sum(one.tokens for one in answered if one.status == 200)}
    assert sum(point.count for point in points["gen_ai.client.inference.duration"]) == len(answered)
    calls = heard.spans("chat claude")
    assert len(calls) == len(answered)
    assert {call.attributes["chat.purpose"] for call in calls} == {"reply", "summary"}
    assert any(call.attributes["gen_ai.conversation.compacted"] for call in calls)
    [job] = {one.parent.span_id for one in calls if one.attributes["chat.purpose"] == "summary"} & {
        one.context.span_id for one in heard.spans("chat.job compact")
    } or [None]
    assert job, "a summary's call belongs to its job"
    everything = [one.to_json() for one in heard.exporter.get_finished_spans()]
    assert len(everything) > 10
    assert not [one for one in [*everything, str(points)] if CANARY.lower() in one.lower()]
