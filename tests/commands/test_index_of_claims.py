"""`orch report -f md`: claims from sweep files, results from bundles, and words of one's own."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.builders import table_yaml
from tests.place import Place

SHORT = str(Path(__file__).parents[2] / "docs" / "reproduction" / "table1-short.orch.zip")


def test_a_sweep_file_is_answered_by_a_bundle_of_another_sweep_that_has_its_trials(ready: Place) -> None:
    ready.orch("report", SHORT, "orch:figure2", "-f", "md", "-o", "page.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert "`orch sweep orch:figure2 --profile short --seeds 0,`" in page
    assert "undecided at n = 1; written after all its 1 trial had begun" in page
    assert "not run" not in page.partition("## figure2")[2]


def test_what_no_bundle_has_is_not_run_whatever_the_store_here_has(ready: Place) -> None:
    ready.orch("report", SHORT, "orch:direct_freq", "-f", "md", "-o", "page.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8").partition("## direct_freq")[2]
    assert page.count("| not run | `orch sweep orch:direct_freq --profile paper` |") == 5


def test_notes_are_put_below_their_sweep(ready: Place) -> None:
    (ready.folder / "notes.md").write_text("# Mine\n\n## table1\n\nThe cause: none.\n", encoding="utf-8-sig")
    ready.orch("report", SHORT, "-f", "md", "-o", "page.md", "--notes", "notes.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert page.index("\n# Mine") < page.index("## table1") < page.index("The cause: none.")


def test_a_bundle_whose_profile_a_sweep_file_no_longer_has_is_no_answer_to_it(ready: Place) -> None:
    ready.write(table_yaml().replace("name: tiny", "name: table1"))
    ready.orch("report", SHORT, "sweep.yaml", "orch:figure2", "-f", "md", "-o", "page.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert "`orch sweep orch:figure2 --profile short --seeds 0,`" in page and "## table1" not in page


def test_notes_on_one_sweep_may_stand_in_two_places(ready: Place) -> None:
    notes = "# Mine\n\n## table1\n\nThe cause: none.\n\n##  \n\n## table1\n\nAnd more.\n"
    (ready.folder / "notes.md").write_text(notes, encoding="utf-8")
    ready.orch("report", SHORT, SHORT, "-f", "md", "-o", "page.md", "--notes", "notes.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert page.index("# Mine") < page.index("The cause: none.") < page.index("And more.")
    ready.orch("report", SHORT, "-f", "md", "-o", "page.md", "--notes", "notes.md")
    assert page == (ready.folder / "page.md").read_text(encoding="utf-8"), "a bundle counts once"


def test_the_command_beside_a_claim_of_a_bundle_alone_can_be_typed(ready: Place) -> None:
    ready.orch("report", SHORT, "-f", "md", "-o", "page.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    (command,) = set(re.findall(r"`orch (import .*)` \|$", page, re.MULTILINE))
    ready.orch(*shlex.split(command))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-f", "pdf"), "no report format 'pdf'; known: html, md"),
        (("--notes", "notes.md"), "--notes is for the index of claims; add -f md"),
        (("-f", "md", "--with", "imported"), "leave out -f md"),
        (("-f", "md", "--notes", "none.md"), "none.md: cannot be read: No such file or directory"),
        (("-f", "md", "--notes", "notes.md"), "notes.md: '## tabel1' is none of these sweeps; did you mean"),
        (("-f", "md", "-o", "notes.md"), "notes.md: is there already and is no report"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(ready: Place, words: tuple[str, ...], said: str) -> None:
    (ready.folder / "notes.md").write_text("## tabel1\n", encoding="utf-8")
    done = ready.orch("report", SHORT, *words, code=2)
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert (ready.folder / "notes.md").read_text(encoding="utf-8") == "## tabel1\n"
