"""Runs that other programs wrote down are read as they are, or refused in one line."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from mlflow import MlflowClient

from orchestrator.errors import OrchError, StoreError, UsageError
from orchestrator.recording.bundle.others.columns import columns_from
from orchestrator.recording.bundle.others.filling import Filled, fill
from orchestrator.recording.bundle.others.sources import names, read
from orchestrator.recording.mlflow.database import address_of
from tests.builders import expansion
from tests.trainers.command.test_reports import field, scalar


def filled(kind: str, source: Path | str, *words: str, experiment: str | None = None) -> Filled:
    whole = expansion()
    runs = read(kind, str(source), experiment=experiment)
    return fill(whole, runs, columns_from(words, whole.spec), source="theirs", date="2026-01-31")


def wrong(kind: str, source: Path | str, *, experiment: str | None = None) -> str:
    with pytest.raises(OrchError) as error:
        read(kind, str(source), experiment=experiment)
    assert "\n" not in str(error.value)
    return str(error.value)


def events(folder: Path, *numbers: float, tag: str = "val/acc") -> Path:
    """An event file with a number per step."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "events.out.tfevents.1"
    path.write_bytes(b"".join(scalar(step, tag, value) for step, value in enumerate(numbers, 1)))
    return path


def test_every_kind_of_source_says_what_it_is_and_refuses_what_is_not_there() -> None:
    assert set(names()) == {"csv", "mlflow", "tensorboard", "wandb"}
    for kind in names():
        place = "sqlite:///nowhere.db" if kind == "mlflow" else "nowhere"
        assert "nowhere" in wrong(kind, place)


def test_folders_with_event_files_are_runs_with_curves(tmp_path: Path) -> None:
    events(tmp_path / "EMA" / "symmetric" / "seed3", 0.25, 0.5)
    events(tmp_path / "No EMA" / "regular" / "seed0", 0.75)
    made = filled("tensorboard", tmp_path, "run={ema}/{predictor}/seed{seed}", "probe/top1=val/acc")
    first, second = made.results
    assert (first.origin.levels["ema"], first.origin.seed) == ("EMA", 3)
    assert first.curves["probe/top1"] == ((1, 0.25), (2, 0.5))
    assert (first.metrics["probe/top1"], second.metrics["probe/top1"]) == (0.5, 0.75)


def test_parts_of_a_path_that_name_a_value_are_columns(tmp_path: Path) -> None:
    events(tmp_path / "ema=EMA,predictor=symmetric" / "seed=1", 0.5)
    (one,) = filled("tensorboard", tmp_path, "probe/top1=val/acc").results
    assert (one.origin.levels, one.origin.seed) == ({"ema": "EMA", "predictor": "symmetric"}, 1)


def test_a_truncated_event_file_is_refused(tmp_path: Path) -> None:
    path = events(tmp_path, 0.25, 0.5)
    path.write_bytes(path.read_bytes()[:-3])
    assert "tfevents.1: is cut off: byte" in wrong("tensorboard", tmp_path)
    path.write_bytes(b"x" * 99)
    assert "tfevents.1: cannot be read: no event file, from byte 0" in wrong("tensorboard", tmp_path)


def test_a_folder_without_event_files_is_refused(tmp_path: Path) -> None:
    assert "has no event files, whose names have tfevents in them" in wrong("tensorboard", tmp_path)


def test_a_run_whose_name_is_made_otherwise_is_told(tmp_path: Path) -> None:
    events(tmp_path / "odd", 0.5)
    with pytest.raises(UsageError, match=r"run 'odd' is not made as \{ema\}/\{predictor\}/\{seed\}"):
        filled("tensorboard", tmp_path, "run={ema}/{predictor}/{seed}", "probe/top1=val/acc")


def log(*records: bytes) -> bytes:
    """A log of W&B with these records, in blocks of 32 KiB."""
    content = b":W&B\xe1\xbe\x00"
    for record in records:
        first = True
        while True:
            left = 32768 - len(content) % 32768
            if left < 7:
                content += b"\0" * left
                left = 32768
            part, record = record[: left - 7], record[left - 7 :]
            kind = (1 if first else 4) if not record else (2 if first else 3)
            content += struct.pack("<IHB", 0, len(part), kind) + part
            first = False
            if not record:
                break
    return content


def long(number: int, content: bytes) -> bytes:
    """A field of any length, of a number below 2048."""

    def varint(value: int) -> bytes:
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    return varint(number << 3 | 2) + varint(len(content)) + content


def item(name: str, value: object) -> bytes:
    return long(1, field(1, name.encode()) + long(16, json.dumps(value).encode()))


def offline(folder: Path, *, ended: bool = True, note: str = "", code: int = 0) -> Path:
    """An offline run of W&B."""
    folder.mkdir(parents=True)
    settings = {"ema": "EMA", "predictor": "symmetric", "seed": 2, "opt": {"lr": 0.1}, "note": note}
    config = b"".join(item(name, value) for name, value in settings.items())
    history = [item("acc", 0.25 * step) + item("_step", step) for step in (1, 2)]
    records = [long(17, long(4, config) + field(8, b"mine")), *(long(2, one) for one in history)]
    path = folder / "run-abc.wandb"
    path.write_bytes(log(*records, *([long(18, bytes([8, code]))] if ended else [])))
    return path


