"""Letters by e-mail: who gets one is decided here, what it says stands in templates.

Links to a new password, and to a new address, are written by a job. Whoever asks for one waits equally long whether or
not there is such an account, and an SMTP server that hangs or is down holds up no page. Jobs name users by id; the
address is read when it is sent.
"""

import asyncio
import time
from collections import deque
from typing import Any
from urllib.parse import urljoin

from django.contrib.auth import get_user_model
from django.contrib.auth.tokens import PasswordResetTokenGenerator, default_token_generator
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from chat.flow.engine import Engine
from chat.models import Job, Preference
from chat.store import leases
from chat.store.leases import Claim
from chat.store.rates import Window

KIND = "letter"
PRIORITY = 1
MOST_AN_HOUR = 5
"""Links to a new password that one account gets in an hour, and links to new addresses that it may ask for, from one
process: nobody fills somebody's mailbox."""

_sent: dict[int, deque[float]] = {}
_asked = Window(3600)


class _AddressTokens(PasswordResetTokenGenerator):
    """Good once, and only for this change from this address to that one."""

    key_salt = "chat.flow.letters.address"

    def _make_hash_value(self, user: Any, timestamp: int) -> str:
        return f"{user.pk}:{user.password}:{user.email}:{wanted(user)}:{timestamp}"


address_tokens = _AddressTokens()


def wanted(user: Any) -> str:
    """The address that a user asked for and has not confirmed; ''."""
    return Preference.objects.filter(user=user).values_list("new_email", flat=True).first() or ""


def ask_for_reset(users: list[int], origin: str, language: str) -> None:
    """Let these users (perhaps none) get a link to a new password. `origin`: scheme and host of the links."""
    leases.enqueue(KIND, priority=PRIORITY, users=users, origin=origin, language=language)


def wait_to_ask(user_id: int) -> float:
    """Seconds until this user may ask for a link to a new address; 0 where they may, and have then asked for one."""
    return _asked.take(user_id, MOST_AN_HOUR, time.monotonic())


def ask_for_confirmation(user_id: int, origin: str, language: str) -> None:
    """Let the address that this user wants get the link that confirms it. `origin`: scheme and host of the link."""
    leases.enqueue(KIND, priority=PRIORITY, confirms=user_id, origin=origin, language=language)


async def run_job(claim: Claim, engine: Engine) -> str:
    """The job: write the letters and send them. One that fails is tried again."""
    letters = await engine.database.read(written, claim.id)
    for letter in letters:
        await asyncio.to_thread(letter.send)
    return ""


def written(job_id: int) -> list[EmailMessage]:
    """The letters of a job; none to an address that is not wanted any more."""
    args = Job.objects.values_list("args", flat=True).get(pk=job_id)
    place = (args["origin"], args["language"])
    people = get_user_model()._default_manager.filter(is_active=True)
    if "confirms" in args:
        person = people.filter(pk=args["confirms"]).first()
        address = wanted(person) if person else ""
        return [confirm_address(person, address, *place)] if address else []
    return [reset(user, *place) for user in people.filter(pk__in=args["users"]) if _may(user.pk)]


def _may(user_id: int) -> bool:
    now = time.monotonic()
    for known in [known for known, times in _sent.items() if now - times[-1] > 3600]:
        del _sent[known]
    times = _sent.setdefault(user_id, deque(maxlen=MOST_AN_HOUR))
    if len(times) == MOST_AN_HOUR and now - times[0] < 3600:
        return False
    times.append(now)
    return True


def reset(user: Any, origin: str, language: str) -> EmailMessage:
    """The letter with the link to a new password."""
    place = [urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)]
    return _letter("password_reset", user.email, user, language, link=_link(origin, "password_reset_confirm", place))


def confirm_address(user: Any, address: str, origin: str, language: str) -> EmailMessage:
    """The letter to a new address, with the link that confirms it."""
    place = [address_tokens.make_token(user)]
    return _letter("email_confirm", address, user, language, link=_link(origin, "chat:email-confirm", place))


def tell_old_address(user: Any, old: str, new: str) -> EmailMessage:
    """The letter to the old address: from now on it is another one."""
    return _letter("email_changed", old, user, translation.get_language(), address=new)


def _link(origin: str, name: str, place: list[str]) -> str:
    return urljoin(origin, reverse(name, args=place))


def _letter(name: str, to: str, user: Any, language: str | None, **context: Any) -> EmailMessage:
    with translation.override(language):
        context |= {"name": user.get_username()}
        subject = " ".join(render_to_string(f"letters/{name}_subject.txt", context).split())
        return EmailMessage(subject, render_to_string(f"letters/{name}.txt", context), to=[to])
