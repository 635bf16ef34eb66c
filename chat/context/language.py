"""A cheap guess at the language of a text: by its script, and for Latin letters by its small words.

It serves one question, whether a summary is in the language of its source. So it says nothing ('') rather than
something doubtful: short, mixed and rare texts are unknown.
"""

import re
from collections import Counter

# Script names by a range of letters that only they use. Kana stands before Han: Japanese uses both.
_SCRIPTS = (
    ("ja", re.compile("[\u3040-\u30ff]")),
    ("ko", re.compile("[\u1100-\u11ff\uac00-\ud7af]")),
    ("zh", re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")),
    ("cyrillic", re.compile("[\u0400-\u04ff]")),
    ("greek", re.compile("[\u0370-\u03ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
    ("hebrew", re.compile("[\u0590-\u05ff]")),
    ("indic", re.compile("[\u0900-\u0dff]")),
    ("thai", re.compile("[\u0e00-\u0e7f]")),
)
_LATIN = re.compile("[A-Za-zÀ-ɏ]")
_WORD = re.compile("[a-zà-ÿ']+")
# Words that are frequent in one of these languages and not words of another: "die", "in", "an" or "la" say nothing.
_SMALL_WORDS = {
    "en": "the and is are was were of that this with for have has it's you i'm they from would what which will be",
    "de": "der und ist nicht ich das ein eine mit für auf dem den sie wir auch von wird haben habe zum zur einen bei",
    "fr": "le les et est une dans pour que qui pas je vous nous avec sur au aux cette ce sont ont ne du être",
    "es": "el los las y es una para por con que no se del al como más pero su está esta muy yo",
    "it": "il gli e è una per che non con del della di sono ho questo anche nel più ma alla dei",
    "pt": "o os e é uma para por com que não do da em dos das mais mas seu está eu você ao",
    "nl": "de het een en is van niet dat ik met voor op zijn maar ook wordt naar heeft bij aan",
}
_LANGUAGES: dict[str, list[str]] = {}
for _name, _words in _SMALL_WORDS.items():
    for _word in _words.split():
        _LANGUAGES.setdefault(_word, []).append(_name)

# Enough to tell; a longer text is judged by its beginning and its end.
_SAMPLE = 8_000  # characters
_LEAST_LETTERS = 12
_LEAST_WORDS = 4
_LEAD = 1.6


def guess(text: str) -> str:
    """The language ("en", "de") or the script ("zh", "cyrillic") of most of `text`; '' where that is not clear."""
    if len(text) > 2 * _SAMPLE:
        text = text[:_SAMPLE] + "\n" + text[-_SAMPLE:]
    letters = {name: len(pattern.findall(text)) for name, pattern in _SCRIPTS}
    # A Chinese character says about as much as three Latin letters.
    for name in ("ja", "ko", "zh"):
        letters[name] *= 3
    if letters["ja"] * 5 > letters["zh"]:
        letters["ja"], letters["zh"] = letters["ja"] + letters["zh"], 0
    script, most = max(letters.items(), key=lambda entry: entry[1])
    latin = len(_LATIN.findall(text))
    if most > _LEAD * latin and most >= _LEAST_LETTERS:
        return script
    return _latin_language(text.lower()) if latin > _LEAD * most else ""


def _latin_language(text: str) -> str:
    hits: Counter[str] = Counter()
    for word in _WORD.findall(text):
        for name in _LANGUAGES.get(word, ()):
            hits[name] += 1
    ranked = hits.most_common(2)
    if not ranked or ranked[0][1] < _LEAST_WORDS:
        return ""
    second = ranked[1][1] if len(ranked) > 1 else 0
    return ranked[0][0] if ranked[0][1] >= _LEAD * second else ""


def differ(one: str, other: str) -> bool:
    """Whether two texts are plainly in different languages; unknown is no difference."""
    first, second = guess(one), guess(other)
    return bool(first and second and first != second)
