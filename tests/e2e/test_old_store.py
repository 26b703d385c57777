"""A store that orch 0.1.0 made: read, tabulated and gone on with, to the last character and trial id."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
from pathlib import Path

import pytest

from tests.builders import table_yaml
from tests.place import Place
from tests.walk import Walk

OLD = Path(__file__).parent / "store_0_1_0"
"""The store, without its pictures; sweep files; and tables as 0.1.0 printed them."""
COMMANDS = {"smoke": [], "table1": ["--profile", "laptop", "--seeds", "1", "--set", "epochs=3"]}
SUFFIXES = {"text": "txt", "json": "json", "csv": "csv", "md": "md", "tex": "tex"}


@pytest.fixture
def old(place: Place) -> Place:
    with tarfile.open(OLD / "store.tar.xz") as packed:
        packed.extractall(place.folder, filter="data")
    home = (place.folder / "runs").as_uri()
    with sqlite3.connect(place.folder / "runs" / "mlflow.db") as database:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            database.execute(f"update {table} set {column} = replace({column}, 'file:///HOME', '{home}')")
    database.close()
    shutil.copytree(OLD, place.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.xz"))
    return place


@pytest.mark.parametrize("form", SUFFIXES)
@pytest.mark.parametrize("name", COMMANDS)
def test_its_tables_are_the_same_in_every_format(old: Place, name: str, form: str) -> None:
    printed = old.orch("table", f"{name}.yaml", "-f", form, *COMMANDS[name]).stdout
    assert printed == (OLD / f"{name}.{SUFFIXES[form]}").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_of_it_is_trained_again(old: Place, name: str) -> None:
    done = old.orch("sweep", f"{name}.yaml", *COMMANDS[name])
    assert "nothing to do" in done.stderr
    assert done.stdout == (OLD / f"{name}.txt").read_text(encoding="utf-8")


def test_a_sweep_goes_on_with_it(old: Place) -> None:
    words = ["smoke.yaml", "--seeds", "3", "--set", "epochs=4"]
    (plan,) = json.loads(old.orch("plan", "smoke.yaml", "--seeds", "3", "--json").stdout)
    assert (len(plan["todo"]), len(plan["done"])) == (4, 8)
    done = old.orch("sweep", "smoke.yaml", "--seeds", "0,1,2", "--executor", "serial")
    assert "4 trials will run, 8 done" in done.stderr and "n = 3 seeds" in done.stdout
    assert "0 done" in old.orch("plan", *words).stdout  # other trials, and it is known which


def test_its_curves_and_spectra_are_drawn(old: Place) -> None:
    old.write((OLD / "smoke.yaml").read_text(encoding="utf-8") + "  - kind: curves\n", "smoke.yaml")
    drawn = old.orch("figures", "smoke.yaml").stdout.split()
    assert len(drawn) == 2 and all((old.folder / path).stat().st_size > 10_000 for path in drawn)


def test_another_metric_and_other_axes_need_no_edit_of_the_file(old: Place) -> None:
    knn = old.orch("table", "smoke.yaml", "--metric", "knn/top1").stdout
    assert knn.startswith("smoke: knn/top1 in %") and "baseline" in knn
    rank = old.orch(
        "table", "smoke.yaml", "--metric", "F/rankme", "--rows", "predictor", "--columns", "method"
    )
    head, _, columns, _, row, *_ = rank.stdout.splitlines()
    assert head == "smoke: F/rankme" and columns.split()[0] == "BYOL" and row.startswith("two-layer  12.153 ")
    cells = old.orch("table", "smoke.yaml", "--rows", "cells").stdout
    assert "BYOL · linear " in cells and "SimSiam · two-layer " in cells
    for words, told in (
        (["--rows", "predktor", "--columns", "method"], "no axis 'predktor'; did you mean 'predictor'?"),
        (["--rows", "predictor"], "its levels share a place; name each axis under --rows or --columns"),
        (["--metric", "knn/top2"], "no trial reports 'knn/top2'; did you mean 'knn/top1'?"),
        (["--metric", "knn/top1", "--check"], "--check compares what the file says"),
        (["--metric", "knn/top1", "--name", "none"], "no table 'none'; tables: smoke"),
    ):
        assert told in old.orch("table", "smoke.yaml", *words, code=2).stderr


def test_another_figure_needs_no_edit_of_the_file(old: Place) -> None:
    words = [
        "--kind",
        "curves",
        "--metric",
        "embedding/std",
        "--plain",
        "-f",
        "svg",
        "-f",
        "pdf",
        "-o",
        "drawn",
    ]
    assert old.orch("figures", "smoke.yaml", *words).stdout.split() == [
        "drawn/curves.svg",
        "drawn/curves.pdf",
    ]
    first = (old.folder / "drawn" / "curves.svg").read_bytes()
    old.orch("figures", "smoke.yaml", *words)
    assert (old.folder / "drawn" / "curves.svg").read_bytes() == first
    for wrong, told in (
        (["--kind", "curve"], "no figure kind named 'curve'; available: curves"),
        (["--metric", "train/loss"], "add --kind, such as --kind curves"),
        (["-f", "gif"], "no figure format 'gif'; known: png, pdf, svg"),
        (["--kind", "curves", "--metric", "train/los"], "train/loss"),
    ):
        assert told in old.orch("figures", "smoke.yaml", *wrong, code=2).stderr


def test_a_report_of_it_has_its_table(old: Place) -> None:
    assert old.orch("report", "smoke.yaml").stdout == "smoke.html\n"
    html = (old.folder / "smoke.html").read_text(encoding="utf-8")
    for line in (OLD / "smoke.md").read_text(encoding="utf-8").splitlines()[2:4]:
        for cell in line.strip("| ").split(" | "):
            assert f">{cell.strip()}<" in html or "---" in cell
    assert 'type="range"' in html and len(html) < 2_000_000


@pytest.mark.slow
def test_a_bundle_of_it_gives_the_same_tables_where_there_is_no_store(old: Place) -> None:
    made = old.orch("export", "smoke.yaml", "-o", "all.orch.zip").stdout
    assert made.startswith("all.orch.zip: smoke, 8 of 8 trials, ")
    words = ["-o", "table1.orch.zip", *COMMANDS["table1"]]
    assert "table1-laptop-changed-" in old.orch("export", "table1.yaml", *words).stdout
    shutil.rmtree(old.folder / "runs")
    for name in COMMANDS:
        (old.folder / f"{name}.yaml").unlink()
    for bundle, name in (("all", "smoke"), ("table1", "table1")):
        for form, suffix in SUFFIXES.items():
            printed = old.orch("table", f"{bundle}.orch.zip", "-f", form).stdout
            assert printed == (OLD / f"{name}.{suffix}").read_text(encoding="utf-8")
    assert "7 completed, 1 collapsed" in old.orch("status", "all.orch.zip").stdout
    assert len(old.orch("figures", "all.orch.zip", "-o", "drawn").stdout.split()) == 1
    assert not (old.folder / "runs").exists()  # reading needs none


@pytest.mark.slow
def test_a_bundle_of_it_goes_into_another_store_which_goes_on(old: Place) -> None:
    old.orch("export", "smoke.yaml", "-o", "all.orch.zip")
    (old.folder / "smoke.yaml").unlink()
    told = old.orch("import", "all.orch.zip", "--home", "other").stdout.splitlines()
    assert told[0].endswith("other/mlflow.db: 8 trials added")
    orch, *words = told[1].split()
    done = old.orch(*words)
    assert orch == "orch" and "nothing to do" in done.stderr
    assert done.stdout == (OLD / "smoke.txt").read_text(encoding="utf-8")
    assert "8 there already" in old.orch("import", "all.orch.zip", "--home", "other").stdout


@pytest.mark.slow
def test_a_trial_without_a_store_comes_home_in_a_bundle(place: Place) -> None:
    place.write(table_yaml(), "tiny.yaml")
    cell = "ema=EMA,predictor=regular"
    nowhere = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}  # a tracker that is away is not asked
    place.orch("trial", "tiny.yaml", cell, "--seed", "1", "-o", "one.orch.zip", **nowhere)
    assert not (place.folder / "runs").exists()
    assert "1 trial added" in place.orch("import", "one.orch.zip").stdout
    (plan,) = json.loads(place.orch("plan", "tiny.yaml", "--json").stdout)
    assert (len(plan["todo"]), len(plan["done"])) == (7, 1)
    assert "a bundle is only read" in place.orch("trial", "one.orch.zip", cell, code=2).stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["plan", "table", "sweep"])
def test_a_command_reads_its_file_expands_it_and_makes_its_table_once(old: Place, command: str) -> None:
    with Walk() as walk:
        old.orch(command, "smoke.yaml")
    assert (walk.counted["files parsed"], walk.counted["expanded"]) == (1, 1)
    assert walk.counted["tables made"] == (0 if command == "plan" else 1)
    assert walk.counted["planned"] == 1
    assert walk.counted["store asked"] == 1


@pytest.mark.slow
def test_a_new_sweep_is_planned_once_and_looks_again_once_it_has_its_claims(place: Place) -> None:
    place.write(table_yaml(), "tiny.yaml")
    with Walk() as walk:
        place.orch("sweep", "tiny.yaml", "--executor", "serial")
    counted = walk.counted
    assert (counted["files parsed"], counted["expanded"], counted["planned"]) == (1, 1, 1)
    assert (counted["tables made"], counted["store asked"]) == (1, 2)
