"""The manifests of ops/kubernetes, as kustomize renders them."""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "ops" / "kubernetes"
OVERLAYS = sorted(path.parent.name for path in (FOLDER / "overlays").glob("*/kustomization.yaml"))
KUBECTL = Path(sys.executable).with_name("kubectl")

Manifest = dict[str, Any]


def render(folder: Path) -> list[Manifest]:
    """Return what `kubectl apply -k` would send of a kustomization.

    Raises:
        ValueError: kustomize refuses it; the message is its own.

    """
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr)
    return list(yaml.safe_load_all(done.stdout))


def overlay(name: str) -> list[Manifest]:
    """Return an overlay of ops/kubernetes, rendered."""
    return render(FOLDER / "overlays" / name)


def named(manifests: Iterable[Manifest], kind: str, name: str) -> Manifest:
    """Return the one object of this kind and name."""
    (found,) = (one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pods(manifests: Iterable[Manifest]) -> dict[str, Manifest]:
    """Return the pods that the workloads make: the workload's name -> its pod's spec."""
    made = [one for one in manifests if one["kind"] in ("StatefulSet", "Deployment")]
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in made}


def container(pod: Mapping[str, Any]) -> Manifest:
    """Return the only container of a pod."""
    (only,) = pod["containers"]
    found: Manifest = only
    return found


def environment(manifests: Iterable[Manifest], workload: str) -> dict[str, str]:
    """Return the variables of a workload's container; what only a running pod knows is its `fieldPath`."""
    manifests = list(manifests)
    only, given = container(pods(manifests)[workload]), dict[str, str]()
    for source in only["envFrom"]:
        given |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    for one in only["env"]:
        given[one["name"]] = one["value"] if "value" in one else one["valueFrom"]["fieldRef"]["fieldPath"]
    return given


def mebibytes(quantity: str) -> int:
    """Return a quantity of memory in MiB."""
    units = {"Mi": 1, "Gi": 1024}
    return int(quantity[:-2]) * units[quantity[-2:]]
