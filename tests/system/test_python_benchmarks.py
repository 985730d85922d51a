"""What the benchmark compares with models that a library of Python scores does the same job."""

import asyncio
import sys
import sysconfig
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer

from fakes.python_models import OURS
from harness.fleet import ROOT, Deployment
from hotswap.codec.proto import compile as compile_proto
from hotswap.environments.lock import read_lock
from hotswap.host.parent import ModelHost

sys.path.insert(0, str(ROOT / "benchmarks"))

import by_python
from python_kinds import PLAIN
from python_models import contenders

ROWS = 20_000


def model_of(name: str, folder: Path):
    (found,) = (one for one in contenders(folder) if one.name.startswith(name))
    return found


def task_of(model, folder: Path) -> by_python.Task:
    proto = folder / "model.proto"
    proto.write_bytes(model.proto)
    return by_python.Task(model.kind, model.model, proto)


FUNCTION = "python: a logistic function"
MODELS = [
    FUNCTION,
    *(
        pytest.param(name, marks=getattr(pytest.mark, name.split(":")[0]))
        for name in ("onnx: GBM", "onnx: Crayfish", "xgboost: GBM", "lightgbm: GBM")
    ),
]
OWN = replace(OURS, site=sysconfig.get_path("purelib"))
"""In place of the environment of the function's lock, whose packages come from an index: the tests' own packages."""


@pytest.mark.parametrize("name", MODELS)
async def test_both_paths_of_a_host_and_the_consumer_by_hand_give_the_same_scores(name, tmp_path):
    model = model_of(name, tmp_path)
    (operation,) = compile_proto(model.proto).operations.values()
    requests = model.requests()

    answers, paths = {"by hand": by_python.Scorer(*task_of(model, tmp_path))(requests)}, {}
    load = replace(model.load(), interpreter=OWN if name == FUNCTION else None)
    for path, child in {"fast": {}, "plain": {"child": PLAIN}}.items():
        host = ModelHost(load=load, deadline_s=60, on_restart=pytest.fail, on_unknown=lambda *_: None, **child)
        paths[path] = (await host.start()).paths
        try:
            answers[path] = await host.score(requests)
        finally:
            await host.stop()

    assert answers["fast"] == answers["plain"]
    assert len(set(answers["fast"])) > len(requests) / 2, "the rows differ"
    hand, ours = (
        np.array([[value for _, value in operation.output.FromString(one).ListFields()] for one in answers[which]])
        for which in ("by hand", "fast")
    )
    np.testing.assert_allclose(hand, ours, rtol=1e-6)
    assert "as the benchmark asks" in str(paths["plain"])
    assert "as the benchmark asks" not in str(paths["fast"])


def test_the_function_has_a_lock_of_numpy_which_a_worker_takes(tmp_path):
    lock = read_lock(model_of(FUNCTION, tmp_path).model)

    assert {line.partition("==")[0] for line in lock.requirements} == {"numpy"}


@pytest.mark.onnx
async def test_the_processes_by_hand_answer_each_request_once(deployment: Deployment, tmp_path):
    model, topics = model_of("onnx: GBM", tmp_path), deployment.settings.topics
    requests = model.requests()
    await deployment.publish(requests * (ROWS // len(requests)))
    expected = by_python.Scorer(*task_of(model, tmp_path))(requests)

    arguments = (deployment.kafka.bootstrap, topics.requests, topics.predictions, deployment.name)
    process = await asyncio.create_subprocess_exec(*by_python.command(task_of(model, tmp_path), *arguments))
    try:
        await deployment.drained()
    finally:
        process.terminate()
        await process.wait()

    reader = Consumer({
        "bootstrap.servers": deployment.kafka.bootstrap, "group.id": "reader", "auto.offset.reset": "earliest",
        "isolation.level": "read_committed", "enable.partition.eof": True,
    })  # fmt: skip
    reader.subscribe([topics.predictions])
    answers, ended = Counter[bytes](), set[int]()
    partitions = reader.list_topics(topics.predictions).topics[topics.predictions].partitions
    while len(ended) < len(partitions):
        message = reader.poll(1)
        if message and message.error():
            ended.add(message.partition())
        elif message:
            answers[message.value()] += 1
    reader.close()
    assert answers == {answer: count * (ROWS // len(requests)) for answer, count in Counter(expected).items()}
