"""The web process: daphne's server with our start and our end. `python -m ctxsite.serve`

Daphne alone cuts its sockets on SIGTERM without a close frame and loses what runs. Here a signal drains the
service first: sockets get `bye` and 4012, running turns end or are released. The exit is 0, within 5 s. A second
signal ends it at once.
"""

# First: it installs the reactor that shares asyncio's one loop.
from ctxsite.rounds import Rounds  # isort: skip

# Second: it loads the apps, which the imports below need.
from ctxsite.asgi import application  # isort: skip

import asyncio
import gc
import os
import sys
import threading
from typing import Any

import structlog
from django.conf import settings
from twisted.internet import reactor

from chat import service
from ctxsite import eager, ending, sockets, tidying
from monitoring.loop import Loop

log = structlog.get_logger(__name__)

DRAIN_S = 4.0  # the service's own share of the 5 s: 3 s of waiting, then turns are handed over
EXIT_S = 4.4  # by then the process ends, whatever still hangs in a thread


class Site(Rounds):
    """Daphne's server with the two ends that it lacks."""

    failed = False
    tidying: asyncio.Task[None] | None = None
    watching: Loop | None = None

    def listen_error(self, failure: Any) -> None:
        """Say which address could not be had, and end with an error."""
        self.failed = True
        print(f"Cannot listen on {address()}: {failure.getErrorMessage()}", file=sys.stderr)
        self.stop()

    def kill_all_applications(self) -> Any:
        """Cancel what still runs. A connection in the middle of its handshake has no application yet, and daphne's
        own method would stumble over it and cancel nothing."""
        self.connections = {
            protocol: details for protocol, details in self.connections.items() if "application_instance" in details
        }
        return super().kill_all_applications()

    def create_application(self, protocol: Any, scope: Any) -> Any:
        """As daphne's; a socket's application may answer some frames without a task's turn."""
        if isinstance(protocol, sockets.Socket):
            scope["answer_with"] = protocol.answer_with
        return super().create_application(protocol, scope)

    async def begin(self) -> None:
        """Start the service on the server's own loop."""
        try:
            await service.start()
        except Exception:
            log.exception("service_not_started")
            self.failed = True
            self.stop()
            return
        # What was imported never becomes garbage. Looking through all of it again and again is what a full
        # collection spends its time on, and every stream stands still meanwhile.
        gc.collect()
        gc.freeze()
        self.tidying = asyncio.get_running_loop().create_task(tidying.tidy(live_turns), name="tidying")
        if settings.MONITORING_LOOP:
            self.watching = Loop()
            self.watching.start()
        print(f"Serving on http://{address()} (Ctrl-C stops it)", flush=True)

    async def end(self) -> None:
        """Drain and stop the service, then the reactor."""
        if self.tidying:
            self.tidying.cancel()
        if self.watching:
            # It gives its lease back while the sockets are sent away.
            self.watching.stop(wait_s=0)
        try:
            async with asyncio.timeout(DRAIN_S):
                await ending.drain()
                await service.stop()
        except Exception:
            log.exception("service_not_drained")
        self.stop()


def live_turns() -> int:
    """How many replies this process passes on."""
    return service.current().hub.live_turns if service.running() else 0


def address() -> str:
    """Host and port as they stand in a URL."""
    host = settings.SERVE_HOST
    return f"{f'[{host}]' if ':' in host else host}:{settings.SERVE_PORT}"


def main() -> int:
    """Serve until a signal. Returns the exit code."""
    interface = settings.SERVE_HOST.replace(":", r"\:")
    site = Site(
        application,
        endpoints=[f"tcp:port={settings.SERVE_PORT}:interface={interface}"],
        signal_handlers=False,
        server_name="",
    )
    tasks: set[asyncio.Task[None]] = set()

    def keep(coroutine: Any) -> None:
        # The loop holds tasks weakly.
        task = asyncio.get_event_loop().create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def on_signal(number: int) -> None:
        last = threading.Timer(EXIT_S, os._exit, (0,))
        last.daemon = True
        last.start()
        keep(site.end())

    def on_running() -> None:
        # The reactor is started a moment before its loop runs: `get_running_loop` would raise here.
        site.ws_factory.protocol = sockets.of(site.ws_factory)
        ending.Signals(on_signal).listen(asyncio.get_event_loop())
        keep(site.begin())

    reactor.callWhenRunning(on_running)
    eager.install()
    site.run()
    return 1 if site.failed else 0


if __name__ == "__main__":
    sys.exit(main())
