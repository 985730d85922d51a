"""The model host's process: one generation, loaded once, scoring the batches that its parent sends.

It may be prepared before the generation is known (a standby): its Java is up then, and what its kind of model needs.

    python -m hotswap.host.child FD PARENT

FD is its end of a socket pair (frames.py), PARENT the worker's process id. It has no environment and no Kafka, a
session of its own, limits on memory and core files; what it prints goes to stderr, whose end the parent keeps. It ends
when the parent closes the connection or is gone.
"""

import contextlib
import gc
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import jpype

from hotswap.batch import Ask
from hotswap.codec import proto
from hotswap.errors import SwapCode, SwapError
from hotswap.host import frames
from hotswap.host.dispatcher import Dispatcher
from hotswap.host.frames import Ground, Kind, Order
from hotswap.host.interface import facts_of
from hotswap.host.warm import check_samples, warm
from hotswap.local.lifeline import die_with
from hotswap.runtimes.kinds import runtime_of

T = TypeVar("T")

_BEYOND_HEAP_BYTES: Final = 1536 << 20
_LOADING_NICE: Final = 10
_COMPILING_NICE: Final = 5
_JVM_FLAGS: Final = (
    "-XX:+UseSerialGC",  # 145 MB less than the default collector; batches are short-lived garbage
    "-XX:+ExitOnOutOfMemoryError",  # a JVM that has lost an allocation half-way is not to be trusted further
    "-Xrs",  # signals stay Python's
    "-XX:-UsePerfData",  # no files in the shared temporary folder
    "--enable-native-access=ALL-UNNAMED",  # JPype's own library; newer Javas warn of it
)


def main() -> None:
    """Serve until the parent goes."""
    descriptor, parent = map(int, sys.argv[1:])
    die_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=descriptor)
    try:
        _serve(connection)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone
    except MemoryError:
        # Whatever is left half-done here: the parent starts a clean process, and finds the request that did it.
        os.write(2, b"the model host is out of memory\n")
        os._exit(frames.OUT_OF_MEMORY)
    # Java threads of a model that are no daemons would keep the process; nothing here needs an orderly end.
    os._exit(0)


def _serve(connection: socket.socket) -> None:
    message = frames.receive(connection)
    is_prepared = False
    if message and message[0] == "prepare":
        ground, prewarm_on = message[1:]
        _start_jvm(ground)
        _aside(partial(_prepare, ground.kind, prewarm_on), _give_up_the_cpu)
        connection.sendall(frames.pack_facts(Kind.PREPARED, {}))
        is_prepared = True
        message = frames.receive(connection)
    if message is None:
        return
    verb, order = message
    try:
        if verb == "describe":
            connection.sendall(_ready(_describe(order)))
            return
        if not is_prepared:
            _start_jvm(order.ground)
        load = partial(_load, order)
        dispatcher, facts = _aside(load, _give_way) if order.is_low_priority else load()
        ready = _ready(facts)
    except SwapError as error:
        connection.sendall(_failed(error))
        return
    # What is loaded stays: the collector need not walk it in the middle of a batch.
    gc.collect()
    gc.freeze()
    # Most need their folder no more (Runtime.needs_folder): it goes now, for a killed worker could not remove it.
    os.chdir("/")
    connection.sendall(ready)
    while (message := frames.receive(connection)) is not None:
        verb, ticket, asks, values = message
        if verb == "one_by_one":
            _score_one_by_one(connection, dispatcher, ticket, values, asks)
        else:
            connection.sendall(frames.pack_answers(ticket, dispatcher.score(values, asks)))


def _ready(facts: Mapping[str, object]) -> bytes:
    """Give the frame READY, without what only people read where the whole is too large for it. Raises SwapError."""
    frame = frames.pack_facts(Kind.READY, facts)
    if len(frame) > frames.MAX_FACTS_BYTES:
        less = dict(facts, **{name: {} for name in ("inputs", "outputs", "paths") if name in facts})
        frame = frames.pack_facts(Kind.READY, less)
    if len(frame) > frames.MAX_FACTS_BYTES:
        raise SwapError(
            SwapCode.SCHEMA_MISMATCH,
            f"the names of its operations or columns take {len(frame):,} bytes, and {frames.MAX_FACTS_BYTES:,} are "
            "allowed: shorten them, or divide the model",
        )
    return frame


