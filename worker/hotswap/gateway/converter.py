"""Reads and writes rows in a process of its own, which can be ended at any moment, and has a bound of memory.

A thread goes on after its caller has left, and takes the event loop's turns: the interpreter runs one of them at a
time. What is sent there is a function of a module and its arguments, pickled; a message class goes as its file's
descriptors, and its name.
"""

import io
import os
import pickle
import resource
import signal
import socket
import struct
import traceback
from functools import lru_cache
from http import HTTPStatus
from importlib import import_module
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from hotswap.codec.messages import in_order
from hotswap.codec.proto import class_of
from hotswap.gateway.problems import Problem

LENGTH = struct.Struct("<Q")
WORK_S = 60
"""How long a piece of work may take, seconds."""
_OWN_BYTES = 256 << 20
_BYTES_PER_BYTE = 12
"""Memory of the process, and for each byte that it is sent: a body of JSON is ten times as large in memory."""
LARGE = 1 << 20
"""Above so many bytes, work gives way to the calls of others (`_NICE`), and the process ends after it: the priority
cannot be raised again, and the allocator would keep the memory.
"""
_NICE = 5
_MODULES = ("hotswap.gateway.rows", "hotswap.gateway.documents", "hotswap.gateway.tensor_bodies")
"""Where the functions are that are asked for: loaded before, for that takes most of a second."""


def dumps(value: Any) -> bytes:
    """Return functions, arguments or results as bytes."""
    target = io.BytesIO()
    _Pickler(target, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return target.getvalue()


def loads(content: bytes) -> Any:
    """Return the value of `dumps`, from a process of this machine only: pickles run code."""
    return _Unpickler(io.BytesIO(content)).load()


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, type) and issubclass(obj, Message):
            descriptor: Any = obj.DESCRIPTOR
            return _files_of(descriptor.file), descriptor.full_name
        return None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        return _class_of(*pid)


@lru_cache(maxsize=64)
def _files_of(file: FileDescriptor) -> bytes:
    """Return a file and all that it imports as a serialized descriptor set, each after its own imports."""
    files = FileDescriptorSet()
    for one in in_order(file):
        one.CopyToProto(files.file.add())
    return files.SerializeToString()


@lru_cache(maxsize=64)
def _pool_of(files: bytes) -> DescriptorPool:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(files).file:
        pool.Add(file)
    return pool


@lru_cache(maxsize=256)
def _class_of(files: bytes, name: str) -> type[Message]:
    return class_of(_pool_of(files).FindMessageTypeByName(name))


def answer_to(content: bytes) -> bytes:
    """Call the function that `dumps` was given with its arguments.

    Return how that ended, its result, the parts of its Problem or the traceback of a bug, and whether this process
    ends.
    """
    if is_last := len(content) > LARGE:
        os.nice(_NICE)
    try:
        do, args = loads(content)
        return dumps(("done", do(*args), is_last))
    except Problem as problem:
        return dumps(("problem", (problem.status, str(problem), problem.retry_after_s, problem.facts), is_last))
    except MemoryError:
        detail = "the rows need more memory than this gateway gives them: send fewer at a time"
        return dumps(("problem", (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, None, {}), True))
    except Exception:  # noqa: BLE001 - a bug: the parent logs it
        return dumps(("bug", traceback.format_exc(), True))


def main() -> None:
    """Work for the process that has started this one, on the socket that is its standard input, until that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to both
    for module in _MODULES:
        import_module(module)
    with socket.socket(fileno=0) as channel, channel.makefile("rb") as requests, channel.makefile("wb") as answers:
        while head := requests.read(LENGTH.size):
            content = requests.read(*LENGTH.unpack(head))
            most = _OWN_BYTES + _BYTES_PER_BYTE * len(content)
            resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))
            signal.alarm(2 * WORK_S)  # the parent, which would end it before, may have been killed
            answer = answer_to(content)
            signal.alarm(0)
            answers.write(LENGTH.pack(len(answer)))
            answers.write(answer)
            answers.flush()


if __name__ == "__main__":
    main()
