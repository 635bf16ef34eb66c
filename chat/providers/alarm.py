"""What an operator must hear of the model's service: one line for each thing that happens, not one for each call.

Keys appear by their label only (see `keys.label`); causes are codes and statuses, never the API's words.
"""

from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

Tell = Callable[[str, str, str], None]
"""Called with (what happened, the model, the cause) beside the log line."""


class Alarm:
    """Shared by all that call one service. `tell` is called for what needs somebody, not for recoveries."""

    def __init__(self, tell: Tell | None = None) -> None:
        self._tell = tell
        self._refused: dict[tuple[str, str], str] = {}

    def breaker(self, change: str, *, purpose: str, label: str, model: str, cause: str, rest_s: float) -> None:
        """A breaker changed: "opened" is an alert, "reopened" and "closed" are news."""
        if change == "opened":
            log.error("breaker_opened", purpose=purpose, key=label, model=model, cause=cause, rest_s=rest_s)
            self._say("breaker_opened", model, cause)
        elif change == "reopened":
            log.warning("breaker_reopened", purpose=purpose, key=label, model=model, cause=cause, rest_s=rest_s)
        elif change == "closed":
            log.warning("breaker_closed", purpose=purpose, key=label, model=model)

    def refused(self, *, label: str, model: str, cause: str) -> None:
        """The key or the account was refused. Told once, and again only after the same key and model worked."""
        if (label, cause) not in self._refused:
            self._refused[label, cause] = model
            log.error("upstream_refused", key=label, model=model, cause=cause)
            self._say("upstream_refused", model, cause)

    def answered(self, *, label: str, model: str) -> None:
        """A call went through: the next refusal is news again."""
        if self._refused:
            self._refused = {told: of for told, of in self._refused.items() if not (told[0] == label and of == model)}

    def _say(self, what: str, model: str, cause: str) -> None:
        if self._tell:
            self._tell(what, model, cause)
