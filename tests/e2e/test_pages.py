"""MLflow's pages in a real browser: what a user sees after a sweep."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import seen
from tests.place import Place, typed

pytestmark = pytest.mark.browser
PORT = 5077


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What `orch ui` says on the store of a swept place; its server ends with the test."""
    place = Place(tmp_path_factory.mktemp("pages"))
    place.orch("sweep", "sweep.yaml", "--executor", "serial")
    command = typed("ui", "--port", str(PORT))
    log = place.folder / "said.txt"
    with log.open("w") as stream:
        server = subprocess.Popen(command, cwd=place.folder, stdout=stream)
    try:
        for _ in range(600):  # a busy machine takes a minute
            if "MLflow on" in log.read_text():
                break
            time.sleep(0.5)
        yield log.read_text().splitlines()
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_the_addresses_that_are_printed_show_cells_seeds_and_metrics_of_training_runs(
    pages: list[str], tmp_path: Path
) -> None:
    (line,) = (line for line in pages if line.startswith("  tiny: "))
    page = seen(line.split(": ", 1)[1], tmp_path)
    assert "EMA · symmetric · seed 0" in page and "summary" in page
    for column in ("orch.cell", "orch.seed", "orch.status", "probe/top1"):
        assert f'title="{column}"' in page or f">{column}<" in page
    assert page.index("summary") < page.index("EMA · symmetric · seed 0")
    assert "does not exist" not in page and "Sessions" not in page  # those are of language models


def test_the_page_of_charts_opens_on_the_metrics_of_the_tables(pages: list[str], tmp_path: Path) -> None:
    (line,) = (line for line in pages if line.startswith("  tiny: "))
    page = seen(f"{line.split(': ', 1)[1]}&compareRunsMode=CHART", tmp_path, until="train/loss")
    first = page.index("metrics of the tables, and the loss")
    assert page.index("probe/top1", first) < page.index("train/loss", first)
    assert ">F<" not in page[:first] and ">alignment<" not in page[:first]


def test_the_first_address_lists_sweeps_with_their_questions(pages: list[str], tmp_path: Path) -> None:
    (line,) = (line for line in pages if line.startswith("MLflow on "))
    page = seen(line.split()[2], tmp_path)
    assert ">Default<" not in page and "/experiments/1" in page