def _failed(error: SwapError) -> bytes:
    return frames.pack_facts(Kind.FAILED, {"code": error.code, "message": error.message[: frames.MAX_REASON]})


def _score_one_by_one(
    connection: socket.socket, dispatcher: Dispatcher, ticket: int, values: Sequence[bytes], asks: list[Ask] | None
) -> None:
    for index, value in enumerate(values):
        connection.sendall(frames.pack_announcement(ticket, index))
        answers = dispatcher.score([value], asks and [asks[index]])
        connection.sendall(frames.pack_answers(ticket, answers))


def _prepare(kind: str, prewarm_on: Order | None) -> None:
    runtime_of(kind).prepare()
    if prewarm_on:
        # Java has then read and compiled most of what the next model of this kind runs on. One that cannot be loaded
        # any more (it was retired meanwhile) leaves a standby that is less warm.
        with contextlib.suppress(SwapError):
            _prewarm(prewarm_on)
        gc.collect()


def _prewarm(order: Order) -> None:
    model = runtime_of(order.ground.kind).load(Path(order.model), order.configuration)
    schema = proto.compile(order.proto, order.is_descriptor_set)
    warm(Dispatcher(model=model, schema=schema, configuration=order.configuration), order.samples)


def _load(order: Order) -> tuple[Dispatcher, dict[str, object]]:
    begun = time.perf_counter()
    schema = proto.compile(order.proto, order.is_descriptor_set)
    model = runtime_of(order.ground.kind).load(Path(order.model), order.configuration)
    dispatcher = Dispatcher(model=model, schema=schema, configuration=order.configuration)
    loaded = time.perf_counter()
    check_samples(dispatcher, order.samples)
    warm(dispatcher, order.samples)
    warmed = time.perf_counter()
    seconds = {"load": loaded - begun, "warm": warmed - loaded}
    return dispatcher, {**dispatcher.describe(), "phase_seconds": seconds}


def _describe(order: Order) -> dict[str, object]:
    _start_jvm(order.ground)
    return facts_of(runtime_of(order.ground.kind).load(Path(order.model), order.configuration))


def _start_jvm(ground: Ground) -> None:
    # The heap, and what a JVM, numpy and protobuf need beside it. What goes beyond ends this process, no other one.
    limit = (ground.heap_mb << 20) + _BEYOND_HEAP_BYTES
    if sys.platform == "linux":  # elsewhere the limit does not count mapped memory
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    jpype.startJVM(
        *_JVM_FLAGS,
        *ground.jvm_options,
        f"-Xmx{ground.heap_mb}m",
        f"-Djava.io.tmpdir={Path.cwd()}",
        jvmpath=ground.jvm_library,
        classpath=list(ground.classpath),
        convertStrings=False,
    )
    if sys.platform == "linux":
        for thread in Path("/proc/self/task").glob("*/comm"):
            if thread.read_text().startswith(("C1 Compiler", "C2 Compiler")):
                os.setpriority(os.PRIO_PROCESS, _own_id(thread.parent), _COMPILING_NICE)


def _own_id(thread: Path) -> int:
    """Give a thread's id as this process knows it; /proc may be that of another namespace (supervisor.py)."""
    (ids,) = (line for line in (thread / "status").read_text().splitlines() if line.startswith("NSpid:"))
    return int(ids.split()[-1])


def _aside(work: Callable[[], T], give_way: Callable[[], None]) -> T:
    """Do it in a thread of its own, whose priority can go down and need not come back."""

    def run() -> T:
        if sys.platform == "linux":  # elsewhere it would be the whole process's
            give_way()
        thread = jpype.JClass("java.lang.Thread")
        # Java's main thread has a class loader of its own, and others that come from outside have none.
        thread.currentThread().setContextClassLoader(jpype.JClass("java.lang.ClassLoader").getSystemClassLoader())
        try:
            return work()
        finally:
            thread.detach()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _give_way() -> None:
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOADING_NICE)


def _give_up_the_cpu() -> None:
    os.sched_setscheduler(threading.get_native_id(), os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    main()
