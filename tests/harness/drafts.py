"""Models of one kind in labs: what loads them, by a proto that is drafted for them, and whether both paths agree."""

from pathlib import Path
from typing import NamedTuple

from harness.lab import Lab
from hotswap.batch import Refusal
from hotswap.codec.proto import Operation
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.packages.draft import draft_proto, fields_of


class Models(NamedTuple):
    """The models of a kind."""

    kind: str

    def load_of(self, model: Path, proto: str = "", configuration: Configuration | None = None) -> Load:
        """Return what loads a model."""
        return Load(
            generation=1,
            kind=self.kind,
            model=model,
            proto=proto.encode(),
            is_descriptor_set=False,
            configuration=configuration or Configuration(),
            samples=(),
            heap_mb=512,
        )

    def drafted(self, lab: Lab, model: Path, configuration: Configuration | None = None) -> tuple[Operation, Load]:
        """Return the operation of the proto that is drafted for a model, and what loads it."""
        interface = lab.describe(self.load_of(model, configuration=configuration))
        assert interface.columns is not None
        draft = draft_proto(
            "m", about=interface.description, operations=["score"], inputs=fields_of(interface.columns),
            outputs=interface.outputs, is_flat=True,
        )  # fmt: skip
        (operation,) = compile_proto(draft.text.encode()).operations.values()
        runtime = configuration.runtime if configuration else {}
        made = Configuration(columns=dict(draft.columns), outputs=dict(draft.outputs), runtime=runtime)
        return operation, self.load_of(model, draft.text, made)


def agree(lab: Lab, plain: Lab, load: Load, requests: list[bytes]) -> None:
    """Check that both paths answer these requests alike, in batches of other sizes."""
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
    assert sum(isinstance(answer, Refusal) for answer in fast) < len(fast)
