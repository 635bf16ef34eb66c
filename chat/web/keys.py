"""The shortcuts and commands of the chat, each once: the pages list them from here, and the scripts read them from the
pages.

No key that a browser or a screen reader has: letters alone are a screen reader's, Ctrl with a letter is a browser's
(Ctrl+K is free in most, and what chats use), so that they are Ctrl+Shift or Alt+Shift with one that neither takes, and
work nowhere but where nothing is lost.
"""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True, slots=True)
class Shortcut:
    """`action` is the script's name for it; `keys` as `KeyboardEvent` tells them, the modifiers first."""

    action: str
    keys: str
    label: str | Promise

    @property
    def parts(self) -> list[str]:
        """The keys as people read them."""
        return [_NAMES.get(key, key) for key in self.keys.split("+")]


@dataclass(frozen=True, slots=True)
class Command:
    """What can be typed at the start of a message. `anywhere`: also where no conversation has begun."""

    name: str
    label: str | Promise
    anywhere: bool = False


_NAMES = {"Control": "Ctrl", "ArrowUp": "↑", "ArrowDown": "↓", "Escape": "Esc", "Slash": "/", "Question": "?"}

SHORTCUTS = (
    Shortcut("new", "Alt+Shift+N", _("New chat")),
    Shortcut("search", "Control+K", _("Search conversations")),
    Shortcut("focus", "Alt+Shift+M", _("Go to the message box")),
    Shortcut("copy", "Alt+Shift+C", _("Copy the last reply")),
    Shortcut("sidebar", "Alt+Shift+S", _("Show or hide the sidebar")),
    Shortcut("previous", "Alt+Shift+ArrowUp", _("Previous conversation")),
    Shortcut("next", "Alt+Shift+ArrowDown", _("Next conversation")),
    Shortcut("stop", "Escape", _("Stop the reply, from the message box")),
    Shortcut("help", "Question", _("These shortcuts, outside of the message box")),
)

COMMANDS = (
    Command("compact", _("Compress older parts now, after a preview")),
    Command("pin", _("Pin the last turn, so that it stays word for word")),
    Command("status", _("Say how full the context is")),
    Command("export", _("Download this conversation as Markdown")),
    Command("rename", _("Give this conversation another title")),
    Command("new", _("Begin a new chat"), anywhere=True),
    Command("search", _("Search conversations"), anywhere=True),
    Command("help", _("Show the shortcuts"), anywhere=True),
)
