"""Why a connection fails is one line, and aiokafka is heard again afterwards, in whatever order connections end."""

import logging
from contextlib import ExitStack

import pytest

from worker.errors import StartError
from worker.kafka.connection import reaching
from worker.settings import Settings

SETTINGS = Settings(kafka="a:1")
LIBRARY = logging.getLogger("aiokafka.conn")


def connect_in_vain():
    with reaching(SETTINGS):
        LIBRARY.error("connection refused")
        raise OSError("something vague")


def test_the_reason_is_taken_from_what_the_library_said():
    with pytest.raises(StartError, match=r"no Kafka answers at a:1 \(connection refused\)"):
        connect_in_vain()


def test_the_library_is_heard_again_after_connections_that_overlap():
    first, second = ExitStack(), ExitStack()
    first.enter_context(reaching(SETTINGS))
    second.enter_context(reaching(SETTINGS))
    assert not logging.getLogger("aiokafka").propagate
    first.close()
    assert not logging.getLogger("aiokafka").propagate
    second.close()
    assert logging.getLogger("aiokafka").propagate
