"""Monitoring as an application: it starts nothing, and counts what is recorded."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class MonitoringConfig(AppConfig):
    """What happened, in numbers."""

    name = "monitoring"
    verbose_name = _("Monitoring")

    def ready(self) -> None:
        from monitoring import alerting, metrics, recording

        post_migrate.connect(alerting.install, sender=self)
        recording.listen(metrics.metrics.heard)
