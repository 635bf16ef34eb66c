"""The conversations of a bad night: raw legacy history over the window, each with one thing that must not be lost."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from chat.context.tokens import Counter
from chat.providers.standin import counting
from chat.store.portable import storing
from chat.store.portable.storing import Prepared
from chat.store.portable.values import Conversation, Exchange

TURNS = 42
# Over the window by the API's own count, as on that night.
FULL = 1.05
BATCH = 25
_TEXT = """
pressure valve water kettle grinder handle boiler filter steam spring beans cup hose drain counter morning evening
customer barista machine workshop courier repair warm cold slow quick heavy light clean dusty early late often
seldom again perhaps because although before after between under over near toward without listens asks answers
waits turns opens closes carries measures writes calls brings keeps lets looks needs tastes smells hums drips
"""
_WORDS = _TEXT.split()
_THINGS = ("order number", "customer number", "serial number", "invoice number", "booking number")


@dataclass(frozen=True, slots=True)
class Case:
    """One conversation of the night: its session, the question about it, and the value that answers it."""

    session: UUID
    question: str
    value: str
    turns: int


def make(owner: Any, count: int, window: int, step: Callable[[int], Any]) -> list[Case]:
    """Build so many, a batch a transaction; `step` is told how many were made. No facts, no usage, no summaries.

    `window` is tokens. The same for the same numbers, whoever calls.
    """
    dice = random.Random(847)
    size = int(window * FULL / TURNS / 2)
    filler = [_prose(dice, size) for _ in range(2 * TURNS)]
    count_of = Counter().count
    tokens = {text: count_of(text) for text in filler}
    out: list[Case] = []
    while len(out) < count:
        with transaction.atomic():
            some = [
                _one(owner, index, filler, tokens, count_of) for index in range(len(out), min(count, len(out) + BATCH))
            ]
        out += some
        step(len(some))
    return out


def _one(owner: Any, index: int, filler: list[str], tokens: dict[str, int], count: Callable[[str], int]) -> Case:
    thing, value = _THINGS[index % len(_THINGS)], f"{'KLMNPQRT'[index % 8]}-{10_000 + index * 7}"
    planted = 1 + index % (TURNS // 2)  # in the half that is compressed first
    turns, sizes = [], []
    for number in range(TURNS):
        prompt, reply = filler[(2 * number + index) % len(filler)], filler[(2 * number + 1 + index) % len(filler)]
        extra = f" My {thing} is {value}." if number == planted else ""
        turns.append(Exchange(prompt=prompt + extra, reply=reply, parent=number - 1 if number else None))
        sizes.append((tokens[prompt] + (count(extra) if extra else 0), tokens[reply]))
    told = Conversation(place=f"drill {index}", title=f"Drill {index + 1}", turns=tuple(turns))
    session = storing.store(owner, told, Prepared(sizes, [()] * TURNS))
    return Case(session=session.pk, question=f"What is my {thing}?", value=value, turns=TURNS)


def _prose(dice: random.Random, tokens: int) -> str:
    """Sentences of so many tokens, as the stand-in counts."""
    said, size = [], 0
    while size < tokens:
        sentence = " ".join(dice.choices(_WORDS, k=dice.randint(6, 14))).capitalize() + "."
        said.append(sentence)
        size += counting.count(sentence)
    return " ".join(said)
