"""The administration of conversations: numbers first, words only with a reason. Registered when Django looks for it."""

from django.contrib import admin

from chat.admin import records, sessions, switching

admin.site.site_header = "Chat administration"
admin.site.site_title = "Chat administration"
admin.site.index_title = "Conversations, surgery, audit"

__all__ = ["records", "sessions", "switching"]
