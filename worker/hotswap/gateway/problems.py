"""Errors as HTTP responses: problem details (RFC 9457), one for each kind of error of ours."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from hotswap.errors import Doubt, HotswapError, NoAnswer, StartError, SwapCode, SwapError, UsageError

_SHOWN = 100
_CONFLICTS = frozenset({SwapCode.STALE, SwapCode.EQUIVOCATION, SwapCode.EXPIRED, SwapCode.KIND_MISSING})


class Problem(Exception):
    """Ends a call with an error response: its status, a sentence for a person, and facts for a program."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        retry_after_s: int | None = None,
        challenge: str | None = None,
        **facts: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.facts: Mapping[str, Any] = facts
        self.retry_after_s = retry_after_s
        self.challenge = challenge

    def response(self) -> JSONResponse:
        """Return the response."""
        document = {"title": self.status.phrase, "status": self.status.value, "detail": str(self), **self.facts}
        return self._response(document, "application/problem+json")

    def error(self, **facts: Any) -> JSONResponse:
        """Return the response as the Open Inference Protocol has it, with further facts."""
        return self._response({**facts, "error": str(self), **self.facts}, "application/json")

    def _response(self, document: Mapping[str, Any], media_type: str) -> JSONResponse:
        headers = {"Retry-After": self.retry_after_s, "WWW-Authenticate": self.challenge}
        sent = {name: str(value) for name, value in headers.items() if value is not None}
        return JSONResponse(document, self.status.value, sent, media_type)


def bad_rows(faults: Sequence[Mapping[str, Any]], count: int) -> Problem:
    """Return the problem of rows that are refused: the first hundred, each with its row, column, value and reason."""
    first = faults[0]["detail"]
    more = f" (and {count - 1} more)" if count > 1 else ""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{first}{more}", refused=count, rows=list(faults[:_SHOWN]))


def problem_of(error: HotswapError) -> Problem:
    """Return the problem of one of our own errors."""
    if isinstance(error, SwapError):
        status = HTTPStatus.CONFLICT if error.code in _CONFLICTS else HTTPStatus.UNPROCESSABLE_ENTITY
        return Problem(status, error.message, code=error.code.value)
    if isinstance(error, UsageError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
    if isinstance(error, NoAnswer):
        return Problem(HTTPStatus.GATEWAY_TIMEOUT, str(error))
    if isinstance(error, StartError | Doubt):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after_s=1)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
