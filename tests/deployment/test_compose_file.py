"""What docker/compose.yaml and the Dockerfile promise; no engine is needed."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.deployment.manifests import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_gains_no_rights_and_runs_as_an_ordinary_user(name: str) -> None:
    service = SERVICES[name]
    assert service["security_opt"] == ["no-new-privileges:true"] and service["cap_drop"] == ["ALL"]
    assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service)
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert service.get("user") == "postgres" if name == "postgres" else "\nUSER orch\n" in dockerfile


def test_pages_are_for_this_machine_unless_somebody_says_otherwise() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published and all(port.startswith("${ORCH_BIND:-127.0.0.1}:") for port in published)


def test_only_mlflow_reaches_the_database_which_reaches_nobody() -> None:
    there = {name for name, service in SERVICES.items() if "database" in service["networks"]}
    assert there == {"postgres", "mlflow"} and SERVICES["postgres"]["networks"] == ["database"]
    assert COMPOSE["networks"]["database"] == {"internal": True}


def test_which_gpus_a_worker_sees_is_said_where_docker_reads_it() -> None:
    # Beside `devices` Docker overwrites NVIDIA_VISIBLE_DEVICES of the container.
    text = (ROOT / "docker" / "compose.gpu.yaml").read_text(encoding="utf-8")
    (worker,) = yaml.safe_load(text)["services"].values()
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia" and len({"count", "device_ids"} & set(device)) == 1
    assert "NVIDIA_VISIBLE_DEVICES" not in worker["environment"]
    documented = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    shown = documented.partition("### A GPU for each worker\n")[2]
    lines = [line for line in shown.partition("\n## ")[0].splitlines() if line.startswith("    ")]
    several = yaml.safe_load("\n".join(lines))["services"]
    own = [one["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for one in several.values()]
    assert "worker" in several and own == [[str(number)] for number in range(len(several))]


def test_the_image_is_installed_by_one_version_of_pip() -> None:
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    first, *_ = re.findall(r"pip install .*", dockerfile)
    assert re.fullmatch(r"pip install 'pip==\d+(\.\d+)+'", first)


def test_every_image_may_be_named_by_its_digest() -> None:
    assert all(re.match(r"\$\{[A-Z_]+:-", service["image"]) for service in SERVICES.values())
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert set(bases) == {"${BASE}"} and "\nARG BASE=" in dockerfile
