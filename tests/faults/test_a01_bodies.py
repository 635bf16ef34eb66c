"""Somebody else's ids in what is sent: in forms, in files, in frames. The answer is the one for ids that never were,
and what is done, if anything is, is the same.

Fields are found in the sources (bodies), and each is decided about (fields): one that is new fails here until it is.
"""

import asyncio
import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from django.contrib import admin

from chat.stream import inbound
from chat.surgery import registry
from tests.faults import belongings, bodies, fields, twins
from tests.faults.harness import PASSWORD, History, measured
from tests.faults.test_a01_strangers import OPS, SECRET, far_ids, seen, variants
from tests.faults.twins import IDS

pytestmark = pytest.mark.timeout(300)

PROMPT = "What sings here?"
"""What she says. It may be said by him, too: all else of hers holds the SECRET."""
NEVER = 798_765
"""A number of as many digits as those that stand for rows here."""
CSRF = "f" * 32
ID, OWN = object(), object()
"""Stand in a body for the id that is tried, and for the turn of the conversation in the address."""

HTMX = {"HX-Request": "true"}
SCRIPT = {"Accept": "application/json"}
SEND, TURN, ADMIN = "/c/{place}/turns/", "/c/{place}/turns/{turn}/", "/admin/chat/chatsession/"


@dataclass(frozen=True, slots=True)
class Try:
    """A body with the id of a row of this kind in one field. `acts`: the request does something of one's own, too.

    `begins`: it is staff's, and begins a batch. `rows`: the answer is a list, which a request before this one may have
    made longer. `follow`: what is compared is the page to which it leads.
    """

    where: str
    name: str
    kind: str
    path: str
    data: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    acts: bool = False
    begins: bool = False
    rows: bool = False
    anonymous: bool = False
    deleted: bool = False
    follow: bool = False

    @property
    def field(self) -> tuple[str, str]:
        return self.where, self.name

    @property
    def body(self) -> dict[str, Any]:
        return self.data | {self.name: ID}


def of_people() -> Iterator[Try]:
    message = partial(Try, "chat.web.forms.MessageForm")
    for op in OPS:
        yield message("of", "turn", SEND, {"op": op, "text": "Hello"}, SCRIPT)
    # The first that is sent with it, and once: from then on it is of a message of his, too.
    yield message("client_id", "client_id", "/new/", {"text": PROMPT}, SCRIPT, acts=True)
    for headers in (SCRIPT, {}):
        yield message("base", "turn", SEND, {"text": "Hello"}, headers, acts=True)
        yield message("client_id", "client_id", SEND, {"text": PROMPT}, headers, acts=True)
        # Of these it is asked first whether they were sent before.
        again = {"op": "edit", "of": OWN, "text": PROMPT}
        yield message("client_id", "client_id", SEND, again, headers, acts=True)
    yield message("base", "turn", "/new/", {"text": "Hello"}, SCRIPT, acts=True)
    yield message("documents", "document", SEND, {"text": "Hello"}, SCRIPT, acts=True)
    yield message("documents", "first_document", "/new/", {"text": "Hello"}, SCRIPT, acts=True)
    yield message("documents", "first_document", "/new/", {}, SCRIPT, acts=True)
    yield Try("chat.web.forms.SwitchForm", "to", "turn", f"{SEND}switch/", {}, SCRIPT)
    choice = partial(Try, "chat.web.choosing", "instructions", "preset_id")
    model = {"model": "as it is"}
    yield choice("/c/{place}/choices/", model, HTMX, acts=True)
    yield choice("/c/{place}/choices/", model | {"anyway": "1"}, acts=True)
    yield choice("/choices/", model, HTMX)
    yield choice("/new/", model | {"text": "Hello"}, SCRIPT, acts=True)
    yield Try("chat.web.instructing", "preset", "preset_id", "/instructions/default/", {})
    for mark, name in {"pin": "pinned", "exclude": "excluded"}.items():
        for value in ("1", "0"):
            yield Try("chat.web.deciding", "notice", "notice_id", f"{TURN}{mark}/", {name: value}, HTMX)
    open_one = partial(Try, "chat.web.keeping", "current", "session", headers=HTMX, acts=True)
    yield open_one("/c/{place}/rename/", {"title": "Mine"})
    yield open_one("/c/{place}/pin/", {"pinned": "0"}, rows=True)
    yield open_one("/c/{place}/archive/", {})
    yield open_one("/c/{place}/archive/", {"archived": "0"}, rows=True)
    yield open_one("/c/{place}/delete/", {})
    yield open_one("/c/{place}/restore/", {}, deleted=True, rows=True)
    for headers in ({}, HTMX):
        yield Try("chat.web.searching", "within", "session", "/search/", {"query": "canary"}, headers)
        yield Try("chat.web.searching", "here", "session", "/search/", {"query": "canary", "scope": "here"}, headers)
    yield Try("chat.web.moving", "file", "file", "/import/", {}, acts=True, follow=True)
    address = partial(Try, name="email", kind="email", acts=True)
    yield address("chat.web.people.EmailForm", path="/account/email/", data={"password": PASSWORD})
    yield address("chat.web.people.ResetForm", path="/accounts/password/", data={}, anonymous=True)
    wrong = {"password": "not this one"}
    login = partial(Try, "django.contrib.auth.forms.AuthenticationForm", "username", "username", "/accounts/login/")
    yield login(wrong, acts=True, anonymous=True)


