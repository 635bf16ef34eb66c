"""One's own account: what may be changed, what it costs to change it, who hears of it, and what is not told."""

import re
from smtplib import SMTPServerDisconnected

import pytest
from axes.models import AccessAttempt
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.test import Client

from chat.flow import letters
from chat.models import Job, Preference, SignIn
from chat.store import logins, rates
from chat.web import browsers
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605 (KHTML) Version/19.0 Safari/604.1"
NEW = "a long quiet river"


class Down(BaseEmailBackend):
    """A server for letters that is not there."""

    def send_messages(self, email_messages):
        raise SMTPServerDisconnected


@pytest.fixture(autouse=True)
def _nobody_has_asked_yet(monkeypatch):
    monkeypatch.setattr(letters, "_asked", rates.Window(3600))


def signed_in(agent=FIREFOX, name="alice", password=PASSWORD):
    browser = Client(headers={"User-Agent": agent})
    assert browser.post("/accounts/login/", {"username": name, "password": password}).status_code == 302
    return browser


def good(browser) -> bool:
    return browser.get("/account/").status_code == 200


def letters_sent():
    """What the job writes, as it writes it."""
    for job in Job.objects.filter(kind=letters.KIND, state="due"):
        for letter in letters.written(job.pk):
            letter.send()
    Job.objects.all().delete()
    return mail.outbox


def link_in(letter) -> str:
    return re.search(r"http://testserver(\S+)", letter.body)[1]


class TestSigningIn:
    def test_the_session_has_another_key_afterwards(self, alice):
        browser = Client()
        browser.get("/accounts/login/")
        session = browser.session
        session["planted"] = "1"
        session.save()
        browser.cookies["sessionid"] = planted = session.session_key
        browser.post("/accounts/login/", {"username": "alice", "password": PASSWORD})
        assert browser.cookies["sessionid"].value != planted
        assert not Session.objects.filter(session_key=planted).exists()

    def test_ten_wrong_passwords_lock_the_name_and_the_right_one_too(self, alice):
        browser = Client()
        answers = [browser.post("/accounts/login/", {"username": "alice", "password": f"wrong {n}"}) for n in range(10)]
        assert [answer.status_code for answer in answers] == [200] * 9 + [429]
        locked = browser.post("/accounts/login/", {"username": "alice", "password": PASSWORD})
        assert locked.status_code == 429
        assert "Too many attempts" in locked.content.decode()

    def test_wrong_passwords_on_a_page_that_was_left_open_are_counted_too(self, alice):
        browser = signed_in()
        for path, fields in (
            ("/account/delete/", {"password": "x"}),
            ("/account/email/", {"password": "x", "email": "a@example.org"}),
            ("/account/password/", {"old_password": "x", "new_password1": NEW, "new_password2": NEW}),
        ):
            answer = browser.post(path, fields)
            assert (answer.status_code, "not your password" in answer.content.decode()) == (422, True)
        assert AccessAttempt.objects.get().failures_since_start == 3
        assert get_user_model().objects.filter(username="alice").exists()


class TestPassword:
    def test_a_change_keeps_this_browser_and_signs_out_all_others(self, alice):
        here, there = signed_in(), signed_in(PHONE)
        fields = {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}
        assert here.post("/account/password/", fields).url == "/account/"
        assert (good(here), good(there)) == (True, False)
        page = here.get("/account/").content.decode()
        assert "Firefox on Linux" in page
        assert "iPhone" not in page
        alice.refresh_from_db()
        assert alice.check_password(NEW)

    def test_a_poor_one_is_refused_with_its_reason(self, client, alice):
        client.force_login(alice)
        fields = {"old_password": PASSWORD, "new_password1": "12345678", "new_password2": "12345678"}
        answer = client.post("/account/password/", fields)
        assert answer.status_code == 422
        assert "too common" in answer.content.decode()

    def test_a_forgotten_one_is_replaced_by_the_link_in_a_letter_once(self, client, alice):
        there = signed_in()
        client.post("/accounts/password/", {"email": "ALICE@example.org"})
        (letter,) = letters_sent()
        assert letter.to == ["alice@example.org"]
        path = client.get(link_in(letter)).url
        assert client.post(path, {"new_password1": NEW, "new_password2": NEW}).url == "/accounts/password/done/"
        assert not good(there)
        assert good(signed_in(password=NEW))
        assert "does not work any more" in client.get(link_in(letter), follow=True).content.decode()

    def test_asking_tells_nobody_whether_there_is_such_an_account(self, client, alice, django_assert_num_queries):
        answers = []
        for address in ("alice@example.org", "nobody@example.org"):
            with django_assert_num_queries(6):
                answers.append(client.post("/accounts/password/", {"email": address}))
        assert [(answer.status_code, answer.url) for answer in answers] == [(302, "/accounts/password/sent/")] * 2
        assert mail.outbox == []
        assert Job.objects.count() == 2
        assert "example.org" not in str(list(Job.objects.values_list("args", flat=True)))
        assert len(letters_sent()) == 1

    def test_nobody_fills_somebodys_mailbox(self, client, alice, monkeypatch):
        monkeypatch.setattr(letters, "_sent", {})
        for _ in range(9):
            client.post("/accounts/password/", {"email": "alice@example.org"})
        assert len(letters_sent()) == letters.MOST_AN_HOUR


