"""Operations that copy: a fork to reproduce a problem with, and an export."""

from collections.abc import Mapping
from typing import Any

from django.db.models.functions import Now

from chat.models import ChatSession, Turn
from chat.store import forking
from chat.store.portable import dumping, markdown
from chat.surgery.values import Done, Kind, Live, Parameter, Refused, operation

FORMATS = (("json", "JSON, all branches"), ("markdown", "Markdown, what is shown"))


def _remove_copy(target: Mapping[str, Any]) -> None:
    ChatSession.objects.filter(pk=target["copy"], deleted_at__isnull=True).update(deleted_at=Now())


@operation(
    "Fork a copy",
    Parameter(name="turn", label="Up to turn", kind="number", required=False, help="Empty: all."),
    same=lambda values: {"turns_active__lt": values["turn"] or 1},
    bulk=True,
    back=_remove_copy,
)
def fork(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Copy the conversation up to a turn, to reproduce a problem without touching the original."""
    number = values["turn"] or session.turns_active
    turn = Turn.objects.filter(session=session, active=True, number=number).values_list("pk", flat=True).first()
    if turn is None:
        raise Refused("unknown_turn", f"There is no turn {number:,} on the active path.")
    made = forking.fork(session.owner_id, session.pk, turn, title=session.title)
    # It has the same owner, so that erasing them erases it; temporary ones are never listed, and soon gone.
    ChatSession.objects.filter(pk=made.pk).update(temporary=True)
    says = ("The copy belongs to the same owner, stands on no list, and is deleted by itself.",)
    return Done(target={"turns": [number], "copy": str(made.pk)}, turns=number, says=says, made=made.pk)


@operation(
    "Export",
    Parameter(name="format", label="Format", kind="choice", choices=FORMATS),
    kind=Kind.IRREVERSIBLE,
    live=Live.ANY,
)
def export(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Give the conversation out with its summaries, notices and usage."""
    content = iter([markdown.render(session)]) if values["format"] == "markdown" else dumping.pieces(session)
    says = ("The words of the user leave the site with the file.",)
    return Done(target={"format": values["format"]}, turns=session.turns_total, says=says, content=content)
