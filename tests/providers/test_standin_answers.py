"""The stand-in answers from what is in the request, and from nothing else."""

import json
import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from chat.context import prompts
from chat.context.values import Fact, Summary
from chat.providers.standin import answers, replies, request
from tests.providers.building import wire

SEED = 20_261
UNKNOWN = "not in my context"

QUALIFIERS = [
    "spare",
    "billing",
    "summer",
    "backup",
    "northern",
    "travel",
    "project",
    "kitchen",
    "garden",
    "second-floor",
    "printer",
    "client",
    "school",
]
NOUNS = [
    "order number",
    "account code",
    "passphrase",
    "supplier",
    "deadline",
    "budget",
    "courier pickup",
    "locker",
    "favourite colour",
    "landlord",
    "invoice total",
    "meeting room",
    "allergy",
    "flight",
    "release version",
    "hotel",
    "phone extension",
    "parking spot",
    "dentist",
    "CFO",
]
VALUES = (
    lambda draw: f"{draw.choice('ABKRTX')}-{draw.randint(1000, 9999)}",
    lambda draw: f"{draw.randint(2, 90)},{draw.randint(100, 999)} EUR",
    lambda draw: " ".join((draw.choice(["Dana", "Milo", "Ines"]), draw.choice(["Ruiz", "Berg", "Okoye", "Voss"]))),
    lambda draw: f"{draw.randint(1, 28)} {draw.choice(['May', 'June', 'October'])} {draw.randint(2027, 2031)}",
    lambda draw: (
        f"{draw.choice(['teal', 'amber', 'plum'])}-{draw.choice(['fox', 'lynx', 'heron'])}-{draw.randint(10, 99)}"
    ),
    lambda draw: f"v{draw.randint(1, 9)}.{draw.randint(0, 20)}.{draw.randint(0, 20)}",
    lambda draw: f"{draw.choice(['lena', 'ops', 'desk'])}{draw.randint(10, 99)}@example.org",
)
STATEMENTS = (
    "{Owner} {thing} is {value}.",
    "By the way, {owner} {thing} is {value}.",
    "Please remember that {owner} {thing} is {value}, I will need it later.",
    "{value} is {owner} {thing}.",
    "{thing}: {value}",
    "We talked to them and {owner} {thing} has changed to {value}.",
)
PHRASINGS = (
    "What is {owner} {thing}?",
    "Remind me of {owner} {thing}, please.",
    "Can you tell me the {thing} I gave you?",
    "Do you still know {owner} {thing}?",
    "What was {owner} {thing} again?",
    "Hi! I forgot {owner} {thing}. Could you look it up?",
)


@dataclass(frozen=True)
class Told:
    owner: str
    thing: str
    value: str
    sentence: str


def cast() -> list[Told]:
    """Forty things, some of whose names contain each other, each told once in one of several ways."""
    draw = random.Random(SEED)
    things = NOUNS + [f"{draw.choice(QUALIFIERS)} {noun}" for noun in NOUNS]
    values: set[str] = set()
    found = []
    for index, thing in enumerate(things):
        value = VALUES[index % len(VALUES)](draw)
        # No value may be part of another: the test asks whether one is absent.
        while any(value in other or other in value for other in values):
            value = VALUES[index % len(VALUES)](draw)
        values.add(value)
        owner = draw.choice(["my", "our", "the"]) if index % 3 else "my"
        template = STATEMENTS[draw.randrange(len(STATEMENTS))]
        sentence = template.format(owner=owner, Owner=owner.capitalize(), thing=thing, value=value)
        found.append(Told(owner, thing, value, sentence))
    draw.shuffle(found)
    return found


CAST = cast()
EACH = pytest.mark.parametrize("told", CAST, ids=lambda told: told.thing)
ASKED = pytest.mark.parametrize("phrasing", PHRASINGS)


def reply(*texts: str, **changes: object) -> str:
    """What the stand-in says to a conversation."""
    body = wire(*texts, **changes)
    return answers.answer(body, "lossy", None).blocks[0]["text"]


@cache
def acknowledged(sentence: str) -> str:
    """The stand-in's own reply to one statement."""
    return reply(sentence)


def conversation(told: list[Told], question: str) -> list[str]:
    """Everything told, one message each, with the stand-in's own replies, and then the question."""
    texts = []
    for one in told:
        texts += [one.sentence, acknowledged(one.sentence)]
    return [*texts, question]


