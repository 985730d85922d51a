"""docs/kubernetes.md from its first command to an answer, on a Kafka that enforces: all but the cluster is real."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from itertools import islice

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from harness.manifests import overlay
from harness.page import Reader, commands, pod
from harness.secured import HAS_OPENSSL, secured_kafka
from hotswap.local.kafka import free_ports

NEEDED = HAS_OPENSSL and shutil.which("curl")
PASSWORDS = {"worker": "of the worker", "client": "of the client"}
TYPES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "transactionalId": ResourceType.TRANSACTIONAL_ID}
OPERATIONS = {"DescribeConfigs": "DESCRIBE_CONFIGS"}


@pytest.fixture
def kafka(tmp_path):
    """It has the users that the page's reader has asked for, with the rights of the overlay for Strimzi."""
    (tmp_path / "kafka").mkdir()
    with secured_kafka(tmp_path / "kafka") as made:
        for name, password in PASSWORDS.items():
            made.add_user(f"churn-{name}", password)
        made.allow(
            AclBinding(
                TYPES[rule["resource"]["type"]],
                rule["resource"]["name"],
                ResourcePatternType.PREFIXED
                if rule["resource"]["patternType"] == "prefix"
                else ResourcePatternType.LITERAL,
                f"User:{user['metadata']['name']}",
                "*",
                AclOperation[OPERATIONS.get(operation, operation.upper())],
                AclPermissionType.ALLOW,
            )
            for user in overlay("strimzi")
            if user["kind"] == "KafkaUser"
            for rule in user["spec"]["authorization"]["acls"]
            for operation in rule["operations"]
        )
        yield made


@pytest.fixture
def running(tmp_path):
    """Starts pods as processes, and ends them."""
    started = []

    def start(made, **variables):
        log = (tmp_path / f"{made.arguments[0]}.log").open("wb")
        with log:
            command = [sys.executable, "-m", "hotswap", *made.arguments]
            kept = {name: os.environ[name] for name in ("PATH", "HOME", "M2_REPO", "JAVA_HOME") if name in os.environ}
            started.append(subprocess.Popen(command, env=kept | made.variables | variables, stderr=log))

    yield start
    for process in started:
        process.terminate()
    assert [process.wait(30) for process in started] == [0] * len(started)


def documents(text):
    while text := text.lstrip():
        found, end = json.JSONDecoder().raw_decode(text)
        text = text[end:]
        yield found


def is_up(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=4) as reply:
            return reply.status == 200
    except OSError:
        return False


@pytest.mark.skipif(not NEEDED, reason="needs openssl and curl")
async def test_the_page_leads_from_nothing_to_an_answer(kafka, running, tmp_path):
    folder = tmp_path / "reader"
    folder.mkdir()
    for name, password in PASSWORDS.items():
        (folder / f"{name}.password").write_text(password)
    shutil.copy(kafka.authority.ca, folder / "ca.crt")
    (folder / "aws-credentials").write_text("[default]\n")
    held = [socket.create_server(("127.0.0.1", port)) for port in islice(free_ports(), 2)]
    gateway, worker = (str(taken.getsockname()[1]) for taken in held)
    edits = {
        "kafka.acme.example:9093": f"127.0.0.1:{kafka.ports['CLIENT']}",
        "s3://acme-models/churn": (tmp_path / "store").as_uri(),
        "localhost:8443": f"localhost:{gateway}",
    }
    reader = Reader(folder, edits, HOTSWAP_KAFKA=kafka.bootstrap)
    before, after = commands()
    printed = await asyncio.to_thread(reader.type, before)
    assert "--allow-principal User:churn-worker --operation Read --topic churn.requests" in printed

    made = {name: pod(reader.applied, name, tmp_path / name) for name in ("churn-worker", "churn-gateway")}
    for taken in held:  # until now, so that no test beside this one takes a port while the page is typed
        taken.close()
    running(
        made["churn-worker"],
        HOTSWAP_WORKER_ID="churn-worker-0",
        HOTSWAP_GROUP_INSTANCE_ID="churn-worker-0",
        HOTSWAP_HTTP_PORT=worker,
        HOTSWAP_SANDBOX="auto",  # not every machine that runs the tests has Landlock
    )
    running(made["churn-gateway"]._replace(arguments=[*made["churn-gateway"].arguments, f"--port={gateway}"]))
    give_up = time.monotonic() + 60
    while not is_up(worker, "/livez") or "gateway.started" not in (tmp_path / "gateway.log").read_text():
        assert time.monotonic() < give_up, [(tmp_path / f"{name}.log").read_text() for name in ("run", "gateway")]
        await asyncio.sleep(0.1)
    assert not is_up(worker, "/readyz")

    swapped, answered = documents(await asyncio.to_thread(reader.type, after))
    assert (swapped["status"], swapped["workers"]) == ("ok", ["churn-worker-0"]), swapped
    assert answered["prediction"]["species"] == "setosa"
    assert is_up(worker, "/readyz")
