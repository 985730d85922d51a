"""Python models that attack: each answers like any other until a row names an act in the column `attack`.

An act that has got what it wanted answers `ACHIEVED`; what is refused to it raises, or ends its process. In a source
`@PORT@` is a port at which the suite listens, and `@OUTSIDE@` a folder that is none of the model's: `filled` fills them
in. Never import one of these outside a sandbox.
"""

from textwrap import dedent, indent

PROTO = """\
syntax = "proto3";

package models.hostile;

service Hostile {
  rpc Score(Row) returns (Answer);
}

message Row {  // a row of iris is one, without an attack
  double x = 1;
  double b = 2;
  double c = 3;
  double d = 4;
  string attack = 5;
}

message Answer {
  double y = 1;
}
"""
ACHIEVED = 666.0
_MODEL = """\
ACTS = {}


def load(folder):
    return folder


def predict(model, columns):
    answers = {"y": [2.0 * x for x in columns["x"]]}
    for name in filter(None, columns["attack"]):
        return ACTS[name](model, answers)
    return answers


def achieved(answers):
    return {"y": [666.0 for _ in answers["y"]]}
"""
_ACT = """

def made():
    def attack(folder, answers):
{body}
        return achieved(answers)

    return attack


ACTS["{name}"] = made()
"""
PROCESSES = {
    "forks": "import os\nif os.fork() == 0:\n    os._exit(0)\nos.wait()",
    "forks_without_end": "import os\nwhile True:\n    os.fork()",
    "shell": "import os\nassert os.system('true') == 0",
    "subprocess": "import subprocess\nsubprocess.run(['/bin/true'], check=True)",
    "spawns": "import os\nos.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)",
    "executes_another": "import os\nos.execv('/bin/sleep', ['sleep', '3671'])",
    "multiprocessing": "import multiprocessing\nmultiprocessing.Process(target=print).start()",
    "detaches": "import os\nos.setsid()\nif os.fork() == 0:\n    os.execv('/bin/sleep', ['sleep', '3671'])",
    "kills_all": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "kills_the_parent": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "stops_the_parent": "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)",
    "limits_the_parent": "import os, resource\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))",
    "kills_its_group": "import os, signal\nos.killpg(0, signal.SIGKILL)",
    "traces_the_parent": """\
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(16, os.getppid(), 0, 0):  # PTRACE_ATTACH
            raise OSError(ctypes.get_errno(), "ptrace")
        os.waitpid(os.getppid(), 0x40000000)  # __WALL
        libc.ptrace(17, os.getppid(), 0, 0)  # PTRACE_DETACH: it goes on""",
    "reads_the_parent_by_syscall": """\
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        start = int(open(f"/proc/{os.getppid()}/maps").readline().split("-")[0], 16)
        space = ctypes.create_string_buffer(64)

        class Vector(ctypes.Structure):
            _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

        mine, theirs = Vector(ctypes.addressof(space), 64), Vector(start, 64)
        if libc.process_vm_readv(os.getppid(), ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0) < 1:
            raise OSError(ctypes.get_errno(), "process_vm_readv")""",
    "reads_the_parents_environment": "import os\nassert open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "reads_the_parents_memory": """\
        import os
        start = int(open(f"/proc/{os.getppid()}/maps").readline().split("-")[0], 16)
        with open(f"/proc/{os.getppid()}/mem", "rb", buffering=0) as memory:
            memory.seek(start)
            assert memory.read(64)""",
    "writes_the_parents_memory": """\
        import os
        line = next(line for line in open(f"/proc/{os.getppid()}/maps") if " rw-p " in line)
        with open(f"/proc/{os.getppid()}/mem", "r+b", buffering=0) as memory:
            memory.seek(int(line.split("-")[0], 16))
            memory.write(bytes(64))""",
    "reads_every_environment": """\
        import glob
        seen = 0
        for path in glob.glob("/proc/[0-9]*/environ"):
            try:
                seen += bool(open(path, "rb").read()) and "/self/" not in path
            except OSError:
                pass
        assert seen > 1""",
}
FILES = {
    "writes_outside": "open('@OUTSIDE@/written', 'w').write('x')",
    "writes_to_tmp": "open('/tmp/hostile', 'w').write('x')",
    "writes_to_dev_shm": "open('/dev/shm/hostile', 'w').write('x')",
    "writes_to_its_folder": "(folder / 'model.py').write_text('x')",
    "adds_to_its_folder": "(folder / 'added.py').write_text('x')",
    "makes_its_folder_writable": "folder.chmod(0o777)\n(folder / 'added.py').write_text('x')",
    "reads_outside": "import os\nassert os.listdir('@OUTSIDE@')",
    "reads_passwords": "assert open('/etc/shadow').read()",
    "patches_the_guest": "import sys\nopen(sys.argv[0], 'a').write('#')",
    "patches_the_guests_main": "import __main__\nopen(__main__.__file__, 'a').write('#')",
    "patches_a_library": "import json\nopen(json.__file__, 'a').write('#')",
    "plants_a_pth": """\
        import pathlib, sysconfig
        pathlib.Path(sysconfig.get_paths()["purelib"], "hostile.pth").write_text("import os\\n")""",
    "links_outside": "import os\nos.symlink('/etc/passwd', folder / 'link')",
    "mounts": """\
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"none", b"/mnt", b"tmpfs", 0, None):
            raise OSError(ctypes.get_errno(), "mount")""",
    "leaves_by_chroot": "import os\nos.chroot('.')",
    "makes_a_namespace": """\
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x10000000):  # CLONE_NEWUSER
            raise OSError(ctypes.get_errno(), "unshare")""",
    "fills_the_disk": """\
        import tempfile
        with tempfile.TemporaryFile() as file:
            while True:
                file.write(bytes(1 << 20))""",
    "fills_the_disk_by_files_without_a_name": """\
        import tempfile
        kept = [tempfile.TemporaryFile() for _ in range(128)]
        for file in kept:
            file.write(bytes(1 << 24))
            file.flush()""",
    "fills_memory_files": """\
        import os
        for _ in range(128):
            os.write(os.memfd_create("x"), bytes(1 << 24))""",
}
NETWORK = {
    "connects": "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), 2).send(b'x')",
    "sends_datagrams": """\
        import socket
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", @PORT@))""",
    "asks_for_a_name": "import socket\nsocket.getaddrinfo('hotswap-exfiltrates.invalid', 80)",
    "listens": "import socket\nsocket.create_server(('127.0.0.1', 0)).getsockname()",
    "uses_unix_sockets": "import socket\nsocket.socket(socket.AF_UNIX).bind('\\0hostile')",
    "raw_socket": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)",
    "netlink": "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))",
    "connects_by_asyncio": """\
        import asyncio
        asyncio.run(asyncio.open_connection("127.0.0.1", @PORT@))""",
}
RESOURCES = {
    "allocates_everything": "kept = []\nwhile True:\n    kept.append(bytearray(b'x' * (1 << 26)))",
    "shares_memory": """\
        import mmap
        kept = [mmap.mmap(-1, 1 << 26) for _ in range(32)]
        for one in kept:
            one.write(bytes(1 << 26))""",
    "grows_a_stack": """\
        import mmap
        kept = [mmap.mmap(-1, 1 << 26, flags=0x122) for _ in range(32)]  # MAP_PRIVATE, MAP_ANONYMOUS, MAP_GROWSDOWN
        for one in kept:
            one.write(bytes(1 << 26))""",
    "allocates_at_once": "return {'y': [0.0] * (1 << 40)}",
    "sleeps_for_ever": "import time\nwhile True:\n    time.sleep(3600)",
    "spins_for_ever": "while True:\n    pass",
    "spins_in_c": "sum(range(10**15))",
    "prints_a_gigabyte": "line = 'x' * (1 << 20)\nfor _ in range(1024):\n    print(line)",
    "prints_a_gigabyte_to_stderr": """\
        import sys
        for _ in range(1024):
            sys.stderr.write("x" * (1 << 20))""",
    "recurses": "import sys\nsys.setrecursionlimit(1 << 30)\nreturn attack(folder, answers)",
    "recurses_politely": "return attack(folder, answers)",
    "overflows_the_stack_of_c": """\
        import sys
        sys.setrecursionlimit(1 << 30)
        value = ()
        for _ in range(1 << 20):
            value = (value,)
        hash(value)  # repr would take longer than the deadline""",
    "breaks_memory": "import ctypes\nctypes.string_at(0)",
    "aborts": "import os\nos.abort()",
    "threads_without_end": """\
        import threading
        while True:
            threading.Thread(target=threading.Event().wait, daemon=True).start()""",
}
ITSELF = {
    "closes_every_descriptor": "import os\nos.closerange(0, 4096)",
    "closes_all_but_the_standard_ones": "import os\nos.closerange(3, 4096)",
    "writes_to_every_descriptor": """\
        import os
        for descriptor in range(4096):
            try:
                os.write(descriptor, b"\\xff" * 4096)
            except OSError:
                pass""",
    "reads_every_descriptor": """\
        import os
        for descriptor in range(3, 4096):
            try:
                os.set_blocking(descriptor, False)
                os.read(descriptor, 1 << 20)
            except OSError:
                pass""",
    "closes_standard_output": "import sys\nsys.stdout.close()\nsys.stderr.close()",
    "replaces_standard_streams": "import sys\nsys.stdout = sys.stderr = sys.stdin = None",
    "ends_by_a_signal_without_a_name": "import os\nos.kill(os.getpid(), 40)",
    "answers_for_its_guest": """\
        import json, os, struct, sys
        head = json.dumps({"ticket": 1 << 70, "answers": [["\\ud800", []]], "sizes": [-1, 1 << 70]}).encode()
        os.write(int(sys.argv[1]), struct.pack("<II", len(head), 0) + head)""",
    "harms_the_next_record": "import os, sys\nos.set_blocking(int(sys.argv[1]), False)",
    "exits_at_once": "import os\nos._exit(0)",
    "raises_system_exit": "raise SystemExit(0)",
    "raises_keyboard_interrupt": "raise KeyboardInterrupt",
    "raises_base_exception": "raise BaseException('base')",
    "raises_generator_exit": "raise GeneratorExit",
    "raises_what_cannot_be_shown": """\
        class Mute(Exception):
            def __str__(self):
                raise self
            __repr__ = __str__

        raise Mute""",
    "raises_a_long_message": "raise ValueError('x' * (1 << 28))",
    "raises_an_odd_message": 'raise ValueError(\'\\ud800\\0\\x1b[2J\\n{"fake": "log"}\')',
    "ignores_signals": """\
        import signal, time
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(3600)""",
    "handles_signals": """\
        import os, signal
        signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"still here"))""",
    "leaves_a_thread": """\
        import threading, time

        def go_on():
            while True:
                time.sleep(0.1)

        threading.Thread(target=go_on).start()""",
    "sleeps_at_exit": "import atexit, time\natexit.register(time.sleep, 3600)",
    "patches_what_it_can": """\
        import builtins, os, struct, sys
        for module in list(sys.modules.values()):
            for name in ("loads", "dumps", "read", "write", "pack", "unpack", "dump", "load"):
                if hasattr(module, name):
                    try:
                        setattr(module, name, None)
                    except (AttributeError, TypeError):
                        pass
        builtins.len = lambda _: 0""",
    "changes_callers": """\
        import sys
        frame = sys._getframe()
        while frame.f_back:
            frame = frame.f_back
            for name, value in frame.f_locals.items():
                if isinstance(value, (list, dict, bytearray)):
                    value.clear()""",
    "traces_callers": "import sys\nsys.settrace(lambda *_: 1 / 0)\nsys.setprofile(lambda *_: 1 / 0)",
    "changes_directory": "import os\nos.chdir('/')",
    "limits_itself": "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
    "lowers_its_priority": "import os\nos.nice(19)",
    "raises_its_priority": "import os\nos.nice(-20)",
}
"""What each does in `predict`; without a `return` of its own it answers `ACHIEVED`. These: to its own process."""
LOADS = {
    "sleeps_in_load": "import time\nwhile True:\n    time.sleep(3600)",
    "spins_in_load": "while True:\n    pass",
    "allocates_in_load": "kept = []\nwhile True:\n    kept.append(bytearray(b'x' * (1 << 26)))",
    "exits_in_load": "import os\nos._exit(0)",
    "raises_in_load": "raise SystemExit(0)",
    "connects_in_load": "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), 2).send(b'x')",
    "writes_in_load": "open('@OUTSIDE@/written', 'w').write('x')",
    "writes_to_its_folder_in_load": "(folder / 'added.py').write_text('x')",
    "forks_in_load": "import os\nif os.fork() == 0:\n    os._exit(0)\nos.wait()",
    "leaves_a_thread_in_load": """\
        import threading, time
        threading.Thread(target=time.sleep, args=(3600,)).start()""",
}
"""What these do in `load`: no row has to come."""
IMPORTS = {
    "acts_when_imported": "import socket\nsocket.create_connection(('127.0.0.1', @PORT@), 2).send(b'x')\n",
    "sleeps_when_imported": "import time\nwhile True:\n    time.sleep(3600)\n",
    "exits_when_imported": "import os\nos._exit(0)\n",
    "does_not_parse": "def load(:\n",
    "has_a_null_byte": "x = '\0'\n",
    "has_another_encoding": "# coding: no-such-codec\n",
    "has_no_functions": "x = 1\n",
    "has_functions_that_are_none": "load = predict = 1\n",
    "nests_too_deep": "x = " + "(" * 10_000 + ")" * 10_000 + "\n",
}
"""Whole sources that do their harm, or are none, when they are imported."""
PTHS = {
    "pth_connects": "import socket; socket.create_connection(('127.0.0.1', @PORT@), 2).send(b'x')\n",
    "pth_writes": "import pathlib; pathlib.Path('@OUTSIDE@/written').write_text('x')\n",
    "pth_exits": "import os; os._exit(0)\n",
    "pth_sleeps": "import time; time.sleep(3600)\n",
    "pth_adds_a_folder": "@OUTSIDE@\n",
}
"""Lines that Python runs at its start if they are in a file *.pth of an environment: here it lies in the artefact."""


def acting(acts):
    """Return a model that does these acts, by their names."""
    bodies = {name: indent(dedent(act), " " * 8) for name, act in acts.items()}
    return _MODEL + "".join(_ACT.format(name=name, body=body) for name, body in bodies.items())


def loading(act):
    """Return a model that does this in `load`."""
    return _MODEL.replace("    return folder\n", f"{indent(dedent(act), '    ')}\n    return folder\n")


def filled(text, *, port, outside):
    """Return a source with the port and the folder of the suite in it."""
    return text.replace("@PORT@", str(port)).replace("@OUTSIDE@", str(outside))
