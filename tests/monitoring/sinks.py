"""Where messages about alerts arrive in tests: a mail server and a webhook, of this process."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.header import decode_header, make_header
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Mail(socketserver.StreamRequestHandler):
    """As much of SMTP as a sender needs."""

    timeout = 10
    server: Any

    def handle(self) -> None:
        self._say("220 sink")
        while line := self.rfile.readline(2_000):
            word = line[:4].upper().strip()
            if word == b"DATA":
                self._say("354 go on")
                lines = []
                while (line := self.rfile.readline(10_000)) not in (b".\r\n", b""):
                    lines.append(line)
                self.server.got.append(message_from_bytes(b"".join(lines)))
            elif word == b"QUIT":
                self._say("221 bye")
                return
            self._say("250 fine")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class _Hook(BaseHTTPRequestHandler):
    """Takes what is posted; the last part of the path says what it answers."""

    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        code = int(self.path.rpartition("/")[2] or 200)
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Nothing on standard error."""


@contextmanager
def _serving(server: Any) -> Iterator[Any]:
    server.got, server.daemon_threads = [], True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def mail() -> Any:
    """A mail server on a port of its own; `got` holds the letters."""
    return _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail))


def hook() -> Any:
    """A webhook on a port of its own; `got` holds (path, headers, body)."""
    return _serving(ThreadingHTTPServer(("127.0.0.1", 0), _Hook))


def subjects(server: Any) -> list[str]:
    """What the letters are about."""
    return [str(make_header(decode_header(letter["Subject"]))) for letter in server.got]


def events(server: Any) -> list[str]:
    """What the webhook was told."""
    return [json.loads(body)["event"] for _, _, body in server.got]