def of_surgeons() -> Iterator[Try]:
    """Within one conversation, rows of another."""
    reveal = partial(Try, "chat.admin.revealing", "id", path=f"{ADMIN}{{place}}/reveal/")
    for kind, ids in {"turns": "turn", "summary": "summary", "versions": "versions", "facts": "fact_id"}.items():
        for reason in ({}, {"reason": "Its owner asked."}):
            yield reveal(kind=ids, data={"kind": kind} | reason)
    for name, operation in registry.OPERATIONS.items():
        for one in operation.parameters:
            if one.kind == "id":
                for step in ({}, {"step": "apply", "reason": "Its owner asked."}):
                    kind = {"fact": "fact_id"}.get(one.name, one.name)
                    data = {other.name: "Mine" for other in operation.parameters} | step
                    # What takes a model is refused by its job, which looks at nothing else either.
                    begins = bool(step) and operation.background
                    yield Try("operations", one.name, kind, f"{ADMIN}{{place}}/operate/{name}/", data, begins=begins)


def of_viewers() -> Iterator[Try]:
    """What takes another permission than to look: by the ids of rows that are there."""
    yield from of_surgeons()
    for name, operation in registry.OPERATIONS.items():
        given = {one.name: "1" for one in operation.parameters} | {"reason": "Because I can.", "stamp": "x"}
        run = given | {"step": "run"}
        yield Try("chat.admin.bulk", "ids", "session", f"{ADMIN}bulk/{name}/", run)
        chosen = {"action": name, "index": "0", "_selected_action": ID}
        boxes = "{helpers.ACTION_CHECKBOX_NAME}"
        yield Try("django.contrib.admin.options", boxes, "session", ADMIN, chosen)
    for model in admin.site._registry:
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        chosen = {"action": "delete_selected", "index": "0", "_selected_action": ID, "post": "yes"}
        yield Try("django.contrib.admin.options", "{helpers.ACTION_CHECKBOX_NAME}", "user", path, chosen)
    for name in ("groups", "user_permissions"):
        person = {"username": "mallory", "is_staff": "on", "is_superuser": "on"}
        for path in ("add/", "{owner}/change/", "{owner}/delete/", "{owner}/password/"):
            yield Try("admin auth.User", name, "group", f"/admin/auth/user/{path}", person)
    for path in ("add/", "{group}/change/", "{group}/delete/"):
        yield Try("admin auth.Group", "permissions", "group", f"/admin/auth/group/{path}", {"name": "mine"})


# --- asking -------------------------------------------------------------------------------------------------------


def plain(text: str, *ids: Any) -> str:
    """An answer without ids and without what differs from request to request."""
    for one in ids:
        text = text.replace(one, "ID") if isinstance(one, str) else text
    text = re.sub(IDS, "ID", text)
    return re.sub(r'(?:name="csrfmiddlewaretoken" value=|nonce-|data-moved=|data-at=)"?[\w:.+-]+', "", text)


