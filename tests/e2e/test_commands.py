"""Scripts in whole commands: planned, trained, tabled and drawn like a built-in trainer's trials."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import jsonschema
import pytest

from orchestrator import SpecError, Sweep, UsageError
from orchestrator.events import Event, Progressed
from orchestrator.execution.child.messages import Submit
from orchestrator.execution.child.trials import Trials, on_the_wire
from orchestrator.language.yaml_text import written as as_yaml
from orchestrator.recording.bundle.sources import sources
from tests.place import Place, losing_the_first_worker
from tests.scripted import REPORTING, SWEEP, script
from trainers.config import filesets as files

pytestmark = pytest.mark.filterwarnings("default")


def quiet(line: str) -> None:
    """Say nothing."""


@pytest.fixture
def scripted(ready: Place) -> Place:
    """A place with a script and a sweep of it."""
    script(REPORTING)
    ready.write(as_yaml(SWEEP))
    return ready


@pytest.mark.slow
def test_a_script_is_planned_trained_tabled_and_drawn(scripted: Place) -> None:
    assert "4 will run, 0 done" in scripted.orch("plan", "sweep.yaml").stdout
    table = scripted.orch("sweep", "sweep.yaml", "--executor", "serial").stdout
    assert "81.5 ± 0.7" in table and "85.5 ± 0.7" in table and "+4.0 ± 0.0" in table
    assert "pairing by seed is declared, not verified: what a command draws is its own" in table
    assert "nothing to do" in scripted.orch("sweep", "sweep.yaml", "--executor", "serial").stderr
    assert scripted.orch("figures", "sweep.yaml").stdout.strip().endswith(".png")
    script(REPORTING.replace("80 +", "70 +"))
    said = "4 will run, 0 done, train.py changed since 4 trials"
    assert said in scripted.orch("plan", "sweep.yaml").stdout


@pytest.mark.slow
def test_what_a_failed_script_printed_is_in_its_log(scripted: Place) -> None:
    script("print('hello'); raise SystemExit('no data')")
    said = scripted.orch("sweep", "sweep.yaml", "--executor", "serial", "--seeds", "1", code=3).stderr
    assert "failed  exit code 1: no data" in said
    log = scripted.orch("logs", "sweep.yaml", "lr=0.1").stdout
    assert "| hello\n" in log and log.rstrip().endswith("ended: failed: exit code 1: no data")


def test_what_does_not_fit_is_told_with_its_line_before_training(scripted: Place) -> None:
    lines = as_yaml(SWEEP).splitlines()
    scripted.write(as_yaml(SWEEP).replace("'{lr}'", "'{lrr}'").replace('"{lr}"', '"{lrr}"'))
    place = next(number for number, line in enumerate(lines, 1) if line.startswith("  run:"))
    for command in ("validate", "plan", "sweep"):
        (line,) = scripted.orch(command, "sweep.yaml", code=2).stderr.splitlines()
        assert line.startswith(f"sweep.yaml:{place}: run: {{lrr}} in '{{lrr}}': nothing sets it; known are")
    (scripted.folder / "train.py").unlink()
    scripted.write(as_yaml(SWEEP))
    (line,) = scripted.orch("validate", "sweep.yaml", code=2).stderr.splitlines()
    assert ": files: no such file or folder: train.py; expected it from where the sweep lies" in line


def test_a_table_of_a_metric_that_is_not_declared_is_refused_with_the_nearest(scripted: Place) -> None:
    scripted.write(as_yaml(SWEEP).replace("metric: top1", "metric: tpo1"))
    said = scripted.orch("sweep", "sweep.yaml", "--executor", "serial", code=2).stderr
    assert "none of its cells reports 'tpo1', as they are set; did you mean 'top1'?" in said


def test_the_schema_knows_a_command(scripted: Place) -> None:
    schema = json.loads(scripted.orch("schema").stdout)
    spec = json.loads(json.dumps(SWEEP))
    check = jsonschema.Draft202012Validator(schema)
    assert list(check.iter_errors(spec)) == []
    assert list(check.iter_errors(spec | {"base": spec["base"] | {"rnu": ["x"]}})) != []


def test_several_gpus_are_for_a_trainer_that_uses_them() -> None:
    script(REPORTING)
    several = SWEEP | {"resources": {"gpus": 4}}
    needs = Sweep(several).spec.resources.of({}, gpus=0)
    assert needs.bundle == {"CPU": 1.0, "GPU": 4.0}
    built_in = {"version": 1, "name": "s", "base": {"trainer": "modes"}, "resources": {"gpus": 2}}
    with pytest.raises(SpecError, match="2 GPUs for a trial, and trainer 'modes' uses one; lower it to 1"):
        Sweep(built_in)
    with pytest.raises(SpecError, match="expected a share of a GPU from 0 to 1, whole GPUs, or auto"):
        Sweep(SWEEP | {"resources": {"gpus": 1.5}})


def test_parameters_may_be_called_name_and_kind() -> None:
    script(REPORTING)
    base = SWEEP["base"] | {"params": {"name": "a", "lr": 0.1}, "env": {"NAME": "{name}"}}
    sweep = Sweep(
        SWEEP | {"base": base, "axes": {"n": {"path": "params.name", "values": ["b", "c"]}}, "tables": []}
    )
    assert [cell.config().params for cell in sweep.expansion.cells] == [  # type: ignore[attr-defined]
        {"lr": 0.1, "name": "b"},
        {"lr": 0.1, "name": "c"},
    ]


def test_what_a_script_costs_is_not_forecast_and_that_is_said(scripted: Place) -> None:
    said = scripted.orch("plan", "sweep.yaml", "--forecast").stdout
    assert "what a command takes is not known before it has run" in said


def test_ids_of_a_scripts_trials_stay_what_they_were() -> None:
    script(REPORTING)
    assert [trial.id for trial in Sweep(SWEEP, seeds=1).trials] == ["93afd178277d", "312fb76ad06b"]


# Where files are, and how they get elsewhere


def test_files_are_named_from_the_file_that_names_them_and_a_copy_asks_for_the_same(ready: Place) -> None:
    script(REPORTING, "code/train.py")
    script("width: 3\n", "base/c.yaml")
    base = SWEEP["base"] | {
        "files": ["../code/train.py", "c.yaml"],
        "run": ["python", "code/train.py", "{lr}", "{seed}"],
    }
    (ready.folder / "base" / "b.yaml").write_text(as_yaml({"version": 1, "name": "b", "base": base}))
    ready.write(
        as_yaml({"extends": "base/b.yaml", **{k: v for k, v in SWEEP.items() if k != "base"}}), "s.yaml"
    )
    sweep = Sweep.load("s.yaml")
    config = sweep.trials[0].config
    assert config.files.places == (  # type: ignore[attr-defined]
        ("code/train.py", "base/../code/train.py"),
        ("c.yaml", "base/c.yaml"),
    )
    (ready.folder / "deep" / "er").mkdir(parents=True)
    sweep.save("deep/er/saved.yaml")
    assert (
        "../../base" in Path("deep/er/saved.yaml").read_text()
        or "../../code" in Path("deep/er/saved.yaml").read_text()
    )
    assert [one.id for one in Sweep.load("deep/er/saved.yaml").trials] == [one.id for one in sweep.trials]
    assert sorted(Path(name).name for name in sources(Path("s.yaml"), trust=False).contents) == [
        "b.yaml",
        "c.yaml",
        "s.yaml",
        "train.py",
    ]


def test_submit_sends_files_to_where_the_sweep_file_finds_them(
    scripted: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.commands.train import submit

    jobs: list[Submit] = []
    monkeypatch.setattr(submit, "ask", lambda job, say: jobs.append(job) or "job-1")
    (scripted.folder / "weights.bin").write_bytes(bytes(range(256)))
    base = SWEEP["base"] | {"files": ["train.py", "weights.bin"]}
    scripted.write(as_yaml(SWEEP | {"base": base}))
    scripted.orch("submit", "sweep.yaml", "--address", "http://127.0.0.1:9", "--home", "/there")
    (job,) = jobs
    assert set(job.files) == {"sweep.yaml", "train.py", "weights.bin"}
    assert Submit.model_validate_json(job.model_dump_json()) == job
    assert job.files["weights.bin"] == bytes(range(256))
    scripted.write(as_yaml(SWEEP | {"base": base | {"files": [str(scripted.folder / "train.py")]}}))
    with pytest.raises(SpecError, match="means nothing on another machine; name it relative to this file"):
        sources(scripted.folder / "sweep.yaml", trust=False)


def test_trials_bring_their_files_to_a_process_that_has_none(
    scripted: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = on_the_wire(Sweep(SWEEP).trials)
    assert len(sent.parcels) == 1
    text = sent.model_dump_json()
    monkeypatch.setattr(files, "_kept", {})
    (scripted.folder / "train.py").unlink()
    received = Trials.model_validate_json(text).specs()
    assert [one.config.files.content.keys() for one in received] == [{"train.py"}] * 4  # type: ignore[attr-defined]


@pytest.mark.slow
def test_an_older_plan_trains_the_files_that_it_was_made_with(scripted: Place) -> None:
    before = Sweep(SWEEP, home=scripted.folder / "runs", seeds=1)
    script(REPORTING.replace("80 +", "70 +"))
    after = Sweep(SWEEP, home=scripted.folder / "runs", seeds=1)
    for sweep, first in ((before, 81.0), (after, 71.0)):
        sweep.run("serial", say=quiet)
        assert sweep.frame()["top1"].min() == first


@pytest.mark.slow
def test_the_first_ctrl_c_ends_a_script_after_its_epoch_and_it_goes_on_later(scripted: Place) -> None:
    script("""
        import json, os, time
        from pathlib import Path
        state = Path(os.environ["ORCH_CHECKPOINTS"], "epoch")
        done = int(state.read_text()) if state.exists() else 0
        for epoch in range(done + 1, 4):
            state.write_text(str(epoch))
            with open(os.environ["ORCH_REPORT"], "a") as report:
                report.write(json.dumps({"epoch": epoch, "loss": 1 / epoch, "top1": 9 * epoch}) + "\\n")
            time.sleep(30 if done == 0 and epoch == 2 else 0)
    """)
    sweep = Sweep(SWEEP, home=scripted.folder / "runs", seeds=1)
    epochs: list[tuple[int, bool]] = []

    def hear(event: Event) -> None:
        if isinstance(event, Progressed):
            epochs.append((event.report.epoch, event.report.replayed))
            if event.report.epoch == 2 and not event.report.replayed:
                os.kill(os.getpid(), signal.SIGINT)

    assert sweep.run("serial", say=quiet, on_event=hear).interrupted
    assert epochs == [(1, False), (2, False)]
    epochs.clear()
    sweep.run("serial", say=quiet, on_event=hear)
    assert epochs[:3] == [(1, True), (2, True), (3, False)]
    assert sweep.curves()["epoch"].max() == 3


def test_a_built_in_trainer_has_no_files() -> None:
    with pytest.raises((SpecError, UsageError), match="no such field"):
        Sweep({"version": 1, "name": "s", "base": {"trainer": "modes", "files": ["x"]}})


@pytest.mark.slow
def test_ray_trains_a_script_and_goes_on_with_it_when_a_worker_is_lost(scripted: Place) -> None:
    script("""
        import json, os, time
        from pathlib import Path
        state = Path(os.environ["ORCH_CHECKPOINTS"], "epoch")
        done = int(state.read_text()) if state.exists() else 0
        for epoch in range(done + 1, 6):
            state.write_text(str(epoch))
            with open(os.environ["ORCH_REPORT"], "a") as report:
                report.write(json.dumps({"epoch": epoch, "loss": 1 / epoch, "top1": 9}) + "\\n")
            Path(os.environ["ORCH_FOLDER"], "pid-" + os.environ["ORCH_ATTEMPT"]).write_text(str(os.getpid()))
            time.sleep(0.5)
    """)
    sweep = Sweep(SWEEP | {"axes": {}, "tables": []}, home=scripted.folder / "runs", seeds=1)
    attempts, hear = losing_the_first_worker(scripted.folder / "train.py")
    assert sweep.run("ray", say=quiet, on_event=hear).trained["completed"] == 1
    assert len(attempts) == 2
    assert sorted(sweep.curves().query("metric == 'loss'")["epoch"]) == [1, 2, 3, 4, 5]
