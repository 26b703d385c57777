"""What an id does not tell: whether the code and the files behind done trials are those of today."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator import Sweep, UsageError
from orchestrator.answer import publish
from orchestrator.events import Event, Progressed
from orchestrator.execution.checks import check_before_training
from orchestrator.execution.options import Options
from orchestrator.planning.plan import make_plan
from tests.builders import record
from tests.place import Place
from tests.trainers.builders import TINY
from trainers.attempt import source
from trainers.attempt.isolation import run_trial
from trainers.attempt.source import changed, digests, files_of
from trainers.config.base import LoopConfig, Runtime
from trainers.datasets.base import listing_of
from trainers.methods import byol as methods_byol
from trainers.methods import simsiam as methods_simsiam
from trainers.views.device_images import load_images

pytestmark = pytest.mark.filterwarnings("default")
THEORY: dict[str, Any] = {
    "version": 1,
    "name": "t",
    "base": {
        "trainer": "modes",
        "x": {"of": "p0", "low": -1, "high": 2, "points": 5},
        "y": {"of": "s0", "low": 0.02, "high": 2, "points": 5},
        "time": 5,
    },
    "axes": {"m": {"path": "eta", "values": [0.1, 0.3]}},
    "tables": [{"name": "t", "rows": "m", "metric": "modes/collapsed_share"}],
}


SSL: dict[str, Any] = {
    "version": 1,
    "name": "s",
    "base": TINY | {"trainer": "ssl", "epochs": 1, "probe": {"epochs": 1}},
}


def quiet(line: str) -> None:
    """Say nothing."""


def config() -> LoopConfig:
    return Sweep(THEORY).trials[0].config


def test_the_source_of_a_trial_is_its_plug_ins_and_the_rest_of_the_trainers() -> None:
    ssl = {"trainer": "ssl", "method": "byol", "data": "digits", "encoder": "mlp", "epochs": 1}
    one = digests(files_of(Sweep({"version": 1, "name": "s", "base": ssl}).trials[0].config))
    files = ["datasets/digits.py", "encoders/mlp.py", "loops/ssl.py", "methods/byol.py", "optimizers/sgd.py"]
    assert sorted(one) == sorted([*files, "trainers"])
    assert sorted(digests(files_of(config()))) == ["loops/modes.py", "trainers"]


def test_comments_and_blank_lines_are_no_other_code(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    texts = ["x = 1\ny = 2\n", "# why\nx = 1  \n\n    # more\ny = 2\n", "x = 1\ny = 3\n"]
    found = []
    for text in texts:
        file.write_text(text)
        found.append(source._digest(file))
    assert found[0] == found[1] != found[2]


def test_what_is_edited_later_is_not_what_a_process_has_recorded_as_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    byol, simsiam = (Path(str(module.__file__)) for module in (methods_byol, methods_simsiam))
    before = source.imported(frozenset({byol}))
    (later := tmp_path / "later.py").write_text("x = 1")
    monkeypatch.setattr(source, "_digest", lambda path: "edited!!")
    after = source.imported(frozenset({byol, simsiam, later}))
    assert {name: after[name] for name in before} == before
    assert after["methods/simsiam.py"] != "edited!!"
    assert after["later.py"] == "edited!!"  # which it asks for now, and so has just imported


def test_what_was_not_recorded_has_not_changed() -> None:
    assert changed({}, {"trainers": "a"}) == []
    assert changed({"trainers": "a", "methods/x.py": "b"}, {"trainers": "a", "methods/x.py": "c"}) == [
        "methods/x.py"
    ]


@pytest.mark.slow
def test_trials_of_other_code_are_told_and_trained_anew_only_when_asked(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.planning import origin

    sweep = Sweep(THEORY, home=ready.folder / "runs")
    sweep.run("serial", say=quiet)
    before = sweep.records()
    monkeypatch.setattr(origin, "digests", lambda files: source.digests(files) | {"loops/modes.py": "0" * 8})
    said: list[str] = []
    assert sweep.run("serial", say=said.append).trained.total() == 0
    assert "2 of 2 done were trained by other code (loops/modes.py changed); --retrain-changed" in said[0]

    assert sweep.run("serial", retrain_changed=True, say=said.append).trained["completed"] == 2
    after = sweep.records()
    assert {i: one.metrics for i, one in after.items()} == {i: one.metrics for i, one in before.items()}
    assert not {one.run for one in after.values()} & {one.run for one in before.values()}
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=sweep.space.store_at.text)
    for one in before.values():
        kept = client.get_run(str(one.run)).data
        assert kept.tags["orch.set_aside"] == one.trial_id and kept.metrics.items() >= one.metrics.items()
    assert sweep.store().asked_for("t").keys() == after.keys()


@pytest.mark.slow
def test_what_is_trained_anew_begins_without_checkpoints(
    ready: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.planning import origin

    sweep = Sweep(SSL, home=ready.folder / "runs")
    sweep.run("serial", keep_checkpoints=True, say=quiet)
    assert list((ready.folder / "runs" / "trials").rglob("*.pt"))
    monkeypatch.setattr(origin, "digests", lambda files: source.digests(files) | {"methods/byol.py": "0" * 8})
    heard: list[Event] = []
    sweep.run("serial", retrain_changed=True, say=quiet, on_event=heard.append)
    assert [event.report.replayed for event in heard if isinstance(event, Progressed)] == [False, False]


@pytest.mark.slow
def test_a_trial_that_went_on_from_a_checkpoint_is_of_the_code_of_its_first_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, runtime = Sweep(SSL).trials[0].config, Runtime()
    old = source.imported(source.files_of(config)) | {"methods/byol.py": "0" * 8}
    with monkeypatch.context() as edited:
        edited.setattr("trainers.loops.ssl.imported", lambda files: old)
        run_trial(config, runtime=runtime, folder=tmp_path, report=lambda report: None)
    outcome = run_trial(config, runtime=runtime, folder=tmp_path, report=lambda report: None)
    assert outcome.details["resumed_at_epoch"] == 1 and outcome.details["source"] == old


@pytest.mark.slow
def test_a_table_names_the_trials_of_other_code(ready: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Sweep(THEORY, home=ready.folder / "runs")
    sweep.run("serial", say=quiet)
    second = sweep.trials[1]
    records = sweep.records()
    other = records[second.id].model_copy(update={"source": {"loops/modes.py": "0" * 8}})
    table = publish.tables(sweep.expansion, records | {second.id: other}, [])[0]
    (note,) = [line for line in table.notes if "changed between trials" in line]
    assert note.startswith("loops/modes.py changed between trials: ") and second.label in note
    assert not [line for line in sweep.table().notes if "changed between" in line]


def image_folder(folder: Path, number: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (number, 8, 8, 3), dtype=np.uint8)
    for split in ("train", "test"):
        for index, image in enumerate(pixels):
            path = folder / split / f"class{index % 2}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
        os.rename(path, os.fsencode(path.parent) + b"/caf\xe9.png")  # a name that is no UTF-8


def test_an_image_folder_is_listed_once_before_training_and_anew_by_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_folder(tmp_path / "images", 8)
    data = {"name": "image_folder", "label": "mine", "root": str(tmp_path / "images"), "size": 8}
    base = SSL["base"] | {"data": data, "batch_size": 4}
    sweep = Sweep({"version": 1, "name": "images", "base": base}, seeds=2, home=tmp_path / "runs")
    first, config = sweep.trials[0], sweep.trials[0].config.data  # type: ignore[attr-defined]
    seen = listing_of(config, None)
    records = {first.id: record(first.id, data_listing=seen)}
    listed: Counter[str] = Counter()
    scandir = os.scandir

    def counted(folder: str) -> object:
        listed[str(folder)] += "images" in str(folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", counted)
    options = Options("serial", None)
    check_before_training(make_plan(sweep.expansion, records), sweep.space, options, say=quiet)
    assert len(+listed) == 6 and set((+listed).values()) == {1}  # two splits with two classes each

    load_images.cache_clear()
    listed.clear()
    assert load_images(config, Runtime()).listing == seen
    assert len(+listed) == 6 and set((+listed).values()) == {1}
    (tmp_path / "images" / "train" / "class0" / "0.png").unlink()
    with pytest.raises(UsageError, match="its folder has 15 files"):
        check_before_training(make_plan(sweep.expansion, records), sweep.space, options, say=quiet)


@pytest.mark.slow
def test_other_images_under_one_label_are_an_error_before_training(ready: Place, tmp_path: Path) -> None:
    image_folder(tmp_path / "images", 8)
    data = {"name": "image_folder", "label": "mine", "root": str(tmp_path / "images"), "size": 8}
    spec = {"version": 1, "name": "images", "base": SSL["base"] | {"data": data, "batch_size": 4}}
    assert Sweep(spec, home=ready.folder / "runs").run("serial", say=quiet).trained["completed"] == 1
    image_folder(tmp_path / "images", 12)
    more = Sweep(spec, seeds=2, home=ready.folder / "runs")
    words = "image_folder 'mine': its folder has 24 files, .*, and 1 trial of this sweep saw 16 files"
    with pytest.raises(UsageError, match=words):
        more.run("serial", say=quiet)
    assert more.run("serial", accept_data=True, say=quiet).trained["completed"] == 1

    # It is remembered, for that change alone.
    said: list[str] = []
    third = Sweep(spec, seeds=3, home=ready.folder / "runs")
    assert third.run("serial", say=said.append).trained["completed"] == 1
    (told,) = [line for line in said if "taken for the same images" in line]
    assert told.startswith("24 files, ") and " as the 16 files, " in told and "accepted_data.json" in told
    (tmp_path / "images" / "train" / "class0" / "0.png").unlink()
    with pytest.raises(UsageError, match="its folder has 23 files"):
        Sweep(spec, seeds=4, home=ready.folder / "runs").run("serial", say=quiet)
