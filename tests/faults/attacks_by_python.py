"""What a Python model can be: somebody's code, which tries to reach all that its worker can, or to break it.

A row serves one model with many acts, and publishes a record for each between two good ones, beside the stream. What an
act may end in is in the tables below; whatever it says, the row looks for its effects: connections, files, processes.
"""

import asyncio
import contextlib
import socket
import tempfile
import time
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path

from faults import hostile_python as hostile
from faults.attacks_by_swaps import made_before
from faults.hostile_answers import ANSWERS
from faults.raw_batches import Record, batch
from hotswap.codec.proto import compile as compile_proto

_ENVIRONMENT = {"HOTSWAP_KINDS": "h2o,python", "HOTSWAP_PYTHON_MEMORY_MB": "512", "HOTSWAP_SANDBOX_FOLDER_MB": "16"}
_BATCH_MS, _STAGING_MS, _HANGING_MS = 1_500, 30_000, 5_000
_BEFORE_S, _GONE_S, _ACT_S = 1, 15, 180
_BOUND_MB = 300
_SLEEPS = b"sleep\x003671"
_ELSEWHERE = (Path("/tmp/hostile"), Path("/dev/shm/hostile"))
(_OPERATION,) = compile_proto(hostile.PROTO.encode()).operations.values()
REFUSED, ENDS, LATE = {"MODEL_ERROR"}, {"HOST_CRASHED"}, {"HOST_TOO_SLOW"}
DONE = {"achieved"}
"""An act that harms nobody but its own process: it may succeed."""
_PROCESSES = {"executes_another": LATE | ENDS}
_FILES = {"fills_the_disk_by_files_without_a_name": LATE | ENDS}  # once a second somebody looks (supervisor.py)
_RESOURCES = {
    **dict.fromkeys(("sleeps_for_ever", "spins_for_ever", "spins_in_c"), LATE),
    **dict.fromkeys(("prints_a_gigabyte", "prints_a_gigabyte_to_stderr"), LATE),  # nobody reads so much (printed.py)
    **dict.fromkeys(("breaks_memory", "aborts", "overflows_the_stack_of_c"), ENDS),
    "recurses": LATE | REFUSED | ENDS,
    "allocates_everything": LATE | REFUSED,
}
_ITSELF = {
    **dict.fromkeys(
        ("closes_every_descriptor", "closes_all_but_the_standard_ones", "writes_to_every_descriptor"), ENDS
    ),
    **dict.fromkeys(("exits_at_once", "patches_what_it_can", "changes_callers", "answers_for_its_guest"), ENDS),
    "ends_by_a_signal_without_a_name": ENDS,
    "harms_the_next_record": DONE,
    **dict.fromkeys(("closes_standard_output", "replaces_standard_streams", "reads_every_descriptor"), DONE),
    **dict.fromkeys(("leaves_a_thread", "sleeps_at_exit", "changes_directory", "limits_itself"), DONE),
    **dict.fromkeys(("handles_signals", "lowers_its_priority"), DONE),
    "ignores_signals": LATE,
}
_ANSWERS = {
    name: {"answered"}
    for name in (
        *("answers_a_list", "answers_a_name_more", "answers_names_that_are_none", "answers_none_among"),
        *("answers_nan", "answers_infinity", "answers_a_dictionary_of_its_own", "has_floats_that_act"),
    )
}
"""What can be read: one answer is returned by itself, no number is NaN, a subclass of float has its value."""
_HANGS = {"FAILED DEADLINE_EXCEEDED"}
_LOADS = {
    name: {outcome}
    for outcome, names in {
        "FAILED DEADLINE_EXCEEDED": ("sleeps_in_load", "spins_in_load", "sleeps_when_imported"),
        "FAILED HOST_FAILED": ("exits_in_load", "exits_when_imported"),
        "READY": ("leaves_a_thread_in_load", "pths"),
    }.items()
    for name in names
}


