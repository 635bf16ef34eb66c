"""A message sent to an address that a setting names, without letting it reach where it should not.

Only http and https, no name or password in the address, no redirect followed, a bounded time and a bounded answer.
The host is looked up once, every address that it has must be public, and the connection goes to one of those that
were looked at: a name that changes its mind meanwhile gains nothing. A host that MONITORING_WEBHOOK_HOSTS names may be
private.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from urllib.parse import SplitResult, urlsplit

TIMEOUT_S = 10.0
MOST_ANSWER = 64 * 1024  # bytes of an answer that are read; what it says is not kept
MOST_BODY = 64 * 1024


class NotSent(Exception):
    """A message did not arrive. Its text is a code; `again` says whether trying again may help."""

    def __init__(self, code: str, *, again: bool = True):
        super().__init__(code)
        self.again = again


def post(
    url: str,
    body: bytes,
    headers: dict[str, str],
    *,
    private: frozenset[str] = frozenset(),
    timeout_s: float = TIMEOUT_S,
) -> int:
    """Send `body`; the status when it was taken (2xx). Raises NotSent; `timeout_s` seconds bound the whole."""
    ends = time.monotonic() + timeout_s
    parts = _checked(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(host, port, private=host in private)
    connection = _connection(parts.scheme, host, port, address, timeout_s)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, headers)
        _hurry(connection, ends)
        answer = connection.getresponse()
        read = 0
        while read < MOST_ANSWER and (piece := answer.read1(8_192)):
            read += len(piece)
            _hurry(connection, ends)
    except TimeoutError as error:
        raise NotSent("timeout") from error
    except ssl.SSLError as error:
        raise NotSent("tls") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotSent("unreachable") from error
    finally:
        connection.close()
    if 200 <= answer.status < 300:
        return answer.status
    raise NotSent(f"status_{answer.status}", again=answer.status in (408, 425, 429) or answer.status >= 500)


def _hurry(connection: http.client.HTTPConnection, ends: float) -> None:
    """Who sends a byte now and then doesn't get longer than the whole may take."""
    left = ends - time.monotonic()
    if left <= 0:
        raise NotSent("timeout")
    if connection.sock:
        connection.sock.settimeout(left)


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise NotSent("bad_address", again=False) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password or port == 0:
        raise NotSent("bad_address", again=False)
    return parts


def _address(host: str, port: int, *, private: bool) -> str:
    """The address to connect to. All of a host's addresses must be public: one private among them is a trick."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotSent("unknown_host") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses:
        raise NotSent("unknown_host")
    if not private and not all(is_public(address) for address in addresses):
        raise NotSent("private_address", again=False)
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet: not loopback, private, link-local, multicast or reserved."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # An IPv4 address in other clothes is what it is inside.
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None or ip in ipaddress.ip_network("64:ff9b::/96"):
            return inner is not None and is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class _Plain(http.client.HTTPConnection):
    """A connection to one address, whatever the host's name means by now."""

    address = ""

    def connect(self) -> None:
        self.sock = socket.create_connection((self.address, self.port), self.timeout)


class _Secure(http.client.HTTPSConnection):
    """The same, with the certificate checked against the host's name."""

    address = ""
    context: ssl.SSLContext

    def connect(self) -> None:
        plain = socket.create_connection((self.address, self.port), self.timeout)
        try:
            self.sock = self.context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def _connection(scheme: str, host: str, port: int, address: str, timeout_s: float) -> http.client.HTTPConnection:
    if scheme == "http":
        plain = _Plain(host, port, timeout=timeout_s)
        plain.address = address
        return plain
    context = ssl.create_default_context()
    secure = _Secure(host, port, timeout=timeout_s, context=context)
    secure.address, secure.context = address, context
    return secure
