"""The manifests of docker/kubernetes, what is wrong with one, and the containers that they start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "kubernetes"
Manifest = dict[str, Any]


def manifests() -> list[Manifest]:
    """Everything that a cluster is given."""
    files = sorted(path for path in FOLDER.glob("*.yaml") if path.stem != "kustomization")
    return [one for path in files for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def name(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    return f"{manifest['kind']} {metadata.get('name') or metadata['generateName']}"


@cache
def definitions() -> dict[str, Any]:
    """Every published type, by its name."""
    files = sorted((Path(__file__).parent / "schemas").glob("*.json"))
    return {key: value for file in files for key, value in json.loads(file.read_text("utf-8")).items()}


def wrong(manifest: Manifest) -> list[str]:
    """What the published schema refuses, each with its place."""
    group, _, version = manifest["apiVersion"].rpartition("/")
    is_kind = {"group": group, "kind": manifest["kind"], "version": version}
    for key, definition in definitions().items():
        if is_kind in definition.get("x-kubernetes-group-version-kind", []):
            schema = {"$defs": definitions(), "$ref": f"#/$defs/{key}"}
            found = jsonschema.Draft202012Validator(schema).iter_errors(manifest)
            return [f"{error.json_path}: {error.message}" for error in found]
    return [f"no such kind: {is_kind}"]


def pods(manifest: Manifest) -> Iterator[Manifest]:
    """Templates of the pods that a manifest starts."""
    spec = manifest.get("spec", {})
    if manifest["kind"] == "RayCluster":
        yield from (group["template"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]))
    elif "template" in spec:
        yield spec["template"]


def containers() -> list[Manifest]:
    return [
        container
        for manifest in manifests()
        for pod in pods(manifest)
        for container in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"])
    ]


def values(node: Any, key: str) -> Iterator[Any]:
    """What stands under `key`, however deep."""
    if isinstance(node, dict):
        for own, value in node.items():
            if own == key:
                yield value
            yield from values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values(value, key)
