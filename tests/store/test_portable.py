"""Files of other products are read into turns; what is broken is named with its place, and the rest goes on."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from chat.store.portable import reading
from chat.store.portable.values import OPENS, Broken, Conversation, Unreadable


def written(folder: Path, content: Any, name: str = "conversations.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def only(folder: Path, item: Any, name: str = "") -> Conversation:
    (found,) = reading.read(written(folder, [item]), name=name)
    assert isinstance(found, Conversation), found
    return found


def broken(folder: Path, item: Any, name: str = "") -> str:
    (found,) = reading.read(written(folder, [item]), name=name)
    assert isinstance(found, Broken)
    return str(found)


def words(conversation: Conversation) -> list[tuple[str, str]]:
    return [(turn.prompt, turn.reply) for turn in conversation.path]


def node(key: str, parent: str | None, role: str = "", *parts: Any, **message: Any) -> dict[str, Any]:
    """A node of ChatGPT's tree; without a role one that holds no message."""
    said = {"author": {"role": role}, "content": {"content_type": "text", "parts": list(parts)}} | message
    return {"id": key, "parent": parent, "children": [], "message": said if role else None}


def chatgpt(*nodes: dict[str, Any], current: str = "", **values: Any) -> dict[str, Any]:
    mapping = {one["id"]: one for one in nodes}
    return {"title": "Boat", "mapping": mapping, "current_node": current or nodes[-1]["id"]} | values


BOAT = (
    node("root", None),
    node("s", "root", "system", ""),
    node("u1", "s", "user", "Which paint for the hull?", create_time=1_700_000_000.5),
    node("a1", "u1", "assistant", "Copper paint."),
    node("u2", "a1", "user", "How many coats?"),
    node("a2", "u2", "assistant", "Two."),
)


class TestChatGpt:
    def test_the_way_to_the_current_node_is_the_conversation(self, tmp_path: Path) -> None:
        found = only(tmp_path, chatgpt(*BOAT, create_time=1_700_000_000))
        assert words(found) == [("Which paint for the hull?", "Copper paint."), ("How many coats?", "Two.")]
        assert found.title == "Boat"
        assert found.created_at is not None
        assert found.created_at.isoformat() == "2023-11-14T22:13:20+00:00"

    def test_another_reply_is_a_turn_beside_the_shown_one(self, tmp_path: Path) -> None:
        found = only(tmp_path, chatgpt(*BOAT, node("b1", "u1", "assistant", "Epoxy first."), current="a2"))
        assert words(found) == [("Which paint for the hull?", "Copper paint."), ("How many coats?", "Two.")]
        (beside,) = [turn for turn in found.turns if not turn.active]
        assert (beside.prompt, beside.reply, beside.parent) == ("Which paint for the hull?", "Epoxy first.", None)

    def test_an_edited_message_is_a_branch_with_what_followed_it(self, tmp_path: Path) -> None:
        edit = (node("u3", "a1", "user", "And the deck?"), node("a3", "u3", "assistant", "Varnish."))
        found = only(tmp_path, chatgpt(*BOAT, *edit, current="a3"))
        assert words(found) == [("Which paint for the hull?", "Copper paint."), ("And the deck?", "Varnish.")]
        beside = [turn for turn in found.turns if not turn.active]
        assert [(turn.prompt, turn.parent) for turn in beside] == [("How many coats?", 0)]

    def test_what_nobody_saw_is_left_out_and_its_neighbours_join(self, tmp_path: Path) -> None:
        aside = (
            node("u1", None, "user", "What is 3 + 4?"),
            node("t1", "u1", "assistant", "print(3 + 4)", recipient="python"),
            node("t2", "t1", "tool", "7"),
            node("t3", "t2", "assistant", "hidden", metadata={"is_visually_hidden_from_conversation": True}),
            node("t4", "t3", "assistant", "thinking", content={"content_type": "thoughts", "thoughts": []}),
            node("a1", "t4", "assistant", "I ran it."),
            node("a2", "a1", "assistant", "It is 7."),
        )
        assert words(only(tmp_path, chatgpt(*aside))) == [("What is 3 + 4?", "I ran it.\n\nIt is 7.")]

    def test_images_leave_a_mark(self, tmp_path: Path) -> None:
        picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-1"}
        shown = node("u", None, "user", content={"content_type": "multimodal_text", "parts": [picture, "What is it?"]})
        assert words(only(tmp_path, chatgpt(shown))) == [("[image]\nWhat is it?", "")]

    def test_an_unknown_current_node_shows_the_last_branch(self, tmp_path: Path) -> None:
        found = only(tmp_path, chatgpt(*BOAT, node("b1", "u1", "assistant", "Epoxy first."), current="gone"))
        assert words(found) == [("Which paint for the hull?", "Epoxy first.")]

    def test_a_current_node_in_the_middle_is_followed_to_its_end(self, tmp_path: Path) -> None:
        assert len(only(tmp_path, chatgpt(*BOAT, current="u1")).path) == 2

    def test_a_circle_of_nodes_is_named_and_not_walked(self, tmp_path: Path) -> None:
        circle = chatgpt(*BOAT, node("x", "y", "user", "a"), node("y", "x", "assistant", "b"))
        assert broken(tmp_path, circle) == (
            "conversations.json, conversation 0: messages hang on one another in a circle."
        )

    def test_a_node_without_an_author_is_named(self, tmp_path: Path) -> None:
        bad = chatgpt(*BOAT, node("u3", "a2", "user", "Hi", author=None))
        assert broken(tmp_path, bad) == "conversations.json, conversation 0, node u3: 'author' is not an object."

    def test_ten_thousand_nodes_in_one_line_do_not_overflow(self, tmp_path: Path) -> None:
        roles = ("user", "assistant")
        line = [node(str(i), str(i - 1) if i else None, roles[i % 2], f"m{i}") for i in range(10_000)]
        assert len(only(tmp_path, chatgpt(*line)).path) == 5_000


