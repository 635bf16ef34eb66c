"""The gate: no text becomes a summary unless it can stand for its source.

What fails here consumes nothing: the turns stay, and the caller asks once more, asks another model, or makes an
extract by code. What passes leaves with every exact value of its source, taken from the source by code: those that
the summary and the facts lack are added to its list, never asked for again.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chat.context import exact, language
from chat.context.exact import Exact
from chat.context.prompts import EXACT_HEADING, HEADINGS, MADE_BY_CODE, NOTHING, OPENING, SECTIONS
from chat.context.tokens import Counter
from chat.context.values import Fact

# A summary is at most this part of its source ...
MOST_OF_SOURCE = 0.6
# ... but the six headings alone need some room, so that a tiny chunk can still pass. Tokens.
LEAST_ROOM = 160
# The cap is told to the model in words and counted here by a counter that starts too high: no reason to pay twice.
CAP_SLACK = 1.5
# The clause around a value, in characters, where whole clauses would crowd out other values.
SHORT_QUOTE = 40
# What has fewer letters beside its headings says nothing. A CJK character counts like three letters.
LEAST_LETTERS = 24

# What is worth most when the list must be cut: what nobody can guess or look up.
_WORTH: dict[str, int] = {
    kind: place
    for place, kind in enumerate(
        ("id", "email", "phone", "amount", "name", "date", "url", "version", "quantity", "path", "quoted")
    )
}

_MACHINE_TEXT = re.compile(
    r"</?(?:antml:)?(?:thinking|think|reasoning|scratchpad|tool_use|tool_calls?|tool_result|function_calls?|invoke)\b"
    r"|\"(?:tool_use_id|tool_calls|tool_call_id|function_call)\"\s{0,9}:"
    r"|\"type\"\s{0,9}:\s{0,9}\"(?:tool_use|tool_result|thinking|redacted_thinking|function)\""
    r"|<\|[a-z_]{2,30}\|>",
    re.IGNORECASE,
)
_ECHO = re.compile(
    r"</?(?:transcript|summaries|turn|summary|facts|recalled|document|unanswered)(?:\s|>)", re.IGNORECASE
)
_FRAME = re.compile(
    r"^</?(?:transcript|turn|user|assistant|tool_use|tool_result)(?: [a-z]{1,12}=\"[^\"\n]{0,300}\")?>$", re.MULTILINE
)
_LIST = re.compile(rf"^{EXACT_HEADING}\n((?:(?!## ).*(?:\n|\Z))*?)(?=^## |\Z)", re.MULTILINE)
_QUOTING = re.compile(r"^- (.{1,2200}?): \"(.{1,2200})\"$", re.MULTILINE)
_OUTSIDE = re.compile(r"^([0-9,]{1,12}) more exact values? (?:is|are) kept outside this summary$", re.MULTILINE)
_CODE_SPAN = re.compile(r"```[^`]{0,4000}```|`[^`\n]{1,200}`")
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate says of a text.

    `codes` say why it failed (stable, safe to store): stop_reason, blank, sections, nested, tool_text, echo, too_long,
    language. `text` is what may be stored when `ok`, else the text as it came; `tokens` its size. `values` are all
    exact values of the source; `missing` those that were added to the text; `left_out` those for which its list had
    no room, which are to be kept elsewhere.
    """

    ok: bool
    codes: tuple[str, ...]
    text: str
    tokens: int
    values: tuple[Exact, ...] = ()
    missing: tuple[Exact, ...] = ()
    left_out: tuple[Exact, ...] = ()


