"""A trainer of one's own in whole commands: planned, trained, tabled and drawn like a built-in one."""

from __future__ import annotations

import functools
import json
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import jsonschema
import pytest

from orchestrator import SpecError, Sweep
from orchestrator.errors import ExecutionError
from orchestrator.execution.child.messages import Submit
from orchestrator.execution.child.trials import Trials, on_the_wire
from orchestrator.language.yaml_text import written as as_yaml
from orchestrator.recording.bundle.sources import sources
from tests.builders import TINY, yaml
from tests.place import Place, losing_the_first_worker
from tests.plugged import COUNTING, METHOD, TRAINER, forgotten, written
from trainers.config import foreign

pytestmark = pytest.mark.filterwarnings("default")


def quiet(line: str) -> None:
    """Say nothing."""


@pytest.fixture
def counting(ready: Place) -> Place:
    """A place with a trainer and a sweep of it."""
    written(ready.folder, counting=TRAINER)
    ready.write(as_yaml(COUNTING))
    return ready


@pytest.mark.slow
def test_a_trainer_of_ones_own_is_planned_trained_tabled_and_drawn(counting: Place) -> None:
    assert "2 will run, 0 done" in counting.orch("plan", "sweep.yaml").stdout
    table = counting.orch("sweep", "sweep.yaml", "--executor", "serial").stdout
    assert "1  2.0" in table and "2  4.0" in table
    assert "nothing to do" in counting.orch("sweep", "sweep.yaml", "--executor", "serial").stderr
    assert counting.orch("figures", "sweep.yaml").stdout.strip().endswith(".png")
    said = counting.orch("why", "sweep.yaml", "1").stdout
    assert re.search(r"the last on \S+", said) and re.search(
        r"^code .*, loops/counting [0-9a-f]{8}$", said, re.M
    )


@pytest.mark.slow
def test_who_edits_a_plug_in_reads_that_it_changed_and_a_comment_is_no_edit(counting: Place) -> None:
    counting.orch("sweep", "sweep.yaml", "--executor", "serial")
    written(counting.folder, counting=f"# a comment\n{TRAINER}")
    assert "0 will run, 2 done" in counting.orch("plan", "sweep.yaml").stdout
    written(counting.folder, counting=TRAINER.replace("epoch * config.step", "epoch + config.step"))
    said = "loops/counting changed since 2 trials"
    assert f"2 will run, 0 done, {said}" in counting.orch("plan", "sweep.yaml").stdout
    told = f"orch: {said}; `orch sweep sweep.yaml` trains them anew\n"
    assert counting.orch("status", "sweep.yaml").stderr == told
    assert said in counting.orch("sweep", "sweep.yaml", "--executor", "serial").stderr
    assert "changed since" not in counting.orch("plan", "sweep.yaml").stdout


@pytest.mark.slow
def test_an_edit_under_the_same_version_is_told_as_other_code(counting: Place) -> None:
    written(counting.folder, counting=f"{TRAINER}\nVERSION = 1\n")
    counting.orch("sweep", "sweep.yaml", "--executor", "serial")
    written(counting.folder, counting=f"{TRAINER}\nVERSION = 1\nother = 2\n")
    told = counting.orch("plan", "sweep.yaml").stdout
    assert "0 will run, 2 done" in told
    assert "2 of 2 done were trained by other code (loops/counting changed)" in told


def test_what_is_wrong_with_a_plug_in_ends_every_command_in_a_line_and_exit_code_2(counting: Place) -> None:
    written(counting.folder, counting="import nowhere\n")
    for command in ("plan", "sweep", "validate", "table"):
        (line,) = counting.orch(command, "sweep.yaml", code=2).stderr.splitlines()
        assert line == (
            "sweep.yaml:3: plugins: counting.py:1: cannot be imported: ModuleNotFoundError: No module named "
            "'nowhere'"
        )


def test_the_schema_for_a_sweep_has_its_plug_ins(counting: Place) -> None:
    schema = json.loads(counting.orch("schema", "--for", "sweep.yaml").stdout)
    spec = json.loads(json.dumps(COUNTING))
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(spec)) == []
    spec["base"]["stepp"] = 3
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(spec)) != []


