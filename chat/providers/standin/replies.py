"""Composes a reply from what stands in the request, and from nothing else."""

import re
from collections.abc import Sequence

from . import language, samples, search
from .questions import Ask, asked, wants_making
from .request import Reading
from .statements import Statement, told

UNKNOWN = "That is not in my context."
_GREETING = re.compile(
    r"^\W*(?:hi|hello|hey|hiya|good (?:morning|afternoon|evening|day)|greetings|howdy|moin|hallo)\b"
    r"(?:\s+(?:there|all|everyone|again|claude|assistant))?\W*$",
    re.IGNORECASE,
)
_HAPPENED = re.compile(r"\b(?:did|does|do|has|have|had|will|would)\b", re.IGNORECASE)
_OPENERS = ("Noted:", "Got it:", "Thanks, noted:", "Understood:")
_THANKS = re.compile(
    r"^\W*(?:many |ok(?:ay)?,? )?(?:thanks|thank you|thx|cheers|great|perfect|ok|okay|good|nice)\b[^?]{0,30}$",
    re.IGNORECASE,
)
_INTRODUCTION = (
    "I am the **offline stand-in**: no API key is set, so a small program on this machine answers instead of a model. "
    "I read only what each request holds. Tell me a few things, talk for a while, and ask for them later: "
    "you will see what compression keeps and what it loses."
)
_COURTESY = re.compile(
    r"^(?:(?:hi|hello|hey|please|thanks|ok(?:ay)?|so|well)\b[\s,!.–-]*)*"
    r"(?:(?:can|could|would|will) (?:you|we)\s+|i (?:want|need|would like|'d like) (?:you )?to\s+)?(?:please\s+)?",
    re.IGNORECASE,
)
_LONGEST_TITLE = 60
_CHAT = (
    "Thanks for telling me. What stays with me: {topics}.",
    "I see. The words that stand out are {topics}. What happened next?",
    "That gives me something to hold on to: {topics}. Ask me about it whenever you like.",
    "Understood. I will keep {topics} in view as long as it stands in my context.",
    "Good to hear from you on {topics}. Is there a detail that I should not lose?",
)


def compose(reading: Reading) -> str:
    """The reply to the user's words; markdown, never empty, the same for the same request."""
    words = reading.words
    asks = asked(words)
    if asks:
        return _answers(asks, reading)
    if wants_making(words):
        return samples.compose(words, reading.seed)
    if statements := told(words):
        return _acknowledge(statements, reading)
    if _GREETING.match(words):
        return f"Hello! {_INTRODUCTION}"
    if _THANKS.match(words):
        return ("You're welcome.", "Gladly.", "Any time.")[reading.seed % 3]
    return _chat(words, reading)


def title(reading: Reading) -> str:
    """A few words to name a conversation by: the first sentence that says something, without its courtesies."""
    text = reading.words or " ".join(reading.earlier)
    told = [_COURTESY.sub("", sentence) for sentence in language.sentences(text)]
    best = next((sentence for sentence in told if len(language.content_words(sentence)) > 1), "".join(told[:1]))
    words = best.strip(" .!?,;:").split()[:6]
    while len(" ".join(words)) > _LONGEST_TITLE:
        words.pop()
    named = " ".join(words).strip(" .!?,;:") or "New conversation"
    return named[:1].upper() + named[1:]


def _answers(asks: Sequence[Ask], reading: Reading) -> str:
    answers: dict[str, str] = {}
    for ask in asks:
        answer = _answer(ask, reading)
        # Of several things asked, say which one is unknown.
        named = answer == UNKNOWN and len(asks) > 1 and ask.kind == "attribute"
        answers[f"{_possessor(ask.owner).capitalize()} {ask.thing}: {UNKNOWN.lower()}" if named else answer] = ""
    if len(answers) > 1:
        # "Anything new?" after a question that was answered needs no second sentence.
        answers.pop(UNKNOWN, None)
    return "\n\n".join(answers)


def _answer(ask: Ask, reading: Reading) -> str:
    if ask.kind == "self":
        return _INTRODUCTION
    if ask.kind == "talk":
        return "All well here, thank you: I am the offline stand-in, with nothing but this conversation on my mind."
    if ask.kind == "all":
        return _everything(reading)
    sources = (reading.words, *reading.earlier)
    for phrase in ask.phrases:
        if value := search.find(phrase, sources):
            thing = ask.thing if phrase == ask.phrases[0] or len(phrase) >= len(ask.phrases[0]) else " ".join(phrase)
            owned = "" if "'s " in thing else f"{_possessor(ask.owner).capitalize()} "
            return f"{owned}{thing} is **{value}**."
    if ask.phrases and (found := search.reordered(ask.phrases[0], sources)):
        return f"{_possessor(found.owner).capitalize()} {found.phrase} is **{found.value}**."
    # "What did my sister say about the trip?" asks for what happened, not for a thing that has a value.
    happened = ask.kind == "open" or (len(ask.phrases[0]) >= 4 and _HAPPENED.search(ask.sentence))
    if happened and (quote := search.deed(ask.sentence, sources) or search.closest(ask.sentence, sources)):
        return f"From what stands in my context: “{quote}”"
    return UNKNOWN


def _everything(reading: Reading) -> str:
    known: dict[str, Statement] = {}
    for source in (*reversed(reading.earlier), reading.words):
        for statement in told(source):
            if statement.owner != "the":
                known.pop(statement.phrase.lower(), None)
                known[statement.phrase.lower()] = statement
    if not known:
        return "Nothing yet: there is no statement of yours in my context."
    lines = [f"- {_possessor(found.owner)} {found.phrase}: **{found.value}**" for found in known.values()]
    return "This stands in my context:\n\n" + "\n".join(lines[-40:])


def _acknowledge(statements: Sequence[Statement], reading: Reading) -> str:
    opener = _OPENERS[reading.seed % len(_OPENERS)]
    told_now = [f"{_possessor(found.owner)} {found.phrase} is **{found.value}**" for found in statements[:6]]
    listed = ", ".join(told_now[:-1]) + (" and " if len(told_now) > 1 else "") + told_now[-1]
    name = next((found.value for found in statements if found.phrase == "name" and found.owner == "my"), "")
    greeting = f"Hello {name}. " if name and reading.first else ""
    return f"{greeting}{opener} {listed}."


def _chat(words: str, reading: Reading) -> str:
    topics = [f"*{topic}*" for topic in samples.topics(words, 3)]
    if not topics:
        return "I am here. Tell me something, or ask for something you told me before."
    listed = ", ".join(topics[:-1]) + (" and " if len(topics) > 1 else "") + topics[-1]
    return _CHAT[reading.seed % len(_CHAT)].format(topics=listed)


def _possessor(owner: str) -> str:
    return {"my": "your", "our": "your", "": "the", "your": "my"}.get(owner, owner)
