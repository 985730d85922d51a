"""`python -m conformance.kubernetes`, in tests/: ops/kubernetes before checkers that others have written.

Each overlay is rendered by kustomize, validated strictly against the oldest and the newest Kubernetes of the page, its
custom resources against models of their versions, and held to checkov's policies. Then a fault is planted for each
checker, which must find it.
"""

import copy
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import kubernetes_validate
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PodMonitor, PrometheusRule
from pydantic import BaseModel, ValidationError

from conformance.strimzi import KafkaTopic, KafkaUser
from harness.manifests import OVERLAYS, Manifest, container, named, overlay, pods, render

KUBERNETES = ("1.30", "1.37")
CUSTOM: dict[str, type[BaseModel]] = {
    model.__name__: model for model in (KafkaTopic, KafkaUser, PodMonitor, PrometheusRule, ScaledObject)
}
LEFT_OUT = {
    "CKV_K8S_11": "no limit of CPU: a swap's loading would throttle the serving generation",
    "CKV_K8S_15": "images are tagged anew, and a registry that is down must not keep a worker from being restarted",
    "CKV_K8S_43": "the digest is that of the image which a reader of the page has built",
}
"""Checkov's policies that are not kept, with the reasons."""


def validate(manifests: list[Manifest]) -> Iterator[str]:
    """Hold what is Kubernetes' own to its schemas, unknown fields included."""
    for one in manifests:
        if one["kind"] in CUSTOM:
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(one, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                where = "/".join(map(str, error.absolute_path))
                yield f"{one['kind']} {one['metadata']['name']}, Kubernetes {version}: {where}: {error.message}"


def fit_models(manifests: list[Manifest]) -> Iterator[str]:
    """Hold custom resources to models of them, which ignore a field that they do not know: it is then left out."""
    for one in manifests:
        if one["kind"] not in CUSTOM:
            continue
        what = f"{one['kind']} {one['metadata']['name']}"
        try:
            kept = CUSTOM[one["kind"]].model_validate(one).model_dump(mode="json", by_alias=True, exclude_unset=True)
        except ValidationError as error:
            yield f"{what}: {' '.join(str(error).split())}"
        else:
            yield from (f"{what}: unknown field {path}" for path in _left_out(one, kept))


def _left_out(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    match given, kept:
        case dict(), dict():
            for name, value in given.items():
                yield from _left_out(value, kept[name], f"{path}/{name}") if name in kept else [f"{path}/{name}"]
        case list(), list():
            for number, (value, known) in enumerate(zip(given, kept, strict=True)):
                yield from _left_out(value, known, f"{path}/{number}")


def keep_policies(manifests: list[Manifest]) -> Iterator[str]:
    """Hold them to checkov's policies for Kubernetes, but for those that are left out with a reason."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "manifests.yaml")
        file.write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
        command = [Path(sys.executable).with_name("checkov"), "--file", file, "--framework", "kubernetes"]
        command += ["--skip-download", "--skip-check", ",".join(LEFT_OUT), "--output", "json", "--quiet", "--compact"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    if not told["summary"]["passed"]:
        yield f"checkov has looked at nothing: {done.stderr}"
    for one in told["results"]["failed_checks"]:
        yield f"{one['resource']}: {one['check_id']} {one['check_name']}"


CHECKERS: dict[str, Callable[[list[Manifest]], Iterator[str]]] = {
    "kubernetes-validate": validate,
    "models of custom resources": fit_models,
    "checkov": keep_policies,
}


class Planted(NamedTuple):
    """A fault, and what the checker that must find it says of it."""

    checker: str
    overlay: str
    kind: str
    name: str
    told: str
    plant: Callable[[Manifest], Any]


def _only(one: Manifest) -> Manifest:
    return container(pods([one])[one["metadata"]["name"]])


def _trigger(one: Manifest) -> Manifest:
    found: Manifest = one["spec"]["triggers"][0]
    return found


_WORKER = ("plain", "StatefulSet", "churn-worker")
_VALIDATE, _MODELS, _CHECKOV = CHECKERS
FAULTS = [
    Planted(_VALIDATE, *_WORKER, "'replica' was unexpected", lambda one: one["spec"].update(replica=3)),
    Planted(_VALIDATE, *_WORKER, "is not of type 'integer'", lambda one: one["spec"].update(replicas="three")),
    Planted(_VALIDATE, *_WORKER, "'serviceName'", lambda one: _only(one).update(serviceName="x")),
    Planted(
        _MODELS, "keda", "ScaledObject", "churn-worker", "scaleTargetRef", lambda one: one["spec"].pop("scaleTargetRef")
    ),
    Planted(
        _MODELS, "keda", "ScaledObject", "churn-worker", "/spec/coolDown", lambda one: one["spec"].update(coolDown=5)
    ),
    Planted(
        _MODELS,
        "keda",
        "ScaledObject",
        "churn-worker",
        "threshold",
        lambda one: _trigger(one)["metadata"].update(threshold=3),
    ),
    Planted(
        _MODELS,
        "prometheus",
        "PodMonitor",
        "churn-worker",
        "/spec/podMetricsEndpoints/0/ports",
        lambda one: one["spec"]["podMetricsEndpoints"][0].update(ports="http"),
    ),
    Planted(
        _MODELS,
        "prometheus",
        "PrometheusRule",
        "hotswap",
        "rules.0.expr",
        lambda one: one["spec"]["groups"][0]["rules"][0].pop("expr"),
    ),
    Planted(
        _MODELS, "strimzi", "KafkaTopic", "churn.requests", "partition", lambda one: one["spec"].update(partition=12)
    ),
    Planted(
        _MODELS,
        "strimzi",
        "KafkaUser",
        "churn-worker",
        "operations",
        lambda one: one["spec"]["authorization"]["acls"][0].update(operations=["Reed"]),
    ),
    Planted(
        _CHECKOV,
        *_WORKER,
        "CKV_K8S_20",
        lambda one: _only(one)["securityContext"].update(allowPrivilegeEscalation=True),
    ),
    Planted(
        _CHECKOV, *_WORKER, "CKV_K8S_22", lambda one: _only(one)["securityContext"].update(readOnlyRootFilesystem=False)
    ),
    Planted(_CHECKOV, *_WORKER, "CKV_K8S_37", lambda one: _only(one)["securityContext"].pop("capabilities")),
    Planted(_CHECKOV, *_WORKER, "CKV_K8S_8", lambda one: _only(one).pop("livenessProbe")),
]


def main() -> int:
    """Print a line for each overlay and checker, and for each planted fault; return 1 if one is not as it must be."""
    began = time.monotonic()
    rendered = {name: overlay(name) for name in OVERLAYS}
    say(f"kustomize: {len(rendered)} overlays, {sum(map(len, rendered.values()))} objects")
    broken = [line for name, manifests in rendered.items() for line in _check(name, manifests)]
    broken += [line for fault in FAULTS for line in _find(fault, rendered[fault.overlay])]
    broken += _kustomize_refuses()
    say(
        "\n".join(broken)
        or f"all holds, and each of {len(FAULTS) + 1} planted faults was found ({time.monotonic() - began:.0f} s)"
    )
    return int(bool(broken))


def _check(name: str, manifests: list[Manifest]) -> Iterator[str]:
    for checker, check in CHECKERS.items():
        found = list(check(manifests))
        say(f"{name}: {checker}: {f'{len(found)} findings' if found else 'holds'}")
        yield from (f"BROKEN {name}: {line}" for line in found)


def _find(fault: Planted, manifests: list[Manifest]) -> Iterator[str]:
    planted = copy.deepcopy(named(manifests, fault.kind, fault.name))
    fault.plant(planted)
    found = [line for line in CHECKERS[fault.checker]([planted]) if fault.told in line]
    say(f"planted in {fault.kind} {fault.name}: {fault.checker}: {found[0].splitlines()[0] if found else 'NOT FOUND'}")
    if not found:
        yield f"BROKEN {fault.checker} does not find what was planted: {fault.told}"


def _kustomize_refuses() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kustomization.yaml").write_text("resources: [missing.yaml]\n", encoding="utf-8")
        try:
            render(Path(folder))
        except ValueError as error:
            say(f"planted in a kustomization: kustomize: {str(error).splitlines()[0]}")
        else:
            yield "BROKEN kustomize takes a resource that is missing"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
