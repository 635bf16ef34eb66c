"""Why there is no reply, in a plain sentence for each code of `flow.failures`; an error's own text reaches no page."""

from datetime import datetime, timedelta

from django.utils.formats import date_format
from django.utils.timezone import localdate, localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext


def sentence(code: str, at: datetime | None = None, document: str = "") -> str:
    """What to say of an error code as a turn keeps it; `at` is when the turn ended, `document` the name of the largest
    file that it was sent with, for whoever attached it."""
    name, _colon, detail = code.partition(":")
    if name == "too_large" and detail:
        return _too_large(detail, document)
    plain = _sentences().get(name, _("Something went wrong on our side."))
    return f"{plain} {_until(int(detail), at)}" if detail.isdecimal() else plain


def wait(seconds: int) -> str:
    """A length of time in words, in the largest unit that is still exact enough."""
    if seconds < 120:
        return ngettext("%(count)s second", "%(count)s seconds", seconds) % {"count": seconds}
    if seconds < 7200:
        return _("%(count)s minutes") % {"count": round(seconds / 60)}
    return _("%(count)s hours") % {"count": round(seconds / 3600)}


def _sentences() -> dict[str, str]:
    return {
        "rate_limited": _("The model’s service is taking no more messages for the moment."),
        "overloaded": _("The model’s service is overloaded."),
        "unavailable": _("The connection to the model broke."),
        "refused": _("The model’s service refused our account; the operators have been told."),
        "misconfigured": _("The model’s service did not accept the request; this is our mistake."),
        "too_large": _("This message is larger than the model can take."),
        "context_overflow": _("This message is larger than the model can take."),
        "unknown_window": _("The model’s service could not say how much it can take."),
        "owner_lost": _("The server stopped while it was writing."),
        "storage": _("The server could not reach its database."),
    }


def names_document(code: str) -> bool:
    """Whether what is said of this code gets better with the name of a document."""
    return code == "too_large:documents"


def _too_large(part: str, document: str) -> str:
    """`part` is a component of a request: what has the most bytes in it."""
    if document and part == "documents":
        said = _("The attached documents have more bytes than the model’s service takes. The largest is “%(name)s”.")
        return said % {"name": document}
    return {
        "current": _("Your message has more bytes than the model’s service takes. Send it in parts."),
        "history": _("The messages before this one have more bytes than the model’s service takes."),
        "documents": _("The attached documents have more bytes than the model’s service takes."),
    }.get(part, _("The request has more bytes than the model’s service takes."))


def _until(seconds: int, at: datetime | None) -> str:
    if at is None:
        return _("It asks to wait %(wait)s.") % {"wait": wait(seconds)}
    end = localtime(at + timedelta(seconds=seconds))
    moment = date_format(end, "TIME_FORMAT" if end.date() == localdate() else "DATETIME_FORMAT")
    return _("It asks to wait %(wait)s (until %(moment)s).") % {"wait": wait(seconds), "moment": moment}
