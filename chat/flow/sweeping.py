"""From how many tokens on the sweep looks at conversations: by model, without waiting for models that nobody knows.

A conversation may name a model that is gone, or never was. Asking for its window costs a call with its retries each
time, and holds up the sweep of all others.
"""

import time

from django.conf import settings

from chat.context.budget import BudgetError
from chat.flow.engine import Engine, UnknownWindow
from chat.models import ChatSession

REST_S = 600.0
"""Seconds for which nobody is asked again for the window of a model that was not told."""
MOST_UNTOLD = 3
"""Windows that may not be told in one sweep; from then on only what is known already is looked at."""


class Marks:
    """The marks of the models in use, asked for anew by every sweep."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._rests: dict[str, float] = {}

    async def read(self) -> dict[str, int]:
        """The tokens by model at which the soft mark is reached at the earliest."""
        models = await self._engine.database.read(_in_use)
        now = time.monotonic()
        self._rests = {model: until for model, until in self._rests.items() if until > now}
        marks: dict[str, int] = {}
        untold = 0
        for model in models:
            asks = self._engine.known_window(model) is None
            if asks and (model in self._rests or untold >= MOST_UNTOLD):
                continue
            try:
                budget = await self._engine.budget(model, "")
            except UnknownWindow:
                self._rests[model] = now + REST_S
                untold += 1
            except BudgetError:
                continue
            else:
                # With all the summaries and facts that a session may hold: the earliest that its soft mark can lie.
                room = budget.room(budget.system + budget.summaries_at_most + budget.facts)
                marks[model] = int(room * settings.CHAT_SOFT_MARK)
        return marks


def _in_use() -> list[str]:
    """Models of conversations that hold something to compress. No word is read, and a deleted one asks for nothing."""
    return list(ChatSession.objects.fullest(1).order_by().values_list("model", flat=True).distinct())
