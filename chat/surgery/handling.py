"""Operations on how a conversation is handled: strategy, mode, limit of messages, model, archive."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from chat.context.budget import BudgetError
from chat.flow import choosing, control
from chat.models import ChatSession
from chat.providers.base import ModelInfo
from chat.store import coverage
from chat.store.portable.storing import counter_of
from chat.surgery.values import Done, Kind, Operation, Parameter, Refused

NOTHING = partial(Refused, "nothing", "Nothing would change: it is so already.")
MOST_MESSAGES = 2_000


def _handle(session: ChatSession, **values: Any) -> Done:
    if all(getattr(session, name) == value for name, value in values.items()):
        raise NOTHING()
    control.set_handling(session.pk, **values)
    return Done(target=dict(values))


def _strategy(session: ChatSession, values: Mapping[str, Any]) -> Done:
    return _handle(session, strategy=values["strategy"])


def _mode(session: ChatSession, values: Mapping[str, Any]) -> Done:
    return _handle(session, mode=values["mode"])


def _thresholds(session: ChatSession, values: Mapping[str, Any]) -> Done:
    return _handle(session, window_messages=values["messages"])


def _model(session: ChatSession, values: Mapping[str, Any]) -> Done:
    model = values["model"]
    if model == session.model:
        raise NOTHING()
    window = control.window_of(model)
    says: list[str] = []
    if window is None:
        says.append("Nobody knows yet how large its window is; it is asked for with the next message.")
    else:
        says.append(f"Its window holds {window:,} tokens.")
        try:
            fit = choosing.fit(
                session,
                ModelInfo(id=model, window=window),
                session.instructions.text,
                counter_of(model),
                thinking=session.thinking,
            )
        except BudgetError:
            raise Refused("too_small", f"The window of {model} has no room for these instructions.") from None
        if fit.tight:
            says.append("Older turns must be compressed before the next message; the job starts at once.")
    changed = choosing.choose(
        session.pk, model=model, instructions_id=session.instructions_id, thinking=session.thinking
    )
    if not changed:
        raise NOTHING()
    says.append("The cached beginning of the request is written anew.")
    return Done(target={"model": model}, turns=coverage.open_turns(session), says=tuple(says))


def _archive(session: ChatSession, values: Mapping[str, Any]) -> Done:
    return _archived(session, True)


def _unarchive(session: ChatSession, values: Mapping[str, Any]) -> Done:
    return _archived(session, False)


def _archived(session: ChatSession, archived: bool) -> Done:
    changed = ChatSession.objects.filter(pk=session.pk, archived_at__isnull=archived)
    if not changed.update(archived_at=Now() if archived else None):
        raise NOTHING()
    return Done()


def _models() -> tuple[tuple[str, str], ...]:
    return tuple((one, one) for one in settings.CHAT_MODELS)


OPERATIONS = (
    Operation(
        name="strategy",
        label="Change the strategy",
        help="How room is made when the conversation grows.",
        kind=Kind.UNDOABLE,
        work=_strategy,
        same=lambda values: {"strategy": values["strategy"]},
        bulk=True,
        parameters=(
            Parameter(
                name="strategy",
                label="Strategy",
                kind="choice",
                choices=tuple((value, str(label)) for value, label in ChatSession.Strategy.choices),
            ),
        ),
    ),
    Operation(
        name="mode",
        label="Change when it is compressed",
        help="By itself, when its owner is asked, or never.",
        kind=Kind.UNDOABLE,
        work=_mode,
        same=lambda values: {"mode": values["mode"]},
        bulk=True,
        parameters=(
            Parameter(
                name="mode",
                label="Mode",
                kind="choice",
                choices=tuple((value, str(label)) for value, label in ChatSession.Mode.choices),
            ),
        ),
    ),
    Operation(
        name="thresholds",
        label="Change the limit of messages",
        help="How many messages stand word for word at most; a turn has two. Empty: as the strategy says.",
        kind=Kind.UNDOABLE,
        work=_thresholds,
        same=lambda values: {"window_messages": values["messages"]},
        bulk=True,
        parameters=(
            Parameter(name="messages", label="Messages", kind="number", required=False, least=2, most=MOST_MESSAGES),
        ),
    ),
    Operation(
        name="model",
        label="Switch the model",
        help="What answers from the next message on.",
        kind=Kind.UNDOABLE,
        work=_model,
        same=lambda values: {"model": values["model"]},
        bulk=True,
        parameters=(Parameter(name="model", label="Model", kind="choice", choices=_models()),),
    ),
    Operation(
        name="archive",
        label="Archive",
        help="Take it off its owner's list. Nothing of it is lost, and it can still be opened.",
        kind=Kind.UNDOABLE,
        work=_archive,
        same=lambda values: {"archived_at__isnull": False},
        bulk=True,
    ),
    Operation(
        name="unarchive",
        label="Take out of the archive",
        help="Put it back on its owner's list.",
        kind=Kind.UNDOABLE,
        work=_unarchive,
        same=lambda values: {"archived_at__isnull": True},
        grant="archive",
        bulk=True,
    ),
)
