"""Instructions under names of one's own: a list, from which one is chosen for a conversation or for all new ones.

A text over the budget of system prompts is refused with both numbers. One with a date, a name or a placeholder in it is
saved when its owner has seen what that costs.
"""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from chat.context import volatile
from chat.context.budget import BudgetError
from chat.flow import choosing, windows
from chat.flow.allowing import USUAL_WINDOW
from chat.models import Preference, Preset
from chat.providers.base import ModelInfo
from chat.store import presets
from chat.store.sessions import MOST_INSTRUCTIONS
from chat.stream.inbound import clean_text
from chat.web import measuring, notices
from chat.web.choosing import money
from chat.web.gauge import about
from chat.web.pages import page

MOST_PRESETS = 100
READS = ["GET", "HEAD", "POST"]

KINDS = {
    "uuid": gettext_lazy("an id"),
    "email": gettext_lazy("an e-mail address"),
    "placeholder": gettext_lazy("a placeholder"),
    "date": gettext_lazy("a date"),
    "time": gettext_lazy("a time"),
    "name": gettext_lazy("your name"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A piece of a text that changes from day to day, and what it is."""

    text: str
    kind: str


class PresetForm(forms.Form):
    """A name and a text; the text within the budget of system prompts."""

    name = forms.CharField(max_length=80, error_messages={"required": gettext_lazy("Give it a name.")})
    text = forms.CharField(
        max_length=MOST_INSTRUCTIONS, strip=True, error_messages={"required": gettext_lazy("Write at least a word.")}
    )

    def clean_name(self) -> str:
        return " ".join(clean_text(self.cleaned_data["name"]).split())

    def clean_text(self) -> str:
        """Refused over the budget, with both numbers."""
        text = clean_text(self.cleaned_data["text"])
        tokens = measuring.counter(settings.CHAT_MODEL).count(text)
        most = _most()
        if tokens > most:
            values = {"tokens": about(tokens), "most": about(most)}
            said = _("This is too long: it holds %(tokens)s tokens, and instructions may hold %(most)s.")
            raise forms.ValidationError(said % values, code="too_long")
        return text


@require_http_methods(READS)
@page
def index(request: HttpRequest) -> HttpResponse:
    """All of one's own, and a form for one more."""
    return _form(request, None)


@require_http_methods(READS)
@page
def edit(request: HttpRequest, preset_id: int) -> HttpResponse:
    """One of them. Conversations that have it keep the text that they have."""
    return _form(request, _own(request, preset_id))


@require_POST
@page
def delete(request: HttpRequest, preset_id: int) -> HttpResponse:
    """Off the list. Conversations that have it keep its text."""
    presets.delete(_own(request, preset_id))
    messages.success(request, _("Deleted. Conversations that use it keep its text."))
    return redirect("chat:instructions")


@require_POST
@page
def default(request: HttpRequest) -> HttpResponse:
    """For new conversations; without an id the site's own."""
    wanted = request.POST.get("preset", "")
    preset = _own(request, int(wanted)) if wanted.isascii() and wanted.isdigit() and len(wanted) < 10 else None
    presets.prefer(request.user, preset)
    messages.success(request, _("New conversations begin with it."))
    return redirect("chat:instructions")


def _form(request: HttpRequest, preset: Preset | None) -> HttpResponse:
    """The list with a form, or one of them: shown, refused, warned of, or saved."""
    user: Any = request.user
    warned: list[Warned] = []
    form = PresetForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        text = form.cleaned_data["text"]
        names = (user.get_username(), user.first_name, user.last_name, user.get_full_name())
        found = volatile.find(text, names)
        warned = [Warned(text=one.text, kind=str(KINDS[one.kind])) for one in found]
        if request.POST.get("anyway") or not warned:
            if _saved(user, preset, form):
                messages.success(request, _("Saved."))
                return redirect("chat:instructions")
            form.add_error("name", _("You have one of this name already, or as many as can be kept."))
            warned = []
    own = list(Preset.objects.filter(owner=user).select_related("instructions").order_by("name"))
    counter = measuring.counter(settings.CHAT_MODEL)
    context = {
        "title": preset.name if preset else _("Instructions"),
        "preset": preset,
        "form": form,
        "name": form["name"].value() or (preset.name if preset and not form.is_bound else ""),
        "text": form["text"].value() or (preset.instructions.text if preset and not form.is_bound else ""),
        "warned": warned,
        "cost": _cost() if warned else "",
        "most": about(_most()),
        "presets": [(one, about(counter.count(one.instructions.text))) for one in own],
        "default": Preference.objects.filter(user=user).values_list("preset_id", flat=True).first(),
    }
    return render(request, "account/preset.html" if preset else "account/instructions.html", context)


def _saved(user: Any, preset: Preset | None, form: PresetForm) -> bool:
    name, text = form.cleaned_data["name"], form.cleaned_data["text"]
    if preset is None and Preset.objects.filter(owner=user).count() >= MOST_PRESETS:
        return False
    try:
        with transaction.atomic():
            presets.save(user, preset, name=name, text=text)
    except IntegrityError:
        return False
    return True


def _own(request: HttpRequest, preset_id: int) -> Preset:
    preset = Preset.objects.filter(owner=request.user, pk=preset_id).select_related("instructions").first()
    if preset is None:
        raise Http404
    return preset


def _info() -> ModelInfo:
    model = settings.CHAT_MODEL
    return windows.stored(model) or ModelInfo(id=model, window=USUAL_WINDOW)


def _most() -> int:
    """What instructions may hold, in tokens, with the model that new conversations begin with."""
    try:
        return choosing.system_budget(_info()).system
    except BudgetError:
        return 0


def _cost() -> str:
    """What a prompt costs that is another one each time: a conversation of half a window, past the cache each turn."""
    info = _info()
    tokens = info.window // 2
    anew, cached = choosing.price_of_prefix(info.id, tokens)
    model = notices.model_name(info.id)
    if not anew:
        text = _("Whenever it changes, a conversation of %(tokens)s tokens is sent anew, past the cache.")
        return text % {"tokens": about(tokens)}
    text = _(
        "Whenever it changes, everything after it is sent anew, past the cache: in a conversation of %(tokens)s tokens "
        "with %(model)s a turn costs %(anew)s instead of %(cached)s."
    )
    return text % {"tokens": about(tokens), "model": model, "anew": money(anew), "cached": money(cached)}
