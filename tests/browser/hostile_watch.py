"""A browser's page that tells of whatever hostile text did to it: ran, asked for, or only became.

Three nets, none of which relies on the others. What calls a canary says so; every request is looked at; and every
element is, as it comes in, whether the page's policy would have stopped it or not. Where somebody's words stand as
text there are no elements of theirs; where they stand rendered there is what this list allows, and nothing else.
"""

import json
import re
from typing import Any

from playwright.sync_api import BrowserContext, Page

from chat.stream.formulas import MATHML_ATTRIBUTES, MATHML_TAGS
from tests.browser.conftest import Visitor

# Written down once more, on purpose: an element that is added to the sanitiser's list must be added here, too.
TAGS = [
    "p", "br", "hr", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li",
    "a", "span", "div", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td",
]  # fmt: skip
PLAIN = (
    ".user, .tail, #title, .shared h1, .talk .row > span, .name, .shared .attached li, .value strong, .known q, "
    ".pins span[dir], .values code, .sections dt, .snippet, .found h2 a, .texts pre, .segs th a > span, .segment h3, "
    ".queue .words, .choose li span[dir], option, pre.words, .diff .same, .diff del, .diff ins, .field-reason"
)

AUDIT = """
((tags, mathTags, mathAttributes, plain) => {
  if (window.__sweep) return;
  const told = (window.__told = new Set());
  const tell = (what) => {
    if (told.has(what)) return;
    told.add(what);
    console.error(`hostile: ${what}`);
  };
  for (const name of ["canary", "alert", "confirm", "prompt", "print"]) {
    Object.defineProperty(window, name, { value: () => tell(`ran ${name}`) });
  }
  const written = ".reply, .sections dd";
  const allowed = { a: ["href", "rel", "target", "title"], ol: ["start"] };
  const classes = /^(plain|math|table|code|image|left|center|right|blocks|tail|phase|[a-z])$/;
  const address = /^(href|xlink:href|src|srcset|action|formaction|data|poster|background|ping|srcdoc|content|style)$/;
  const never = "iframe, frame, frameset, object, embed, applet, base, portal, fencedframe, bgsound, marquee, keygen";

  // An element among somebody's rendered words.
  const rendered = (one) => {
    const { localName: name } = one;
    if (one.closest("figcaption > button[data-copy=code]")) return;
    if (!tags.includes(name) && !mathTags.includes(name)) tell(`<${name}>`);
    const own = mathTags.includes(name) ? mathAttributes : (allowed[name] ?? []);
    for (const { name: attribute } of one.attributes) {
      if (attribute === "class" && [...one.classList].every((word) => classes.test(word))) continue;
      if (attribute === "tabindex" && one.matches("pre, .table, .math")) continue;
      if (!own.includes(attribute)) tell(`<${name} ${attribute}>`);
    }
    const href = one.getAttribute("href");
    if (name !== "a" || href === null) return;
    if (!/^(https?:\\/\\/|mailto:)/i.test(href)) tell(`<a href="${href}">`);
    if (one.rel !== "noopener noreferrer nofollow") tell("<a> without rel");
  };

  // Any element of the page.
  const look = (one) => {
    const around = one.parentElement;
    const inside = around?.closest(written);
    if (inside) rendered(one);
    if (around?.closest(plain) && !one.matches("small, mark, svg, use, a")) tell(`<${one.localName}> in text`);
    if (one.matches(never)) tell(`<${one.localName}>`);
    if (one.matches("meta[http-equiv]") && /refresh|cookie/i.test(one.httpEquiv)) tell("<meta http-equiv>");
    if (one.localName === "script" && one.type !== "application/json") {
      if (!one.src || !new URL(one.src, location).pathname.match(/^\\/(static|admin\\/jsi18n)\\//)) tell("<script>");
    }
    for (const { name, value } of one.attributes) {
      if (/^on/i.test(name)) tell(`<${one.localName} ${name}>`);
      const link = inside && one.localName === "a" && name === "href";
      const bare = value.replace(/[\\u0000-\\u0020]/g, "");
      if ((address.test(name) || /^(data-)?hx-/.test(name)) && !link) {
        if (/canary|^(javascript|vbscript|data:text)/i.test(bare)) tell(`<${one.localName} ${name}="${bare}">`);
      }
    }
  };

  new MutationObserver((changes) => {
    for (const { target, addedNodes, type } of changes) {
      if (type === "attributes") look(target);
      for (const node of addedNodes) {
        if (node.nodeType !== Node.ELEMENT_NODE) continue;
        look(node);
        node.querySelectorAll("*").forEach(look);
      }
    }
  }).observe(document, { subtree: true, childList: true, attributes: true });

  // Once more, all that stands there now, and what a hand over it would set off; how much of it was looked at.
  window.__sweep = () => {
    document.querySelectorAll("*").forEach(look);
    for (const kept of document.querySelectorAll("template.source")) {
      if (kept.content.childElementCount) tell("an element in a source");
    }
    const words = [...document.querySelectorAll(`:is(${written}) *`)];
    for (const type of ["mouseover", "pointerenter", "focus", "error", "load", "animationstart", "beforetoggle"]) {
      for (const one of words) one.dispatchEvent(new Event(type));
    }
    const texts = [...document.querySelectorAll(plain)].filter((one) => one.textContent.includes("canary"));
    return [words.length, texts.length];
  };
})(%s);
"""


class Watcher(Visitor):
    """A visitor whose pages tell of hostile text: `faults` what became or ran, `outside` what was asked for."""

    def tab(self, context: BrowserContext, path: str) -> Page:
        lists = [TAGS, sorted(MATHML_TAGS), sorted(MATHML_ATTRIBUTES), PLAIN]
        context.add_init_script(AUDIT % ", ".join(json.dumps(one) for one in lists))
        return super().tab(context, path)

    def _request(self, request: Any) -> None:
        super()._request(request)
        if "canary" in request.url and request.url not in self.outside:
            self.outside.append(request.url)


def sweep(page: Page, *, written: int = 0, plain: int = 0) -> None:
    """Look at all of a page; it must hold so many rendered elements, and so many texts with hostile words."""
    found = page.evaluate("__sweep()")
    assert found[0] >= written, found
    assert found[1] >= plain, found


def alike(text: str) -> str:
    """A text as it may be compared with what a page shows of it."""
    return " ".join(re.split(r"[\s\x00-\x1f]+", text)).strip()


def texts(page: Page, selector: str) -> list[str]:
    """What the elements hold, as `alike` makes it."""
    return [alike(text) for text in page.locator(selector).all_text_contents()]
