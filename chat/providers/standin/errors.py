"""An error as the Messages API words it."""

from typing import Any

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The error type that goes with each HTTP status."""


class ApiError(Exception):
    """What the stand-in answers instead of a message: a status, an error type, a message, a wait in seconds."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "",
        code: str = "",
        retry_after: float | None = None,
        overflow: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind or KINDS.get(status, "api_error")
        self.code = code
        self.retry_after = retry_after
        self.overflow = overflow

    def body(self, request_id: str) -> dict[str, Any]:
        """The JSON that the API sends."""
        error: dict[str, Any] = {"type": self.kind, "message": self.message}
        if self.code:
            error["details"] = {"error_code": self.code}
        return {"type": "error", "error": error, "request_id": request_id}


def invalid(message: str, *, overflow: bool = False) -> ApiError:
    """A 400 invalid_request_error; `overflow` where it says that the request does not fit the window."""
    return ApiError(400, message, overflow=overflow)
