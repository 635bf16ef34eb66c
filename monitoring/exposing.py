"""/metrics: this process's numbers for Prometheus, as text.

Whoever holds the token of MONITORING_METRICS_TOKEN may read, and staff with the permission to see the operator's
pages. A process without pages opens a door of its own at MONITORING_METRICS_ADDRESS, with the same token; without a
token that door must be on loopback.
"""

import hmac
import threading
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder, generate_latest

from monitoring.access import PERMISSION
from monitoring.metrics import metrics
from monitoring.standing import Standing

log = structlog.get_logger(__name__)

metrics.registry.register(Standing())


def told(accept: str = "") -> tuple[bytes, str]:
    """The page and its content type, in the format that `accept` (a request's header) asks for."""
    encode, content_type = choose_encoder(accept) if accept else (generate_latest, choose_encoder("")[1])
    return encode(metrics.registry), content_type


def holds_token(authorization: str) -> bool:
    """Whether a request's Authorization header bears the token. Nobody's does while there is none."""
    wanted = settings.MONITORING_METRICS_TOKEN
    kind, _, given = authorization.partition(" ")
    return bool(wanted) and kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted.encode())


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """200 with the numbers; 401 for a stranger or a wrong token; 403 for somebody who is not an operator."""
    if not holds_token(request.headers.get("Authorization", "")):
        if not request.user.is_authenticated:
            return HttpResponse("A token is needed.\n", status=401, headers={"WWW-Authenticate": "Bearer"})
        if not (request.user.is_staff and request.user.has_perm(PERMISSION)):
            raise PermissionDenied
    body, content_type = told(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A scrape is no news."""


def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The door's only page, as WSGI."""
    if settings.MONITORING_METRICS_TOKEN and not holds_token(environ.get("HTTP_AUTHORIZATION", "")):
        start("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain")])
        return [b"A token is needed.\n"]
    if environ["PATH_INFO"] != "/metrics" or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics\n"]
    try:
        body, content_type = told(environ.get("HTTP_ACCEPT", ""))
    finally:
        connections.close_all()
    start("200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [body]


def open_door() -> Callable[[], None]:
    """Serve /metrics at MONITORING_METRICS_ADDRESS in a thread; call what is returned to close it. "" opens none.

    Raises ImproperlyConfigured for an address that is not `host:port`, or one that strangers reach without a token.
    An address that is taken costs the numbers, not the process: it is logged.
    """
    address = settings.MONITORING_METRICS_ADDRESS
    if not address:
        return lambda: None
    host, port = _parsed(address)
    try:
        server = _Server((host, port), _Silent)
    except OSError as error:
        log.error("metrics_door_not_opened", port=port, error=type(error).__name__)
        return lambda: None
    server.set_app(answer)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    log.info("metrics_door_opened", port=server.server_port)

    def close() -> None:
        server.shutdown()
        server.server_close()

    return close


def _parsed(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    try:
        local = ip_address(host).is_loopback
        number = int(port)
    except ValueError:
        raise ImproperlyConfigured("MONITORING_METRICS_ADDRESS: an IP address and a port, 127.0.0.1:9108.") from None
    if not (local or settings.MONITORING_METRICS_TOKEN):
        raise ImproperlyConfigured("MONITORING_METRICS_ADDRESS: beyond loopback MONITORING_METRICS_TOKEN is needed.")
    return host, number
