"""Others' runs, from a file to a table beside ours and through a bundle, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.place import Place

RUNS = "ema,predictor,acc\nEMA,symmetric,85.7\nEMA,regular,84.2\nNo EMA,symmetric,20.3\nNo EMA,regular,79.4\n"
SHORT = str(Path(__file__).parents[2] / "docs" / "reproduction" / "table1-short.orch.zip")
WORDS = ("import", "csv", "paper.csv", "--into", "sweep.yaml", "--map", "seed=#", "--map", "probe/top1=acc")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.write(RUNS, "paper.csv")
    return made


def test_nothing_is_written_before_it_was_seen(place: Place) -> None:
    told = place.orch(*WORDS, "--percent").stdout
    assert "4 results in 4 of 4 cells of tiny, called paper.csv" in told
    assert "EMA · symmetric     n=1  probe/top1 85.7 %" in told
    assert told.endswith("nothing is written yet; the same command with --yes imports it\n")
    assert not (place.folder / "runs").exists()


def test_a_wrong_file_writes_nothing(place: Place) -> None:
    told = place.orch(*WORDS, "--yes", code=2).stderr
    assert told.startswith("orch: paper.csv:2: 'acc' is 85.7, and probe/top1 is a share from 0 to 1")
    assert not (place.folder / "runs").exists()


@pytest.mark.slow
def test_imports_stand_in_a_table_and_in_a_report_and_survive_a_bundle(place: Place) -> None:
    done = place.orch(*WORDS, "--percent", "--yes", "--as", "paper").stdout
    assert "4 imported results added; no trial counts as trained by them" in done
    assert "orch table sweep.yaml --with imported" in done
    table = place.orch("table", "sweep.yaml", "--with", "imported").stdout
    assert "paper (imported)" in table
    assert "20.3 (n=1)" in table
    assert "imported" not in place.orch("table", "sweep.yaml").stdout
    assert "8 will run, 0 done" in place.orch("plan", "sweep.yaml").stdout
    place.orch("report", "sweep.yaml", "--with", "imported", "-o", "page.html")
    page = (place.folder / "page.html").read_text()
    assert "imported: paper" in page
    assert "paper.csv:2" in page
    place.orch("export", "sweep.yaml", "-o", "out.orch.zip")
    assert place.orch("table", "out.orch.zip", "--with", "imported").stdout == table
    told = place.orch("import", "out.orch.zip", "--home", "other").stdout
    assert "0 trials added, 4 imported results added" in told
    again = place.orch("table", "sweep.yaml", "--with", "imported", "--home", "other", "-f", "json").stdout
    assert json.loads(again)["imported"][0]["name"] == "paper"
    assert (
        "0 imported results added, 4 there already"
        in place.orch(*WORDS, "--percent", "--yes", "--as", "paper").stdout
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("import", "paper.csv"),
            "orch: paper.csv: expected a bundle, whose name ends in .orch.zip, or others'",
        ),
        (
            ("import", "paper.csv", "--into", "sweep.yaml"),
            "orch: paper.csv: expected a bundle, whose name ends in .orch.zip, or others' runs: csv FILE, "
            "mlflow ADDRESS, tensorboard FOLDER or wandb FOLDER, with --into SPEC; did you mean "
            "`orch import csv paper.csv --into sweep.yaml`?",
        ),
        (("import", "csv"), "orch: orch import csv: say what to read"),
        (("import", "csv", "paper.csv"), "orch: orch import csv: say --into SPEC, the sweep that they stand"),
        (("import", "csv", "--into", "sweep.yaml"), "orch: orch import csv: say what to read"),
        (
            ("import", "xls", "a.xls", "--into", "sweep.yaml"),
            "orch: no source of runs 'xls'; expected a bundle",
        ),
        (
            ("import", "a.orch.zip", "--yes"),
            "orch: --yes is for runs of others, such as csv FILE; a.orch.zip is",
        ),
        (
            (*WORDS, "--percent", "--yes", "--tracking-uri", "memory:"),
            "orch: memory: ends with this command, so nothing is imported; name a database or a server with",
        ),
        (
            ("import", SHORT, "--home", "runs", "--tracking-uri", "memory:"),
            "orch: memory: ends with this command, so nothing is imported; name a database or a server with",
        ),
        (("table", "sweep.yaml", "--with", "imports"), "orch: --with imports: expected imported"),
        (("table", "sweep.yaml", "--with", "imported"), "orch: --with imported: sqlite:////"),
    ],
)
def test_what_cannot_be_is_one_line(place: Place, words: tuple[str, ...], told: str) -> None:
    line = place.orch(*words, code=2).stderr
    assert line.startswith(told)
    assert line.count("\n") == 1
