"""The models that the stand-in knows, and what each can take."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .errors import ApiError


@dataclass(frozen=True, slots=True)
class Card:
    """A model: its longest reply and the shortest prefix that its prompt cache keeps, both in tokens."""

    id: str
    name: str
    max_output: int = 64_000
    cache_minimum: int = 1_024


CARDS = (
    Card("claude-opus-4-6", "Claude Opus 4.6", 128_000, 4_096),
    Card("claude-sonnet-4-6", "Claude Sonnet 4.6"),
    Card("claude-opus-4-5", "Claude Opus 4.5"),
    Card("claude-opus-4-5-20251101", "Claude Opus 4.5"),
    Card("claude-sonnet-4-5", "Claude Sonnet 4.5"),
    Card("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5"),
    Card("claude-haiku-4-5", "Claude Haiku 4.5", 64_000, 4_096),
    Card("claude-haiku-4-5-20251001", "Claude Haiku 4.5", 64_000, 4_096),
)


class Catalogue:
    """Finds a model's card; `extra` names further models that shall exist."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self._cards = {card.id: card for card in CARDS}
        for name in extra:
            self._cards.setdefault(name, Card(name, name))

    def find(self, model: object) -> Card:
        """The card of `model`; a 404 for an unknown one."""
        if isinstance(model, str) and (card := self._cards.get(model)):
            return card
        raise ApiError(404, f"model: {model}")

    def entry(self, card: Card, window: int) -> dict[str, Any]:
        """The model as the Models API tells it. `window` in tokens."""
        return {
            "type": "model",
            "id": card.id,
            "display_name": card.name,
            "created_at": "2026-01-01T00:00:00Z",
            "lifecycle": "active",
            "deprecated_at": None,
            "retires_at": None,
            "capabilities": None,
            "line": None,
            "max_input_tokens": window,
            "max_tokens": card.max_output,
        }

    def entries(self, window: Callable[[str], int]) -> list[dict[str, Any]]:
        """Every model as the Models API tells it; `window` tells the tokens of one."""
        return [self.entry(card, window(card.id)) for card in self._cards.values()]
