"""A real site (a process of its own, on a database of its own), a real browser, and a watch over both."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
USER, PASSWORD = "alice", "correct horse battery staple"
STARTS_WITHIN_S = ENDS_WITHIN_S = 60
COMES_WITHIN_S = 15
# Takes the stand-in four seconds: long enough to do something meanwhile.
LONGER = "Write 450 words about water hardness, with a table and code."
# Long enough for all that is done meanwhile on a slow machine; it is stopped.
ENDLESS = "Write 3000 words about water hardness, with a table and code."
TOKENS_PER_DAY = 1_000_000_000
# A machine that does something else for some seconds is no fault of a page; how fast it is, the benches say.
expect.set_options(timeout=15_000)
# Of what was on the page when a test failed: a conversation in between would hide the rest.
LINE_CHARS, FIRST_LINES, LAST_LINES = 160, 20, 50

WATCH = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""

# Left by a server that a test itself stopped, or by a page that was refused on purpose.
NETWORK = ("ERR_CONNECTION_REFUSED", "WebSocket connection to", "Failed to load resource")


def brief(message: str) -> str:
    """What a failed expectation says, with the picture of the page in words cut to what one reads."""
    said, mark, page = message.partition("Aria snapshot:")
    lines = [line if len(line) <= LINE_CHARS else line[:LINE_CHARS] + " …" for line in page.splitlines()]
    if left_out := lines[FIRST_LINES:-LAST_LINES]:
        lines[FIRST_LINES:-LAST_LINES] = [f"… {len(left_out)} lines …"]
    return said + mark + "\n".join(lines)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    if call.excinfo is not None and isinstance(call.excinfo.value, AssertionError):
        call.excinfo.value.args = (brief(str(call.excinfo.value)),)
    return (yield)


@dataclass
class Site:
    """A running site. `environment` is what its processes were given."""

    url: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(default_factory=Path)

    def start(self) -> None:
        """Serve, and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ctxsite.serve"], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        deadline = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(self.url + "/accounts/login/").close()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(self.log.read_text()[-3000:])

    def stop(self) -> int:
        """End it as Ctrl-C does; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(ENDS_WITHIN_S)

    def run(self, *arguments: str) -> str:
        """A management command of this site; its output."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def python(self, code: str) -> str:
        """A few lines of Python inside this site; what they print."""
        return self.run("shell", "--no-imports", "-c", code)


@contextlib.contextmanager
def own_database(scratch: Path) -> Iterator[str]:
    """The URL of an empty database of the kind that the tests run on."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{scratch / 'site.sqlite3'}"
        return
    url, name = os.environ["DATABASE_URL"], f"browser_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
    try:
        yield url.rsplit("/", 1)[0] + "/" + name
    finally:
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """The site with one user, on the stand-in, as `make run` would serve it."""
    with tempfile.TemporaryDirectory(prefix="chat-browser-") as directory, own_database(Path(directory)) as database:
        port = free_port()
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("CHAT_", "DJANGO_", "ANTHROPIC_"))
        }
        site = Site(
            url=f"http://127.0.0.1:{port}",
            environment=kept
            | {
                "DATABASE_URL": database,
                "CHAT_VAR_DIR": directory,
                "PORT": str(port),
                "HOST": "127.0.0.1",
                # Plain names, straight from the sources: what an earlier start collected may be older.
                "DJANGO_DEBUG": "1",
                "CHAT_STANDIN": "1",
                "CHAT_STANDIN_DELAY_MS": "20",
                # A script types faster than anybody; what it may use in a day is for the test that is about it.
                "CHAT_MESSAGES_PER_MINUTE": "0",
                "CHAT_LIVE_TURNS": "0",
                "CHAT_SIGNUP": "1",
                "CHAT_TOKENS_PER_DAY": str(TOKENS_PER_DAY),
                # What a full conversation is spared until its test gets to it. A start looks around once all the same.
                "CHAT_SWEEP_S": "3600",
            },
            log=Path(directory) / "log",
        )
        # One process: starting Python costs more than all that it does here.
        site.python(
            "from django.contrib.auth import get_user_model\n"
            "from django.core.management import call_command\n"
            "call_command('migrate', verbosity=0)\n"
            f"get_user_model().objects.create_superuser({USER!r}, password={PASSWORD!r})"
        )
        site.start()
        yield site
        assert site.stop() == 0, site.log.read_text()[-3000:]


@pytest.fixture(scope="session")
def demo(site: Site) -> str:
    """The path of alice's demo conversation: long, with a compression, imported as if from elsewhere."""
    return re.findall(r"/c/\S+/", site.run("demo_session", "--user", USER))[-1]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def signed_in(site: Site, chromium: Browser) -> dict[str, Any]:
    """The state of a browser in which alice has signed in."""
    context = chromium.new_context()
    page = context.new_page()
    sign_in(page, site)
    state = context.storage_state()
    context.close()
    return state


