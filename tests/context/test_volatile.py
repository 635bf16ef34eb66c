"""What may change from request to request is found in instructions, and plain prose gives no alarm."""

import pytest

from chat.context.volatile import MOST, find

FOUND = {
    "date": [
        "2026-11-22", "22.11.2026", "22. 11. 2026", "01.02.26", "11/22/2026", "2026/11/22", "22 November 2026",
        "November 22, 2026", "Nov 22", "22nd of November 2026", "22. November 2026", "3. März", "22 novembre 2026",
        "1er mai 2026", "22 de noviembre de 2026", "22 novembre", "22 de março de 2026", "22 listopada 2026",
        "22 ноября 2026", "22 Kasım 2026", "2026年11月22日", "2026년 11월 22일", "22 oktober 2026",
    ],
    "time": [
        "14:35", "09:05", "14:35:10", "2:30 pm", "3 p.m.", "14 Uhr", "14.30 Uhr", "14h30", "9 o’clock", "14時35分",
    ],
    "uuid": ["3f2b8c1e-9d4a-4c1b-8e2f-0a1b2c3d4e5f"],
    "email": ["lena.k+shop@example.co.uk"],
    "placeholder": ["{name}", "{{ user.name }}", "${DATE}", "%(today)s", "{user_id}"],
}  # fmt: skip

PROSE = [
    "You are a helpful assistant in a long-running conversation. Answer plainly and to the point.",
    "You may march in May. There are 24 hours in a day and 12 months in a year; use 3 to 5 sentences.",
    "Prefer a ratio of 16:9 or 16:10, a scale of 1:50, and never more than 1.5 pages (see section 3.2.1).",
    "Since 2019 our shop sells machines. Version 2.0.1 replaced 1.9.12; ISO 8601 dates are welcome.",
    "Write code like `def f(x): return {x: 1}` and JSON like {\"name\": \"Lena\", \"age\": 3}.",
    r"Formulas in LaTeX: $\frac{a}{b}$, $x_{n}$, $\mathbf{v}$.",
    "Antworten Sie höflich, in 2 bis 4 Sätzen, und nennen Sie 3 Quellen. Der Mai ist schön.",
    "Réponds en français, en 3 phrases, et cite mars et avril comme exemples.",
    "Responde siempre en español, con 2 o 3 ejemplos; no más de 10 líneas.",
    "请用中文回答，最多三句话。",
    "Отвечай коротко, не более 3 предложений.",
    "Mention @handles and prices such as EUR 1,849.00 or 20 %.",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in FOUND.items() for text in texts])
def test_it_is_found_in_the_middle_of_a_sentence(kind: str, text: str) -> None:
    found = find(f"Please note: {text} is what we mean.")
    assert [(one.kind, one.text.rstrip(".")) for one in found] == [(kind, text.rstrip("."))]
    assert found[0].start == len("Please note: ")


@pytest.mark.parametrize("text", PROSE)
def test_plain_prose_gives_no_alarm(text: str) -> None:
    assert find(text) == ()


def test_the_users_own_name_is_found_as_a_word_of_its_own() -> None:
    found = find("You talk to Lena Corvo. Lenas Laden ist klein; lena does not count.", ["Lena Corvo", "Lena", "al"])
    assert [one.text for one in found] == ["Lena Corvo"]


def test_what_lies_inside_of_something_else_is_told_once_and_not_without_end() -> None:
    assert [one.kind for one in find("Write to 22.11.2026@example.org.")] == ["email"]
    assert len(find("2026-11-22 " * 50)) == MOST


def test_a_long_text_without_spaces_costs_no_time() -> None:
    assert find("a.b-" * 100_000) == ()
    assert find("{" * 100_000) == ()