class _Made:
    """A row's models, each a file, and the places that they attack."""

    environment = _ENVIRONMENT

    def __init__(self, folder, models):
        self.outside = folder.with_name(f"{folder.name}-outside")
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(self._tcp.getsockname())
        self.paths = {name: self._packed(folder / f"{name}.zip", *texts) for name, texts in models.items()}

    def _packed(self, path, text, pths=()):
        fill = partial(hostile.filled, port=self._tcp.getsockname()[1], outside=self.outside)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model.py", fill(text))
            for number, pth in enumerate(pths):
                archive.writestr(f"{number}.pth", fill(pth))
        return path

    def effects(self):
        """Return what the models have reached; call it once."""
        found = []
        for kind, (sock, receive) in {
            "connection": (self._tcp, self._tcp.accept),
            "datagram": (self._udp, partial(self._udp.recv, 1)),
        }.items():
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                receive()
                found.append(f"a {kind}")
            sock.close()
        found += [str(path) for path in _ELSEWHERE if path.exists()]
        if [(path.name, path.read_text()) for path in self.outside.iterdir()] != [("secret", "secret")]:
            found.append(str(self.outside))
        return found


def _serving(folder, acts):
    return _Made(folder, {"model": (hostile.acting(acts),)})


async def _swapped(stage, path, deadline_ms=_STAGING_MS):
    """Swap to a model; return the outcomes of the workers, and the generation."""
    command = stage.swap(model=path, proto=hostile.PROTO)
    command.swap.model.kind, command.swap.deadline_ms = "python", deadline_ms
    command.swap.configuration.deadline_ms = _BATCH_MS
    await stage.send(command)
    return set((await stage.verdicts(command, 60)).values()), command.swap.generation


async def _served(stage, acts, right):
    """Serve a model, and have it do each act; return what was seen, and whether each act cost its record at most."""
    told, generation = await _swapped(stage, stage.made.paths["model"])
    await stage.plane.until(lambda: all(one.generation == generation for one in stage.plane.workers.values()), 20)
    stage.over = time.time()  # a batch waits for its deadline by design, and so does the rest of its partition
    await asyncio.sleep(_BEFORE_S)
    lanes = [list(acts)[number::4] for number in range(4)]
    one_sends = asyncio.Lock()
    played = await asyncio.gather(*(_lane(stage, part, names, one_sends) for part, names in enumerate(lanes)))
    seen = {name: outcome for lane in played for name, (_, outcome) in lane.items()}
    odd = {name: outcome for name, outcome in seen.items() if outcome not in right.get(name, REFUSED)}
    places = {(part, place): name for part, lane in enumerate(played) for name, (place, _) in lane.items()}
    others = [place for place in stage.answers.letters if place not in places]
    text = f"{', '.join(sorted(told)) or 'no verdict'}, {len(acts)} acts: "
    text += ", ".join(f"{count} {outcome}" for outcome, count in Counter(seen.values()).most_common())
    text += "".join(f"; {name}: {outcome}" for name, outcome in odd.items())
    if others:
        part, place = others[0]
        code = stage.answers.letters[others[0]]["code"].decode()
        beside = [places[part, near] for near in (place - 1, place + 1) if (part, near) in places]
        text += f"; {len(others)} other requests refused ({code}, beside {', '.join(beside) or 'none'})"
    return await _ended(stage, text, is_held=told == {"READY"} and not odd and not others)


async def _lane(stage, part, names, one_sends):
    """Publish the acts to a partition, each between two good records; return name -> (offset, outcome)."""
    played = {}
    for name in names:
        values = [_OPERATION.input(x=1.0, attack=attack).SerializeToString() for attack in ("", name, "")]
        async with one_sends:
            first = await stage.raw.send(
                stage.topics.requests, part, batch([Record(value=value) for value in values]).at(0)
            )
        places = {(part, first + number): time.time() for number in range(3)}
        stage.stream.asked |= places
        # All of them: dead letters are read by themselves, and may be seen after an answer that was written after them.
        await stage.plane.until(lambda places=places: places.keys() <= stage.answers.counts.keys(), _ACT_S)
        played[name] = (first + 1, _outcome(stage, (part, first + 1)))
    return played


