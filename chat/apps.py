"""The chat's place in Django."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ChatConfig(AppConfig):
    name = "chat"
    label = "chat"

    def ready(self) -> None:
        from chat.models import guards, words

        post_migrate.connect(guards.install, sender=self)
        post_migrate.connect(words.install, sender=self)
