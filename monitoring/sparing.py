"""What compaction saved: a call with summaries against the same call of a conversation that only ever grew. Pure.

S tokens of finished turns did not stand in the request (the turns that summaries stand for, less the summaries). Had
nothing been compacted, a call would have sent them too, at the price of the rest of its prefix: read from the cache
where that was read, written to it where it was written. What a compaction breaks would have been read as well, so the
first call after one pays for more than it was spared: of the `left` tokens that the call before had put into the cache
it reads `read`, those newly spared are gone, and all others are written again, which costs the price of a write in the
place of the price of a read. With w and r for these prices:

    append-only - actual = S x r - rewritten x (w - r),  rewritten = (left - read) - (S - S of the call before)

What making the summaries cost is taken off by whoever adds up.
"""

from datetime import timedelta

READ, WRITE, FULL = "read", "write", "full"
COMPACTION = "compaction"


def rewritten(
    *,
    miss_cause: str,
    left: int | None,
    read: int,
    spared: int | None,
    spared_before: int | None,
    age: timedelta,
    life: timedelta,
) -> int | None:
    """Tokens that a call wrote to the cache again because of a compaction; None where none broke the cache.

    `left` is what the call before had left there, `age` ago, and `life` how long such an entry lives: what nobody
    could have read any more was not lost to the compaction. None too where something of it was not told.
    """
    if miss_cause != COMPACTION or age > life or left is None or spared is None or spared_before is None:
        return None
    return max(0, left - read - max(0, spared - spared_before))


def paid_as(*, read: int, write: int, rewritten: int | None) -> str:
    """The class of price that the spared tokens of a call would have been paid at: READ, WRITE or FULL."""
    if read or rewritten is not None:
        return READ
    return WRITE if write else FULL
