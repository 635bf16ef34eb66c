"""What is asked: turns the user's words into attribute phrases, by grammar alone."""

import re
from dataclasses import dataclass
from typing import Literal

from . import language
from .statements import fold, is_question

_LEAD = (
    r"(?:(?:please|hey|hi|hello|ok|okay|so|and|now|well|sorry|quick question|one more thing|by the way|just checking|"
    r"also|hm+|oh|but|"
    r"then|thanks|thank you|great)\b[\s,:!.–-]*)*"
)
_ORDER = re.compile(
    rf"^{_LEAD}(?:(?:can|could|would|will) you\s+)?(?:please\s+|kindly\s+)?(?:also\s+)?"
    r"(?:remind me|tell me|give me|repeat|recall|restate|look up|state|confirm|show me|let me know|let me have|say)\b",
    re.IGNORECASE,
)
_WH_OPENING = re.compile(
    rf"^{_LEAD}(?:what|who|where|when)(?:'s| is| are| was| were)\b|^{_LEAD}which\b.*\b(?:did|is|was)\b", re.IGNORECASE
)
_FORGOT = re.compile(
    r"\b(?:forgot|forgotten|forget|misplaced|lost track of|(?:can't|cannot|can not|don't|do not|couldn't) (?:remember|"
    r"recall|find|have))\b"
    r"(?:\s+(?:what|where|which))?\s+(?:was\s+|is\s+)?(?P<owner>my|our|the)\s+(?P<rest>\S.*)$",
    re.IGNORECASE,
)
_IT = re.compile(r"\b(?:it|that|this|one)\b", re.IGNORECASE)
_MAKING = re.compile(
    r"\b(?:write|draft|compose|explain|describe|show me|give me|make|create|list|generate|tell me)\b.{0,60}?"
    r"\b(?:an?|some|\d+|the)?\s*(?:\w+\s+){0,3}(?:table|code|list|essay|story|poem|example|examples|function|script|"
    r"snippet|steps|overview|"
    r"article|answer|explanation|guide|plan|letter|email|tips|ideas|joke|paragraphs?|words)\b|"
    r"^\W*(?:please\s+)?(?:write|draft|compose|explain)\b",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"(?:[\s,–-]+(?:again|please|is|was|are|were|be|right now|now|exactly|at the moment|for me|once more|"
    r"one more time|once again|then|"
    r"anyway|earlier|before|previously|already|(?:that |which )?(?:i|we)(?: have|'ve|'d| had)? (?:just |once |"
    r"first )?(?:gave|given|give|told|tell|"
    r"mentioned|mention|said|say|shared|share|sent|send|wrote|provided|provide|stated|noted|discussed|talked about|"
    r"agreed on|settled on|set|used)"
    r"(?: (?:you|to you|with you|about|earlier|before|on|already|above|at the start|at the beginning))*|"
    r"from (?:earlier|before|above)|"
    r"(?:you )?(?:have )?on file|(?:that )?you (?:have|noted|know|remember|wrote down|stored|"
    r"saved)(?: down)?(?: for me| on file)?|"
    r"if you (?:know|remember|can|still (?:have|know) it|don't mind|would)|"
    r"(?:from|in|during|of) (?:our|this|the) (?:chat|conversation|discussion)|(?:and )?what (?:was|is) (?:it|that)|"
    r"do you (?:still )?(?:know|remember|recall|have)(?: it| that)?|(?:can|could|would) you (?:tell|remind|"
    r"help) me(?: of it)?|to me|to you|"
    r"did|does|do|have|had|supposed to be|handy|off the top of your head|at the start|at the beginning|today|"
    r"currently))+[\s,?!.]*$",
    re.IGNORECASE,
)
_OWNER = re.compile(r"\b(my|our|the|your|his|her|their)\s+(?=\S)", re.IGNORECASE)
_WH = re.compile(
    r"\b(?:what|which|who|whose|where|when)(?:'s|\s+is|\s+are|\s+was|\s+were|"
    r"\s+will be)?\s+(?P<rest>\S.*)$",
    re.IGNORECASE,
)
_KIND_OF_OWNED = re.compile(
    r"^(?:what|which)\s+(?P<kind>[\w-]+)\s+(?:is|are|was|were)\s+(?:my|our|the|his|her|their)\s+(?P<owned>[\w-]+)\b",
    re.IGNORECASE,
)
_YES_OR_NO = re.compile(rf"^{_LEAD}(?:is|was|are|were)\s+(?:my|our)\b", re.IGNORECASE)
_AFTERTHOUGHT = re.compile(
    r"\s*[,;–—]\s+(?=(?:what|which|do|can|could|please|remind|tell|if)\b)|\s+-\s+|\s+(?:is|was) what\b", re.IGNORECASE
)
_QUALIFIER = frozenset(
    {"new", "current", "latest", "updated", "own", "correct", "exact", "actual", "right", "full", "old"}
)
_SELF = re.compile(
    r"\b(?:your name|who are you|what are you|what can you do|are you (?:an? )?(?:real|bot|human|ai|claude|robot|"
    r"person|stand-?in|offline)|"
    r"who am i (?:talking|speaking|chatting) (?:to|with)|which model|how do you work|what is this)\b",
    re.IGNORECASE,
)
_MY_NAME = re.compile(
    r"\b(?:who am i|what should you call me|what do (?:you|people|they) call me|how should you (?:call|address) me)\b",
    re.IGNORECASE,
)
_ALL = re.compile(
    r"\b(?:what|everything|anything|all|things?)\b.{0,40}\b(?:know|remember|told you|have|noted|learn(?:ed|"
    r"t)?)\b.{0,25}\b(?:about (?:me|us)|so far)\b"
    r"|\bwhat have i told you\b|\bwhat do you (?:still )?(?:know|remember)\W*$",
    re.IGNORECASE,
)
_SMALL_TALK = re.compile(
    r"\b(?:how are you|how(?:'s| is) it going|how have you been|how are things|what's up|what is up|how do you do|"
    r"you okay|nice to (?:meet|see) you)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One thing asked. `phrases` are the ways to look for it, best first; `owner` is "my", "the", ..."""

    kind: Literal["attribute", "self", "all", "talk", "open"]
    sentence: str
    owner: str = ""
    phrases: tuple[tuple[str, ...], ...] = ()
    spelt: str = ""

    @property
    def thing(self) -> str:
        """What is asked for, in the user's spelling where it is known."""
        if self.phrases and self.phrases[0][-1] == "name":
            return " ".join(self.phrases[0])
        return self.spelt or " ".join(self.phrases[0])


def asked(text: str) -> list[Ask]:
    """Everything that the user's words ask, in order; [] when they only tell."""
    found: list[Ask] = []
    forgotten: list[Ask] = []
    for sentence in language.sentences(text):
        if wants_making(sentence) and not sentence.rstrip().endswith("?"):
            continue
        if _is_asked(sentence):
            asks = _read(sentence)
            # "I forgot my x. Can you look it up?": the question is about what was just named.
            found += (
                forgotten if forgotten and _IT.search(sentence) and all(ask.kind == "open" for ask in asks) else asks
            )
            forgotten = []
        elif match := _FORGOT.search(fold(sentence).strip(" \"'?!.*")):
            forgotten = _attributes(match["owner"].lower(), match["rest"], sentence)
    return found


def is_asking(sentence: str) -> bool:
    """Whether the sentence asks, or says that its writer does not know."""
    return _is_asked(sentence) or bool(_FORGOT.search(sentence))


def _is_asked(sentence: str) -> bool:
    return bool(
        is_question(sentence) or _ORDER.match(sentence) or (_WH_OPENING.match(sentence) and len(sentence) < 120)
    )


def wants_making(text: str) -> bool:
    """Whether the words ask for a piece of writing rather than for something known."""
    return bool(_MAKING.search(text)) and not re.search(r"\b(?:my|our)\s+[\w ]{2,40}\?*$", text, re.IGNORECASE)


def _read(sentence: str) -> list[Ask]:
    if _ALL.search(sentence):
        return [Ask("all", sentence)]
    if _MY_NAME.search(sentence):
        return [Ask("attribute", sentence, "my", (("name",),))]
    if _SELF.search(sentence):
        return [Ask("self", sentence)]
    if _SMALL_TALK.search(sentence):
        return [Ask("talk", sentence)]
    bare = re.sub(f"^{_LEAD}", "", fold(sentence).strip(" \"'?!.*"), flags=re.IGNORECASE)
    if match := _KIND_OF_OWNED.match(bare):
        kind, owned = match["kind"].lower(), match["owned"].lower()
        whole = tuple(language.words(bare[match.start("owned") :]))
        phrases = ((owned, kind), (kind, owned), (owned,)) if len(whole) == 1 else (_trim(whole), _trim(whole)[:1])
        return [Ask("attribute", sentence, "my", tuple(phrase for phrase in phrases if phrase))]
    owner, rest = _locate(bare)
    return _attributes(owner, rest, sentence) if rest else [Ask("open", sentence)]


def _attributes(owner: str, rest: str, sentence: str) -> list[Ask]:
    """An ask for each thing named in `rest`: "a and my b" names two."""
    parts = re.split(r"\s*(?:,|\band\b)\s*(?:(?:also|then)\s+)?(?=(?:my|our|the|his|her|their)\s)", rest)
    asks = []
    for index, part in enumerate(parts):
        if index and (match := _OWNER.match(part)):
            owner, part = match[1].lower(), part[match.end() :]
        part = _without_tail(part)
        phrase = _trim(tuple(language.words(part)))
        if not phrase or len(phrase) > 8:
            asks.append(Ask("open", sentence))
            continue
        phrases = _variants(phrase, sentence)
        if _YES_OR_NO.match(sentence):
            # "Is my seat still B-2?" asks for the seat: the thing is some beginning of what follows.
            phrases += tuple(phrase[:length] for length in range(len(phrase) - 1, 0, -1))
        asks.append(Ask("attribute", sentence, owner, phrases, _spelt(part, phrase)))
    return asks


def _spelt(part: str, phrase: tuple[str, ...]) -> str:
    """The phrase as the user wrote it, capitals kept."""
    written = part.split()[-len(phrase) :]
    if written and written[0].istitle():
        written[0] = written[0].lower()
    return " ".join(written) if len(written) == len(phrase) else " ".join(phrase)


def _locate(bare: str) -> tuple[str, str]:
    """Where the phrase begins: after a possessive or an article, else after the question word, else the bare words."""
    shortened = _without_tail(bare)
    owners = list(_OWNER.finditer(shortened))
    owned = next((match for match in owners if match[1].lower() in {"my", "our"}), owners[0] if owners else None)
    if owned:
        ahead = shortened[: owned.start()].rstrip().lower()
        # "What did I plan for the weekend" asks for something about the weekend, not for "the weekend".
        if not re.search(r"\b(?:for|about|with|in|at|on|to|from|during|after|before)$", ahead) or re.search(
            r"\bremind me (?:of|about)$", ahead
        ):
            return owned[1].lower(), shortened[owned.end() :]
        return "", ""
    if match := _WH.search(shortened):
        rest = match["rest"]
        if re.match(
            r"(?:do|does|did|is|are|was|were|can|could|will|would|should|has|have|had|i|you|we|they|he|she|it|there|"
            r"up)\b",
            rest,
            re.IGNORECASE,
        ):
            return "", ""
        phrase = re.sub(
            r"\s+(?:did|have|do|was|is|has|had|are|am|were|will|should|can)\s+(?:i|we|you|it)\b.*$",
            "",
            rest,
            flags=re.IGNORECASE,
        )
        return "the", phrase
    if len(shortened.split()) <= 4 and not re.match(
        r"(?:do|does|did|is|are|was|were|can|could|will|would|should|have|has|why|really|any)\b",
        shortened,
        re.IGNORECASE,
    ):
        return "the", re.sub(rf"^{_LEAD}", "", shortened, flags=re.IGNORECASE)
    return "", ""


def _without_tail(text: str) -> str:
    head = _AFTERTHOUGHT.split(text, maxsplit=1)[0]
    if _OWNER.search(head) or not _OWNER.search(text):
        text = head
    while (shorter := _TAIL.sub("", text).rstrip(" ?!.,")) != text and shorter:
        text = shorter
    return text


def _trim(phrase: tuple[str, ...]) -> tuple[str, ...]:
    while len(phrase) > 1 and phrase[0] in _QUALIFIER:
        phrase = phrase[1:]
    return phrase


def _variants(phrase: tuple[str, ...], bare: str) -> tuple[tuple[str, ...], ...]:
    found = [phrase]
    if phrase[-1] in {"called", "named"} and len(phrase) > 1:
        found = [(*phrase[:-1], "name"), phrase[:-1]]
    elif phrase[-1] in {"name", "value"} and len(phrase) > 1:
        found.append(phrase[:-1])
    if re.search(r"\b(?:called|named)\b", bare, re.IGNORECASE) and found[0][-1] != "name":
        found.insert(0, (*phrase, "name"))
    return tuple(found)
