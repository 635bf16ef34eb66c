"""How hypothesis runs here: never against the clock, since two cores are shared by whatever runs beside it."""

from hypothesis import HealthCheck, settings

settings.register_profile("context", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("context")
