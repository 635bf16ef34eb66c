"""The administration of conversations: numbers for whoever may look, words for a reason, deeds with a preview."""

import csv
import re
import uuid
from datetime import timedelta
from functools import partial
from html import unescape
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chat.admin import results, revealing, switching
from chat.admin.sessions import ChatSessionAdmin
from chat.models import Audit, Batch, BatchItem, ChatSession, Fact, Job, Manifest, Summary, Switches, Turn
from chat.store import switches
from chat.surgery import registry
from monitoring.models import ModelCall, SessionGauge
from tests.store.building import compress, conversation, extend, turn

CANARY = "zyzzogeton"
LIST = "/admin/chat/chatsession/"

pytestmark = pytest.mark.django_db


def gauge(session: ChatSession, share: float) -> None:
    """As if the last reply had filled so much of the window."""
    SessionGauge.objects.create(
        session=session.pk, user=session.owner_id, model="large", state="calm", tokens=int(share * 16_000),
        window=16_000, utilisation=share, turns_left=3, at=timezone.now(),
    )  # fmt: skip


@pytest.fixture
def session(alice: Any) -> ChatSession:
    """Twenty turns that say the canary, the first eight summarised; title and fact say it, too."""
    made = conversation(alice, 20, words=CANARY, title=f"About {CANARY}")
    compress(made, (1, 8))
    Summary.objects.filter(session=made).update(text=f"They spoke of {CANARY}.\nAnd of rain.")
    Fact.objects.create(session=made, kind="id", value=CANARY, quote=f"It is {CANARY}.", turn=turn(made, 3))
    for number in (3, 20):
        runs = [[1, number, "verbatim", "", 90]]
        if number == 20:
            runs = [[1, 8, "summarised", f"S{Summary.objects.get(session=made).pk}", 40], [9, 20, "verbatim", "", 90]]
        Manifest.objects.create(
            turn=turn(made, number), context_version=1, model="large", window=16_000, window_from=1, ranges=runs,
            parts=[["user", "current", f"turn {number}", 20, False]], budget=[["history", 9_000, 90, 90]],
            estimated=100, measured=110, body_sha256="0" * 64,
        )  # fmt: skip
    gauge(made, 0.91)
    return made


def staff(users: Any, role: str = "", *codes: str) -> Client:
    """Somebody of the staff with a role, or with single permissions."""
    person = users.objects.create_user(f"staff-{uuid.uuid4().hex[:6]}", is_staff=True)
    if role:
        person.groups.add(Group.objects.get(name=role))
    person.user_permissions.add(*Permission.objects.filter(codename__in=codes, content_type__app_label="chat"))
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def surgeon(django_user_model: Any) -> Client:
    return staff(django_user_model, "surgeon")


def pages(session: ChatSession) -> list[str]:
    """Every page that shows something of a session."""
    own = f"{LIST}{session.pk}"
    return [LIST, f"{own}/change/", f"{own}/turn/3/", f"{own}/turns/", f"{own}/operate/archive/", f"{own}/operate/pin/"]


# --- the list ---------------------------------------------------------------------------------------------------


def in_order(client: Client, query: str) -> list[str]:
    """The sessions that the list shows, by their first digits."""
    html = client.get(f"{LIST}?{query}").content.decode()
    return re.findall(r'<span class="mono" title="[^"]+">([0-9a-f]{6})</span>', html)


def ids(client: Client, query: str) -> set[str]:
    """The same, in no order."""
    return set(in_order(client, query))


