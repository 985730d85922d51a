"""Compiles a proto at run time, in its own descriptor pool: two generations may use a name for different messages."""

import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from hotswap.errors import SwapCode, SwapError

_NAME = "model.proto"


@dataclass(frozen=True, slots=True)
class Operation:
    """An rpc of the proto, with its input and output types."""

    name: str
    input: type[Message]
    output: type[Message]


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
    compiled = _parse_set(source) if is_descriptor_set else _run_protoc(source)
    pool = descriptor_pool.DescriptorPool()
    for file in _in_order(compiled.file):
        try:
            pool.Add(file)
        except (TypeError, ValueError) as error:
            raise SwapError(SwapCode.PROTO_INVALID, f"{file.name}: {error}") from error
    services: list[ServiceDescriptor] = [
        pool.FindServiceByName(f"{file.package}.{service.name}".lstrip("."))
        for file in compiled.file
        for service in file.service
        if not file.name.startswith("google/protobuf/")
    ]
    methods = [(service.name, method) for service in services for method in service.methods]
    if not methods:
        raise SwapError(
            SwapCode.NO_OPERATION,
            "the proto has no service with an rpc: add `service Model { rpc predict(Input) returns (Output); }`",
        )
    return Schema(_operations(methods), compiled)


def _operations(methods: list[tuple[str, MethodDescriptor]]) -> dict[str, Operation]:
    names = [method.name for _, method in methods]
    operations = {}
    for service, method in methods:
        name = method.name if names.count(method.name) == 1 else f"{service}.{method.name}"
        operations[name] = Operation(name, _message_class(method.input_type), _message_class(method.output_type))
    return operations


def _message_class(descriptor: Descriptor) -> type[Message]:
    return message_factory.GetMessageClass(descriptor)


def gather(path: Path) -> bytes:
    """Return the serialized FileDescriptorSet of a .proto file and all its imports, with paths relative to its folder.

    Raises SwapError PROTO_INVALID with the file and protoc's own lines.
    """
    with tempfile.TemporaryDirectory(prefix="hotswap-proto-") as folder:
        return _compile_file(path.name, path.parent, Path(folder)).SerializeToString()


def has_own_imports(source: bytes) -> bool:
    """Return whether a .proto text imports files other than google/protobuf's own, which `compile` cannot find."""
    return bool(re.search(rb'^\s*import\s+(?:public\s+|weak\s+)?["\'](?!google/protobuf/)', source, re.MULTILINE))


def _run_protoc(source: bytes) -> descriptor_pb2.FileDescriptorSet:
    with tempfile.TemporaryDirectory(prefix="hotswap-proto-") as folder:
        Path(folder, _NAME).write_bytes(source)
        return _compile_file(_NAME, Path(folder), Path(folder))


def _compile_file(name: str, root: Path, folder: Path) -> descriptor_pb2.FileDescriptorSet:
    # Imported here: it takes 0.1 s, and a descriptor set does not need it.
    from grpc_tools import _protoc_compiler, protoc  # noqa: PLC0415

    output = folder / "set.binpb"
    includes = [str(root), str(files("grpc_tools") / "_proto")]
    try:
        # The only way to get protoc's errors as values: its command line prints them to the process's stderr.
        _protoc_compiler.get_protos(name.encode(), [include.encode() for include in includes])
    except _protoc_compiler.ProtocErrors as errors:
        raise SwapError(SwapCode.PROTO_INVALID, "\n".join(dict.fromkeys(map(_as_line, errors.errors())))) from None
    arguments = ["protoc", *(f"-I{include}" for include in includes), "--include_imports"]
    if protoc.main([*arguments, f"--descriptor_set_out={output}", name]) != 0:
        raise SwapError(SwapCode.PROTO_INVALID, "protoc rejected the proto without giving a reason")
    return descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes())


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
    given: Iterable[descriptor_pb2.FileDescriptorProto],
) -> list[descriptor_pb2.FileDescriptorProto]:
    """Sort files so that each comes after its imports; a descriptor set need not be sorted."""
    waiting = {file.name: file for file in given}
    ordered: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    while waiting:
        ready = [file for file in waiting.values() if all(name in ordered for name in file.dependency)]
        if not ready:
            absent = sorted({name for file in waiting.values() for name in file.dependency} - ordered.keys())
            raise SwapError(
                SwapCode.PROTO_INVALID,
                f"the descriptor set lacks its imports {', '.join(absent)}; build it with --include_imports",
            )
        for file in ready:
            ordered[file.name] = waiting.pop(file.name)
    return list(ordered.values())