class TestFortyThingsAskedInSixWays:
    @EACH
    @ASKED
    def test_what_was_told_is_answered(self, told: Told, phrasing: str) -> None:
        texts = conversation(CAST, phrasing.format(owner=told.owner, thing=told.thing))
        assert told.value in json.dumps(wire(*texts), ensure_ascii=False)
        assert f"**{told.value}**" in reply(*texts)

    @EACH
    @ASKED
    def test_what_was_not_told_is_unknown(self, told: Told, phrasing: str) -> None:
        others = [other for other in CAST if other is not told]
        texts = conversation(others, phrasing.format(owner=told.owner, thing=told.thing))
        assert told.value not in json.dumps(wire(*texts), ensure_ascii=False)
        answered = reply(*texts)
        assert UNKNOWN in answered
        assert not any(other.value in answered for other in others)

    def test_no_thing_of_this_test_is_named_in_the_code(self) -> None:
        code = "".join(path.read_text() for path in Path(replies.__file__).parent.glob("*.py"))
        named = [noun for noun in NOUNS if re.search(rf"\b{re.escape(noun)}\b", code, re.IGNORECASE)]
        assert named == []


class TestWhereTheAnswerStands:
    """The forms in which a statement may reach a model once context was managed."""

    ASK = "What is my order number?"

    @pytest.mark.parametrize(
        "text",
        [
            'A-7731: "My order number is A-7731."',
            '- A-7731 (id, turn 3): "My order number is A-7731."',
            '- Lena, A-7731: "call me Lena, and my order number is A-7731"',
            '- A-7731: "…order number is A-7731…"',
            "## Exact values\n- order number: A-7731",
            "The user's order number is A-7731.",
            "The user (Lena) reported order number A-7731 and waits.",
            "User: My order number is **A-7731**, thanks!\nAssistant: Noted.",
            "&quot;My order number is A-7731.&quot;",
            '{"user": "My order number is A-7731.", "turn": 3}',
            "| order number | A-7731 |",
            '<turn number="1">\n<user>\nMy order number is A-7731.\n</user>\n</turn>',
        ],
    )
    def test_it_is_found(self, text: str) -> None:
        assert "**A-7731**" in reply(text, "Understood.", self.ASK)

    def test_it_is_found_in_a_block_ahead_of_the_words(self) -> None:
        fact = Fact(kind="id", value="A-7731", quote="My order number is A-7731.", turn=3)
        for ahead in (
            prompts.wrap_facts([fact]),
            prompts.wrap_recalled(text="User: My order number is A-7731.", turn=3),
            prompts.wrap_summary(text=f'{prompts.OPENING}\n- A-7731: "my order number is A-7731"', first=1, last=4),
        ):
            content = [{"type": "text", "text": ahead}, {"type": "text", "text": "Today is 2026-11-22."}]
            content.append({"type": "text", "text": self.ASK})
            assert "**A-7731**" in reply(messages=[{"role": "user", "content": content}])

    def test_the_system_prompt_is_nobodys_statement(self) -> None:
        system = [{"type": "text", "text": "My order number is A-7731."}]
        assert UNKNOWN in reply(self.ASK, system=system)

    def test_notes_and_orders_are_no_statements(self) -> None:
        texts = [prompts.NOTE_COMPRESSED, prompts.NOTE_OMITTED, prompts.ACKNOWLEDGEMENT, prompts.SUMMARISER]
        for question in ("What is my name?", "What is the note?", "What is the transcript?", "What is the summary?"):
            assert UNKNOWN in reply("\n".join(texts), "Understood.", question)

    def test_a_question_is_no_statement(self) -> None:
        assert UNKNOWN in reply("Is my order number A-7731?", "I can't tell.", self.ASK)

    def test_an_answer_that_it_is_unknown_is_no_statement(self) -> None:
        first = reply(self.ASK)
        assert UNKNOWN in first
        assert reply(self.ASK, first, self.ASK) == first

    def test_a_tool_result_counts(self) -> None:
        messages = [
            {"role": "user", "content": "Look it up."},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {}}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": "order number: A-7731"},
                    {"type": "text", "text": self.ASK},
                ],
            },
        ]
        assert "**A-7731**" in reply(messages=messages)


