"""The second language is complete: everything that can be said is said in it, with the same things filled in."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.urls import reverse
from django.utils import translation

from chat.models import ChatSession
from tests import translations

# What of a template is Django's: its comments, its variables, and all that is marked.
MARKED = re.compile(
    r"\{#.*?#\}|\{%\s*comment.*?endcomment\s*%\}|\{%\s*blocktranslate.*?endblocktranslate\s*%\}|\{%.*?%\}|\{\{.*?\}\}",
    re.DOTALL,
)
# The same in every language.
ALIKE = {"no-referrer", "SHA-256", "Ctrl K", "ChatGPT", "Claude", "UTC", "CSV"}
SPOKEN = ("aria-label", "aria-description", "aria-valuetext", "title", "placeholder", "alt")


class Unmarked(HTMLParser):
    """Collects the words that a page says whatever the language."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in SPOKEN or name.startswith("data-say"):
                self.handle_data(value or "")

    def handle_data(self, data: str) -> None:
        if re.search(r"[^\W\d_]{2,}", data):
            self.said.add(data.strip())


def forms(message: Any) -> tuple[str, ...]:
    return message.id if isinstance(message.id, tuple | list) else (message.id,)


def test_everything_that_the_code_and_the_templates_say_has_its_translation_and_nothing_else_has_one():
    stored, wanted = translations.stored(), translations.wanted()
    lacking = [one.id for one in wanted if one.id and stored.get(one.id, one.context) is None]
    lacking += [one.id for one in stored if one.id and not all(translations.said(one))]
    left_over = [one.id for one in stored if one.id and not wanted.get(one.id, one.context)]
    assert (lacking, left_over) == ([], []), "python -m tests.translations brings the catalogue up to date"


def test_a_translation_fills_in_what_the_original_does():
    wrong = []
    for message in translations.stored():
        if not message.id:
            continue
        singular, *plural = forms(message)
        places = translations.places(plural[0] if plural else singular)
        # "1" may stand for a number where there is one of it.
        for text, own in zip(translations.said(message), forms(message), strict=True):
            given = translations.places(text)
            if given not in (places, translations.places(own)):
                wrong.append((message.id, text))
    assert wrong == []


def test_no_template_and_no_script_says_a_word_that_was_never_marked():
    said = {}
    for path in sorted((translations.ROOT / "templates").rglob("*")):
        if path.suffix in (".html", ".txt") and "admin" not in path.parts:
            found = Unmarked()
            found.feed(MARKED.sub(" ", path.read_text()))
            found.close()
            said[path.name] = found.said - ALIKE
    for path in sorted((translations.ROOT / "static" / "js").glob("*.js")):
        code = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("//"))
        said[path.name] = set(re.findall(r"[\"'`][A-Z][a-z]+ [a-z][^\"'`]*", code))
    assert {name: words for name, words in said.items() if words} == {}


def test_the_compiled_catalogue_is_that_of_the_text():
    assert translations.MO.read_bytes() == translations.compiled(translations.stored())


@pytest.mark.django_db
def test_a_page_says_nothing_in_the_first_language(client: Any, alice: Any):
    session = ChatSession.objects.get(pk=_begun(client, alice))
    pages = [
        reverse("chat:conversation", args=[session.pk]),
        reverse("chat:choices", args=[session.pk]),
        *(reverse(f"chat:{name}") for name in ("account", "instructions", "imports", "archived")),
    ]
    client.cookies["django_language"] = "de"
    # A request leaves its language behind in the thread.
    with translation.override("en"):
        texts = [client.get(page).content.decode() for page in pages]
    assert all('<html lang="de"' in text for text in texts)
    english = {
        one.id
        for one in translations.stored()
        if isinstance(one.id, str) and " " in one.id and len(one.id) > 12 and "%" not in one.id and one.string != one.id
    }
    assert {words for words in english if any(f">{words}<" in text or f'"{words}"' in text for text in texts)} == set()


def _begun(client: Any, alice: Any) -> str:
    client.force_login(alice)
    with translation.override("en"):
        return client.post(reverse("chat:new")).headers["location"].split("/")[2]
