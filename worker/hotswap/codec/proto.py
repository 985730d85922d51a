"""Compiles a proto at run time, in its own descriptor pool: two generations may use a name for different messages.

protoc runs in this process here, and may end it: only a model host and the compiler's own process call this
(client/protos.py is for all others). No bound of bounds.py holds here: what a control log once accepted stays accepted.
"""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, cast

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.reflection import GeneratedProtocolMessageType

from hotswap.codec.well_known import check_well_known
from hotswap.errors import SwapCode, SwapError

_NAME = "model.proto"
# Possessive, so that a text of blank lines is not read once for each of them.
_OWN_IMPORT = re.compile(rb"""^[^\S\n]*+import\s++(?:public\s++|weak\s++)?["'](?!google/protobuf/)""", re.MULTILINE)
_NOISE = re.compile(r"^(?:WARNING: All log messages before absl|[IW]\d{4} |.*: warning: ).*\n?", re.MULTILINE)
"""What absl and protoc print of a proto that they accept."""
_MOST_LINES = 100
_MOST_LINE = 2_000
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Operation:
    """An rpc of the proto, with its input and output types. `is_only`: the proto has no other."""

    name: str
    input: type[Message]
    output: type[Message]
    is_only: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """A compiled proto. `operations` are in the proto's order; `files` is the compiled descriptor set.

    An operation has its rpc's name, or `Service.rpc` if several services have an rpc of that name.
    """

    operations: Mapping[str, Operation]
    files: descriptor_pb2.FileDescriptorSet

    @property
    def default(self) -> str | None:
        """The operation of a request that names none: the only one, or None if there are several."""
        return next(iter(self.operations)) if len(self.operations) == 1 else None


def compile(source: bytes, is_descriptor_set: bool = False) -> Schema:  # noqa: A001, FBT001, FBT002 - the contract's name
    """Compile a .proto text, or load a serialized FileDescriptorSet with all imports.

    A text may import google/protobuf's own types and nothing else (see `gather`). Raises SwapError: PROTO_INVALID with
    protoc's own lines, or NO_OPERATION if no service has an rpc.
    """
    return load(describe(source, is_descriptor_set))


def describe(source: bytes, is_descriptor_set: bool = False) -> descriptor_pb2.FileDescriptorSet:  # noqa: FBT001, FBT002 - as compile
    """Return a proto's descriptors. Raises SwapError PROTO_INVALID."""
    return _parse_set(source) if is_descriptor_set else _run_protoc(source)


def load(described: descriptor_pb2.FileDescriptorSet) -> Schema:
    """Load descriptors, as `describe` returns them, into a pool of their own. Raises SwapError as `compile` does."""
    pool = descriptor_pool.DescriptorPool()
    for file in _in_order(described.file):
        try:
            pool.Add(file)
        except (TypeError, ValueError) as error:
            raise SwapError(SwapCode.PROTO_INVALID, f"{file.name}: {error}") from error
    check_well_known(pool)
    services: list[ServiceDescriptor] = [
        pool.FindServiceByName(f"{file.package}.{service.name}".lstrip("."))
        for file in described.file
        for service in file.service
        if not file.name.startswith("google/protobuf/")
    ]
    methods = [(service.name, method) for service in services for method in service.methods]
    if not methods:
        raise SwapError(
            SwapCode.NO_OPERATION,
            "the proto has no service with an rpc: add `service Model { rpc predict(Input) returns (Output); }`",
        )
    return Schema(_operations(methods), described)


def _operations(methods: list[tuple[str, MethodDescriptor]]) -> dict[str, Operation]:
    names = Counter(method.name for _, method in methods)
    classes: dict[str, type[Message]] = {}
    operations = {}
    for service, method in methods:
        name = method.name if names[method.name] == 1 else f"{service}.{method.name}"
        request, response = (class_of(one, classes) for one in (method.input_type, method.output_type))
        operations[name] = Operation(name, request, response, is_only=len(methods) == 1)
    return operations


def class_of(descriptor: Descriptor, classes: dict[str, type[Message]] | None = None) -> type[Message]:
    """Return a message's class, and make those of all that it can hold: protobuf's own way recurses with the proto.

    `classes`: those of this pool that are there, by their full names.
    """
    classes = {} if classes is None else classes
    waiting: list[Any] = [descriptor]
    while waiting:
        message = waiting.pop()
        if message.full_name in classes:
            continue
        content = {"DESCRIPTOR": message, "__module__": None}
        classes[message.full_name] = cast("Any", GeneratedProtocolMessageType)(message.name, (Message,), content)
        parts = [*message.fields, *message.file.pool.FindAllExtensions(message)]
        waiting += [part.message_type for part in parts if part.message_type]
    return classes[descriptor.full_name]


