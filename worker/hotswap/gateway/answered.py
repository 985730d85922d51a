"""The requests of a call with their answers."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from hotswap.batch import Code
from hotswap.client.answers import Place, Prediction, Refused
from hotswap.client.finding import PredictionId
from hotswap.codec.proto import Operation
from hotswap.gateway.problems import Problem

_SHOWN = 100

Answer: TypeAlias = Prediction | Refused
R = TypeVar("R")


class Answered(NamedTuple):
    """Where a request was published, and its answer; None: none came in time."""

    place: Place
    answer: Answer | None
    token: str = ""
    """Of the call, as the request's header has it."""

    @property
    def prediction_id(self) -> str:
        """The id by which the caller, and nobody else, fetches the answer later."""
        return str(PredictionId(self.token, self.place.partition, self.place.offset))

    @property
    def prediction(self) -> Prediction:
        """The answer. Raises Problem: it is a refusal (422; 413, it is too large)."""
        if isinstance(self.answer, Refused):
            raise refusal_of(self.answer, prediction_id=self.prediction_id)
        assert self.answer
        return self.answer


class Scored(NamedTuple, Generic[R]):
    """The rows of a call, the operation that scored them, and the answers to the good ones, in their order."""

    rows: R
    operation: Operation
    answered: Sequence[Answered]


def places_of(answered: Sequence[Answered]) -> dict[str, Any]:
    """Return where the first hundred requests are, and the ids of their answers, as members of a problem."""
    first = answered[:_SHOWN]
    return {"sources": [str(one.place) for one in first], "prediction_ids": [one.prediction_id for one in first]}


def refusal_of(answer: Refused, **facts: Any) -> Problem:
    """Return the problem of a refused request: 422; 413, it or its answer is too large."""
    is_large = answer.code in (Code.TOO_LARGE, Code.ANSWER_TOO_LARGE)
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if is_large else HTTPStatus.UNPROCESSABLE_ENTITY
    return Problem(status, f"{answer.code}: {answer.message}", code=answer.code, source=answer.source, **facts)