class TestNewestWins:
    def test_a_later_statement_replaces_an_earlier_one(self) -> None:
        texts = ["My order number is A-1111.", "Noted.", "Sorry, my order number is B-2222.", "Noted."]
        assert "**B-2222**" in reply(*texts, "What is my order number?")

    def test_within_one_message_too(self) -> None:
        assert "**B-2**" in reply("My seat is A-1. No wait, my seat is now B-2. What is my seat?")

    def test_what_stands_verbatim_goes_before_what_was_recalled(self) -> None:
        messages = wire("My order number is B-2222.", "Noted.", "x")["messages"]
        recalled = prompts.wrap_recalled(text="User: My order number is A-1111.", turn=1)
        messages[-1]["content"] = [
            {"type": "text", "text": recalled},
            {"type": "text", "text": "What is my order number?"},
        ]
        assert "**B-2222**" in reply(messages=messages)

    def test_the_users_last_word_of_a_summary_counts(self) -> None:
        summary = Summary(first=1, last=9, text='- A-1: "my seat is A-1"\n- B-2: "my seat is B-2"', tokens=9)
        wrapped = prompts.wrap_summary(text=summary.text, first=1, last=9)
        assert "**B-2**" in reply(wrapped, "Understood.", "What is my seat?")

    def test_an_old_value_is_not_taken_for_the_present_one(self) -> None:
        assert "**B-2**" in reply("My seat is B-2. My old seat was A-1.", "Noted.", "What is my seat?")

    def test_a_complaint_is_no_value(self) -> None:
        texts = ["My order number is A-7731.", "Noted.", "My order number is wrong on the letter.", "I see."]
        assert "**A-7731**" in reply(*texts, "What is my order number?")


ONE_BY_ONE = [
    ("Call me Lena.", "What is my name?", "Lena"),
    ("Hi, I'm Lena from Oslo.", "Who am I?", "Lena"),
    ("My name's Lena and our CFO is Dana Ruiz.", "Who is our CFO?", "Dana Ruiz"),
    ("Dr. Mara Voss is our dentist.", "Who's our dentist?", "Dr. Mara Voss"),
    ("My cat is called Tofu.", "What is my cat called?", "Tofu"),
    ("The name of my cat is Tofu.", "What's my cat's name?", "Tofu"),
    ("My cat's name is Tofu.", "What is the name of my cat?", "Tofu"),
    ("My car is red.", "What colour is my car?", "red"),
    ("Our office is in Lisbon, but I work from home.", "Where is our office?", "Lisbon"),
    ("My flight is on 4 May at 10:30, please remember.", "When is my flight?", "4 May at 10:30"),
    ("Dana's phone number is 555-1234.", "What is Dana's phone number?", "555-1234"),
    ("My budget is 4,500 EUR.", "How much is my budget?", "4,500 EUR"),
    ('The passphrase is "blue whale".', "What was the passphrase?", "blue whale"),
    ("My e-mail is a.b@example.com.", "my e-mail, please?", "a.b@example.com"),
    ("My order number is A-7731.", "What's my order number", "A-7731"),
    ("My order number is A-7731.", "order number?", "A-7731"),
    ("My order number is A-7731.", "Which order number did I give you?", "A-7731"),
    ("My order number is A-7731.", "Do you remember what my order number is?", "A-7731"),
    ("My order number is A-7731.", "Could you repeat my order number for me one more time?", "A-7731"),
    ("My order number is A-7731.", "My order number was what again?", "A-7731"),
    ("My order number is A-7731.", "Please give me the order number.", "A-7731"),
    ("My order number is A-7731.", "What did I say my order number was?", "A-7731"),
    ("The wifi password for the office is hunter-22.", "What is the office wifi password?", "hunter-22"),
    ("Please change my seat from A-1 to B-2.", "What is my seat?", "B-2"),
    ("My appointment is on Tuesday at 3.", "Is my appointment on Tuesday?", "on Tuesday at 3"),
    ("Our hotel is the Grand Lisboa.", "Which hotel are we staying at?", "the Grand Lisboa"),
    ("My daughter is 7 years old.", "How old is my daughter?", "7 years old"),
    ("Our meeting is at 3 pm.", "What time is our meeting?", "at 3 pm"),
]


