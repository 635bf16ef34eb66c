"""Operations on how a conversation is handled: strategy, mode, limit of messages, model, archive."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models.functions import Now

from chat.context.budget import BudgetError
from chat.flow import choosing, control, engine
from chat.models import ChatSession
from chat.providers.base import ModelInfo
from chat.store import coverage
from chat.store.portable.storing import counter_of
from chat.surgery.values import Done, Parameter, Refused, operation

NOTHING = partial(Refused, "nothing", "Nothing would change: it is so already.")
MOST_MESSAGES = 2_000
_handled = partial(operation, bulk=True, tells="handled")


def _handle(session: ChatSession, **values: Any) -> Done:
    if all(getattr(session, name) == value for name, value in values.items()):
        raise NOTHING()
    control.set_handling(session.pk, **values)
    return Done(target=dict(values))


def _models() -> tuple[tuple[str, str], ...]:
    return tuple((one, one) for one in settings.CHAT_MODELS)


def _choice(name: str, label: str, choices: Iterable[tuple[str, Any]]) -> Parameter:
    told = tuple((value, str(said)) for value, said in choices)
    return Parameter(name=name, label=label, kind="choice", choices=told)


@_handled(
    "Change the strategy",
    _choice("strategy", "Strategy", ChatSession.Strategy.choices),
    same=lambda values: {"strategy": values["strategy"]},
)
def strategy(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """How room is made when the conversation grows."""
    return _handle(session, strategy=values["strategy"])


@_handled(
    "Change when it is compressed",
    _choice("mode", "Mode", ChatSession.Mode.choices),
    same=lambda values: {"mode": values["mode"]},
)
def mode(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """By itself, when its owner is asked, or never."""
    return _handle(session, mode=values["mode"])


@_handled(
    "Change the limit of messages",
    Parameter(name="messages", label="Messages", kind="number", required=False, least=2, most=MOST_MESSAGES),
    same=lambda values: {"window_messages": values["messages"]},
)
def thresholds(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """How many messages stand word for word at most; a turn has two. Empty: as the strategy says."""
    return _handle(session, window_messages=values["messages"])


@_handled(
    "Change the marks",
    Parameter(
        name="soft",
        label="Compress from, %",
        kind="number",
        required=False,
        least=10,
        most=95,
        help="Share of the room for turns from which a summary is made in the background. Empty: as the settings say.",
    ),
    Parameter(
        name="hard",
        label="Wait from, %",
        kind="number",
        required=False,
        least=20,
        most=98,
        help="Share from which a reply waits for its summary. Empty: as the settings say.",
    ),
    grant="thresholds",
    same=lambda values: {"soft_mark": values["soft"], "hard_mark": values["hard"]},
)
def marks(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """From which share of its room on this conversation is compressed, and from which a reply waits for that."""
    found = engine.marks(values["soft"], values["hard"])
    if found.soft >= found.hard:
        raise Refused(
            "bad_parameters",
            f"Compress from {found.soft:.0%} is not below wait from {found.hard:.0%}: nothing was changed.",
        )
    return _handle(session, soft_mark=values["soft"], hard_mark=values["hard"])


@_handled("Switch the model", _choice("model", "Model", _models()), same=lambda values: {"model": values["model"]})
def model(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """What answers from the next message on."""
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


@operation("Archive", same=lambda values: {"archived_at__isnull": False}, bulk=True, tells="archived")
def archive(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Take it off its owner's list. Nothing of it is lost, and it can still be opened."""
    return _archived(session, True)


@operation(
    "Take out of the archive",
    same=lambda values: {"archived_at__isnull": True},
    grant="archive",
    bulk=True,
    tells="archived",
)
def unarchive(session: ChatSession, values: Mapping[str, Any]) -> Done:
    """Put it back on its owner's list."""
    return _archived(session, False)


def _archived(session: ChatSession, archived: bool) -> Done:
    changed = ChatSession.objects.filter(pk=session.pk, archived_at__isnull=archived)
    if not changed.update(archived_at=Now() if archived else None):
        raise NOTHING()
    return Done()
