"""The model host's process: loads one generation, once, and scores the batches that its parent sends.

It may be prepared before the generation is known (a warm standby): it then has started Java and loaded what its kind of
model needs.

    python -m hotswap.host.child FD PARENT

FD is its end of a socket pair (frames.py), PARENT the worker's process id. It inherits no environment, has no Kafka,
leads its own session, is shut in before it loads a model (sandbox.py) and has a limit on memory; the parent keeps the
tail of its output. It exits when the parent closes the connection or dies.
"""

import contextlib
import gc
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import jpype

from hotswap.artifacts.detect import explain
from hotswap.batch import Ask
from hotswap.codec import proto
from hotswap.errors import SwapCode, SwapError
from hotswap.host import frames
from hotswap.host.dispatcher import Dispatcher, LoadedModel
from hotswap.host.frames import Kind, StartStep
from hotswap.host.golden import check_golden
from hotswap.host.guest import start_guest
from hotswap.host.interface import facts_of
from hotswap.host.order import Ground, GuestPython, Order
from hotswap.host.sandbox import Enclosure
from hotswap.host.session import Session
from hotswap.host.warm import check_samples, warm
from hotswap.local.lifeline import die_with
from hotswap.runtimes.kinds import runtime_of
from hotswap.runtimes.python.calls import Guest

T = TypeVar("T")

_BEYOND_HEAP_BYTES: Final = 1536 << 20
_LOADING_NICE: Final = 10
_COMPILING_NICE: Final = 5
_JVM_FLAGS: Final = (
    "-XX:+UseSerialGC",  # 145 MB less than the default collector; batches are short-lived garbage
    "-XX:+ExitOnOutOfMemoryError",  # a JVM cannot be trusted after a failed allocation
    "-Xrs",  # leave the signals to Python
    "-XX:-UsePerfData",  # no files in the shared temporary folder
    "--enable-native-access=ALL-UNNAMED",  # JPype's own library; newer Javas warn of it
)


def main() -> None:
    """Serve until the parent closes the connection or dies."""
    descriptor, parent = map(int, sys.argv[1:])
    die_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection = socket.socket(fileno=descriptor)
    try:
        _serve(connection)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the parent is gone
    except MemoryError:
        # This process may be in any state; the parent starts a clean one and finds the request that caused it.
        os.write(2, b"the model host is out of memory\n")
        os._exit(frames.OUT_OF_MEMORY)
    # A model's non-daemon Java threads would keep the process alive, and nothing here needs an orderly shutdown.
    os._exit(0)


def _serve(connection: socket.socket) -> None:
    try:
        dispatcher = _start(connection)
    except SwapError as error:
        connection.sendall(_failed(error))
        return
    room = frames.Room()
    while dispatcher and (message := frames.receive(connection, room)) is not None:
        verb, ticket, asks, values = message
        if verb == "seal":
            connection.sendall(frames.pack_sealed(ticket, dispatcher.seal(values.buffer)))
        elif verb == "one_by_one":
            _score_one_by_one(connection, dispatcher, ticket, values, asks)
        else:
            connection.sendall(frames.pack_answers(ticket, dispatcher.score(values, asks)))


def _start(connection: socket.socket) -> Dispatcher | None:
    """Execute the parent's first request; return the dispatcher of its batches, or None if it sends none."""
    session = Session()
    message = frames.receive(connection)
    is_prepared = message is not None and message[0] == "prepare"
    if message and is_prepared:
        _, ground, prewarm_on = message
        _prepare(ground, prewarm_on, connection)
        message = frames.receive(connection)
    if message is None:
        return None
    verb, order = message
    guest = None
    if not is_prepared:
        enclosure, guest = _start_jvm(order.ground, order.model, order.interpreter)
        _shut_in(enclosure, order.ground.kind, connection)
    if verb == "describe":
        connection.sendall(_ready(_describe(order, guest)))
        return None
    load = partial(_load, order, guest, lambda step: connection.sendall(frames.pack_step(step)))
    if is_prepared or not order.is_low_priority:
        session.come_forward()  # a standby has the most behind it, and now a command waits
    if order.is_low_priority:
        dispatcher, facts = _run_in_thread(load, _lower_priority)
    else:
        dispatcher, facts = load()
    session.come_forward()
    ready = _ready(facts)
    # The loaded objects stay for good: spare the garbage collector from walking them in the middle of a batch.
    gc.collect()
    gc.freeze()
    # Leave the folder, which the parent removes now unless Runtime.needs_folder: a killed worker could not do it later.
    os.chdir("/")
    connection.sendall(ready)
    return dispatcher


