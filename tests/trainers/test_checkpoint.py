"""Laws of checkpoints: an interruption changes nothing, and a bad disk costs no more than the last epoch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.marks import but_first_slow
from tests.trainers.builders import (
    Interrupted,
    config,
    fit,
    interrupt,
    newest,
    reports,
    save,
    timeless,
    trained_digest,
)
from trainers.attempt import checkpoint
from trainers.config.base import Runtime
from trainers.loops import ssl

FULL = """
import resource, sys, torch
from pathlib import Path
from trainers.attempt import checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    checkpoint.save(Path(sys.argv[1]), {"w": torch.zeros(100_000)}, epoch=3)
except OSError as error:
    print(error)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Resuming


@pytest.mark.parametrize("epoch", [1, *(pytest.param(epoch, marks=pytest.mark.slow) for epoch in (0, 2, 3))])
def test_a_trial_interrupted_at_any_epoch_equals_an_uninterrupted_one(epoch: int, tmp_path: Path) -> None:
    whole = fit(config(), tmp_path / "whole")
    interrupt(tmp_path / "cut", epoch=epoch)
    resumed = fit(config(), tmp_path / "cut")
    assert timeless(resumed.metrics) == timeless(whole.metrics)
    assert trained_digest(tmp_path / "cut") == trained_digest(tmp_path / "whole")


@pytest.mark.slow
def test_a_trial_interrupted_again_and_again_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = fit(config(schedule={"name": "cosine", "warmup_epochs": 1}), tmp_path / "whole")
    for epoch in (0, 1, 2, 3):
        interrupt(tmp_path / "cut", epoch=epoch, schedule={"name": "cosine", "warmup_epochs": 1})
    resumed = fit(config(schedule={"name": "cosine", "warmup_epochs": 1}), tmp_path / "cut")
    assert timeless(resumed.metrics) == timeless(whole.metrics)
    assert trained_digest(tmp_path / "cut") == trained_digest(tmp_path / "whole")


@pytest.mark.slow
def test_optimizers_and_the_running_f_are_resumed(tmp_path: Path) -> None:
    chosen = {"optimizer": {"name": "adam"}, "spectra": {"every": 1, "rho": 0.9}}
    whole = fit(config(**chosen))
    interrupt(tmp_path, epoch=2, **chosen)
    assert timeless(fit(config(**chosen), tmp_path).metrics) == timeless(whole.metrics)


@pytest.mark.slow
def test_a_resumed_trial_repeats_its_past_and_marks_it(tmp_path: Path) -> None:
    whole = reports(config())
    interrupt(tmp_path, epoch=2)
    heard = reports(config(), tmp_path)
    assert [(r.epoch, r.replayed) for r in heard] == [(0, True), (1, True), (2, True), (3, False)]
    for new, old in zip(heard, whole, strict=True):
        assert timeless(new.metrics) == timeless(old.metrics) and set(new.arrays) == set(old.arrays)
        assert all((new.arrays[name] == old.arrays[name]).all() for name in old.arrays)


def test_a_finished_trial_that_is_started_again_trains_nothing(tmp_path: Path) -> None:
    first = fit(config(), tmp_path)
    again = fit(config(), tmp_path)
    assert again.details["resumed_at_epoch"] == 3
    assert again.metrics["time/epoch_s"] == first.metrics["time/epoch_s"]  # measured once


def test_how_often_a_checkpoint_is_written_changes_no_number(tmp_path: Path) -> None:
    rare = Runtime(checkpoint_every=2)
    outcome = ssl.fit(config(), runtime=rare, folder=tmp_path, report=lambda _: None)
    assert timeless(outcome.metrics) == timeless(fit(config()).metrics)
    assert names(tmp_path) == ["epoch-000002.pt", "epoch-000003.pt"]  # and the last, always


@pytest.mark.slow
def test_a_checkpoint_of_another_config_is_not_used(tmp_path: Path) -> None:
    interrupt(tmp_path, epoch=2, seed=1)
    outcome = fit(config(), tmp_path)
    assert "resumed_at_epoch" not in outcome.details
    assert timeless(outcome.metrics) == timeless(fit(config()).metrics)


