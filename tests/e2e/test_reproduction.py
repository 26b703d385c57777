"""What docs/reproduction.md shows is what the bundles in the repository hold."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.place import Place

DOCS = Path(__file__).parents[2] / "docs"
BUNDLES = sorted((DOCS / "reproduction").glob("*.orch.zip"))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
@pytest.mark.parametrize("form", ["csv", "json", "latex", "markdown"])
def test_a_published_bundle_gives_its_own_tables_again(place: Place, bundle: Path, form: str) -> None:
    ending = {"latex": "tex", "markdown": "md"}.get(form, form)
    with zipfile.ZipFile(bundle) as held:
        (kept,) = (name for name in held.namelist() if name.startswith("tables/") and name.endswith(ending))
        expected = held.read(kept).decode()
    assert place.orch("table", str(bundle), "--format", form).stdout == expected


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_page_shows_the_numbers_of_its_bundle(place: Place, bundle: Path) -> None:
    shown = place.orch("table", str(bundle)).stdout
    page = (DOCS / "reproduction.md").read_text(encoding="utf-8")
    rows = [line for line in shown.splitlines() if "(n=" in line]
    assert rows
    for row in rows:
        assert row.split() in [line.split() for line in page.splitlines()]


def test_bundles_in_the_repository_stay_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLES) < 20 * 2**20
