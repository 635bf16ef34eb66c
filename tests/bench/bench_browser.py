"""The page in a real browser: a conversation of 10,000 turns opened, scrolled, searched and written in, and the weight,
shifts and long tasks of a page. Chromium against the real server, on SQLite; one labelled line a figure.

`python -m tests.bench.bench_browser [--realtime] [open] [scroll] [find] [send] [stream]`: all of it without a name. The
machine must be idle: server, browser and this script share its cores, and a frame that waits for one counts as a slow
frame. `--realtime` (root) puts them before everybody else, which helps where it is not.
"""

import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from playwright.sync_api import sync_playwright

from tests.bench.load import machine, site, story
from tests.browser.conftest import ARGUMENTS, CHROMIUM

TURNS = 10_000
SCROLLED = 2_000
ROUNDS = 5
SENDS = 7
PREPENDS = 8
WHEEL_PX = 800
REPLY_TOKENS = 2_000
PARTS = ("open", "scroll", "find", "send", "stream")

WATCH = """
window.seen = { most: 0, articles: 0, frames: [], long: [], shifts: [] };
const long = (type) => new PerformanceObserver((list) => list.getEntries().forEach((one) =>
  seen.long.push([type, one.startTime, one.duration]))).observe({ type, buffered: true });
long("long-animation-frame");
long("longtask");
new PerformanceObserver((list) => list.getEntries().forEach((one) =>
  seen.shifts.push([one.value, one.hadRecentInput, one.startTime]))).observe({ type: "layout-shift", buffered: true });
addEventListener("DOMContentLoaded", () => {
  const all = document.getElementsByTagName("article");
  new MutationObserver(() => (seen.articles = Math.max(seen.articles, all.length)))
    .observe(document.getElementById("transcript"), { childList: true });
  let last = 0;
  const tick = (now) => { if (last) seen.frames.push(now - last); last = now; requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
});
"""
FRESH = "Object.assign(seen, { articles: 0, frames: [], long: [], shifts: [] })"
OPENED = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return { server: page.responseStart - page.requestStart, paint: paint?.startTime ?? null,
           articles: document.querySelectorAll("article").length };
}"""
NUMBERS = "() => [...document.querySelectorAll('#transcript .turn')].map((turn) => Number(turn.dataset.number))"
# What is read, and how far it moves while older turns come in above it: nobody scrolls meanwhile.
DRIFT = """async () => {
  const frame = () => new Promise(requestAnimationFrame);
  const first = () => document.querySelector("#transcript .turn").dataset.number;
  const box = document.getElementById("scroll");
  const turn = [...document.querySelectorAll("#transcript .turn")]
    .find((one) => one.getBoundingClientRect().top >= box.getBoundingClientRect().top);
  const before = first();
  const start = turn.getBoundingClientRect().top;
  let most = 0;
  const until = performance.now() + 3000;
  let still = 0;
  while (performance.now() < until && still < 30) {
    await frame();
    most = Math.max(most, Math.abs(turn.getBoundingClientRect().top - start));
    still = first() === before ? 0 : still + 1;
  }
  return { most, came: Number(before) - Number(first()) };
}"""
# From the last letter to the hit: with the pause that a search waits for more letters.
FIND = """(text) => new Promise((found) => {
  const box = document.getElementById("query");
  const start = performance.now();
  new MutationObserver((_, watch) => {
    if (!document.querySelector("#found a.hit")) return;
    watch.disconnect();
    requestAnimationFrame(() => found(performance.now() - start));
  }).observe(document.getElementById("found"), { childList: true, subtree: true });
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
})"""
# From the key to the turn on the page, to the first word of the reply, to its end.
SEND = """(text) => new Promise((done) => {
  const told = {};
  const start = performance.now();
  const known = document.querySelectorAll("#transcript .turn").length;
  const root = document.getElementById("transcript");
  new MutationObserver((_, watch) => {
    const last = [...root.querySelectorAll(".turn")].at(-1);
    const now = performance.now() - start;
    const busy = last?.getAttribute("aria-busy") === "true";
    if (busy) told.accepted ??= now;
    if (busy && last.querySelector(".tail")?.textContent) told.first ??= now;
    if (told.first === undefined || busy || !last?.querySelector(".tools [data-copy]")) return;
    watch.disconnect();
    done({ ...told, whole: now });
  }).observe(root, { childList: true, subtree: true, characterData: true, attributes: true });
  const box = document.getElementById("message");
  box.value = text;
  box.dispatchEvent(new Event("input", { bubbles: true }));
  box.form.requestSubmit();
})"""


def say(name: str, figure: str) -> None:
    print(f"page, {TURNS:,} turns: {name}: {figure}", flush=True)


class Reader:
    """Opens conversations in a browser in which their owner is signed in."""

    def __init__(self, browser: Any, port: int) -> None:
        self.browser = browser
        self.url = f"http://127.0.0.1:{port}"
        self.received: list[int] = []

    @contextlib.contextmanager
    def page(self, person: site.Person, query: str = "") -> Iterator[Any]:
        """A conversation in a browser that has nothing of it yet; `received` is the bytes of each answer."""
        name, _, value = person.cookie.partition("=")
        context = self.browser.new_context(viewport={"width": 1280, "height": 800})
        context.add_cookies([{"name": name, "value": value, "url": self.url}])
        page = context.new_page()
        page.add_init_script(WATCH)
        self.received = []
        network = context.new_cdp_session(page)
        network.send("Network.enable")
        network.on("Network.loadingFinished", lambda told: self.received.append(told["encodedDataLength"]))
        page.goto(f"{self.url}/c/{person.session}/{query}")
        page.wait_for_selector("#main.ready")
        page.wait_for_load_state("networkidle")
        yield page
        context.close()


def opening(reader: Reader, person: site.Person) -> None:
    """Server time, first paint, and what goes over the wire, with nothing in any cache of the browser."""
    found = []
    for _ in range(ROUNDS):
        with reader.page(person) as page:
            found.append({**page.evaluate(OPENED), "bytes": sum(reader.received), "files": len(reader.received)})
    middle = {key: statistics.median(one[key] for one in found) for key in found[0]}
    say("opened, server time", f"{middle['server']:.0f} ms (most {max(one['server'] for one in found):.0f})")
    say("opened, first contentful paint", f"{middle['paint']:.0f} ms (most {max(one['paint'] for one in found):.0f})")
    say("opened, transferred cold", f"{middle['bytes'] / 1000:.1f} kB in {middle['files']:.0f} files")
    say("opened, articles", f"{middle['articles']:.0f}")


def frames(page: Any) -> str:
    """The longest frames since the last look."""
    seen = page.evaluate("seen")
    gaps = sorted(seen["frames"], reverse=True)
    kinds = {kind: [one[2] for one in seen["long"] if one[0] == kind] for kind in ("long-animation-frame", "longtask")}
    # Three beats of a screen are 50.0 ms, told to a tenth.
    slow = sum(gap > 50.5 for gap in gaps)
    told = ", ".join(f"{kind} {len(all_)} (longest {max(all_, default=0):.0f} ms)" for kind, all_ in kinds.items())
    return (
        f"longest {gaps[0]:.0f} ms, p99 {gaps[len(gaps) // 100]:.0f} ms, over 50 ms {slow} of {len(gaps):,}; "
        f"over 50 ms by entries: {told}"
    )


def scrolling(reader: Reader, person: site.Person) -> None:
    """By the wheel through the turns and back; then, without touching it, what older turns move."""
    with reader.page(person) as page:
        page.mouse.move(700, 400)
        for name, way, end in (("up", -1, TURNS - SCROLLED), ("down", 1, TURNS - SCROLLED // 2)):
            page.evaluate(FRESH)
            started = time.monotonic()
            while True:
                for _ in range(20):
                    page.mouse.wheel(0, way * WHEEL_PX)
                    page.wait_for_timeout(16)
                numbers = page.evaluate(NUMBERS)
                if numbers != list(range(numbers[0], numbers[-1] + 1)):
                    raise SystemExit(f"a gap, or the order is wrong: {numbers}")
                if (numbers[0] <= end) if way < 0 else (numbers[-1] >= end):
                    break
                if time.monotonic() - started > 300:
                    raise SystemExit(f"no further than {numbers[0]} to {numbers[-1]} in five minutes")
            say(f"wheel {name}, frames", frames(page))
            say(f"wheel {name}, articles at any time", f"{page.evaluate('seen.articles')} at most")
    drifts = []
    with reader.page(person, f"?turn={TURNS // 2}") as page:
        for _ in range(PREPENDS):
            page.evaluate("document.querySelectorAll('#transcript .turn')[1].scrollIntoView()")
            found = page.evaluate(DRIFT)
            if not found["came"]:
                raise SystemExit("no older turns came within three seconds")
            drifts.append(found["most"])
        say("older turns put above, drift of what is read", f"{max(drifts):.2f} px at most, {len(drifts)} times")


def finding(reader: Reader, person: site.Person) -> None:
    """A word of one message among all of them, from the last letter to the hit on the screen."""
    times = []
    with reader.page(person) as page:
        page.keyboard.press("Control+Shift+K")
        for number in (1, 17, 2_500, 5_001, 9_000):
            times.append(page.evaluate(FIND, story.mark(number)))
            page.keyboard.press("Escape")
            page.keyboard.press("Control+Shift+K")
    say("find in this conversation", f"{statistics.median(times):.0f} ms (most {max(times):.0f}), 5 words")


def sending(reader: Reader, people: dict[str, site.Person]) -> None:
    """From the key to the turn, to the first word, to the end: in the long one and in one that has just begun."""
    with contextlib.ExitStack() as stack:
        pages = {name: stack.enter_context(reader.page(person)) for name, person in people.items()}
        times: dict[str, list[dict[str, float]]] = {name: [] for name in pages}
        for turn in range(SENDS + 1):
            for name, page in pages.items():
                found = page.evaluate(SEND, f"What became of the pump, for the {turn}th time?")
                if turn:
                    times[name].append(found)
                page.wait_for_timeout(300)
        middle = {
            name: {key: statistics.median(one[key] for one in all_) for key in all_[0]} for name, all_ in times.items()
        }
    for key, what in (("accepted", "on the page"), ("first", "first word"), ("whole", "settled")):
        long, fresh = (middle[name][key] for name in ("long", "fresh"))
        say(f"sending, {what}", f"{long:.0f} ms, in a fresh one {fresh:.0f} ms: {long / fresh:.2f} x")


def cumulative(shifts: list[tuple[float, bool, float]]) -> float:
    """The largest sum of shifts in a session of at most five seconds without a gap of one: what CLS is defined as."""
    most = total = begun = last = 0.0
    for value, by_hand, at in shifts:
        if by_hand:
            continue
        if at - last > 1_000 or at - begun > 5_000:
            total, begun = 0.0, at
        total, last = total + value, at
        most = max(most, total)
    return most


def streaming(reader: Reader, person: site.Person) -> None:
    """A long reply while it is written: what jumps, and what holds up the page."""
    with reader.page(person) as page:
        page.evaluate(FRESH)
        page.get_by_role("textbox", name="Message").fill(f"Write me {REPLY_TOKENS:,} tokens about pumps.")
        page.keyboard.press("Enter")
        page.wait_for_selector('article[aria-busy="true"] .blocks > *')
        page.wait_for_selector('article[aria-busy="true"]', state="detached", timeout=120_000)
        page.wait_for_timeout(500)
        seen = page.evaluate("seen")
        told = frames(page)
        words = page.locator("article .reply").inner_text().split()
    tasks = [one[2] for one in seen["long"] if one[0] == "longtask"]
    name = f"a reply of {REPLY_TOKENS:,} tokens ({len(words):,} words)"
    every = sum(value for value, by_hand, _ in seen["shifts"] if not by_hand)
    say(f"{name}, layout shift", f"CLS {cumulative(seen['shifts']):.4f} (all of it added up: {every:.4f})")
    say(f"{name}, long tasks", f"{len(tasks)} over 50 ms (longest {max(tasks, default=0):.0f} ms)")
    say(f"{name}, frames", told)


def statements(place: Any, people: dict[str, Any]) -> None:
    """What the database is asked for a message and its reply, by the same count as `bench_statements`."""
    counted = {}
    for name, person in people.items():
        who = {"BENCH_COOKIE": person.cookie, "BENCH_SESSION": person.session}
        found = re.search(r"a plain turn (\d+)", run(place, "tests.bench.bench_statements", name, **who))
        if found is None:
            raise SystemExit("bench_statements counted nothing")
        counted[name] = int(found[1])
    long, fresh = counted["long"], counted["fresh"]
    say("sending, database statements", f"{long}, in a fresh one {fresh}: {long / fresh:.2f} x")


def run(place: Any, module: str, *arguments: str, **more: str) -> str:
    """A module in a process with the site's settings; what it prints."""
    environment = os.environ | place.env | more
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(wanted: Sequence[str]) -> int:
    """Serve the conversations, open the browser, measure."""
    with site.database("sqlite") as env, site.author() as address, sync_playwright() as playwright:
        place = site.furnish(env, address, 3)
        place.env |= {"CHAT_STATIC_DIR": env["CHAT_VAR_DIR"] + "/static", "CHAT_LOG_LEVEL": "WARNING"}
        long, fresh, other = place.fresh(3)
        run(place, "django", "collectstatic", "--noinput", "-v0")
        run(place, "tests.bench.load.story", long.session, str(TURNS))
        if "send" in wanted:
            statements(place, {"long": long, "fresh": fresh})
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        with site.ours(place, core=None) as (_, port):
            reader = Reader(browser, port)
            say("machine", f"{machine.describe()}, Chromium {browser.version}")
            parts = {
                "open": lambda: opening(reader, long),
                "scroll": lambda: scrolling(reader, long),
                "find": lambda: finding(reader, long),
                "send": lambda: sending(reader, {"long": long, "fresh": fresh}),
                "stream": lambda: streaming(reader, other),
            }
            for name in wanted:
                parts[name]()
        browser.close()
    return 0


if __name__ == "__main__":
    names = sys.argv[1:]
    if "--realtime" in names:
        names.remove("--realtime")
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    sys.exit(main(names or PARTS))
