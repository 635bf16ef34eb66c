"""What an operation changed, and putting it back exactly: the columns and marks that the next request is made from.

A snapshot is read before and after an operation, inside its transaction; what differs goes into the audit. To take the
operation back, every row that it changed must still be as it left it, and gets what it had. The context version never
goes back: it names what caches hold.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import Model, Q
from django.db.models.functions import Now
from django.utils.dateparse import parse_datetime

from chat.models import ChatSession, Document, Fact, Notice, Summary, Turn
from chat.store import coverage
from chat.surgery.values import Refused

Snapshot = dict[str, dict[str, Any]]

COLUMNS = (
    *("model", "mode", "strategy", "window_messages", "soft_mark", "hard_mark", "thinking"),
    *("window_from", "restored", "prefix_version", "archived_at", "deleted_at"),
)
# A younger commit may have moved it since; taking something else back is no reason to refuse for that.
_SOFT = frozenset({"prefix_version"})
_ROWS: dict[str, tuple[type[Model], tuple[str, ...]]] = {
    "summaries": (Summary, ("state", "merged_into_id")),
    "notices": (Notice, ("ended_at",)),
    "facts": (Fact, ("forgotten_at",)),
    "documents": (Document, ("removed_at",)),
    "marks": (Turn, ("pinned_since", "excluded_by")),
}
CHANGED = partial(
    Refused, "changed", "This can't be taken back any more: what it changed was changed again since. Undo that first."
)


def read(session: ChatSession, touches: frozenset[str]) -> Snapshot:
    """What a session's next request is made from, as far as an operation `touches` it. The session is locked."""
    row = ChatSession.objects.values(*COLUMNS).get(pk=session.pk)
    out: Snapshot = {"session": {name: _plain(value) for name, value in row.items()}}
    for part in sorted(touches - {"session"}):
        model, names = _ROWS[part]
        rows = model._default_manager.filter(session_id=session.pk).filter(_told(part))
        found = rows.order_by().values_list("pk", *names)
        out[part] = {str(pk): [_plain(value) for value in values] for pk, *values in found}
    return out


def _told(part: str) -> Q:
    """What of a part is not simply as it began."""
    if part == "marks":
        return Q(active=True) & (Q(pinned_since__isnull=False) | ~Q(excluded_by=""))
    if part == "notices":
        return Q(ended_at__isnull=True)
    if part == "facts":
        return Q(forgotten_at__isnull=True)
    return Q(removed_at__isnull=True) if part == "documents" else Q()


def differences(before: Snapshot, after: Snapshot) -> tuple[Snapshot, Snapshot]:
    """What of two snapshots differs, each as it has it; None for a row that one does not tell of."""
    old: Snapshot = {}
    new: Snapshot = {}
    for part in before:
        keys = {*before[part], *after[part]}
        changed = sorted(key for key in keys if before[part].get(key) != after[part].get(key))
        if changed:
            old[part] = {key: before[part].get(key) for key in changed}
            new[part] = {key: after[part].get(key) for key in changed}
    return old, new


def put_back(session: ChatSession, before: Mapping[str, Any], after: Mapping[str, Any], *, created: str) -> None:
    """Make what stands in `after` what it was in `before`. The session is locked. Raises Refused.

    A summary that came into being becomes `created`.
    """
    columns = _columns(session, before.get("session", {}), after.get("session", {}))
    for part in ("marks", "documents", "facts"):
        _rows(session, part, before.get(part, {}), after.get(part, {}))
    _summaries(session, before.get("summaries", {}), after.get("summaries", {}), created)
    _notices(session, before.get("notices", {}), after.get("notices", {}))
    ChatSession.objects.filter(pk=session.pk).update(
        **columns,
        context_version=session.context_version + 1,
        open_tokens=coverage.open_tokens(session.pk),
        marked=coverage.marked(session.pk),
    )
    coverage.tell(session.pk)


def _columns(session: ChatSession, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    out = {}
    for name, value in old.items():
        same = _plain(getattr(session, name)) == new[name]
        if same:
            out[name] = _value(value) if name.endswith("_at") else value
        elif name not in _SOFT:
            raise CHANGED()
    return out


def _rows(session: ChatSession, part: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Marks, documents and facts: what is not told of in a snapshot is what it begins as."""
    model, names = _ROWS[part]
    own = model._default_manager.filter(session_id=session.pk)
    begins: list[Any] = [None, ""] if part == "marks" else [None]
    for key, value in old.items():
        now = own.filter(pk=key).values_list(*names).first()
        if now is None:
            raise CHANGED()
        there = new[key] is not None or part == "marks"
        if there and [_plain(one) for one in now] != (new[key] or begins):
            raise CHANGED()
        if not there and now[0] is None:
            raise CHANGED()  # it was taken away, and is there again
        if part == "marks" or value is not None:
            own.filter(pk=key).update(**dict(zip(names, value or begins, strict=True)))
        else:  # it was made: it goes the way on which anybody's goes
            own.filter(pk=key).update(**{names[0]: Now()})


def _summaries(session: ChatSession, old: Mapping[str, Any], new: Mapping[str, Any], created: str) -> None:
    own = Summary.objects.filter(session=session)
    now = {str(pk): list(values) for pk, *values in own.filter(pk__in=list(old)).values_list(*_SUMMARY)}
    if any(now.get(key) != value for key, value in new.items()):
        raise CHANGED()
    back = [key for key, value in old.items() if value and value[0] in (Summary.State.ACTIVE, Summary.State.RESTING)]
    if own.filter(pk__in=back, source_hash="").exists():
        raise CHANGED()  # what it says was removed for good
    # First those that go: two that overlap are never active at once, not even for a moment.
    last = [(key, value) for key, value in old.items() if value and value[0] == Summary.State.ACTIVE]
    for key, value in [one for one in old.items() if one not in last] + last:
        made = value is None or (value[0] == Summary.State.DRAFT and new[key][0] != Summary.State.DRAFT)
        state, merged = (created, None) if made else value
        own.filter(pk=key).update(state=state, merged_into=merged)


_SUMMARY = ("pk", "state", "merged_into_id")


def _notices(session: ChatSession, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """End those that were written, and show again those that ended, unless somebody has said the same since."""
    own = Notice.objects.filter(session=session)
    made = [key for key, value in old.items() if value is None]
    own.filter(pk__in=made, ended_at=None).update(ended_at=Now())
    for one in own.filter(pk__in=[key for key in old if key not in made]).exclude(ended_at=None):
        same = own.filter(kind=one.kind, first=one.first, last=one.last, until_id=one.until_id, ended_at=None)
        if not same.exists():
            own.filter(pk=one.pk).update(ended_at=None)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _value(value: Any) -> Any:
    return parse_datetime(value) if isinstance(value, str) else value
