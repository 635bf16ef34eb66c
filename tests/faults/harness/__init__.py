"""Real processes, real servers, a stand-in for the model, a bad network, and clients that remember what they saw."""

from tests.faults.harness.databases import PASSWORD, Person, PostgreSQL, SQLite
from tests.faults.harness.history import Call, History
from tests.faults.harness.measured import measured, percentile
from tests.faults.harness.page import Page
from tests.faults.harness.processes import Process, Web, Worker
from tests.faults.harness.proxy import Proxy
from tests.faults.harness.reply import Reply
from tests.faults.harness.site import ORIGIN, Site
from tests.faults.harness.upstream import Upstream
from tests.faults.harness.waiting import eventually
from tests.faults.harness.web import field, offered, post, post_form, sign_in, turn

__all__ = [
    "ORIGIN",
    "PASSWORD",
    "Call",
    "History",
    "Page",
    "Person",
    "PostgreSQL",
    "Process",
    "Proxy",
    "Reply",
    "SQLite",
    "Site",
    "Upstream",
    "Web",
    "Worker",
    "eventually",
    "field",
    "measured",
    "offered",
    "percentile",
    "post",
    "post_form",
    "sign_in",
    "turn",
]
