"""One generation at work: decodes a batch's requests, scores their rows, encodes the answers."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from worker.batch import Answer, Code, Refusal
from worker.codec.columns import Decoder, Matrix, Rows
from worker.codec.fields import Column
from worker.codec.outputs import Encoder, Output
from worker.codec.proto import Operation, Schema
from worker.errors import ModelError, SwapError
from worker.generation import Configuration
from worker.host.frames import Answers


class Model(Protocol):
    """A loaded model, as a runtime gives it. It lives in the host's process and is used by one thread."""

    @property
    def columns(self) -> Sequence[Column]:
        """What it takes: a matrix's columns, in order."""

    @property
    def outputs(self) -> Sequence[Output]:
        """What it gives."""

    @property
    def description(self) -> str:
        """What it is, in a few words."""

    def score(self, matrix: Matrix) -> Matrix:
        """Score rows x columns (NaN is missing, a category is its number) to rows x outputs, a row for each row.

        A row's scores depend on that row only. Raises ModelError when a row makes the model raise.
        """


class _Plan:
    """How one operation's messages become rows, and scores its answers."""

    def __init__(self, operation: Operation, model: Model, configuration: Configuration) -> None:
        self.decoder = Decoder(message=operation.input, columns=model.columns, configuration=configuration)
        self.encoder = Encoder(
            message=operation.output,
            outputs=model.outputs,
            names=configuration.outputs,
            is_one_row=self.decoder.shape == "single",
        )
        self.problems = [*self.decoder.problems, *self.encoder.problems]


class Scorer:
    """A generation whose three parts fit each other."""

    def __init__(self, *, model: Model, schema: Schema, configuration: Configuration) -> None:
        """Check the model and the proto against each other: all operations, all columns, all output fields.

        Raises SwapError SCHEMA_MISMATCH with a line for each that does not fit.
        """
        self._model = model
        self._schema = schema
        self._plans = {name: _Plan(rpc, model, configuration) for name, rpc in schema.operations.items()}
        problems = [f"{name}: {problem}" for name, plan in self._plans.items() for problem in plan.problems]
        if problems:
            raise SwapError("SCHEMA_MISMATCH", "\n".join(["the model and the proto do not fit each other:", *problems]))

    @property
    def decoders(self) -> Mapping[str, Decoder]:
        """What reads the requests of each operation."""
        return {name: plan.decoder for name, plan in self._plans.items()}

    def describe(self) -> dict[str, object]:
        """Give the facts that a status shows."""
        columns = [f"{column.name} ({column.kind})" for column in self._model.columns]
        outputs = [output.name for output in self._model.outputs]
        return {
            "operations": list(self._plans),
            "inputs": {name: rpc.input.DESCRIPTOR.full_name for name, rpc in self._schema.operations.items()},
            "outputs": {name: rpc.output.DESCRIPTOR.full_name for name, rpc in self._schema.operations.items()},
            "columns": f"{self._model.description}: {', '.join(columns)} -> {', '.join(outputs)}",
        }

    def score(self, values: Sequence[bytes], operations: Sequence[str] | None = None) -> Answers:
        """Answer a batch. `operations[i]` is the rpc that request i asks for; empty: the only one there is."""
        answers: list[Answer] = [b""] * len(values)
        unknown: dict[str, int] = {}
        for name, positions in self._by_operation(len(values), operations).items():
            plan = self._plans.get(name)
            if plan is None:
                refusal = self._unknown_operation(name)
                for position in positions:
                    answers[position] = refusal
                continue
            is_whole = len(positions) == len(values)
            given, odd = self._answer(plan, values if is_whole else [values[position] for position in positions])
            for column, times in odd.items():
                unknown[column] = unknown.get(column, 0) + times
            if is_whole:
                answers = given
            else:
                for position, answer in zip(positions, given, strict=True):
                    answers[position] = answer
        return Answers(answers, unknown)

    def _by_operation(self, count: int, operations: Sequence[str] | None) -> Mapping[str, Sequence[int]]:
        default = self._schema.default or ""
        if operations is None or len(set(operations)) <= 1:
            return {(operations[0] if operations else "") or default: range(count)}
        groups: dict[str, list[int]] = {}
        for position, name in enumerate(operations):
            groups.setdefault(name or default, []).append(position)
        return groups

    def _unknown_operation(self, name: str) -> Refusal:
        known = ", ".join(self._plans)
        what = f"there is no operation `{name}`" if name else "the request names no operation, and there are several"
        return Refusal(Code.UNKNOWN_OPERATION, f"{what}; the header `operation` may name: {known}")

    def _answer(self, plan: _Plan, values: Sequence[bytes]) -> tuple[list[Answer], Mapping[str, int]]:
        rows = plan.decoder.decode(values)
        scores = self._scores(rows)
        valid = plan.encoder.is_valid(scores)
        if not valid.all():
            scores = self._refuse_undecided(rows, scores, valid)
        encoded = plan.encoder.encode(scores, rows) if rows.positions else []
        if not rows.refused:
            return encoded, rows.unknown  # type: ignore[return-value] # bytes are answers
        answers: list[Answer] = [b""] * len(values)
        for position, answer in zip(rows.positions, encoded, strict=True):
            answers[position] = answer
        for position, refusal in rows.refused.items():
            answers[position] = refusal
        return answers, rows.unknown

    def _scores(self, rows: Rows) -> Matrix:
        try:
            return self._model.score(rows.matrix) if len(rows.matrix) else self._none()
        except ModelError:
            pass
        # One request makes the model raise: find it, and score all others.
        scores, good = [self._none()], []
        for index, part in enumerate(rows.slices()):
            try:
                scores.append(self._model.score(rows.matrix[part]) if part.start < part.stop else self._none())
                good.append(index)
            except ModelError as error:
                rows.refused[rows.positions[index]] = Refusal(Code.MODEL_ERROR, str(error))
        rows.keep(good)
        return np.concatenate(scores)

    def _none(self) -> Matrix:
        return np.empty((0, max(output.stop for output in self._model.outputs)))

    @staticmethod
    def _refuse_undecided(rows: Rows, scores: Matrix, valid: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Matrix:
        slices = rows.slices()
        good = [index for index, part in enumerate(slices) if valid[part].all()]
        kept = set(good)
        for index, part in enumerate(slices):
            if index not in kept:
                row = int(np.flatnonzero(~valid[part])[0])
                message = f"row {row}: the model gave no class, but {scores[part][row, 0]}"
                rows.refused[rows.positions[index]] = Refusal(Code.MODEL_ERROR, message)
        rows.keep(good)
        return np.concatenate([scores[:0], *(scores[slices[index]] for index in good)])
