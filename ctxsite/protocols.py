"""Which room answers which protocol: pages, websockets, and a server's start and end (lifespan)."""

from typing import Any

import structlog
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

from chat import service
from chat.web.routing import websocket_urlpatterns

log = structlog.get_logger(__name__)


class SiteOrigins(OriginValidator):
    """Refuses a websocket unless scheme, host and port of its origin are the site's own.

    Channels' AllowedHostsOriginValidator compares the host name alone: another port on the same machine, or plain
    http beside https, would pass. "*" is never honoured.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    @property
    def allowed_origins(self) -> list[str]:
        """The settings' list, read at each handshake so that a test's live server can name its own port."""
        return [origin for origin in settings.CHAT_ORIGINS if origin != "*"]


class OwnRootPath:
    """Drops the root path that a client claims. Daphne takes it from a request header, whoever sent it."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = [pair for pair in scope.get("headers", ()) if pair[0].lower() != b"daphne-root-path"]
            scope = scope | {"root_path": settings.FORCE_SCRIPT_NAME or "", "headers": headers}
        await self.application(scope, receive, send)


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Start the service with the server, and drain it when the server stops."""
    await receive()
    try:
        await service.start()
    except Exception as error:
        log.exception("service_not_started")
        await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await service.drain()
    await service.stop()
    await send({"type": "lifespan.shutdown.complete"})


application = OwnRootPath(
    ProtocolTypeRouter(
        {
            "http": ASGIHandler(),
            "websocket": SiteOrigins(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
            "lifespan": lifespan,
        }
    )
)
