"""Instructions under names: rows of their texts are never edited, so that the prefix of whoever uses them stays."""

from typing import Any

from django.conf import settings
from django.db import transaction

from chat.models import ChatSession, Preference, Preset
from chat.store import sessions


def save(owner: Any, preset: Preset | None, *, name: str, text: str) -> Preset:
    """A new one, or another name and text for `preset`. Raises IntegrityError for a name that its owner has given."""
    with transaction.atomic():
        row = sessions.instructions(text)
        if preset is None:
            return Preset.objects.create(owner=owner, name=name, instructions=row)
        before = preset.instructions_id
        Preset.objects.filter(pk=preset.pk).update(name=name, instructions=row)
        if before != row.pk:
            _follow(owner, preset)
            sessions.forget_instructions([before])
        return preset


def delete(preset: Preset) -> None:
    """Take it off the list; its text goes with it where no conversation has it."""
    with transaction.atomic():
        preset.delete()
        sessions.forget_instructions([preset.instructions_id])


def prefer(owner: Any, preset: Preset | None) -> None:
    """What new conversations begin with; None: the site's own."""
    with transaction.atomic():
        Preference.objects.update_or_create(user=owner, defaults={"preset": preset})
        _begin(owner)


def preferred(owner: Any) -> str:
    """The text that a new conversation of this owner's begins with."""
    chosen = Preference.objects.filter(user=owner, preset__isnull=False)
    text = chosen.values_list("preset__instructions__text", flat=True).first()
    return settings.CHAT_INSTRUCTIONS if text is None else text


def _follow(owner: Any, preset: Preset) -> None:
    if Preference.objects.filter(user=owner, preset=preset).exists():
        _begin(owner)


def _begin(owner: Any) -> None:
    """The empty conversation that "New chat" shows again was made before the choice."""
    empty = ChatSession.objects.filter(owner=owner, turns_total=0)
    empty.update(instructions=sessions.instructions(preferred(owner)))
