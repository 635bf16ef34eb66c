"""OpenTelemetry: where spans and metrics go once MONITORING_OTEL says that somebody wants them.

Loaded then only (20 MB and a thread each for spans and metrics). The SDK and its exporters read their own variables:
OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, OTEL_METRIC_EXPORT_INTERVAL and so on. The metrics are those of the
conventions for generative AI, and nothing that /metrics does not have: the same numbers for a collector.
"""

from collections.abc import Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from monitoring import recording

# As the conventions ask for.
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
MS = 1_000


class Telemetry:
    """Spans by `provider`; metrics from what is recorded."""

    def __init__(self, processor: SpanProcessor, reader: MetricReader) -> None:
        # OTEL_SERVICE_NAME wins over this one.
        resource = Resource({"service.name": "chat"}).merge(Resource.create())
        if resource.attributes["service.name"] == "unknown_service":
            resource = resource.merge(Resource({"service.name": "chat"}))
        self.provider = TracerProvider(resource=resource)
        self.provider.add_span_processor(processor)
        self.meters = MeterProvider(
            metric_readers=[reader],
            resource=resource,
            views=[
                View(instrument_name=name, aggregation=ExplicitBucketHistogramAggregation(SECONDS)) for name in TIMES
            ],
        )
        meter = self.meters.get_meter("chat")
        self._duration, self._first = (meter.create_histogram(name, "s", text) for name, text in TIMES.items())
        self._tokens = {
            kind: meter.create_counter(f"gen_ai.client.inference.usage.{kind}", "{token}", text)
            for kind, text in USAGE.items()
        }

    def heard(self, event: str, fields: Mapping[str, Any]) -> None:
        """A call was recorded."""
        if event != "model_call":
            return
        about = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "anthropic",
            "gen_ai.request.model": fields["model"],
            "chat.purpose": fields["purpose"],
        }
        failed = {} if fields["outcome"] == "ok" else {"error.type": fields["outcome"]}
        if fields["total_ms"] is not None:
            self._duration.record(fields["total_ms"] / MS, about | failed)
        if fields["first_ms"] is not None:
            self._first.record(fields["first_ms"] / MS, about)
        used = {
            "input_tokens": fields["input"] + fields["cache_read"] + fields["cache_write"],
            "output_tokens": fields["output"],
            "cache_read.input_tokens": fields["cache_read"],
            "cache_write.input_tokens": fields["cache_write"],
        }
        for kind, tokens in used.items():
            self._tokens[kind].add(tokens, about | {"gen_ai.token.modality": "text"})

    def stop(self) -> None:
        """Send what is left; nothing comes afterwards."""
        self.provider.shutdown()
        self.meters.shutdown()


TIMES = {
    "gen_ai.client.inference.duration": "How long a call took.",
    "gen_ai.client.inference.time_to_first_chunk": "From sending a request to the first text.",
}
USAGE = {
    "input_tokens": "Input tokens, cached ones included.",
    "output_tokens": "Output tokens.",
    "cache_read.input_tokens": "Input tokens that the cache gave.",
    "cache_write.input_tokens": "Input tokens that were written to the cache.",
}

_started: list[Telemetry] = []


def start() -> TracerProvider:
    """Begin to send; where the spans of this process go. Once a process: again it is the same."""
    if not _started:
        telemetry = Telemetry(
            BatchSpanProcessor(OTLPSpanExporter()), PeriodicExportingMetricReader(OTLPMetricExporter())
        )
        recording.listen(telemetry.heard)
        _started.append(telemetry)
    return _started[0].provider
