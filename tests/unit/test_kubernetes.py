"""The manifests of ops/kubernetes: rendered by kustomize, and held to the code that they are for."""

import json
import re
import runpy
import shutil
from copy import deepcopy

import click
import pytest
import yaml
from click.testing import CliRunner

from harness.manifests import FOLDER, OVERLAYS, ROOT, container, environment, named, overlay, pods, render
from harness.policy import faults
from hotswap.cli.main import main
from hotswap.kafka.topics.topics import new_topics
from hotswap.metrics import REGISTRY
from hotswap.settings import Settings

WORKLOADS = ["churn-worker", "churn-gateway", "churn-console"]
COMPONENTS = ["strimzi", "prometheus", "keda"]
PARTITIONS = 12


@pytest.fixture(scope="module")
def rendered():
    return {name: overlay(name) for name in OVERLAYS}


def settings_of(manifests, workload="churn-worker"):
    """The settings that a pod has."""
    given = environment(manifests, workload)
    ours = {name.removeprefix("HOTSWAP_").lower(): value for name, value in given.items() if name.startswith("HOTSWAP")}
    assert ours.keys() <= Settings.model_fields.keys()
    return Settings(**ours)


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_of_an_overlay_keeps_the_rules(rendered, name):
    assert pods(rendered[name]).keys() == set(WORKLOADS)
    assert faults(rendered[name]) == []


def test_all_components_go_together(tmp_path):
    up = "../" * len(tmp_path.parts[1:]) + str(FOLDER.relative_to("/"))
    lines = {"resources": [f"{up}/base"], "components": [f"{up}/{name}" for name in COMPONENTS]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(lines))
    together = render(tmp_path)
    assert faults(together) == []
    assert {"KafkaTopic", "KafkaUser", "PodMonitor", "PrometheusRule", "ScaledObject"} <= {
        one["kind"] for one in together
    }


def test_the_overlays_have_what_they_are_called_after(rendered):
    more = {name: {one["kind"] for one in made} for name, made in rendered.items()}
    assert {name: sorted(kinds - more["plain"]) for name, kinds in more.items()} == {
        "plain": [],
        "strimzi": ["KafkaTopic", "KafkaUser"],
        "prometheus": ["PodMonitor", "PrometheusRule"],
        "keda": ["PodMonitor", "PrometheusRule", "ScaledObject"],
    }


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_pod_has_settings_that_exist_and_are_valid_and_secrets_as_files(rendered, name, workload):
    settings = settings_of(rendered[name], workload)
    assert (settings.security_protocol, settings.sandbox) == ("SASL_SSL", "require")
    assert (settings.sasl_password, settings.sasl_username) == (
        None,
        workload.replace("gateway", "client").replace("console", "client"),
    )


def test_a_worker_has_its_pod_s_name_and_gives_it_up_when_it_is_stopped(rendered):
    given = environment(rendered["keda"], "churn-worker")
    assert given["HOTSWAP_WORKER_ID"] == given["HOTSWAP_GROUP_INSTANCE_ID"] == "metadata.name"
    settings = settings_of(rendered["keda"])
    assert settings.leave_group_on_stop
    assert named(rendered["keda"], "StatefulSet", "churn-worker")["spec"]["podManagementPolicy"] == "Parallel"


@pytest.mark.parametrize("workload", WORKLOADS)
def test_what_a_container_is_told_is_a_command_line_of_ours(rendered, tmp_path, workload):
    secret = tmp_path / "of a secret"
    secret.touch()
    name, *words = [
        re.sub(r"/etc/hotswap/.*", str(secret), word) for word in container(pods(rendered["plain"])[workload])["args"]
    ]
    command = main.get_command(click.Context(main), name)
    context = command.make_context(name, words)
    given = context.params
    assert "churn" in (given.get("deployments") or [given["deployment"]])
    if workload != "churn-worker":
        assert given["port"] == container(pods(rendered["plain"])[workload])["ports"][0]["containerPort"]
        assert given["tokens"] == given["certificate"] == given["key"] == secret


