"""Frames of a page gone mad: valid ones, changed a little or a lot, by a seed. See test_fuzzed_frames.py"""

import json
import random
import string
import uuid
from collections.abc import Iterator
from typing import Any

from chat.stream import inbound

KINDS = list(inbound.INBOUND)
WEIRD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**200, 0.5, 1e308, -1e-308, "", "\0", "\ud800", "x" * 5_000),
    *([], {}, [[]], {"a": {}}, [1, "2", None], "null", "true", "01", "1e5", "'; DROP TABLE chat_turn; --", "<script>"),
    *("../../etc", "%s%n", "\u202e\u0000", "🙈" * 50, "hello", "send", "websocket.close"),
]


def valid(dice: random.Random, session: uuid.UUID, turns: list[int]) -> dict[str, Any]:
    """A frame as a page would send it."""
    turn = dice.choice(turns)
    kind = dice.choice(KINDS)
    frame: dict[str, Any] = {"v": 1, "type": kind}
    if kind == "hello":
        frame["session"] = str(session)
        if dice.random() < 0.5:
            frame |= {"turn": turn, "epoch": dice.randint(0, 2), "end": dice.choice([0, 1, 5, 100, 10**6])}
        if dice.random() < 0.3:
            frame |= {"blocks": dice.randint(0, 3), "block_end": dice.randint(0, 50)}
    elif kind == "send":
        text = "".join(dice.choices(string.printable, k=dice.randint(0, 40)))
        # Few ids, so that many of them were used before.
        client_id = uuid.UUID(int=dice.randint(1, 50), version=4)
        frame |= {"client_id": str(client_id), "op": dice.choice(inbound.OPS), "of": turn, "text": text}
    elif kind == "ping":
        frame["t"] = dice.random() * 1_000
    else:
        frame["turn"] = turn
        if kind == "ack":
            frame["end"] = dice.choice([0, 1, 11, 12, 500, 2**53])
    return frame


def mutated(dice: random.Random, frame: dict[str, Any]) -> str | bytes:
    """The same, broken in one of the ways in which frames break."""
    way = dice.randrange(9)
    # Another version ends the socket: once is enough.
    names = list(frame) if dice.random() < 0.02 else [name for name in frame if name != "v"]
    if way == 0:
        del frame[dice.choice(names)]
    elif way == 1:
        frame[dice.choice(names)] = dice.choice(WEIRD)
    elif way == 2:
        frame["".join(dice.choices(string.printable + "\ud800\0é", k=dice.randint(0, 9)))] = dice.choice(WEIRD)
    elif way == 3:
        frame["type"] = dice.choice([*KINDS, "delta", "done", "welcome", "__class__", ""])
    text = json.dumps(frame)
    if way == 4:
        at = dice.randrange(len(text))
        text = text[:at] + dice.choice(string.printable + '"{}[]:,\\') * dice.randint(1, 3) + text[at + 1 :]
    elif way == 5:
        text = text[: dice.randrange(len(text))]
    elif way == 6:
        data = bytearray(text.encode())
        data[dice.randrange(len(data))] = dice.randrange(256)
        return bytes(data)
    elif way == 7:
        text = dice.choice(
            ["[" * 3_000, "{" * 500, '{"v":1,' * 50, "NaN", '{"v":Infinity}', text * 3, "\ufeff" + text, ""]
        )
    return text


def frames(seed: int, count: int, session: uuid.UUID, turns: list[int]) -> Iterator[str | bytes]:
    """So many frames, a quarter of them as they should be."""
    dice = random.Random(seed)
    for _ in range(count):
        frame = valid(dice, session, turns)
        yield json.dumps(frame) if dice.random() < 0.25 else mutated(dice, frame)
