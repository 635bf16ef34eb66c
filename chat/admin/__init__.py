"""The administration of conversations: numbers first, words only with a reason. Registered when Django looks for it."""

from chat.admin import records, sessions, switching

__all__ = ["records", "sessions", "switching"]