@pytest.mark.parametrize("note", ["", "x" * 70_000])
def test_an_offline_run_of_wandb_is_read_without_its_package(tmp_path: Path, note: str) -> None:
    offline(tmp_path / "wandb" / "offline-run-1", note=note)
    (one,) = filled("wandb", tmp_path / "wandb", "probe/top1=acc").results
    assert (one.origin.levels, one.origin.seed) == ({"ema": "EMA", "predictor": "symmetric"}, 2)
    assert one.metrics == {"probe/top1": 0.5}
    assert one.curves == {"probe/top1": ((1, 0.25), (2, 0.5))}


def test_a_run_of_wandb_that_is_cut_off_or_was_killed_is_refused(tmp_path: Path) -> None:
    path = offline(tmp_path / "a", ended=False)
    assert "the run has no end: it was killed, or is cut off" in wrong("wandb", tmp_path)
    path.write_bytes(path.read_bytes()[:-2])
    assert "is damaged or cut off at byte" in wrong("wandb", tmp_path)
    path.write_bytes(b"nothing")
    assert "is no run of W&B" in wrong("wandb", tmp_path)


def test_a_run_of_wandb_that_failed_is_refused(tmp_path: Path) -> None:
    offline(tmp_path / "a", code=1)
    assert "the run ended with exit code 1" in wrong("wandb", tmp_path / "a")
    run = {"name": "a", "state": "crashed", "config": {"ema": "EMA"}, "summary": {"acc": 0.5}}
    (tmp_path / "runs.json").write_text(json.dumps([run]))
    (tmp_path / "runs.csv").write_text("Name,State,ema,acc\na,crashed,EMA,0.5\n")
    for name in ("runs.json", "runs.csv"):
        assert "the run is crashed, not finished" in wrong("wandb", tmp_path / name)


def test_an_export_of_wandb_is_read(tmp_path: Path) -> None:
    run = {"name": "a", "config": {"ema": "EMA", "predictor": "regular", "seed": 0}, "summary": {"acc": 0.5}}
    (tmp_path / "runs.json").write_text(json.dumps([run]))
    (tmp_path / "runs.jsonl").write_text(json.dumps(run) + "\n")
    (tmp_path / "runs.csv").write_text("Name,ema,predictor,seed,acc\na,EMA,regular,0,0.5\n")
    for name in ("runs.json", "runs.jsonl", "runs.csv"):
        (one,) = filled("wandb", tmp_path / name, "probe/top1=acc").results
        assert one.metrics == {"probe/top1": 0.5}
    (tmp_path / "runs.json").write_text("{}")
    assert "expected a list of runs" in wrong("wandb", tmp_path / "runs.json")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow with two finished runs and one that failed."""
    file = tmp_path_factory.mktemp("mlflow") / "their.db"
    client = MlflowClient(tracking_uri=address_of(file))
    experiment = client.create_experiment("byol")
    for seed, status in ((0, "FINISHED"), (1, "FINISHED"), (2, "FAILED")):
        run = client.create_run(experiment, tags={"predictor": "regular"}).info.run_id
        client.log_param(run, "ema", "EMA")
        client.log_param(run, "seed", seed)
        for step in (1, 2):
            client.log_metric(run, "acc", step / 4 + seed / 8, step=step)
        client.set_terminated(run, status)
    return file


@pytest.mark.filterwarnings("ignore:The ``noload``")
def test_finished_runs_of_an_experiment_are_read_and_nothing_is_written(theirs: Path) -> None:
    before = theirs.read_bytes()
    made = filled("mlflow", f"sqlite:///{theirs}", "probe/top1=acc", experiment="byol")
    assert [one.origin.seed for one in made.results] == [0, 1]
    assert made.results[1].curves["probe/top1"] == ((1, 0.375), (2, 0.625))
    assert made.results[0].origin.file.endswith("their.db, byol")
    assert theirs.read_bytes() == before


def test_nothing_is_made_where_there_is_no_store(tmp_path: Path) -> None:
    assert "no such folder" in wrong("mlflow", f"file://{tmp_path}/mlruns", experiment="byol")
    assert "no such file" in wrong("mlflow", f"sqlite:///{tmp_path}/their.db", experiment="byol")
    assert "is a bundle; `orch import" in wrong("mlflow", tmp_path / "a.orch.zip", experiment="byol")
    assert list(tmp_path.iterdir()) == []


def test_an_experiment_has_to_be_named_and_there(theirs: Path) -> None:
    assert "say which with --experiment NAME: byol" in wrong("mlflow", f"sqlite:///{theirs}")
    assert "no experiment 'bjol'; did you mean 'byol'?" in wrong(
        "mlflow", f"sqlite:///{theirs}", experiment="bjol"
    )
    assert "has no experiments; leave it out" in wrong("csv", theirs, experiment="byol")


def test_a_database_of_a_later_mlflow_is_refused(theirs: Path, tmp_path: Path) -> None:
    import sqlite3

    later = tmp_path / "later.db"
    later.write_bytes(theirs.read_bytes())
    with sqlite3.connect(later) as database:
        database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    database.close()
    with pytest.raises(StoreError, match="was made by another version of MLflow; upgrade mlflow"):
        read("mlflow", f"sqlite:///{later}", experiment="byol")
