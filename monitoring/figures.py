"""How figures are written: one notation for pages, headlines and charts.

Tokens in `k` and `M` with one decimal, a no-break space before the unit, a real minus, US dollars with as many
decimals as the amount needs. `None` is written as a dash: not known, which is never the same as 0.
"""

from decimal import Decimal

NONE = "–"
SPACE = "\u00a0"
MINUS = "\u2212"


def split_tokens(count: float | None) -> tuple[str, str]:
    """A number of tokens as (number, unit): (512, ""), (78.3, "k"), (5.01, "M")."""
    if count is None:
        return NONE, ""
    size = abs(count)
    if size < 999.5:
        number, unit = f"{count:.0f}", ""
    elif size < 999_950:
        number, unit = f"{count / 1_000:.1f}", "k"
    else:
        number, unit = f"{count / 1_000_000:.2f}", "M"
    return _signed(number), unit


def tokens(count: float | None) -> str:
    """78300 -> "78.3 k"."""
    number, unit = split_tokens(count)
    return f"{number}{SPACE}{unit}" if unit else number


def window(count: int | None) -> str:
    """A window in tokens, without decimals where it has none: 200000 -> "200 k", 16500 -> "16.5 k"."""
    return tokens(count).replace(f".00{SPACE}", SPACE).replace(f".0{SPACE}", SPACE)


def whole(count: int | None) -> str:
    """1091 -> "1,091"."""
    return NONE if count is None else _signed(f"{count:,}")


def percent(share: float | None, decimals: int = 1) -> str:
    """0.436 -> "43.6 %"."""
    return NONE if share is None else f"{_signed(f'{share * 100:.{decimals}f}')}{SPACE}%"


def change(share: float | None) -> str:
    """A difference with its sign: -0.014 -> "−1.4 %", 0.002 -> "+0.2 %"."""
    if share is None:
        return NONE
    sign = "+" if round(share * 100, 1) > 0 else ""
    return f"{sign}{percent(share)}"


def seconds(milliseconds: int | None) -> str:
    """740 -> "0.74 s"."""
    return NONE if milliseconds is None else f"{milliseconds / 1000:.2f}{SPACE}s"


def dollars(amount: Decimal | float | None) -> str:
    """Cents where there are any, tenths of a cent below ten cents: 16.84 -> "$16.84", 0.0971 -> "$0.097"."""
    if amount is None:
        return NONE
    size = abs(Decimal(amount))
    text = f"{size:,.4f}" if 0 < size < Decimal("0.01") else f"{size:,.3f}" if 0 < size < 1 else f"{size:,.2f}"
    return f"{MINUS if amount < 0 else ''}${text}"


def _signed(number: str) -> str:
    # "-0.0" is what is left of a rounded nothing.
    if number.startswith("-"):
        return MINUS + number[1:] if number.strip("-0.,") else number[1:]
    return number
