"""The operator's pages."""

import csv
import re
import uuid
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.monitoring.conftest import SESSION, START

pytestmark = pytest.mark.django_db

INDEX = reverse("monitoring:index")
LIST = reverse("monitoring:sessions")
USERS = reverse("monitoring:users")
PAGE = reverse("monitoring:session", args=[SESSION])
CSV = reverse("monitoring:turns_csv", args=[SESSION])
EVENTS = reverse("monitoring:events_csv", args=[SESSION])
CHART = reverse("monitoring:chart", args=["cache"])
CHART_CSV = reverse("monitoring:chart_csv", args=["cache"])
USER = reverse("monitoring:user", args=[7])
MINE = reverse("monitoring:mine")
RULE = {"opens_after": 1, "resolves_after": 1, "period_s": 3600, "minimum": 1, "severity": "P2", "repeat_s": 3600}
ALL = [INDEX, CHART, CHART_CSV, LIST, reverse("monitoring:sessions_csv"), PAGE, CSV, EVENTS, USERS,
       reverse("monitoring:users_csv"), USER]  # fmt: skip


@pytest.fixture
def operator(client, olga):
    client.force_login(olga)
    return client


def lines(response) -> list[dict[str, str]]:
    return list(csv.DictReader(response.content.decode().splitlines()))


def text(response) -> str:
    """The page's words, with one blank between them."""
    words: list[str] = []

    class Words(HTMLParser):
        def handle_data(self, data: str) -> None:
            words.append(data)

    Words().feed(response.content.decode())
    return " ".join(" ".join(words).replace("\u00a0", " ").split())


# --- who may look


def test_strangers_are_sent_to_the_login_page_and_users_are_refused(client, bob):
    for address in [*ALL, MINE]:
        response = client.get(address)
        assert response.status_code == 302
        assert response.url == f"{reverse('login')}?next={address}"
    client.force_login(bob)
    assert [address for address in ALL if client.get(address).status_code != 403] == []
    assert client.get(MINE).status_code == 200


def test_the_permission_alone_or_staff_alone_is_not_enough(client, bob):
    client.force_login(bob)
    permission = Permission.objects.get(content_type__app_label="monitoring", codename="view_modelcall")
    bob.user_permissions.add(permission)
    assert {client.get(address).status_code for address in ALL} == {403}
    bob.user_permissions.clear()
    bob.is_staff = True
    bob.save()
    assert {client.get(address).status_code for address in ALL} == {403}
    bob.user_permissions.add(permission)
    assert {client.get(address).status_code for address in ALL} == {200}


def test_looking_is_all_that_can_be_done(operator):
    assert {operator.post(address).status_code for address in [*ALL, MINE]} == {405}


def test_a_poll_of_somebody_who_was_signed_out_reloads_instead_of_swapping_in_a_login_form(client):
    response = client.get(PAGE, headers={"HX-Request": "true"})
    assert response.status_code == 401
    assert response.headers["HX-Refresh"] == "true"


# --- a session


def test_before_the_first_call_the_page_is_empty_on_purpose(operator):
    response = operator.get(PAGE)
    assert response.status_code == 200
    assert "No calls yet." in text(response)
    assert "Samples" not in text(response)


def test_one_call_is_shown_with_its_figures(operator, tell):
    tell(1)
    words = text(operator.get(PAGE))
    assert "Samples 1 reply" in words
    assert "now 5 %" in words
    assert "Average input 10.0 k tokens" in words
    assert "Maximum input 10.0 k, turn 1" in words
    assert "Total input 10.0 k, 80.0 % cached" in words
    assert "5 % of the 200 k window at turn 1." in words


def test_two_hundred_calls_are_shown_with_their_events(operator, tell, happen):
    for number in range(1, 201):
        tell(number, input=1_000 + 700 * number)
    happen(100)
    happen(150, kind="trim", code="documents")
    words = text(operator.get(PAGE))
    assert "Samples 200 replies" in words
    assert "p95 input, nearest rank 143.0 k tokens" in words
    assert "peak" not in words
    assert "12 of 200, newest first" in words
    assert "All 200 · CSV" in words
    assert "1 compaction 1 trim" in words
    assert "Trim, documents" in words