def test_metrics_that_a_method_of_ones_own_declares_are_known_and_a_broken_package_is_in_nobodys_way(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = {("methods", "lost"): (EntryPoint("lost", "not_installed", "orch.methods"),)}
    monkeypatch.setattr(foreign, "installed", functools.cache(lambda: lost))
    written(ready.folder, mine=f'{METHOD}\nMETRICS = ("mine/drift",)\n')
    text = f"plugins: [./mine.py]\n{yaml(TINY)}\ntables: [{{name: t, rows: cells, metric: mine/drift}}]\n"
    ready.write(text)
    assert Sweep.load("sweep.yaml").trials
    ready.write(text.replace("mine/drift", "mine/draft"))
    with pytest.raises(SpecError, match="no trial reports 'mine/draft'"):
        Sweep.load("sweep.yaml")
    ready.write(text.replace("{name: byol, predictor: {hidden: 16}}", "lost"))
    with pytest.raises(SpecError, match="not_installed: cannot be imported"):
        Sweep.load("sweep.yaml")


# In Python


@pytest.mark.slow
def test_a_sweep_from_python_names_plug_ins_from_the_working_folder(counting: Place) -> None:
    sweep = Sweep(COUNTING, home=counting.folder / "runs")
    assert sweep.run("serial", say=quiet).trained["completed"] == 2
    assert sorted(sweep.frame()["count"]) == [2.0, 4.0]


def test_a_saved_sweep_names_its_plug_ins_from_where_it_lies(counting: Place) -> None:
    sweep = Sweep(COUNTING)
    (counting.folder / "there").mkdir()
    sweep.save("there/saved.yaml")
    assert "- ./../counting.py" in Path("there/saved.yaml").read_text()
    assert [trial.id for trial in Sweep.load("there/saved.yaml").trials] == [t.id for t in sweep.trials]


@pytest.mark.slow
def test_an_older_plan_of_an_edited_plug_in_trains_the_code_that_it_was_made_with(counting: Place) -> None:
    before = Sweep(COUNTING, home=counting.folder / "runs")
    written(counting.folder, counting=TRAINER.replace("config.epochs * config.step", "-1.0"))
    after = Sweep(COUNTING, home=counting.folder / "runs")
    assert {trial.id for trial in before.trials}.isdisjoint(trial.id for trial in after.trials)
    for sweep, counts in ((before, [2.0, 4.0]), (after, [-1.0, -1.0])):
        sweep.run("serial", say=quiet)
        assert sorted(sweep.frame()["count"]) == counts


# Files


def test_a_file_and_what_it_extends_name_plug_ins_each_from_where_it_lies(tmp_path: Path) -> None:
    written(tmp_path / "base" / "own", mine=METHOD)
    written(tmp_path, counting=TRAINER)
    (tmp_path / "base" / "base.yaml").write_text(
        "version: 1\nname: b\nplugins: [./own/]\n"
        "base: {trainer: ssl, method: {name: byol, momentum: 0.5}, data: shapes, encoder: mlp}\n"
    )
    (tmp_path / "s.yaml").write_text(
        "extends: base/base.yaml\nversion: 1\nname: s\nplugins: [./counting.py]\n"
        "axes: {a: {mine: {method.name: mine}, count: {trainer: counting}}}\n"
    )
    sweep = Sweep.load(tmp_path / "s.yaml")
    mine, count = (cell.config() for cell in sweep.expansion.cells)
    assert mine.method.momentum == 0.5 and mine.method.name == "mine"  # type: ignore[attr-defined]
    assert count.trainer == "counting"
    assert sorted(Path(name).name for name in sources(tmp_path / "s.yaml", trust=False).contents) == [
        "base.yaml",
        "counting.py",
        "mine.py",
        "s.yaml",
    ]


def test_what_is_sent_elsewhere_must_be_named_from_the_file(tmp_path: Path) -> None:
    written(tmp_path, counting=TRAINER)
    (tmp_path / "s.yaml").write_text(as_yaml(COUNTING | {"plugins": [f"{tmp_path}/counting.py"]}))
    assert Sweep.load(tmp_path / "s.yaml").trials
    with pytest.raises(SpecError, match=r"s.yaml:3: plugins: .*name it relative to this file"):
        sources(tmp_path / "s.yaml", trust=False)


def test_submit_sends_plug_ins_to_where_the_sweep_file_finds_them(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.commands.train import submit

    jobs: list[Submit] = []
    monkeypatch.setattr(submit, "ask", lambda job, say: jobs.append(job) or "job-1")
    written(ready.folder / "own", counting=TRAINER, unused="x = 1\n")
    (ready.folder / "sweeps").mkdir()
    ready.write(as_yaml(COUNTING | {"plugins": ["../own/counting.py"]}), "sweeps/s.yaml")
    ready.orch("submit", "sweeps/s.yaml", "--address", "http://127.0.0.1:9", "--home", "/there")
    (job,) = jobs
    assert set(job.files) == {"sweeps/s.yaml", "own/counting.py"}
    assert job.command[:3] == ("orch", "sweep", "sweeps/s.yaml")
    there = ready.folder / "there"
    for name, content in job.files.items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_bytes(content)
    sent = Sweep.load(there / "sweeps" / "s.yaml")
    assert [one.id for one in sent.trials] == [one.id for one in Sweep.load("sweeps/s.yaml").trials]


# Other processes


def test_trials_bring_their_plug_ins_to_a_process_that_has_no_such_file(counting: Place) -> None:
    sent = on_the_wire(Sweep(COUNTING).trials).model_dump_json()
    (counting.folder / "counting.py").unlink()
    with forgotten():
        received = Trials.model_validate_json(sent).specs()
        assert [trial.config.trainer for trial in received] == ["counting", "counting"]


def test_plug_ins_that_cannot_be_had_elsewhere_end_the_child_in_a_line(counting: Place) -> None:
    sent = on_the_wire(Sweep(COUNTING).trials)
    (one,) = sent.plugins
    lost = one._replace(module="not_installed", files={})
    with pytest.raises(ExecutionError, match=r"plug-in not_installed: cannot be imported: Mod"):
        sent.model_copy(update={"plugins": (lost,)}).specs()


@pytest.mark.slow
def test_ray_trains_a_method_of_ones_own_and_goes_on_with_it_when_a_worker_is_lost(ready: Place) -> None:
    written(ready.folder, mine=METHOD)
    text = yaml(TINY).replace("{name: byol, predictor: {hidden: 16}}", "mine")
    ready.write("plugins: [./mine.py]\n" + text.replace("epochs: 2\n  probe", "epochs: 6\n  probe"))
    sweep = Sweep.load("sweep.yaml", home=ready.folder / "runs")
    attempts, hear = losing_the_first_worker(ready.folder / "mine.py")
    assert sweep.run("ray", say=quiet, on_event=hear).trained["completed"] == 1
    assert len(attempts) == 2


def test_built_in_trials_bring_nothing(ready: Place) -> None:
    foreign.join(f"{written(ready.folder, mine=METHOD)}/mine.py")
    sweep = Sweep.load("sweep.yaml")
    assert on_the_wire(sweep.trials).plugins == ()
    assert not any(cell.is_foreign for cell in sweep.expansion.cells)
