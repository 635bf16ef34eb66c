"""The stand-in's prompt cache, by the rules of the API."""

from typing import Any

import pytest

from chat.providers.standin import StandIn, caching, start_standin
from tests.providers.building import MODEL, QUICK
from tests.providers.conftest import Post

DOCUMENT = "The quick brown fox jumps over the lazy dog near the river bank. " * 300
RULES = "You help with orders, and you stay polite whatever happens. " * 300


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def block(text: str, mark: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"type": "text", "text": text}
    if mark:
        made["cache_control"] = {"type": "ephemeral"} if mark == "5m" else {"type": "ephemeral", "ttl": mark}
    return made


def body(*texts: str | list[dict[str, Any]], system: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    messages = [
        {"role": ("user", "assistant")[i % 2], "content": [block(t)] if isinstance(t, str) else t}
        for i, t in enumerate(texts)
    ]
    return {"model": MODEL, "max_tokens": 50, "messages": messages} | ({"system": system} if system else {}) | more


class Ledger:
    """A cache asked directly: gives (fresh, read, written) in tokens."""

    def __init__(self, minimum: int = 0) -> None:
        self.clock = Clock()
        self.cache = caching.PromptCache(self.clock)
        self.minimum = minimum

    def ask(self, body: dict[str, Any]) -> tuple[int, int, int]:
        account = self.cache.account(caching.positions(body), self.minimum)
        assert account.total == caching.positions(body)[-1].tokens
        return account.fresh, account.read, sum(account.written.values())


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


class TestPatterns:
    """The five patterns that people meet."""

    def test_a_static_prompt_is_read_from_the_second_call_on(self, ledger: Ledger) -> None:
        first = ledger.ask(body("a", system=[block(RULES, "5m")]))
        second = ledger.ask(body("something else", system=[block(RULES, "5m")]))
        assert first[1] == 0
        assert first[2] > 1000
        assert second[1:] == (first[2], 0)

    def test_a_prompt_with_a_timestamp_is_never_read(self, ledger: Ledger) -> None:
        for minute in range(3):
            _, read, written = ledger.ask(body("a", system=[block(f"It is 12:0{minute}. {RULES}", "5m")]))
            assert (read, written > 1000) == (0, True)

    def test_a_document_is_read_after_the_first_call(self, ledger: Ledger) -> None:
        calls = [ledger.ask(body([block(DOCUMENT, "5m"), block(f"Question {n}?")])) for n in range(3)]
        assert calls[0][1] == 0
        assert calls[1][1] == calls[2][1] == calls[0][2]
        assert calls[1][2] == 0

    def test_text_retrieved_ahead_of_the_breakpoint_is_never_read(self, ledger: Ledger) -> None:
        for n in range(3):
            _, read, _ = ledger.ask(body([block(f"Found {n}: {DOCUMENT}"), block("Same.", "5m")]))
            assert read == 0

    def test_a_growing_history_reads_what_it_wrote_and_writes_what_is_new(self, ledger: Ledger) -> None:
        texts: list[str | list[dict[str, Any]]] = []
        reads = []
        for n in range(6):
            texts.append(f"Message {n}. {DOCUMENT[:600]}")
            asked = [*texts[:-1], [block(str(texts[-1]), "5m")]]
            fresh, read, written = ledger.ask(body(*asked, system=[block(RULES)]))
            reads.append(read)
            assert fresh == 0
            assert written > 0
            texts.append(f"Reply {n}.")
        assert reads[0] == 0
        assert reads[1:] == sorted(reads[1:])
        assert reads[1] > 1000

    def test_without_a_breakpoint_nothing_is_kept(self, ledger: Ledger) -> None:
        for _ in range(2):
            assert ledger.ask(body(DOCUMENT))[1:] == (0, 0)


class TestRules:
    def test_the_prefix_counts_byte_for_byte_and_role_for_role(self, ledger: Ledger) -> None:
        ledger.ask(body([block(DOCUMENT, "5m")]))
        assert ledger.ask(body([block(DOCUMENT + " ", "5m")]))[1] == 0
        assert ledger.ask(body([block(DOCUMENT)], "b", [block("c", "5m")]))[1] > 0

    def test_tools_stand_before_system_and_system_before_messages(self, ledger: Ledger) -> None:
        tool = {
            "name": "look",
            "input_schema": {"type": "object"},
            "description": RULES,
            "cache_control": {"type": "ephemeral"},
        }
        written = ledger.ask(body("a", tools=[tool], system=[block("x")]))[2]
        assert ledger.ask(body("b", tools=[tool], system=[block("y")]))[1] == written
        assert ledger.ask(body("b", tools=[tool | {"name": "see"}], system=[block("y")]))[1] == 0

    def test_another_model_reads_nothing(self, ledger: Ledger) -> None:
        ledger.ask(body([block(DOCUMENT, "5m")]))
        assert ledger.ask(body([block(DOCUMENT, "5m")], model=QUICK))[1] == 0

    @pytest.mark.parametrize(("between", "hit"), [(18, True), (19, False)])
    def test_a_read_looks_back_over_twenty_blocks(self, ledger: Ledger, between: int, hit: bool) -> None:
        ledger.ask(body([block(DOCUMENT, "5m")]))
        grown = [block(DOCUMENT), *(block(str(n)) for n in range(between)), block("end", "5m")]
        assert (ledger.ask(body(grown))[1] > 0) is hit

    def test_a_second_breakpoint_shortens_the_way_back(self, ledger: Ledger) -> None:
        ledger.ask(body([block(DOCUMENT, "5m")]))
        grown = [block(DOCUMENT, "5m"), *(block(str(n)) for n in range(40)), block("end", "5m")]
        assert ledger.ask(body(grown))[1] > 0

    def test_a_prefix_below_the_minimum_is_silently_not_kept(self) -> None:
        ledger = Ledger(minimum=100)
        short = body([block("word " * 20, "5m"), block("x")])
        assert ledger.ask(short)[1:] == ledger.ask(short)[1:] == (0, 0)
        long = body([block("word " * 200, "5m"), block("x")])
        assert ledger.ask(long)[2] > 100
        assert ledger.ask(long)[1] > 100

    @pytest.mark.parametrize(("mark", "lives"), [("5m", 300), ("1h", 3600)])
    def test_an_entry_lives_as_long_as_it_was_told(self, ledger: Ledger, mark: str, lives: int) -> None:
        ledger.ask(body([block(DOCUMENT, mark)]))
        ledger.clock.now += lives - 1
        assert ledger.ask(body([block(DOCUMENT, mark)]))[1] > 0
        ledger.clock.now += lives - 1
        assert ledger.ask(body([block(DOCUMENT, mark)]))[1] > 0
        ledger.clock.now += lives
        assert ledger.ask(body([block(DOCUMENT, mark)]))[1] == 0

    def test_a_read_on_the_way_back_renews_an_entry_too(self, ledger: Ledger) -> None:
        ledger.ask(body([block(DOCUMENT, "5m")]))
        for _ in range(3):
            ledger.clock.now += 299
            assert ledger.ask(body([block(DOCUMENT), block(f"At {ledger.clock.now}", "5m")]))[1] > 0

    def test_writes_are_told_apart_by_time_to_live(self, ledger: Ledger) -> None:
        asked = body([block(DOCUMENT, "5m")], system=[block(RULES, "1h")])
        account = ledger.cache.account(caching.positions(asked), 0)
        usage = account.usage(7)
        assert usage["cache_creation"]["ephemeral_1h_input_tokens"] > 1000
        assert usage["cache_creation"]["ephemeral_5m_input_tokens"] > 1000
        assert sum(usage["cache_creation"].values()) == usage["cache_creation_input_tokens"]

    def test_a_mark_for_the_whole_request_stands_at_its_end(self, ledger: Ledger) -> None:
        asked = body(DOCUMENT, cache_control={"type": "ephemeral"})
        assert ledger.ask(asked)[2] > 0
        assert ledger.ask(asked)[1] > 0


class TestOverHttp:
    async def test_usage_tells_reads_and_writes_and_a_model_its_own_minimum(self, standin: StandIn, post: Post) -> None:
        middle = body([block(DOCUMENT[: len(DOCUMENT) // 2], "5m"), block("x")])
        for model, kept in ((MODEL, False), ("claude-sonnet-4-6", True)):
            await post(middle | {"model": model})
            _, answer = await post(middle | {"model": model})
            assert 1024 < standin.log[-1].tokens < 4096
            assert (answer["usage"]["cache_read_input_tokens"] > 0) is kept

    async def test_a_failed_request_writes_nothing(self, standin: StandIn, post: Post) -> None:
        standin.cache_minimum = 0
        asked = body([block(DOCUMENT, "5m")])
        standin.faults.add("status", status=529)
        await post(asked)
        await post(asked | {"max_tokens": 16_000})
        _, answer = await post(asked)
        assert answer["usage"]["cache_read_input_tokens"] == 0

    async def test_the_clock_may_be_handed_in(self) -> None:
        clock = Clock()
        server = await start_standin(window=16_000, clock=clock)
        assert server._cache._clock is clock
        await server.close()
