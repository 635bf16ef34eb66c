r"""Formulas in replies: `$...$`, `$$...$$`, `\(...\)` and `\[...\]`, found in markdown and shown as MathML.

Prices are no formulas: a single dollar opens only before something that is not a space, closes only after
something that is not a space, and never next to a digit on its outer side.
"""

import contextlib
import time
from collections.abc import Sequence
from html import escape

from latex2mathml import converter
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

FORMULA_LIMIT = 2_000
"""Characters of one formula; a longer one is shown as its source."""

_CLOSING = {"$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$"}

MATHML_TAGS = frozenset({
    "math", "mrow", "mi", "mo", "mn", "ms", "mtext", "mspace", "msup", "msub", "msubsup", "mfrac",
    "msqrt", "mroot", "mover", "munder", "munderover", "mtable", "mtr", "mtd", "mstyle", "mpadded",
    "mphantom", "menclose", "mfenced", "mmultiscripts",
})  # fmt: skip
MATHML_ATTRIBUTES = frozenset({
    "accent", "accentunder", "columnalign", "columnlines", "columnspacing", "depth", "display",
    "displaystyle", "fence", "form", "height", "linethickness", "lspace", "mathvariant", "maxsize",
    "minsize", "movablelimits", "notation", "rowlines", "rowspacing", "rspace", "scriptlevel",
    "separator", "stretchy", "symmetric", "voffset", "width", "xmlns",
})  # fmt: skip


def formulas_plugin(md: MarkdownIt) -> None:
    """Teach a parser to read formulas and its renderer to show them."""
    md.block.ruler.before("fence", "formula", _block_rule)
    md.inline.ruler.before("escape", "formula", _inline_rule)
    md.add_render_rule("formula", _show)


def is_open(source: str) -> bool:
    """Whether a block starts a formula that is not closed yet: until it is, its lines look like paragraphs."""
    start = source.lstrip()
    return start[:2] in ("$$", "\\[") and _CLOSING[start[:2]] not in start[2:]


def to_html(source: str, display: bool, deadline: float) -> str:
    """LaTeX as MathML, or as its own source when it can't be read in time. `deadline` on `time.thread_time()`."""
    if len(source) <= FORMULA_LIMIT and time.thread_time() < deadline:
        # The library raises what it likes, from KeyError to RecursionError, on what it can't read.
        with contextlib.suppress(Exception):
            return converter.convert(source, display="block" if display else "inline")
    mark = "$$" if display else "$"
    return f"<code>{escape(mark + source + mark, quote=False)}</code>"


def _show(_: RendererHTML, tokens: Sequence[Token], at: int, __: object, env: dict[str, float]) -> str:
    token = tokens[at]
    html = to_html(token.content.strip(), token.markup in ("$$", "\\["), env["deadline"])
    return f'<p class="math">{html}</p>\n' if token.block else html


def _block_rule(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """Lines from one that begins with `$$` or a bracket to one that ends with its counterpart, none blank."""
    start = state.bMarks[first] + state.tShift[first]
    opening = state.src[start : start + 2]
    if opening not in ("$$", "\\[") or state.sCount[first] - state.blkIndent >= 4:
        return False
    closing = _CLOSING[opening]
    at = start + 2
    for line in range(first, last):
        text = state.src[at : state.eMarks[line]].rstrip()
        if not text and line > first:
            return False
        if text.endswith(closing):
            end = at + len(text) - 2
            break
        if closing in text or line + 1 == last or state.sCount[line + 1] < state.blkIndent:
            return False
        at = state.bMarks[line + 1] + state.tShift[line + 1]
    else:
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.block = True
        token.content = state.src[start + 2 : end]
        token.markup = opening
        token.map = [first, line + 1]
        state.line = line + 1
    return True


def _inline_rule(state: StateInline, silent: bool) -> bool:
    at, src = state.pos, state.src
    opening = src[at : at + 2]
    if opening not in _CLOSING:
        opening = src[at]
        if opening != "$":
            return False
    closing = _CLOSING[opening]
    end = _closing_at(state, at + len(opening), closing)
    if end is None or not src[at + len(opening) : end].strip():
        return False
    if opening == "$" and not _is_formula(src, at, end):
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content = src[at + len(opening) : end]
        token.markup = opening
    state.pos = end + len(closing)
    return True


def _closing_at(state: StateInline, start: int, closing: str) -> int | None:
    """Where `closing` next stands. What is not found is remembered, or a run of openings would be quadratic."""
    known: dict[str, tuple[str, int]] = state.env.setdefault("no_closing", {})
    source, none_from = known.get(closing, ("", 0))
    if source is state.src and start >= none_from:
        return None
    end = state.src.find(closing, start, state.posMax)
    if end < 0:
        known[closing] = (state.src, start)
        return None
    return end


def _is_formula(src: str, at: int, end: int) -> bool:
    before, after = src[at - 1 : at] if at else "", src[end + 1 : end + 2]
    inner = src[at + 1 : end]
    return not (before.isdigit() or after.isdigit() or inner[0].isspace() or inner[-1].isspace())
