"""Hostile text everywhere: stored in every column, shown on every page, said through the real socket.

The browser that reads most of it has its content policy switched off, so that nothing but our own care stands between
a string and its running; where a page lives it is read under the policy, too.
"""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from chat.admin import revealing
from chat.providers.standin import request
from chat.providers.standin.server import StandIn, start_standin
from chat.stream.inbound import clean_text
from chat.web.remembered import without_marks
from tests.browser.conftest import Site, send, settled
from tests.browser.hostile_rows import (
    FACTS,
    FILES,
    NAMES,
    PARTS,
    PASSWORD,
    PEOPLE,
    THOUGHTS,
    TITLES,
    TURNS,
    USERNAME,
    VALUES,
    WORDS,
)
from tests.browser.hostile_watch import Watcher, alike, sweep, texts
from tests.hostile import IMG, shared_out

pytestmark = pytest.mark.browser

REASON = f'"> {IMG} </p><script>canary(1)</script>'
NEW_FILES = ['"><svg onload=canary(1)>.txt', f"{IMG}.md", "canary(1)' autofocus onfocus='canary(1).csv"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[StandIn]:
    """A stand-in in this process: it says what a test tells it to."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    standin = asyncio.run_coroutine_threadsafe(start_standin(window=200_000, delay_ms=1, first_ms=0), loop).result(10)
    yield standin
    asyncio.run_coroutine_threadsafe(standin.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def scene(site: Site, upstream: StandIn) -> Iterator[dict[str, Any]]:
    """The ids of hostile rows. Meanwhile the site asks `upstream` for its replies, as it would ask the real API."""
    usual = site.environment
    assert site.stop() == 0
    site.environment = usual | {
        "CHAT_STANDIN": "0",
        "ANTHROPIC_BASE_URL": upstream.base_url,
        "ANTHROPIC_API_KEY": "a-key",
        "CHAT_TITLES": "off",
        "CHAT_MAX_DOCUMENTS": "500",
    }
    with ThreadPoolExecutor(1) as beside:
        told = beside.submit(site.python, "from tests.browser.hostile_rows import seed\nseed()")
        site.start()
    yield json.loads(told.result().splitlines()[-1])
    assert site.stop() == 0
    site.environment = usual
    site.start()


@pytest.fixture(scope="module")
def state(site: Site, chromium: Browser, scene: dict[str, Any]) -> dict[str, Any]:
    """A browser in which the owner of all that has signed in."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(site.url + "/accounts/login/?next=/account/")
    page.get_by_label("Username").fill(USERNAME)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/account/")
    kept = context.storage_state()
    context.close()
    return dict(kept)


@pytest.fixture
def watch(site: Site, chromium: Browser, state: dict[str, Any]) -> Iterator[Watcher]:
    watcher = Watcher(site, chromium, state)
    yield watcher
    for context in watcher.contexts:
        context.close()
    assert watcher.faults == []
    assert watcher.outside == []


def lacks(shown: list[str], wanted: list[str]) -> list[str]:
    """What of `wanted` is on no place of the page, whole."""
    return sorted({alike(text) for text in wanted} - set(shown))


def marked(*lists: list[str]) -> int:
    """How many different texts would be noticed."""
    return sum("canary" in text for texts in lists for text in set(texts))


def from_the_first(page: Page) -> Page:
    """Scroll up, as a reader does, until no turn is missing above: a page begins with the newest of them."""
    earlier = page.locator(".earlier")
    for _ in range(100):
        if not earlier.count():
            break
        page.locator("#scroll").evaluate("(box) => box.scrollTo(0, 0)")
        page.wait_for_timeout(100)
    expect(earlier).to_have_count(0)
    return page


class TestWhatIsStored:
    def test_a_conversation_shows_it_all_and_nothing_of_it_lives(self, watch, scene):
        page = from_the_first(watch(f"/c/{scene['session']}/", bypass_csp=True))
        assert texts(page, ".user") == [alike(part) for part in PARTS]
        assert lacks(texts(page, "#documents .name"), FILES) == []
        assert lacks(texts(page, "article .attached .name"), FILES) == []
        assert lacks(texts(page, ".values code"), VALUES) == []
        page.evaluate("document.querySelectorAll('.thought, .notice > details').forEach((one) => { one.open = true })")
        expect(page.locator(".thought .reply")).to_have_count(THOUGHTS)
        expect(page.locator(".choose li").first).to_be_attached()
        page.get_by_role("button", name="What is remembered").click()
        expect(page.locator(".known li")).to_have_count(len(FACTS))
        assert lacks(texts(page, ".value strong"), FACTS) == []
        assert lacks(texts(page, ".known q"), [without_marks(fact) for fact in FACTS]) == []
        page.keyboard.press("Escape")
        page.locator("button.model").click()
        expect(page.locator("#choices option").last).to_be_attached()
        expect(page.locator("#choices form button", has_text="Use it")).to_be_visible()
        assert lacks(texts(page, "#choices option"), NAMES) == []
        page.keyboard.press("Escape")
        rows, more = page.locator("#list .talk"), page.locator("#list .more")
        for seen in range(40, len(TITLES), 40):
            expect(rows).to_have_count(seen)
            more.scroll_into_view_if_needed()
        expect(more).to_have_count(0)
        assert lacks(texts(page, "#list .talk .row > span"), TITLES) == []
        page.get_by_role("searchbox", name="Search conversations").fill("canary")
        expect(page.locator("#found .snippet").first).to_be_visible()
        sweep(page, written=1_000, plain=marked(PARTS, TITLES, FILES, FACTS, NAMES))

    def test_no_other_page_runs_it_either(self, watch, scene, site):
        page = watch("/archive/", bypass_csp=True, base_url=site.url)
        assert lacks([name.split("1 turn ·")[0].strip() for name in texts(page, ".name")], TITLES) == []
        sweep(page, plain=marked(TITLES))
        page.goto("/instructions/")
        assert lacks([name.rsplit("~", 1)[0].strip() for name in texts(page, ".name")], NAMES) == []
        sweep(page, plain=marked(NAMES))
        page.goto("/admin/auth/user/")
        assert lacks(texts(page, "#result_list th, #result_list td"), PEOPLE) == []
        sweep(page)
        for path, words in {
            f"/instructions/{scene['preset']}/": 400,
            f"/admin/auth/user/{scene['owner']}/change/": 5,
            f"/c/{scene['session']}/turns/{scene['thought']}/thought/": 50,
            "/account/": 2,
            f"/monitoring/sessions/{scene['session']}/": 0,
        }.items():
            page.goto(path)
            assert page.content().count("canary") >= words
            sweep(page)
        page.goto("/import/")
        said = [[{"sender": "human", "text": title}, {"sender": "assistant", "text": "Hello."}] for title in TITLES]
        told = [{"name": title, "chat_messages": one} for title, one in zip(TITLES, said, strict=True)]
        file = {"name": f"{IMG}.json", "mimeType": "application/json", "buffer": json.dumps(told).encode()}
        page.get_by_label("File").set_input_files(file)
        page.get_by_role("button", name="Look into it").click()
        expect(page.get_by_role("button", name=re.compile(r"^Import \d"))).to_be_visible()
        sweep(page, plain=marked(TITLES))
        stranger = watch(f"/s/{scene['token']}/", anonymous=True, bypass_csp=True)
        assert texts(stranger, ".user") == [alike(part) for part in PARTS]
        assert lacks(texts(stranger, ".attached li"), FILES) == []
        sweep(stranger, written=1_000, plain=marked(PARTS, FILES))

    def test_staff_read_the_words_and_nothing_of_them_lives(self, watch, scene, site):
        """Turns, a summary, what changed in it, and facts: each behind a reason, which is hostile itself."""
        page = watch("/account/", bypass_csp=True, base_url=site.url)
        change = f"/admin/chat/chatsession/{scene['session']}/change/"
        shown = []
        for start in range(0, TURNS, revealing.MOST):
            page.goto(change)
            for box in page.get_by_role("checkbox", name="Choose turn").all()[start : start + revealing.MOST]:
                box.check()
            page.get_by_label("Reason").fill(REASON)
            page.get_by_role("button", name="Read the chosen turns").click()
            shown += self.read(page)
        assert sorted(shown) == sorted(2 * [alike(part) for part in PARTS])
        (summary,) = self.ask(page, change, re.compile(r"^Read S\d+$"))
        for word in WORDS:
            assert alike(word) in summary
        self.ask(page, change, re.compile("^Compare S"))
        diff = {what: " ".join(texts(page, f".diff {what}")) for what in ("ins", "del", ".same")}
        assert all(lines.count("canary") > len(WORDS) / 4 for lines in diff.values())
        assert lacks(diff["ins"].split() + diff[".same"].split(), summary.split()) == []
        facts = self.ask(page, change, "Read the facts")
        assert sorted(facts) == sorted(f"{alike(fact)} {alike(fact)}" for fact in FACTS)
        for path in (change, "/admin/chat/audit/"):
            page.goto(path)
            sweep(page)
        assert page.locator(".field-reason", has_text="canary").count() == len(range(0, TURNS, revealing.MOST)) + 3
        page.locator("#result_list tbody th a").first.click()
        expect(page.locator(".lead")).to_contain_text(alike(REASON))
        sweep(page)

    def ask(self, page: Page, change: str, button: str | re.Pattern[str]) -> list[str]:
        """Press a button of a conversation's page, give a reason, and return the words that come."""
        page.goto(change)
        page.get_by_role("button", name=button).first.click()
        page.get_by_label("Reason").fill(REASON)
        page.get_by_role("button", name="Show the words").click()
        return self.read(page)

    def read(self, page: Page) -> list[str]:
        """What the page shows behind its reason."""
        expect(page.locator(".lead")).to_contain_text(alike(REASON))
        words = texts(page, "pre.words")
        sweep(page, plain=marked(words) or len(WORDS) // 2)
        return words

    @pytest.mark.parametrize(("form", "kind"), [("md", "text/markdown"), ("json", "application/json")])
    def test_an_export_is_a_file_and_never_a_page(self, watch, scene, site, form, kind):
        page = watch("/account/", bypass_csp=True, base_url=site.url)
        address = f"/c/{scene['session']}/export.{form}"
        with page.expect_download() as caught:
            page.evaluate("(address) => { location.href = address }", address)
        assert re.fullmatch(rf"[\w .,+()-]+\.{form}", caught.value.suggested_filename)
        headers = page.request.head(address).headers
        assert headers["content-type"].startswith(kind)
        assert headers["content-disposition"].startswith("attachment;")
        assert headers["x-content-type-options"] == "nosniff"
        text = Path(caught.value.path()).read_text()
        if form == "json":
            assert [turn["prompt"] for turn in json.loads(text)["turns"]][:TURNS] == PARTS
        else:
            assert text.count("canary") > 2 * len(WORDS)


class TestWhatIsSaid:
    def test_nothing_lives_while_it_streams_nor_in_what_the_model_sees(self, watch, scene, upstream):
        parts = ["\n\n".join(part) for part in shared_out(WORDS, 4)]
        replies = iter([*parts, "Not yet. " * 300, "Done."])
        upstream.responder = lambda body: next(replies) if request.purpose(body) == "reply" else None
        path = f"/c/{scene['session']}/"
        page, strict = from_the_first(watch(path, bypass_csp=True)), from_the_first(watch(path))
        page.locator("#files").set_input_files(
            [{"name": name, "mimeType": "text/plain", "buffer": b"Nothing."} for name in NEW_FILES]
        )
        expect(page.locator("#composer .chip[data-document]")).to_have_count(len(NEW_FILES))
        for at, words in enumerate(reversed(parts), start=1):
            send(page, f"See:\n\n{words}")
            expect(page.get_by_role("article")).to_have_count(TURNS + at)
            settled(page)
            assert texts(page, ".user")[-1] == alike(clean_text(f"See:\n\n{words}"))
        expect(strict.get_by_role("article")).to_have_count(TURNS + 4)
        settled(strict)
        assert texts(strict, "article > .reply") == texts(page, "article > .reply")
        sweep(strict, written=1_000, plain=marked(PARTS, FILES))
        self.queue(page, upstream, parts[0])
        self.see(page)
        sweep(page, written=1_000, plain=2 * marked(FILES))

    def queue(self, page: Page, upstream: StandIn, words: str) -> None:
        """A message waits for the end of a reply, until it is sent at once."""
        upstream.delay_ms = 100
        send(page, "Once more.")
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        send(page, words)
        expect(page.locator(".queue .words")).to_contain_text("canary")
        upstream.delay_ms = 1
        page.get_by_role("button", name="Send now").click()
        expect(page.get_by_role("article")).to_have_count(TURNS + 6)
        settled(page)

    def see(self, page: Page) -> None:
        """Open what the model sees, and in it one segment of each kind."""
        page.get_by_role("article").last.get_by_role("button", name="What the model sees").press("Enter")
        dialog = page.get_by_role("dialog", name="What the model sees")
        expect(dialog.get_by_text("byte for byte")).to_be_visible()
        assert (
            lacks(texts(page, ".segs th a > span"), [*FILES, *(name.replace('"', "%22") for name in NEW_FILES)]) == []
        )
        links = dialog.locator(".segs th a")
        for name in ("Instructions", alike(FILES[0]), "Summary of", f"Turn {TURNS}"):
            link = links.filter(has_text=name).first
            number = (link.get_attribute("id") or "").removeprefix("seg-")
            link.evaluate("(link) => link.click()")
            expect(dialog.locator("#model-view-preview header p")).to_contain_text(f"Segment {number} ·")
            sweep(page)


class TestTheWatchItself:
    @pytest.mark.parametrize("policy", [True, False], ids=["under the policy", "without one"])
    def test_a_renderer_that_lets_things_through_is_caught(self, site, chromium, scene, state, policy):
        """The same watch over replies that were rendered with HTML let in and the sanitiser taken out."""
        watcher = Watcher(site, chromium, state)
        page = watcher(f"/c/{scene['unsafe']}/", bypass_csp=not policy)
        if not policy:
            page.wait_for_function("[...__told].some((told) => told.startsWith('ran'))")
        sweep(page)
        watcher.contexts[0].close()
        told = "\n".join(watcher.faults + watcher.outside)
        for sign in ("<img>", "<img onerror>", '<a href="javascript:canary(1)">', "<p style>", "<b>", "<b hx-get>"):
            assert f"hostile: {sign}" in told
        assert ("policy: " in told) is policy
        assert ("hostile: ran canary" in told) is not policy
        assert ("https://canary.example/p" in watcher.outside) is not policy
        assert any(address.startswith(site.url) and address.endswith("canary") for address in watcher.outside)
