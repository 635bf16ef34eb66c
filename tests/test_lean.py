"""The serving process loads nothing that costs megabytes and is never used."""

import os
import subprocess
import sys
from pathlib import Path

from tests.law import ROOT

NEEDLESS = {"OpenSSL", "cryptography", "autobahn.twisted.wamp", "redis", "limits", "psycopg"}
# Only where MONITORING_OTEL asks for it.
NEEDLESS |= {"opentelemetry.sdk", "opentelemetry.exporter", "google.protobuf", "monitoring.telemetry"}
LOADED = "import ctxsite.serve, sys; print(*[name for name, module in sys.modules.items() if module])"


def test_a_server_on_sqlite_without_redis_loads_no_driver_of_others_and_no_tls(tmp_path: Path) -> None:
    own = {"DJANGO_SETTINGS_MODULE": "ctxsite.settings", "CHAT_VAR_DIR": str(tmp_path), "REDIS_URL": ""}
    own["DATABASE_URL"] = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    child = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, env=os.environ | own, capture_output=True, text=True, check=True
    )
    loaded = set(child.stdout.split())
    assert loaded & NEEDLESS == set()
    # What the first request, the first socket and the first reply need is there before them.
    assert {"daphne.ws_protocol", "chat.web.consumers", "anthropic", "aiohttp"} - loaded == set()
