"""Downloads a model that MLflow's tracking server or registry has, by MLflow's own client (extra `mlflow`)."""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from hotswap.errors import UsageError

_USER: Final = re.compile(r"//[^/@\s]*@")  # of a URL: user and password
_REGISTERED: Final = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/]+)|/(?P<version>[^/]+))")


class Downloaded(NamedTuple):
    """A downloaded model: its folder; its name, None: the registry has none; and what its alias was resolved to."""

    folder: Path
    name: str | None
    uri: str


def download(uri: str, folder: Path) -> Downloaded:
    """Download `models:/<name>@<alias>`, `models:/<name>/<version>` or `runs:/<run>/<path>` into a folder; blocks.

    The server and the credentials are those of MLflow's environment variables, as MLFLOW_TRACKING_URI. An alias is
    resolved once, to the version whose files are then downloaded.

    Raises UsageError: the extra is not installed, or the server does not have the model, or cannot be asked; the
    message has MLflow's words.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # not 7, which take four minutes
    try:
        from mlflow import MlflowClient, artifacts  # noqa: PLC0415 - of an extra
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - the same
    except ImportError as error:
        raise UsageError(f"{uri} is asked of MLflow, whose client is not installed: install hotswap[mlflow]") from error
    try:
        name, version = None, ""
        if found := _REGISTERED.fullmatch(uri):
            name, version = found["name"], found["version"]
            if found["alias"]:
                version = MlflowClient().get_model_version_by_alias(name, found["alias"]).version
            uri = f"models:/{name}/{version}"
        path = artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
    except (MlflowException, OSError) as error:
        reason = _USER.sub("//", " ".join(str(error).split()))
        raise UsageError(
            f"{uri} cannot be downloaded (MLflow: {reason}): check its name, and MLFLOW_TRACKING_URI"
        ) from error
    return Downloaded(Path(path), name and f"{name}-{version}", uri)
