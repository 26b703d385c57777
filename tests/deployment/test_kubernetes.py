"""What the manifests of docker/kubernetes promise; no cluster is needed, and none is asked."""

from __future__ import annotations

import copy
import ipaddress
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tests.deployment.manifests import (
    FOLDER,
    ROOT,
    Manifest,
    containers,
    definitions,
    manifests,
    name,
    pods,
    values,
    wrong,
)

KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
ACTIONS = {"sweep.yaml"}  # given to a cluster by hand, each time one is wanted


def of_kind(kind: str) -> list[Manifest]:
    return [one for one in manifests() if one["kind"] == kind]


@pytest.mark.parametrize("manifest", manifests(), ids=name)
def test_a_manifest_is_what_the_published_schema_wants(manifest: Manifest) -> None:
    assert wrong(manifest) == []


def test_the_schemas_know_no_field_that_is_not_in_them() -> None:
    assert [
        key for key, one in definitions().items() if "properties" in one and one["additionalProperties"]
    ] == []


POD = ("spec", "headGroupSpec", "template", "spec")
CONTAINER = (*POD, "containers", 0)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("RayCluster", ("spec", "authOption"), {"mode": "token"}),
        ("RayCluster", ("spec", "authOptions", "mode"), "tokens"),
        ("RayCluster", ("spec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        ("RayCluster", ("spec", "workerGroupSpecs", 0, "replicas"), "two"),
        ("RayCluster", (*POD, "automountServiceAccounToken"), False),
        ("RayCluster", (*CONTAINER, "resources", "limits", "memory"), "4Gib"),
        ("RayCluster", (*CONTAINER, "securityContext", "runAsUser"), "orch"),
        ("RayCluster", (*CONTAINER, "env", 0, "valueFrom"), {"secretKeyRef": {"name": "orch"}}),
        ("RayJob", ("spec", "submissionMode"), "HttpMode"),
        ("RayJob", ("spec", "entryPoint"), "orch"),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "livenessProbe", "httpget"), {}),
        ("StatefulSet", ("spec", "serviceName"), 1),
        ("NetworkPolicy", ("spec", "ingres"), []),
        ("Service", ("apiVersion",), "v2"),
    ],
)
def test_a_slip_in_a_manifest_is_found(kind: str, path: tuple[Any, ...], value: object) -> None:
    manifest = copy.deepcopy(of_kind(kind)[0])
    place = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert wrong(manifest)


def test_one_command_applies_everything_but_sweeps() -> None:
    files = {path.name for path in FOLDER.iterdir()}
    assert set(KUSTOMIZATION["resources"]) | ACTIONS | {"kustomization.yaml"} == files
    assert not set(KUSTOMIZATION["resources"]) & ACTIONS


def test_every_name_that_a_manifest_uses_is_there() -> None:
    claims = {one["metadata"]["name"] for one in of_kind("PersistentVolumeClaim")}
    assert set(values(manifests(), "claimName")) <= claims
    namespace = of_kind("Namespace")[0]["metadata"]["name"]
    assert KUSTOMIZATION["namespace"] == namespace
    (job,) = of_kind("RayJob")
    assert job["metadata"]["namespace"] == namespace
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": of_kind("RayCluster")[0]["metadata"]["name"]}
    assert (ROOT / job["spec"]["entrypoint"].split()[-1]).is_file()


def test_services_and_policies_meet_their_pods() -> None:
    named = [one for one in manifests() if one["kind"] in ("Deployment", "StatefulSet")]
    ports = {
        pod["metadata"]["labels"]["app.kubernetes.io/name"]: pod["spec"]["containers"][0]["ports"]
        for manifest in named
        for pod in pods(manifest)
    }
    for service in of_kind("Service"):
        (there,) = ports[service["spec"]["selector"]["app.kubernetes.io/name"]]
        (port,) = service["spec"]["ports"]
        assert (there["name"], there["containerPort"]) == (port["targetPort"], port["port"])
    (cluster,) = of_kind("RayCluster")
    for labels in values(of_kind("NetworkPolicy"), "matchLabels"):
        assert labels in (
            {"ray.io/cluster": cluster["metadata"]["name"]},
            {"app.kubernetes.io/component": "kuberay-operator"},
            *({"app.kubernetes.io/name": app} for app in ports),
        )


def test_drivers_find_mlflow_under_a_name_that_it_answers_to() -> None:
    (address,) = [
        entry["value"]
        for container in containers()
        for entry in container.get("env", [])
        if entry["name"] == "MLFLOW_TRACKING_URI"
    ]
    host, port = address.removeprefix("http://").split(":")
    (service,) = [one for one in of_kind("Service") if one["metadata"]["name"] == host]
    assert service["spec"]["ports"][0]["port"] == int(port)
    assert f":-{host}:{port}," in (ROOT / "docker" / "start").read_text(encoding="utf-8")


def secrets_used() -> set[tuple[str, str]]:
    used = {(one["name"], one["key"]) for one in values(manifests(), "secretKeyRef")}
    # KubeRay's own name for the key.
    return used | {(name, "auth_token") for name in values(manifests(), "secretName")}


def test_the_secret_has_what_the_manifests_use_from_the_files_that_there_are(tmp_path: Path) -> None:
    header = (FOLDER / "kustomization.yaml").read_text(encoding="utf-8")
    given = re.findall(r"--from-file=(?:(\w+)=)?docker/secrets\.d/(\w+)", header)
    assert {("orch", key or file) for key, file in given} == secrets_used()
    shutil.copy(ROOT / "docker" / "secrets", tmp_path)
    subprocess.run([tmp_path / "secrets"], check=True, capture_output=True)
    assert {file for _, file in given} == {path.name for path in (tmp_path / "secrets.d").iterdir()}