def claude(*messages: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {"uuid": "c", "name": "Garden", "chat_messages": list(messages)} | values


def said(sender: str, text: str, **values: Any) -> dict[str, Any]:
    return {"uuid": f"{sender}-{text}", "sender": sender, "text": text, "created_at": "2026-03-01T10:00:00Z"} | values


class TestClaude:
    def test_human_and_assistant_make_pairs(self, tmp_path: Path) -> None:
        given = [said("human", "When to sow?"), said("assistant", "In April."), said("human", "And beans?")]
        found = only(tmp_path, claude(*given))
        assert words(found) == [("When to sow?", "In April."), ("And beans?", "")]
        assert found.title == "Garden"
        assert found.turns[0].at is not None

    def test_text_blocks_win_over_the_flat_text_and_thinking_is_left_out(self, tmp_path: Path) -> None:
        blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "In May."}, {"type": "tool_use"}]
        found = only(tmp_path, claude(said("human", "Beans?"), said("assistant", "flat", content=blocks)))
        assert words(found) == [("Beans?", "In May.")]

    def test_attached_text_stands_behind_the_message(self, tmp_path: Path) -> None:
        attached = [{"file_name": "beds.txt", "extracted_content": "bed 1: peas"}]
        found = only(tmp_path, claude(said("human", "See this.", attachments=attached), said("assistant", "Yes.")))
        assert found.path[0].prompt == "See this.\n\n[beds.txt]\nbed 1: peas"

    def test_named_parents_make_branches(self, tmp_path: Path) -> None:
        root = "00000000-0000-4000-8000-000000000000"
        given = [
            said("human", "Q", parent_message_uuid=root),
            said("assistant", "A", parent_message_uuid="human-Q"),
            said("assistant", "B", parent_message_uuid="human-Q"),
        ]
        found = only(tmp_path, claude(*given))
        assert words(found) == [("Q", "B")]
        assert [turn.reply for turn in found.turns if not turn.active] == ["A"]

    def test_a_conversation_that_the_assistant_began_has_a_first_message_all_the_same(self, tmp_path: Path) -> None:
        assert words(only(tmp_path, claude(said("assistant", "Welcome.")))) == [(OPENS, "Welcome.")]

    def test_an_unknown_sender_is_named(self, tmp_path: Path) -> None:
        assert broken(tmp_path, claude(said("human", "Q"), said("robot", "x"))) == (
            "conversations.json, conversation 0, message 1: the sender is neither human nor assistant."
        )


def locomo(*lines: tuple[str, str], **values: Any) -> dict[str, Any]:
    turns = [{"id": f"D1:{n}", "speaker": who, "text": text} for n, (who, text) in enumerate(lines, 1)]
    sessions = [{"date": "1:56 pm on 8 May, 2023", "turns": turns}]
    return {"id": "pair-1", "speakers": ["Ann", "Ben"], "sessions": sessions} | values


class TestLocomo:
    def test_consecutive_lines_of_one_speaker_are_one_message(self, tmp_path: Path) -> None:
        found = only(
            tmp_path, locomo(("Ann", "Hi."), ("Ann", "News?"), ("Ben", "A dog!"), ("Ben", "Rex."), ("Ann", "Oh"))
        )
        assert words(found) == [("Hi.\nNews?", "A dog!\nRex."), ("Oh", "")]
        assert [name for name, _ in found.turns[0].lines] == ["D1:1", "D1:2", "D1:3", "D1:4"]
        assert found.turns[0].at is not None
        assert found.turns[0].at.isoformat() == "2023-05-08T13:56:00+00:00"

    def test_lines_join_across_sessions(self, tmp_path: Path) -> None:
        item = locomo(("Ann", "Hi."), ("Ben", "Hello."), ("Ann", "Bye."))
        item["sessions"].append({"turns": [{"id": "D2:1", "speaker": "Ann", "text": "Back."}]})
        assert words(only(tmp_path, item)) == [("Hi.", "Hello."), ("Bye.\nBack.", "")]

    def test_the_second_speakers_first_line_answers_the_opening(self, tmp_path: Path) -> None:
        assert words(only(tmp_path, locomo(("Ben", "Hey."), ("Ann", "Hi."), ("Ben", "So?")))) == [
            (OPENS, "Hey."),
            ("Hi.", "So?"),
        ]

    def test_questions_keep_the_names_of_their_evidence(self, tmp_path: Path) -> None:
        qa = [{"question": "Which pet?", "answer": "dog", "evidence": ["D1:2"], "category": 4}]
        (question,) = only(tmp_path, locomo(("Ann", "Hi."), ("Ben", "A dog!"), qa=qa)).questions
        assert (question.text, question.evidence) == ("Which pet?", ("D1:2",))

    def test_a_third_speaker_is_named(self, tmp_path: Path) -> None:
        assert broken(tmp_path, locomo(("Ann", "Hi."), ("Cid", "Me too."))) == (
            "conversations.json, conversation 0, session 0, line 1: the speaker is none of the two."
        )


