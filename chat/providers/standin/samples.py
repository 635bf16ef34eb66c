"""Longer pieces of markdown, for those who ask for one: they show how a reply is drawn, and fill a window.

The text claims nothing about its subject: it must never be taken for something that the user told.
"""

import re

from . import language

_SENTENCES = (
    "Begin with {topic} as you find it today, before changing anything.",
    "Write down who relies on {topic}, and what they would notice first.",
    "A small trial shows more about {topic} than a long debate.",
    "Leave room around {topic}: most surprises arrive late.",
    "Ask of every step whether {topic} gains from it or merely looks busier.",
    "People who care about {topic} will tell you what to drop, if you ask them early.",
    "Keep one page of notes on {topic}, with dates, and read it again after a week.",
    "When two plans for {topic} look alike, prefer the one that can be undone.",
    "Measure {topic} twice with different means; the gap between them teaches the most.",
    "Explain {topic} to somebody new, and watch where the questions come.",
    "Do the dull part of {topic} first, while there is still patience for it.",
    "Agree on what would make you stop working on {topic}.",
    "Half of the trouble with {topic} comes from words that two people use differently.",
    "A picture of {topic} on a wall starts more useful talks than a file in a folder.",
    "Put the hardest question about {topic} at the top of the list, not at its end.",
    "Whatever you learn about {topic} this week, write it where the next person will look.",
    "Compare {topic} with something older that survived, and ask what both share.",
    "Try to describe {topic} in one breath; the parts that do not fit may not be needed.",
    "Name one thing about {topic} that must not change, and protect it.",
)
_STEPS = ("Look", "Sort", "Try", "Compare", "Decide", "Tell others")
_NOTE = "*The offline stand-in wrote this to show what a longer reply looks like; it knows nothing about the subject.*"
_TABLE = re.compile(r"\b(?:table|compare|comparison|overview)\b", re.IGNORECASE)
_CODE = re.compile(r"\b(?:code|function|script|python|javascript|snippet|program|sql|regex)\b", re.IGNORECASE)
_LIST = re.compile(r"\b(?:list|steps|tips|ideas|checklist|plan|guide)\b", re.IGNORECASE)
_REQUEST = language.vocabulary(
    "write draft compose explain describe show give make create list generate table code essay story poem example "
    "examples "
    "function script snippet steps overview article answer explanation guide plan letter email tips ideas joke "
    "paragraph "
    "paragraphs words long detailed short please python javascript markdown compare comparison column columns row "
    "rows word "
    "heading headings need want like detail details some text let lot great really very much many also got get going "
    "go"
)


def topics(text: str, most: int) -> list[str]:
    """Up to `most` words that `text` seems to be about: the longest of the early ones, in their order."""
    found: list[str] = []
    for word in re.findall(r"[A-Za-z][\w-]{2,}", language.plain(text)[:4000]):
        if (
            word.lower() not in _REQUEST
            and language.content_words(word)
            and word.lower() not in {seen.lower() for seen in found}
        ):
            found.append(word)
    longest = sorted(found[:12], key=len, reverse=True)[:most]
    return [word for word in found if word in longest]


def compose(words: str, seed: int) -> str:
    """A piece in markdown of the kind that was asked for; about 250 words unless a number of words is named."""
    topic = " ".join(topics(words, 2)) or "your next project"
    wanted = re.search(r"\b(\d{2,4})[\s-]words?\b", words)
    length = min(int(wanted[1]), 3000) if wanted else 250
    kinds = [kind for kind, pattern in (("table", _TABLE), ("code", _CODE), ("list", _LIST)) if pattern.search(words)]
    parts = [f"## Notes on {topic}", _paragraph(topic, seed, 3)]
    if not kinds or "list" in kinds:
        parts += [
            "### In steps",
            "\n".join(f"{i}. **{step}**: {_sentence(topic, seed + i)}" for i, step in enumerate(_STEPS, 1)),
        ]
    if not kinds or "table" in kinds:
        parts += ["### Side by side", _table(topic)]
    if not kinds or "code" in kinds:
        parts += ["### As code", _code(topic)]
    turn = 0
    while wanted and len(" ".join(parts).split()) < length - 20:
        turn += 1
        if turn % 3 == 1:
            parts.append(f"### Part {turn // 3 + 1}")
        parts.append(_paragraph(topic, seed + 7 * turn, 4))
    return "\n\n".join([*parts, "> " + _sentence(topic, seed + 7), _NOTE])


def _paragraph(topic: str, seed: int, sentences: int) -> str:
    return " ".join(_sentence(topic, seed + 4 * i) for i in range(sentences))


def _sentence(topic: str, seed: int) -> str:
    return _SENTENCES[seed % len(_SENTENCES)].format(topic=topic)


def _table(topic: str) -> str:
    rows = [
        ("Small trial", "days", "low", "first"),
        ("Pilot", "weeks", "medium", "second"),
        ("Full change", "months", "high", "last"),
    ]
    head = f"| {topic} | takes | effort | order |\n|---|---:|---|---|\n"
    return head + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _code(topic: str) -> str:
    name = re.sub(r"\W+", "_", topic.lower()).strip("_") or "matter"
    return (
        "```python\n"
        f"def review_{name}(notes: list[str]) -> dict[str, int]:\n"
        '    """Count how often each word occurs in the notes."""\n'
        "    counts: dict[str, int] = {}\n"
        "    for note in notes:\n"
        "        for word in note.lower().split():\n"
        "            counts[word] = counts.get(word, 0) + 1\n"
        "    return counts\n"
        "```"
    )
