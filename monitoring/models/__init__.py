"""Rows of monitoring: no foreign key to the chat, no text of anybody's."""

from monitoring.models.alerts import Alert, AlertRule, Delivery, Measure, Severity
from monitoring.models.calls import CODE, ContextEvent, Kind, ModelCall, Purpose, SessionGauge
from monitoring.models.rollups import Progress, Rollup, Size

__all__ = [
    "CODE",
    "Alert",
    "AlertRule",
    "ContextEvent",
    "Delivery",
    "Kind",
    "Measure",
    "ModelCall",
    "Progress",
    "Purpose",
    "Rollup",
    "SessionGauge",
    "Severity",
    "Size",
]
