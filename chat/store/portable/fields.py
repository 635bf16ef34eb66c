"""Taking values out of somebody else's JSON: each has the type that was asked for, or the place is named."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from chat.store.portable.values import Broken

T = TypeVar("T")

_NAMES = {dict: "an object", list: "a list", str: "text", int: "a whole number", bool: "true or false"}
# What PostgreSQL keeps in no text, and what no encoder writes.
_UNSTORABLE = re.compile("[\ud800-\udfff]")


def take(data: Mapping[str, Any], key: str, kind: type[T], place: str) -> T:
    """data[key], which must be there and of this type. Raises Broken."""
    value = data.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        what = "is missing" if key not in data else f"is not {_NAMES[kind]}"
        raise Broken(f"{place}: '{key}' {what}.")
    return value


def may(data: Mapping[str, Any], key: str, kind: type[T], default: T) -> T:
    """data[key] if it is there and of this type, else the default: for what a conversation can do without."""
    value = data.get(key)
    return value if isinstance(value, kind) else default


def obj(value: Any, place: str) -> dict[str, Any]:
    """The value, which must be an object. Raises Broken."""
    if not isinstance(value, dict):
        raise Broken(f"{place} is not an object.")
    return value


def clean(text: str) -> str:
    """Text as every database can keep it: without NUL, with U+FFFD for half a surrogate pair."""
    return _UNSTORABLE.sub("\ufffd", text).replace("\0", "")


def moment(value: Any) -> datetime | None:
    """A time given as seconds since 1970 or in ISO form; None when it is neither."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            found = datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