def gather(path: Path) -> descriptor_pb2.FileDescriptorSet:
    """Return the descriptors of a .proto file and all its imports, with paths relative to its folder.

    Raises SwapError PROTO_INVALID with the file and protoc's own lines.
    """
    with tempfile.TemporaryDirectory(prefix="hotswap-proto-") as folder:
        return _compile_file(path.name, path.parent, Path(folder))


def has_own_imports(source: bytes) -> bool:
    """Return whether a .proto text imports files other than google/protobuf's own, which `compile` cannot find."""
    return bool(_OWN_IMPORT.search(source))


def _run_protoc(source: bytes) -> descriptor_pb2.FileDescriptorSet:
    with tempfile.TemporaryDirectory(prefix="hotswap-proto-") as folder:
        Path(folder, _NAME).write_bytes(source)
        return _compile_file(_NAME, Path(folder), Path(folder))


def _compile_file(name: str, root: Path, folder: Path) -> descriptor_pb2.FileDescriptorSet:
    # Imported here: it takes 0.1 s, and a descriptor set does not need it.
    from grpc_tools import _protoc_compiler, protoc  # noqa: PLC0415

    output, printed = folder / "set.binpb", folder / "stderr"
    includes = [str(root), str(Path(protoc.__file__).with_name("_proto"))]
    try:
        # The only way to get protoc's errors as values: its command line prints them to the process's stderr.
        with _stderr_to(printed):
            _protoc_compiler.get_protos(name.encode(), [include.encode() for include in includes])
    except _protoc_compiler.ProtocErrors as errors:
        lines = list(dict.fromkeys(_as_line(error)[:_MOST_LINE] for error in errors.errors()))
        more = [f"and {len(lines) - _MOST_LINES:,} more errors"] if len(lines) > _MOST_LINES else []
        raise SwapError(SwapCode.PROTO_INVALID, "\n".join([*lines[:_MOST_LINES], *more])) from None
    arguments = ["protoc", *(f"-I{include}" for include in includes), "--include_imports"]
    with _stderr_to(printed):
        status = protoc.main([*arguments, f"--descriptor_set_out={output}", name])
    if status != 0:
        message = _NOISE.sub("", printed.read_text(errors="replace")).replace(f"{root}/", "").strip()
        raise SwapError(
            SwapCode.PROTO_INVALID, message[:_MOST_LINE] or "protoc rejected the proto without giving a reason"
        )
    return descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Redirect protoc's output to a file: its warnings, and absl's, are not a host's last words."""
    ours = os.dup(2)
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)


def _as_line(error: object) -> str:
    # protoc counts lines and columns from 0, people and editors from 1; -1 stands for the whole file. An error's own
    # text cannot be made where protoc quotes what is not ASCII.
    file, line, column, message = error.args  # type: ignore[attr-defined]
    place = f"{line + 1}:{column + 1}:" if line >= 0 else ""
    return f"{file.decode(errors='replace')}:{place} {message.decode(errors='replace')}"


def _parse_set(source: bytes) -> descriptor_pb2.FileDescriptorSet:
    try:
        return descriptor_pb2.FileDescriptorSet.FromString(source)
    except DecodeError as error:
        raise SwapError(SwapCode.PROTO_INVALID, f"it is not a serialized FileDescriptorSet: {error}") from error


def _in_order(
    protos: Iterable[descriptor_pb2.FileDescriptorProto],
) -> list[descriptor_pb2.FileDescriptorProto]:
    """Sort files so that each comes after its imports; a descriptor set need not be sorted."""
    files = {file.name: file for file in protos}
    imports = {name: set(file.dependency) for name, file in files.items()}
    if absent := sorted(set().union(*imports.values()) - files.keys()):
        lacking = ", ".join(absent[:_SHOWN]) + (", …" if len(absent) > _SHOWN else "")
        reason = f"the descriptor set lacks its imports {lacking}; build it with --include_imports"
        raise SwapError(SwapCode.PROTO_INVALID, reason)
    try:
        return [files[name] for name in TopologicalSorter(imports).static_order()]
    except CycleError as error:
        circle = " → ".join(map(str, error.args[1][:_SHOWN]))
        raise SwapError(SwapCode.PROTO_INVALID, f"the files import each other in a circle: {circle}") from None
