"""Facts about given sessions that monitoring can't know by itself, asked for by name.

Whoever knows them registers a function; it is asked with ids and answers with rows of numbers, codes and times. A
row's text that is no code is shown as "other", so that no page can show what somebody wrote, whoever answers.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from monitoring import filters

log = structlog.get_logger("monitoring")

Row = dict[str, Any]
Lookup = Callable[..., Mapping[Any, Row] | list[Row]]
PLAIN = (int, float, datetime, UUID, type(None))

_lookups: dict[str, Lookup] = {}


def register_lookup(name: str, lookup: Lookup) -> None:
    """Have `lookup` asked for what is known under `name`. Same name: replaced."""
    _lookups[name] = lookup


def rows(name: str, *asked: Any) -> list[Row]:
    """The rows known under `name`; none where nobody knows, or who knows can't answer."""
    return [_checked(row) for row in _ask(name, *asked) or []]


def by_key(name: str, *asked: Any) -> dict[Any, Row]:
    """What is known under `name`, by the ids that were asked for; those of which nothing is known are absent."""
    return {key: _checked(row) for key, row in dict(_ask(name, *asked) or {}).items()}


def _ask(name: str, *asked: Any) -> Any:
    lookup = _lookups.get(name)
    if lookup is None:
        return None
    try:
        return lookup(*asked)
    except Exception:
        # A page without one of its tables is better than no page; the log says which.
        log.exception("lookup_failed", lookup=name)
        return None


def _checked(row: Row) -> Row:
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return str(value) if not value or filters.CODE.fullmatch(value) else "other"
    return value if isinstance(value, PLAIN) else "other"