def check_summary(
    *,
    text: str,
    stop_reason: str,
    source: str,
    source_tokens: int,
    counter: Counter,
    facts: Sequence[Fact] = (),
    limit_tokens: int = 400,
    exact_tokens: int = 400,
) -> Verdict:
    """Judge `text` as the summary of `source`, and complete its list of exact values.

    `source` are the words of the turns that it stands for (for a merge, of the summaries), `source_tokens` their
    size. `facts` are those that the model will see beside the summary: a fact that will not be rendered must not be
    passed. `limit_tokens` caps the summary without its list of exact values, `exact_tokens` that list.
    """
    text = text.strip()
    parts = _sections(text)
    codes = _form(text, stop_reason, parts)
    if "sections" not in codes and "blank" not in codes:
        codes += _content(parts, source, counter, _allowed(source_tokens, limit_tokens))
    values = exact.find(plain_source(source))
    if codes:
        return Verdict(ok=False, codes=codes, text=text, tokens=counter.count(text), values=values)
    kept = _kept_lines(parts[EXACT_HEADING], counter, exact_tokens)
    known = "\n".join([_without_exact(parts), *kept, *(f"{fact.value}\n{fact.quote}" for fact in facts)])
    haystack = exact.Haystack(known)
    absent = [value for value in values if not haystack.holds(value.value)]
    room = exact_tokens - sum(counter.count(line) for line in kept)
    lines, left_out = list_values(values=absent, counter=counter, tokens=room)
    outside = len(left_out) + sum(int(number.replace(",", "") or 0) for number in _OUTSIDE.findall(source))
    beyond = frozenset(left_out)
    full = _rebuilt(parts, [*kept, *lines, *([more_values(outside)] if outside else [])])
    return Verdict(
        ok=True,
        codes=(),
        text=full,
        tokens=counter.count(full),
        values=values,
        missing=tuple(value for value in absent if value not in beyond),
        left_out=left_out,
    )


def plain_source(source: str) -> str:
    """The words of `source` alone: without the delimiters of our transcript, whose turn numbers are nobody's values.

    Where the source is made of summaries (a merge), each line of their lists gives back the clause that it quotes.
    """
    source = _FRAME.sub("", source)
    return _LIST.sub(lambda section: _QUOTING.sub(_unquoted, _OUTSIDE.sub("", section[1])), source)


def _unquoted(line: re.Match[str]) -> str:
    names, quote = line[1], line[2]
    # A model may quote words that do not hold the value.
    return quote if all(name in quote for name in names.split(", ")) else f"{names}: {quote}"


def more_values(number: int) -> str:
    """The line that says how many exact values a list had no room for."""
    noun, verb = ("value", "is") if number == 1 else ("values", "are")
    return f"{number:,} more exact {noun} {verb} kept outside this summary"


def list_values(*, values: Sequence[Exact], counter: Counter, tokens: int) -> tuple[list[str], tuple[Exact, ...]]:
    """The lines that hold `values` within `tokens`, and the values that found no room.

    Values that rest on one clause share a line, so that the clause is paid for once. Where not all fit, the clauses
    are cut shorter; where that is not enough, the kinds that are worth most come first. The lines stand in the order
    of the source.
    """
    lines, left_out = _fitted(values, counter, tokens)
    if left_out:
        lines, left_out = _fitted([_shortened(value) for value in values], counter, tokens)
        beyond = {(value.kind, value.start) for value in left_out}
        left_out = tuple(value for value in values if (value.kind, value.start) in beyond)
    return lines, left_out


def _shortened(value: Exact) -> Exact:
    start = value.quote.find(value.value)
    if start < 0:
        return value
    quote = exact.quote_around(value.quote, start, start + len(value.value), characters=SHORT_QUOTE)
    return replace(value, quote=quote)


def _fitted(values: Sequence[Exact], counter: Counter, tokens: int) -> tuple[list[str], tuple[Exact, ...]]:
    groups: dict[str, list[Exact]] = {}
    left_out: list[Exact] = []
    used = 0
    for value in sorted(values, key=lambda entry: (_WORTH[entry.kind], entry.start)):
        group = groups.get(value.quote, [])
        before = counter.count(_line(group)) if group else 0
        cost = counter.count(_line([*group, value])) - before
        if used + cost > tokens:
            left_out.append(value)
            continue
        used += cost
        groups[value.quote] = [*group, value]
    ordered = sorted(groups.values(), key=lambda group: min(entry.start for entry in group))
    return [_line(group) for group in ordered], tuple(sorted(left_out, key=lambda entry: entry.start))


