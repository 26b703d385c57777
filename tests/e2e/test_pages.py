"""MLflow's pages in a real browser: what a user sees after a sweep."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import seen
from tests.place import Place, typed

pytestmark = pytest.mark.browser
PORT = 5077


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of MLflow on the store of a swept place; the server ends with the test."""
    place = Place(tmp_path_factory.mktemp("pages"))
    place.orch("sweep", "sweep.yaml", "--executor", "serial")
    command = typed("ui", "--port", str(PORT))
    server = subprocess.Popen(command, cwd=place.folder)
    address = f"http://127.0.0.1:{PORT}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_the_runs_of_a_sweep_are_listed_by_cell_and_seed(pages: str, tmp_path: Path) -> None:
    page = seen(f"{pages}/#/experiments/1/runs", tmp_path)
    assert "EMA · symmetric · seed 0" in page
    assert "summary" in page
