"""Sweeps that come with orch are named from anywhere, and are the files of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import SpecError, Sweep
from orchestrator.language.load import SHIPPED, load_sweep, shipped
from orchestrator.recording.bundle.sources import sources
from tests.place import Place

pytestmark = pytest.mark.filterwarnings("default")
ROOT = Path(__file__).parents[2]


def test_what_comes_with_orch_is_the_repositorys_folder_and_no_copy_of_it() -> None:
    assert SHIPPED.samefile(ROOT / "sweeps")
    assert {path.stem for path in (ROOT / "sweeps").glob("*.yaml")} == {n for n in shipped() if "/" not in n}


@pytest.mark.parametrize("name", ["orch:table1", "orch://table1", "orch:table1.yaml"])
def test_a_sweep_that_comes_with_orch_is_its_file_from_any_folder(name: str) -> None:
    asked, file = Sweep.load(name), Sweep.load(ROOT / "sweeps" / "table1.yaml")
    assert [trial.id for trial in asked.trials] == [trial.id for trial in file.trials]


def test_a_file_of_ones_own_extends_one_that_comes_with_orch() -> None:
    Path("mine.yaml").write_text("extends: orch:table1\nversion: 1\nname: mine\nseeds: 5\n")
    assert (load_sweep(Path("mine.yaml")).seeds, len(load_sweep(Path("mine.yaml")).axes)) == (5, 2)
    assert list(sources(Path("mine.yaml"), trust=False).contents) == [
        "mine.yaml"
    ]  # the others are wherever orch is


def test_a_path_that_only_begins_where_those_of_orch_lie_is_a_file_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far.yaml").write_text("version: 1\nname: far\n")
    (own := tmp_path / "above" / "own").mkdir(parents=True)
    monkeypatch.chdir(own)
    up = "/".join(".." for _ in SHIPPED.resolve().parts[1:])
    for name in (f"{SHIPPED.resolve()}/{up}{tmp_path}/far.yaml", f"orch:{up}{tmp_path}/far"):
        Path("mine.yaml").write_text(f"extends: {name}\nversion: 1\nname: mine\n")
        with pytest.raises(SpecError, match=r"in none of the folders|no sweep of that name"):
            load_sweep(Path("mine.yaml"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("orch:smok", "orch:smok: no sweep of that name comes with orch; did you mean 'orch:smoke'?"),
        ("orch:", "orch:: no sweep of that name comes with orch; known: alpha_p, batchnorm, "),
        ("smoke", "smoke: no such file; did you mean 'orch:smoke', which comes with orch?"),
        ("sweeps/table1.yaml", "no such file; did you mean 'orch:table1', which comes with orch?"),
    ],
)
def test_a_name_that_is_none_is_told_with_those_there_are(name: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_sweep(Path(name))
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_commands_take_a_sweep_that_comes_with_orch(ready: Place) -> None:
    assert "8 will run, 0 done" in ready.orch("plan", "orch:smoke").stdout
    assert ready.orch("validate", "orch:smoke").stdout == "orch:smoke: ok, 4 cells × 2 seeds = 8 trials\n"
    assert "12 trials shared" in ready.orch("diff", "orch:table1", "orch:table1").stdout


def test_a_cluster_is_asked_for_its_own_file(ready: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.commands.train import submit
    from orchestrator.execution.child.messages import Submit

    jobs: list[Submit] = []
    monkeypatch.setattr(submit, "ask", lambda job, say: jobs.append(job) or "job-1")
    ready.orch("submit", "orch:smoke", "--address", "http://127.0.0.1:9", "--home", "/there")
    (job,) = jobs
    assert (job.files, job.command[:3]) == ({}, ("orch", "sweep", "orch:smoke"))
