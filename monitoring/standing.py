"""How things stand at the moment of a scrape: what the process itself knows, and a few numbers by index.

The numbers of the database are the same whichever process is asked (take the largest, not the sum). They are read
once in HOLD_S seconds, however many scrape, from rows that are few: sessions with a recent call, unresolved alerts.
No call is ever counted here.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import structlog
from django.db import Error, InterfaceError
from django.db.models import Avg, Count, Q
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitoring import recording, series
from monitoring.models import Alert, SessionGauge

log = structlog.get_logger(__name__)

ACTIVE = timedelta(minutes=15)
HOLD_S = 5.0
LEVELS = (0.0, series.WATCH, series.ALERT)
_UNFIT = re.compile(r"[^a-z0-9_]")


def read() -> dict[str, Any]:
    """Sessions with a call in the last 15 minutes by utilisation, their mean, and what alerts stand. Two queries."""
    found = SessionGauge.objects.filter(at__gte=timezone.now() - ACTIVE).aggregate(
        mean=Avg("utilisation"),
        **{f"over_{place}": Count("pk", filter=Q(utilisation__gte=level)) for place, level in enumerate(LEVELS)},
    )
    standing = Alert.objects.filter(resolved_at__isnull=True).values_list("severity", "state").annotate(Count("pk"))
    return {
        "levels": {f"{level:g}": found[f"over_{place}"] for place, level in enumerate(LEVELS)},
        "mean": found["mean"] or 0.0,
        "alerts": {(severity, state): count for severity, state, count in standing.order_by()},
    }


class Standing(Collector):
    """Answers a scrape. While the database is away the rest is answered all the same, and `chat_database_up` is 0."""

    def __init__(
        self, reading: Callable[[], dict[str, Any]] = read, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reading = reading
        self._clock = clock
        self._one = threading.Lock()
        self._held: dict[str, Any] | None = None
        self._until = 0.0

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked when the collector is registered."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Everything, one family a name."""
        held = self._numbers()
        yield GaugeMetricFamily("chat_database_up", "Whether the last reading of the database succeeded.", bool(held))
        if held:
            yield from _families(held)
        for source, numbers in recording.sources().items():
            for name, value in (numbers or {}).items():
                fit = _UNFIT.sub("_", f"chat_{source}_{name}".lower())
                # Prometheus spells units out.
                fit = re.sub(r"_s$", "_seconds", fit)
                yield GaugeMetricFamily(fit, f"{source}: {name}.".replace("_", " "), value)

    def _numbers(self) -> dict[str, Any] | None:
        with self._one:
            if self._clock() >= self._until:
                self._until = self._clock() + HOLD_S
                try:
                    self._held = self._reading()
                except (Error, InterfaceError) as error:
                    log.warning("gauges_not_read", error=type(error).__name__)
                    self._held = None
            return self._held


def _families(held: dict[str, Any]) -> Iterable[Metric]:
    sessions = GaugeMetricFamily(
        "chat_sessions_active", "Sessions with a call in 15 minutes, by least utilisation.", labels=["over"]
    )
    for level, count in held["levels"].items():
        sessions.add_metric([level], count)
    yield sessions
    yield GaugeMetricFamily(
        "chat_sessions_active_utilisation_ratio", "Mean context length / window of those sessions.", held["mean"]
    )
    alerts = GaugeMetricFamily("chat_alerts", "Alerts that are not resolved.", labels=["severity", "state"])
    for (severity, state), count in held["alerts"].items():
        alerts.add_metric([severity, state], count)
    yield alerts
