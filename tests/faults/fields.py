"""Every field that the site reads from a body, and whether it names a row: what test_a01_bodies tries is decided here.

By where it is read: a module, a form, the administration's form of a model, the operations, or a type of frame. One
that names a row is `TRIED` with ids of somebody else by a stranger; `BY_STAFF` by a surgeon within another conversation
and by staff who may only look; `RIGHT` by the latter alone, for whoever has the permission may name anybody's.
`A02` is tried in test_a01_strangers. Of any other it says here why it names nothing that belongs to anybody.
"""

TRIED = "tried by a stranger"
BY_STAFF = "tried by staff, with the permission and without"
RIGHT = "tried by staff without the permission"
A02 = "tried in frames"

WORDS = "words of one's own"
CHOICE = "one of a list that everybody is shown"
FLAG = "yes or no"
NUMBER = "a number that counts something of one's own"
SECRET = "a password: of whoever is signed in, or is to be"
ADDRESS = "where to go on: on this site only, and asked for there by whoever goes on"
PATH = "numbers of turns on the path of the conversation in the address: they name nothing elsewhere"
ABOUT = "a column of the row in the address, which takes the permission to change it"
BUTTON = "which button was pressed"


def _each(**why: str) -> dict[str, str]:
    """`words="text title"` says of both what their kind is."""
    kinds = globals()
    return {name: kinds[kind.upper()] for kind, names in why.items() for name in names.split()}


FIELDS: dict[str, dict[str, str]] = {
    # --- people
    "chat.web.attachments": _each(words="text") | {"files": "words of one's own, under a name that is only shown"},
    "chat.web.beginning": _each(choice="model") | {"{name}": "FIELDS: those of chat.web.choosing, said again"},
    "chat.web.choosing": _each(tried="instructions", choice="model", flag="anyway thinking"),
    "chat.web.compacting": _each(words="keep"),
    "chat.web.deciding": _each(tried="notice", flag="again excluded pinned"),
    "chat.web.instructing": _each(tried="preset", flag="anyway"),
    "chat.web.keeping": _each(tried="current", flag="archived pinned temporary", choice="from"),
    "chat.web.moving": _each(tried="file"),
    "chat.web.remembered": _each(words="value"),
    "chat.web.searching": _each(tried="within here", words="query", choice="scope"),
    "chat.web.sharing": _each(choice="action"),
    "chat.web.theming": _each(address="next", choice="theme"),
    "chat.web.turning": _each(choice="reason"),
    "chat.web.views": _each(words="text", choice="model", flag="temporary")
    | {"client_id": "only said again in the answer; what it names is MessageForm's"},
    "chat.web.forms.MessageForm": _each(tried="of base client_id documents", choice="op", words="text"),
    "chat.web.forms.OptionsForm": _each(choice="mode strategy", number="window_messages"),
    "chat.web.forms.SwitchForm": _each(tried="to"),
    "chat.web.forms.TitleForm": _each(words="title"),
    "chat.web.instructing.PresetForm": _each(words="name text"),
    "chat.web.people.EmailForm": _each(tried="email", secret="password"),
    "chat.web.people.KeepForm": _each(number="delete_after_days"),
    "chat.web.people.KnownPassword": _each(secret="password"),
    "chat.web.people.NewPasswordForm": _each(secret="old_password new_password1 new_password2"),
    "chat.web.people.ResetForm": _each(tried="email"),
    "django.contrib.auth.forms.AuthenticationForm": _each(tried="username", secret="password"),
    "django.contrib.auth.forms.SetPasswordForm": _each(secret="new_password1 new_password2"),
    "django.contrib.auth.forms.UserCreationForm": _each(secret="password1 password2")
    | {"username": "a name that is taken must be told to be: where anybody may sign up, names are no secret"},
    "django.contrib.auth.views": _each(address="{self.redirect_field_name}"),
    "django.views.i18n": _each(address="next", choice="{LANGUAGE_QUERY_PARAMETER}"),
    # --- frames
    "frame ack": _each(a02="turn", number="end"),
    "frame hello": _each(a02="session turn", number="epoch end blocks block_end", words="build"),
    "frame ping": {"t": "a time, which comes back unchanged"},
    "frame send": _each(tried="client_id documents base", a02="of", choice="op", words="text"),
    "frame stop": _each(a02="turn"),
    # --- staff
    "ctxsite.adminsite": _each(choice="action"),
    "chat.admin.bulk": _each(right="ids", words="reason", button="step"),
    "chat.admin.operations": _each(words="reason", button="step")
    | {"stamp": "a digest of what a preview showed: another one's only says that something changed since"},
    "chat.admin.records": _each(words="reason"),
    "chat.admin.revealing": _each(by_staff="id", choice="kind", words="reason"),
    "chat.admin.switching": {"seen": "how the switches stood when the form was shown; they are everybody's"},
    "chat.admin.switching.SwitchesForm": _each(
        flag="compaction_paused inline_off read_only",
        choice="summary_model fallback_model",
        number="concurrency",
        words="reason",
    ),
    "operations": _each(
        by_staff="summary fact",
        path="turn turns",
        choice="format mode model strategy",
        number="hard soft messages",
        words="text value",
    ),
    "monitoring.alertpages": _each(choice="from"),
    "monitoring.ruleforms.RuleForm": _each(
        choice="each measure severity period_s repeat_s",
        number="limit minimum opens_after resolve resolves_after",
        flag="email enabled webhook",
    ),
    "admin auth.Group": _each(right="permissions", about="name"),
    "admin auth.User": _each(
        right="groups user_permissions",
        about="username first_name last_name email date_joined last_login is_active is_staff is_superuser",
        secret="password password1 password2 usable_password",
    ),
    "django.contrib.admin.options": _each(
        right="{helpers.ACTION_CHECKBOX_NAME}",
        choice="action {IS_POPUP_VAR} {TO_FIELD_VAR}",
        number="index",
        button="_addanother _continue _save _saveasnew",
    )
    | {"{'{}-{}-DELETE'.format(formset.prefix, index)}": "of rows within a form; no form here has any"},
    "django.contrib.admin.sites": _each(address="{REDIRECT_FIELD_NAME}"),
    "django.contrib.auth.admin": _each(button="_addanother unset-password", choice="{IS_POPUP_VAR}"),
}