def test_no_secret_stands_in_a_manifest() -> None:
    assert not of_kind("Secret")
    secret = re.compile("PASSWORD|TOKEN|KEY|SECRET")
    entries = [entry for container in containers() for entry in container.get("env", [])]
    assert [entry for entry in entries if secret.search(entry["name"])]
    assert not [entry for entry in entries if secret.search(entry["name"]) and "value" in entry]


def test_nothing_is_open_to_the_world() -> None:
    everything = manifests()
    for key in ("hostPort", "hostNetwork", "hostPID", "hostIPC", "hostPath", "nodePort", "externalIPs"):
        assert not list(values(everything, key)), key
    assert {one["spec"].get("type") for one in of_kind("Service")} == {"ClusterIP"}
    assert set(values(everything, "serviceType")) == {"ClusterIP"}
    assert not any(values(everything, "enableIngress")) and not of_kind("Ingress")
    # Nobody is let in but by a policy that names him.
    assert {"podSelector": {}, "policyTypes": ["Ingress"]} in [
        one["spec"] for one in of_kind("NetworkPolicy")
    ]


def test_only_the_operator_may_hand_jobs_to_the_dashboard() -> None:
    (ray,) = [one["spec"] for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == "ray"]
    takes = [
        rule["from"]
        for rule in ray["ingress"]
        for one in rule.get("ports", [{"port": 1, "endPort": 65535}])
        if one["port"] <= 8265 <= one.get("endPort", one["port"])
    ]
    (operator,) = values(takes, "podSelector")
    assert operator == {"matchLabels": {"app.kubernetes.io/component": "kuberay-operator"}}


def allowed(app: str) -> list[Manifest]:
    """What the pods of an app may call; an entry without `to` is for names, of whoever knows them."""
    (policy,) = [one["spec"] for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == app]
    assert "Egress" in policy["policyTypes"]
    return list(policy.get("egress", []))


def test_a_database_calls_nobody_and_mlflow_the_database_alone() -> None:
    assert allowed("postgres") == []
    database, names = allowed("mlflow")
    assert list(values([database], "matchLabels")) == [{"app.kubernetes.io/name": "postgres"}]
    assert "to" not in names and {one["port"] for one in names["ports"]} == {53}


def test_code_of_trials_does_not_reach_what_tells_a_nodes_credentials() -> None:
    blocks = list(values(allowed("ray"), "ipBlock"))
    # What most clouds have; then Azure's, Alibaba's, and AWS's and Google's where there is IPv6.
    for address in ("169.254.169.254", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254"):
        there = ipaddress.ip_address(address)
        (block,) = [one for one in blocks if there in ipaddress.ip_network(one["cidr"])]
        assert any(there in ipaddress.ip_network(one) for one in block["except"])
    for rule in allowed("ray"):
        assert "to" in rule or {one["port"] for one in rule["ports"]} == {53}


@pytest.mark.parametrize("container", containers(), ids=lambda one: str(one["name"]))
def test_a_container_is_an_ordinary_user_with_bounds(container: Manifest) -> None:
    security = container["securityContext"]
    assert security["runAsNonRoot"] and security["runAsUser"] > 0
    assert security["allowPrivilegeEscalation"] is False and security["readOnlyRootFilesystem"] is True
    assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "privileged" not in security
    for bound in ("requests", "limits"):
        assert {"cpu", "memory"} <= set(container["resources"][bound])
    assert container["readinessProbe"] and container["livenessProbe"]


def test_no_pod_holds_a_key_to_kubernetes_or_takes_settings_from_its_neighbours() -> None:
    for manifest in manifests():
        for pod in pods(manifest):
            assert pod["spec"]["automountServiceAccountToken"] is False
            assert pod["spec"]["enableServiceLinks"] is False


def test_all_of_orch_is_one_image_whose_user_and_folders_are_the_dockerfiles() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    (user,) = re.findall(r"--uid (\d+)", dockerfile)
    folders = set(re.findall(r"ORCH_(?:HOME|DATA)=(\S+)", dockerfile))
    ours = [one for one in containers() if not one["image"].startswith("postgres")]
    assert {one["image"] for one in ours} == {image["name"] for image in KUSTOMIZATION["images"]}
    assert {str(one["securityContext"]["runAsUser"]) for one in ours} == {user}
    for container in ours:
        if container["name"].startswith("ray-"):
            mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
            assert folders | {"/dev/shm", "/tmp"} == mounts


def test_the_version_of_ray_is_one_that_the_image_may_have() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        requirement
        for words in (project["dependencies"], project["optional-dependencies"]["cluster"])
        for requirement in map(Requirement, words)
        if requirement.name == "ray"
    ]
    (stated,) = values(manifests(), "rayVersion")
    assert all(Version(stated) in requirement.specifier for requirement in wanted)
    # Its agent answers /api/healthz since 2.53; the probes ask there.
    assert Version(stated) >= Version("2.53")
    assert not re.search(r"ray\W*[=<>]", (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8"))


def test_nodes_train_as_much_as_their_limits_say() -> None:
    (cluster,) = of_kind("RayCluster")
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in cluster["spec"]["workerGroupSpecs"]:
        assert not {"num-cpus", "num-gpus"} & set(group["rayStartParams"])
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