def form(given: dict[str, Any], value: Any, turn: int) -> aiohttp.FormData:
    """A body with these values in the places of ID and OWN; a list in the place of ID is sent as several."""
    made = aiohttp.FormData()
    made.add_field("csrfmiddlewaretoken", CSRF)
    for name, one in given.items():
        stands = value if one is ID else turn if one is OWN else one
        for each in stands if isinstance(stands, list) else [stands]:
            if name == "file":
                made.add_field(name, str(each).encode(), filename="conversations.json", content_type="application/json")
            else:
                made.add_field(name, str(each))
    return made


@dataclass(frozen=True, slots=True)
class Answer:
    """What came for one body, as it is compared; `place` is the conversation that it was about, or made."""

    status: int
    headers: dict[str, str]
    text: str
    place: str = ""

    def unlike(self, other: "Answer", rows: bool) -> list[str]:
        """What tells two answers apart; of lists, the lines that only one of them has."""
        mine, others = self.text.splitlines(), other.text.splitlines()
        if rows:
            mine, others = sorted(set(mine)), sorted(set(others))
        found = list(difflib.unified_diff(mine, others, "hers", "nobody's", n=0, lineterm=""))
        if (self.status, self.headers) != (other.status, other.headers):
            found += [f"{self.status} {self.headers}", f"{other.status} {other.headers}"]
        return found


async def ask(url: str, cookie: str, one: Try, value: Any, **where: Any) -> Answer:
    """One request, in a browser that has no other cookies: a message to whoever made the last one is not for this."""
    cookies = {"csrftoken": CSRF} | ({} if one.anonymous else {"sessionid": cookie})
    client = aiohttp.ClientSession(cookies=cookies, cookie_jar=aiohttp.CookieJar(unsafe=True))
    path = url + one.path.format(**where)
    async with (
        client,
        client.post(path, data=form(one.body, value, where["turn"]), headers=one.headers, allow_redirects=False) as got,
    ):
        text, to = await got.text(), got.headers.get("Location", "")
        kept = {name: given for name, given in got.headers.items() if name.startswith("HX-") or name == "Location"}
        if one.follow:
            assert got.status == 302
            async with client.get(url + to) as page:
                assert page.status == 200
                text += await page.text()
        found = re.search(r"/c/([0-9a-f-]{36})/", json.dumps(kept) + text) if one.path == "/new/" else None
        place = found[1] if found else str(where.get("place", ""))
        values = value if isinstance(value, list) else [value]
        kept = {name: plain(given, *values) for name, given in kept.items()}
        assert SECRET not in text.replace(str(value), "")
        return Answer(got.status, kept, plain(text, *values), place)


# --- the site -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Scene:
    """A site at which both have been answered, and at which nothing is answered any more: what is sent waits.

    `home` is bob's conversation with its turn, `spare` are others that are just like it.
    """

    own: Any
    url: str
    hers: dict[str, Any]
    nobodys: dict[str, Any]
    cookies: dict[str, str]
    home: dict[str, Any]
    spare: list[dict[str, Any]]

    async def both(self, one: Try, who: str) -> tuple[Answer, Answer]:
        """What comes for hers and for nobody's: each in a conversation of its own, if it acts."""
        found = []
        for ids in (self.hers, self.nobodys):
            place = self.spare.pop() if one.acts and "{place}" in one.path else self.home
            if one.deleted:
                sql = "UPDATE chat_chatsession SET deleted_at = updated_at WHERE id = %s"
                self.own.rows(sql, UUID(place["place"]).hex)
            # One that he has used before is his.
            value = str(uuid4()) if ids is self.nobodys and one.kind == "client_id" else ids[one.kind]
            where = place | {"owner": self.hers["user"], "group": self.hers["group"]}
            found.append(await ask(self.url, self.cookies[who], one, value, **where))
        return found[0], found[1]


def export(uuid: Any, words: str) -> str:
    """A conversation as another service gives it out."""
    said = [("human", f"Where shall we go in {words}?"), ("assistant", "To the sea.")]
    messages = [{"uuid": f"m{n}", "sender": who, "text": text} for n, (who, text) in enumerate(said)]
    return json.dumps([{"uuid": str(uuid), "name": "A trip", "chat_messages": messages}])