def test_the_number_of_queries_does_not_grow_with_the_session(operator, tell, happen):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert operator.get(PAGE).status_code == 200
        return len(captured)

    tell(1)
    happen(1)
    few = queries()
    for number in range(2, 40):
        tell(number)
        happen(number)
    assert queries() == few


def test_statistics_are_of_all_calls_and_the_chart_of_the_range_in_the_address(operator, tell):
    for number in range(1, 131):
        tell(number)
    response = operator.get(PAGE, {"last": "50", "to": "60"})
    words = text(response)
    assert "Samples 130 replies" in words
    assert "turns 11 to 60 of 130" in words
    assert [bar.sample.number for bar in response.context["chart"].bars] == list(range(11, 61))
    assert 'href="?last=50&amp;to=110"' in response.content.decode()
    assert 'href="?last=50&amp;to=10"' in response.content.decode()


@pytest.mark.parametrize(
    "query",
    [{"last": "0"}, {"last": "-3"}, {"last": "x"}, {"last": "9" * 40}, {"to": "0"}, {"to": "9" * 9}, {"to": "²"}],
)
def test_a_strange_address_shows_the_newest_turns(operator, tell, query):
    for number in (1, 2, 3):
        tell(number)
    response = operator.get(PAGE, query)
    assert response.status_code == 200
    assert len(response.context["chart"].bars) == (1 if query == {"to": "0"} else 3)


def test_a_failed_turn_has_its_line_and_says_why(operator, tell):
    tell(1)
    tell(2, input=0, cache_read=0, cache_write=0, output=0, outcome="rate_limited")
    assert "failed: rate limited" in text(operator.get(PAGE))


def test_what_has_no_price_is_said_and_not_counted_as_nothing(operator, tell):
    tell(1, model="gpt-x")
    assert "Cost – 1 without a price" in text(operator.get(PAGE))


@pytest.mark.parametrize("standin", [True, False])
def test_the_page_says_when_replies_come_from_the_stand_in(operator, tell, settings, standin):
    settings.CHAT_STANDIN = standin
    tell(1)
    assert ("offline stand-in" in text(operator.get(PAGE))) is standin


def test_a_summary_call_costs_but_is_no_sample(operator, tell):
    tell(1)
    tell(2, purpose="summary", input=90_000)
    words = text(operator.get(PAGE))
    assert "Samples 1 reply" in words
    assert "2 calls" in words
    assert "Maximum input 10.0 k, turn 1" in words


def test_what_compaction_saved_is_after_what_its_summaries_cost(operator, tell):
    tell(1, purpose="summary", model="claude-haiku-4-5", input=2_000, cache_read=0, cache_write=0, output=2_000)
    tell(2, spared=100_000)
    tell(3, spared=100_000, cache_read=0)
    tell(4, spared=100_000, model="claude-sonnet-4", input=200_000)
    # Read from the cache, written to it, and at a tenth of the dearer price of a long input; less the summary.
    saved = 0.05 + 0.625 + 0.06 - 0.012
    words = text(operator.get(PAGE))
    assert f"Saved by compaction ${saved:.3f} 300.0 k not sent, 0 cached anew" in words
    for address in (PAGE, USER, reverse("monitoring:chart", args=["money"])):
        assert "less what the call after a compaction cached anew" in text(operator.get(address))


def test_what_had_no_room_is_counted_by_component_and_no_words_get_in(operator, tell):
    tell(1, cut={"history": 900, "documents": 10, "facts": 0})
    tell(2, cut={"history": 5, "the words of somebody": 3})
    tell(3)
    for address in (PAGE, USER):
        assert "Requests cut history 2, documents 1, other 1" in text(operator.get(address))


