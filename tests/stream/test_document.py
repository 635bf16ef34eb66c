"""docs/protocol.md against the code: whoever writes another client has nothing else to go by."""

import json
import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from chat.flow import opening
from chat.models import Notice
from chat.stream import inbound, protocol, watcher
from chat.stream.protocol import Close
from chat.surgery import registry, telling

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "protocol.md").read_text()
INBOUND = (inbound.Hello, inbound.Send, inbound.Ack, inbound.Stop, inbound.Ping)
FRAMES = {kind.type: kind for kind in (*INBOUND, *protocol.OUTBOUND)}


def sections() -> dict[str, str]:
    """What stands under each heading of the third rank."""
    parts = re.split(r"^### (\w+)$", TEXT, flags=re.MULTILINE)
    return {
        name: re.split(r"^##", text, flags=re.MULTILINE)[0] for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def table(text: str) -> dict[str, str]:
    """The fields that the first table of a section names, with their types."""
    first = text.split("\n\n```")[0]
    return {name: row[1] for row in rows(first)[2:] for name in row[0].split(", ")}


def named(text: str) -> set[str]:
    """The words in backticks in the first column of every table."""
    return {word for row in rows(text) for word in re.findall(r"`(\w+)`", row[0])}


def test_every_frame_has_its_section_and_no_other():
    assert set(sections()) == set(FRAMES)
    assert set(inbound.INBOUND) == {kind.type for kind in INBOUND}


@pytest.mark.parametrize("name", FRAMES)
def test_every_field_is_described(name):
    kind, described = FRAMES[name], table(sections()[name])
    assert set(described) == {field.name for field in fields(kind)}
    for field in fields(kind):
        may_be_absent = field.default is None or (kind in INBOUND and field.default is not MISSING)
        if field.name != "text":
            assert ("optional" in described[field.name]) == may_be_absent, field.name


@pytest.mark.parametrize("name", FRAMES)
def test_every_example_is_such_a_frame(name):
    example = json.loads(re.search(r"```json\n(.*?)```", sections()[name], re.DOTALL)[1])
    if name in inbound.INBOUND:
        assert inbound.parse(json.dumps(example)).type == name
        return
    assert (example.pop("v"), example.pop("type")) == (protocol.VERSION, name)
    frame = FRAMES[name](**example)
    assert json.loads(frame.to_json()) == {"v": 1, "type": name} | example


def test_every_kind_of_a_notice_is_named():
    described = set(re.findall(r"`(\w+)`", next(row for row in rows(sections()["notice"]) if row[0] == "kind")[2]))
    told = {one.tells for one in registry.OPERATIONS.values()} - {"", telling.TURN}
    assert described == {*Notice.Kind.values, *told, "title"}


def test_every_close_code_is_there_with_its_name():
    described = {int(row[0]): row[1] for row in rows(TEXT) if row[0].isdigit()}
    assert described == {int(code): code.name for code in Close}


def test_the_limits_are_the_ones_in_force():
    for words in (
        f"64 KiB ({protocol.FRAME_BYTES} bytes)",
        f"48 KiB ({protocol.TEXT_BYTES} bytes of UTF-8)",
        f"64 KiB ({protocol.WINDOW_BYTES} bytes), then the server pauses",
        f"{protocol.FRAMES_PER_SECOND} a second, {protocol.FRAMES_BURST} in a burst",
        f"| commands that wait | {protocol.COMMANDS_WAITING} |",
        f"the {protocol.ERRORS_ALLOWED}th closes the socket",
        f"within {protocol.ACK_WITHIN_S} s",
        f"every {protocol.HEARTBEAT_S} s",
        f"after {protocol.SILENT_S} s without any frame",
        f"after {protocol.DEAD_S} s without any frame",
        f"at most {watcher.PIECE_CHARS:,} characters",
    ):
        assert words in TEXT


def codes_raised(*sources: str, call: str) -> set[str]:
    return {code for source in sources for code in re.findall(rf'\b{call}\(\s*"(\w+)"', source)}


def test_every_refusal_of_a_message_is_described():
    root = Path(opening.__file__).resolve().parents[1]
    used = codes_raised(*(path.read_text() for path in root.rglob("*.py")), call="Rejected")
    used |= {"storage"}
    assert used - {"bad_field"} <= named(sections()["rejected"])


def test_every_error_code_is_described():
    root = Path(inbound.__file__).resolve().parents[1]
    used = codes_raised(*(path.read_text() for path in root.rglob("*.py")), call="BadFrame")
    assert used | {"unavailable", "bad_field"} == named(sections()["error"])
