"""`orch report -f md`: claims from sweep files, results from bundles, and words of one's own."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import pytest

from orchestrator.answer.report.index import MADE
from orchestrator.recording.memory import MemoryStore
from orchestrator.records import Provenance
from tests.builders import INFO, PUBLISHED, expansion, outcome, table_yaml
from tests.place import Place
from tests.recording.test_bundle import exported, filled

SHORT = str(Path(__file__).parents[2] / "docs" / "reproduction" / "table1-short.orch.zip")


def test_a_sweep_file_is_answered_by_a_bundle_of_another_sweep_that_has_its_trials(ready: Place) -> None:
    ready.orch("report", SHORT, "orch:figure2", "-f", "md", "-o", "page.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert "`orch sweep orch:figure2 --profile short --seeds 0,`" in page
    assert "undecided at n = 1; its only trial began without it" in page
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


def test_a_bundle_whose_profile_a_sweep_file_no_longer_has_is_no_answer_to_it_and_that_is_told(
    ready: Place,
) -> None:
    ready.write(table_yaml().replace("name: tiny", "name: table1"))
    done = ready.orch("report", SHORT, "sweep.yaml", "orch:figure2", "-f", "md", "-o", "page.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert "`orch sweep orch:figure2 --profile short --seeds 0,`" in page
    told = "4 of its 4 trials and 4 of its 4 claims not shown, because not asked for by sweep.yaml; "
    assert told in page.partition("## table1")[2]
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"orch: {SHORT}/table1-short: {told}leave sweep.yaml out to see all")


TEXT = table_yaml(PUBLISHED)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TEXT, ""),
        (TEXT.replace("a paper", "a journal"), ""),  # the same claim, from elsewhere
        (TEXT.replace("name: main", "name: other"), ""),
        (TEXT + TEXT[TEXT.index("  - name: main") :].replace("main", "more").replace("79.4", "79.5"), ""),
        (TEXT.replace("seeds: 2", "seeds: 3"), ""),
        (TEXT.replace("seeds: 2", "seeds: 1"), ""),  # those of the bundle count
        (
            TEXT + "exclude: [{cell: {ema: EMA}, seed: 1, reason: broken}]\n",
            "",
        ),  # which the index tells itself
        (
            TEXT.replace("EMA: {method.momentum: 0.9}", "EMA: {method.momentum: 0.8}"),
            "4 of its 8 trials and 2 of its 4 claims",
        ),
        (TEXT.replace("epochs: 2\n", "epochs: 3\n", 1), "8 of its 8 trials and 4 of its 4 claims"),
        (TEXT.replace("symmetric: {method", "linear: {method"), ""),  # another name for the same trials
        (table_yaml(), "4 of its 4 claims"),
    ],
)
def test_what_a_bundle_has_and_the_file_of_its_sweep_no_longer_asks_for_is_told(
    ready: Place, text: str, told: str
) -> None:
    whole = expansion(TEXT)
    exported(ready.folder / "tiny.orch.zip", filled(whole), whole, TEXT)
    ready.write(text)
    done = ready.orch("report", "tiny.orch.zip", "sweep.yaml", "-f", "md", "-o", "page.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    if not told:
        assert done.stderr == "" and "not shown" not in page
        return
    line = f"tiny.orch.zip/tiny: {told} not shown, because not asked for by sweep.yaml; leave sweep.yaml out"
    assert done.stderr.startswith(f"orch: {line}") and len(done.stderr.splitlines()) == 1
    assert page.count(f"- {line}") == 1
    assert ready.orch("report", "tiny.orch.zip", "-f", "md", "-o", "page.md").stderr == ""


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("79.4", "79.5"),
        TEXT.replace("tolerance: 1.5", "tolerance: 90"),
        TEXT.replace("tolerance: 1.5", "tolerance: 90").replace("name: main", "name: other"),
    ],
)
def test_numbers_that_a_bundle_was_not_exported_with_judge_it_and_that_is_told(
    ready: Place, text: str
) -> None:
    whole = expansion(TEXT)
    exported(ready.folder / "tiny.orch.zip", filled(whole), whole, TEXT)
    ready.write(text)
    done = ready.orch("report", "tiny.orch.zip", "sweep.yaml", "-f", "md", "-o", "page.md")
    line = (
        "tiny.orch.zip/tiny: judged by sweep.yaml, whose published numbers or tolerances are not those that "
        "it was exported with: main (probe/top1)"
    )
    assert done.stderr == f"orch: {line}\n"
    assert f"\n- {line}\n" in (ready.folder / "page.md").read_text(encoding="utf-8")


def test_what_is_unlike_behind_its_numbers_is_told_below_a_sweep(ready: Place) -> None:
    whole, store = expansion(TEXT), MemoryStore()
    for number, trial in enumerate(whole.trials):
        info = INFO.model_copy(update={"provenance": Provenance(code_version=f"code{number % 2}")})
        store.begin(trial.facts, info, worker="node:1")
        store.finish(trial.id, outcome(0.5), info)
    exported(ready.folder / "tiny.orch.zip", store, whole, TEXT)
    ready.orch("report", "tiny.orch.zip", "-f", "md", "-o", "page.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert "\n- trained by different code versions: code0, code1\n" in page.partition("## tiny")[2]


def test_what_is_set_in_the_command_is_set_in_the_commands_of_the_index(ready: Place) -> None:
    whole = expansion(TEXT)
    exported(ready.folder / "tiny.orch.zip", filled(whole), whole, TEXT)
    ready.write(TEXT)
    ready.orch("report", "tiny.orch.zip", "sweep.yaml", "-f", "md", "-o", "page.md", "--set", "epochs=3")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert page.count("| not run | `orch sweep sweep.yaml --set epochs=3` |") == 4


def test_bundles_with_two_results_of_one_trial_make_no_index(ready: Place) -> None:
    whole = expansion(TEXT)
    for name, value, status in (("f", 0.1, "failed"), ("a", 0.1, "completed"), ("b", 0.2, "completed")):
        exported(ready.folder / f"{name}.orch.zip", filled(whole, value=value, status=status), whole, TEXT)
    done = ready.orch("report", "f.orch.zip", "a.orch.zip", "b.orch.zip", "-f", "md", "-o", "page.md", code=2)
    first = whole.trials[0].id
    told = f"orch: trial {first} has another result in b.orch.zip/tiny than in a.orch.zip/tiny; leave one"
    assert done.stderr.startswith(told) and not (ready.folder / "page.md").exists()


def test_of_two_files_of_a_sweep_one_asks_for_what_its_bundle_has(ready: Place) -> None:
    whole = expansion(TEXT)
    exported(ready.folder / "tiny.orch.zip", filled(whole), whole, TEXT)
    ready.write(TEXT, "then.yaml")
    ready.write(TEXT.replace("epochs: 2\n", "epochs: 3\n", 1))
    done = ready.orch("report", "tiny.orch.zip", "sweep.yaml", "then.yaml", "-f", "md", "-o", "page.md")
    assert done.stderr == ""


def test_notes_on_one_sweep_may_stand_in_two_places(ready: Place) -> None:
    notes = "# Mine\n\n## table1\n\nThe cause: none.\n\n##  \n\n## table1\n\nAnd more.\n"
    (ready.folder / "notes.md").write_text(notes, encoding="utf-8")
    ready.orch("report", SHORT, SHORT, "-f", "md", "-o", "page.md", "--notes", "notes.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert "The cause: none.\n\n##\n\nAnd more." in page.replace("##  ", "##") and "# Mine" in page
    ready.orch("report", SHORT, "-f", "md", "-o", "page.md", "--notes", "notes.md")
    assert page == (ready.folder / "page.md").read_text(encoding="utf-8"), "a bundle counts once"


def test_a_sweep_is_spoken_of_below_a_heading_of_markdown_and_nothing_else_is_one(ready: Place) -> None:
    notes = "Above.\r\n\n  ## table1 ##\nCause:\n```yaml\n## table1\n## other\n```\n\n> ## quoted\n"
    (ready.folder / "notes.md").write_text(notes, encoding="utf-8", newline="")
    ready.orch("report", SHORT, "-f", "md", "-o", "page.md", "--notes", "notes.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    assert page.index("Above.") < page.index("\n## table1\n") < page.index("Cause:")
    assert "\n```yaml\n## table1\n## other\n```\n\n> ## quoted\n" in page and "## table1 ##" not in page


def test_a_link_to_a_page_stays_a_link(ready: Place) -> None:
    for _ in range(2):
        (ready.folder / "pages").mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (ready.folder / "latest.md").symlink_to("pages/page.md")
        ready.orch("report", SHORT, "-f", "md", "-o", "latest.md")
        assert (ready.folder / "latest.md").is_symlink()
        assert (ready.folder / "pages" / "page.md").read_text(encoding="utf-8").startswith(MADE)
    assert [one.name for one in (ready.folder / "pages").iterdir()] == ["page.md"]
    (ready.folder / "latest.md").unlink()
    (ready.folder / "latest.md").symlink_to("latest.md")
    done = ready.orch("report", SHORT, "-f", "md", "-o", "latest.md", code=2)
    assert "is a link that leads to itself" in done.stderr and (ready.folder / "latest.md").is_symlink()


@pytest.mark.parametrize("notes", ["", "Words.", "- ## table1\n", "Words\n---\n", "## \n\nWords.\n"])
def test_notes_without_a_sweeps_heading_head_the_page(ready: Place, notes: str) -> None:
    (ready.folder / "notes.md").write_text(notes, encoding="utf-8")
    ready.orch("report", SHORT, "-f", "md", "-o", "page.md", "--notes", "notes.md")
    page = (ready.folder / "page.md").read_text(encoding="utf-8")
    head, found, _ = page.partition("\n## table1\n")
    assert found and head.count(notes.strip() or "# Published and ours") == 1


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
        (
            ("-f", "md", "--notes", "made.md"),
            "made.md: was made by orch report; --notes takes what was written",
        ),
    ],
)
def test_what_cannot_be_is_told_in_a_line(ready: Place, words: tuple[str, ...], said: str) -> None:
    (ready.folder / "notes.md").write_text("## tabel1\n", encoding="utf-8")
    (ready.folder / "made.md").write_text(f"{MADE}\n\n# Claims\n", encoding="utf-8")
    done = ready.orch("report", SHORT, *words, code=2)
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
    assert (ready.folder / "notes.md").read_text(encoding="utf-8") == "## tabel1\n"
