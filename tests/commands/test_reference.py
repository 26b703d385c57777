"""The reference page: nothing is missing, nothing is stale, and its links lead to its headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.commands.app import app
from orchestrator.commands.look.reference import _Fields, written_reference
from orchestrator.language.sweep_spec import SweepSpec
from tests.test_docs import anchors
from trainers.config.families import SINGULAR
from trainers.config.plugins import names

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


def test_every_field_says_what_it_is() -> None:
    for section in _Fields().sections.values():
        fields = section.schema["properties"].items()
        assert [name for name, field in fields if not field.get("description")] == [], section.title


def test_the_page_is_what_the_code_says() -> None:
    written = written_reference()
    assert PAGE.read_text(encoding="utf-8") == written, "stale: orch schema -f md > docs/reference.md"


@pytest.mark.parametrize("kind", SINGULAR)
def test_every_plug_in_has_its_section(kind: str) -> None:
    heads = re.findall(r"^##+ .*: (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(names(kind)) <= set(heads)


def test_every_key_of_a_sweep_file_is_in_its_table() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("## A sweep file")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", text.partition("\n### ")[0], re.MULTILINE)
    assert set(rows) == {*SweepSpec.model_fields, "extends"}


def test_links_within_the_page_lead_to_headings() -> None:
    targets = set(re.findall(r"\]\(#([^)]*)\)", PAGE.read_text(encoding="utf-8")))
    assert targets and targets <= anchors(PAGE)


def test_a_sweep_s_own_plug_ins_are_in_its_reference(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    assert CliRunner().invoke(app, ["init", str(folder)]).exit_code == 0
    said = CliRunner().invoke(app, ["schema", "-f", "md", "--for", str(folder / "mine.yaml")])
    assert "### method: mybyol" in said.stdout


def test_another_form_than_there_is_names_those() -> None:
    said = CliRunner().invoke(app, ["schema", "-f", "yaml"])
    assert said.exit_code == 2
