from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml as pyyaml

from orchestrator.errors import SpecError
from orchestrator.language.json_schema import sweep_schema
from orchestrator.language.sweep_spec import SweepSpec
from tests.builders import TINY, sweep, table_yaml, yaml
from trainers.config.plugins import names

ROOT = Path(__file__).parents[2]
SCHEMA = sweep_schema(SweepSpec.model_json_schema())


def errors(text: str) -> list[Any]:
    return list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(pyyaml.safe_load(text)))


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.name)
def test_every_sweep_that_ships_fits_the_schema(path: Path) -> None:
    assert errors(path.read_text(encoding="utf-8")) == []


def test_dotted_and_partial_blocks_fit_the_schema() -> None:
    assert errors(table_yaml()) == []


def test_an_editor_completes_every_trainer_not_the_last_alone() -> None:
    trainer = SCHEMA["properties"]["base"]["properties"]["trainer"]
    assert {one["const"] for one in trainer["anyOf"] if "const" in one} == {*names("loops")}


@pytest.mark.parametrize(
    "wrong",
    [
        "sedes: 3",
        "tables: [{name: t, row: x}]",
        "resources: {cpu: 1}",
        "profiles: {p: {epoch: 3}}",
        "profiles: {p: {method: {name: byol, tau: 1}}}",
    ],
)
def test_an_editor_marks_what_the_command_refuses(wrong: str) -> None:
    assert errors(yaml(TINY) + wrong + "\n")


def fields(schema: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named field in a schema, by where it stands."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from ((f"{at}.{name}", field) for name, field in schema["properties"].items())
        for key, part in schema.items():
            yield from fields(part, f"{at}/{key}")
    elif isinstance(schema, list):
        for part in schema:
            yield from fields(part, at)


def test_every_field_says_what_it_is() -> None:
    found = dict(fields(SCHEMA))
    assert len(found) > 300
    assert [at for at, field in found.items() if not str(field.get("description", "")).strip()] == []


@pytest.mark.parametrize(
    ("added", "right"),
    [
        ("resources: {cells: [{gpus: 0.5}]}", False),
        ("resources: {cells: [{gpus: 0.5, where: {}}]}", False),
        ("resources: {cells: [{gpus: 0.5, where: {m: a}}]}", True),
        ("resources: {cells: [{gpus: 0.5, were: {m: a}}]}", False),
        ("seeds: 0-4", True),
        ("seeds: 4-", False),
        ("tables: [{name: t, rows: m, baseline: {m: 0.5}}]", True),
        (f"figures: [{{kind: curves, name: {'x' * 201}}}]", False),
    ],
)
def test_schema_and_command_agree(added: str, right: bool) -> None:
    text = yaml(TINY).replace("name: byol,", "name: byol, momentum: 0.5,")
    text += "axes: {m: {zip: {method.momentum: [0.5, 0.9]}, labels: [a, '0.5']}}\n" + added + "\n"
    try:
        sweep(text)
    except SpecError:
        assert not right and errors(text)
    else:
        assert right and not errors(text)
