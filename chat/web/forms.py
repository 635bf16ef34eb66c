"""What a page may change of a conversation."""

from typing import Any
from uuid import UUID

from django import forms
from django.utils.translation import gettext_lazy as _

from chat.models import ChatSession
from chat.store.sessions import LEAST_WINDOW, MOST_WINDOW
from chat.stream.inbound import MOST_DOCUMENTS, OPS, clean_text
from chat.web.pages import number


class TitleForm(forms.ModelForm):
    """What a conversation is called."""

    class Meta:
        model = ChatSession
        fields = ["title"]

    def clean_title(self) -> str:
        title = " ".join(clean_text(self.cleaned_data["title"]).split())
        if not title:
            raise forms.ValidationError(_("A title needs a word."), code="required")
        return title


class OptionsForm(forms.ModelForm):
    """What happens when a conversation grows long, and when, and how much of it is sent word for word."""

    strategy = forms.ChoiceField(choices=[(value.value, value.label) for value in ChatSession.CHOOSABLE])
    mode = forms.ChoiceField(choices=ChatSession.Mode.choices, required=False)
    window_messages = forms.IntegerField(required=False, min_value=LEAST_WINDOW, max_value=MOST_WINDOW)

    class Meta:
        model = ChatSession
        fields = ["strategy", "mode", "window_messages"]

    def clean_mode(self) -> str:
        return self.cleaned_data["mode"] or self.instance.mode


class MessageForm(forms.Form):
    """A message by POST: the same fields as the socket's `send`, whole messages instead of 48 KiB."""

    client_id = forms.UUIDField(required=False)
    op = forms.ChoiceField(choices=[(op, op) for op in OPS], required=False)
    of = forms.IntegerField(required=False, min_value=0)
    base = forms.IntegerField(required=False, min_value=0)
    # Not a CharField: it would strip the text and refuse NUL, where the socket cleans it.
    text = forms.Field(required=False)
    # One field for each, or all in one, as a script's FormData writes a list.
    documents = forms.Field(required=False, widget=forms.MultipleHiddenInput)

    def clean_op(self) -> str:
        return self.cleaned_data["op"] or "new"

    def clean_text(self) -> str:
        return clean_text(self.cleaned_data["text"] or "")

    def clean_documents(self) -> tuple[int, ...]:
        words = [word for value in self.cleaned_data["documents"] or () for word in value.split(",") if word.strip()]
        found = tuple(number(word.strip()) or 0 for word in words[: MOST_DOCUMENTS + 1])
        if len(found) > MOST_DOCUMENTS or not all(found):
            raise forms.ValidationError("no list of ids", code="invalid")
        return found

    def message(self, fallback: UUID) -> dict[str, Any]:
        """The keywords of `open_turn`. A page without script sends no client id: `fallback` is taken."""
        values = dict(self.cleaned_data)
        values["client_id"] = values["client_id"] or fallback
        return values


class SwitchForm(forms.Form):
    """The turn whose branch is to be shown, by its id."""

    to = forms.IntegerField(min_value=1, max_value=2**53)