class TestMoreWaysOfSaying:
    @pytest.mark.parametrize(("statement", "question", "value"), ONE_BY_ONE, ids=lambda words: words)
    def test_it_understands(self, statement: str, question: str, value: str) -> None:
        answered = reply(statement, "I see.", question)
        assert f"{value}**" in answered
        assert UNKNOWN in reply("I like tea.", "I see.", question)

    def test_two_things_asked_at_once_get_two_answers(self) -> None:
        answered = reply("My order number is A-7731.", "Noted.", "What is my name and my order number?")
        assert "**A-7731**" in answered
        assert f"Your name: that is {UNKNOWN}." in answered

    def test_a_longer_name_is_another_thing(self) -> None:
        assert UNKNOWN in reply("My work order number is W-1.", "Noted.", "What is my order number?")
        assert UNKNOWN in reply("My cat's name is Tofu.", "Noted.", "What is my name?")

    def test_a_question_about_what_happened_gets_the_sentence(self) -> None:
        told = "My sister went to Peru in March with her dog."
        assert told in reply(told, "Lovely.", "Where did my sister go in March with the dog?")

    @pytest.mark.parametrize(
        ("told", "asked"),
        [
            ("I live in Lisbon.", "Where do I live?"),
            ("I was born in 1984.", "When was I born?"),
            ("I work as a nurse in a small clinic.", "What do I work as?"),
            ("We are flying to Oslo on Monday.", "Where are we flying on Monday?"),
            ("We have 45 employees.", "How many employees do we have?"),
        ],
    )
    def test_what_somebody_does_is_found_by_its_verb(self, told: str, asked: str) -> None:
        assert told in reply(told, "I see.", asked)
        assert UNKNOWN in reply("I like tea. We sell 12 kinds.", "I see.", asked)

    def test_it_knows_nothing_of_the_world(self) -> None:
        assert UNKNOWN in reply("What is the capital of France?")

    def test_everything_told_can_be_listed(self) -> None:
        answered = reply("My name is Lena. Our CFO is Dana Ruiz.", "Noted.", "What do you know about me?")
        assert "**Lena**" in answered
        assert "**Dana Ruiz**" in answered


class TestWithoutAQuestion:
    def test_a_statement_is_acknowledged(self) -> None:
        assert "your order number is **A-7731**" in reply("My order number is A-7731.")

    def test_two_statements_are_both_acknowledged(self) -> None:
        answered = reply("Hi, my name is Lena and my order number is A-7731.")
        assert "**Lena**" in answered
        assert "**A-7731**" in answered

    def test_a_greeting_is_told_who_answers(self) -> None:
        assert "offline stand-in" in reply("Hello!")
        assert "offline stand-in" in reply("What is your name?")

    def test_the_greeting_plants_no_fact(self) -> None:
        texts = ["Hello!", reply("Hello!"), "Write a long answer about my order number."]
        texts.append(reply(*texts))
        for thing in ("order number", "name", "answer", "key", "subject"):
            assert UNKNOWN in reply(*texts, f"What is my {thing}?")

    @pytest.mark.parametrize(
        ("asked", "marks"),
        [
            ("Write a long answer about gardens.", ["## ", "1. ", "| ", "```python"]),
            ("Show me a table of tools.", ["## ", "|---"]),
            ("Write some Python code for a parser.", ["```python", "def "]),
            ("Give me a list of ideas for dinner.", ["1. **"]),
        ],
    )
    def test_markdown_is_there_on_demand(self, asked: str, marks: list[str]) -> None:
        answered = reply(asked)
        assert all(mark in answered for mark in marks)

    def test_a_named_number_of_words_is_kept_to(self) -> None:
        assert 550 < len(reply("Write 600 words about gardens.").split()) < 800

    def test_small_talk_gets_varied_replies(self) -> None:
        talk = [
            "I went to the lake yesterday.",
            "We baked bread.",
            "It rained all day here.",
            "The train was late again.",
        ]
        heard = [reply(words) for words in talk]
        assert len({re.sub(r"\*[^*]*\*", "", words) for words in heard}) > 1

    def test_the_same_request_gets_the_same_reply(self) -> None:
        assert reply("I went to the lake yesterday.") == reply("I went to the lake yesterday.")

    def test_a_title_is_a_few_words(self) -> None:
        system = [{"type": "text", "text": "Write a short title for this conversation."}]
        titled = reply("My parcel never came and nobody answers the phone", system=system)
        assert 1 < len(titled.split()) <= 6
        assert "\n" not in titled

    def test_a_reply_is_never_empty(self) -> None:
        for words in ("?", "...", "👍", "ok", "\u200b.", "a" * 10_000, "?!" * 500, '"' * 999):
            assert reply(words).strip()


class TestReading:
    def test_the_purpose_is_told_by_the_system_prompt(self) -> None:
        asked = prompts.summary_request(turns=(), model="m", max_tokens=9).body()
        assert request.purpose(asked) == "summary"
        assert request.purpose(wire("Hello")) == "reply"

    def test_a_giant_paste_without_a_line_break_is_read(self) -> None:
        paste = "lorem ipsum dolor my order " * 20_000 + "My order number is A-7731. "
        assert "**A-7731**" in reply(paste + "What is my order number?")
