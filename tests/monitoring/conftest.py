"""Calls and events as the flow would record them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from django.conf import settings
from django.urls import reverse
from django.utils import translation
from playwright.sync_api import Browser, Page, sync_playwright

from monitoring import recording
from monitoring.folding import Call
from tests.monitoring import asking

SESSION = UUID("2b71f4aa-0000-4000-8000-000000000001")
POLL_MS = 5_100
"""After so long a page that is live has asked anew."""
START = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)


# Reported before anything of the page runs; the layout shifts are what a reader would call a jump.
WATCH = """
document.addEventListener("securitypolicyviolation", (event) => console.error(`CSP ${event.violatedDirective}`));
window.shifts = [];
new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.shifts.push(entry.value)))
  .observe({type: "layout-shift", buffered: true});
"""


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """A page that was asked for in another language leaves it behind in the test's thread."""
    yield
    translation.deactivate()


@pytest.fixture
def session() -> UUID:
    """A session's id; monitoring needs no more of it."""
    return SESSION


@pytest.fixture
def tell() -> Callable[..., bool]:
    """Record a call; everything that a test does not say is an ordinary reply of 10,000 tokens, 4 minutes a turn."""

    def tell(number: int = 1, **given: Any) -> bool:
        values: dict[str, Any] = {
            "call": uuid4(),
            "session": SESSION,
            "user": 7,
            "turn": 1000 + number,
            "number": number,
            "purpose": "reply",
            "model": "claude-opus-4-6",
            "strategy": "summary",
            "window": 200_000,
            "input": 1_000,
            "cache_read": 8_000,
            "cache_write": 1_000,
            "output": 500,
            "components": {"system": 3_000, "history": 6_000, "current": 500},
            "estimate": 9_500,
            "first_ms": 700,
            "total_ms": 4_000,
            "stop_reason": "end_turn",
            "outcome": "ok",
            "at": START + timedelta(minutes=4 * number),
        }
        return recording.record_call(**values | given)

    return tell


@pytest.fixture
def happen() -> Callable[..., None]:
    """Record an event; by default a compaction that took effect."""

    def happen(number: int = 1, **given: Any) -> None:
        values: dict[str, Any] = {
            "session": SESSION,
            "user": 7,
            "kind": "compaction",
            "number": number,
            "model": "claude-haiku-4-5-20251001",
            "tokens_before": 60_000,
            "tokens_after": 2_000,
            "seconds": 4.2,
            "outcome": "ok",
            "code": "soft",
            "at": START + timedelta(minutes=4 * number, seconds=-30),
        }
        recording.record_event(**values | given)

    return happen


@pytest.fixture
def call() -> Callable[..., Call]:
    """A call as it is added up; by default an ordinary reply that found all in the cache."""

    def call(**given: Any) -> Call:
        values: dict[str, Any] = {
            "at": START,
            "model": "claude-opus-4-6",
            "purpose": "reply",
            "strategy": "summary",
            "user": 7,
            "outcome": "ok",
            "window": 200_000,
            "input": 1_000,
            "cache_read": 8_000,
            "cache_write": 1_000,
            "output": 500,
            "left": None,
            "spared": None,
            "cost": None,
            "saved": None,
            "estimate": None,
            "first_ms": 700,
            "total_ms": 4_000,
            "miss_cause": "",
            "components": {"history": 9_000},
            "system_digest": "",
        }
        return Call(**values | given)

    return call


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def then() -> Iterator[None]:
    """The time of `asking`; ask for it before anybody signs in."""
    with time_machine.travel(asking.NOW, tick=True):
        yield


@pytest.fixture
def visit(chromium, live_server, client, olga) -> Iterator[Callable[..., Page]]:
    """Open a page, the session's by default, as the operator; at the end nothing may have been refused or thrown."""
    client.force_login(olga)
    cookie = {
        "name": settings.SESSION_COOKIE_NAME,
        "value": client.cookies[settings.SESSION_COOKIE_NAME].value,
        "url": live_server.url,
    }
    faults: list[str] = []
    contexts = []

    def visit(
        path: str = reverse("monitoring:session", args=[SESSION]),
        cut_off: bool = False,
        by_hand: bool = False,
        **options: Any,
    ) -> Page:
        given = {"viewport": {"width": 1440, "height": 1000}, "base_url": live_server.url} | options
        context = chromium.new_context(**given)
        contexts.append(context)
        context.add_cookies([cookie])
        page = context.new_page()
        page.add_init_script(WATCH)
        page.on("pageerror", lambda error: faults.append(str(error)))
        if not cut_off:  # the browser itself reports every request that fails
            page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
        if by_hand:  # the page's clock runs on when the test says so: `page.clock.run_for(POLL_MS)`
            page.clock.install()
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert faults == []
