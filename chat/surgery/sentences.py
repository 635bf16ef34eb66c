"""What the store refuses, as sentences for staff: what is so, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from django.db import IntegrityError

from chat.models import ChatSession
from chat.store import facts, forking, marks, undoing
from chat.store.branches import SessionBusy, UnknownTurn
from chat.surgery.values import Refused

LIVE = partial(Refused, "live", "A reply is being written: wait until it has ended, or cancel the turn first.")
GONE = partial(Refused, "gone", "This conversation is not there any more.")


@contextmanager
def told() -> Iterator[None]:
    """Turn what the store raises into Refused."""
    try:
        yield
    except (SessionBusy, forking.NotFinished):
        raise LIVE() from None
    except ChatSession.DoesNotExist:
        raise GONE() from None
    except UnknownTurn:
        raise Refused("unknown_turn", "There is no such turn on the active path.") from None
    except marks.PinsFull as full:
        raise Refused(
            "pins_full",
            f"There is no room for this pin: it holds {full.tokens:,} tokens, and {full.used:,} of {full.most:,} are"
            " pinned already.",
        ) from None
    except marks.Excluded as excluded:
        raise Refused("excluded", _by(excluded.by)) from None
    except undoing.NothingThere:
        raise Refused("nothing", "No summary stands for any of these turns.") from None
    except undoing.DoesNotFit as large:
        raise Refused(
            "too_large",
            f"It does not fit: {large.tokens:,} tokens would stand word for word, and there is room for"
            f" {max(0, large.most):,}.",
        ) from None
    except facts.UnknownFact:
        raise Refused("unknown_fact", "No such fact is remembered in this conversation.") from None
    except facts.EmptyFact:
        raise Refused("bad_parameters", "Write at least a word.") from None
    except facts.FactsFull as full:
        raise Refused(
            "facts_full", f"What was told would hold {full.tokens:,} tokens, and {full.most:,} are kept for it."
        ) from None
    except IntegrityError:
        raise Refused("lost", "Somebody else was quicker; nothing was changed. Look at it again.") from None


def price(low: int, high: int) -> str:
    """Millionths of a US dollar, at least and at most, in words: "$0.012 to $0.020". 0 is a price that nobody knows."""
    if not high:
        return "unknown"
    one, other = (_dollars(amount) for amount in (low, high))
    return f"~{other}" if one == other else f"~{one} to {other}"


def _dollars(amount: int) -> str:
    return f"${amount / 1_000_000:,.{2 if amount >= 1_000_000 else 3}f}"


def _by(who: str) -> str:
    if who == marks.USER:
        return "Its owner left this turn out; only they include it again."
    if who == "refusal":
        return "The model declined this turn; it is never sent again."
    return "An operator left this turn out: include it first."
