"""Models with the protos that are drafted for them, loaded into a lab."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.lab import Lab
from hotswap.batch import Answer, Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.packages.draft import Draft, draft_proto, fields_of


class Drafted:
    """A model that a lab has loaded with the proto that is drafted for it; `fields` are those of its columns."""

    def __init__(self, lab: Lab, model: Path, *, asked: Sequence[str] = (), **configuration: Any) -> None:
        self.lab = lab
        interface = lab.describe(load_of(lab.kind, model, configuration=Configuration(**configuration)))
        assert interface.columns is not None
        self.draft: Draft = draft_proto(
            "m", about=interface.description, operations=["score"], inputs=fields_of(interface.columns),
            outputs=interface.outputs, asked=asked, is_flat=True,
        )  # fmt: skip
        self.outputs = [output.name for output in interface.outputs or ()]
        self.fields = self.draft.fields
        self.configuration = Configuration(
            columns=dict(self.draft.columns), outputs=dict(self.draft.outputs), **configuration
        )
        self.load = load_of(lab.kind, model, self.draft.text, self.configuration)
        (self.operation,) = compile_proto(self.draft.text.encode()).operations.values()
        self.ready = lab.load(self.load)

    def bytes_of(self, row: Mapping[str, Any]) -> bytes:
        message: Any = self.operation.input()
        for column, value in row.items():
            is_text = isinstance(getattr(message, self.fields[column]), str)
            setattr(message, self.fields[column], str(value) if is_text else value)
        return bytes(message.SerializeToString())

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Answer]:
        return self.lab.score([self.bytes_of(row) for row in rows]).answers

    def messages(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        messages = []
        for answer in self.answers(rows):
            assert not isinstance(answer, Refusal), answer
            messages.append(self.operation.output.FromString(answer))
        return messages


def load_of(kind: str, model: Path, proto: str = "", configuration: Configuration | None = None) -> Load:
    return Load(
        generation=1,
        kind=kind,
        model=model,
        proto=proto.encode(),
        is_descriptor_set=False,
        configuration=configuration or Configuration(),
        samples=(),
        heap_mb=512,
    )
