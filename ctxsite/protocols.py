"""Which room answers which protocol: pages, websockets, and a server's start and end (lifespan)."""

import asyncio
import signal
import threading
from typing import Any

import structlog
from channels.auth import AuthMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from channels.sessions import SessionMiddlewareStack
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

from chat import service
from chat.web.routing import websocket_urlpatterns
from ctxsite import ending
from ctxsite.rotation import RenewedSession

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
            # `frames`: the server's own way out. The layers between here and a socket look into the session with
            # every message, which a frame of a reply has no use for.
            scope = scope | {"root_path": settings.FORCE_SCRIPT_NAME or "", "headers": headers, "frames": send}
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
    drain_before_the_server()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await ending.drain()
    await service.stop()
    await send({"type": "lifespan.shutdown.complete"})


def drain_before_the_server() -> None:
    """Hear a signal before the server does, and pass it on when the service is drained.

    Uvicorn closes all sockets with 1012 before it says shutdown: pages would learn neither why nor when to come
    back. Where the server has no handler of its own (a test's, or not in the main thread), nothing is taken over.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    servers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    if any(
        handler in (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, None) for handler in servers.values()
    ):
        return
    tasks: set[asyncio.Task[None]] = set()

    async def end(number: int) -> None:
        await ending.drain()
        servers[number](number, None)

    def begin(number: int) -> None:
        task = asyncio.get_running_loop().create_task(end(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    ending.Signals(begin).listen(asyncio.get_running_loop())


application = OwnRootPath(
    ProtocolTypeRouter(
        {
            "http": ASGIHandler(),
            "websocket": SiteOrigins(
                SessionMiddlewareStack(RenewedSession(AuthMiddleware(URLRouter(websocket_urlpatterns))))
            ),
            "lifespan": lifespan,
        }
    )
)
