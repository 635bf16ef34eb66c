"""What calls cost a person: the most that one can use, before it; what it used, after it."""

from django.conf import settings

from chat.context.budget import BudgetError
from chat.flow.engine import Engine
from chat.flow.running import Running
from chat.models import ChatSession
from chat.providers.base import ModelInfo
from monitoring import recording

# Until the Models API has been asked for the first time: the window of most models, in tokens.
USUAL_WINDOW = 200_000


def most(engine: Engine, session: ChatSession, prompt: int) -> tuple[int, int]:
    """What answering a prompt of so many tokens can use at most: tokens, and millionths of a US dollar.

    Input as if none of it came from the cache and all of it was written there; the longest reply that may be asked
    for. A request never holds more than its budget, and in a short conversation not even that.
    """
    info = engine.known_window(session.model) or ModelInfo(
        id=session.model, window=settings.CHAT_CONTEXT_WINDOW or USUAL_WINDOW
    )
    try:
        split = engine.budget_of(info, "", thinking=session.thinking)
    except BudgetError:
        return info.window, _price(session.model, info.window, 0)
    covered = split.summaries_at_most if session.compactions else 0
    attached = min(session.attached_tokens, split.documents)
    sent = min(split.input_limit, split.system + split.facts + covered + attached + session.open_tokens + prompt)
    return sent + split.response, _price(session.model, sent, split.response)


def used(running: Running, model: str, said: int) -> tuple[int, int]:
    """What a run has used: tokens, and millionths of a US dollar. `said`: tokens of its text, by estimate.

    The API tells the output's size at the very end only; of a reply that was cut the text that came counts.
    """
    usage = running.usage
    output = usage.output if running.stop_reason else max(usage.output, said)
    cost = recording.price(
        model,
        input=usage.input,
        cache_read=usage.cache_read,
        cache_write=usage.cache_write,
        output=output,
        ttl=settings.CHAT_CACHE_TTL,
    )
    return usage.total_input + output, cost


def _price(model: str, sent: int, said: int) -> int:
    return recording.price(model, cache_write=sent, output=said, ttl=settings.CHAT_CACHE_TTL)
