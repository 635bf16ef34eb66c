"""The second language is complete: everything that can be said is said in it, with the same things filled in."""

from typing import Any

import pytest
from django.urls import reverse
from django.utils import translation

from chat.models import ChatSession
from tests import translations


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