def nobodys(hers: dict[str, Any]) -> dict[str, Any]:
    """The same kinds with ids that never were."""
    words = {"email": "nobody@example.org", "username": "nobody", "file": export(uuid4(), "Mai")}
    numbers = {name: NEVER for name, known in hers.items() if isinstance(known, int)}
    return {
        **{name: str(uuid4()) for name in ("session", "client_id")},
        **numbers,
        **words,
        "versions": [NEVER, NEVER + 1],
    }


async def scene(site: Any, pages: Any, count: int) -> Scene:
    """With `count` spare conversations."""
    own = site("sqlite")
    far_ids(own)
    for table in ("audit", "batch"):
        own.rows("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, 780000)", f"chat_{table}")
    web = await asyncio.to_thread(own.web)
    (page,) = await pages(own, web.url)
    (bobs_page,) = await pages(own, web.url, name="bob")
    call, _ = await page.send_and_read(PROMPT)
    bobs, _ = await bobs_page.send_and_read("What bob says")
    await seen(own, page, bobs_page)
    for one in (page, bobs_page):
        await one.__aexit__()
    await asyncio.to_thread(web.terminate)
    known = belongings.make(own, "alice", call.turn, SECRET)
    made = twins.make(own, call.turn, bobs.turn, SECRET, export(page.session, "May"), belongings.FROM, count)
    hers = known | made | {"turn": call.turn, "versions": [made["before"], made["summary"]]}
    web = await asyncio.to_thread(own.web, runner=False)
    return Scene(
        own,
        web.url,
        hers,
        nobodys(hers),
        {"bob": own.person("bob").cookie} | made["cookies"],
        {"place": str(bobs_page.session), "turn": bobs.turn},
        [{"place": place, "turn": turn} for place, turn in made["twins"]],
    )


def places(tries: list[Try]) -> int:
    """How many spare conversations these take."""
    return 2 * sum(one.acts and "{place}" in one.path for one in tries)


# --- what is tried ------------------------------------------------------------------------------------------------

IN_FRAMES = {"client_id": "client_id", "documents": "document", "base": "turn"}
"""Fields of a message by socket, each with its kind; the others are tried in test_a01_strangers."""


def test_every_field_that_the_site_reads_from_a_body_is_decided_about():
    found = bodies.read(bodies.sources())
    decided = {(where, name) for where, names in fields.FIELDS.items() for name in names}
    assert decided == found.names | bodies.declared()
    assert set(fields.WHOLE) == found.whole
    assert set(fields.WHOLE.values()) <= {"", *fields.FIELDS}


def test_every_field_that_names_a_row_is_tried():
    in_frames = {("frame send", name) for name in IN_FRAMES}
    assert {one.field for one in of_people()} | in_frames == fields.named(fields.TRIED)
    assert {one.field for one in of_surgeons()} == fields.named(fields.BY_STAFF)
    assert {one.field for one in of_viewers()} == fields.named(fields.BY_STAFF, fields.RIGHT)
    kinds = {f"frame {kind.type}": kind for kind in (inbound.Hello, inbound.Send, inbound.Ack, inbound.Stop)}
    for where, name in fields.named(fields.A02):
        assert all(name in frame for frame in variants(kinds[where], uuid4(), 1))


PLANTED = [
    ("def view(request): request.POST.get('owner')", "owner"),
    ("def view(request): return request.POST.getlist('owners', [])", "owners"),
    ("def view(request): return request.FILES['picture']", "picture"),
    ("def view(request): return 'sharer' in request.POST", "sharer"),
    ("def view(request):\n    given = request.POST if request.method == 'POST' else {}\n    given.get('a')", "a"),
    ("def view(request):\n    given = request.POST.copy()\n    given['b']", "b"),
    ("def read(fields: QueryDict): return fields.get('c')", "c"),
    ("class View:\n    def post(self): return self.request.POST.get(NAME)", "{NAME}"),
]


