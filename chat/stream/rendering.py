"""Markdown to safe HTML: the one renderer and the one sanitiser, for stream, history, share and export.

Raw HTML in a reply is shown as text. What the renderer makes is sanitised again by nh3, so a mistake in one of
the two is not yet a hole. No image is ever an `<img>`: its address is shown, and no request leaves the page.

Work is bounded (see the limits below). What is over a limit is shown as plain text, whole: never cut, never
dropped. CPU time of the calling thread is what counts, so that a busy machine does not change what a reader sees.
"""

import re
import time
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice, pairwise
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from chat.stream import formulas
from chat.stream.highlighting import COLOUR_CLASSES, highlight, language_of

RENDERER_VERSION = 1
"""Stored beside a reply's HTML: HTML of another version is made anew from the text."""

BLOCK_LIMIT = 32_000
"""Characters of one top-level block; a longer one becomes plain text. A 1 MB table takes 11 s (PERFORMANCE.md)."""

CPU_LIMIT = 0.12
"""Seconds of CPU for one call; what is not rendered by then becomes plain text (RELIABILITY.md, A9: 200 ms)."""

NESTING_LIMIT = 60
"""Levels. The parser drops what lies deeper, so a block that reaches it becomes plain text instead."""

ADDRESS_LIMIT = 300
"""Characters of an image's address that are shown."""

BRIEF = 2_000
"""Characters that render in less time than it takes to hand them to a thread, unless there is much to parse in them."""

MARKS_IN_BRIEF = 40
"""Characters that may begin or end something: the parser's time grows with their square, not with the text's length."""

_NEWLINE = re.compile(r"\r\n?|\n")
_MARK = re.compile(r"[\\`*_~\[\]!<>&$|+-]")
_LINK = re.compile(r"(?:https?://[^/?#\s]|mailto:[^\s])", re.IGNORECASE)
_TASK = re.compile(r"\[([ xX])\] ")
_ADDRESS = re.compile(r"https?://[^\s<>\"`]+", re.IGNORECASE)
_ALIGN = re.compile(r"text-align:(left|center|right)")


@dataclass(frozen=True, slots=True)
class Rendered:
    """The HTML of a text, with the version of the renderer that made it."""

    html: str
    version: int


class OutOfTime(Exception):
    """The CPU time of this call is used up."""


def render(text: str, done: Sequence[tuple[int, str]] = ()) -> Rendered:
    """A whole reply as HTML. Never raises on any text.

    `done`: what `finished_blocks` made of its beginning, as (end in `text`, HTML). Those are not rendered again,
    unless the text defines a reference: then any of them may have become a link since.
    """
    if done and "]:" not in text:
        rest = render(text[done[-1][0] :]).html
        html = "\n".join([*(seen for _, seen in done), *([rest] if rest else [])])
        return Rendered(html, RENDERER_VERSION)
    env: dict[str, Any] = {"deadline": time.thread_time() + CPU_LIMIT}
    blocks = _blocks(text, env)
    ready = {} if env.get("references") else _by_source(text, done)
    html = "\n".join(ready.get(block.source.rstrip("\n")) or _render_block(block, env) for block in blocks)
    return Rendered(html, RENDERER_VERSION)


def finished_blocks(text: str) -> tuple[int, list[str]]:
    """The blocks at the start of a growing text that can't change any more.

    Returns the index in `text` (characters) where the unfinished rest begins, and the HTML of each block before
    it. All but the last top-level block are finished, and only whole lines are looked at: `#` is a heading until
    `#tag` follows. The rest can be handed in alone next time. References defined later are resolved by `render`.
    """
    lines = [0, *(found.end() for found in _NEWLINE.finditer(text))]
    env: dict[str, Any] = {"deadline": time.thread_time() + CPU_LIMIT}
    blocks = _blocks(text[: lines[-1]], env)
    done: list[str] = []
    end = 0
    for block, following in pairwise(blocks):
        if formulas.is_open(block.source):
            break
        done.append(_render_block(block, env))
        end = lines[following.line]
    return end, done