class TestAddress:
    def test_holds_once_its_link_was_followed_and_the_old_one_is_told(self, client, alice):
        client.force_login(alice)
        client.post("/account/email/", {"email": "new@example.net", "password": PASSWORD})
        (letter,) = letters_sent()
        path = link_in(letter)
        assert (letter.to, "new@example.net" in path) == (["new@example.net"], False)
        assert "Confirm" in client.get(path).content.decode()
        alice.refresh_from_db()
        assert alice.email == "alice@example.org", "a program that looks at links changes nothing"
        assert client.post(path).url == "/account/"
        alice.refresh_from_db()
        assert (alice.email, mail.outbox[1].to) == ("new@example.net", ["alice@example.org"])
        assert "new@example.net" in mail.outbox[1].body
        assert client.post(path).status_code == 404

    def test_a_link_is_good_for_its_own_user_and_its_own_address(self, client, alice, bob):
        client.force_login(alice)
        client.post("/account/email/", {"email": "new@example.net", "password": PASSWORD})
        path = link_in(letters_sent()[0])
        client.force_login(bob)
        client.post("/account/email/", {"email": "bobs@example.net", "password": PASSWORD})
        letters_sent()
        assert client.post(path).status_code == 404
        client.force_login(alice)
        client.post("/account/email/", {"email": "other@example.net", "password": PASSWORD})
        assert client.post(path).status_code == 404
        letters_sent()
        client.post("/account/email/forget/")
        assert client.post(link_in(mail.outbox[2])).status_code == 404
        alice.refresh_from_db()
        assert alice.email == "alice@example.org"

    def test_is_asked_for_while_no_letter_can_be_sent_and_the_letter_is_tried_again(self, client, alice, settings):
        settings.EMAIL_BACKEND = "tests.web.test_account.Down"
        client.force_login(alice)
        answer = client.post("/account/email/", {"email": "new@example.net", "password": PASSWORD})
        assert (answer.status_code, answer.url) == (302, "/account/")
        assert "Waiting for new@example.net" in client.get("/account/").content.decode()
        with pytest.raises(SMTPServerDisconnected):
            letters_sent()
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        assert Job.objects.get().args.keys() == {"confirms", "origin", "language"}, "a job names nobody's address"
        assert [letter.to for letter in letters_sent()] == [["new@example.net"]]

    def test_that_is_not_wanted_any_more_gets_no_letter(self, client, alice):
        client.force_login(alice)
        client.post("/account/email/", {"email": "new@example.net", "password": PASSWORD})
        client.post("/account/email/forget/")
        assert letters.written(Job.objects.get().pk) == []

    def test_of_somebody_else_is_not_filled_with_letters(self, client, alice):
        client.force_login(alice)
        given = {"email": "stranger@example.net", "password": PASSWORD}
        answers = [client.post("/account/email/", given) for _ in range(letters.MOST_AN_HOUR + 2)]
        assert [answer.status_code for answer in answers] == [302] * letters.MOST_AN_HOUR + [422] * 2
        last = client.post("/account/email/", given | {"email": "another@example.net"}).content.decode()
        assert re.search(r"5 links were sent within an hour, which is the most\. Ask again in \d\d min\.", last)
        assert Preference.objects.get(user=alice).new_email == "stranger@example.net"
        assert len(letters_sent()) == letters.MOST_AN_HOUR


