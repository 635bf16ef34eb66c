"""Why did it forget? A turn, what its own request was made of, and what became of it in every later one."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.formats import date_format
from django.views.decorators.http import require_safe

from chat.admin import bars, desk
from chat.context import forgetting
from chat.context.forgetting import Stretch
from chat.context.values import Run
from chat.models import Manifest, Turn
from chat.store import fates

HOW = {
    "verbatim": "word for word",
    "clamped": "shortened",
    "summarised": "summarised",
    "recalled": "recalled",
    "excluded": "excluded",
    "omitted": "left out",
}
WHY = {
    "said": "its own request",
    "recent": "recent enough to stand as it was said",
    "compacted": "a compaction put a summary in its place",
    "compacted_again": "another summary, merged or made anew, took the place of the one before",
    "restored": "its compression was taken back",
    "recalled": "the words of that message asked for it",
    "pinned": "somebody pinned it",
    "not_recalled": "nothing in the message asked for it: back to what stands for it",
    "excluded": "taken out of the context",
    "included": "no longer excluded",
    "window": "the sliding window keeps so many messages, and it was older",
    "trimmed": "it did not fit, and no summary was there yet",
    "ladder": "the service refused a longer request, and the oldest parts gave way",
    "model": "the request went to a model with a smaller window",
    "clamped": "it is larger than its share of the window",
}
BY = {"user": "by its owner", "operator": "by an operator", "refusal": "because the model refused to answer"}


@dataclass(frozen=True, slots=True)
class Line:
    """One stretch of requests in words."""

    first: int
    last: int
    requests: int
    how: str
    by: str
    summary: int | None
    why: str
    covers: str
    model: str
    mark: str

    @property
    def range(self) -> str:
        """Which requests."""
        return f"{self.first}" if self.first == self.last else f"{self.first}–{self.last}"


def line(one: Stretch) -> Line:
    """A stretch as the page shows it."""
    return Line(
        first=one.first,
        last=one.last,
        requests=one.requests,
        how=HOW[one.how],
        by=BY.get(one.by, one.by) if one.how in ("summarised", "excluded") else "",
        summary=summary_of(one.by),
        why=WHY[one.why],
        covers=turns(*one.covers),
        model=one.model,
        mark="✕" if one.lost else "✓" if one.words_seen else "≈",
    )


def summary_of(by: str) -> int | None:
    """The id of the summary that `by` names."""
    return int(by[1:]) if by[:1] == "S" and by[1:].isdecimal() else None


def turns(first: int, last: int) -> str:
    """A range of turns."""
    return f"turn {first}" if first == last else f"turns {first}–{last}"


@require_safe
def page(request: HttpRequest, session_id: UUID, number: int) -> HttpResponse:
    """The page of one turn. Numbers only; its words are behind a reason."""
    session = desk.session_of(request, session_id)
    turn = fates.turn_at(session.pk, number)
    if turn is None:
        raise Http404
    story = forgetting.fate(number, fates.requests(turn))
    manifest = Manifest.objects.filter(turn=turn).first()
    return desk.show(
        request,
        "admin/chat/turn.html",
        f"Turn {number}: why did it forget?",
        {
            "session": session,
            "turn": turn,
            "story": [line(one) for one in story],
            "sentence": sentence(turn, story),
            "now": next_one(turn),
            "manifest": manifest,
            "runs": [run_line(Run(*one)) for one in manifest.ranges] if manifest else [],
            "parts": [part[:5] for part in manifest.parts] if manifest else [],
            "budget": manifest.budget if manifest else [],
            "may_read": request.user.has_perm(desk.READ) and turn.redacted_at is None,
            "finished": turn.status in Turn.TERMINAL,
        },
    )


@require_safe
def find(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """From a number in a form to the turn's page."""
    session = desk.session_of(request, session_id)
    given = request.GET.get("turn", "")
    number = int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else 0
    if not 1 <= number <= session.turns_active:
        messages.warning(request, f"This conversation has turns 1 to {session.turns_active:,}.")
        return redirect("admin:chat_chatsession_change", session.pk)
    return redirect("admin:chat_chatsession_turn", session.pk, number)


def run_line(run: Run) -> tuple[str, str, str, str]:
    """A run of a manifest in words: turns, how, by, tokens."""
    by = run.by if run.how == "summarised" else BY.get(run.by, WHY.get(run.by, run.by))
    return turns(run.first, run.last), HOW[run.how], by, bars.tokens(run.tokens)


def next_one(turn: Turn) -> tuple[str, str]:
    """How the next request would hold it, in words."""
    how, by = fates.now(turn)
    if how == "verbatim" and turn.redacted_at:
        return "a marker in the place of its words", ""
    return HOW[how], f"by {by}" if how == "summarised" else BY.get(by, "")


def sentence(turn: Turn, story: tuple[Stretch, ...]) -> str:
    """The whole story in one sentence, or two."""
    if turn.redacted_at:
        when = date_format(timezone.localtime(turn.redacted_at), "j M Y H:i")
        return f"Its words were removed for good on {when}: requests since then hold a marker. {_story(turn, story)}"
    return _story(turn, story)


def _story(turn: Turn, story: tuple[Stretch, ...]) -> str:
    if not story:
        return "No request since then has left a manifest: nothing is known of what the model saw of it."
    parts = []
    for one in story:
        where = f"in {one.first}" if one.first == one.last else f"from {one.first} to {one.last}"
        by = f" by {one.by}" if one.how == "summarised" else ""
        parts.append(f"{HOW[one.how]}{by} {where}")
    told = ", ".join(parts)
    lost = next((one for one in reversed(story) if one.lost), None)
    end = f" Nothing stood for it in request {lost.last}: {WHY[lost.why]}." if lost else ""
    return f"Turn {turn.number} was {told}.{end}"
