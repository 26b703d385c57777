"""What docker/launcher.yaml promises; nothing is started, and nobody is logged in."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.deployment.manifests import ROOT

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "launcher.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text(encoding="utf-8"))
STARTS = [
    command
    for role in ("head", "worker")
    for command in CONFIG[f"{role}_start_ray_commands"]
    if "ray start" in command
]


def test_the_file_is_what_rays_schema_wants_as_it_is_and_as_ray_up_completes_it() -> None:
    jsonschema.validate(CONFIG, SCHEMA)
    prepared = prepare_config(copy.deepcopy(CONFIG))
    validate_config(prepared)
    # Every machine is to be in the cluster, and stay there.
    (kind,) = prepared["available_node_types"].values()
    assert kind["min_workers"] == kind["max_workers"] == len(CONFIG["provider"]["worker_ips"])


@pytest.mark.parametrize("slip", [{"head_start_ray_command": []}, {"file_mounts": []}, {"provider": {}}])
def test_a_slip_in_the_file_is_found(slip: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(CONFIG | slip, SCHEMA)


def test_ray_starts_with_the_token_that_the_launcher_brings_and_nobody_else_reads() -> None:
    ((there, here),) = CONFIG["file_mounts"].items()
    assert here == "docker/secrets.d/ray_token"
    assert CONFIG["setup_commands"] == [f"chmod 600 {there}"]
    assert len(STARTS) == 2
    for command in STARTS:
        assert "RAY_AUTH_MODE=token " in command and f"RAY_AUTH_TOKEN_PATH={there} " in command


def test_workers_go_to_the_heads_port() -> None:
    head, worker = STARTS
    assert re.findall(r"--port=(\d+)", head) == re.findall(r"--address=\$RAY_HEAD_IP:(\d+)", worker)