def is_brief(text: str) -> bool:
    """Whether rendering `text` holds nobody up: well under a millisecond. Code takes longer, for its colours."""
    if len(text) > BRIEF or "```" in text or "~~~" in text:
        return False
    return sum(1 for _ in islice(_MARK.finditer(text), MARKS_IN_BRIEF + 1)) <= MARKS_IN_BRIEF


def _by_source(text: str, done: Sequence[tuple[int, str]]) -> dict[str, str]:
    """Each block that was finished alone, by its source. Several of one look share an end: no telling them apart."""
    ends = [end for end, _ in done]
    return {
        _normal(text[start:end]).rstrip("\n"): html
        for start, (end, html) in zip([0, *ends], done, strict=False)
        if ends.count(end) == 1
    }


def plain(text: str) -> str:
    """Text as it stands, escaped, its line breaks kept by the sheet."""
    return f'<p class="plain">{escape(text, quote=False)}</p>'


def sanitise(html: str) -> str:
    """Only the elements, attributes and addresses that `render` itself can make."""
    return _CLEANER.clean(html)


@dataclass(frozen=True, slots=True)
class _Block:
    """One top-level block: its tokens (none: to be shown as plain text), its first line and its source."""

    tokens: Sequence[Token]
    line: int
    source: str


def _blocks(text: str, env: dict[str, Any]) -> list[_Block]:
    """The top-level blocks of `text`. Text that can't be split in time is one block without tokens."""
    source = _normal(text)
    if not source.strip():
        return []
    tokens: list[Token] = []
    try:
        _MARKDOWN.block.parse(source, _MARKDOWN, env, tokens)
    except OutOfTime:
        return [_Block((), 0, source)]
    lines = source.split("\n")
    groups: list[tuple[int, int, list[Token]]] = []
    for token in tokens:
        if token.level == 0 and token.nesting >= 0:
            first, last = token.map or (0, len(lines))
            groups.append((first, last, []))
        groups[-1][2].append(token)
    return [_Block(group, first, "\n".join(lines[first:last])) for first, last, group in groups]


def _normal(text: str) -> str:
    return _NEWLINE.sub("\n", text).replace("\0", "\ufffd")


def _render_block(block: _Block, env: dict[str, Any]) -> str:
    too_deep = any(token.level >= NESTING_LIMIT - 1 for token in block.tokens)
    if not block.tokens or too_deep or len(block.source) > BLOCK_LIMIT:
        return plain(block.source)
    try:
        tokens = list(block.tokens)
        state = StateCore(block.source, _MARKDOWN, env, tokens)
        for token in tokens:
            if token.type == "inline":
                _mark_task(token, tokens)
                token.children = []
                _MARKDOWN.inline.parse(token.content, _MARKDOWN, env, token.children)
        for rule in _AFTER_INLINE:
            rule(state)
        for token in tokens:
            if token.children:
                token.children = _link_addresses(token.children)
        return sanitise(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env).strip())
    except (OutOfTime, RecursionError):
        return plain(block.source)


def _mark_task(token: Token, tokens: Sequence[Token]) -> None:
    """`- [x] done` shows a ticked box: a character, not a control that nobody could use."""
    index = next(i for i, other in enumerate(tokens) if other is token)
    found = _TASK.match(token.content)
    if found and index >= 2 and tokens[index - 2].type == "list_item_open":
        token.content = ("\u2610 " if found[1] == " " else "\u2611 ") + token.content[found.end() :]


def _link_addresses(children: Sequence[Token]) -> list[Token]:
    """Addresses written out in the text become links, without the punctuation that ends the sentence."""
    out: list[Token] = []
    inside = 0
    for child in children:
        inside += child.nesting if child.tag == "a" else 0
        if child.type != "text" or inside or "://" not in child.content:
            out.append(child)
            continue
        done = 0
        for found in _ADDRESS.finditer(child.content):
            address = found[0].rstrip(".,:;!?*_~'")
            if address.endswith((")", "]")) and "(" not in address and "[" not in address:
                address = address.rstrip(")].,:;!?*_~'")
            href = _MARKDOWN.normalizeLink(address)
            if not _MARKDOWN.validateLink(href):
                continue
            out.append(_text(child.content[done : found.start()]))
            out.append(Token("link_open", "a", 1, attrs={"href": href}))
            out.append(_text(address))
            out.append(Token("link_close", "a", -1))
            done = found.start() + len(address)
        out.append(_text(child.content[done:]))
    return out


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _check_time(state: StateBlock | StateInline, *_: Any) -> bool:
    """A rule that matches nothing: it is asked at every line and every inline token, which is where time goes."""
    if time.thread_time() > state.env["deadline"]:
        raise OutOfTime
    return False