def test_the_list_finds_what_is_full_what_is_stuck_and_whose_it_is(
    surgeon: Client, session: ChatSession, bob: Any
) -> None:
    others = {share: conversation(bob, 1) for share in (0.5, 0.75, 1.04)}
    for share, one in others.items():
        gauge(one, share)
    short = {share: one.pk.hex[:6] for share, one in others.items()} | {0.91: session.pk.hex[:6]}
    assert ids(surgeon, "over=70") == {short[0.75], short[0.91], short[1.04]}
    assert ids(surgeon, "over=80") == {short[0.91], short[1.04]}
    assert ids(surgeon, "over=100") == {short[1.04]}
    assert ids(surgeon, "over=none") == set()
    assert ids(surgeon, f"q={session.pk}") == ids(surgeon, f"q={session.pk.hex[:8]}") == {short[0.91]}
    assert ids(surgeon, "q=bob") == ids(surgeon, f"q=u-{bob.pk}") == {short[0.5], short[0.75], short[1.04]}
    assert ids(surgeon, f"q=bob+{session.pk.hex[:8]}") == ids(surgeon, f"q={CANARY}") == set()
    late = timezone.now() - timedelta(minutes=5)
    Turn.objects.create(session=others[0.5], number=2, parent=others[0.5].head, prompt="?", created_at=late)
    Job.objects.create(kind="compact", session=others[0.75], state="running", lease_until=late)
    Job.objects.create(kind="compact", session=session, state="failed", finished_at=timezone.now())
    assert ids(surgeon, "trouble=stuck") == {short[0.5]}
    assert ids(surgeon, "trouble=stale") == {short[0.75]}
    assert ids(surgeon, "trouble=failing") == {short[0.91]}
    html = surgeon.get(f"{LIST}?trouble=failing").content.decode()
    assert "compaction fails" in html
    assert "91.0\u00a0%" in html
    Job.objects.create(kind="compact", session=session, state="done", finished_at=timezone.now())
    assert ids(surgeon, "trouble=failing") == set()
    assert "No session fits" in surgeon.get(f"{LIST}?trouble=failing").content.decode()


def test_the_list_by_utilisation_goes_on_over_its_pages_and_ends_with_those_that_nobody_knows(
    surgeon: Client, alice: Any, monkeypatch: pytest.MonkeyPatch, django_user_model: Any
) -> None:
    monkeypatch.setattr(ChatSessionAdmin, "list_per_page", 2)
    made = [conversation(alice) for _ in range(6)]
    for share, one in zip((0.2, 0.9, 0.5, 0.9), made, strict=False):
        gauge(one, share)
    unknown = sorted((one.pk for one in made[4:]), reverse=True)
    ends = [one.pk.hex[:6] for one in sorted((made[1], made[3]), key=lambda one: one.pk, reverse=True)]
    down = [*ends, made[2].pk.hex[:6], made[0].pk.hex[:6], *(pk.hex[:6] for pk in unknown)]
    pages = [in_order(surgeon, f"o=-3&p={number}") for number in (1, 2, 3)]
    assert pages == [down[:2], down[2:4], down[4:]]
    assert in_order(surgeon, "o=3&p=1") == [made[0].pk.hex[:6], made[2].pk.hex[:6]]
    assert ids(surgeon, "o=3&over=80&p=1") == {*ends}
    assert len(in_order(surgeon, "o=1.-3&p=2")) == 2
    # Whoever only looks has no boxes to tick, and so one column less before it.
    viewer = staff(django_user_model, "viewer")
    assert in_order(viewer, "o=-2&p=1") == down[:2]
    assert len(in_order(viewer, "o=1.-2&p=2")) == 2