def _ready(facts: Mapping[str, object]) -> bytes:
    """Return the READY frame; if it would be too large, without the facts only people read. Raises SwapError."""
    frame = frames.pack_facts(Kind.READY, facts)
    if len(frame) > frames.MAX_FACTS_BYTES:
        less = dict(facts, **{name: {} for name in ("inputs", "outputs", "paths", "reads", "fields") if name in facts})
        frame = frames.pack_facts(Kind.READY, less)
    if len(frame) > frames.MAX_FACTS_BYTES:
        raise SwapError(
            SwapCode.SCHEMA_MISMATCH,
            f"the names of its operations or columns take {len(frame):,} bytes; at most {frames.MAX_FACTS_BYTES:,} are "
            "allowed: shorten them, or split the model",
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


def _prepare(ground: Ground, prewarm_on: Order | None, connection: socket.socket) -> None:
    enclosure, _ = _start_jvm(ground, prewarm_on.model if prewarm_on else None)
    _run_in_thread(runtime_of(ground.kind).prepare, _run_when_idle)
    _shut_in(enclosure, ground.kind, connection)
    if prewarm_on:
        _run_in_thread(partial(_prewarm, prewarm_on), _run_when_idle)
    connection.sendall(frames.pack_facts(Kind.PREPARED, {}))


def _shut_in(enclosure: Enclosure, kind: str, connection: socket.socket) -> None:
    enclosure.close()
    report = {"kind": kind, "holds": enclosure.holds, "missing": enclosure.missing}
    connection.sendall(frames.pack_facts(Kind.SHUT_IN, report))


def _prewarm(order: Order) -> None:
    # Java then has loaded and compiled most of the code that the next model of this kind runs. If this one can no
    # longer be loaded (it has been retired meanwhile), the standby is only less warm.
    with contextlib.suppress(SwapError):
        model = runtime_of(order.ground.kind).load(Path(order.model), order.configuration)
        schema = proto.compile(order.proto, order.is_descriptor_set)
        warm(Dispatcher(model=model, schema=schema, configuration=order.configuration), order.samples)
    gc.collect()


def _load(
    order: Order, guest: Guest | None, on_step: Callable[[StartStep], None]
) -> tuple[Dispatcher, dict[str, object]]:
    begun = time.perf_counter()
    on_step(StartStep.LOADING)
    schema = proto.compile(order.proto, order.is_descriptor_set)
    model = _load_model(order, guest)
    dispatcher = Dispatcher(model=model, schema=schema, configuration=order.configuration)
    loaded = time.perf_counter()
    on_step(StartStep.SAMPLING)
    check_samples(dispatcher, order.samples, order.max_answer_bytes)
    if order.golden:
        on_step(StartStep.COMPARING)
        check_golden(dispatcher, schema, order.golden)
    on_step(StartStep.WARMING)
    warm(dispatcher, order.samples, order.max_answer_bytes)
    warmed = time.perf_counter()
    seconds = {"load": loaded - begun, "warm": warmed - loaded}
    return dispatcher, {**dispatcher.describe(), "runtime": _versions(order, model), "phase_seconds": seconds}


def _versions(order: Order, model: LoadedModel) -> str:
    versions = [runtime_of(order.ground.kind).versions(model)]
    if jpype.isJVMStarted():
        versions.append(f"Java {jpype.JClass('java.lang.System').getProperty('java.version')}")
    return ", ".join(filter(None, versions))


def _describe(order: Order, guest: Guest | None) -> dict[str, object]:
    model: Any = _load_model(order, guest)
    if order.samples and guest:
        model.try_on(order.samples)
    return facts_of(model)


def _load_model(order: Order, guest: Guest | None) -> LoadedModel:
    more = (guest, order.interpreter.site) if guest and order.interpreter else ()
    try:
        model: LoadedModel = runtime_of(order.ground.kind).load(Path(order.model), order.configuration, *more)
    except SwapError as error:
        if error.code is SwapCode.MODEL_INVALID and (what := explain(Path(order.model), order.ground.kind)):
            raise SwapError(error.code, f"the model {what} ({error.message})") from error
        raise
    return model


def _start_jvm(
    ground: Ground, model: str | None, interpreter: GuestPython | None = None
) -> tuple[Enclosure, Guest | None]:
    """Start Java, and the guest of `interpreter`, in a sandbox, where they may read `model`; it is not closed yet."""
    enclosure = Enclosure(ground.sandbox, needs_loopback=runtime_of(ground.kind).needs_loopback)
    guests: list[Guest] = []
    files = [*ground.java_files, *ground.classpath, *filter(None, [model]), *_files_of(interpreter)]
    if interpreter and model:
        enclosure.enter(files, lambda: guests.append(_start_guest(interpreter, model, enclosure)))
    else:
        enclosure.enter(files)
    guest = guests[0] if guests else None
    # The heap, plus what a JVM, numpy and protobuf need beside it. Exceeding it ends this process and no other.
    limit = (ground.heap_mb << 20) + _BEYOND_HEAP_BYTES
    if sys.platform == "linux":  # elsewhere the limit does not cover mapped memory
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
                _be_nice(_own_id(thread.parent), _COMPILING_NICE)
    return enclosure, guest


def _files_of(interpreter: GuestPython | None) -> Sequence[str]:
    return (interpreter.program, interpreter.site, *interpreter.reads) if interpreter else ()


def _start_guest(interpreter: GuestPython, model: str, enclosure: Enclosure) -> Guest:
    try:
        return start_guest(interpreter, model, enclosure)
    except (OSError, subprocess.SubprocessError) as error:
        raise SwapError(
            SwapCode.HOST_FAILED, f"the model's Python, {interpreter.program}, cannot be started: {error}"
        ) from error


def _own_id(thread: Path) -> int:
    """Return a thread's id in this process's namespace; /proc may show another namespace's (supervisor.py)."""
    (ids,) = (line for line in (thread / "status").read_text().splitlines() if line.startswith("NSpid:"))
    return int(ids.split()[-1])


def _run_in_thread(work: Callable[[], T], lower_priority: Callable[[], None]) -> T:
    """Run `work` in a new thread: an unprivileged one can lower its priority, but cannot raise it again."""

    def run() -> T:
        if sys.platform == "linux":  # elsewhere the priority is the whole process's
            lower_priority()
        thread = jpype.JClass("java.lang.Thread")
        # Java's main thread has a context class loader; a thread attached from outside has none.
        thread.currentThread().setContextClassLoader(jpype.JClass("java.lang.ClassLoader").getSystemClassLoader())
        try:
            return work()
        finally:
            thread.detach()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def _lower_priority() -> None:
    _be_nice(0, _LOADING_NICE)  # this thread


def _be_nice(thread: int, nice: int) -> None:
    # A worker that was started with a lower priority yet keeps it: raising one is refused.
    os.setpriority(os.PRIO_PROCESS, thread, max(nice, os.getpriority(os.PRIO_PROCESS, thread)))


def _run_when_idle() -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    main()
