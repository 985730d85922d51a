"""Models with the protos that are drafted for them, loaded into a lab, and whether both paths agree."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.lab import Lab
from hotswap.batch import Answer, Refusal
from hotswap.codec.proto import Operation
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.packages.draft import Draft, draft_proto, fields_of

REQUESTS = int(os.environ.get("HOTSWAP_TEST_REQUESTS", "5000"))
"""How many random and damaged requests both paths are given; `make both-paths` has 100,000."""


class Drafted:
    """A model that a lab has loaded with the proto that is drafted for it; `fields` are those of its columns."""

    def __init__(self, lab: Lab, model: Path, *, asked: Sequence[str] = (), **configuration: Any) -> None:
        self.lab = lab
        self.draft, self.outputs = drafted(lab, model, Configuration(**configuration), asked)
        self.fields = self.draft.fields
        self.operation, self.load = loading(lab, model, self.draft, Configuration(**configuration))
        self.configuration = self.load.configuration
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


def drafted(
    lab: Lab, model: Path, configuration: Configuration, asked: Sequence[str] = ()
) -> tuple[Draft, Sequence[str]]:
    """Return the proto that is drafted for a model, and its outputs."""
    interface = lab.describe(load_of(lab.kind, model, configuration=configuration))
    assert interface.columns is not None
    draft = draft_proto(
        "m", about=interface.description, operations=["score"], inputs=fields_of(interface.columns),
        outputs=interface.outputs, asked=asked, is_flat=True,
    )  # fmt: skip
    return draft, [output.name for output in interface.outputs or ()]


def loading(lab: Lab, model: Path, draft: Draft, configuration: Configuration) -> tuple[Operation, Load]:
    """Return the operation of a draft, and what loads the model with it."""
    (operation,) = compile_proto(draft.text.encode()).operations.values()
    made = replace(configuration, columns=dict(draft.columns), outputs=dict(draft.outputs))
    return operation, load_of(lab.kind, model, draft.text, made)


def loadable(
    lab: Lab, model: Path, configuration: Configuration | None = None, asked: Sequence[str] = ()
) -> tuple[Operation, Load]:
    """Return the operation of the proto that is drafted for a model, and what loads it."""
    configuration = configuration or Configuration()
    return loading(lab, model, drafted(lab, model, configuration, asked)[0], configuration)


def agree(lab: Lab, plain: Lab, load: Load, requests: Sequence[bytes]) -> int:
    """Check that both paths answer these requests alike, in batches of other sizes; return how many are refused."""
    assert set(lab.load(load).paths.values()) == {"in the JVM"}
    assert set(plain.load(load).paths.values()) == {"through Python: as the test wants it"}

    fast, slow = (
        [
            answer
            for start in range(0, len(requests), size)
            for answer in one.score(requests[start : start + size]).answers
        ]
        for one, size in ((lab, 997), (plain, 50))
    )

    assert [place for place, pair in enumerate(zip(fast, slow, strict=True)) if pair[0] != pair[1]][:3] == []
    refused = sum(isinstance(answer, Refusal) for answer in fast)
    assert refused < len(fast)
    return refused