WHOLE: dict[tuple[str, str], str] = {
    ("chat.admin.bulk", "_shown(request, operation, ids, request.POST)"): "operations",
    ("chat.admin.bulk", "_shown(request, operation, ids, request.POST, str(refused))"): "operations",
    ("chat.admin.bulk", "values_of(operation, request.POST)"): "operations",
    ("chat.admin.operations", "_again(session.pk, operation, given)"): "operations",
    ("chat.admin.operations", "fields(operation, given)"): "operations",
    ("chat.admin.operations", "values_of(operation, given)"): "operations",
    ("chat.admin.operations", "values_of(operation, request.POST)"): "operations",
    (
        "chat.admin.switching",
        "SwitchesForm(request.POST if request.method == 'POST' else None, initial=now.values())",
    ): "chat.admin.switching.SwitchesForm",
    ("chat.web.account", "EmailForm(request.POST or None, request=request)"): "chat.web.people.EmailForm",
    ("chat.web.account", "KeepForm(request.POST, instance=preference)"): "chat.web.people.KeepForm",
    ("chat.web.account", "KnownPassword(request.POST or None, request=request)"): "chat.web.people.KnownPassword",
    (
        "chat.web.account",
        "NewPasswordForm(user, request.POST or None, request=request)",
    ): "chat.web.people.NewPasswordForm",
    ("chat.web.beginning", "choosing.read(fields, session)"): "chat.web.choosing",
    ("chat.web.beginning", "take(request.user, begun, fields)"): "chat.web.beginning",
    ("chat.web.choosing", "read(request.POST, session)"): "chat.web.choosing",
    (
        "chat.web.instructing",
        "PresetForm(request.POST if request.method == 'POST' else None)",
    ): "chat.web.instructing.PresetForm",
    ("chat.web.keeping", "TitleForm(request.POST, instance=session)"): "chat.web.forms.TitleForm",
    ("chat.web.signup", "UserCreationForm(request.POST or None)"): "django.contrib.auth.forms.UserCreationForm",
    ("chat.web.turning", "SwitchForm(request.POST)"): "chat.web.forms.SwitchForm",
    ("chat.web.views", "MessageForm(request.POST)"): "chat.web.forms.MessageForm",
    ("chat.web.views", "OptionsForm(request.POST, instance=own(request, session_id))"): "chat.web.forms.OptionsForm",
    ("chat.web.views", "sync_to_async(beginning.take)(user, session_id, request.POST)"): "chat.web.beginning",
    ("monitoring.alertpages", "RuleForm(request.POST, instance=_copy(found))"): "monitoring.ruleforms.RuleForm",
    # Django's: the forms are made from the models, the lists from the registry.
    ("django.contrib.auth.admin", "self.change_password_form(user, request.POST)"): "admin auth.User",
    ("django.contrib.admin.options", "ModelForm(request.POST, request.FILES, instance=obj)"): "admin auth.User",
    ("django.contrib.admin.options", "self.action_form(data, auto_id=None)"): "django.contrib.admin.options",
    ("django.contrib.admin.options", "data.update({'action': data.getlist('action')[action_index]})"): (
        "django.contrib.admin.options"
    ),
    ("django.contrib.admin.options", "request.POST and (not protected)"): "",
    # Rows that are edited in a list, or within the form of another: no model here is registered so.
    ("django.contrib.admin.options", "FormSet(request.POST, request.FILES, queryset=modified_objects)"): "",
    ("django.contrib.admin.options", "[value for key, value in request.POST.items() if pk_pattern.match(key)]"): "",
    (
        "django.contrib.admin.options",
        "formset_params.update({'data': request.POST.copy(), 'files': request.FILES, "
        "'save_as_new': '_saveasnew' in request.POST})",
    ): "",
}
"""Where whole bodies go, and where in FIELDS the fields that are taken from them there stand; "" where none is."""


def named(*kinds: str) -> set[tuple[str, str]]:
    """The fields of these kinds, as (where, name)."""
    return {(where, name) for where, names in FIELDS.items() for name, kind in names.items() if kind in kinds}
