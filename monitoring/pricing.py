"""What tokens cost, as data: US dollars per million tokens by model family.

An unknown model costs `None`, which is not 0: a page that adds up costs says how many calls it could not price.
A call that is free by nature (counting tokens) costs 0. The offline stand-in is priced as the model that it stands
for, so that a saving seen offline is the saving to expect; the pages say where the replies came from.

Source: Anthropic's price list (platform.claude.com, "Pricing"), as of October 2026.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

MILLION = Decimal(1_000_000)
# Six decimals: a thousandth of a cent is less than one cached token of the dearest model times ten.
STEP = Decimal("0.000001")
# Writing to the prompt cache costs this many times the input price, by how long the entry lives.
WRITE_5M, WRITE_1H = Decimal("1.25"), Decimal("2")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens. `read` is the price of a cached token as a share of the input price."""

    input: Decimal
    output: Decimal
    read: Decimal = Decimal("0.1")

    def write(self, ttl: str = "5m") -> Decimal:
        """The price of writing to the cache as a multiple of the input price, for a life of "5m" or "1h"."""
        return WRITE_1H if ttl == "1h" else WRITE_5M


def _price(given: str) -> Price:
    return Price(*(Decimal(number) for number in given.split()))


# The longest matching name wins, so "claude-opus-4-6-20260115" is claude-opus-4-6, and claude-opus-4-1 stays dear.
# The number beside the name: the largest input in tokens for which the price holds, None for any size.
PRICES: dict[str, tuple[tuple[int | None, Price], ...]] = {
    "claude-fable-5-1": ((None, _price("10 50 0.025")),),
    "claude-mythos-5-1": ((None, _price("10 50 0.025")),),
    "claude-fable-5": ((None, _price("10 50")),),
    "claude-mythos-5": ((None, _price("10 50")),),
    "claude-opus-5-5": ((None, _price("4 20 0.05")),),
    "claude-opus-5": ((None, _price("5 25")),),
    "claude-opus-4-8": ((None, _price("5 25")),),
    "claude-opus-4-7": ((None, _price("5 25")),),
    "claude-opus-4-6": ((None, _price("5 25")),),
    "claude-opus-4-5": ((None, _price("5 25")),),
    "claude-opus-4": ((None, _price("15 75")),),
    "claude-3-opus": ((None, _price("15 75")),),
    "claude-sonnet-5-5": ((None, _price("2 10 0.05")),),
    "claude-sonnet-5": ((None, _price("2 10")),),
    "claude-sonnet-4-6": ((None, _price("3 15")),),
    "claude-sonnet-4": ((200_000, _price("3 15")), (None, _price("6 22.5"))),
    "claude-3-7-sonnet": ((None, _price("3 15")),),
    "claude-3-5-sonnet": ((None, _price("3 15")),),
    "claude-haiku-5-5": ((100_000, _price("0.1 0.5")), (None, _price("0.5 2.5"))),
    "claude-haiku-4-5": ((None, _price("1 5")),),
    "claude-3-5-haiku": ((None, _price("0.8 4")),),
    "claude-3-haiku": ((None, _price("0.25 1.25")),),
}


# Inputs of more tokens than these may have another price.
SIZES = sorted({most for prices in PRICES.values() for most, _ in prices if most is not None})


def price_of(model: str, tokens: int = 0) -> Price | None:
    """The price of a call to `model` with `tokens` of input (cached ones included), or None when it is unknown.

    Names that platforms put before the model's own ("anthropic.", "eu.anthropic.", "vendor/") do not matter.
    """
    family = _family(model)
    if family is None:
        return None
    return next(price for most, price in PRICES[family] if most is None or tokens <= most)


@lru_cache(maxsize=256)
def _family(model: str) -> str | None:
    name = model.rpartition("/")[2].rpartition("anthropic.")[2].replace("@", "-")
    return max((known for known in PRICES if name == known or name.startswith(f"{known}-")), key=len, default=None)


def cost(model: str, *, input: int, cache_read: int, cache_write: int, output: int, ttl: str = "5m") -> Decimal | None:
    """US dollars for one call, from the tokens that the API counted; None when the model's price is unknown."""
    price = price_of(model, input + cache_read + cache_write)
    if price is None:
        return None
    weighed = input + cache_read * price.read + cache_write * price.write(ttl)
    return ((weighed * price.input + output * price.output) / MILLION).quantize(STEP)


def saved_by_caching(model: str, *, input: int, cache_read: int, cache_write: int, ttl: str = "5m") -> Decimal | None:
    """US dollars that the prompt cache saved on one call: negative where it was written and never read.

    reads x (1 - read price) - writes x (write price - 1), at the model's input price.
    None when the model's price is unknown.
    """
    price = price_of(model, input + cache_read + cache_write)
    if price is None:
        return None
    shares = cache_read * (1 - price.read) - cache_write * (price.write(ttl) - 1)
    return (shares * price.input / MILLION).quantize(STEP)


def of_spared(model: str, tokens: int, size: int, *, paid: str, ttl: str = "5m") -> Decimal | None:
    """US dollars that `tokens` more of finished turns would have cost in a call of `size` tokens, `paid` as
    monitoring.sparing says: "read" from the cache, "write" to it, or in "full". None when the price is unknown.

    A step lower than the truth where the longer request would have fallen into a dearer class of sizes.
    """
    price = price_of(model, size)
    if price is None:
        return None
    share = {"read": price.read, "write": price.write(ttl)}.get(paid, Decimal(1))
    return (tokens * share * price.input / MILLION).quantize(STEP)


def of_rewritten(model: str, tokens: int, size: int, *, ttl: str = "5m") -> Decimal | None:
    """US dollars that writing `tokens` to the cache again cost more than reading them there would have, in a call of
    `size` tokens; None when the price is unknown."""
    price = price_of(model, size)
    if price is None:
        return None
    return (tokens * (price.write(ttl) - price.read) * price.input / MILLION).quantize(STEP)
