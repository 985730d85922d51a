"""The plan of a model that scores rows: decode the requests, score their rows, encode the answers."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from hotswap.batch import Answer, Code, Refusal, ScoredBatch
from hotswap.codec.columns import DecodedRows, Decoder
from hotswap.codec.encoder import Encoder
from hotswap.codec.fields import Column
from hotswap.codec.messages import serialize
from hotswap.codec.outputs import Output
from hotswap.codec.proto import Operation
from hotswap.codec.sources import FieldSource
from hotswap.codec.values import Table, join
from hotswap.errors import ModelError
from hotswap.generation import Configuration, Policy


class RowModel(Protocol):
    """A model that scores a table, row by row. It lives in the host's process and is used by one thread."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of the tables that it scores, in order."""

    @property
    def outputs(self) -> Sequence[Output]:
        """The outputs of each row."""

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x outputs; a row's scores depend on that row only.

        Raises ModelError if the model raises for any row.
        """


class PartialModel(NamedTuple):
    """A model of which some outputs are computed; those of the others are NaN."""

    columns: Sequence[Column]
    outputs: Sequence[Output]
    score: Callable[[Table], Table]


class RowPlan:
    """One operation of a model that scores rows."""

    def __init__(
        self, model: RowModel, operation: Operation, configuration: Configuration, *, invents: bool = True
    ) -> None:
        """Find a field for each column, and an output for each field; mismatches are listed in `problems`.

        `invents`: the model may be called with made-up rows.
        """
        self.model: Final = model
        self._invents = invents
        self.decoder: Final = Decoder(message=operation.input, columns=model.columns, configuration=configuration)
        self.encoder: Final = Encoder(
            message=operation.output,
            outputs=model.outputs,
            names=configuration.outputs,
            is_one_row=self.decoder.shape == "single",
        )
        self.problems: Sequence[str] = [*self.decoder.problems, *self.encoder.problems]
        self.path = "through Python"
        is_told = configuration.unknown_category is Policy.REFUSE
        self.reads: Final = {source.path: () if is_told else source.known for source in self.decoder.sources}
        self.fields: Final = self.decoder.fields

    @property
    def used(self) -> Sequence[Output]:
        """The outputs that fill a field of the answer."""
        return self.encoder.used

    def answer(self, values: Sequence[bytes]) -> ScoredBatch:
        """Answer a batch of requests."""
        rows = self.decoder.decode(values)
        scores = self._scores(rows)
        valid = self.encoder.is_valid(scores)
        if not valid.all():
            scores = self._refuse_undecided(rows, scores, valid)
        encoded: Sequence[Answer] = self.encoder.encode(scores, rows) if rows.positions else []
        if not rows.refused:
            return ScoredBatch(list(encoded), rows.unknown)
        answers: list[Answer] = [b""] * len(values)
        for position, answer in zip(rows.positions, encoded, strict=True):
            answers[position] = answer
        for position, refusal in rows.refused.items():
            answers[position] = refusal
        return ScoredBatch(answers, rows.unknown)

    def invent(self, count: int) -> Sequence[bytes]:
        """Make up requests of one row, with every category and numbers around zero; deterministic."""
        return self.invent_for(self.decoder.sources, count)

    def invent_for(self, sources: Sequence[FieldSource], count: int) -> Sequence[bytes]:
        """Make up requests of one row whose columns come from `sources`."""
        random = np.random.default_rng(0)
        decoder, requests = self.decoder, []
        for _ in range(count if self._invents else 0):
            message = decoder.message()
            row = getattr(message, decoder.rows_field).add() if decoder.rows_field else message
            for source in sources:
                source.put(row, source.invent(float(random.normal())))
            requests.append(serialize(message))
        return requests

    def _scores(self, rows: DecodedRows) -> Table:
        try:
            return self.model.score(rows.table) if len(rows.table) else self._none()
        except ModelError:
            pass
        scores, good = [self._none()], list[int]()
        self._score_good(rows, rows.slices(), range(len(rows.positions)), scores, good)
        rows.keep(good)
        return join(scores)

    def _score_good(
        self, rows: DecodedRows, slices: Sequence[slice], requests: range, scores: list[Table], good: list[int]
    ) -> None:
        """Score requests, of which some make the model raise, by halves; refuse these."""
        for half in (requests[: len(requests) // 2], requests[len(requests) // 2 :]):
            if not half:
                continue
            part = slice(slices[half[0]].start, slices[half[-1]].stop)
            try:
                scores.append(self.model.score(rows.table.part(part)) if part.start < part.stop else self._none())
                good += half
            except ModelError as error:
                if len(half) > 1:
                    self._score_good(rows, slices, half, scores, good)
                else:
                    rows.refused[rows.positions[half[0]]] = Refusal(Code.MODEL_ERROR, str(error))

    def _none(self) -> Table:
        outputs = self.model.outputs
        objects: dict[int, list[object]] = {output.start: [] for output in outputs if output.is_in_objects}
        return Table(np.empty((0, max(output.stop for output in outputs))), objects)

    def _refuse_undecided(self, rows: DecodedRows, scores: Table, valid: npt.NDArray[np.bool_]) -> Table:
        slices = rows.slices()
        good = [index for index, part in enumerate(slices) if valid[part].all()]
        kept = set(good)
        for index, part in enumerate(slices):
            if index not in kept:
                row = int(np.flatnonzero(~valid[part])[0])
                message = f"row {row}: {self.encoder.explain(scores.part(part), row)}"
                rows.refused[rows.positions[index]] = Refusal(Code.MODEL_ERROR, message)
        rows.keep(good)
        return join([scores.part(slice(0, 0)), *(scores.part(slices[index]) for index in good)])