def _outcome(stage, place):
    if letter := stage.answers.letters.get(place):
        return letter["code"].decode()
    if (value := stage.answers.values.get(place)) is None:
        return "no answer"
    return "achieved" if _OPERATION.output.FromString(value).y == hostile.ACHIEVED else "answered"


async def _ended(stage, text, *, is_held):
    """Swap to a good model, and look for what is left of the bad one."""
    is_good = await stage.is_good(base=1)
    await stage.plane.until(lambda: not _left(stage), _GONE_S)
    found = [*stage.made.effects(), *_left(stage)]
    peak_mb = stage.peak_mb()
    text += f"; {f'EFFECTS: {found}' if found else 'no effect'}, worker {peak_mb} MB"
    text += f", next swap {'READY' if is_good else 'not READY'}"
    return text, is_held and is_good and not found and peak_mb < _BOUND_MB


def _left(stage):
    """Return the guests, what they have started, and their folders, that are left."""
    guest, found = str(stage.code / "worker" / "hotswap" / "runtimes" / "python" / "guest.py").encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if guest in words or _SLEEPS in words:
                found.append(f"process {process.name}")
    for name in stage.alive:
        found += map(str, Path(tempfile.gettempdir()).glob(f"hotswap-host-{stage.pid(name)}-*"))
    return found


@made_before(partial(_serving, acts=hostile.PROCESSES))
async def python_processes(stage):
    """Python that starts programs, and signals, traces and reads other processes."""
    return await _served(stage, hostile.PROCESSES, _PROCESSES)


@made_before(partial(_serving, acts=hostile.FILES | hostile.NETWORK))
async def python_files_and_network(stage):
    """Python that reads and writes files of others and its own, mounts, fills the disk, connects and listens."""
    return await _served(stage, hostile.FILES | hostile.NETWORK, _FILES)


@made_before(partial(_serving, acts=hostile.RESOURCES))
async def python_resources(stage):
    """Python that allocates, sleeps, spins, prints gigabytes, recurses and breaks memory."""
    return await _served(stage, hostile.RESOURCES, _RESOURCES)


@made_before(partial(_serving, acts=hostile.ITSELF))
async def python_itself(stage):
    """Python that closes and writes to its descriptors, ends, patches its process, and leaves threads."""
    return await _served(stage, hostile.ITSELF, _ITSELF)


@made_before(partial(_serving, acts=ANSWERS))
async def python_answers(stage):
    """Python whose answers are none, endless, of another length or type, or act as they are read."""
    return await _served(stage, ANSWERS, _ANSWERS)


def _loading(folder):
    loads = {name: (hostile.loading(act),) for name, act in hostile.LOADS.items()}
    models = loads | {name: (text,) for name, text in hostile.IMPORTS.items()}
    return _Made(folder, models | {"pths": (hostile.acting({}), hostile.PTHS.values())})


@made_before(_loading)
async def python_loads(stage):
    """Python that acts, hangs or ends as it is imported or loaded, is none, or has files *.pth."""
    seen, odd = Counter(), []
    for name, path in stage.made.paths.items():
        right = _LOADS.get(name, {"FAILED MODEL_INVALID"})
        told, _ = await _swapped(stage, path, _HANGING_MS if right == _HANGS else _STAGING_MS)
        outcome = ", ".join(sorted(told)) or "no verdict"
        seen[outcome] += 1
        if outcome not in right:
            odd.append(f"; {name}: {outcome}")
    text = f"{len(stage.made.paths)} models: " + ", ".join(f"{count} {one}" for one, count in seen.most_common())
    return await _ended(stage, text + "".join(odd), is_held=not odd)
