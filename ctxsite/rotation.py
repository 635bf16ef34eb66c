"""A change of the secret key signs nobody out, and cuts no socket.

Django takes a session that a former key signed, but gives it a new name: sockets that were opened under the old name
would count as signed out. Channels knows no former keys at all, and deletes such a session. So the signature is
renewed here before either of them looks; the session keeps its name.
"""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.core.exceptions import MiddlewareNotUsed, ValidationError
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare
from django.utils.decorators import sync_and_async_middleware


def renew(session: Any) -> None:
    """Sign with the key of now what a former key had signed; anything else is left for others to judge."""
    held, user_id = session.get(HASH_SESSION_KEY), session.get(SESSION_KEY)
    if not held or not user_id:
        return
    try:
        user = get_user_model()._default_manager.filter(pk=user_id).first()
    except (ValueError, ValidationError):
        return
    if user is None or constant_time_compare(held, user.get_session_auth_hash()):
        return
    if any(constant_time_compare(held, former) for former in user.get_session_auth_fallback_hash()):
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()


@sync_and_async_middleware
def renewing(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """For pages: stands between the session and whoever asks it for the user. Not there without former keys."""
    if not settings.SECRET_KEY_FALLBACKS:
        raise MiddlewareNotUsed

    if iscoroutinefunction(get_response):

        async def later(request: HttpRequest) -> Any:
            await sync_to_async(renew)(request.session)
            return await get_response(request)

        return later

    def now(request: HttpRequest) -> Any:
        renew(request.session)
        return get_response(request)

    return now


class RenewedSession:
    """For sockets: the same. Nothing is stored, the next page does that."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if settings.SECRET_KEY_FALLBACKS:
            await sync_to_async(renew)(scope["session"])
        await self.application(scope, receive, send)
