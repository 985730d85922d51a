"""What each pod of ops/kubernetes must be: restricted, as Kubernetes calls it, and what Hotswap needs beside that."""

from collections.abc import Iterable, Iterator, Sequence

from harness.manifests import Manifest, container, environment, mebibytes, named, pods
from hotswap.host.child import _BEYOND_HEAP_BYTES

_OUTSIDE_THE_HEAP_MIB = 200
"""Of a model host, beside its Java heap: Java's own memory, and Python's. It may take up to _BEYOND_HEAP_BYTES."""
_PROCESS_MIB = 150
_PATHS = {"startupProbe": "/livez", "livenessProbe": "/livez"}
_WRITTEN = {"/tmp", "/var/cache/hotswap"}


def faults(manifests: Iterable[Manifest]) -> list[str]:
    """Return a line for each rule that a pod breaks; none if all is well."""
    manifests = list(manifests)
    found = []
    for name, pod in pods(manifests).items():
        rules = [_identity(pod), _privileges(pod), _volumes(pod), _probes(name, pod), _variables(pod)]
        rules += [_stop(manifests, name, pod), _memory(manifests, name, pod), _network(manifests, name)]
        found += [f"{name}: {line}" for rule in rules for line in rule]
    return found


def _identity(pod: Manifest) -> Iterator[str]:
    context = pod.get("securityContext", {})
    if context.get("runAsNonRoot") is not True:
        yield "may run as root"
    if not context.get("runAsUser"):
        yield "has no numeric user, by which Kubernetes sees that it is not root"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if pod.get("automountServiceAccountToken") is not False:
        yield "gets a token for Kubernetes"
    yield from (f"shares the node's {shared}" for shared in ("hostNetwork", "hostPID", "hostIPC") if pod.get(shared))


def _privileges(pod: Manifest) -> Iterator[str]:
    context = container(pod).get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if context.get("privileged"):
        yield "is privileged"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its image"


def _volumes(pod: Manifest) -> Iterator[str]:
    kinds = {one["name"]: one for one in pod.get("volumes", [])}
    mounts = container(pod).get("volumeMounts", [])
    written = {mount["mountPath"] for mount in mounts if "emptyDir" in kinds[mount["name"]]}
    if written != _WRITTEN:
        yield f"writes to {sorted(written)}, not to {sorted(_WRITTEN)}"
    for name, one in kinds.items():
        if not {"emptyDir", "secret", "projected"} & one.keys():
            yield f"volume {name} is none of those that the restricted standard and this worker know"
        if "emptyDir" in one and "sizeLimit" not in one["emptyDir"]:
            yield f"volume {name} has no bound"
    yield from (
        f"may write to {mount['mountPath']}"
        for mount in mounts
        if "emptyDir" not in kinds[mount["name"]] and not mount.get("readOnly")
    )


def _probes(name: str, pod: Manifest) -> Iterator[str]:
    only = container(pod)
    # A gateway takes the first swap, and says by itself that nothing serves before.
    ready = "/readyz" if name.endswith("-worker") else "/livez"
    for probe, path in {**_PATHS, "readinessProbe": ready}.items():
        if only.get(probe, {}).get("httpGet", {}).get("path") != path:
            yield f"{probe} does not ask {path}"


def _variables(pod: Manifest) -> Iterator[str]:
    if pod.get("enableServiceLinks") is not False:
        yield "gets a variable for each Service, and takes those of one called hotswap for its settings"
    for one in container(pod).get("env", []):
        if "secretKeyRef" in one.get("valueFrom", {}):
            yield f"has a secret in the variable {one['name']}"


def _stop(manifests: Sequence[Manifest], name: str, pod: Manifest) -> Iterator[str]:
    longest = float(environment(manifests, name)["HOTSWAP_STOP_TIMEOUT_S"]) if name.endswith("-worker") else 30
    before = container(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if pod["terminationGracePeriodSeconds"] < longest + before + 5:
        yield f"is killed before its clean stop of {longest:g} s may have ended"


def _memory(manifests: Sequence[Manifest], name: str, pod: Manifest) -> Iterator[str]:
    resources = container(pod).get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
        yield "does not say what it needs"
    elif name.endswith("-worker"):
        given = environment(manifests, name)
        heap = int(given["HOTSWAP_HOST_HEAP_MB"])
        # At a swap: the hosts of the serving generation, those of the next one, and a standby. One of them may take all
        # that a host may before it is ended: a kubelet ends the whole container with what exceeds its limit.
        usual, most = heap + _OUTSIDE_THE_HEAP_MIB, heap + (_BEYOND_HEAP_BYTES >> 20)
        need = _PROCESS_MIB + 2 * int(given["HOTSWAP_HOSTS"]) * usual + most
        if (limit := mebibytes(resources["limits"]["memory"])) < need:
            yield f"has {limit} MiB and may need {need} at a swap"


def _network(manifests: Sequence[Manifest], name: str) -> Iterator[str]:
    (workload,) = (one for one in manifests if one["metadata"]["name"] == name and "template" in one.get("spec", {}))
    labels = workload["spec"]["template"]["metadata"]["labels"].items()
    # Pods that no policy selects may be reached by, and reach, everything.
    shut = {
        kind
        for policy in manifests
        if policy["kind"] == "NetworkPolicy" and policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels
        for kind in policy["spec"]["policyTypes"]
    }
    if shut != {"Ingress", "Egress"}:
        yield "may be reached by everything, or reach it"
    if name.endswith("-worker"):
        budget = named(manifests, "PodDisruptionBudget", name)["spec"]
        if budget.get("unhealthyPodEvictionPolicy") != "AlwaysAllow":
            yield "keeps a node from being drained before the first swap"
