"""The one door into monitoring."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from monitoring import recording
from monitoring.models import ContextEvent, ModelCall, SessionGauge
from tests.monitoring.conftest import START

pytestmark = pytest.mark.django_db

CANARY = "A-7731 is my secret order number"


def test_a_call_is_recorded_with_its_cost(tell, session):
    assert tell(3)
    row = ModelCall.objects.get()
    assert (row.session, row.number, row.turn, row.user) == (session, 3, 1003, 7)
    assert row.components == {"system": 3_000, "history": 6_000, "current": 500}
    assert row.saved == Decimal("0.034750")  # 8,000 x 0.9 less 1,000 x 0.25, at $5
    assert row.cost == Decimal("0.027750")  # 1,000 + 8,000 x 0.1 + 1,000 x 1.25 at $5, 500 at $25


def test_the_same_call_is_recorded_once_however_often_it_is_told(tell):
    call = uuid.uuid4()
    assert tell(1, call=call)
    before = SessionGauge.objects.values().get()
    assert not tell(2, call=call, input=50_000)
    assert ModelCall.objects.count() == 1
    assert SessionGauge.objects.values().get() == before


def test_a_duplicate_leaves_the_callers_transaction_usable(tell):
    call = uuid.uuid4()
    tell(1, call=call)
    with transaction.atomic():
        assert not tell(1, call=call)
        assert tell(2)
    assert ModelCall.objects.count() == 2


def test_a_fault_that_is_no_duplicate_is_heard(tell, monkeypatch):
    monkeypatch.setattr(recording, "_tokens", lambda given: -1)
    with pytest.raises(IntegrityError), transaction.atomic():
        tell(1)


def test_an_unknown_price_is_none_and_counting_tokens_is_free(tell):
    tell(1, model="gpt-x")
    tell(2, purpose="count", output=0)
    assert list(ModelCall.objects.order_by("number").values_list("cost", "saved")) == [(None, None), (0, 0)]


@pytest.mark.parametrize(("field", "given"), [("purpose", "gossip"), ("purpose", "")])
def test_a_purpose_that_does_not_exist_is_refused(tell, field, given):
    with pytest.raises(ValueError, match="not a valid"):
        tell(1, **{field: given})


def test_an_event_kind_that_does_not_exist_is_refused(happen):
    with pytest.raises(ValueError, match="not a valid"):
        happen(1, kind="party")


# --- numbers, ids and codes only


def test_no_sentence_gets_in_by_any_door(tell, happen):
    tell(
        1,
        model=CANARY,
        strategy=CANARY,
        stop_reason=CANARY,
        outcome=CANARY,
        miss_cause=CANARY,
        system_digest=CANARY,
        tools_digest=CANARY,
        components={CANARY: 5, "history": 6},
    )
    happen(1, model=CANARY, outcome=CANARY, code=CANARY)
    for row in (ModelCall, ContextEvent, SessionGauge):
        assert row.objects.exists()
        assert "A-7731" not in str(list(row.objects.values()))
    assert ModelCall.objects.get().components == {"other": 5, "history": 6}


def test_a_wild_number_does_not_cost_the_reply(tell):
    assert tell(1, input=-5, output=10**12, estimate=10**12, first_ms=-1)
    row = ModelCall.objects.get()
    assert (row.input, row.output, row.estimate, row.first_ms) == (0, 2**31 - 1, 2**31 - 1, 0)


# --- one structured line each


def test_the_documented_fields_are_these():
    """Dashboards and alerts outside this repository read them: changing one is a change of the contract."""
    assert " ".join(recording.CALL_FIELDS) == (
        "call session turn number user purpose model strategy window input cache_read cache_write output components "
        "estimate utilisation first_ms total_ms stop_reason outcome miss_cause cost"
    )
    assert " ".join(recording.EVENT_FIELDS) == (
        "session user kind number model tokens_before tokens_after seconds outcome code"
    )


def test_a_call_writes_one_line_with_exactly_the_documented_fields(tell, session, django_capture_on_commit_callbacks):
    call = uuid.uuid4()
    with capture_logs() as lines, django_capture_on_commit_callbacks(execute=True):
        tell(2, call=call)
        tell(2, call=call)
    (line,) = [line for line in lines if line["event"] == "model_call"]
    assert set(line) == {*recording.CALL_FIELDS, "event", "log_level"}
    assert line["call"] == str(call)
    assert line["session"] == str(session)
    assert (line["number"], line["cache_read"], line["utilisation"], line["cost"]) == (2, 8_000, 0.05, 0.02775)


def test_an_event_writes_one_line_with_exactly_the_documented_fields(happen, django_capture_on_commit_callbacks):
    with capture_logs() as lines, django_capture_on_commit_callbacks(execute=True):
        happen(5, kind="trim", code="window")
    (line,) = lines
    assert set(line) == {*recording.EVENT_FIELDS, "event", "log_level"}
    assert (line["event"], line["kind"], line["code"], line["number"]) == ("context_event", "trim", "window", 5)


def test_what_is_rolled_back_is_not_logged(tell, happen, django_capture_on_commit_callbacks):
    with capture_logs() as lines, django_capture_on_commit_callbacks(execute=True):
        try:
            with transaction.atomic():
                tell(1)
                happen(1)
                raise RuntimeError
        except RuntimeError:
            pass
    assert lines == []
    assert not ModelCall.objects.exists()


def test_every_field_of_a_line_is_a_number_an_id_or_a_code(tell, happen, django_capture_on_commit_callbacks):
    with capture_logs() as lines, django_capture_on_commit_callbacks(execute=True):
        tell(1)
        happen(1)
    for line in lines:
        for name, value in line.items():
            assert value is None or isinstance(value, str | int | float | dict), name
            assert " " not in str(value) or isinstance(value, dict), name


# --- how full the session is


def gauge() -> SessionGauge:
    return SessionGauge.objects.get()


def test_a_reply_moves_the_gauge(tell):
    tell(1, compacts_at=100_000, reserve=40_000)
    tell(2, cache_read=10_000, compacts_at=100_000, reserve=40_000)
    found = gauge()
    assert (found.tokens, found.window, found.utilisation, found.number) == (12_000, 200_000, 0.06, 2)
    assert found.growth == 2_000
    assert found.turns_to_compaction == 44  # (100,000 - 12,000) / 2,000
    assert found.turns_left == 74  # (200,000 - 40,000 - 12,000) / 2,000
    assert found.state == "calm"


def test_before_a_second_turn_nobody_can_tell_how_many_are_left(tell):
    tell(1, compacts_at=100_000)
    assert (gauge().turns_left, gauge().turns_to_compaction) == (None, None)


def test_without_a_mark_there_is_no_forecast_of_a_compaction(tell):
    tell(1)
    tell(2, input=5_000)
    assert gauge().turns_to_compaction is None
    assert gauge().turns_left == 46


def test_all_calls_of_a_turn_with_tools_count_as_one_step(tell):
    tell(1)
    tell(2, input=2_000, at=START + timedelta(minutes=8))
    tell(2, input=6_000, at=START + timedelta(minutes=8, seconds=9))
    assert gauge().growth == 5_000
    tell(2, input=6_000, at=START + timedelta(minutes=8, seconds=10))
    assert gauge().growth == 5_000


def test_a_compaction_does_not_look_like_growth(tell):
    tell(1)
    tell(2, input=3_000)
    tell(3, input=0, cache_read=0)
    assert (gauge().tokens, gauge().growth) == (1_000, 2_000)


def test_another_branch_starts_its_growth_afresh(tell):
    tell(1)
    tell(2, input=3_000)
    tell(1, input=90_000)
    assert (gauge().number, gauge().tokens, gauge().growth) == (1, 99_000, 2_000)


@pytest.mark.parametrize(("tokens", "state"), [(139_999, "calm"), (140_000, "watch"), (160_000, "alert")])
def test_the_gauge_knows_the_word_for_its_pressure(tell, tokens, state):
    tell(1, input=tokens, cache_read=0, cache_write=0)
    assert gauge().state == state


def test_only_a_counted_reply_of_a_session_moves_the_gauge(tell):
    tell(1, purpose="summary")
    tell(1, purpose="title")
    tell(1, session=None)
    tell(1, input=0, cache_read=0, cache_write=0, output=0, outcome="overloaded")
    assert not SessionGauge.objects.exists()
    assert ModelCall.objects.count() == 4


def test_a_window_that_nobody_knows_leaves_the_utilisation_open(tell):
    tell(1, window=0)
    assert (gauge().utilisation, gauge().state) == (None, "unknown")


# --- why the cache missed


def cause(number: int) -> str:
    return ModelCall.objects.get(number=number).miss_cause


def test_the_cause_of_a_miss_is_found_from_what_went_before(tell, happen):
    tell(1)
    tell(2, cache_read=9_000)
    tell(3, cache_read=500, at=START + timedelta(hours=2))
    tell(4, cache_read=0, at=START + timedelta(hours=2, minutes=1))
    assert [cause(number) for number in (1, 2, 3, 4)] == ["", "", "ttl", "unexplained"]


def test_a_compaction_explains_the_next_miss_and_no_later_one(tell, happen):
    tell(1)
    happen(1, at=START + timedelta(minutes=5))
    tell(2, cache_read=500)
    tell(3, cache_read=0)
    assert (cause(2), cause(3)) == ("compaction", "unexplained")


def test_a_compaction_that_commits_while_a_reply_streams_explains_the_miss_after_it(tell, happen):
    tell(1)
    happen(1, at=START + timedelta(minutes=8, seconds=-2))
    tell(2, cache_read=9_000, total_ms=4_000)
    tell(3, cache_read=500)
    assert (cause(2), cause(3)) == ("", "compaction")


def test_a_trim_explains_the_call_that_it_shaped(tell, happen):
    tell(1)
    happen(2, kind="trim", at=START + timedelta(minutes=8))
    tell(2, cache_read=500)
    assert cause(2) == "messages"


def test_what_did_not_take_effect_explains_nothing(tell, happen):
    tell(1)
    happen(1, outcome="failed", at=START + timedelta(minutes=5))
    happen(1, kind="gate_rejected", outcome="rejected", at=START + timedelta(minutes=5))
    tell(2, cache_read=500)
    assert cause(2) == "unexplained"


def test_a_changed_system_prompt_and_changed_tools_are_known_by_their_digests(tell):
    tell(1, system_digest="a" * 64, tools_digest="b" * 64)
    tell(2, system_digest="c" * 64, tools_digest="b" * 64, cache_read=0)
    tell(3, system_digest="c" * 64, tools_digest="d" * 64, cache_read=0)
    assert (cause(2), cause(3)) == ("system", "tools")


def test_a_cause_that_the_caller_knows_is_kept(tell):
    tell(1)
    tell(2, cache_read=0, miss_cause="model")
    assert cause(2) == "model"


# --- what it costs


def test_a_reply_costs_few_statements(tell):
    tell(1)
    with CaptureQueriesContext(connection) as reply:
        tell(2)
    with CaptureQueriesContext(connection) as summary:
        tell(3, purpose="summary")
    # PostgreSQL writes the call and the gauge in one.
    assert (len(reply), len(summary)) == ((2, 2) if connection.vendor == "postgresql" else (3, 2))


# --- what monitoring can't know by itself


@pytest.fixture
def _no_sources(monkeypatch):
    monkeypatch.setattr(recording, "_sources", {})


@pytest.mark.usefixtures("_no_sources")
def test_sources_are_asked_by_name_and_one_that_fails_spoils_nothing():
    def broken():
        raise OSError("the words of a driver")

    recording.register_source("runner", lambda: {"live": 3})
    recording.register_source("jobs", broken)
    with capture_logs() as lines:
        assert recording.sources() == {"jobs": None, "runner": {"live": 3}}
    assert [line["event"] for line in lines] == ["source_failed"]
    recording.register_source("jobs", lambda: {"backlog": 0})
    assert recording.sources()["jobs"] == {"backlog": 0}
