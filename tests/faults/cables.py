"""How the brokers of a cluster reach each other, and clients them: over one host, or over cables that can be pulled."""

import ctypes
import os
import random
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class OneHost:
    """All on 127.0.0.1: nothing can be pulled."""

    has_cables = False
    bound = "127.0.0.1"

    def among_brokers(self, _):
        return "127.0.0.1"

    for_clients = among_brokers

    def within(self, _, call):
        return call()


class Cables:
    """A network namespace for each broker, with a cable to the clients, and one to a switch that connects the brokers.

    The namespaces are held by descriptors of this process and by the brokers, the cables by the namespaces: all is gone
    with them. Only root may make them. Numbers of brokers begin with 1.
    """

    has_cables = True
    bound = "0.0.0.0"
    """What brokers listen on: their own 127.0.0.1, and the address for clients."""

    def __init__(self, count):
        # Of the range for benchmarks (RFC 2544), which no network uses.
        self._third = 4 * random.SystemRandom().randrange(64)
        self._switch = _Namespace()
        self._switch.ip("link add switch type bridge", "link set switch up")
        self._places = {number: _Namespace() for number in range(1, count + 1)}
        for number in self._places:
            self._lay(number)

    def _lay(self, number):
        place, ours = self._places[number], f"clients{self._third}n{number}"
        place.ip(
            "link set lo up",
            f"link add peers type veth peer name broker{number} netns {self._switch.path}",
            f"address add {self.among_brokers(number)}/24 dev peers",
            "link set peers up",
            f"link add clients type veth peer name {ours} netns /proc/{os.getpid()}/ns/net",
            f"address add {self.for_clients(number)}/30 dev clients",
            "link set clients up",
        )
        self._switch.ip(f"link set broker{number} master switch up")
        _ip(f"address add 198.18.{self._third + number}.1/30 dev {ours}", f"link set {ours} up")

    def among_brokers(self, number):
        """Return a broker's address for the other brokers and controllers."""
        return f"198.18.{self._third}.{number}"

    def for_clients(self, number):
        """Return a broker's address for clients."""
        return f"198.18.{self._third + number}.2"

    def within(self, number, call):
        """Call from inside a broker's namespace, in which processes and connections that are begun then stay."""
        return self._places[number].run(call)

    def pull(self, number):
        """Pull a broker's cable to the others: nothing passes, and nobody is told."""
        self._switch.ip(f"link set broker{number} down")

    def plug(self, number):
        """Plug it in again."""
        self._switch.ip(f"link set broker{number} up")

    def close(self):
        """Leave the namespaces: the cables are gone once no broker is in them."""
        for place in (self._switch, *self._places.values()):
            place.close()


class _Namespace:
    def __init__(self):
        self._descriptor = _in_a_thread(_new)
        self.path = f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def run(self, call):
        def inside():
            _succeed(_libc.setns(self._descriptor, _NEWNET))
            return call()

        return _in_a_thread(inside)

    def ip(self, *commands):
        self.run(lambda: _ip(*commands))

    def close(self):
        os.close(self._descriptor)


def _in_a_thread(call):
    """Call in a thread of its own: a namespace is its thread's, and that of the processes that the thread starts."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()


def _new():
    _succeed(_libc.unshare(_NEWNET))
    return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)


def _succeed(failed):
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, f"no network namespace: {os.strerror(number)}")


def _ip(*commands):
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
