"""Where somebody is signed in: noted when they sign in and while a page is open, listed, and ended."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from chat.models import SignIn

BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One browser that is signed in. `browser` as `browsers.describe` put it; `here`: it is the one that asks."""

    id: int
    browser: str
    since: datetime
    seen: datetime
    here: bool


def note(user: Any, key: str, browser: str) -> None:
    """Somebody has just signed in. What ended without a word (expired, cleared) is forgotten meanwhile."""
    with transaction.atomic():
        SignIn.objects.update_or_create(key=key, defaults={"user": user, "browser": browser, "seen_at": timezone.now()})
        old = list(SignIn.objects.filter(user=user).exclude(key=key).values_list("key", flat=True))
        gone = set(old) - _alive(old)
        SignIn.objects.filter(user=user, key__in=gone).delete()


def seen(open_pages: Iterable[tuple[str, int]]) -> None:
    """These sessions (key, id of the user) have a page open now. One that nobody noted is noted here."""
    pages = {key: user for key, user in open_pages if key}
    keys = sorted(pages)
    for first in range(0, len(keys), BATCH):
        part = keys[first : first + BATCH]
        known = SignIn.objects.filter(key__in=part)
        if known.update(seen_at=Now()) < len(part):
            missing = _alive(set(part) - set(known.values_list("key", flat=True)))
            there = get_user_model()._default_manager.filter(pk__in={pages[key] for key in missing})
            users = set(there.values_list("pk", flat=True))
            rows = [SignIn(key=key, user_id=pages[key]) for key in sorted(missing) if pages[key] in users]
            SignIn.objects.bulk_create(rows, ignore_conflicts=True)


def places(user: Any, key: str) -> list[Place]:
    """Where `user` is signed in, the browser that asks (by the key of its session) first, then the newest."""
    rows = list(SignIn.objects.filter(user=user).order_by("-seen_at", "-id"))
    alive = _alive([row.key for row in rows])
    found = [
        Place(id=row.pk, browser=row.browser, since=row.created_at, seen=row.seen_at, here=row.key == key)
        for row in rows
        if row.key in alive
    ]
    return sorted(found, key=lambda place: not place.here)


def end(user: Any, sign_in_id: int) -> bool:
    """Sign one browser out; False when there is no such one of this user."""
    row = SignIn.objects.filter(user=user, pk=sign_in_id).first()
    if row is None:
        return False
    _end([row.key])
    return True


def end_others(user: Any, key: str) -> int:
    """Sign out everywhere but here. Returns how many browsers that were."""
    return _end(list(SignIn.objects.filter(user=user).exclude(key=key).values_list("key", flat=True)))


def _end(keys: Collection[str]) -> int:
    # One by one through the model: whoever holds sockets is told by its signal.
    ended = 0
    for session in Session.objects.filter(session_key__in=keys):
        session.delete()
        ended += 1
    SignIn.objects.filter(key__in=keys).delete()
    return ended


def _alive(keys: Collection[str]) -> set[str]:
    rows = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    return set(rows.values_list("session_key", flat=True))
