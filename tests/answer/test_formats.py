"""Rendered tables against golden files; ORCH_UPDATE_GOLDEN=1 writes them anew, to be read before a commit."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.answer import formats
from tests.answer.test_tables import EMA_SYMMETRIC_0, made_table
from tests.builders import PUBLISHED, record

GOLDEN = Path(__file__).parent / "golden"
UPDATE = os.environ.get("ORCH_UPDATE_GOLDEN") == "1"


WRITERS = {name: formats.load(name).write for name in formats.names()}


@pytest.mark.parametrize("form", sorted(path.suffix[1:] for path in GOLDEN.glob("full.*")))
@pytest.mark.parametrize("name", ["full", "gaps"])
def test_a_table_is_written_as_in_its_golden_file(name: str, form: str) -> None:
    gaps = {
        EMA_SYMMETRIC_0: None,
        "No EMA · symmetric · seed 0": record("", 0.1, status="collapsed"),
        "No EMA · symmetric · seed 1": record("", 0.1, status="collapsed"),
        "No EMA · regular · seed 0": record("", None, status="diverged"),
        "No EMA · regular · seed 1": record("", None, status="failed"),
    }
    table = made_table(PUBLISHED, **(gaps if name == "gaps" else {}))  # type: ignore[arg-type]
    path = GOLDEN / f"{name}.{form}"
    written = formats.load("json").event(table) if form == "event" else WRITERS[form](table)
    if UPDATE:
        path.write_text(written, encoding="utf-8")
    assert written == path.read_text(encoding="utf-8")


def test_data_formats_carry_the_unrounded_numbers_as_shares() -> None:
    table = made_table(PUBLISHED)
    rows = list(csv.DictReader(io.StringIO(WRITERS["csv"](table))))
    entries = json.loads(WRITERS["json"](table))["entries"]
    assert float(rows[0]["mean"]) == entries[0]["mean"] == pytest.approx(0.86)
    assert entries[0]["published"] == pytest.approx(0.857)


def test_no_line_of_text_ends_in_blanks_and_columns_line_up() -> None:
    lines = WRITERS["text"](made_table(PUBLISHED)).splitlines()
    assert all(line == line.rstrip() for line in lines)
    head, rule, first = lines[2], lines[3], lines[4]
    assert rule.index("─", rule.index(" ")) == head.index("symmetric") == first.index("86.0")


def test_in_a_narrow_terminal_what_is_published_stays_beside_ours() -> None:
    table = made_table(PUBLISHED)
    lines = formats.load("text").write(table, within=60).splitlines()
    assert all(len(line) <= 60 for line in lines)
    heads = [line.split() for line in lines if "published" in line and "Δ" in line]
    assert heads == [[name, "published", "Δ", "baseline"] for name in ("symmetric", "regular")]
    assert formats.load("text").write(table, within=200) == WRITERS["text"](table)


def test_siunitx_sets_numbers_by_their_points_and_what_stands_behind_them_beside() -> None:
    collapsed = {f"No EMA · symmetric · seed {seed}": record("", 0.1, status="collapsed") for seed in (0, 1)}
    table = made_table(PUBLISHED, **collapsed, **{EMA_SYMMETRIC_0: None})  # type: ignore[arg-type]
    text = WRITERS["siunitx"](table)
    assert "% needs \\usepackage{booktabs} and \\usepackage{siunitx}" in text
    assert "{lS[table-format=2.1]@{}lS[table-format=2.1]@{}lS[table-format=+2.1]@{}l" in text  # Δ has signs
    assert r"\multicolumn{2}{c}{symmetric}" in text and r"\multicolumn{2}{c}{baseline}" in text
    assert r"10.0 & ~$\pm$ 0.0 $^{\dagger}$ & 20.3 & ~($-$10.3) outside & -74.0 & ~$\pm$ 0.0 &" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") + line.count("multicolumn") for line in lines} == {12}
    assert text.partition(r"\caption")[2] == WRITERS["tex"](table).partition(r"\caption")[2]


@pytest.mark.slow
def test_a_table_with_siunitx_compiles(tmp_path: Path) -> None:
    if not shutil.which("pdflatex") or subprocess.run(["kpsewhich", "siunitx.sty"], check=False).returncode:
        pytest.skip("no siunitx here")
    gaps = {EMA_SYMMETRIC_0: None, "No EMA · regular · seed 0": record("", None, status="diverged")}
    huge = {EMA_SYMMETRIC_0: record("", 1e300), "EMA · symmetric · seed 1": record("", 2e300)}
    for extra, changes in (("", {}), ("", huge), (PUBLISHED, gaps), ("best: highest\nmarks: words\n", gaps)):
        text = WRITERS["siunitx"](made_table(extra, **changes))  # type: ignore[arg-type]
        head = "\\documentclass{article}\\usepackage{booktabs,siunitx}\\begin{document}\n"
        (tmp_path / "a.tex").write_text(f"{head}{text}\\end{{document}}\n", encoding="utf-8")
        words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "a.tex"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-1500:]
