"""Models of a real MLflow server: `models:/…@alias` and `runs:/…` are packed and swapped, pinned by their digests."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from harness.command import hotswap
from harness.fleet import Deployment, Kafka

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None or importlib.util.find_spec("sqlalchemy") is None,
    reason="MLflow's server is not installed: make mlflow",
)

MODELS = Path(__file__).parents[1] / "models" / "python"
STARTED_S = 120.0


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tracking server with its registry; the client's environment variables name it."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    database, artifacts = f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port),
             "--backend-store-uri", database, "--artifacts-destination", artifacts],
            stdout=log, stderr=log, start_new_session=True,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "TMPDIR": str(folder)},
        )  # fmt: skip
    try:
        _await(url, server, folder / "log")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", url)
            yield url
    finally:
        os.killpg(server.pid, 9)
        server.wait()


def _await(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + STARTED_S
    while time.monotonic() < ends:
        assert server.poll() is None, log.read_text()[-2_000:]
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-2_000:])


def registered(name: str, folder: Path) -> tuple[str, str]:
    """Log a folder to a run, and register it; return the run and the version, which is the champion."""
    import mlflow  # noqa: PLC0415 - of a lock of its own

    client = mlflow.MlflowClient()
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder), "model")
    version = client.create_model_version(name, f"{run.info.artifact_uri}/model", run.info.run_id)
    client.set_registered_model_alias(name, "champion", version.version)
    return run.info.run_id, str(version.version)


@pytest.fixture
async def fleet(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A deployment with a worker that loads models of LightGBM, and functions with pickles."""
    made = Deployment(kafka, tmp_path, kinds="h2o,lightgbm,python,python-pickle")
    await made.create()
    made.start()
    yield made
    made.close()


async def test_an_alias_is_resolved_once_and_what_serves_is_named_by_its_version(
    registry: str, fleet: Deployment, tmp_path: Path
) -> None:
    name = "m_skops"
    run, version = registered(name, MODELS / "mlflow_skops" / "artifact")
    proto = MODELS / "mlflow_skops" / "model.proto"

    _, said = await hotswap(
        fleet, "pack", f"models:/{name}@champion", "--lock", "--proto", proto, "--out", tmp_path / "packed"
    )
    assert f"models:/{name}@champion is models:/{name}/{version}" in said
    package = tmp_path / "packed" / "modeldump.zip"
    await hotswap(fleet, "swap", fleet.name, "--package", package, "--deadline", 120)
    registered(name, MODELS / "mlflow_sklearn" / "artifact")  # the alias moves, and what was swapped does not
    told, _ = await hotswap(fleet, "status", fleet.name, "--json")
    scored, _ = await hotswap(
        fleet, "score", MODELS / "mlflow_skops" / "rows.json", "--package", package, "--format", "json"
    )

    assert f"{name}-{version}" in told.decode()
    expected = json.loads((MODELS / "mlflow_skops" / "expected.json").read_text())["Predict"]
    answers = [json.loads(line)["prediction"] for line in scored.splitlines()]
    assert [each["prediction"] for each in answers] == [each["prediction"] for each in expected]
    _, said = await hotswap(fleet, "pack", f"runs:/{run}/absent", "--out", tmp_path / "other", code=2)
    assert f"runs:/{run}/absent cannot be downloaded (MLflow: " in said


async def test_a_run_whose_library_has_a_kind_is_swapped_as_that_kind(registry: str, fleet: Deployment) -> None:
    run, _ = registered("m_boosted", MODELS / "mlflow_lightgbm" / "artifact")
    proto = fleet.folder / "boosted.proto"
    proto.write_text(
        'syntax = "proto3"; service Model { rpc Predict(Row) returns (Answer); }\n'
        "message Row { double a = 1; double b = 2; double c = 3; }\nmessage Answer { double predict = 1; }"
    )

    await hotswap(fleet, "swap", fleet.name, "--model", f"runs:/{run}/model", "--proto", proto)
    told, _ = await hotswap(fleet, "status", fleet.name, "--json")

    assert '"lightgbm"' in told.decode()


async def test_a_server_that_is_not_there_is_named_without_its_password(
    fleet: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:secret@127.0.0.1:9")

    _, said = await hotswap(fleet, "pack", "models:/churn@champion", "--out", tmp_path / "packed", code=2)

    assert "models:/churn@champion cannot be downloaded (MLflow: " in said
    assert "secret" not in said
