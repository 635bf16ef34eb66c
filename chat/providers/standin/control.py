"""A second door to a stand-in that runs as a process of its own: what a test scripts, and what it may know.

GET /log?since=N        the records from the N-th on, each with its place `index`
POST /faults            script one fault (the fields of `Fault`); DELETE /faults forgets what has not happened yet
POST /settings          change `window`, `delay_ms`, `first_ms`, `keep_bodies`, `summary_mode`, `summary_delay`, `keys`
Loopback only, JSON only; never open where the stand-in is anything but a test's.
"""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from .server import StandIn

SETTINGS = ("window", "delay_ms", "first_ms", "keep_bodies", "summary_mode", "summary_delay", "cache_minimum", "keys")


class Control:
    """The control door of one stand-in."""

    def __init__(self, standin: StandIn) -> None:
        self._standin = standin
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> int:
        """Listen on loopback; port 0 takes a free one. Returns the port. OSError when it is taken."""
        app = web.Application()
        app.router.add_get("/log", self._log)
        app.router.add_post("/faults", self._add_fault)
        app.router.add_delete("/faults", self._clear_faults)
        app.router.add_post("/settings", self._change)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _log(self, http: web.Request) -> web.Response:
        since = int(http.query.get("since", "0"))
        records = list(enumerate(self._standin.log))[since:]
        return web.json_response([{"index": index, **asdict(record)} for index, record in records])

    async def _add_fault(self, http: web.Request) -> web.Response:
        fields: dict[str, Any] = await http.json()
        try:
            self._standin.faults.add(fields.pop("kind"), **fields)
        except (KeyError, TypeError) as error:
            raise web.HTTPBadRequest(text=f"not a fault: {error}") from error
        return web.json_response({"waiting": len(self._standin.faults)})

    async def _clear_faults(self, http: web.Request) -> web.Response:
        self._standin.faults.clear()
        return web.json_response({"waiting": 0})

    async def _change(self, http: web.Request) -> web.Response:
        for name, value in (await http.json()).items():
            if name not in SETTINGS:
                raise web.HTTPBadRequest(text=f"{name} is none of {', '.join(SETTINGS)}")
            setattr(self._standin, name, value)
        return web.json_response({name: getattr(self._standin, name) for name in SETTINGS})
