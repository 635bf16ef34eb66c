"""Why did it forget? What became of one turn, in words: from manifests where the chat has them, else from events.

Pure. A row of `fates` is a run of requests, `first`..`last` by their turns' numbers, that held the turn in one way:
`how` as a manifest says it, `by` whom, `why` since then.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext

from monitoring import figures
from monitoring.series import Mark

SEEN = ("verbatim", "clamped", "recalled")


def says(turn: int, fates: Sequence[Mapping[str, Any]], marks: Iterable[Mark], newest: int) -> str:
    """Whether the model still sees turn `turn`, since when not, and by what. `newest` is the last turn with a call."""
    if turn > newest:
        return gettext("There is no turn {turn}: the newest is {newest}.").format(turn=turn, newest=newest)
    if not fates:
        return _by_events(turn, marks)
    now = fates[-1]
    values = {
        "turn": turn,
        "since": now["first"],
        "how": how(now),
        "why": why(now["why"]),
        "before": how(fates[-2]) if len(fates) > 1 else "",
        "upto": fates[-2]["last"] if len(fates) > 1 else turn,
    }
    if now["how"] == "verbatim":
        return gettext("Not forgotten: turn {turn} is sent word for word to this day.").format(**values)
    if now["how"] in SEEN:
        return gettext("Turn {turn} is {how} since turn {since}: {why}.").format(**values)
    if len(fates) > 1:
        sentence = gettext("Turn {turn} was {before} up to turn {upto}; since turn {since} it is {how}: {why}.")
    else:
        sentence = gettext("Since turn {since}, turn {turn} is {how}: {why}.")
    end = (
        gettext(" What the summary does not keep the model cannot know; the transcript has every word.")
        if now["how"] == "summarised"
        else gettext(" The model sees nothing of it; the transcript has every word.")
    )
    return sentence.format(**values) + end


def how(row: Mapping[str, Any]) -> str:
    """How a turn reached the model: "summarised by S3"."""
    by = str(row["by"]).replace("_", " ")
    words = {
        "verbatim": gettext("word for word"),
        "clamped": gettext("shortened"),
        "summarised": gettext("summarised by {by}"),
        "recalled": gettext("recalled"),
        "excluded": gettext("left out by the {by}"),
        "omitted": gettext("left out"),
    }
    return words.get(row["how"], str(row["how"])).format(by=by)


def why(code: str) -> str:
    """Why it is so since then."""
    words = {
        "compacted": gettext("it was compressed to make room"),
        "compacted_again": gettext("the summary it stood in was compressed again"),
        "restored": gettext("somebody restored it"),
        "recalled": gettext("the words of that message found it"),
        "pinned": gettext("somebody pinned it"),
        "not_recalled": gettext("no message found it any more"),
        "excluded": gettext("it was taken out of the context"),
        "included": gettext("it was taken back into the context"),
        "window": gettext("the sliding window moved past it"),
        "trimmed": gettext("it did not fit and no summary was there"),
        "ladder": gettext("a longer request had been refused as too long"),
        "model": gettext("the model was changed to one with a smaller window"),
        "clamped": gettext("it is too long for its share"),
    }
    return words.get(code, gettext("it was just said"))


def _by_events(turn: int, marks: Iterable[Mark]) -> str:
    """What the events tell where no manifest is kept: the compaction that covered it is the first with its number."""
    covering = next(
        (mark for mark in marks if mark.kind == "compaction" and mark.took_effect and (mark.number or 0) >= turn), None
    )
    if covering is None:
        return gettext("Not forgotten: no compaction has covered turn {turn}.").format(turn=turn)
    return gettext(
        "Turn {turn} was compressed with the turns up to {last} ({before} to {after} tokens). What the summary does not"
        " keep the model cannot know; the transcript has every word."
    ).format(
        turn=turn,
        last=covering.number,
        before=figures.tokens(covering.tokens_before),
        after=figures.tokens(covering.tokens_after),
    )
