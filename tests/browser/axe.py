"""axe-core on a page: what WCAG 2.2 AA asks for and a machine can tell, the size of targets (2.5.8) included.

That rule is off in axe-core by default, because it is new in 2.2.
"""

from pathlib import Path
from typing import Any

import axe_playwright_python
from playwright.sync_api import Page

SOURCE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
COLOURS = ("color-contrast", "link-in-text-block")
"""The rules that a colour scheme decides: the others say the same of the same page in the dark."""
NARROW = ("target-size", "scrollable-region-focusable")
"""The rules that the room for a page decides."""
OURS = """(one) => one.id !== "heading-order" ? one : {...one, nodes: one.nodes.filter(
    (node) => !document.querySelector(node.target[0])?.closest(".reply"))}"""
"""Which headings a model begins with is not ours to say; it is no rule of WCAG either."""
WIDTHS = (1920, 768, 320)
"""Pixels: a large screen, where the list has just become a drawer, and the narrowest phone, where one stays."""
WIDER = """(wider) => {
  const sheet = new CSSStyleSheet();
  if (wider) sheet.replaceSync("*, *::before, *::after { letter-spacing: .04em !important }");
  document.adoptedStyleSheets = [sheet];
}"""
"""Letters somewhat wider than here: everybody has other fonts."""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Resolves once the page has heard of its new size, and answered: a `resize` comes with the next frame."""


def problems(page: Page, only: tuple[str, ...] = (), within: str = "") -> list[str]:
    """What is wrong with the page as it stands, a line for each element. `only`: these rules; `within`: a selector."""
    # Whoever followed a link is told as soon as the new page begins: without its style sheet every button is too small.
    page.wait_for_load_state()
    if not page.evaluate("'axe' in window"):
        page.evaluate(SOURCE)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    options |= {"runOnly": list(only)} if only else {"rules": {"target-size": {"enabled": True}}}
    run = "([within, options]) => axe.run(within || document, options).then((all) => all.violations.map(OURS))"
    run = run.replace("OURS", OURS)
    found = page.evaluate(run, [within, options])
    return [f"{one['id']}: {node['html'][:600]}" for one in found for node in one["nodes"]]


def everywhere(page: Page, within: str = "") -> list[str]:
    """As `problems`, in light and dark and on a phone; and what sticks out of the page at any width."""
    size = page.viewport_size
    assert size
    found = problems(page, within=within)
    page.emulate_media(color_scheme="dark")
    found += [f"dark: {one}" for one in problems(page, COLOURS, within)]
    page.emulate_media(color_scheme="light")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate(DRAWN)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append(f"sticks out of {width} pixels")
    page.evaluate(WIDER, True)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append(f"sticks out of {WIDTHS[-1]} pixels in wider letters")
    page.evaluate(WIDER, False)
    found += [f"phone: {one}" for one in problems(page, NARROW, within)]
    page.set_viewport_size(size)
    return found
