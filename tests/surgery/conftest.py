"""A conversation that surgery has something to do on: summaries, pins, documents, facts; and those who may do it."""

import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import transaction

from chat import service
from chat.context.assembly import assemble
from chat.context.tokens import Counter
from chat.context.values import Prompt, body_sha256
from chat.context.window import WindowLimits
from chat.flow import engine
from chat.models import ChatSession, Document, Fact
from chat.providers.base import ModelInfo
from chat.service import Service
from chat.store import branches, facts, integrity, loading, marks, summaries
from chat.store.loading import LoadLimits
from tests.store.building import compress, conversation, draft, merge, reread, turn

LIMITS = LoadLimits(turns=400, tokens=1_000_000)
WINDOW = 16_000
Start = Callable[..., Awaitable[Service]]


def patient(owner: Any) -> ChatSession:
    """Thirty turns of 100 tokens: 1-8 merged, 9-14 summarised, 3 pinned, 5 excluded by an operator; a document with
    turn 20; a fact found in turn 2 and one that somebody told."""
    session = conversation(owner, 30, title="A coffee machine")
    for one in ((1, 4), (5, 8), (9, 14)):
        compress(session, one)
    merge(session, 1, 8)
    again = draft(session, 9, 14, tokens=30)
    assert summaries.commit(session.pk, [again.pk], window_from=15, merge=True)
    marks.pin(session.pk, turn(session, 3).pk, most=10_000)
    marks.exclude(session.pk, turn(session, 25).pk, by="operator")
    Document.objects.create(
        session=session, turn=turn(session, 20), name="a.txt", kind="text", text="The serial number is 55.",
        digest=hashlib.sha256(b"x").hexdigest(), size=24, tokens=12, since=1,
    )  # fmt: skip
    Fact.objects.create(session=session, kind="number", value="A-7731", quote="It is A-7731", turn=turn(session, 2))
    facts.add(session.pk, "Deliveries go to the back door.", count=len, most=10_000)
    return reread(session)


def next_request(session: ChatSession) -> str:
    """The hash of the body that the next message would be sent with, to the byte."""
    return body_sha256(next_body(session))


def next_body(session: ChatSession) -> dict[str, Any]:
    """The body itself. Nothing stays of it."""
    with transaction.atomic():
        row = reread(session)
        opened = branches.new_turn(row, prompt="And now?", client_id=uuid.uuid4(), tokens=5)
        found = loading.load(opened.pk, lambda plan: LIMITS)
        budget = engine.split(ModelInfo(id=found.model, window=WINDOW), 10)
        most = found.window_messages or (20 if engine.slides(found) else None)
        made = assemble(
            found.history,
            Prompt(text="And now?", number=found.number),
            budget,
            Counter(),
            model=found.model,
            limits=WindowLimits(max_messages=most, batch_messages=10),
        )
        transaction.set_rollback(True)
    return made.request.body()


@pytest.fixture(scope="module")
def admitted(django_db_setup: None, django_db_blocker: Any) -> Iterator[ChatSession]:
    """One for all tests of a module, each of which leaves it as it was: to make it takes longer than most of them."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield patient(get_user_model()._default_manager.create_user("alma"))
        transaction.set_rollback(True)


@pytest.fixture
def session(admitted: ChatSession, db: None) -> ChatSession:
    return reread(admitted)


@pytest.fixture
def surgeon(django_user_model: Any) -> Any:
    """Staff who may do everything there is."""
    user = django_user_model.objects.create_user("sofia", is_staff=True)
    user.groups.add(Group.objects.get(name="surgeon"))
    return user


@pytest.fixture
def viewer(django_user_model: Any) -> Any:
    """Staff who may look."""
    user = django_user_model.objects.create_user("vic", is_staff=True)
    user.groups.add(Group.objects.get(name="viewer"))
    return user


@pytest.fixture
def demoted(django_user_model: Any) -> Any:
    """Who was a surgeon, and is staff no more."""
    user = django_user_model.objects.create_user("dora")
    user.groups.add(Group.objects.get(name="surgeon"))
    return user


@pytest.fixture
def foreign(django_user_model: Any) -> Callable[[str], Any]:
    """`foreign(permission)`: a surgeon of another trade, who may do everything but what takes this permission."""

    def without(permission: str) -> Any:
        user = django_user_model.objects.create_user(f"fiona-{permission}", is_staff=True)
        every = Permission.objects.filter(content_type__app_label="chat")
        user.user_permissions.set(every.exclude(codename=permission.partition(".")[2]))
        return user

    return without


@pytest.fixture
async def start(transactional_db: None, settings: Any) -> AsyncIterator[Start]:
    """`await start()`: a service that does jobs, and sweeps only when it is told to."""
    settings.CHAT_SWEEP_S = 3600.0

    async def begin(*, run_jobs: bool = True) -> Service:
        return await service.start(run_turns=False, run_jobs=run_jobs, sweep=False, standin_options={"first_ms": 0})

    yield begin
    await service.stop()
    assert integrity.violations() == []
