"""The stand-in counts by another rule than ours, so that being wrong is part of every test that uses it."""

import hashlib
import inspect
import json

import pytest

from chat.context import values
from chat.context.tokens import Counter
from chat.providers.standin import counting

ENGLISH = (
    "Hey, good to see you again! I went to the lake with my sister last weekend and we talked for hours. "
    "She wants to move back next spring, if the house is ready by then. How have you been? "
)
GERMAN = (
    "Die Bestellung wurde am Montag aufgegeben, aber die Lieferung verzögert sich wegen eines Fehlers im Lager. "
    "Wir bitten um Verständnis und melden uns, sobald die Sendung unterwegs ist. "
)
SAMPLES = {
    # text, and characters per token as measured on real models
    "english": (ENGLISH * 20, 4.5),
    "german": (GERMAN * 20, 2.8),
    "python": (inspect.getsource(values), 2.9),
    "json": (
        json.dumps([{"id": i, "sku": f"A-{i * 7919 % 9999}", "price": i * 1.25, "ok": True} for i in range(99)]),
        1.4,
    ),
    "hex": ("".join(hashlib.sha256(str(i).encode()).hexdigest() for i in range(50)), 1.5),
    "chinese": ("我的订单号是一二三四，请告诉我什么时候可以收到货物。我们公司的财务总监是李明。" * 30, 1.0),
}
EACH = pytest.mark.parametrize("name", SAMPLES)


class TestTheRule:
    @EACH
    def test_it_differs_from_characters_by_ratio_by_15_to_50_percent(self, name: str) -> None:
        text, ratio = SAMPLES[name]
        assert 0.15 <= abs(counting.count(text) / (len(text) / ratio) - 1) <= 0.50

    @EACH
    def test_it_differs_from_our_counter_by_15_to_50_percent(self, name: str) -> None:
        text, _ = SAMPLES[name]
        assert 0.15 <= abs(counting.count(text) / Counter().count(text) - 1) <= 0.50

    def test_it_is_above_ours_for_some_classes_and_below_for_others(self) -> None:
        above = [name for name, (text, _) in SAMPLES.items() if counting.count(text) > Counter().count(text)]
        assert 0 < len(above) < len(SAMPLES)

    @EACH
    def test_it_is_nearly_additive(self, name: str) -> None:
        text, _ = SAMPLES[name]
        parts = [text[at : at + 100] for at in range(0, len(text), 100)]
        assert sum(counting.count(part) for part in parts) == pytest.approx(counting.count(text), rel=0.05)

    def test_it_takes_any_text(self) -> None:
        assert counting.count("") == 0
        assert counting.count("\ud83d") > 0
        assert counting.count("👍") > 0

    def test_a_breakpoint_costs_nothing(self) -> None:
        bare = {"type": "text", "text": "Hello there"}
        assert counting.block_tokens(bare | {"cache_control": {"type": "ephemeral"}}) == counting.block_tokens(bare)

    def test_a_tools_schema_counts(self) -> None:
        small = {"name": "look", "input_schema": {"type": "object"}}
        large = {"name": "look", "input_schema": {"type": "object", "properties": {"shelf": {"type": "string"}}}}
        assert counting.block_tokens(large) > counting.block_tokens(small)