@pytest.mark.parametrize(
    ("user", "roles"), [("churn-worker", ["worker"]), ("churn-client", ["publisher", "reader", "control"])]
)
def test_the_rights_of_strimzi_s_users_are_what_acls_prints(rendered, monkeypatch, user, roles):
    given = environment(rendered["strimzi"], "churn-worker")
    for name in ("HOTSWAP_CONTROL_TOPIC", "HOTSWAP_STATUS_TOPIC"):
        monkeypatch.setenv(name, given[name])
    words = [word for role in roles for word in ("--role", role)]
    done = CliRunner().invoke(main, ["acls", "churn", "--principal", f"User:{user}", "--format", "strimzi", *words])
    printed = yaml.safe_load(done.stdout)
    made = named(rendered["strimzi"], "KafkaUser", user)
    assert made["spec"]["authorization"] == printed["spec"]["authorization"]
    assert (made["apiVersion"], made["metadata"]["name"]) == (printed["apiVersion"], printed["metadata"]["name"])


def test_strimzi_s_topics_are_those_that_topics_create_makes(rendered):
    wanted = {
        topic.name: (topic.num_partitions, topic.replication_factor, topic.topic_configs)
        for topic in new_topics(settings_of(rendered["strimzi"]).topics, PARTITIONS, 3)
    }
    made = {
        one["metadata"]["name"]: (
            one["spec"]["partitions"],
            one["spec"]["replicas"],
            {name: str(value) for name, value in one["spec"]["config"].items()},
        )
        for one in rendered["strimzi"]
        if one["kind"] == "KafkaTopic"
    }
    assert made == wanted


def test_strimzi_s_secrets_are_those_of_the_users(rendered):
    used = {
        name: pod["volumes"][0]["projected"]["sources"][0]["secret"]["name"]
        for name, pod in pods(rendered["strimzi"]).items()
    }
    assert used == {name: environment(rendered["strimzi"], name)["HOTSWAP_SASL_USERNAME"] for name in WORKLOADS}
    assert set(used.values()) == {one["metadata"]["name"] for one in rendered["strimzi"] if one["kind"] == "KafkaUser"}


def test_the_alerts_are_those_of_ops_and_find_their_jobs(rendered):
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    assert (FOLDER / "prometheus" / "rules.yaml").read_text(encoding="utf-8") == generate["render_rules"]()
    text = (ROOT / "ops" / "alerts.yml").read_text(encoding="utf-8")
    assert named(rendered["prometheus"], "PrometheusRule", "hotswap")["spec"] == yaml.safe_load(text)
    jobs = {
        relabeled["replacement"]
        for one in rendered["prometheus"]
        if one["kind"] == "PodMonitor"
        for relabeled in one["spec"]["podMetricsEndpoints"][0]["relabelings"]
        if relabeled["targetLabel"] == "job"
    }
    assert jobs == set(re.findall(r'job="([^"]*)"', text))


def test_keda_scales_the_workers_by_metrics_that_exist_and_to_no_more_than_there_are_partitions(rendered):
    made = named(rendered["keda"], "ScaledObject", "churn-worker")["spec"]
    (trigger,) = made["triggers"]
    query = trigger["metadata"]["query"]
    samples = {f"{metric.name}_total" if metric.type == "counter" else metric.name for metric in REGISTRY.collect()}
    assert set(re.findall(r"hotswap_\w+", query)) <= samples
    assert set(re.findall(r'deployment="([^"]*)"', query)) == {settings_of(rendered["keda"]).deployment}
    scaled = named(rendered["keda"], made["scaleTargetRef"]["kind"], made["scaleTargetRef"]["name"])
    assert "replicas" not in scaled["spec"], "each apply would undo what KEDA did"
    assert 2 <= made["minReplicaCount"] < made["maxReplicaCount"] <= PARTITIONS
    assert float(trigger["metadata"]["threshold"]) > 0


