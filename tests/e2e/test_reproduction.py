"""What docs/reproduction.md shows is what the bundles in the repository hold."""

from __future__ import annotations

import contextlib
import re
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator import Sweep
from orchestrator.answer import draw
from orchestrator.answer.formats import text_of
from orchestrator.commands.app import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BUNDLES = sorted((DOCS / "reproduction").glob("*.orch.zip"))
EACH = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)


def make(out: Path) -> None:
    """Make the page again by the command that it shows, with nothing but the repository."""
    (line,) = re.findall(r"^    orch (report .*) -o ", (DOCS / "reproduction.md").read_text(), re.MULTILINE)
    words: list[str] = []
    for word in line.split():
        words += [str(one.relative_to(ROOT)) for one in sorted(ROOT.glob(word))] if "*" in word else [word]
    with contextlib.chdir(ROOT):
        done = CliRunner().invoke(app, [*words, "-o", str(out), "--home", str(out.parent / "home")])
    assert done.exit_code == 0, done.output


def test_the_page_is_made_of_its_bundles_byte_for_byte(tmp_path: Path) -> None:
    make(tmp_path / "page.md")
    assert (tmp_path / "page.md").read_bytes() == (DOCS / "reproduction.md").read_bytes()


def test_no_claim_of_one_or_two_seeds_on_real_images_has_a_verdict() -> None:
    page = (DOCS / "reproduction.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    few = [
        row
        for row in rows
        if len(row) == 7 and row[3] in ("1", "2") and re.search("CIFAR-10|profile (short|cpu)", row[4])
    ]
    assert len(few) > 60
    assert all(re.match("undecided at n = [12]|not testable at this scale|no verdict", row[5]) for row in few)


def test_what_the_page_says_its_counts_are_worth_is_what_its_rows_say() -> None:
    page = (DOCS / "reproduction.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    shown = [row[1] for row in rows if len(row) == 7 and row[5].startswith("reproduced")]
    theory = [one for one in shown if one.endswith("(theory)")]
    zero = [one for one in shown if one.startswith("0.0 (")]
    numbers = [one for one in shown if "✓" in one]
    (told,) = re.findall(
        r"- Of (\d+) rows reproduced, (\d+) .*?, (\d+) .*?; (\d+) \(.*?\. (\d+) are", page, re.DOTALL
    )
    left = len(numbers) - len(theory) - len(zero)
    assert [*map(int, told)] == [len(shown), len(theory), len(zero), left, len(shown) - len(numbers)]


def test_bundles_hold_numbers_alone_and_are_20_mb_together() -> None:
    for bundle in BUNDLES:
        with zipfile.ZipFile(bundle) as held:
            kinds = {Path(name).suffix for name in held.namelist()}
        assert kinds <= {".csv", ".json", ".md", ".npz", ".tex", ".txt", ".yaml"}, bundle
    assert sum(bundle.stat().st_size for bundle in BUNDLES) < 20e6


@EACH
def test_a_published_bundle_gives_its_own_tables_again(bundle: Path) -> None:
    sweep = Sweep.load(bundle)
    with zipfile.ZipFile(bundle) as held:
        kept = [name for name in held.namelist() if name.startswith("tables/")]
        assert {Path(name).stem for name in kept} == {table.name for table in sweep.spec.tables}
        for name in kept:
            form = Path(name).suffix[1:]
            assert text_of(form, sweep.table(Path(name).stem)) == held.read(name).decode(), name


@EACH
@pytest.mark.slow
def test_a_published_bundle_draws_its_figures_and_each_time_alike(bundle: Path) -> None:
    sweep = Sweep.load(bundle)
    for figure in sweep.spec.figures:
        once, again = (draw.to_png(sweep.figure(figure.file_name)) for _ in range(2))
        assert once == again
