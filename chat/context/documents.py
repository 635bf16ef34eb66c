"""Attached documents: which fit their budget, and where in the request they stand.

A document stands where it was attached, before the words that it came with, until the next commit; then it moves to
the front of the first message, before all that changes there. That is what the prompt cache pays least for. With a
history of 20 k tokens and a document of 5 k that is asked about ten times, in thousand token-prices (write 1.25, read
0.1) for what the document changes:

    put into the first message at once     33.8   the whole history is written again: 1.25 x 5 + 1.15 x 20 + 9 x 0.5
    beside every new message               50     10 x 5, never in a prefix that is read again
    where it was attached                  10.8   1.25 x 5 + 9 x 0.5

At a commit all behind the documents is written anew anyway, so that moving costs nothing; and what already stood in
the first message (a document of the first turn, one of an earlier commit) keeps its very bytes there.
"""

from collections.abc import Collection, Mapping, Sequence

from chat.context import prompts
from chat.context.selection import LEAST_PIECE, Count
from chat.context.tokens import BLOCK_TOKENS, Counter
from chat.context.values import Block, Document

_PESSIMISTIC = Counter()
# How much more a counter must have learnt that documents hold before their cut changes.
STEP = 1.125


def wrapped(document: Document) -> str:
    """A whole document as data, with its name."""
    return prompts.wrap_document(name=document.name, text=document.text)


def tokens(name: str, text: str, counter: Counter) -> int:
    """What a document will take of its budget, in tokens: the figure that is stored with it."""
    return counter.count(prompts.wrap_document(name=name, text=text)) + BLOCK_TOKENS


def fit(given: Sequence[Document], limit: int, count: Count) -> tuple[tuple[Document, str], ...]:
    """The documents that fit `limit` tokens together by `count`, in order, each with its text as data.

    They fitted when they were attached; of what doesn't any more (a smaller window, an import, a model that turned out
    to need more tokens) the first is cut, with a marker, and the others are left out where they don't fit whole. The
    cut follows from stored figures, and from what was learnt since in steps, so that it is nearly always the same
    bytes with every request.
    """
    out: list[tuple[Document, str]] = []
    left, cut = limit, False
    for document in given:
        size = _size(document, count)
        if size <= left:
            out.append((document, wrapped(document)))
            left -= size
        elif not cut and left >= LEAST_PIECE and (text := _piece(document, size, left, limit, count)):
            out.append((document, text))
            left, cut = 0, True
    return tuple(out)


def place(attached: Mapping[Document, Block], stands: Collection[int]) -> tuple[list[Block], Mapping[int, list[Block]]]:
    """The blocks for the front of the first message, and those that stand with a turn, by its number.

    `stands` are the turns that are sent word for word. A document whose turn is not among them is sent all the same.
    """
    first: list[Block] = []
    beside: dict[int, list[Block]] = {}
    for document, block in attached.items():
        if document.settled or document.turn not in stands:
            first.append(block)
        else:
            beside.setdefault(document.turn, []).append(block)
    return first, beside


def shortened(document: Document, most: int, budget: int) -> str:
    """Head and tail of a document around a marker, in about `most` tokens; '' where only the marker would be left.

    Stored figures say how many characters those are: where the middle is thinner than the ends, they are more tokens.
    """
    marker = f"\n{prompts.truncated(component='documents', budget=budget)}\n"
    frame = tokens(document.name, marker, _PESSIMISTIC)
    keep = len(document.text) * max(0, most - frame) // max(1, document.tokens)
    if not keep:
        return ""
    text = prompts.head_and_tail(document.text.strip(), keep, marker)
    return prompts.wrap_document(name=document.name, text=text)


def _size(document: Document, count: Count) -> int:
    """Tokens that a document takes of the budget: those that were stored with it, or by steps as many as `count` has
    learnt that it has. Where fewer were learnt it goes by what was stored."""
    own = count(wrapped(document)) + BLOCK_TOKENS
    size = float(max(1, document.tokens))
    while size < own:
        size *= STEP
    return int(size)


def _piece(document: Document, size: int, left: int, limit: int, count: Count) -> str:
    """What of a document of `size` tokens goes into those that are `left` of `limit`; '' if that says nothing."""
    stored = max(1, document.tokens)
    most = aim = left * stored // size
    while aim >= LEAST_PIECE and (text := shortened(document, aim, limit)):
        # What is stored and what was learnt both have to hold; the one that is further off says what to aim at.
        held = max((_PESSIMISTIC.count(text) + BLOCK_TOKENS) / most, (count(text) + BLOCK_TOKENS) / left)
        if held <= 1:
            return text
        aim = min(aim - 1, int(aim / held))
    return ""
