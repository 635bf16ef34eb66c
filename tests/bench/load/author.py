"""An upstream that writes prose, lists, tables and code. `python -m tests.bench.load.author PORT`

A message with "N tokens" in it is answered by so many, any other one by thirty; a token every 10 ms, as from the other
upstream. The same words fill the conversations that a benchmark reads (`story`).
"""

import asyncio
import json
import random
import re
import sys

from tests.bench.load import upstream, words

ASKED = re.compile(r"([\d,]+) tokens")
SHORT = 30


def _words(dice: random.Random, count: int) -> list[str]:
    """Words of which no two texts have the same ones in the same order: what compresses no better than prose does."""
    known = words.WORDS
    made = [
        dice.choice(known) if dice.random() < 0.75 else "".join(dice.choices("aeiounrstlmdkpg", k=dice.randint(4, 9)))
        for _ in range(count)
    ]
    return made


def _sentence(dice: random.Random) -> str:
    made = _words(dice, dice.randint(8, 18))
    return " ".join(made).capitalize() + "."


def block(dice: random.Random, kind: str) -> str:
    """One block of markdown."""
    if kind == "list":
        return "\n".join(f"- {_sentence(dice)}" for _ in range(4))
    if kind == "table":
        rows = [f"| {' '.join(_words(dice, 2))} | {dice.randint(1, 999)} | {_words(dice, 1)[0]} |" for _ in range(5)]
        return "\n".join(["| part | bar | state |", "|---|---:|---|", *rows])
    if kind == "code":
        names = _words(dice, 6)
        lines = [
            f"    {name}_{at} = measure({at}) * {dice.random():.3f}  # {_words(dice, 1)[0]}"
            for at, name in enumerate(names)
        ]
        return "\n".join(["```python", f"def {names[0]}(bar):", *lines, f"    return {names[1]}_1", "```"])
    if kind == "heading":
        return f"## {' '.join(_words(dice, 4)).capitalize()}"
    return " ".join(_sentence(dice) for _ in range(dice.randint(3, 6)))


KINDS = ("prose", "prose", "list", "heading", "prose", "code", "prose", "table")


def text(seed: int, blocks: int) -> str:
    """A reply of so many blocks; the same one for the same seed."""
    dice = random.Random(seed)
    return "\n\n".join(block(dice, KINDS[(at + seed) % len(KINDS)]) for at in range(blocks))


def tokens(seed: int, count: int) -> tuple[str, ...]:
    """A reply as so many pieces, words with the space or the line break after them."""
    dice = random.Random(seed)
    made: list[str] = []
    for at in range(count):
        made += re.findall(r"\s*\S+", block(dice, KINDS[at % len(KINDS)]))
        made[-1] += "\n\n"
        if len(made) >= count:
            break
    return tuple(made[:count])


class Author(upstream.Upstream):
    """Answers what it is asked, whatever was said before."""

    @staticmethod
    def reply(body: bytes) -> tuple[str, ...]:
        content = json.loads(body)["messages"][-1]["content"]
        said = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
        found = ASKED.search(said)
        return tokens(len(said), int(found[1].replace(",", "")) if found else SHORT)


if __name__ == "__main__":
    asyncio.run(upstream.main(int(sys.argv[1]), Author))
