"""How large the windows of models are, as it is known without asking anybody."""

from collections.abc import Collection

from django.conf import settings

from chat.models import Model
from chat.providers.base import ModelInfo


def stored(model: str) -> ModelInfo | None:
    """The model's window by the setting, or as the Models API told it last; None where nobody has been asked yet."""
    return all_stored([model]).get(model)


def all_stored(models: Collection[str]) -> dict[str, ModelInfo]:
    """The same for several models; those of unknown windows are left out."""
    if settings.CHAT_CONTEXT_WINDOW:
        return {one: ModelInfo(id=one, window=settings.CHAT_CONTEXT_WINDOW, source="setting") for one in models}
    rows = Model.objects.filter(pk__in=models)
    return {row.pk: ModelInfo(id=row.pk, window=row.window, max_output=row.max_output, source="stored") for row in rows}
