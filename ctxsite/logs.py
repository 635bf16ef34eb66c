"""Structured logs: one JSON object a line, fields only, never a user's words.

Exceptions are logged by type and place. Their messages are left out: a database driver quotes the row that it
refused, and an SDK the request that failed.
"""

import logging
import re
import sys
import traceback
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

FRAMES = 12
# What opens something to whoever has it: a shared conversation, a new password, a changed address.
SECRETS = re.compile(r"(/s/|/accounts/password/[^/]+/|/account/email/)[^/]+/")
PROBES = {f"{method} {path}" for method in ("GET", "HEAD") for path in ("/healthz", "/readyz", "/metrics")}


def describe_exception(_: Any, __: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the chain of exception types and the innermost frames, without any message."""
    given = event.pop("exc_info", None)
    if not given:
        return event
    error = given if isinstance(given, BaseException) else given[1] if isinstance(given, tuple) else sys.exc_info()[1]
    if error is None:
        return event
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    event["error_at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    chain: list[str] = []
    while error is not None and len(chain) < FRAMES:
        chain.append(f"{type(error).__module__}.{type(error).__qualname__}")
        error = error.__cause__ or error.__context__
    event["error"] = chain
    return event


def narrow_request(_: Any, __: str, event: EventDict) -> EventDict:
    """Keep method and path of a request, without what is secret in it. A query string can hold what somebody
    searched for.

    A load balancer's probe, or a scrape, that went well is no news.
    """
    if isinstance(request := event.get("request"), str):
        event["request"] = SECRETS.sub(r"\1…/", request.partition("?")[0])
        if event["request"] in PROBES and event.get("code") == 200:
            raise structlog.DropEvent
    event.pop("user_agent", None)
    return event


def narrow_library(_: Any, __: str, event: EventDict) -> EventDict:
    """The sentences of libraries, without an exception's message in them: daphne puts the error itself into its own,
    asyncio goes on for lines about what a task ended with."""
    record, given = event["_record"], event.pop("positional_args")
    if isinstance(given, tuple) and any(isinstance(one, BaseException) for one in given):
        event["event"] = record.msg % tuple(
            type(one).__name__ if isinstance(one, BaseException) else one for one in given
        )
    if record.name == "asyncio":
        event["event"] = event["event"].partition("\n")[0]
    return event


SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    narrow_request,
)


def configuration(*, level: str, readable: bool) -> dict[str, Any]:
    """Django's LOGGING. `readable` is for a developer's terminal: colours, and exceptions in full."""
    ending: list[Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if readable
        else [describe_exception, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*SHARED, *([] if readable else [narrow_library])],
                "pass_foreign_args": not readable,
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
            },
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handler would print each line a second time.
            "django": {"handlers": [], "level": level, "propagate": True},
            # django_structlog writes the one line of a request; these would repeat it.
            "django.server": {"handlers": [], "level": "WARNING", "propagate": True},
            "django.request": {"level": "CRITICAL"},
            "daphne": {"level": "WARNING"},
            # Loaded after uvicorn's own, which writes whole addresses, and exceptions with their messages.
            "uvicorn": {"handlers": [], "level": level, "propagate": True},
            "uvicorn.access": {"handlers": [], "level": "WARNING", "propagate": False},
            "asyncio": {"level": "WARNING"},
            "httpx2": {"level": "WARNING"},
            # At DEBUG these two write whole requests and rows, words and all.
            "anthropic": {"level": "WARNING"},
            "django.db.backends": {"level": "WARNING"},
            "axes": {"level": "WARNING"},
        },
    }


def configure() -> None:
    """Let structlog's loggers write through the standard library, so that there is one way out."""
    structlog.configure(
        processors=[
            *SHARED,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)