def _line(group: Sequence[Exact]) -> str:
    names = ", ".join(entry.value for entry in sorted(group, key=lambda entry: entry.start))
    return f"- {names}" if names == group[0].quote else f'- {names}: "{group[0].quote}"'


def _sections(text: str) -> dict[str, str]:
    """The text under each heading that it has; what stands above the first one is under ''."""
    parts: dict[str, str] = {}
    heading = ""
    lines: list[str] = []
    for line in text.splitlines():
        named = _heading(line)
        if named in HEADINGS and named not in parts:
            parts[heading] = "\n".join(lines)
            heading, lines = named, []
            # Reserves the name, so that a second heading of this name is text and shows as a nested summary.
            parts[heading] = ""
        else:
            lines.append(line)
    parts[heading] = "\n".join(lines)
    return parts


def _heading(line: str) -> str:
    return line.strip().rstrip(":* ")


def _form(text: str, stop_reason: str, parts: dict[str, str]) -> tuple[str, ...]:
    codes = []
    if stop_reason != "end_turn":
        codes.append("stop_reason")
    if _letters(_plain(parts)) < LEAST_LETTERS:
        codes.append("blank")
    if not text.startswith(OPENING) or any(heading not in parts for heading in HEADINGS):
        codes.append("sections")
    again = any(_heading(line) in HEADINGS for body in parts.values() for line in body.splitlines())
    if again or text.count(OPENING) > 1:
        codes.append("nested")
    return (*codes, *foreign(text))


def foreign(text: str) -> list[str]:
    """The codes for what no summary says: tool calls or thinking ("tool_text"), our own delimiters ("echo").

    Code spans are exempt: a conversation may be about such things.
    """
    prose = _CODE_SPAN.sub("", text)
    found = (("tool_text", _MACHINE_TEXT.search(prose)), ("echo", _ECHO.search(prose)))
    return [code for code, match in found if match]


def _content(parts: dict[str, str], source: str, counter: Counter, allowed: int) -> tuple[str, ...]:
    codes = []
    if counter.count(_without_exact(parts)) > allowed:
        codes.append("too_long")
    # An extract is made of its source's own sentences, though perhaps of only one of its languages.
    if MADE_BY_CODE not in parts[""] and language.differ(_plain(parts), source):
        codes.append("language")
    return tuple(codes)


def _allowed(source_tokens: int, limit_tokens: int) -> int:
    return min(max(int(source_tokens * MOST_OF_SOURCE), LEAST_ROOM), int(limit_tokens * CAP_SLACK))


def _plain(parts: dict[str, str]) -> str:
    """The summary's own words: no headings, no list of exact values, nothing that stands for nothing."""
    body = "\n".join(text for heading, text in parts.items() if heading != EXACT_HEADING)
    return body.replace(OPENING, "").replace(MADE_BY_CODE, "").replace(NOTHING, "")


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text)) + 2 * len(_CJK.findall(text))


def _without_exact(parts: dict[str, str]) -> str:
    return "\n".join(f"{heading}\n{text}" for heading, text in parts.items() if heading != EXACT_HEADING)


def _kept_lines(block: str, counter: Counter, tokens: int) -> list[str]:
    """The model's own list, as far as the room goes: what is dropped counts as missing and is judged by its worth."""
    lines, used = [], 0
    for line in block.splitlines():
        cost = counter.count(line)
        if line.strip() in ("", NOTHING) or _OUTSIDE.fullmatch(line.strip()) or used + cost > tokens:
            continue
        lines.append(line.rstrip())
        used += cost
    return lines


def _rebuilt(parts: dict[str, str], lines: Sequence[str]) -> str:
    bodies = {**parts, EXACT_HEADING: "\n".join(lines) or NOTHING}
    blocks = [bodies.pop("").strip()]
    blocks += [f"## {section}\n{bodies[f'## {section}'].strip() or NOTHING}" for section in SECTIONS]
    return "\n".join(blocks)