@pytest.mark.parametrize(("source", "name"), PLANTED)
def test_a_new_field_is_found_however_it_is_read(source: str, name: str) -> None:
    assert bodies.read({"planted": source}).names == {("planted", name)}


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("def view(request): Form(request.POST, prefix='x').save()", "Form(request.POST, prefix='x')"),
        ("def view(request):\n    given = request.POST or None\n    read(given)", "read(given)"),
        ("def view(request: HttpRequest): json.loads(request.body)", "json.loads(request.body)"),
        ("def view(request): return dict(request.POST.items())", "dict(request.POST.items())"),
    ],
)
def test_a_place_to_which_a_whole_body_goes_is_found(source: str, place: str) -> None:
    assert bodies.read({"planted": source}).whole == {("planted", place)}


async def test_a01_in_every_body_a_foreign_id_is_like_one_that_never_was(site, pages):
    tries = list(of_people())
    stage = await scene(site, pages, places(tries) + 2 * len(IN_FRAMES))
    read = partial(asyncio.to_thread, twins.rows, stage.own)
    before = await read()
    for one in (one for one in tries if not one.acts):
        theirs, random = await stage.both(one, "bob")
        assert theirs.unlike(random, one.rows) == [], one
        assert random.status == (404 if one.path != "/choices/" else 200), one
    assert (await read()).changed(before) == set()
    pairs = []
    for one in (one for one in tries if one.acts):
        theirs, random = await stage.both(one, "bob")
        assert theirs.unlike(random, one.rows) == [], one
        assert random.status in (200, 302), one
        pairs.append((one, theirs.place, random.place))
    pairs += [(name, *await in_frames(stage, pages, name)) for name in IN_FRAMES]
    after = await read(*(place for _, *both in pairs for place in both if place))
    assert after.hers == before.hers
    for one, theirs, random in pairs:
        assert after.places.get(theirs) == after.places.get(random), one
        assert not any("HERS" in row for row in after.places.get(theirs, [])), one
    told = f"{len(tries) + len(IN_FRAMES)} bodies with a foreign id in {len(fields.named(fields.TRIED))} fields"
    measured("A1", f"{told}: answered unlike a random id", 0)


async def in_frames(stage: Scene, pages: Any, name: str) -> list[str]:
    """A message by socket with hers and with nobody's; the conversations in which it was sent."""
    said, found = [], []
    for ids in (stage.hers, stage.nobodys):
        place = stage.spare.pop()["place"]
        value = ids[IN_FRAMES[name]]
        given = {"client_id": UUID(value)} if name == "client_id" else {name: [value] if name == "documents" else value}
        (page,) = await pages(stage.own, stage.url, name="bob", sessions=[UUID(place)], history=History())
        call = await page.send(PROMPT, **given)
        said.append((call.outcome, call.code, call.number, call.duplicates))
        found.append(place)
    assert said[0] == said[1], name
    assert said[0][0] == "ok", name
    return found


async def test_a01_staff_reach_rows_of_the_conversation_at_hand_and_with_their_permission_only(site, pages):
    stage = await scene(site, pages, 0)
    read = partial(asyncio.to_thread, twins.rows, stage.own)
    before = await read()
    looked = list(of_viewers())
    for one in looked:
        # That nobody learns from the refusal which rows there are.
        theirs, random = await stage.both(one, "vic")
        assert (theirs.status, random.status) == (403, 403), one
        assert theirs.unlike(random, one.rows) == [], one
    assert (await read()).changed(before) == set()
    operated = list(of_surgeons())
    for one in operated:
        theirs, random = await stage.both(one, "sofia")
        assert theirs.unlike(random, one.rows) == [], one
        assert random.status == (302 if one.begins else 409 if one.data.get("step") else 200), one
    # Whoever reads a user's words leaves an entry, also where there were none.
    after = await read()
    assert after.changed(before) == {"chat.Audit", "chat.Batch", "chat.BatchItem", "chat.Job"}
    assert after.hers == before.hers
    measured("A1", f"{len(looked)} bodies of staff who may only look: not refused", 0)
    measured(
        "A1", f"{len(operated)} bodies of staff with a row of another conversation: answered unlike a random id", 0
    )
