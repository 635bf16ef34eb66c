"""The addresses of the sockets."""

from django.urls import path

from chat.web.consumers import ChatConsumer

websocket_urlpatterns = [
    path("ws/c/<uuid:session_id>/", ChatConsumer.as_asgi()),
]
