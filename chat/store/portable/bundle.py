"""All that is kept about one person as a zip, made while it is sent: no file, and no more memory for a large one."""

import json
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

from django.utils import timezone
from django.utils.translation import gettext as _

from chat.models import ChatSession, SignIn
from chat.store.portable import dumping, markdown
from chat.store.portable.naming import file_name
from chat.store.portable.speaking import in_one_language


def _readme() -> str:
    about = {
        "account.json": _("your account, what you chose, your presets, links you shared, sign-ins, use by day"),
        "conversations/": _(
            "every conversation with all branches, summaries, notices, facts, attached text and usage; "
            "the import page takes this file, or any of these"
        ),
        "readable/": _("the same conversations as Markdown, to be read"),
    }
    lines = [f"{name:16} {said}" for name, said in about.items()]
    return "\n".join([_("Everything that this site keeps about you."), "", *lines, ""])


class _Outlet:
    """A file that can't be gone back in; what was written to it is taken out and forgotten."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """There is nothing behind it."""

    def take(self) -> bytes:
        """What was written since the last time."""
        held, self._held = b"".join(self._held), []
        return held


def pieces(user: Any) -> Iterator[bytes]:
    """The zip of `user`. Deleted conversations are left out."""
    return in_one_language(_pieces(user))


def _pieces(user: Any) -> Iterator[bytes]:
    outlet = _Outlet()
    with zipfile.ZipFile(cast(IO[bytes], outlet), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, parts in _files(user):
            info = zipfile.ZipInfo(name, timezone.now().timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=True) as file:
                for part in parts:
                    file.write(part.encode())
                    if ready := outlet.take():
                        yield ready
            yield outlet.take()
    yield outlet.take()


def _files(user: Any) -> Iterator[tuple[str, Iterable[str]]]:
    yield "README.txt", [_readme()]
    yield "account.json", [json.dumps(account(user), ensure_ascii=False, indent=1)]
    own = ChatSession.objects.owned_by(user).order_by("created_at", "id")
    for number, pk in enumerate(list(own.values_list("pk", flat=True)), start=1):
        session = own.filter(pk=pk).select_related("instructions").first()
        if session is None:
            continue
        for folder, ending, made in (("conversations", "json", dumping.pieces), ("readable", "md", markdown.pieces)):
            yield f"{folder}/{number:04d} {file_name(session.title, session.created_at, ending)}", made(session)


def account(user: Any) -> dict[str, Any]:
    """Who somebody is to this site, and what they chose, as plain values. No password, no key of a session."""
    preference = getattr(user, "preference", None)
    return {
        "username": user.get_username(),
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "date_joined": user.date_joined.isoformat(),
        "last_login": user.last_login.isoformat() if user.last_login else None,
        "preferences": {
            "delete_after_days": preference.delete_after_days if preference else None,
            "preset": preference.preset.name if preference and preference.preset else None,
        },
        "presets": [
            {"name": one.name, "instructions": one.instructions.text, "created_at": one.created_at.isoformat()}
            for one in user.presets.select_related("instructions").order_by("name")
        ],
        "shared": [
            {"conversation": title, "created_at": made.isoformat(), "revoked_at": ended.isoformat() if ended else None}
            for title, made, ended in ChatSession.objects.owned_by(user)
            .filter(shares__isnull=False)
            .order_by("shares__id")
            .values_list("title", "shares__created_at", "shares__revoked_at")
        ],
        "sign_ins": [
            {"browser": one.browser, "since": one.created_at.isoformat(), "last_seen": one.seen_at.isoformat()}
            for one in SignIn.objects.filter(user=user).order_by("id")
        ],
        "use": [
            {"day": one.day.isoformat(), "messages": one.messages, "tokens": one.used, "cost_micro_usd": one.cost}
            for one in user.allowances.order_by("day")
        ],
    }