def test_another_deployment_is_another_word_in_the_same_files(tmp_path):
    copy = shutil.copytree(FOLDER, tmp_path / "fleet")
    for path in copy.rglob("*.*"):
        path.write_text(path.read_text().replace("churn", "fraud"))
    for name in OVERLAYS:
        made = render(copy / "overlays" / name)
        assert "churn" not in json.dumps(made)
        assert pods(made).keys() == {workload.replace("churn", "fraud") for workload in WORKLOADS}
        assert faults(made) == []


PLANTED = {
    "may run as root": lambda pod, _: pod["securityContext"].pop("runAsNonRoot"),
    "no numeric user": lambda pod, _: pod["securityContext"].pop("runAsUser"),
    "no seccomp profile": lambda pod, _: pod["securityContext"].update(seccompProfile={"type": "Unconfined"}),
    "a token for Kubernetes": lambda pod, _: pod.pop("automountServiceAccountToken"),
    "shares the node's hostPID": lambda pod, _: pod.update(hostPID=True),
    "may gain privileges": lambda _, only: only["securityContext"].pop("allowPrivilegeEscalation"),
    "is privileged": lambda _, only: only["securityContext"].update(privileged=True),
    "keeps capabilities": lambda _, only: only["securityContext"]["capabilities"].update(add=["NET_RAW"]),
    "may write to its image": lambda _, only: only["securityContext"].update(readOnlyRootFilesystem=False),
    "writes to ['/tmp']": lambda _, only: only["volumeMounts"].remove(
        next(one for one in only["volumeMounts"] if one["name"] == "cache")
    ),
    "volume tmp has no bound": lambda pod, _: pod["volumes"][-1]["emptyDir"].clear(),
    "volume store is none of those": lambda pod, _: pod["volumes"].__setitem__(1, {"name": "store", "hostPath": {}}),
    "may write to /etc/hotswap/store": lambda _, only: only["volumeMounts"][1].pop("readOnly"),
    "livenessProbe does not ask /livez": lambda _, only: only["livenessProbe"]["httpGet"].update(path="/readyz"),
    "readinessProbe does not ask /readyz": lambda _, only: only.pop("readinessProbe"),
    "takes those of one called hotswap": lambda pod, _: pod.pop("enableServiceLinks"),
    "has a secret in the variable X": lambda _, only: only["env"].append(
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}, "fieldRef": {"fieldPath": ""}}}
    ),
    "is killed before its clean stop": lambda pod, _: pod.update(terminationGracePeriodSeconds=10),
    "does not say what it needs": lambda _, only: only["resources"]["limits"].clear(),
    "may need 3622 at a swap": lambda _, only: only["resources"]["limits"].update(memory="3Gi"),
}


@pytest.mark.parametrize("told", PLANTED)
def test_a_fault_that_is_planted_in_a_pod_is_found(rendered, told):
    made = deepcopy(rendered["plain"])
    pod = pods(made)["churn-worker"]
    PLANTED[told](pod, container(pod))
    assert [line for line in faults(made) if line.startswith("churn-worker: ") and told in line]


@pytest.mark.parametrize(
    ("kind", "field", "value", "told"),
    [
        ("NetworkPolicy", "policyTypes", ["Ingress"], "may be reached by everything"),
        ("PodDisruptionBudget", "unhealthyPodEvictionPolicy", "IfHealthyBudget", "keeps a node from being drained"),
    ],
)
def test_a_fault_that_is_planted_beside_a_pod_is_found(rendered, kind, field, value, told):
    made = deepcopy(rendered["plain"])
    for one in made:
        if one["kind"] == kind:
            one["spec"][field] = value
    assert any(told in line for line in faults(made))


def test_what_kustomize_refuses_is_told(tmp_path):
    (tmp_path / "kustomization.yaml").write_text("resources: [missing.yaml]")
    with pytest.raises(ValueError, match=r"missing\.yaml"):
        render(tmp_path)