@dataclass
class Visitor:
    """Opens pages as alice, or as nobody; at the end none of them may have thrown or broken the policy."""

    site: Site
    chromium: Browser
    state: dict[str, Any]
    faults: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    welcomed: list[Page] = field(default_factory=list)

    def __call__(self, path: str = "/", *, anonymous: bool = False, **options: Any) -> Page:
        return self.tab(self.context(anonymous=anonymous, **options), path)

    def context(self, *, anonymous: bool = False, **options: Any) -> BrowserContext:
        """A browser of its own."""
        context = self.chromium.new_context(
            **{"viewport": {"width": 1280, "height": 800}, "storage_state": None if anonymous else self.state} | options
        )
        self.contexts.append(context)
        return context

    def tab(self, context: BrowserContext, path: str) -> Page:
        """One more tab of the same browser."""
        page = context.new_page()
        page.add_init_script(WATCH)
        page.on("pageerror", lambda error: self.faults.append(f"{error}"))
        page.on("console", self._console)
        page.on("request", self._request)
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        # Who begins to listen for choosers in the moment before one opens may be too late for it.
        page.on("filechooser", lambda _: None)
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: self._frame(page, frame)))
        page.goto(self.site.url + path)
        ready(page)
        return page

    def new_chat(self, **options: Any) -> Page:
        """A page with a conversation in which nothing has been said: made as the button makes it, without its page."""
        context = self.context(**options)
        token = next(cookie["value"] for cookie in context.cookies() if cookie["name"] == "csrftoken")
        headers = {"X-CSRFToken": token, "Accept": "application/json"}
        made = context.request.post(self.site.url + "/new/", headers=headers)
        return self.tab(context, made.json()["url"])

    def heard(self, page: Page) -> None:
        """Wait until the server has welcomed the page: what happens before that is told to nobody."""
        arrives(page, lambda: page in self.welcomed)

    def _frame(self, page: Page, frame: str | bytes) -> None:
        if isinstance(frame, str) and '"type":"welcome"' in frame:
            self.welcomed.append(page)

    def _console(self, line: Any) -> None:
        if line.type == "error" and not any(word in line.text for word in NETWORK):
            self.faults.append(line.text)

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.site.url, "data:", self.site.url.replace("http", "ws"))):
            self.outside.append(request.url)


@pytest.fixture
def visit(site: Site, chromium: Browser, signed_in: dict[str, Any]) -> Iterator[Visitor]:
    visitor = Visitor(site, chromium, signed_in)
    yield visitor
    for context in visitor.contexts:
        context.close()
    assert visitor.faults == []
    assert visitor.outside == []


def ready(page: Page) -> None:
    """Wait until the page's script has taken over; before, its forms are plain ones."""
    expect(page.locator("main.main:not(.ready)")).to_have_count(0)


def sign_in(page: Page, site: Site) -> None:
    page.goto(site.url + "/accounts/login/")
    page.get_by_label("Username").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("textbox", name="Message")).to_be_visible()


def send(page: Page, text: str) -> None:
    """Write a message and send it."""
    page.get_by_role("textbox", name="Message").fill(text)
    page.get_by_role("button", name="Send").click()


def ask(page: Page, text: str) -> str:
    """Send a message, wait for the whole reply, and return it."""
    before = page.get_by_role("article").count()
    send(page, text)
    expect(page.get_by_role("article")).to_have_count(before + 1)
    settled(page)
    return last_reply(page)


def copied(button: Locator) -> str:
    """Press a button that copies, and return what the clipboard holds then."""
    button.click()
    expect(button.locator("use")).to_have_attribute("href", "#i-done")
    return str(button.page.evaluate("navigator.clipboard.readText()"))


def refreshed(page: Page) -> None:
    """Have what stands around the turns put on the page anew, as a title or a compaction does: gauge, row, notices."""
    page.evaluate("""() => {
      const address = document.getElementById("main").dataset.turns + "around/";
      return htmx.ajax("GET", address, { source: "#transcript", target: "#transcript", swap: "none" });
    }""")


def arrives(page: Page, there: Callable[[], bool]) -> None:
    """Wait until `there()` is true of what went over a page's sockets."""
    deadline = time.monotonic() + COMES_WITHIN_S
    while not there():
        assert time.monotonic() < deadline, "it never came"
        page.wait_for_timeout(50)


def titled(page: Page, title: str) -> None:
    """Wait until a conversation has its better title: nothing comes to the page any more that nobody here asked for."""
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def settled(page: Page) -> None:
    """Wait until the last turn has ended and stands as it is stored."""
    expect(page.locator('article[aria-busy="true"]')).to_have_count(0, timeout=30_000)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def last_reply(page: Page) -> str:
    return page.get_by_role("article").last.locator(".reply").inner_text()
