"""Errors as HTTP responses: problem details (RFC 9457), one for each kind of error of ours."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from hotswap.errors import Doubt, HotswapError, NoAnswer, StartError, SwapCode, SwapError, UsageError

_SHOWN = 100
_CONFLICTS = frozenset({SwapCode.STALE, SwapCode.EQUIVOCATION, SwapCode.EXPIRED})


class Problem(Exception):
    """Ends a call with an error response: its status, a sentence for a person, and facts for a program."""

    def __init__(self, status: HTTPStatus, detail: str, *, retry_after_s: int | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.facts: Mapping[str, Any] = facts
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """The headers of its response."""
        return {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}

    def response(self) -> Response:
        """Return the response."""
        document = {"title": self.status.phrase, "status": self.status.value, "detail": str(self), **self.facts}
        return _json(document, self, "application/problem+json")

    def error(self) -> Response:
        """Return the response as the Open Inference Protocol has it."""
        return _json({"error": str(self), **self.facts}, self, "application/json")


def _json(document: Mapping[str, Any], problem: Problem, media_type: str) -> Response:
    # What a caller has sent is quoted, and need not be UTF-8.
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    return Response(text, problem.status.value, problem.headers, media_type)


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
