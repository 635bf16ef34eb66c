"""The chat's place in Django."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ChatConfig(AppConfig):
    name = "chat"
    label = "chat"

    def ready(self) -> None:
        from chat.models import guards, roles, words
        from chat.store import figures
        from monitoring import lookups, recording

        post_migrate.connect(guards.install, sender=self)
        post_migrate.connect(words.install, sender=self)
        post_migrate.connect(roles.install, sender=self)
        recording.register_source("jobs", figures.backlog)
        for lookup in (
            figures.standing,
            figures.summaries,
            figures.notices,
            figures.work,
            figures.person,
            figures.fate,
        ):
            lookups.register_lookup(lookup.__name__, lookup)
