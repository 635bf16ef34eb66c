"""Monitoring as an application: it installs nothing and starts nothing."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MonitoringConfig(AppConfig):
    """What happened, in numbers."""

    name = "monitoring"
    verbose_name = _("Monitoring")
