"""Daphne's server without what its libraries load and never use here: 13 MB of a process.

Twisted loads pyOpenSSL, and that all of `cryptography`, for ports with TLS: here the proxy in front has those, and
without pyOpenSSL Twisted does without TLS by itself. Autobahn's package for Twisted loads WAMP, a protocol above
websockets that daphne knows nothing of.
"""

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

from django.utils.module_loading import import_string


def leave_out() -> None:
    """What is loaded already stays: this belongs before the first import of daphne."""
    modules: dict[str, Any] = sys.modules
    # None is how Python marks what can't be imported.
    modules.setdefault("OpenSSL", None)
    name = "autobahn.twisted"
    spec = find_spec(name) if name not in modules else None
    if spec:
        # The package with its modules, but without what its own beginning would import.
        modules[name] = module_from_spec(spec)


leave_out()

# By name, because what stands above must come before it. It installs the reactor that shares asyncio's one loop.
Server: Any = import_string("daphne.server.Server")
