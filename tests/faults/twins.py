"""Conversations that are alike, for requests that differ in an id only: what became of them must be alike, too."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tests.faults.harness import Site

MAKE = """
import datetime, io, json, sys
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.auth.models import Group
from chat import models
from chat.store import coverage, forking
from chat.store.portable import staging

given = json.loads(sys.argv[1])
words, start, people = given["words"], given["start"], get_user_model().objects
hers = models.Turn.objects.select_related("session__owner").get(pk=given["hers"])
his = models.Turn.objects.select_related("session__owner").get(pk=given["his"])
alice, bob = hers.session.owner, his.session.owner

# The newest of all: in a list that shows it by mistake it stands first.
newest = hers.session.updated_at + datetime.timedelta(days=1)
models.ChatSession.objects.filter(pk=hers.session_id).update(title=words, updated_at=newest)
# What belongings.make makes of each kind is in use. These wait: an id is good for something only then.
empty = models.ChatSession.objects.filter(owner=alice, turns_total=0).latest("created_at")
file = {"name": words, "kind": "text", "text": words, "digest": "d", "size": 9, "tokens": 9}
waits = models.Document.objects.create(pk=start + 11, session=hers.session, **file)
first = models.Document.objects.create(pk=start + 12, session=empty, **file)
before = models.Summary.objects.create(
    pk=start + 13, session=hers.session, first=1, last=1, until=hers, text=words + " before", tokens=9,
    source_hash=coverage.source_hash(hers.session_id, 1, 1), input_hash="j", state="resting", version=0,
)
upload = staging.stage(alice, io.BytesIO(given["file"].encode()), "conversations.json", len(given["file"]))
assert staging.begin(upload)
while one := staging.waiting(upload.pk):
    staging.take(one)
staging.finish(upload.pk)

twins = [forking.fork(bob.pk, his.session_id, his.pk, title="Twin") for _ in range(given["count"])]
store = import_module(settings.SESSION_ENGINE).SessionStore
cookies = {}
for name, role in {"vic": "viewer", "sofia": "surgeon"}.items():
    user = people.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    signed_in = store()
    signed_in[SESSION_KEY] = str(user.pk)
    signed_in[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    signed_in[HASH_SESSION_KEY] = user.get_session_auth_hash()
    signed_in.save()
    cookies[name] = signed_in.session_key
active = models.Summary.objects.get(session=hers.session, state="active")
print(json.dumps({
    "document": waits.pk, "first_document": first.pk, "client_id": str(hers.client_id), "email": alice.email,
    "username": alice.username, "file": given["file"], "before": before.pk, "summary": active.pk,
    "group": Group.objects.get(name="surgeon").pk,
    "twins": [[str(one.pk), one.head_id] for one in twins], "cookies": cookies,
}))
"""

READ = """
import datetime, hashlib, json, re, sys, uuid
from django.apps import apps
from chat.models import Instructions

given = json.loads(sys.argv[1])
# Workers say that they are alive.
BEATS = {"chat.Worker"}
models = [*apps.get_app_config("chat").get_models(), *apps.get_app_config("auth").get_models(include_auto_created=True)]
models = [one for one in models if one._meta.label not in BEATS]
rows = {(one._meta.label, row.pk): row for one in models for row in one._base_manager.order_by("pk")}
texts = dict(Instructions.objects.values_list("pk", "text"))


def links(row):
    for field in row._meta.concrete_fields:
        if field.is_relation and getattr(row, field.attname) is not None:
            yield field.attname, (field.related_model._meta.label, getattr(row, field.attname))


def of(*roots):
    found, more = set(), {one for one in rows if one in roots}
    while more:
        found |= more
        more = {key for key, row in rows.items() if key not in found and any(to in found for _, to in links(row))}
    return found


def whole(keys):
    written = [f"{key}: {[getattr(rows[key], one.attname) for one in rows[key]._meta.concrete_fields]}" for key in keys]
    return hashlib.sha256("\\n".join(sorted(written)).encode()).hexdigest()


def plain(value):
    if isinstance(value, datetime.datetime):
        return "then"
    return re.sub(given["ids"], "ID", str(value))


def told(key, mine, hers):
    row, out = rows[key], {}
    leads = dict(links(row))
    for field in row._meta.concrete_fields:
        name, value = field.attname, getattr(row, field.attname)
        if field.primary_key:
            continue
        if name in leads:
            to = leads[name]
            known = texts.get(to[1], "") if to[0] == "chat.Instructions" else "other"
            value = "HERS" if to in hers else "own" if to in mine else known
        out[name] = plain(value)
    return f"{key[0]} {out}"


hers = of(("auth.User", given["hers"]))
print(json.dumps({
    "hers": whole(hers),
    "tables": {label: whole([key for key in rows if key[0] == label]) for label in {key[0] for key in rows}},
    "places": {
        place: sorted(told(key, mine, hers) for key in mine)
        for place in given["places"] if (mine := of(("chat.ChatSession", uuid.UUID(place))))
    },
}))
"""

IDS = r"\b(?:S?7[7-9]\d{4}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32})\b"
"""Ids as answers and rows hold them: tests that use this see to it that no number below stands for a row."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What the database holds: digests of all that is hers and of each table; conversations row by row, without ids."""

    hers: str
    tables: dict[str, str]
    places: dict[str, list[str]]

    def changed(self, before: "Rows") -> set[str]:
        """The tables that are not as they were."""
        names = self.tables.keys() | before.tables.keys()
        return {name for name in names if self.tables.get(name) != before.tables.get(name)}


def make(own: Site, hers: int, his: int, words: str, file: str, start: int, count: int) -> dict[str, Any]:
    """More of what can be hers, by kind; `count` twins of his conversation; and staff with their cookies.

    `hers` and `his` are ids of finished turns, `file` is an export that she has imported.
    """
    given = {"hers": hers, "his": his, "words": words, "file": file, "start": start, "count": count}
    found: dict[str, Any] = json.loads(own.python(MAKE, json.dumps(given)))
    return found


def rows(own: Site, *places: str | UUID) -> Rows:
    """See `Rows`; `places` are conversations, by their ids."""
    given = {"hers": own.person("alice").id, "places": [str(place) for place in places], "ids": IDS}
    return Rows(**json.loads(own.python(READ, json.dumps(given))))
