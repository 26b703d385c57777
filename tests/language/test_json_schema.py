from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml as pyyaml

from orchestrator.language.json_schema import sweep_schema
from orchestrator.language.sweep_spec import SweepSpec
from tests.builders import TINY, table_yaml, yaml

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