def test_a_day_of_a_user_is_drawn_and_listed_by_the_hour(operator, tell):
    now = timezone.now()
    tell(1, at=now)
    tell(2, at=now - timedelta(hours=3))
    tell(3, at=now, user=8, output=9_999)
    page = operator.get(f"{USER}?span=24h")
    assert re.search(r"By hour .* 1 10\.0 k 500 .* 1 10\.0 k 500", text(page))
    assert 'data-plot="head-money"' in page.content.decode()
    rows = lines(operator.get(reverse("monitoring:chart_csv", args=["money"]), {"user": 7}))
    starts = [row["start_utc"] for row in rows]
    assert len(rows) in (24, 25)
    assert all(start.endswith(":00Z") for start in starts)
    assert sum(row["cost_usd"] not in ("", "0") for row in rows) == 2
    assert "By day" in text(operator.get(USER))


def test_a_rejected_compaction_is_counted_apart(operator, tell, happen):
    tell(1)
    happen(1)
    happen(1, kind="gate_rejected", outcome="rejected", code="values_missing")
    words = text(operator.get(PAGE))
    assert "Compactions 1 + 1 rejected" in words
    assert "Gate rejection, values missing: rejected" in words


def test_nothing_in_a_page_needs_an_exception_from_the_content_policy(operator, tell, happen):
    tell(1)
    happen(1)
    for address in (INDEX, PAGE, LIST, USERS, USER, CHART, MINE):
        response = operator.get(address)
        html = response.content.decode()
        assert "unsafe" not in response.headers["Content-Security-Policy"]
        assert not re.search(r"\sstyle=|\son\w+=|<style|javascript:", html)
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", html))


def test_every_script_and_sheet_of_the_pages_is_there(operator):
    from django.contrib.staticfiles import finders

    html = operator.get(PAGE).content.decode()
    names = re.findall(r'(?:src|href)="/static/([^"]+)"', html)
    assert {"vendor/chart/chart.js", "django_htmx/htmx-2.min.js", "css/tokens.css"} <= set(names)
    assert [name for name in names if finders.find(name) is None] == []


# --- staying up to date


def test_a_page_that_shows_everything_is_not_sent_again(operator, tell, happen):
    tell(1)

    def stamp() -> str:
        return operator.get(PAGE).context["stamp"]

    shown = stamp()
    with CaptureQueriesContext(connection) as captured:
        assert operator.get(PAGE, {"stamp": shown}).status_code == 204
    assert len([query for query in captured if "monitoring_" in query["sql"]]) == 2
    happen(1)
    assert operator.get(PAGE, {"stamp": shown}).status_code == 200
    shown = stamp()
    tell(2)
    assert operator.get(PAGE, {"stamp": shown}).status_code == 200


def test_the_list_is_not_sent_again_until_something_was_recorded(operator, tell):
    for address in (LIST, INDEX):
        tell(1)
        shown = operator.get(address).context["stamp"]
        assert operator.get(address, {"stamp": shown}).status_code == 204
        tell(2)
        assert operator.get(address, {"stamp": shown}).status_code == 200


# --- what can be taken away


def test_the_csv_holds_the_filter_in_its_name_and_the_parts_of_every_call(operator, tell):
    for number in range(1, 71):
        tell(number)
    response = operator.get(CSV, {"last": "50"})
    assert response.headers["Content-Disposition"].endswith('-turns-21-to-70.csv"')
    rows = lines(response)
    assert [row["turn"] for row in rows] == [str(number) for number in range(21, 71)]
    first = rows[0]
    assert first["size"] == "10000"
    assert int(first["system"]) + int(first["history"]) + int(first["current"]) == 10_000
    assert (first["utilisation"], first["cache_read"], first["cost_usd"]) == ("0.0500", "8000", "0.027750")
    assert len(lines(operator.get(CSV, {"last": "all"}))) == 70


def test_the_csv_of_events_follows_the_same_filter(operator, tell, happen):
    for number in range(1, 61):
        tell(number)
    happen(3, kind="trim")
    happen(40, kind="trim")
    rows = lines(operator.get(EVENTS, {"last": "50"}))
    assert [(row["turn"], row["kind"], row["tokens_before"]) for row in rows] == [("40", "trim", "60000")]


