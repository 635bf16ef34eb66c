"""What somebody may change of their own account. Whoever changes something dangerous gives the password again."""

import math
from typing import Any

from django import forms
from django.contrib.auth import authenticate
from django.contrib.auth.forms import PasswordChangeForm, PasswordResetForm
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext_lazy as _

from chat import service
from chat.flow import letters
from chat.models import Preference

MOST_DAYS = 3_650
"""Ten years: who wants conversations kept longer than that wants them kept."""


class KnownPassword(forms.Form):
    """The password of whoever is signed in. Wrong ones are counted like those of a sign-in: a page that was left open
    is no place to guess at."""

    password = forms.CharField(strip=False, widget=forms.PasswordInput)

    def __init__(self, *args: Any, request: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.request = request

    def clean_password(self) -> str:
        """Refused when it is not theirs."""
        password = self.cleaned_data["password"]
        if not _proven(self.request, password):
            raise forms.ValidationError(_("That is not your password."), code="wrong")
        return password


class EmailForm(KnownPassword):
    """A new address. Whether somebody else has it is nobody's business, and is not said."""

    email = forms.EmailField(max_length=254)

    def save(self) -> str:
        """Keep it until it is confirmed, and leave the letter with the link to a job. '' and an error beside the field
        where too many were asked for in an hour."""
        address, user = self.cleaned_data["email"], self.request.user
        if wait := letters.wait_to_ask(user.pk):
            said = _("%(n)s links were sent within an hour, which is the most. Ask again in %(minutes)s min.")
            self.add_error("email", said % {"n": letters.MOST_AN_HOUR, "minutes": math.ceil(wait / 60)})
            return ""
        with transaction.atomic():
            Preference.objects.update_or_create(user=user, defaults={"new_email": address})
            letters.ask_for_confirmation(user.pk, origin(self.request), translation.get_language() or "en")
        _wake_jobs()
        return address


class NewPasswordForm(PasswordChangeForm):
    """Django's own; wrong old passwords are counted."""

    def __init__(self, user: Any, *args: Any, request: Any, **kwargs: Any):
        super().__init__(user, *args, **kwargs)
        self.request = request

    def clean_old_password(self) -> str:
        """Refused when it is not theirs."""
        password = self.cleaned_data["old_password"]
        if not _proven(self.request, password):
            raise forms.ValidationError(_("That is not your password."), code="wrong")
        return password


class KeepForm(forms.ModelForm):
    """After how many days without a message a conversation is deleted; empty: never."""

    delete_after_days = forms.IntegerField(required=False, min_value=1, max_value=MOST_DAYS)

    class Meta:
        model = Preference
        fields = ["delete_after_days"]


class ResetForm(PasswordResetForm):
    """An address that may belong to somebody: they get a letter, and whoever asks learns nothing."""

    def save(self, *args: Any, request: Any = None, **kwargs: Any) -> None:
        """Leave the letter to a job, whoever it is for, and for nobody, too."""
        users = [user.pk for user in self.get_users(self.cleaned_data["email"])]
        with transaction.atomic():
            letters.ask_for_reset(users, origin(request), translation.get_language() or "en")
        _wake_jobs()


def origin(request: Any) -> str:
    """Scheme and host that the site was asked by; Django has held the host against ALLOWED_HOSTS."""
    return f"{request.scheme}://{request.get_host()}/"


def _wake_jobs() -> None:
    if service.running():
        service.current().wake_jobs()


def _proven(request: Any, password: str) -> bool:
    return authenticate(request, username=request.user.get_username(), password=password) == request.user
