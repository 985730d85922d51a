"""The right answers: H2O's own offline predictions for the examples, and those that a run gives of its own models."""

import csv
import hashlib
import math
import tempfile
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from grpc_tools import protoc

# Java's exp may differ in the last digits from machine to machine; GLM probabilities are as small as 1e-14.
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12

_MODELS = {
    "iris_gbm": ("iris", "iris"),
    "iris_glm": ("iris", "iris"),
    "cancer_gbm": ("cancer", "cancer"),
    "gbm_50x5": ("gbm_50x5", "gbm_50x5"),
    "mixed_glm": ("mixed_glm", "gbm_50x5"),
    "mixed_kmeans": ("mixed_kmeans", "gbm_50x5"),
}
"""Model -> its proto and its data among the examples."""


def compile_proto(path):
    """Return the file descriptor of a .proto, in its own pool."""
    with tempfile.TemporaryDirectory(prefix="hotswap-verifier-") as folder:
        output = Path(folder, "set.binpb")
        includes = [f"-I{path.parent}", f"-I{files('grpc_tools') / '_proto'}"]
        assert protoc.main(["protoc", *includes, "--include_imports", f"--descriptor_set_out={output}", str(path)]) == 0
        compiled = descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in compiled.file:  # protoc writes each after its imports
        pool.Add(file)
    return pool.FindFileByName(compiled.file[-1].name)


class _Model:
    """An example: its messages, its rows, and the prediction for each, H2O's unless another one's are given."""

    def __init__(self, examples, name, predictions=None, relative=_RELATIVE):
        proto, rows = _MODELS[name]
        self._relative = relative
        source = examples / "protos" / f"{proto}.proto"
        (service,) = compile_proto(source).services_by_name.values()
        (rpc,) = service.methods
        self.proto_sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        self.input = message_factory.GetMessageClass(rpc.input_type)
        self.output = message_factory.GetMessageClass(rpc.output_type)
        self.values = [self._request(row).SerializeToString() for row in read_rows(examples / "data" / f"{rows}.csv")]
        predictions = predictions or read_rows(examples / "data" / f"{name}.pred.csv")
        self._known = {
            self._key(value): {field: self._column(field, said) for field in self.output.DESCRIPTOR.fields_by_name}
            for value, said in zip(self.values, predictions, strict=True)
        }

    def _request(self, row):
        fields = self.input.DESCRIPTOR.fields
        return self.input(
            **{
                field.name: row[field.name] if field.cpp_type == field.CPPTYPE_STRING else float(row[field.name])
                for field in fields
                if row[field.name]
            }
        )

    def _key(self, value):
        message = self.input.FromString(value)
        return tuple((field.name, content) for field, content in message.ListFields())

    def _column(self, field, said):
        column = next((name for name in (field, field.removeprefix("p_")) if name in said), "predict")
        kind = self.output.DESCRIPTOR.fields_by_name[field]
        if kind.cpp_type == kind.CPPTYPE_STRING:
            return said[column]
        return int(said[column]) if kind.cpp_type == kind.CPPTYPE_INT32 else float(said[column])

    def known(self, value):
        """Return output field -> H2O's value; None for a value that is not a row of the data."""
        try:
            return self._known.get(self._key(value))
        except DecodeError:
            return None

    def says(self, answer, known):
        try:
            message = self.output.FromString(answer)
        except DecodeError:
            return False
        return all(self._is_same(getattr(message, name), value) for name, value in known.items())

    def _is_same(self, value, known):
        if type(known) is not float:
            return value == known
        return math.isclose(value, known, rel_tol=self._relative, abs_tol=_ABSOLUTE)


_model = cache(_Model)


class Oracle:
    """Recomputes answers of the models among the examples, under their own protos."""

    def __init__(self, examples):
        lines = (examples / "models" / "DIGESTS").read_text().splitlines()
        self._names = {digest: file.removesuffix(".zip") for digest, file in map(str.split, lines)}
        self._examples = examples
        self._learned = {}
        # A run asks for a few hundred different rows a million times.
        self.agrees = lru_cache(maxsize=100_000)(self._agrees)

    def know(self, model_sha256, name):
        """Take an example that was packed anew for what it is."""
        self._names[model_sha256] = name

    def learn(self, model_sha256, *, like, predictions, relative=_RELATIVE):
        """Take a model that answers the requests of an example by these predictions, one for each of its rows."""
        self._learned[model_sha256] = _Model(self._examples, like, predictions, relative)

    def model(self, model_sha256):
        """Return an example, read at the first time that anyone asks for it, or a learned model; None if it is none."""
        if model_sha256 in self._learned:
            return self._learned[model_sha256]
        name = self._names.get(model_sha256)
        return name and _model(self._examples, name)

    def expected(self, model_sha256, value):
        """Return H2O's offline answer; None for a model or a value that is not among the examples."""
        model = self.model(model_sha256)
        known = model and model.known(value)
        return model.output(**known).SerializeToString() if known else None

    def values(self, model_sha256):
        """Return the model's rows as requests."""
        return self.model(model_sha256).values

    def _agrees(self, model_sha256, proto_sha256, value, answer):
        """Return whether the answer is H2O's own; None, unknown, for what is not among the examples."""
        model = self.model(model_sha256)
        if model is None or model.proto_sha256 != proto_sha256 or (known := model.known(value)) is None:
            return None
        return model.says(answer, known)


def read_rows(path):
    """Return the rows of a CSV by their columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