class TestSignIns:
    def test_each_browser_is_listed_and_can_be_signed_out(self, alice, bob):
        here, there, bobs = signed_in(), signed_in(PHONE), signed_in(name="bob")
        page = here.get("/account/").content.decode()
        assert "Firefox on Linux" in page
        assert "Safari on iPhone" in page
        (number,) = re.findall(r"/account/sign-ins/(\d+)/", page)
        assert bobs.post(f"/account/sign-ins/{number}/").status_code == 404
        assert good(there)
        assert here.post(f"/account/sign-ins/{number}/").url == "/account/"
        assert (good(here), good(there), good(bobs)) == (True, False, True)

    def test_all_others_can_be_signed_out_at_once(self, alice, bob):
        here, others, bobs = signed_in(), [signed_in(), signed_in(PHONE)], signed_in(name="bob")
        here.post("/account/sign-ins/others/")
        assert [good(one) for one in (here, *others, bobs)] == [True, False, False, True]

    def test_a_browser_with_an_open_page_is_seen_and_one_that_nobody_noted_is_noted(self, alice):
        browser = signed_in()
        key = browser.cookies["sessionid"].value
        before = SignIn.objects.get()
        SignIn.objects.all().delete()
        logins.seen([(key, alice.pk), ("gone", alice.pk), ("", alice.pk)])
        assert list(SignIn.objects.values_list("key", "user")) == [(key, alice.pk)]
        logins.seen([(key, alice.pk)])
        assert SignIn.objects.get().seen_at > before.seen_at

    def test_what_is_over_is_forgotten_with_the_next_sign_in(self, alice):
        signed_in()
        Session.objects.all().delete()
        signed_in()
        assert SignIn.objects.count() == 1

    def test_a_browser_is_named_in_two_words_and_nothing_else_of_it_is_kept(self):
        chrome = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"
        told = {FIREFOX: "Firefox on Linux", PHONE: "Safari on iPhone", chrome: "Chrome on Windows",
                chrome + " Edg/140.0": "Edge on Windows", "curl/8": "A browser", "<b>" * 500: "A browser"}  # fmt: skip
        assert {agent: browsers.words(browsers.describe(agent)) for agent in told} == told


class TestTheRest:
    def test_conversations_may_be_deleted_by_themselves_after_a_chosen_time(self, client, alice):
        client.force_login(alice)
        for given, kept in (("30", 30), ("0", 30), ("3651", 30), ("soon", 30), ("31", 31), ("", None)):
            said = client.post("/account/keep/", {"delete_after_days": given}, follow=True).content.decode()
            assert Preference.objects.get(user=alice).delete_after_days == kept
            assert ("Saved." in said) == (given in ("30", "31", "")), given
        client.post("/account/keep/", {"delete_after_days": "90"})
        assert 'step="1" inputmode="numeric" value="90"' in client.get("/account/").content.decode()

    def test_the_language_can_be_chosen(self, client, alice):
        client.force_login(alice)
        client.post("/i18n/setlang/", {"language": "de", "next": "/account/"})
        assert '<html lang="de"' in client.get("/account/").content.decode()

    @pytest.mark.parametrize(
        "path", ["/account/", "/account/password/", "/account/email/", "/account/delete/", "/import/"]
    )
    def test_a_page_writes_nothing_and_takes_no_post_without_a_token(
        self, client, alice, path, django_assert_num_queries
    ):
        client.force_login(alice)
        before = list(SignIn.objects.values()), list(Session.objects.values()), Preference.objects.count()
        assert client.get(path).status_code == 200
        assert (list(SignIn.objects.values()), list(Session.objects.values()), Preference.objects.count()) == before
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(alice)
        assert strict.post(path).status_code in (403, 405)

    @pytest.mark.parametrize("path", ["sign-ins/others/", "sign-ins/1/", "keep/", "email/forget/"])
    def test_what_changes_something_takes_no_get(self, client, alice, path):
        client.force_login(alice)
        assert client.get(f"/account/{path}").status_code == 405
