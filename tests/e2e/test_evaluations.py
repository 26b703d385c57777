"""Evaluations of finished trials: planned, run, recorded and tabled; they train nothing but themselves."""

from __future__ import annotations

import pytest

from orchestrator import Sweep
from orchestrator.commands.train import drivers
from orchestrator.planning.evaluations import evaluations
from orchestrator.process.exit_codes import FAILED
from tests.builders import TINY, expansion, yaml
from tests.place import Place
from trainers.measures.evaluations import knn

SMALL = yaml(TINY, "seeds: 2\n")
EVALUATIONS = """\
evaluations:
  near: {name: knn, knn.k: 3}
  few: {name: linear, labels: 0.2, probe.epochs: 2}
tables:
  - {name: all, rows: cells, columns: evaluations}
  - {name: few, rows: cells, metric: few/top1}
"""
SERIAL = ("--executor", "serial")


@pytest.mark.slow
def test_an_evaluation_joins_a_finished_sweep_and_trains_nothing_else(ready: Place) -> None:
    ready.write(SMALL)
    ready.orch("sweep", "sweep.yaml", *SERIAL, "-q", "--keep", "encoder")
    ready.write(SMALL + EVALUATIONS)
    assert "evaluation few (linear, 20 % of the labels): 2 missing" in ready.orch("plan", "sweep.yaml").stdout
    ran = ready.orch("sweep", "sweep.yaml", *SERIAL)
    assert (
        "nothing to do: all 2 trials" in ran.stderr and "evaluations: 4 trials of kept encoders" in ran.stderr
    )
    assert "few: linear, 20 % of the labels" in ran.stdout and "table few: few/top1 in %" in ran.stdout
    again = ready.orch("sweep", "sweep.yaml", *SERIAL)
    assert again.stdout == ran.stdout and "evaluations:" not in again.stderr
    assert "evaluation near (knn): 2 completed" in ready.orch("status", "sweep.yaml").stdout
    assert list((ready.folder / "runs" / "trials").iterdir()) == []
    frame = Sweep.load(ready.folder / "sweep.yaml", home=ready.folder / "runs").frame()
    assert frame["near/top1"].notna().all()
    ready.orch("export", "sweep.yaml")
    assert ready.orch("table", "tiny.orch.zip").stdout == ready.orch("table", "sweep.yaml").stdout
    ready.orch("import", "tiny.orch.zip", "--home", "elsewhere")
    told = ready.orch("table", "sweep.yaml", "--home", "elsewhere").stdout
    assert told == ready.orch("table", "sweep.yaml").stdout


@pytest.mark.slow
def test_a_driver_that_evaluates_is_asked_to_stop_as_one_that_trains(ready: Place) -> None:
    ready.write(SMALL + EVALUATIONS)
    ready.orch("sweep", "sweep.yaml", *SERIAL, "-q", "--keep", "encoder")
    made = Sweep.load(ready.folder / "sweep.yaml", home=ready.folder / "runs")
    known = drivers.ids_of(made.expansion, made.space)
    evaluating = evaluations(made.expansion, made.records()).expansion.trials
    assert len(evaluating) == 4 and known > {trial.id for trial in evaluating}