class TestFiles:
    def test_the_format_is_found_out_for_each_conversation(self, tmp_path: Path) -> None:
        mixed = [chatgpt(*BOAT), claude(said("human", "Q")), locomo(("Ann", "Hi."))]
        found = list(reading.read(written(tmp_path, mixed)))
        assert [one.title for one in found if isinstance(one, Conversation)] == ["Boat", "Garden", "pair-1"]

    def test_one_object_is_a_file_of_one_conversation(self, tmp_path: Path) -> None:
        (found,) = reading.read(written(tmp_path, claude(said("human", "Q"))))
        assert isinstance(found, Conversation)

    def test_a_given_format_is_held_to(self, tmp_path: Path) -> None:
        assert broken(tmp_path, claude(said("human", "Q")), "chatgpt").endswith("is not of the format chatgpt.")

    def test_an_unknown_format_names_the_known_ones(self, tmp_path: Path) -> None:
        assert broken(tmp_path, {"messages": []}).endswith("is of no known format (ours, chatgpt, claude, locomo).")

    def test_a_broken_conversation_does_not_stop_the_next(self, tmp_path: Path) -> None:
        found = list(reading.read(written(tmp_path, [chatgpt(*BOAT, mapping=[]), 7, chatgpt(*BOAT)])))
        assert [str(one) for one in found[:2]] == [
            "conversations.json, conversation 0: 'mapping' is not an object.",
            "conversations.json, conversation 1 is not an object.",
        ]
        assert isinstance(found[2], Conversation)

    def test_a_file_that_breaks_off_gives_what_came_before(self, tmp_path: Path) -> None:
        text = json.dumps([claude(said("human", "Q")), claude(said("human", "R"))])
        found = reading.read(written(tmp_path, text[:-20]))
        assert isinstance(next(found), Conversation)
        with pytest.raises(Unreadable, match=r"conversations.json, conversation 1 is not JSON, or breaks off\."):
            next(found)

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            ("", "does not begin with a JSON list or object"),
            ("hello", "does not begin with a JSON list or object"),
            ('{"chat_messages": []} {}', "something follows the end of the conversation"),
            ('[{"chat_messages": []} {"chat_messages": []}]', "the list breaks off after 1 conversations"),
            ("[" * 100_000, "is nested too deeply"),
        ],
    )
    def test_what_is_no_list_is_said_in_a_sentence(self, tmp_path: Path, content: str, sentence: str) -> None:
        with pytest.raises(Unreadable, match=sentence):
            list(reading.read(written(tmp_path, content)))

    def test_bytes_that_are_no_text_and_files_that_are_not_there_are_said(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        with pytest.raises(Unreadable, match="can't be read"):
            list(reading.read(path))
        path.write_bytes(b'[{"name": "\xff\xfe"}]')
        with pytest.raises(Unreadable, match="not text in UTF-8"):
            list(reading.read(path))

    def test_a_byte_order_mark_is_passed_over(self, tmp_path: Path) -> None:
        path = tmp_path / "bom.json"
        path.write_bytes(b"\xef\xbb\xbf" + json.dumps([claude(said("human", "Q"))]).encode())
        assert len(list(reading.read(path))) == 1

    def test_an_item_longer_than_a_chunk_is_read_and_the_file_is_never_held_whole(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reading, "CHUNK", 7)
        text = " [\n" + " , ".join(json.dumps({"n": n, "pad": "[,]{}\\" * n}) for n in range(40)) + " ] "
        source = io.StringIO(text)
        found = []
        for item in reading.items(source, "x"):
            found.append(item["n"])
            if item["n"] == 5:
                assert source.tell() < len(text) // 2
        assert found == list(range(40))

    def test_text_that_no_database_keeps_is_made_keepable(self, tmp_path: Path) -> None:
        found = only(tmp_path, claude(said("human", "a\0b\ud83dc"), said("assistant", "ok")))
        assert found.path[0].prompt == "ab\ufffdc"
