"""What each way of keeping a conversation short costs, over 60 turns of 1,000 tokens each. Pure, no network, no clock.

Every request is made by the real assembly, and its cache breakpoints are the real ones; the cache is simulated by
the Messages API's rules: a breakpoint writes all that stands before it, a later request reads the longest prefix
that was written and still stands, what lies behind the last breakpoint is plain input. Figures are thousand
token-prices: thousands of tokens, each at the price of its kind relative to plain input (cache write 1.25, cache
read 0.1). Replies cost the same under every policy and are left out. A summary is made by a model of a fifth of the
chat model's price, which reads its source and writes the summary at five times that.

- batched: our planner and its marks; compacts rarely and then by a lot;
- append-only: nothing ever leaves;
- sliding: the newest turns only, the start moves with every turn;
- every turn: all but the newest turns are summarised anew with every turn.

    python -m tests.bench.policies
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from chat.context.budget import split
from chat.context.values import Request, Summary
from chat.context.window import WindowLimits
from tests.context.conversation import Conversation, text_of

TURNS = 60
TURN_TOKENS = 1_000
SLIDING_TURNS = 6
KEPT_TURNS = 4  # as ours keeps at least
SUMMARY_TOKENS = 400
WINDOW = 32_000  # tokens; a conversation that never outgrows its window is append-only under our policy, too
WRITE, READ = 1.25, 0.1
SUMMARISER, OUTPUT = 0.2, 5.0
MODEL = "a-model"


@dataclass
class Cache:
    """What earlier requests wrote, and what all of them cost so far in token-prices."""

    written: set[tuple[str, ...]] = field(default_factory=set)
    cost: float = 0.0
    reads: int = 0
    inputs: int = 0

    def send(self, request: Request) -> None:
        """Price one request and remember what it wrote."""
        blocks = request.blocks()
        texts = tuple(block.text for block in blocks)
        marks = [at for at, block in enumerate(blocks, start=1) if block.cache]
        read = max((at for at in range(len(texts) + 1) if texts[:at] in self.written), default=0)
        upto = max(marks, default=0)
        tokens = [block.tokens for block in blocks]
        self.cost += READ * sum(tokens[:read]) + WRITE * sum(tokens[read:upto]) + sum(tokens[max(read, upto) :])
        self.reads += sum(tokens[:read])
        self.inputs += sum(tokens)
        self.written |= {texts[:at] for at in marks}

    def summarise(self, source: int) -> None:
        """Price the making of one summary of `source` tokens."""
        self.cost += SUMMARISER * (source + OUTPUT * SUMMARY_TOKENS)


def conversation(window: int) -> Conversation:
    """An empty conversation with short instructions."""
    return Conversation(budget=split(window), model=MODEL, instructions=text_of(100, "answer plainly "))


def ask(talk: Conversation, cache: Cache) -> None:
    """One turn: half of its tokens are the user's, half the reply's."""
    half = TURN_TOKENS // 2
    number = len(talk.turns) + 1
    cache.send(talk.ask(text_of(half, "q" * number + " "), text_of(half, "r" * number + " ")).request)


def append_only() -> Cache:
    """A window that is never full."""
    talk, cache = conversation(10 * TURNS * TURN_TOKENS), Cache()
    for _ in range(TURNS):
        ask(talk, cache)
    return cache


def batched() -> Cache:
    """The real planner in a window that the conversation would outgrow."""
    talk, cache = conversation(WINDOW), Cache()
    for _ in range(TURNS):
        ask(talk, cache)
        plan = talk.compact()
        for chunk in plan.chunks if plan else ():
            cache.summarise(chunk.tokens)
    return cache


def sliding() -> Cache:
    """The newest turns, one out for each one in."""
    talk, cache = conversation(WINDOW), Cache()
    talk.limits = WindowLimits(max_messages=2 * SLIDING_TURNS + 1, batch_messages=2)
    for _ in range(TURNS):
        ask(talk, cache)
    return cache


def every_turn() -> Cache:
    """One summary of all but the newest turns, made anew from the originals after each turn."""
    talk, cache = conversation(WINDOW), Cache()
    for number in range(1, TURNS + 1):
        ask(talk, cache)
        last = number - KEPT_TURNS
        if last < 1:
            continue
        text = text_of(SUMMARY_TOKENS, "s" * number + " ")
        talk.summaries = [Summary(first=1, last=last, text=text, tokens=SUMMARY_TOKENS, ref=f"S{number}")]
        talk.window_from = last + 1
        cache.summarise(last * TURN_TOKENS)
    return cache


POLICIES: dict[str, Callable[[], Cache]] = {
    "batched": batched,
    "append-only": append_only,
    "sliding": sliding,
    "every turn": every_turn,
}


def rows() -> list[tuple[str, float]]:
    """The cost of each policy, in thousand token-prices."""
    return [(name, round(policy().cost / 1_000, 1)) for name, policy in POLICIES.items()]


def main() -> int:
    """Print a labelled line a figure; 1 when batching does not pay."""
    costs = dict(rows())
    for name, cost in costs.items():
        print(f"policy cost, {TURNS} turns of {TURN_TOKENS:,} tokens, {name}: {cost:.1f} thousand token-prices")
    share = costs["batched"] / costs["append-only"]
    print(f"policy cost, batched over append-only: {share:.2f}")
    return int(share > 0.8)


if __name__ == "__main__":
    raise SystemExit(main())
