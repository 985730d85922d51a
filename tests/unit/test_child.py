"""What the model host's process does before it has a Java."""

import socket

import pytest

from worker.generation import Configuration
from worker.host import child, frames
from worker.host.frames import Ground, Order


@pytest.mark.parametrize("gives_way", [True, False])
def test_a_generation_is_loaded_at_low_priority_only_where_it_is_to_give_way(monkeypatch, gives_way):
    aside = []
    monkeypatch.setattr(child, "_start_jvm", lambda _: None)
    monkeypatch.setattr(child, "_load", lambda _: (None, {}))
    monkeypatch.setattr(child, "_aside", lambda work, priority: aside.append(priority) or work())
    monkeypatch.setattr(child.gc, "freeze", lambda: None)
    monkeypatch.setattr(child.os, "chdir", lambda _: None)
    order = Order(
        ground=Ground(kind="h2o", heap_mb=64, jvm_library="libjvm.so", jvm_options=(), classpath=()),
        model="m.zip",
        proto=b"",
        is_descriptor_set=False,
        configuration=Configuration(),
        samples=(),
        gives_way=gives_way,
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frames.pack_load(order))
        ours.shutdown(socket.SHUT_WR)
        child._serve(theirs)
    assert aside == ([child._give_way] if gives_way else [])
