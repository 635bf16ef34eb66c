"""What can belong to somebody, one of each kind: for the test that lets a stranger ask for it by its id."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from tests.faults.harness import Site

NEVER = 2**40
"""A number that stands for nothing."""

# Far from every other number in an answer.
FROM = 790_000

MAKE = """
import json, sys
from django.contrib.auth import get_user_model
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from chat import models
from chat.flow.letters import address_tokens
from chat.store import coverage, sessions
from monitoring.models import Alert, AlertRule

given = json.loads(sys.argv[1])
words, start, now = given["words"], given["start"], timezone.now()
owner = get_user_model().objects.get(pk=given["owner"])
turn = models.Turn.objects.select_related("session").get(pk=given["turn"])
session = turn.session
span = {"session": session, "first": turn.number, "last": turn.number, "until": turn}
document = models.Document.objects.create(
    pk=start + 1, session=session, turn=turn, name=words, kind="text", text=words, digest="d", size=9, tokens=9, since=1
)
summary = models.Summary.objects.create(
    **span, pk=start + 8, text=words, tokens=9, source_hash=coverage.source_hash(session.pk, 1, 1), input_hash="i",
    state="active", committed_at=now,
)
notice = models.Notice.objects.create(pk=start + 2, kind="compressed", summary=summary, tokens_before=90, **span)
fact = models.Fact.objects.create(
    pk=start + 3, session=session, kind="user", value=words, quote=words, turn=turn, made_by="user"
)
job = models.Job.objects.create(
    pk=start + 4, kind="compact", session=session, state="done", finished_at=now,
    progress={"code": "committed", "first": 1, "last": 1, "before": 90, "after": 9},
)
preset = models.Preset.objects.create(
    pk=start + 5, owner=owner, name=words[:40], instructions=sessions.instructions(words)
)
sign_in = models.SignIn.objects.create(pk=start + 6, user=owner, key="another-browser-of-hers", browser=words[:40])
upload = models.Import.objects.create(owner=owner, size=9)
models.ImportItem.objects.create(upload=upload, index=0, state="empty", format="own", title=words, turns=1)
models.Feedback.objects.create(turn=turn, user=owner, reason="forgot")
models.Thought.objects.create(turn=turn, text=words, tokens=9)
share = models.Share.objects.create(session=session, until=turn, revoked_at=now)
models.Preference.objects.update_or_create(user=owner, defaults={"new_email": "alice@elsewhere.test"})
rule, _ = AlertRule.objects.get_or_create(
    code="strangers", defaults={"measure": "errors", "limit": 1, "resolve": 0, "severity": "P3"}
)
alert = Alert.objects.create(
    pk=start + 7, rule=rule, key="strangers", session=session.pk, severity="P3", limit=1, value=2, peak=2, opened_at=now
)
print(json.dumps({
    "session_id": str(session.pk), "session": str(session.pk), "turn_id": turn.pk, "user": owner.pk,
    "document_id": document.pk, "notice_id": notice.pk, "fact_id": fact.pk, "job_id": job.pk, "preset_id": preset.pk,
    "sign_in_id": sign_in.pk, "import_id": str(upload.pk), "pk": alert.pk,
    "chart.code": given["chart"], "chart_csv.code": given["chart"], "alert_rule.code": rule.code,
    "email-confirm.token": address_tokens.make_token(owner), "shared.token": share.token,
    "password_reset_confirm.uidb64": urlsafe_base64_encode(force_bytes(owner.pk)),
}))
"""

ROWS = """
import hashlib, json
from django.apps import apps

# Workers say that they are alive; what a browser does is no row of its own.
BEATS = {"Worker"}
found = {}
for model in [*apps.get_app_config("chat").get_models(), *apps.get_app_config("auth").get_models()]:
    if model.__name__ not in BEATS:
        rows = [str(row) for row in model._default_manager.order_by("pk").values_list()]
        found[model.__name__] = [len(rows), hashlib.sha256("\\n".join(rows).encode()).hexdigest()]
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Address:
    """An address of the site with ids in it: `path` with {names}, and its own name."""

    name: str
    path: str
    parameters: tuple[str, ...]

    def of(self, ids: dict[str, Any]) -> str:
        """The address with these ids in it; KeyError for a parameter that stands for nothing known."""
        return self.path.format(**{name: self.one(name, ids) for name in self.parameters})

    def one(self, parameter: str, ids: dict[str, Any]) -> Any:
        """What stands for one parameter: by its own name, or where that says too little by the address's too."""
        return ids[f"{self.name}.{parameter}" if f"{self.name}.{parameter}" in ids else parameter]


def make(own: Site, name: str, turn: int, words: str) -> dict[str, Any]:
    """A row of every kind that this person may have, with these words in it; the id of each by the parameter that
    stands for it in addresses."""
    given = {"owner": own.person(name).id, "turn": turn, "words": words, "start": FROM, "chart": "cache"}
    ids: dict[str, Any] = json.loads(own.python(MAKE, json.dumps(given)))
    # Whoever has this one is let in: it is asked with a wrong one.
    return ids | {"password_reset_confirm.token": "abc123-wrong"}


def nobodys(ids: dict[str, Any]) -> dict[str, Any]:
    """The same parameters with ids that never were."""
    out: dict[str, Any] = {}
    for name, known in ids.items():
        if isinstance(known, int):
            out[name] = NEVER
        else:
            out[name] = str(uuid4()) if _is_uuid(known) else "nobodys-0123456789"
    # Nobody's number, written as everybody's is.
    return out | {"password_reset_confirm.uidb64": "MTA5OTUxMTYyNzc3Ng", "password_reset_confirm.token": "abc123-wrong"}


def rows(own: Site) -> dict[str, list[Any]]:
    """How many rows every table has, and their digest."""
    found: dict[str, list[Any]] = json.loads(own.python(ROWS))
    return found


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
