"""Rows of monitoring: no foreign key to the chat, no text of anybody's."""

from monitoring.models.alerts import Alert, AlertRule, Delivery, Measure, Severity
from monitoring.models.calls import CODE, ContextEvent, Kind, ModelCall, Purpose, SessionGauge
from monitoring.models.rollups import EventHour, Progress, Rollup, Size, UserDay

__all__ = [
    "CODE",
    "Alert",
    "AlertRule",
    "ContextEvent",
    "Delivery",
    "EventHour",
    "Kind",
    "Measure",
    "ModelCall",
    "Progress",
    "Purpose",
    "Rollup",
    "SessionGauge",
    "Severity",
    "Size",
    "UserDay",
]
