"""The models that the project ships, ready to load into a model host, with rows and H2O's own predictions."""

import csv
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hotswap.codec.proto import Operation
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.load import Load
from hotswap.host.sandbox import AUTO, Sandbox

EXAMPLES = Path(__file__).parents[2] / "examples"
COLD = (sys.executable, str(Path(__file__).with_name("cold_child.py")))
"""The command of a model host that does not warm up, which saves half a second."""
EAGER = (*COLD, "at-once")
"""The same, and what is prepared beforehand does not wait for an idle processor: for tests that wait for it."""
READING = Sandbox(read=(str(EXAMPLES), tempfile.gettempdir()))
"""What a standby of a test needs, which is shut in before it gets a model."""


@dataclass(frozen=True)
class Example:
    """A MOJO of examples/models with its proto and data."""

    model: str
    proto: str
    rows_file: str

    @property
    def source(self) -> bytes:
        return (EXAMPLES / "protos" / f"{self.proto}.proto").read_bytes()

    @cached_property
    def operation(self) -> Operation:
        (operation,) = compile_proto(self.source).operations.values()
        return operation

    def load(
        self,
        *,
        configuration: Configuration | None = None,
        samples: tuple[bytes, ...] = (),
        model: Path | None = None,
        proto: bytes | None = None,
        kind: str = "h2o",
        is_descriptor_set: bool = False,
        sandbox: Sandbox = AUTO,
    ) -> Load:
        return Load(
            generation=1,
            kind=kind,
            model=model or EXAMPLES / "models" / f"{self.model}.zip",
            proto=self.source if proto is None else proto,
            is_descriptor_set=is_descriptor_set,
            configuration=configuration or Configuration(),
            samples=samples,
            heap_mb=128,
            sandbox=sandbox,
        )

    def requests(self) -> list[bytes]:
        """Return every row of the data as a request of one row; empty cells are left out."""
        message = self.operation.input
        fields = {
            part.name: str if part.cpp_type == part.CPPTYPE_STRING else float for part in message.DESCRIPTOR.fields
        }
        return [
            message(**{name: read(row[name]) for name, read in fields.items() if row[name]}).SerializeToString()
            for row in read_csv(EXAMPLES / "data" / f"{self.rows_file}.csv")
        ]

    def predictions(self) -> list[dict[str, str]]:
        """Return H2O's own predictions for these rows, by its column names."""
        return read_csv(EXAMPLES / "data" / f"{self.model}.pred.csv")


IRIS = Example("iris_gbm", "iris", "iris")
IRIS_GLM = Example("iris_glm", "iris", "iris")
CANCER = Example("cancer_gbm", "cancer", "cancer")
GBM = Example("gbm_50x5", "gbm_50x5", "gbm_50x5")
MIXED_GLM = Example("mixed_glm", "mixed_glm", "gbm_50x5")
MIXED_KMEANS = Example("mixed_kmeans", "mixed_kmeans", "gbm_50x5")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
