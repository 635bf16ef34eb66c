"""The model that answers while that of a conversation is in trouble, where an operator named one.

For one reply at a time and from its beginning: the conversation keeps its model, and the next turn asks again.
"""

from dataclasses import replace

import structlog

from chat.flow.engine import Engine
from chat.providers.base import ProviderError
from chat.store.loading import Loaded

log = structlog.get_logger(__name__)

READ_ONLY_S = 30.0
"""After so long somebody who was refused because of the read-only switch may try again."""


def other(model: str, engine: Engine) -> str:
    """Who answers instead of `model`; '' where nobody does: no switch, the same model, or that is in trouble, too."""
    name = engine.switches.fallback_model
    return name if name and name != model and not engine.provider.refusal(name) else ""


def refusal(model: str, engine: Engine) -> float:
    """For how many seconds no message for `model` is taken; 0: it is taken, whoever will answer it."""
    if engine.switches.read_only:
        return READ_ONLY_S
    wait = engine.provider.refusal(model)
    return 0.0 if wait and other(model, engine) else wait


def chosen(loaded: Loaded, engine: Engine) -> Loaded:
    """The turn as it is to be answered: by the other model while the breaker of its own is open."""
    if not engine.provider.refusal(loaded.model):
        return loaded
    return switched(loaded, engine) or loaded


def after(error: ProviderError, loaded: Loaded, engine: Engine) -> Loaded | None:
    """The turn for the other model after a call failed before a word of it came; None where that is no help."""
    return switched(loaded, engine) if error.transient else None


def switched(loaded: Loaded, engine: Engine) -> Loaded | None:
    """The turn for the other model, or None without one."""
    name = other(loaded.model, engine)
    if not name:
        return None
    log.warning("model_fallback", session=str(loaded.session_id), model=loaded.model, instead=name)
    return replace(loaded, model=name)
