"""The page of the runtime switches: how they stand, what each does, and a change with a reason.

The form says all of them, so it also says what it showed: what somebody else has turned since is not turned back by
whoever did not know of it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from chat.admin import desk
from chat.admin.records import Kept
from chat.models import Audit, Switches
from chat.store import switches
from chat.surgery import auditing
from chat.surgery.values import Refused

CHANGE = "chat.surgery_switches"


def _models() -> list[tuple[str, str]]:
    return [(name, name) for name in dict.fromkeys([*settings.CHAT_MODELS, settings.CHAT_SUMMARY_MODEL])]


class SwitchesForm(forms.Form):
    """One field a switch, and why."""

    compaction_paused = forms.BooleanField(
        required=False,
        label="Pause compaction",
        help_text="No summary is made. Jobs wait; what does not fit is left out with a notice. Replies go on.",
    )
    inline_off = forms.BooleanField(
        required=False,
        label="Nobody waits for compaction",
        help_text="At the hard mark a reply is sent at once with what fits; compaction goes on in the background.",
    )
    summary_model = forms.ChoiceField(
        required=False, label="Summariser", help_text="Writes summaries and titles. Empty: as the settings say."
    )
    fallback_model = forms.ChoiceField(
        required=False,
        label="Fallback for replies",
        help_text="Answers while a conversation’s own model is overloaded or away. Empty: nobody does.",
    )
    concurrency = forms.IntegerField(
        required=False, min_value=1, max_value=10_000, label="Replies at once",
        help_text="In one process, at most its own slots. Empty: all of them. Replies that run are not ended.",
    )  # fmt: skip
    read_only = forms.BooleanField(
        required=False,
        label="Read-only",
        help_text="No message and no change is taken, with a sentence that says so. Replies that run are finished.",
    )
    reason = forms.CharField(
        min_length=auditing.LEAST_REASON, max_length=auditing.MOST_REASON, label="Reason",
        help_text="Stays in the audit, with what was so before and after.",
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["summary_model"].choices = [("", f"{settings.CHAT_SUMMARY_MODEL} (settings)"), *_models()]
        self.fields["fallback_model"].choices = [("", "none"), *_models()]

    def wanted(self) -> switches.Switches:
        """What was chosen."""
        return switches.Switches(**{name: self.cleaned_data[name] for name in switches.NAMES})


class Moved(Exception):
    """Nothing was turned: the switches are not as they were looked at. `now`: how they are."""

    def __init__(self, now: switches.Switches):
        super().__init__("They were turned meanwhile.")
        self.now = now


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A switch that somebody else turned, in words. `chosen`: what the form wants instead; '' if that is the same."""

    label: str
    was: str
    now: str
    chosen: str


@admin.register(Switches)
class SwitchesAdmin(Kept):
    """One page, no list."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(CHANGE)

    def has_view_permission(self, request: HttpRequest, obj: Switches | None = None) -> bool:
        return request.user.has_perm(CHANGE)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """How they stand, and the form."""
        desk.demand(request, CHANGE)
        now = switches.read()
        form = SwitchesForm(request.POST if request.method == "POST" else None, initial=now.values())
        # What a form showed comes back with it, also when it is shown again because something in it was wrong.
        shown = request.POST.get("seen", "") if request.method == "POST" else json.dumps(now.values())
        moved, status = [], 200
        if request.method == "POST" and form.is_valid():
            wanted, reason = form.wanted(), form.cleaned_data["reason"]
            # A form that does not say what it showed has seen nothing but itself.
            known = _read(shown) or wanted
            try:
                changed = turn(request, wanted, reason, known)
            except Refused as refused:
                form.add_error("reason", str(refused))
            except Moved as found:
                now, status = found.now, 409
                moved = list(_moved(form, known, now, wanted))
                kept = {name: one for name, one in wanted.values().items() if one != known.values()[name]}
                form = SwitchesForm(initial=now.values() | kept | {"reason": reason})
                shown = json.dumps(now.values())
            else:
                told = "In force in every process within 5 seconds." if changed else "Nothing was changed."
                messages.success(request, told)
                return redirect("admin:chat_switches_changelist")
        history = Audit.objects.filter(operation="switch").order_by("-id")[:10]
        turned = [form.fields[name].label for name, value in now.values().items() if value not in (False, "", None)]
        context = {"form": form, "history": history, "turned": turned, "moved": moved, "opts": Switches._meta,
                   "seen": shown}  # fmt: skip
        status = 400 if form.errors else status
        return desk.show(request, "admin/chat/switches.html", "Runtime switches", context, status)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """There is one page only."""
        return redirect("admin:chat_switches_changelist")


def _read(shown: str) -> switches.Switches | None:
    """The switches as a form says that it showed them; None where it says nothing that can be read."""
    try:
        return switches.Switches(**json.loads(shown))
    except (ValueError, TypeError):
        return None


def turn(request: HttpRequest, wanted: switches.Switches, reason: str, shown: switches.Switches) -> bool:
    """Store what differs, with its entry in the audit, in one transaction; whether anything did. `shown`: what whoever
    asks has looked at. Raises Refused, Moved; then nothing is stored."""
    with transaction.atomic():
        before = switches.write(wanted)
        if before != shown:
            raise Moved(before)
        old, new = before.values(), wanted.values()
        changed = [name for name in switches.NAMES if old[name] != new[name]]
        if not changed:
            return False
        auditing.record(
            request.user.pk,
            "switch",
            reason=reason,
            target={"switches": changed},
            before={name: old[name] for name in changed},
            after={name: new[name] for name in changed},
        )
        return True


def _moved(
    form: SwitchesForm, shown: switches.Switches, now: switches.Switches, wanted: switches.Switches
) -> Iterator[Turned]:
    """What is not as it was shown, in the form's order."""
    was, are, chosen = shown.values(), now.values(), wanted.values()
    for name in switches.NAMES:
        if was[name] != are[name]:
            own = _word(chosen[name]) if chosen[name] not in (was[name], are[name]) else ""
            label = str(form.fields[name].label)
            yield Turned(label=label, was=_word(was[name]), now=_word(are[name]), chosen=own)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "empty" if value in ("", None) else str(value)
