"""The import law holds, and the test that says so would notice a breach."""

import pytest

from tests import law

HOUSE = law.sources()
LINES = 440


def planted(module: str, source: str) -> list[str]:
    """What the law finds anew when `source` is added as, or appended to, `module` of the real house."""
    old = HOUSE.get(module, "")
    known = law.breaches(module, old, HOUSE) if module in HOUSE else []
    new = f"{old}\n{source}"
    return [sentence for sentence in law.breaches(module, new, HOUSE | {module: new}) if sentence not in known]


def test_nobody_breaks_the_law():
    assert law.violations(HOUSE) == []


BREACHES = [
    ("chat.context.planted", "import django", "standard library only"),
    ("chat.context.planted", "from structlog import get_logger", "standard library only"),
    ("chat.context.planted", "import time", "no clock"),
    ("chat.context.planted", "from chat.store import loading", "store is above it"),
    ("chat.context.planted", "from ..flow import turns", "flow is above it"),
    ("chat.stream.planted", "from chat.providers import base", "providers is its peer"),
    ("chat.stream.planted", "import chat.models", "models is its peer"),
    ("chat.providers.planted", "from chat import models", "models is its peer"),
    ("chat.models.planted", "from chat.stream import rendering", "stream is its peer"),
    ("chat.migrations.planted", "from chat.flow import turns", "flow is above it"),
    ("chat.store.planted", "from chat.flow import turns", "flow is above it"),
    ("chat.flow.planted", "from chat import service", "service is above it"),
    ("chat.flow.planted", "from chat.web import views", "web is above it"),
    ("chat.service", "from chat.web import routing", "web is above it"),
    ("chat.admin", "from chat.management import commands", "management is its peer"),
    ("chat.utils", "", "no place in the house"),
    ("chat.stream.hub", "from django.db import connection", "knows no database"),
    ("chat.providers.planted", "import anthropic", "only chat/providers/anthropic.py"),
    ("chat.providers.standin.planted", "from anthropic.types import Message", "only chat/providers/anthropic.py"),
    ("monitoring.planted", "from chat.models import ChatSession", "knows nothing of chat"),
    ("monitoring.planted", "from ctxsite import settings", "imports the wiring"),
    ("chat.web.planted", "from monitoring import recording", "only monitoring.recording"),
    ("chat.flow.planted", "from monitoring import models", "only monitoring.recording"),
    ("chat.flow.planted", "import monitoring.models", "only monitoring.recording"),
    ("chat.flow.planted", "def f():\n    from chat.store import loading", "inside a function"),
    ("monitoring.planted", "class A:\n    async def f(self):\n        import json", "inside a function"),
    ("chat.flow.planted", "import importlib\nimportlib.import_module('chat.web')", "by name at run time"),
    (
        "chat.flow.planted",
        "from django.utils.module_loading import import_string\nimport_string('chat.web.views.home')",
        "by name at run time",
    ),
    ("chat.web.planted", "import os\nKEY = os.environ['KEY']", "reads the environment"),
    ("chat.web.planted", "from os import getenv", "reads the environment"),
    ("monitoring.planted", "import environ", "reads the environment"),
    ("ctxsite.asgi", "import os\nos.environ.setdefault('OTHER', '1')", "reads the environment"),
    ("chat.web.planted", "from tests import conftest", "imports from the tests"),
]


@pytest.mark.parametrize(("module", "source", "sentence"), BREACHES)
def test_a_planted_breach_is_found(module, source, sentence):
    assert any(sentence in found for found in planted(module, source)), planted(module, source)


ALLOWED = [
    ("chat.context.planted", "import re\nfrom chat.context import values\nfrom . import values"),
    ("chat.providers.anthropic", "import anthropic\nfrom chat.context import values"),
    ("chat.stream.planted", "from chat.context.values import Turn"),
    ("chat.flow.planted", "from monitoring import recording\nfrom chat.store import loading\nfrom chat import models"),
    ("chat.service", "from monitoring import recording\nfrom chat.flow import turns"),
    ("chat.management.planted", "from monitoring import checking"),
    ("chat.web.planted", "from chat import service"),
    (
        "chat.flow.planted",
        "from django.conf import settings\nfrom django.utils.module_loading import import_string\n"
        "def f():\n    return import_string(settings.CHAT_IN_REDIS['bus'])",
    ),
    ("chat.apps", "def ready():\n    from chat.models import guards"),
    ("ctxsite.serve", "from chat import service"),
]


@pytest.mark.parametrize(("module", "source"), ALLOWED)
def test_what_the_law_allows_is_not_found(module, source):
    assert planted(module, source) == []


def test_the_whole_house_is_read():
    assert {"manage", "ctxsite.settings", "chat.context.values", "chat.models", "monitoring.apps"} <= HOUSE.keys()


@pytest.mark.parametrize("module", sorted(HOUSE))
def test_a_file_holds_one_idea(module):
    """A file over about 400 lines nearly always holds two (migrations are generated)."""
    assert ".migrations." in module or len(HOUSE[module].splitlines()) <= LINES
