"""What a worker tells of its machine, and what it calls a fault."""

import ctypes
import gc
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from hotswap.errors import StartError
from hotswap.local import machine as module

GIB = 1 << 30


@pytest.fixture
def sound(monkeypatch):
    """A machine with a Java and room; a test takes one of them away."""
    monkeypatch.setattr(module, "find_java", lambda: SimpleNamespace(version="17", executable="/usr/bin/java"))
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=9 * GIB))
    monkeypatch.setattr(module, "memory_of", lambda _: 1200 << 20)
    return monkeypatch


def test_a_sound_machine_tells_of_its_java_and_its_cache_and_has_no_fault(sound, tmp_path):
    cache = tmp_path / "not" / "there yet"
    told = {"java": "17 at /usr/bin/java", "memory": "1,200 MiB with its hosts", "cache": f"{cache} has 9.0 GiB free"}
    assert module.look(cache) == (told, ())


def test_a_cpu_is_called_by_its_model_or_where_the_system_does_not_tell_that_by_its_architecture(monkeypatch):
    monkeypatch.setattr(module.platform, "machine", lambda: "aarch64")
    for told, name in (
        ("processor\t: 0\nmodel\t\t: 85\nmodel name\t: Xeon: 2.50GHz\nmodel name\t: other\n", "Xeon: 2.50GHz"),
        ("processor\t: 0\nCPU part\t: 0xd0c\n", "aarch64"),
        (None, "aarch64"),
    ):

        def read_text(_, errors, told=told):
            if told is None:
                raise FileNotFoundError
            return told

        monkeypatch.setattr(module.Path, "read_text", read_text)
        module.cpu.cache_clear()
        assert module.cpu() == name
    module.cpu.cache_clear()


def test_a_machine_without_java_says_that_no_host_can_be_started(sound, tmp_path):
    def find_java():
        raise StartError("no Java 17 or newer: install one")

    sound.setattr(module, "find_java", find_java)
    told, faults = module.look(tmp_path)
    assert told["java"] == "no Java 17 or newer: install one"
    assert faults == ("no model host can be started: no Java 17 or newer: install one",)


def test_a_cache_with_little_room_says_what_to_do(sound, tmp_path):
    sound.setattr(module.shutil, "disk_usage", lambda _: SimpleNamespace(free=GIB // 4))
    (fault,) = module.look(tmp_path).faults
    assert fault.startswith(f"{tmp_path} has 0.2 GiB free: free space there, or set HOTSWAP_CACHE")


def test_a_cache_that_cannot_be_looked_at_is_a_fault(sound, tmp_path):
    def disk_usage(_):
        raise PermissionError(13, "Permission denied")

    sound.setattr(module.shutil, "disk_usage", disk_usage)
    told, faults = module.look(tmp_path)
    assert faults == (told["cache"],) == (f"{tmp_path} cannot be looked at: Permission denied",)


def test_the_memory_is_that_of_a_process_and_of_all_that_it_started(tmp_path):
    for pid, parent, pages in ((7, 1, 10), (8, 7, 20), (9, 8, 40), (10, 1, 80), (11, 7, 0)):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_text(f"{pid} (a) b) S {parent} {' '.join(['0'] * 19)} {pages} 0")
    (tmp_path / "11" / "stat").unlink()
    assert module.memory_of(7, tmp_path) == 70 * os.sysconf("SC_PAGE_SIZE")
    assert module.memory_of(7, tmp_path / "nowhere") == 0
    assert module.memory_of(os.getpid()) > 1 << 20


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc")
def test_what_is_free_between_what_is_in_use_goes_back_to_the_system():
    def resident():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    chunks = [bytearray(32 << 10) for _ in range(1_000)]
    kept = chunks[::20]
    del chunks
    before = resident()
    module.return_free_memory()

    assert len(kept) == 50
    assert before - resident() > 20 << 10  # KiB


def test_returning_memory_again_and_again_leaves_no_objects_for_the_cycle_collector():
    module.return_free_memory()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(20):
            module.return_free_memory()
        assert len(gc.get_objects()) - before < 20
    finally:
        gc.enable()