def test_a_page_of_the_list_takes_as_many_statements_for_forty_as_for_two(surgeon: Client, alice: Any) -> None:
    def statements(query: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            assert surgeon.get(f"{LIST}?{query}").status_code == 200
        return len(seen)

    two = [conversation(alice, 1) for _ in range(2)]
    surgeon.get(LIST)
    few = statements("o=3")
    ChatSession.objects.bulk_create(
        [ChatSession(owner=alice, instructions=two[0].instructions, model="large") for _ in range(38)]
    )
    assert statements("o=3") == few <= 16


# --- words ------------------------------------------------------------------------------------------------------


def test_no_page_shows_a_word_of_a_user_or_writes_anything(
    surgeon: Client, session: ChatSession, django_assert_num_queries: Any
) -> None:
    for address in [*pages(session), "/admin/chat/audit/", "/admin/chat/batch/", "/admin/chat/switches/"]:
        before = Audit.objects.count()
        with CaptureQueriesContext(connection) as seen:
            answer = surgeon.get(address)
        assert answer.status_code == 200, address
        assert CANARY not in answer.content.decode(), address
        assert Audit.objects.count() == before
        # A preview is tried, and rolled back: it leaves nothing, which the rows say.
        if "operate" not in address:
            assert not [one for one in seen if one["sql"].startswith(("INSERT", "UPDATE", "DELETE"))], address
        assert "style=" not in re.sub(r"<svg.*?</svg>", "", answer.content.decode(), flags=re.S), address
    session.refresh_from_db()
    assert session.archived_at is None


def test_of_a_deleted_one_the_pages_say_whether_it_can_still_be_brought_back(
    surgeon: Client, session: ChatSession
) -> None:
    def shown(address: str) -> str:
        return surgeon.get(address).content.decode()

    page, listed = f"/admin/chat/chatsession/{session.pk}/change/", "/admin/chat/chatsession/?standing=deleted"
    ChatSession.objects.update(deleted_at=timezone.now())
    assert "Deleted by its owner on" in shown(page)
    assert "deleted, can be undone</td>" in shown(listed)
    ChatSession.objects.update(deleted_at=ChatSession.GOING)
    assert "It was deleted and is being removed" in shown(page)
    assert page not in shown(listed)
    assert "being removed</td>" in shown("/admin/chat/chatsession/")


LISTS = [one for one in site._registry if one._meta.app_label in ("chat", "monitoring") and one is not Switches]


@pytest.mark.parametrize("model", LISTS, ids=lambda model: model._meta.model_name)
def test_a_list_answers_only_what_its_own_filters_ask(
    client: Client, olga: Any, session: ChatSession, model: Any
) -> None:
    """How a title begins is a title, letter by letter."""
    client.force_login(olga)
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    Audit.objects.create(operation="trim", session=session.pk, reason="Alert.")
    links = set(re.findall(r'<a href="\?([^"]+)"', client.get(address).content.decode()))
    for query in (unescape(link) for link in links):
        answer = client.get(f"{address}?{query}")
        assert answer.status_code == 200, query  # an answer that could not be given is a redirect
    asked = {name for link in links for name in parse_qs(unescape(link))} | {*site._registry[model].list_filter}
    asked |= {"session"} if model is ModelCall else set()  # where a conversation's page leads
    hows = ("", "__startswith", "__regex", "__length__gt")
    for column in (*(field.name for field in model._meta.get_fields()), "head__prompt", "turns__reply", "facts__value"):
        for how in hows:
            if column + how not in asked:
                assert client.get(address, {column + how: "1"}).status_code == 400, column + how


def test_no_list_of_people_tells_how_their_words_begin(client: Client, olga: Any, session: ChatSession) -> None:
    client.force_login(olga)
    for column in ("chat_sessions__title", "chat_sessions__turns__prompt", "preference__new_email", "presets__name"):
        assert client.get("/admin/auth/user/", {f"{column}__startswith": "A"}).status_code == 400, column
        assert client.get("/admin/auth/group/", {f"user__{column}__startswith": "A"}).status_code == 400, column


def test_the_list_of_sessions_is_sorted_by_nothing_that_a_user_wrote(surgeon: Client, session: ChatSession) -> None:
    page = site._registry[ChatSession]
    sortable = {getattr(getattr(page, name, None), "admin_order_field", name) for name in page.list_display}
    assert sortable & {field.name for field in ChatSession._meta.get_fields()} == {
        "id", "strategy", "turns_active", "updated_at", "compactions"
    }  # fmt: skip
    assert sortable >= {"owner__username", "share"}


def test_reading_a_users_words_leaves_an_entry_every_time_and_needs_a_reason(
    surgeon: Client, session: ChatSession
) -> None:
    address, one = f"{LIST}{session.pk}/reveal/", turn(session, 5)
    ask = {"kind": "turns", "id": [one.pk]}
    assert surgeon.get(address).status_code == 405
    question = surgeon.post(address, ask)
    refused = surgeon.post(address, ask | {"reason": " "})
    assert (question.status_code, refused.status_code) == (200, 400)
    assert CANARY not in question.content.decode() + refused.content.decode()
    assert not Audit.objects.exists()
    for count in (1, 2):
        shown = surgeon.post(address, ask | {"reason": "ticket 4711"})
        assert f"Question 5. {CANARY}" in shown.content.decode()
        assert "no-store" in shown["Cache-Control"]
        assert Audit.objects.count() == count
    for kind, chosen in (("summary", [Summary.objects.get(session=session).pk]), ("facts", [])):
        assert CANARY in surgeon.post(address, {"kind": kind, "id": chosen, "reason": "ticket"}).content.decode()
    entries = list(Audit.objects.order_by("pk"))
    assert [(entry.operation, entry.session, entry.target["kind"]) for entry in entries] == [
        ("read_text", session.pk, kind) for kind in ("turns", "turns", "summary", "facts")
    ]
    assert CANARY not in str([(entry.target, entry.before, entry.after, entry.reason) for entry in entries])


def test_what_is_too_much_to_read_at_once_is_refused_and_nothing_of_it_left_out(
    surgeon: Client, session: ChatSession
) -> None:
    extend(session, 35)
    address, chosen = (
        f"{LIST}{session.pk}/reveal/",
        [*Turn.objects.filter(session=session).values_list("pk", flat=True)],
    )
    page = surgeon.get(f"{LIST}{session.pk}/change/").content.decode()
    offered = re.findall(r'type="checkbox" name="id" value="(\d+)"', page)
    assert len(offered) == 50
    shown = surgeon.post(address, {"kind": "turns", "id": offered, "reason": "ticket 4711"}).content.decode()
    assert all(f"Turn {number}, the user" in shown for number in range(6, 56))
    assert Audit.objects.get().target["ids"] == [int(one) for one in offered]
    for reason in ({}, {"reason": "ticket 4711"}):
        refused = surgeon.post(address, {"kind": "turns", "id": chosen} | reason)
        assert refused.status_code == 400
        assert "55 were chosen, at most 50 are shown at once." in refused.content.decode()
        assert "Show the words" not in refused.content.decode()
    assert Audit.objects.count() == 1
    Fact.objects.bulk_create(
        Fact(session=session, kind="id", value=f"value {n}", turn=turn(session, 3)) for n in range(101)
    )
    facts = surgeon.post(address, {"kind": "facts", "reason": "ticket 4711"}).content.decode()
    assert "value 100" in facts
    assert "value 0<" not in facts
    assert "2 older facts" in facts


def test_words_of_another_session_are_not_shown_by_the_number_of_their_row(
    surgeon: Client, session: ChatSession, bob: Any
) -> None:
    other = conversation(bob, 1, words="somebody else's")
    answer = surgeon.post(f"{LIST}{session.pk}/reveal/", {"kind": "turns", "id": turn(other, 1).pk, "reason": "ticket"})
    assert "somebody else" not in answer.content.decode()


def test_two_versions_of_a_summary_are_compared_line_by_line() -> None:
    assert list(revealing.diff("one\ntwo\nthree", "one\n2\nthree")) == [
        ("same", "one"), ("gone", "two"), ("new", "2"), ("same", "three")
    ]  # fmt: skip


def test_the_summaries_that_are_sent_are_on_the_page_however_many_there_were(
    surgeon: Client, session: ChatSession
) -> None:
    def listed() -> list[str]:
        page = surgeon.get(f"{LIST}{session.pk}/change/").content.decode()
        return re.findall(r'<th scope="row" id="S(\d+)"', page)

    first = Summary.objects.get(session=session)
    given = {"session": session, "first": 1, "last": 8, "until": first.until, "source_hash": "0" * 64}
    for version in range(2, 201):
        Summary.objects.create(**given, version=version, state="rejected", input_hash=f"{version:064}")
    assert listed()[0] == str(first.pk), "the oldest of two hundred"
    (late,) = compress(session, (9, 12))
    rejected = Summary.objects.filter(session=session, state="rejected").order_by("-pk")
    newest = [str(pk) for pk in rejected.values_list("pk", flat=True)[:98]]
    assert listed() == [str(first.pk), str(late.pk), *newest]
    page = surgeon.get(f"{LIST}{session.pk}/change/").content.decode()
    assert "100, those that are sent first, then the newest; there are more" in page
    assert f"Compare with S{first.pk}<" in page, "which versions that were rejected stand between"
    rejected.delete()
    assert "there are more" not in surgeon.get(f"{LIST}{session.pk}/change/").content.decode()
    assert f"Compare with S{first.pk}<" not in surgeon.get(f"{LIST}{session.pk}/change/").content.decode()


def test_a_turn_tells_what_became_of_it_in_every_later_request(surgeon: Client, session: ChatSession) -> None:
    found = surgeon.get(f"{LIST}{session.pk}/fate/", {"turn": "3"})
    assert found["Location"] == f"{LIST}{session.pk}/turn/3/"
    html = surgeon.get(found["Location"]).content.decode()
    summary = Summary.objects.get(session=session)
    assert f"Turn 3 was word for word in 3, summarised by S{summary.pk} in 20." in html
    assert "a compaction put a summary in its place" in html
    nowhere = surgeon.get(f"{LIST}{session.pk}/fate/", {"turn": "21"}, follow=True).content.decode()
    assert "This conversation has turns 1 to 20." in nowhere


# --- who may ----------------------------------------------------------------------------------------------------


def test_strangers_and_those_who_were_demoted_get_nothing(
    session: ChatSession, bob: Any, django_user_model: Any
) -> None:
    stranger = Client()
    stranger.force_login(bob)
    for address in pages(session):
        assert stranger.get(address).status_code == 302
    demoted = staff(django_user_model, "surgeon")
    assert demoted.get(LIST).status_code == 200
    django_user_model.objects.filter(username__startswith="staff-").update(is_staff=False)
    turns = {"kind": "turns", "id": turn(session, 5).pk, "reason": "ticket"}
    answer = demoted.post(f"{LIST}{session.pk}/reveal/", turns)
    assert answer.status_code == 403
    assert demoted.post(LIST, {"action": "archive"}).status_code == 403
    assert CANARY not in answer.content.decode()
    assert not Audit.objects.exists()


def test_each_deed_needs_its_own_permission(session: ChatSession, django_user_model: Any) -> None:
    viewer = staff(django_user_model, "viewer")
    own = f"{LIST}{session.pk}"
    assert viewer.get(f"{own}/change/").status_code == 200
    assert "Compact now" not in viewer.get(LIST).content.decode()
    assert viewer.post(f"{own}/reveal/", {"kind": "facts", "reason": "why not"}).status_code == 403
    assert viewer.get("/admin/chat/switches/").status_code == 403
    for name in registry.OPERATIONS:
        for address in (f"{own}/operate/{name}/", f"{LIST}bulk/{name}/"):
            body = {"step": "apply", "ids": str(session.pk), "reason": "because I can", "stamp": "x"}
            assert viewer.post(address, body).status_code == 403, address
        chosen = {"action": name, "index": "0", "_selected_action": str(session.pk)}
        assert viewer.post(LIST, chosen).status_code == 403
    # Django asks for an action where none was chosen; that is still said, and nothing else is done.
    assert viewer.post(LIST, {"action": "", "index": "0"}).status_code == 200
    archivist = staff(django_user_model, "", "view_chatsession", "surgery_archive")
    for name, status in {"archive": 200, "trim": 403}.items():
        chosen = {"action": name, "index": "0", "_selected_action": str(session.pk)}
        assert archivist.post(LIST, chosen).status_code == status, name
    assert archivist.get(f"{own}/operate/archive/").status_code == 200
    # Nobody is sent to pages that refuse them.
    for address in (LIST, f"{own}/change/"):
        assert "/monitoring/" in viewer.get(address).content.decode()
        assert "/monitoring/" not in archivist.get(address).content.decode()
    assert archivist.get(f"{own}/operate/trim/").status_code == 403
    blind = staff(django_user_model, "", "surgery_archive")
    assert blind.get(f"{own}/operate/archive/").status_code == 403
    assert not Audit.objects.exists()
    assert not Batch.objects.exists()
    batch = Batch.objects.create(actor=1, operation="trim", reason="Alert.", total=0)
    for deed in ("cancel", "undo"):
        assert viewer.post(f"/admin/chat/batch/{batch.pk}/{deed}/", {"reason": "because I can"}).status_code == 403
    assert Batch.objects.get().state == Batch.State.RUNNING


def test_a_post_without_the_token_of_the_form_is_refused(session: ChatSession, olga: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(olga)
    for address in (f"{LIST}{session.pk}/operate/archive/", f"{LIST}{session.pk}/reveal/", "/admin/chat/switches/"):
        forged = client.post(address, {"step": "apply", "reason": "x-y-z"}, headers={"x-forwarded-proto": "https"})
        assert forged.status_code == 403
    assert not Audit.objects.exists()


def test_every_page_of_the_administration_names_its_icon_once(surgeon: Client, session: ChatSession) -> None:
    own = [f"{LIST}{session.pk}/change/", "/admin/chat/audit/", LIST]
    for address in ("/admin/", "/admin/password_change/", "/admin/chat/", *own):
        assert surgeon.get(address, follow=True).content.decode().count('rel="icon"') == 1, address


# --- deeds ------------------------------------------------------------------------------------------------------


def hidden(html: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'<input type="hidden" name="{name}" value="([^"]*)"', html)
    assert found, name
    return found[1]


def test_an_operation_is_previewed_done_with_a_reason_and_taken_back(surgeon: Client, session: ChatSession) -> None:
    address = f"{LIST}{session.pk}/operate/trim/"
    assert "Preview" in surgeon.get(address).content.decode()
    html = surgeon.post(address, {"step": "preview", "turns": "4"}).content.decode()
    assert "The model will no longer see word for word" in html
    assert registry.get("trim").label + ": 1 session" in html
    assert "<b>Undoable</b>" in html
    body = {"step": "apply", "turns": "4", "stamp": hidden(html, "stamp")}
    assert "Say why" in surgeon.post(address, body | {"reason": ""}).content.decode()
    assert surgeon.post(address, body | {"reason": "night of 22 Nov", "stamp": "old"}).status_code == 409
    session.refresh_from_db()
    assert session.window_from == 9
    done = surgeon.post(address, body | {"reason": "night of 22 Nov"}, follow=True)
    session.refresh_from_db()
    assert session.window_from == 17
    entry = Audit.objects.get()
    assert f"Entry {entry.pk} in the audit" in done.content.decode()
    told = surgeon.get(f"/admin/chat/audit/{entry.pk}/change/").content.decode()
    for figures in ("parameters: (turns: 4), window_from: 17", "prefix_version: 1, window_from: 9"):
        assert figures in told
    back = f"/admin/chat/audit/{entry.pk}/undo/"
    asked = surgeon.get(back).content.decode()
    assert "Take back: 1 session" in asked
    assert "<dt>Turns affected</dt><dd>8</dd>" in asked, "those that come back, 9 to 16"
    unsaid = surgeon.post(back, {"reason": "   "}).content.decode()
    assert "Say why" in unsaid
    assert "Take back: 1 session" in unsaid, "the form is still there"
    surgeon.post(back, {"reason": "too much"})
    session.refresh_from_db()
    assert session.window_from == 9
    assert "taken back" in surgeon.get("/admin/chat/audit/").content.decode()
    assert surgeon.post(back, {"reason": "again"}).status_code == 409
    assert {"night of 22 Nov", "too much"} <= set(Audit.objects.values_list("reason", flat=True))
    found = surgeon.get("/admin/chat/audit/", {"q": f"{session.pk} night"}).content.decode()
    assert "night of 22 Nov" in found
    assert "too much" not in found
    assert surgeon.get(f"{LIST}{session.pk}/operate/nothing/").status_code == 404
    assert surgeon.get(f"{LIST}{uuid.uuid4()}/change/").status_code == 404


def test_a_form_says_its_bounds_a_file_has_its_ending_and_what_is_not_known_yet_is_not_told(
    surgeon: Client, session: ChatSession
) -> None:
    own = f"{LIST}{session.pk}/operate"
    wrong = surgeon.post(f"{own}/marks/", {"step": "preview", "soft": "99", "hard": ""}).content.decode()
    assert "a whole number from 10 to 95 is needed" in wrong
    assert 'min="10" max="95"' in wrong
    for form, ending in (("json", "json"), ("markdown", "md")):
        html = surgeon.post(f"{own}/export/", {"step": "preview", "format": form}).content.decode()
        assert '<th scope="row">word for word</th>' in html
        body = {"step": "apply", "format": form, "stamp": hidden(html, "stamp"), "reason": "ticket 7"}
        answer = surgeon.post(f"{own}/export/", body)
        assert answer["Content-Disposition"].endswith(f'.{ending}"')
    # What a model will write has no parts before it is written.
    ChatSession.objects.filter(pk=session.pk).update(model="large")
    html = surgeon.get(f"{own}/compact/").content.decode()
    assert "are summarised in" in html
    assert '<th scope="row">word for word</th>' not in html


def test_many_are_chosen_previewed_and_started_and_the_page_follows_them(
    surgeon: Client, session: ChatSession, bob: Any
) -> None:
    live = conversation(bob, 3)
    Turn.objects.create(session=live, number=4, parent=live.head, prompt="?")
    ChatSession.objects.filter(pk=live.pk).update(head=Turn.objects.get(session=live, number=4), turns_active=4)
    gauge(live, 0.85)
    chosen = {"action": "archive", "_selected_action": [session.pk, live.pk], "select_across": "0", "index": "0"}
    html = surgeon.post(f"{LIST}?over=80", chosen).content.decode()
    assert "Per session, fullest first" in html
    ids_ = re.search(r'name="ids" hidden>([^<]+)<', html)
    assert ids_
    assert ids_[1].split() == [str(session.pk), str(live.pk)]
    count = re.search(r": (\d+) sessions?</button>", html)
    assert count
    body = {"step": "run", "ids": ids_[1], "reason": ""}
    assert "Say why" in surgeon.post(f"{LIST}bulk/archive/", body).content.decode()
    assert not Batch.objects.exists()
    started = surgeon.post(f"{LIST}bulk/archive/", body | {"reason": "the night of 22 Nov"})
    batch = Batch.objects.get()
    assert started["Location"] == f"/admin/chat/batch/{batch.pk}/change/"
    page = surgeon.get(started["Location"]).content.decode()
    assert "0 of 2 done" in page
    assert 'hx-trigger="load delay:1s"' in page
    BatchItem.objects.filter(session=live.pk).update(
        state="refused", code="live", tokens_before=300, finished_at=timezone.now()
    )
    moved = surgeon.get(f"/admin/chat/batch/{batch.pk}/progress/").content.decode()
    assert "1 of 2 done, 50 %" in moved
    assert "refused: live; nothing changed" in " ".join(re.sub("<[^>]+>", "", moved).split())
    surgeon.post(f"/admin/chat/batch/{batch.pk}/cancel/")
    batch.refresh_from_db()
    assert batch.state == Batch.State.CANCELLED
    over = surgeon.get(started["Location"]).content.decode()
    assert "hx-trigger" not in over
    assert surgeon.get(f"{LIST}bulk/archive/").status_code == 302
    assert surgeon.get(f"/admin/chat/batch/{batch.pk}/cancel/").status_code == 405


def test_a_batch_tells_what_each_took_shows_all_of_it_and_gives_it_out(
    surgeon: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "SHOWN", 2)
    batch = Batch.objects.create(actor=1, operation="trim", reason="Alert.", state="done", total=3)
    BatchItem.objects.bulk_create(
        BatchItem(
            batch=batch, session=uuid.uuid4(), state="done", tokens_before=12_000, tokens_after=4_000, seconds=took,
            finished_at=timezone.now(),
        )
        for took in (0.26, 3.21, None)
    )  # fmt: skip
    address = f"/admin/chat/batch/{batch.pk}/"
    first, whole = (surgeon.get(f"{address}change/", given).content.decode() for given in ({}, {"all": "1"}))
    assert "newest first, 2 of 3" in first
    assert 'href="?all=1"' in first
    assert (first.count("✓"), whole.count("✓")) == (2, 3)
    assert "Show all" not in whole
    assert {'<td class="r">0.3\u00a0s</td>', '<td class="r">3.2\u00a0s</td>', '<td class="r">–</td>'} <= set(
        re.findall(r'<td class="r">[^<]*</td>', whole)
    )
    assert "Undo all" not in first, "nothing that was done is written down"
    done = [
        Audit.objects.create(operation="trim", session=one, batch=batch, reason="Alert.")
        for one in batch.items.values_list("session", flat=True)[:2]
    ]
    assert "Undo all 2" in surgeon.get(f"{address}change/").content.decode()
    for entry, left in zip(done, (True, False), strict=True):
        Audit.objects.create(operation="undo", session=entry.session, undo_of=entry, reason="Wrong one.")
        assert ("Undo all 1" in surgeon.get(f"{address}change/").content.decode()) == left
    file = surgeon.get(f"{address}csv/")
    assert file["Content-Disposition"] == f'attachment; filename="batch-{batch.pk}-trim.csv"'
    lines = list(csv.reader(file.content.decode().splitlines()))
    assert tuple(lines[0]) == results.COLUMNS
    assert [line[1:6] for line in lines[1:]] == [["done", "", "12000", "4000", took] for took in ("0.26", "3.21", "")]


def test_marks_of_its_own_stand_on_the_page_and_in_the_list(surgeon: Client, session: ChatSession, bob: Any) -> None:
    conversation(bob, 1)
    address = f"{LIST}{session.pk}/operate/marks/"
    assert "60\u00a0%, 90\u00a0% (settings)" in surgeon.get(f"{LIST}{session.pk}/change/").content.decode()
    assert "is not below wait from 40%" in surgeon.post(address, {"soft": "", "hard": "40"}).content.decode()
    html = surgeon.post(address, {"soft": "30", "hard": ""}).content.decode()
    body = {"step": "apply", "soft": "30", "hard": "", "stamp": hidden(html, "stamp"), "reason": "fills fast"}
    assert "30\u00a0%, 90\u00a0%" in surgeon.post(address, body, follow=True).content.decode()
    assert ids(surgeon, "marks=own") == {session.pk.hex[:6]}
    assert "marks 30\u00a0%, 90\u00a0%" in surgeon.get(LIST).content.decode()


def test_a_switch_is_turned_with_a_reason_and_an_entry(surgeon: Client) -> None:
    address = "/admin/chat/switches/"
    body = {"compaction_paused": "on", "concurrency": "4", "summary_model": "", "fallback_model": ""}
    body["seen"] = unescape(hidden(surgeon.get(address).content.decode(), "seen"))
    wrong = surgeon.post(address, body)
    assert wrong.status_code == 400
    assert unescape(hidden(wrong.content.decode(), "seen")) == body["seen"]
    assert switches.read() == switches.Switches()
    page = surgeon.post(address, body | {"reason": "the summariser answers 500"}, follow=True).content.decode()
    assert "In force in every process within 5 seconds" in page
    assert "Turned now:</b> Pause compaction, Replies at once." in page
    assert switches.read() == switches.Switches(compaction_paused=True, concurrency=4)
    entry = Audit.objects.get(operation="switch")
    assert (entry.before, entry.after) == (
        {"compaction_paused": False, "concurrency": None}, {"compaction_paused": True, "concurrency": 4}
    )  # fmt: skip
    body["seen"] = unescape(hidden(page, "seen"))
    same = surgeon.post(address, body | {"reason": "once more"}, follow=True)
    assert "Nothing was changed." in same.content.decode()
    assert surgeon.post(address, body | {"reason": "x-y-z", "concurrency": "0"}).status_code == 400
    assert surgeon.post(address, body | {"reason": "x-y-z", "fallback_model": "made-up"}).status_code == 400
    assert Audit.objects.filter(operation="switch").count() == 1


def test_what_somebody_else_has_turned_since_is_not_turned_back_by_a_form_that_did_not_show_it(
    surgeon: Client, django_user_model: Any
) -> None:
    address = "/admin/chat/switches/"
    first = unescape(hidden(surgeon.get(address).content.decode(), "seen"))
    # Meanwhile: everything is read-only, and two replies at once.
    other = staff(django_user_model, "operator")
    theirs = {"read_only": "on", "concurrency": "1", "reason": "half of the replies are wrong", "seen": first}
    assert other.post(address, theirs).status_code == 302
    mine = {"compaction_paused": "on", "concurrency": "5", "reason": "the summariser answers 500", "seen": first}
    answer = surgeon.post(address, mine)
    now = switches.Switches(read_only=True, concurrency=1)
    assert (answer.status_code, switches.read()) == (409, now)
    assert Audit.objects.filter(operation="switch").count() == 1
    said = answer.content.decode()
    assert "Read-only: off when you looked, on now.<" in said
    assert "Replies at once: empty when you looked, 1 now. You chose 5, which stands below." in said
    form = answer.context["form"]
    assert [form[name].value() for name in ("compaction_paused", "read_only", "concurrency", "reason")] == [
        True, True, 5, mine["reason"]
    ]  # fmt: skip
    # What the page now shows can be sent.
    again = mine | {"read_only": "on", "seen": unescape(hidden(said, "seen"))}
    assert surgeon.post(address, again).status_code == 302
    assert switches.read() == switches.Switches(compaction_paused=True, read_only=True, concurrency=5)
    # A form that does not say what it showed turns nothing back either.
    for unsaid in ({}, {"seen": "nonsense"}, {"seen": '{"read_only": 1, "other": 2}'}, {"seen": "[]"}):
        assert surgeon.post(address, {"reason": "an old page"} | unsaid).status_code == 409, unsaid
    assert switches.read().read_only


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", [True, False], ids=["the first switches", "later ones"])
def test_of_two_who_turn_switches_at_once_one_is_told_of_the_other(olga: Any, at_once: Any, first: bool) -> None:
    if not first:
        switches.write(switches.Switches())
    request = RequestFactory().post("/admin/chat/switches/")
    request.user = olga
    wanted = (switches.Switches(read_only=True), switches.Switches(compaction_paused=True))

    def turn_(one: switches.Switches) -> bool:
        return switching.turn(request, one, "half of the replies are wrong", switches.Switches())

    results = at_once(*(partial(turn_, one) for one in wanted))
    (done,) = (at for at, result in enumerate(results) if result is True)
    assert isinstance(results[1 - done], switching.Moved)
    assert results[1 - done].now == switches.read() == wanted[done]
