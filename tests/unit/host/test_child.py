"""The model host's process, tested without a JVM."""

import json
import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest

from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.host import child, frames
from hotswap.host.order import Ground, Order

ORDER = Order(
    ground=Ground(kind="h2o", heap_mb=64, jvm_library="libjvm.so", jvm_options=(), classpath=()),
    model="m.zip",
    proto=b"",
    is_descriptor_set=False,
    configuration=Configuration(),
    samples=(),
)


@pytest.mark.parametrize("is_low_priority", [True, False])
def test_a_generation_is_loaded_at_low_priority_only_if_the_order_says_so(monkeypatch, is_low_priority):
    done = serve(monkeypatch, frames.pack_load(replace(ORDER, is_low_priority=is_low_priority)))
    assert done[-3:] == [child._lower_priority if is_low_priority else "forward", "load", "forward"]


@pytest.mark.parametrize(
    ("is_standby", "is_low_priority", "before"),
    [(True, True, 1), (True, False, 1), (False, True, 0), (False, False, 1)],
)
def test_what_is_waited_for_comes_forward_before_it_loads_but_for_what_starts_beside_another(
    monkeypatch, is_standby, is_low_priority, before
):
    prepare = [frames.pack_prepare(ORDER.ground, None)] if is_standby else []
    monkeypatch.setattr(child, "_prepare", lambda *_: None)
    done = serve(monkeypatch, *prepare, frames.pack_load(replace(ORDER, is_low_priority=is_low_priority)))
    assert [step for step in done if step != child._lower_priority] == [*["forward"] * before, "load", "forward"]


def serve(monkeypatch, *messages):
    """Give a host these messages; return in which order it comes forward and loads, behind the priority it takes."""
    done = []
    monkeypatch.setattr(child, "Session", lambda: SimpleNamespace(come_forward=lambda: done.append("forward")))
    monkeypatch.setattr(child, "_start_jvm", lambda *_: (None, None))
    monkeypatch.setattr(child, "_shut_in", lambda *_: None)
    monkeypatch.setattr(child, "_run_in_thread", lambda work, priority: done.append(priority) or work())
    monkeypatch.setattr(child, "_load", lambda *_: done.append("load") or (None, {}))
    monkeypatch.setattr(child.gc, "freeze", lambda: None)
    monkeypatch.setattr(child.os, "chdir", lambda _: None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"".join(messages))
        ours.shutdown(socket.SHUT_WR)
        child._serve(theirs)
    return done


def test_each_step_of_loading_is_announced_before_it_begins(monkeypatch):
    done = []
    runtime = SimpleNamespace(load=lambda *_: done.append("load"), versions=lambda _: "x 1")
    monkeypatch.setattr(child.proto, "compile", lambda *_: done.append("compile"))
    monkeypatch.setattr(child, "runtime_of", lambda _: runtime)
    monkeypatch.setattr(child, "Dispatcher", lambda **_: SimpleNamespace(describe=dict))
    monkeypatch.setattr(child, "check_samples", lambda *_: done.append("samples"))
    monkeypatch.setattr(child, "warm", lambda *_: done.append("warm"))
    _, facts = child._load(ORDER, None, lambda step: done.append(step.value))
    assert facts["runtime"] == "x 1"
    steps = ["loading the model", "compile", "load", "scoring the samples", "samples", "warming up", "warm"]
    assert done == steps


def said(frame):
    return json.loads(frames.parse_frame(frame[4:]).payload)


def test_a_reason_with_lines_for_very_many_columns_is_truncated_to_the_maximum_frame_size():
    lines = "\n".join(f"column \U0001f600{number} \x00 is not in the proto" for number in range(100_000))

    frame = child._failed(SwapError(SwapCode.SCHEMA_MISMATCH, lines))

    assert len(frame) <= frames.MAX_FACTS_BYTES
    assert said(frame) == {"code": "SCHEMA_MISMATCH", "message": lines[: frames.MAX_REASON]}


def test_ready_for_very_many_operations_leaves_out_the_facts_only_people_read():
    names = [f"{number:0200}" for number in range(1_500)]
    facts = {"operations": names, "columns": "", "phase_seconds": {}}
    facts |= {part: dict.fromkeys(names, "a.Message") for part in ("inputs", "outputs", "paths")}

    frame = child._ready(facts)

    assert len(frame) <= frames.MAX_FACTS_BYTES
    assert said(frame) == {**facts, "inputs": {}, "outputs": {}, "paths": {}}


def test_operation_names_that_exceed_the_maximum_frame_size_fail_the_swap_with_a_reason():
    with pytest.raises(SwapError, match="names of its operations") as error:
        child._ready({"operations": ["x" * 800] * 1_500})
    assert error.value.code == "SCHEMA_MISMATCH"
