"""Notices in words: what the model no longer sees word for word, and what stands in its place."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.formats import date_format
from django.utils.timezone import localdate, localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from chat.context.prompts import EXACT_HEADING, NOTHING, OPENING, SECTIONS
from chat.models import ChatSession, Notice, Summary
from chat.stream.rendering import render
from chat.web.gauge import kilo

MOST_VALUES = 60

_HEADING = re.compile(r"^##\s+(.+?)\s*$", re.MULTILINE)
_RELEASE = re.compile(r"-\d{8}$")
_VALUE = re.compile(r"^[-*]\s+(.+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands under it, as sanitised HTML: a model wrote it."""

    title: str
    html: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One notice as the template shows it, for turns `first`..`last`. What was `compressed` may be taken back, what was
    `restored` compressed again. `of` are the ids of its summaries: another version says something else."""

    id: int
    last: int
    sentence: str
    icon: str
    bad: bool
    count: str
    turns_title: str = ""
    made_by: str = ""
    sections: tuple[Section, ...] = ()
    values: tuple[str, ...] = ()
    explanation: str = ""
    of: str = ""
    first: int = 0
    compressed: bool = False
    restored: bool = False


def of_session(session: ChatSession, first: int, last: int) -> dict[int, list[Shown]]:
    """The notices that stand after turns `first`..`last`, by turn number."""
    rows = Notice.objects.filter(
        session_id=session.pk, ended_at__isnull=True, until__active=True, last__range=(first, last)
    ).order_by("last", "first", "id")
    found = list(rows)
    out: dict[int, list[Shown]] = defaultdict(list)
    if not found:
        return out
    summaries = list(
        Summary.objects.filter(
            session_id=session.pk,
            until__active=True,
            state__in=[Summary.State.ACTIVE, Summary.State.RESTING],
            first__gte=min(notice.first for notice in found),
            last__lte=max(notice.last for notice in found),
        ).order_by("first", "-version")
    )
    for notice in found:
        behind = [one for one in summaries if notice.first <= one.first and one.last <= notice.last]
        out[notice.last].append(show(notice, without_overlap(behind)))
    return out


def changed_places(session: ChatSession, first: int, last: int) -> list[int]:
    """Numbers of the turns in first..last after which there is, or ever was, a notice."""
    rows = Notice.objects.filter(session_id=session.pk, last__range=(first, last))
    return sorted(set(rows.values_list("last", flat=True)))


def show(notice: Notice, summaries: Sequence[Summary] = ()) -> Shown:
    """One notice, with the summaries that stand for its range."""
    compressed = notice.kind == Notice.Kind.COMPRESSED
    count = _range(notice.first, notice.last)
    if compressed and notice.tokens_before:
        figures = {"before": kilo(_tenth(notice.tokens_before)), "after": kilo(_tenth(notice.tokens_after))}
        count += " · " + _("%(before)s → %(after)s tokens") % figures
    elif notice.kind == Notice.Kind.RESTORED:
        count += " · " + _("%(tokens)s tokens, word for word") % {"tokens": kilo(_tenth(notice.tokens_after))}
    elif notice.tokens_before:
        count += " · " + _("%(tokens)s tokens") % {"tokens": kilo(_tenth(notice.tokens_before))}
    sections, values = read_summaries(summaries) if compressed else ((), ())
    return Shown(
        id=notice.pk,
        first=notice.first,
        last=notice.last,
        compressed=compressed,
        restored=notice.kind == Notice.Kind.RESTORED,
        sentence=_sentence(notice),
        icon={"compressed": "compressed", "restored": "done", "failed": "warn"}.get(notice.kind, "left-out"),
        bad=notice.kind == Notice.Kind.FAILED,
        count=count,
        turns_title=_range(notice.first, notice.last).capitalize(),
        made_by=_made_by(notice, summaries),
        of=" ".join(str(one.pk) for one in summaries) if compressed else "",
        sections=sections,
        values=values,
        explanation=_("The model reads this in place of the turns above. The originals stay here, word for word."),
    )


def read_summaries(summaries: Iterable[Summary]) -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """The sections of one or more summaries, joined heading by heading, and their exact values, each once."""
    texts: dict[str, list[str]] = defaultdict(list)
    values: list[str] = []
    for summary in summaries:
        pieces = _HEADING.split(summary.text)
        opening = pieces[0].replace(OPENING, "").strip()
        texts[""].append(opening[:1].upper() + opening[1:])
        for title, body in zip(pieces[1::2], pieces[2::2], strict=False):
            if f"## {title}" == EXACT_HEADING:
                values += [value for line in body.splitlines() for value in _values(line)]
            elif body.strip() and body.strip() != NOTHING:
                texts[title].append(body.strip())
    titles = ["", *SECTIONS, *(title for title in texts if title and title not in SECTIONS)]
    sections = tuple(
        Section(title=_section_title(title), html=render("\n".join(text for text in texts[title] if text)).html)
        for title in titles
        if any(texts.get(title, ()))
    )
    return sections, tuple(dict.fromkeys(values))[:MOST_VALUES]


def _values(line: str) -> list[str]:
    """The values of a line such as `- A-7731, Corvo Duo: "the order A-7731, a Corvo Duo, arrived broken"`."""
    found = _VALUE.match(line.strip())
    if not found or line.strip() == NOTHING:
        return []
    values, _separator, _quote = found[1].partition(': "')
    return [value.strip().strip("`") for value in values.split(", ") if value.strip()]


def _section_title(title: str) -> str:
    return {
        "": _("In short"),
        "Goal and situation": _("Goal and situation"),
        "Decisions and why": _("Decisions and why"),
        "Commitments and open questions": _("Promises, open points"),
        "Artefacts": _("Artefacts"),
        "Lookup hints": _("Words to find it by"),
    }.get(title, title)


def _sentence(notice: Notice) -> str:
    return {
        Notice.Kind.COMPRESSED: _("Earlier parts of this conversation were compressed for length"),
        Notice.Kind.TRIMMED: _("Earlier parts of this conversation are not in the model’s view"),
        Notice.Kind.LEFT_OUT: _("Some of what is attached, or was found for this turn, did not fit the model’s view"),
        Notice.Kind.CLAMPED: _("A long message reached the model shortened"),
        Notice.Kind.FAILED: _("Earlier parts could not be compressed"),
        Notice.Kind.RESTORED: _("Earlier parts are back in the model’s view"),
    }[Notice.Kind(notice.kind)]


def _range(first: int, last: int) -> str:
    if first == last:
        return _("turn %(first)s") % {"first": first}
    return _("turns %(first)s–%(last)s") % {"first": first, "last": last}


def _made_by(notice: Notice, summaries: Sequence[Summary]) -> str:
    when = _when(notice.created_at)
    if summaries and all(one.made_by == Summary.MadeBy.EXTRACT for one in summaries):
        return _("Extract made by code, without a model, %(when)s") % {"when": when}
    if not notice.model:
        return when
    by = _("By %(model)s, %(when)s") % {"model": model_name(notice.model), "when": when}
    found = sum(one.gate.get("values", 0) for one in summaries)
    kept = found - sum(one.gate.get("left_out", 0) for one in summaries)
    if not found:
        return by
    values = ngettext("%(kept)s of %(found)s exact value kept", "%(kept)s of %(found)s exact values kept", found)
    return f"{by} · {values % {'kept': kept, 'found': found}}"


def model_name(name: str) -> str:
    """A model's name without the date of its release."""
    return _RELEASE.sub("", name)


def _when(moment: datetime) -> str:
    local = localtime(moment)
    if local.date() == localdate():
        return _("today %(time)s") % {"time": date_format(local, "TIME_FORMAT")}
    return date_format(local, "DATETIME_FORMAT")


def without_overlap(summaries: Sequence[Summary]) -> list[Summary]:
    """Active ones first; a resting one only where none stands yet (its notice outlived a merge)."""
    chosen: list[Summary] = []
    for one in sorted(summaries, key=lambda each: (each.state != Summary.State.ACTIVE, each.first)):
        if all(one.last < other.first or one.first > other.last for other in chosen):
            chosen.append(one)
    return sorted(chosen, key=lambda each: each.first)


def _tenth(tokens: int) -> int:
    return round(tokens / 100) * 100
