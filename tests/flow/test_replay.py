"""A replay drives the whole stack with a stored conversation, and its report tells the truth about it."""

import json
import os
import signal
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.utils import timezone

from chat import service
from chat.context.values import Block, Message, Request
from chat.flow.replay import Figures, Recall, recall
from chat.management import reporting
from chat.management.replaying import Replayer
from chat.models import ChatSession, Job, Turn, Worker
from chat.providers.standin import StandIn

TURNS = 24
WINDOW = 4_000


def talk(turns: int = TURNS) -> dict[str, Any]:
    """A conversation of two hobby astronomers, long enough to outgrow a small window."""
    lines = []
    for n in range(turns):
        asks = f"On night {n} I pointed the telescope at field F-{n:03d} and wrote down what I saw there. "
        says = f"Field F-{n:03d} holds {n + 2} faint stars, and the seeing was fair on that night. "
        lines += [
            {"id": f"D1:{2 * n + 1}", "speaker": "Ida", "text": asks * 3},
            {"id": f"D1:{2 * n + 2}", "speaker": "Jon", "text": says * 3},
        ]
    first, last = "D1:1", f"D1:{2 * turns}"
    return {
        "id": "stars",
        "speakers": ["Ida", "Jon"],
        "sessions": [{"date": "9:10 pm on 3 June, 2025", "turns": lines}],
        "qa": [
            {"question": "What was seen on the first night?", "evidence": [first]},
            {"question": "And on the last night, how many stars?", "evidence": [last]},
            {"question": "A question whose lines are not here?", "evidence": ["D9:9"]},
        ],
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talks.json"
    path.write_text(json.dumps([talk()]))
    return path


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    assert not service.running()


def replayed(file: Path, *, fails: bool = False, **options: Any) -> dict[str, Any]:
    """The report of a replay, which ended with an error or not as said."""
    out = StringIO()
    given = {"window": WINDOW, "report": "json"} | options
    if fails:
        with pytest.raises(CommandError, match="not clean"):
            call_command("replay", file, stdout=out, **given)
    else:
        call_command("replay", file, stdout=out, **given)
    return json.loads(out.getvalue())


@pytest.mark.django_db(transaction=True)
class TestReplay:
    def test_every_turn_is_answered_within_the_window_and_nothing_is_left_behind(self, file: Path) -> None:
        before = settings.CHAT_CONTEXT_WINDOW
        report = replayed(file, questions=5)
        (one,) = report["conversations"]
        assert (one["name"], one["turns"], one["answered"], one["failed"], one["refused"]) == ("stars", 24, 24, 0, 0)
        assert 0 < one["largest"] <= WINDOW == one["window"]
        assert one["compactions"] >= 1
        assert one["notices"] >= 1
        assert one["calls"] > one["turns"]
        assert (one["rejections"], one["extracts"]) == (0, 0), "summaries are the summariser's, not recorded replies"
        assert one["saved_compaction"] > 0
        assert one["summary_tokens"] > 0
        assert one["questions"] == 2
        assert one["recall_verbatim"] == one["recall_summarised"] == 0.5
        assert report["violations"] == []
        assert report["total"] | {"name": "stars"} == one
        assert before == settings.CHAT_CONTEXT_WINDOW
        assert not ChatSession.objects.exists()
        assert not get_user_model().objects.exists()

    def test_the_history_holds_the_recorded_words_and_the_real_counts(self, file: Path) -> None:
        replayed(file, keep=True, questions=2)
        session = ChatSession.objects.get()
        turns = list(Turn.objects.path(session.pk))
        assert (len(turns), session.turns_total) == (TURNS + 1, TURNS + 2), "each question in the place of the last"
        assert turns[5].prompt == talk()["sessions"][0]["turns"][10]["text"]
        assert turns[5].reply == talk()["sessions"][0]["turns"][11]["text"]
        assert {turn.reply_source for turn in turns} == {"api"}
        assert all(turn.usage["input"] + turn.usage["cache_read"] + turn.usage["cache_write"] > 0 for turn in turns)
        assert get_user_model().objects.get().has_usable_password() is False

    def test_a_sliding_window_leaves_out_with_notices_and_calls_nobody_else(self, file: Path) -> None:
        (one,) = replayed(file, strategy="sliding_window")["conversations"]
        assert one["trims"] >= 1
        assert one["notices"] >= 1
        assert (one["compactions"], one["summary_tokens"], one["calls"]) == (0, 0, one["turns"])

    @pytest.mark.parametrize(("status", "refused"), [(401, 0), (400, 1)])
    def test_a_turn_that_fails_fails_the_replay(
        self, file: Path, monkeypatch: pytest.MonkeyPatch, status: int, refused: int
    ) -> None:
        begin = Replayer.on

        def sabotaged(site: service.Service, *given: Any) -> Replayer:
            assert isinstance(site.standin, StandIn)
            site.standin.faults.add("status", status=status, purpose="reply")
            return begin(site, *given)

        monkeypatch.setattr(Replayer, "on", sabotaged)
        (one,) = replayed(file, fails=True)["conversations"]
        assert (one["answered"], one["failed"], one["refused"]) == (TURNS - 1, 1, refused)

    def test_a_question_without_an_answer_fails_the_replay(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ask = Replayer._ask

        async def sabotaged(self: Replayer, *given: Any) -> Any:
            assert isinstance(self.site.standin, StandIn)
            self.site.standin.faults.add("status", status=401, purpose="reply")
            return await ask(self, *given)

        monkeypatch.setattr(Replayer, "_ask", sabotaged)
        (one,) = replayed(file, fails=True, questions=2)["conversations"]
        assert (one["answered"], one["failed"]) == (TURNS, 1)

    def test_three_failed_turns_in_a_row_end_a_conversation(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        begin = Replayer.on

        def sabotaged(site: service.Service, *given: Any) -> Replayer:
            assert isinstance(site.standin, StandIn)
            site.standin.faults.add("status", status=401, times=1000)
            return begin(site, *given)

        monkeypatch.setattr(Replayer, "on", sabotaged)
        (one,) = replayed(file, fails=True)["conversations"]
        assert (one["answered"], one["failed"], one["calls"]) == (0, TURNS, 3)

    def test_a_message_that_is_not_taken_leaves_the_rest_unanswered(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(settings, "CHAT_MAX_MESSAGE_CHARS", 10)
        (one,) = replayed(file, fails=True)["conversations"]
        assert (one["turns"], one["answered"], one["failed"]) == (TURNS, 0, TURNS)

    def test_a_broken_invariant_fails_the_replay(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read = Replayer.run

        async def spoiled(self: Replayer, *given: Any, **named: Any) -> Any:
            figures = await read(self, *given, **named)
            wrong = ChatSession.objects.filter(pk__in=self.made)
            await self.site.database.run(lambda: wrong.update(open_tokens=1))
            return figures

        monkeypatch.setattr(Replayer, "run", spoiled)
        report = replayed(file, fails=True, limit=1)
        assert len(report["violations"]) == 1

    def test_a_replay_that_is_stopped_leaves_nothing_behind(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        steps = iter(range(TURNS))

        def step(self: Replayer, *given: Any, **named: Any) -> Any:
            if next(steps) == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return send(self, *given, **named)

        send = Replayer._send
        monkeypatch.setattr(Replayer, "_send", step)
        with pytest.raises(CommandError, match="was stopped"):
            call_command("replay", file, window=WINDOW)
        assert next(steps) < TURNS - 1
        assert not ChatSession.objects.exists()
        assert not get_user_model().objects.exists()

    def test_no_replay_beside_a_server_or_over_waiting_work(self, file: Path, alice: Any) -> None:
        worker = Worker.objects.create(id="web:1", kinds="turn job", beat_at=timezone.now())
        with pytest.raises(CommandError, match="A server is running"):
            call_command("replay", file)
        worker.delete()
        Job.objects.create(kind="compact")
        with pytest.raises(CommandError, match="are waiting"):
            call_command("replay", file)

    def test_a_broken_file_is_refused_before_anything_starts(self, tmp_path: Path) -> None:
        path = tmp_path / "x.json"
        path.write_text(json.dumps([talk(1) | {"sessions": 3}]))
        with pytest.raises(CommandError, match="'sessions' is not a list"):
            call_command("replay", path)
        path.write_text("[]")
        with pytest.raises(CommandError, match="holds no conversation"):
            call_command("replay", path)


def request(*texts: str) -> Request:
    blocks = tuple(Block(text=text, component="history") for text in texts)
    return Request(model="m", max_tokens=1, messages=(Message(role="user", blocks=blocks),))


class TestFigures:
    def test_evidence_counts_as_verbatim_only_where_its_words_stand(self) -> None:
        evidence = [(1, "a red kite"), (1, "a pin"), (2, "a blue boat"), (3, "a green hat"), (3, "two hats")]
        hows = {1: "summarised", 2: "verbatim", 3: "omitted"}
        found = recall(evidence, request("fact: a pin", "said: a blue boat.", "and two hats"), hows)
        assert (found.questions, found.verbatim, found.summarised) == (1, 0.6, 0.2)

    def test_recall_is_an_average_over_questions(self) -> None:
        both = Recall(questions=1, verbatim=1.0) + Recall(questions=3, verbatim=0.2, summarised=0.4)
        assert (both.questions, round(both.verbatim, 6), round(both.summarised, 6)) == (4, 0.4, 0.3)
        assert Recall() + Recall() == Recall()

    def test_totals_add_up_and_take_the_largest_call(self) -> None:
        first = Figures(name="a", turns=2, answered=2, largest=70, window=100, errors=(0.1,), input=10, cache_read=30)
        second = Figures(name="b", turns=1, answered=1, largest=90, window=100, errors=(0.3, 0.2), input=60)
        both = reporting.total([first, second])
        assert (both.name, both.turns, both.largest, both.window) == ("total", 3, 90, 100)
        assert (both.error_median, both.error_p95, both.hit_rate) == (0.2, 0.3, 0.3)
        assert both.good

    @pytest.mark.parametrize("fault", [{"failed": 1}, {"refused": 1}, {"largest": 101}, {"answered": 1}])
    def test_any_fault_makes_it_not_good(self, fault: dict[str, int]) -> None:
        assert not Figures(**({"turns": 2, "answered": 2, "largest": 99, "window": 100} | fault)).good

    def test_the_table_has_a_column_a_conversation(self) -> None:
        text = reporting.as_text([Figures(name="stars", turns=7), Figures(name="boats", turns=5)], ["2 x y"], "summary")
        lines = text.splitlines()
        assert lines[2].split() == ["stars", "boats", "total"]
        assert lines[3].split() == ["turns", "7", "5", "12"]
        assert lines[-2:] == ["broken invariants: 1", "2 x y"]
        assert not any(line.startswith("questions") for line in lines)
