"""One's own account: who one is here, where one is signed in, what is kept how long, and the way out."""

from typing import Any

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from chat.flow import letters
from chat.models import ChatSession, Preference, Preset, Share
from chat.store import logins
from chat.web import browsers, leaving
from chat.web.pages import page
from chat.web.people import MOST_DAYS, EmailForm, KeepForm, KnownPassword, NewPasswordForm

READS = ["GET", "HEAD", "POST"]


@require_safe
@page
def account(request: HttpRequest) -> HttpResponse:
    """All of it on one page."""
    user: Any = request.user
    places = logins.places(user, request.session.session_key or "")
    preference = Preference.objects.filter(user=user).first() or Preference(user=user)
    context = {
        "title": _("Account"),
        "new_email": preference.new_email,
        "places": [(place, browsers.words(place.browser)) for place in places],
        "others": sum(not place.here for place in places),
        "keep": KeepForm(instance=preference),
        "most_days": MOST_DAYS,
        "languages": settings.LANGUAGES,
    }
    return render(request, "account/account.html", context)


@sensitive_post_parameters()
@require_http_methods(READS)
@page
def password(request: HttpRequest) -> HttpResponse:
    """Another password. Every other browser is signed out by it."""
    user: Any = request.user
    form = NewPasswordForm(user, request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        form.save()
        update_session_auth_hash(request, user)
        _note(request, user)
        logins.end_others(user, request.session.session_key or "")
        messages.success(request, _("Your password is changed. Everywhere else you are signed out."))
        return redirect("chat:account")
    return _form(request, "account/password.html", form, title=_("Change password"))


@sensitive_post_parameters()
@require_http_methods(READS)
@page
def email(request: HttpRequest) -> HttpResponse:
    """Another address; it holds once the link that is sent there was followed."""
    form = EmailForm(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid() and (address := form.save()):
        messages.success(request, _("A link is on its way to %(address)s.") % {"address": address})
        return redirect("chat:account")
    return _form(request, "account/email.html", form, title=_("Change e-mail address"))


@require_http_methods(READS)
@page
def email_confirm(request: HttpRequest, token: str) -> HttpResponse:
    """Where the link leads: a button. Programs that look at links in letters change nothing."""
    user: Any = request.user
    new = letters.wanted(user)
    if not new or not letters.address_tokens.check_token(user, token):
        raise Http404
    if request.method != "POST":
        return render(request, "account/email_confirm.html", {"title": _("Change e-mail address"), "address": new})
    old, user.email = user.email, new
    user.save(update_fields=["email"])
    Preference.objects.filter(user=user).update(new_email="")
    if old:
        letters.tell_old_address(user, old, new).send(fail_silently=True)
    messages.success(request, _("Your address is %(address)s.") % {"address": new})
    return redirect("chat:account")


@require_POST
@page
def email_forget(request: HttpRequest) -> HttpResponse:
    """The address that was asked for is not wanted any more."""
    Preference.objects.filter(user=request.user).update(new_email="")
    return redirect("chat:account")


@require_POST
@page
def sign_out(request: HttpRequest, sign_in_id: int) -> HttpResponse:
    """Sign one browser out; its open pages close within seconds."""
    if not logins.end(request.user, sign_in_id):
        raise Http404
    return redirect("chat:account")


@require_POST
@page
def sign_out_others(request: HttpRequest) -> HttpResponse:
    """Sign out everywhere but here."""
    count = logins.end_others(request.user, request.session.session_key or "")
    said = ngettext("%(n)s browser is signed out.", "%(n)s browsers are signed out.", count)
    messages.success(request, said % {"n": count})
    return redirect("chat:account")


@require_POST
@page
def keep(request: HttpRequest) -> HttpResponse:
    """After how long conversations are deleted by themselves. A refused value changes nothing."""
    preference, _made = Preference.objects.get_or_create(user=request.user)
    form = KeepForm(request.POST, instance=preference)
    if form.is_valid():
        Preference.objects.filter(pk=preference.pk).update(**form.cleaned_data)
        messages.success(request, _("Saved."))
    else:
        messages.error(request, form.errors["delete_after_days"][0])
    return redirect("chat:account")


@sensitive_post_parameters()
@require_http_methods(READS)
@page
def delete(request: HttpRequest) -> HttpResponse:
    """The way out: what goes is said, the password is asked for, and then it is gone."""
    user: Any = request.user
    form = KnownPassword(request.POST or None, request=request)
    if request.method == "POST" and form.is_valid():
        gone = user.pk
        logout(request)
        async_to_sync(leaving.erase)(gone)
        return redirect("farewell")
    own = ChatSession.objects.filter(owner=user)
    counts = {
        "conversations": own.count(),
        "shares": Share.objects.filter(session__owner=user, revoked_at__isnull=True).count(),
        "presets": Preset.objects.filter(owner=user).count(),
    }
    return _form(request, "account/delete.html", form, title=_("Delete account"), **counts)


@require_safe
def farewell(request: HttpRequest) -> HttpResponse:
    """After it."""
    return render(request, "account/farewell.html", {"title": _("Account deleted")})


def _form(request: HttpRequest, template: str, form: Any, **context: Any) -> HttpResponse:
    return render(request, template, context | {"form": form}, status=422 if form.errors else 200)


@receiver(user_logged_in)
def _note_sign_in(sender: Any, request: Any, user: Any, **kwargs: Any) -> None:
    if request is not None and hasattr(request, "session"):
        _note(request, user)


def _note(request: HttpRequest, user: Any) -> None:
    if request.session.session_key is None:
        request.session.create()
    logins.note(user, request.session.session_key or "", browsers.describe(request.META.get("HTTP_USER_AGENT", "")))