def test_no_cell_of_a_csv_can_start_a_formula(operator, tell, happen):
    tell(1, model="=1+1", strategy="@x", stop_reason="+1", outcome="-1", components={"=x": 5})
    happen(1, code="=cmd", model="@sum")
    for address in (CSV, EVENTS):
        for row in lines(operator.get(address)):
            assert not [cell for cell in (*row, *row.values()) if cell[:1] in ("=", "+", "@", "-")]


def test_a_csv_of_nothing_is_a_header(operator):
    assert lines(operator.get(CSV)) == lines(operator.get(EVENTS)) == []


# --- all sessions


def test_the_list_shows_the_newest_first_and_the_fullest_on_request(operator, tell):
    full, fresh = uuid.uuid4(), uuid.uuid4()
    tell(1, session=full, input=170_000)
    tell(1, session=fresh, at=START + timedelta(hours=1))
    assert [row.session for row in operator.get(LIST).context["page"]] == [fresh, full]
    response = operator.get(LIST, {"sort": "fullest"})
    assert [row.session for row in response.context["page"]] == [full, fresh]
    assert "2 sessions with calls; 1 over 70 % , 1 over 80 %" in text(response)
    assert reverse("monitoring:session", args=[full]) in response.content.decode()
    for query, name in (("", "all"), ("?span=7d", "all-7d"), ("?state=soon", "soon-24h")):
        file = operator.get(reverse("monitoring:sessions_csv") + query)
        assert file["Content-Disposition"] == f'attachment; filename="monitoring-sessions-{name}.csv"'


def test_a_session_whose_window_is_unknown_is_not_the_fullest(operator, tell):
    known, unknown = uuid.uuid4(), uuid.uuid4()
    tell(1, session=unknown, window=0)
    tell(1, session=known)
    response = operator.get(LIST, {"sort": "fullest"})
    assert [row.session for row in response.context["page"]] == [known, unknown]


def test_an_empty_list_says_so(operator):
    assert "No calls yet." in text(operator.get(LIST))


def test_the_list_goes_on_over_pages(operator, tell):
    for minute in range(51):
        tell(1, session=uuid.uuid4(), at=START + timedelta(minutes=minute))
    words = text(operator.get(LIST, {"page": "2"}))
    assert "page 2 of 2" in words
    assert "← before" in words


# --- the admin


@pytest.mark.parametrize("name", ["modelcall", "contextevent", "sessiongauge", "userday", "eventhour"])
def test_the_admin_shows_rows_and_lets_nobody_change_them(operator, tell, happen, name):
    tell(1)
    happen(1)
    response = operator.get(reverse(f"admin:monitoring_{name}_changelist"))
    assert response.status_code == 200
    assert "style=" not in response.content.decode()
    assert operator.get(reverse(f"admin:monitoring_{name}_add")).status_code == 403


def test_a_session_links_to_its_own_calls_in_the_admin(operator, tell):
    tell(1)
    tell(1, session=uuid.uuid4())
    link = re.search(r'href="([^"]*modelcall[^"]*)"', operator.get(PAGE).content.decode()).group(1)
    response = operator.get(link)
    assert response.status_code == 200
    assert response.context["cl"].result_count == 1


def test_what_is_drawn_has_numbers_that_no_language_rewrites(operator, tell):
    for minutes in (50, 30, 10):
        tell(minutes, at=timezone.now() - timedelta(minutes=minutes), input=minutes * 3_100)
    for address in (INDEX, reverse("monitoring:alert_rule", args=["session-over-80"])):
        page = operator.get(address, {"limit": "40", "resolve": "30.5"} | RULE, headers={"Accept-Language": "de"})
        drawn = re.findall(r' (?:cx|cy|x|y|y1|y2)="([^"]*)"', page.content.decode())
        assert 'lang="de"' in page.content.decode()
        assert drawn
        assert [number for number in drawn if "," in number] == []


def test_what_a_chart_and_a_count_say_is_said_in_german_too(operator, tell, happen):
    tell(1)
    tell(2)
    happen(2)
    words = text(operator.get(PAGE, headers={"Accept-Language": "de"})).replace("\u00a0", " ")
    assert "des Fensters von 200 k in Runde 2." in words
    assert "Letzte Verdichtung vor Runde" in words
    assert "2 Antworten" in words