# Broken files


@pytest.mark.slow
def test_a_truncated_newest_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path: Path) -> None:
    whole = fit(config())
    interrupt(tmp_path, epoch=2)
    newest = tmp_path / "epoch-000002.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    resumed = fit(config(), tmp_path)
    assert resumed.details["resumed_at_epoch"] == 1
    assert [line.split(" (")[0] for line in resumed.details["warnings"]] == [
        "checkpoint epoch-000002.pt is unreadable"
    ]
    assert timeless(resumed.metrics) == timeless(whole.metrics)


@pytest.mark.parametrize("content", but_first_slow([b"PK\x03\x04", b"", b"not a checkpoint"]))
def test_a_trial_whose_checkpoints_are_all_broken_starts_anew(content: bytes, tmp_path: Path) -> None:
    for name in ("epoch-000001.pt", "epoch-000002.pt"):
        (tmp_path / name).write_bytes(content)
    outcome = fit(config(), tmp_path)
    assert len(outcome.details["warnings"]) == 2 and "resumed_at_epoch" not in outcome.details
    assert timeless(outcome.metrics) == timeless(fit(config()).metrics)


def test_a_later_checkpoint_that_cannot_be_used_takes_no_place(tmp_path: Path) -> None:
    for name in ("epoch-000007.pt", "epoch-000008.pt"):
        (tmp_path / name).write_bytes(b"broken")
    save(tmp_path, 1, 2)
    assert names(tmp_path) == ["epoch-000001.pt", "epoch-000002.pt"]


def test_a_checkpoint_is_data_and_runs_no_code(tmp_path: Path) -> None:
    save(tmp_path, 1)
    torch.save({"epoch": 2, "surprise": Interrupted}, tmp_path / "epoch-000002.pt")
    state, warnings = checkpoint.load(tmp_path, dict)
    assert state is not None and state["epoch"] == 1 and "epoch-000002.pt" in warnings[0]


# Writing


def test_the_last_two_are_kept_and_nothing_half_written(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 9, 10)
    assert names(tmp_path) == ["epoch-000009.pt", "epoch-000010.pt"] and newest(tmp_path) == 10


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("kept")
    save(tmp_path, 1)
    checkpoint.clear(tmp_path)
    assert names(tmp_path) == ["log.txt"]


def test_a_half_written_checkpoint_is_never_read(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "epoch-000002.pt.part").write_bytes(b"half")
    assert newest(tmp_path) == 1
    save(tmp_path, 2)
    assert names(tmp_path) == ["epoch-000001.pt", "epoch-000002.pt"]


@pytest.mark.slow
def test_a_full_disk_leaves_earlier_checkpoints_whole_and_no_part(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert (
        "no checkpoint written: File too large; free some space" in done.stdout
    )  # the limit on a file's size stands for a full disk
    assert names(tmp_path) == ["epoch-000001.pt", "epoch-000002.pt"] and newest(tmp_path) == 2


def test_a_folder_that_cannot_be_made_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError):
        save(tmp_path / "file" / "trial", 1)


def test_a_state_that_cannot_be_saved_leaves_earlier_checkpoints_whole(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(AttributeError, match="local"):
        checkpoint.save(tmp_path, {"w": lambda: None}, epoch=2)
    assert names(tmp_path) == ["epoch-000001.pt"] and newest(tmp_path) == 1


def test_a_digest_tells_every_bit_and_every_name() -> None:
    w = torch.arange(6.0).reshape(2, 3)
    changed = w.clone()
    changed[1, 2] = changed[1, 2].nextafter(torch.tensor(9.0))
    assert checkpoint.digest({"w": w}) == checkpoint.digest({"w": w.T.contiguous().T})
    assert len({checkpoint.digest(state) for state in ({"w": w}, {"w": changed}, {"v": w})}) == 3
