"""Writing down what staff did, in the transaction that does it: no change is without its entry, nor the reverse."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.conf import settings

from chat.models import Audit, Batch
from chat.surgery.values import Refused

MOST_REASON = 500
LEAST_REASON = 3
FROM_SHELL = "From the shell."
"""The reason of a command that was given none."""


def record(
    actor: int | None,
    operation: str,
    *,
    reason: str,
    by: str = "",
    session: UUID | None = None,
    target: Mapping[str, Any] | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    undo_of: Audit | None = None,
    batch: Batch | None = None,
) -> Audit:
    """Write one entry; `actor` is a user's id, `by` a name for whoever has none. Raises Refused without a reason. No
    word of a user goes in here."""
    return Audit.objects.create(
        actor=actor,
        pseudonym=by or pseudonym(actor),
        operation=operation,
        session=session,
        target=dict(target or {}),
        before=dict(before or {}),
        after=dict(after or {}),
        reason=reason_of(reason),
        undo_of=undo_of,
        batch=batch,
    )


def from_shell(operation: str, **what: Any) -> Audit:
    """The same for a command; `what` as for `record`."""
    return record(None, operation, by=Audit.SHELL, **what)


def reason_of(given: str) -> str:
    """A reason that says something. Raises Refused."""
    reason = " ".join(given.split())[:MOST_REASON]
    if len(reason) < LEAST_REASON:
        raise Refused("no_reason", "Say why: the reason stays in the audit.")
    return reason


def pseudonym(user_id: int | None) -> str:
    """The name by which the audit knows a person, before and after their account is gone. '' for the machine."""
    if user_id is None:
        return ""
    return hmac.new(settings.SECRET_KEY.encode(), f"audit:{user_id}".encode(), hashlib.sha256).hexdigest()[:12]