Rule = Callable[[RendererHTML, Sequence[Token], int, OptionsDict, MutableMapping[str, Any]], str]


def _fence(_: RendererHTML, tokens: Sequence[Token], at: int, __: OptionsDict, env: MutableMapping[str, Any]) -> str:
    token = tokens[at]
    language = language_of(token.info) if token.type == "fence" else ""
    code = highlight(token.content, language, env["deadline"])
    caption = f"<figcaption>{escape(language)}</figcaption>"
    return f'<figure class="code">{caption}<pre><code>{code}</code></pre></figure>\n'


def _image(_: RendererHTML, tokens: Sequence[Token], at: int, __: OptionsDict, env: MutableMapping[str, Any]) -> str:
    token = tokens[at]
    address = str(token.attrs.get("src", ""))
    if len(address) > ADDRESS_LIMIT:
        address = address[:ADDRESS_LIMIT] + "\u2026"
    name = token.content.strip()
    return f'<span class="image">{escape(f"{name} ({address})" if name else address)}</span>'


def _cell(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
    """A table cell, aligned by a class: the policy of the page allows no style attribute."""
    token = tokens[at]
    found = _ALIGN.match(str(token.attrs.pop("style", "")))
    if found:
        token.attrSet("class", found[1])
    return renderer.renderToken(tokens, at, options, env)


def _heading(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
    """One level down: the page's own title is the only first one."""
    token = tokens[at]
    token.tag = f"h{min(int(token.markup.count('#') or 1 + (token.markup == '-')) + 1, 6)}"
    return renderer.renderToken(tokens, at, options, env)


class _Markdown(MarkdownIt):
    """Links lead to pages and mailboxes only."""

    def validateLink(self, url: str) -> bool:
        return _LINK.match(url) is not None


def _make_markdown() -> MarkdownIt:
    md = _Markdown("commonmark", {"html": False, "maxNesting": NESTING_LIMIT, "linkify": False})
    md.enable(["table", "strikethrough"]).disable(["html_block", "html_inline"])
    md.use(formulas.formulas_plugin)
    ends = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    md.block.ruler.before("table", "time", _check_time, ends)
    md.inline.ruler.before("text", "time", _check_time)
    rules: dict[str, Rule] = {
        "fence": _fence,
        "code_block": _fence,
        "image": _image,
        "th_open": _cell,
        "td_open": _cell,
        "heading_open": _heading,
        "heading_close": _heading,
        "table_open": lambda *_: '<div class="table"><table>\n',
        "table_close": lambda *_: "</table></div>\n",
    }
    for name, rule in rules.items():
        md.add_render_rule(name, rule)
    return md


_MARKDOWN = _make_markdown()
_AFTER_INLINE = [
    rule
    for rule, name in zip(_MARKDOWN.core.ruler.getRules(""), _MARKDOWN.core.ruler.get_active_rules(), strict=True)
    if name not in ("normalize", "block", "inline")
]

_TAGS = {
    "p", "br", "hr", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li",
    "a", "span", "div", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
_MATHML = {name: set(formulas.MATHML_ATTRIBUTES) for name in formulas.MATHML_TAGS}
_CLEANER = nh3.Cleaner(
    tags=_TAGS | set(_MATHML),
    clean_content_tags={"script", "style"},
    attributes={"a": {"href"}, "ol": {"start"}, **_MATHML},
    allowed_classes={
        "p": {"plain", "math"},
        "div": {"table"},
        "figure": {"code"},
        "span": {"image", *COLOUR_CLASSES},
        "th": {"left", "center", "right"},
        "td": {"left", "center", "right"},
    },
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
    set_tag_attribute_values={"a": {"target": "_blank"}},
    generic_attribute_prefixes=set(),
    strip_comments=True,
)