@pytest.mark.slow
def test_evaluations_wait_for_encoders_that_were_not_kept(ready: Place) -> None:
    ready.write(SMALL)
    ready.orch("sweep", "sweep.yaml", *SERIAL, "-q")
    ready.write(SMALL + EVALUATIONS)
    assert "2 wait for an encoder" in ready.orch("plan", "sweep.yaml").stdout
    told = ready.orch("sweep", "sweep.yaml", *SERIAL).stderr
    assert "2 trials were trained without keeping their encoders" in told and "--retrain-unkept" in told
    told = ready.orch("sweep", "sweep.yaml", *SERIAL, "--retrain-unkept").stderr
    assert "2 of them anew" in told and "evaluations: 4 trials of kept encoders" in told


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("deep: {name: linear, blocks: 5}", "evaluations.deep: is 5, but the projector has 1 hidden layers"),
        ("probe: knn", "evaluations.probe: trials report probe/... themselves"),
        ("near: knn\naxes: {evaluation: {a: {}}}", "axes.evaluation: tells evaluations apart"),
        ("near: {name: knnn}", "no evaluation named 'knnn'; available: corruptions, fine_tune, knn"),
        ("near: {name: knn, labels: 2}", "evaluations.near.labels: input should be less than 1, got 2"),
        ("near: {name: knn, data: {name: image_folder, label: x, root: gone, size: 8}}", "gone"),
    ],
)
def test_what_is_wrong_with_an_evaluation_is_told_before_training(ready: Place, line: str, says: str) -> None:
    ready.write(SMALL + f"evaluations:\n  {line}\n")
    told = ready.orch("sweep", "sweep.yaml", *SERIAL, code=2).stderr
    assert says in told and "will run" not in told


def test_evaluations_change_no_id_of_a_trial() -> None:
    def ids(text: str) -> list[str]:
        return [trial.id for trial in expansion(text).trials]

    assert ids(SMALL) == ids(SMALL + EVALUATIONS)


@pytest.mark.slow
def test_a_failed_evaluation_is_told_at_the_end_and_tried_again_with_those_of_its_cell_alone(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(config: object, subject: object) -> dict[str, float]:
        raise RuntimeError("out of luck")

    axes = "axes:\n  ema: {EMA: {method.momentum: 0.9}, No EMA: {method.momentum: 0}}\n"
    ready.write(yaml(TINY, axes) + "evaluations:\n  near: {name: knn, knn.k: 3}\n")
    with monkeypatch.context() as patched:
        patched.setattr(knn, "evaluate", broken)
        told = ready.orch("sweep", "sweep.yaml", *SERIAL, "--keep-going", code=FAILED).stderr.splitlines()
    failed = [line for line in told if line.startswith("orch: failed: evaluation ")]
    assert [line.partition(" (")[0].split("evaluation ")[1] for line in failed] == [
        "EMA · near · seed 0",
        "No EMA · near · seed 0",
    ]
    assert "`orch retry sweep.yaml` runs them again" in told[told.index(failed[-1]) + 1]
    told_again = ready.orch("retry", "sweep.yaml", "EMA", *SERIAL, "--fresh").stderr
    assert told_again.count("· near · seed 0: completed") == 1
    assert "failed: evaluation No EMA · near" in told_again and "failed: evaluation EMA" not in told_again
    nothing = ready.orch("retry", "sweep.yaml", "EMA", *SERIAL, code=2).stderr
    assert "no trial and no evaluation of cell 'EMA' has failed" in nothing
    kept = list((ready.folder / "runs" / "artifacts").rglob("encoder.safetensors"))
    for file in kept:
        file.rename(file.with_suffix(".away"))
    gone = ready.orch("retry", "sweep.yaml", "No EMA · near", *SERIAL, code=2).stderr
    assert "has failed and has its encoder; the encoder of EMA · seed 0 (" in gone
    for file in kept:
        file.with_suffix(".away").rename(file)
    by_name = ready.orch("retry", "sweep.yaml", "No EMA · near", *SERIAL).stderr
    assert "No EMA · near · seed 0: completed" in by_name


@pytest.mark.slow
def test_seeds_are_added_by_what_evaluations_find(ready: Place) -> None:
    ready.write(
        SMALL + EVALUATIONS.split("tables:")[0] + "tables:\n  - {name: t, rows: cells, metric: few/top1}\n"
    )
    told = ready.orch("sweep", "sweep.yaml", *SERIAL, "--precision", "90", "--max-seeds", "5")
    assert "(n=3)" in told.stdout and "reached in every cell" in told.stdout
    asked = Sweep.load(ready.folder / "sweep.yaml", home=ready.folder / "runs", precision=90, max_seeds=5)
    assert len(asked.trials) == 3
