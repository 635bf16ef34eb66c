"""What this process has recorded since it started, for Prometheus: counters and histograms in memory.

Every process counts for itself, so a sum over all of them is the truth (docs/monitoring.md says why). Nothing is
counted that was rolled back: `heard` is told after the commit. A label has a few values that are codes of ours or names
of models, never a user, a session or a word of anybody; beyond its bound a further value is "other".
"""

from collections.abc import Mapping
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

OTHER = "other"
MOST_MODELS = 20
MOST_CODES = 40
TOKENS = ("input", "cache_read", "cache_write", "output")
SIDES = ("before", "after")

# The moment at which a series began is of no use to anybody here, and doubles the page.
prometheus_client.disable_created_metrics()


class Few:
    """The values of one label: the first `most` that come, then "other". An empty one is "none"."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if not value:
            return "none"
        if value not in self._known:
            # Two threads may pass at once: one value more than the bound.
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        self._model = Few(MOST_MODELS)
        self._outcome, self._stop, self._cause = Few(MOST_CODES), Few(MOST_CODES), Few(MOST_CODES)
        self._ended, self._code = Few(MOST_CODES), Few(MOST_CODES)
        self.calls = self._counter("chat_calls", "Calls to a model.", "purpose", "model", "outcome")
        self.tokens = self._counter("chat_tokens", "Tokens as the API counted them.", "purpose", "model", "kind")
        self.cost = self._counter("chat_cost_dollars", "US dollars at list price.", "purpose", "model")
        self.unpriced = self._counter("chat_unpriced_calls", "Calls of which nobody knows the price.", "model")
        self.stops = self._counter("chat_replies", "Replies by the reason for which they ended.", "stop_reason")
        self.misses = self._counter("chat_cache_misses", "Replies that read less from the cache, by cause.", "cause")
        self.events = self._counter(
            "chat_context_events", "What was done to contexts, or tried.", "kind", "outcome", "code"
        )
        self.compacted = self._counter("chat_compacted_tokens", "Tokens of what was compacted.", "side")
        self.first = self._histogram(
            "chat_first_token_seconds", "From sending a request to the first text.", FIRST_S, "model"
        )
        self.took = self._histogram("chat_call_seconds", "How long a call took.", CALL_S, "purpose")
        self.utilisation = self._histogram("chat_reply_utilisation_ratio", "Context length / window.", SHARES)
        self.misjudged = self._histogram(
            "chat_estimate_error_ratio", "How far our estimate of the input was off, as a share of it.", ERRORS
        )
        self.compaction = self._histogram("chat_compaction_seconds", "How long a compaction took.", COMPACTION_S)

    def heard(self, event: str, fields: Mapping[str, Any]) -> None:
        """A call or an event was recorded: the log line's name and its fields."""
        if event == "model_call":
            self._call(fields)
        elif event == "context_event":
            self._event(fields)

    def _call(self, fields: Mapping[str, Any]) -> None:
        purpose, model = fields["purpose"], self._model(fields["model"])
        self.calls.labels(purpose, model, self._outcome(fields["outcome"])).inc()
        for kind in TOKENS:
            self.tokens.labels(purpose, model, kind).inc(fields[kind])
        if fields["cost"] is None:
            self.unpriced.labels(model).inc()
        else:
            self.cost.labels(purpose, model).inc(fields["cost"])
        if fields["total_ms"] is not None:
            self.took.labels(purpose).observe(fields["total_ms"] / 1000)
        if purpose == "reply":
            self._reply(fields, model)

    def _reply(self, fields: Mapping[str, Any], model: str) -> None:
        size = fields["input"] + fields["cache_read"] + fields["cache_write"]
        if fields["stop_reason"]:
            self.stops.labels(self._stop(fields["stop_reason"])).inc()
        if fields["miss_cause"]:
            self.misses.labels(self._cause(fields["miss_cause"])).inc()
        if fields["first_ms"] is not None:
            self.first.labels(model).observe(fields["first_ms"] / 1000)
        if fields["utilisation"] is not None and size:
            self.utilisation.observe(fields["utilisation"])
        if fields["estimate"] and size:
            self.misjudged.observe(abs(fields["estimate"] - size) / size)

    def _event(self, fields: Mapping[str, Any]) -> None:
        kind, outcome = fields["kind"], fields["outcome"]
        self.events.labels(kind, self._ended(outcome), self._code(fields["code"])).inc()
        if kind == "compaction" and outcome == "ok":
            for side in SIDES:
                self.compacted.labels(side).inc(fields[f"tokens_{side}"])
            if fields["seconds"] is not None:
                self.compaction.observe(fields["seconds"])

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)


FIRST_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
CALL_S = (0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
COMPACTION_S = (0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
ERRORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)

metrics = Metrics()
