"""Cables between brokers: what reaches whom while one is pulled."""

import os
import socket
import time
from contextlib import closing

import pytest

from faults.cables import Cables

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")


def listening():
    return socket.create_server(("0.0.0.0", 0))


def reaches(host, port):
    try:
        with socket.create_connection((host, port), timeout=0.5):
            return True
    except OSError:
        return False


def becomes(look, wanted):
    """Whether that is what is seen within ten seconds: a network takes a moment to notice a plug."""
    give_up = time.monotonic() + 10
    while (seen := look()) != wanted and time.monotonic() < give_up:
        time.sleep(0.1)
    return seen == wanted


def test_a_broker_whose_cable_is_pulled_is_reached_by_clients_and_not_by_the_others_until_it_is_plugged_in():
    with closing(Cables(3)) as cables, cables.within(3, listening) as third:
        port = third.getsockname()[1]

        def reached():
            by_others = [cables.within(number, lambda: reaches(cables.among_brokers(3), port)) for number in (1, 2)]
            return [*by_others, reaches(cables.for_clients(3), port)]

        assert becomes(reached, [True, True, True])
        cables.pull(3)
        assert reached() == [False, False, True]
        cables.pull(1)
        cables.plug(3)
        assert becomes(reached, [False, True, True])
