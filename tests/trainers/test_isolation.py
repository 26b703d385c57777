"""Laws of isolation: an error is an outcome, and a trial leaves no trace in its process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from threadpoolctl import threadpool_limits

from tests.marks import but_first_slow
from tests.trainers.builders import CONVNET, RUNTIME, config, timeless, trained_digest
from trainers.attempt import checkpoint
from trainers.attempt.isolation import clean_process, discard_checkpoints, run_trial
from trainers.attempt.report import EpochReport, Outcome
from trainers.config.base import LoopConfig, Runtime
from trainers.measures.collapse import describe

A = {"encoder": CONVNET}
B = {"method": "simsiam", "seed": 3, "optimizer": {"name": "adam"}}
ALONE = """
import json, sys
from operator import attrgetter
from pathlib import Path
from tests.trainers.test_isolation import numbers
print(json.dumps(numbers(json.loads(sys.argv[1]), Path(sys.argv[2]))))
"""


def run(config: LoopConfig, folder: Path | None = None, report: Any = lambda _: None) -> Outcome:
    return run_trial(config, runtime=RUNTIME, folder=folder, report=report)


# Outcomes


def test_a_trial_that_fails_has_one_line_and_the_traceback_among_its_details(tmp_path: Path) -> None:
    outcome = run(config(batch_size=1000), tmp_path)
    assert outcome.status == "failed" and outcome.reason is not None and "\n" not in outcome.reason
    assert "batch_size 1000 exceeds the 64 training images" in outcome.reason
    assert "Traceback" in outcome.details["traceback"] and "in train_epoch" in outcome.details["traceback"]
    assert outcome.error == "code"


def test_running_out_of_gpu_memory_is_a_class_of_its_own() -> None:
    def report(_: EpochReport) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    outcome = run(config(), report=report)
    assert (outcome.status, outcome.error) == ("failed", "memory")


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_libraries_below_torch_run_out_of_gpu_memory_in_their_own_words(text: str) -> None:
    def report(_: EpochReport) -> None:
        raise RuntimeError(text)

    assert run(config(), report=report).error == "memory"


def test_an_error_without_readable_words_is_its_trials_and_nobody_elses() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def report(_: EpochReport) -> None:
        raise Mute

    outcome = run(config(), report=report)
    assert (outcome.status, outcome.error) == ("failed", "code")
    assert outcome.reason == "Mute: its message cannot be read (RuntimeError)"


def returning(patch: pytest.MonkeyPatch, returned: object, *metrics: dict[str, float]) -> Outcome:
    """What becomes of a trial whose trainer reports these numbers and returns that."""

    def fit(config: object, *, report: Any, **_: object) -> Any:
        for epoch, numbers in enumerate(metrics):
            report(EpochReport(epoch=epoch, epochs=len(metrics), metrics=numbers))
        return returned

    patch.setattr("trainers.loops.ssl.fit", fit)
    return run(config(), report=heard.append)


heard: list[EpochReport] = []


@pytest.mark.parametrize(("returned", "told"), [(None, "NoneType"), ({"acc": 1.0}, "dict")])
def test_a_trainer_that_returns_no_outcome_is_told_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, returned: object, told: str
) -> None:
    outcome = returning(monkeypatch, returned)
    assert outcome.status == "failed"
    assert outcome.reason == f"TypeError: `fit` of trainer ssl returned {told}, expected an Outcome"


def test_details_that_are_no_json_are_written_as_python_shows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    details = {"norm": np.float32(0.5), "ranks": np.arange(3), "where": Path("x"), "odd": 1j, "raw": b"\xff"}
    outcome = returning(monkeypatch, Outcome(status="completed", metrics={"a": 1.0}, details=details))
    assert outcome.status == "completed"
    written = json.loads(outcome.model_dump_json())["details"]
    assert (written["norm"], written["ranks"], written["where"], written["odd"]) == (
        0.5,
        [0, 1, 2],
        "x",
        "1j",
    )


@pytest.mark.parametrize(
    ("details", "told"),
    but_first_slow(
        [
            ({"collapse": "total"}, "Outcome.details.collapse: got 'total'; Input should be a valid dict"),
            (
                {"collapse": {"verdict": "yes"}},
                "Outcome.details.collapse.verdict: got 'yes'; Input should be 'no",
            ),
            ({"warnings": 3}, "Outcome.details.warnings: got 3; Input should be a valid list"),
            ({"wall_s": "soon"}, "Outcome.details.wall_s: got 'soon'; Input should be a valid number"),
            ({"wall_s": float("nan")}, "Outcome.details.wall_s: got nan; Input should be a finite number"),
            (
                {"data_fingerprint": 7},
                "Outcome.details.data_fingerprint: got 7; Input should be a valid string",
            ),
            (
                {"encoder": {"sha256": 7}},
                "Outcome.details.encoder.sha256: got 7; Input should be a valid string",
            ),
            ({"imported": ["os"]}, "Outcome.details.imported: got ['os']; Input should be None"),
            ({"traceback": 7}, "Outcome.details.traceback: got 7; Input should be a valid string"),
        ],
        2,
    ),
)
def test_details_of_another_kind_fail_their_trial_alone(
    monkeypatch: pytest.MonkeyPatch, details: dict[str, Any], told: str
) -> None:
    outcome = returning(monkeypatch, Outcome(status="completed", details=details))
    assert outcome.status == "failed" and told in str(outcome.reason)


def test_a_number_that_is_none_is_told_in_one_line_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    told = returning(monkeypatch, None, {"loss": 1.0, "acc": float("nan")}).reason
    assert told == "ValidationError: EpochReport.metrics.acc: got nan; Input should be a finite number"


def test_a_metric_that_no_store_takes_is_left_out_and_the_others_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard.clear()
    numbers = {"acc@1": 0.5, "loss": 1.0}
    outcome = returning(monkeypatch, Outcome(status="completed", metrics=numbers), numbers)
    assert outcome.metrics == heard[0].metrics == {"loss": 1.0}
    (line,) = outcome.details["warnings"]
    assert line.startswith("metric 'acc@1' is left out: expected letters, digits")


def test_an_error_that_names_a_file_in_another_encoding_can_be_written_down() -> None:
    def report(_: EpochReport) -> None:
        raise OSError("cannot read caf\udce9.png")

    outcome = run(config(), report=report)
    assert "caf\\udce9.png" in str(outcome.reason)
    outcome.model_dump_json()


def test_a_trial_that_exits_has_failed_and_its_worker_lives() -> None:
    def report(_: EpochReport) -> None:
        raise SystemExit("no")

    assert (run(config(), report=report).error, run(config()).status) == ("code", "completed")


def test_a_failure_without_a_writable_folder_is_still_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    for folder in (None, tmp_path / "file" / "trial"):
        outcome = run(config(batch_size=1000), folder)
        assert outcome.status == "failed" and outcome.reason is not None and "\n" not in outcome.reason


def test_missing_data_says_where_it_was_looked_for(tmp_path: Path) -> None:
    missing = config(data={"name": "image_folder", "label": "mine", "root": str(tmp_path / "mine")})
    outcome = run(missing)
    assert outcome.status == "failed" and str(tmp_path / "mine") in str(outcome.reason)
    assert outcome.error == "data"


def white_images(folder: Path, *, number: int, size: int) -> dict[str, Any]:
    """An image folder of one class, as data for `config`."""
    for split in ("train", "test"):
        (folder / split / "one").mkdir(parents=True)
        for index in range(number):
            Image.new("L", (size, size), 255).save(folder / split / "one" / f"{index}.png")
    return {"name": "image_folder", "label": "white", "root": str(folder), "size": 8}


def test_images_that_are_all_alike_are_a_fault_of_the_data_and_no_collapse(tmp_path: Path) -> None:
    outcome = run(config(data=white_images(tmp_path, number=17, size=9)))
    assert (outcome.status, outcome.error) == ("failed", "data")
    assert str(outcome.reason).startswith("image_folder: all 17 training images are alike; look at")


def test_what_a_data_set_skipped_is_told_in_the_trials_log(tmp_path: Path) -> None:
    data = white_images(tmp_path, number=15, size=8)
    for split in ("train", "test"):
        Image.effect_noise((8, 8), 99).save(tmp_path / split / "one" / "other.png")
        (tmp_path / split / "one" / "notes.txt").write_text("")
    told = run(config(data=data, epochs=1)).details["warnings"]
    assert [line.split("/")[-1] for line in told] == [f"{s} are skipped: 1 × .txt" for s in ("train", "test")]


def test_a_long_error_of_many_lines_becomes_one_short_line() -> None:
    def report(_: EpochReport) -> None:
        raise ValueError("many\nlines " * 200)

    outcome = run(config(), report=report)
    assert str(outcome.reason).startswith("ValueError: many lines many")
    assert len(str(outcome.reason)) < 400 and "\n" not in str(outcome.reason)


def test_a_trial_whose_loss_is_nan_has_diverged_at_a_step() -> None:
    outcome = run(config(optimizer={"lr": 1e20}))
    assert outcome.status == "diverged" and outcome.reason == "loss nan at step 1 (epoch 1)"


@pytest.mark.slow
@pytest.mark.parametrize(
    "predictor",
    [
        {"kind": "mlp"},
        {"kind": "mlp", "symmetric": True, "constraint": "row_normalised"},
        {"kind": "linear"},
        {"kind": "linear", "symmetric": True, "constraint": "normalised"},
        {"kind": "linear", "symmetric": True, "constraint": "diagonal"},
    ],
    ids=lambda predictor: "-".join(map(str, predictor.values())),
)
def test_weights_that_overflow_have_diverged_whatever_is_done_to_the_predictor(
    predictor: dict[str, Any],
) -> None:
    method = {"name": "byol", "predictor": predictor}
    # Weight decay alone takes W_p out of the finite range, before a loss is not finite.
    outcome = run(config(optimizer={"lr": 1e20, "weight_decay": 1e3}, method=method))
    assert outcome.status == "diverged" and "at step" in str(outcome.reason)
    # One step an epoch: its loss was finite, what is measured after it is not.
    outcome = run(config(optimizer={"lr": 1e20}, batch_size=64, method=method))
    assert outcome.status == "diverged" and str(outcome.reason).endswith("is not finite after epoch 1")


def test_a_collapse_is_an_outcome_with_evidence_and_metrics() -> None:
    # Without a gradient all that is left is decay, which takes the embeddings' weights to their biases.
    rates = {"lr": 0.5, "weight_decay": 1.0, "decay": "no_bias_no_norm", "momentum": 0.0}
    method = {"name": "byol", "loss_scale": 1e-9}
    outcome = run(config(optimizer=rates, method=method))
    assert outcome.status == "collapsed" and "embedding std" in str(outcome.reason)
    assert outcome.details["collapse"]["verdict"] == "total" and "probe/top1" in outcome.metrics


# Traces


def process_state() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [str(part) for part in np.random.get_state()],
        "python": random.getstate(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "convolutions": torch.backends.cudnn.deterministic,
        "tf32": torch.backends.cudnn.allow_tf32,
        "products": torch.get_float32_matmul_precision(),
        "bf16": torch.backends.mkldnn.matmul.fp32_precision,
        "attention": torch.backends.cuda.math_sdp_enabled(),
        "device": torch.get_default_device(),
        "folder": Path.cwd(),
        "environment": dict(os.environ),
    }


def vandalise(folder: Path) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic = not torch.backends.cudnn.deterministic
    torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("medium")  # of products on a CPU, too
    torch.backends.cuda.enable_math_sdp(False)
    torch.set_default_device("meta")
    os.chdir(folder)
    os.environ["ORCH_DATA"] = "elsewhere"
    os.environ.pop("NO_COLOR", None)


def test_a_trial_that_changes_the_process_and_fails_leaves_it_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    before, changed = process_state(), {}

    def report(_: EpochReport) -> None:
        vandalise(tmp_path / "below")
        changed.update(process_state())
        raise RuntimeError

    assert run(config(), report=report).status == "failed"
    assert process_state() == before
    assert all(changed[name] != before[name] for name in before)


def test_a_process_that_refuses_what_is_not_deterministic_refuses_it_after_a_trial_that_only_warns() -> None:
    def report(message: EpochReport) -> None:
        torch.use_deterministic_algorithms(True, warn_only=True)

    torch.use_deterministic_algorithms(True)
    try:
        assert run(config(), report=report).status == "completed"
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("where", but_first_slow(["mkldnn.matmul", "cuda.matmul", "cudnn", "cudnn.conv", ""]))
def test_a_precision_that_a_trial_sets_in_torchs_newer_form_is_put_back(where: str) -> None:
    def all_of_it() -> dict[str, Any]:
        return {**process_state(), "new": [one.fp32_precision for one in map(found, places)]}

    def found(place: str) -> Any:
        return attrgetter(place)(torch.backends) if place else torch.backends

    places = ["", "cudnn", "cudnn.conv", "cudnn.rnn", "cuda.matmul", "mkldnn.matmul", "mkldnn.conv"]
    before = all_of_it()
    with clean_process(threads=1):
        found(where).fp32_precision = "ieee"
        assert found(where).fp32_precision == "ieee"
    assert all_of_it() == before  # torch refuses to tell the older form of what was set in the newer


def test_a_trial_that_changes_the_process_and_completes_leaves_it_as_it_was() -> None:
    before = process_state()

    def report(message: EpochReport) -> None:
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        os.environ["ORCH_DATA"] = "elsewhere"
        if message.epoch == message.epochs:  # two threads on one busy core are slow
            torch.set_num_threads(2)

    outcome = run(config(), report=report)
    assert outcome.status in ("completed", "collapsed") and process_state() == before


def test_a_trial_is_trained_though_the_working_folder_is_removed_before_or_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("before", "meanwhile"):
        (folder := tmp_path / name).mkdir()
        monkeypatch.chdir(folder)
        if name == "before":
            folder.rmdir()
        with clean_process(threads=1):
            if name == "meanwhile":
                folder.rmdir()
            os.chdir(tmp_path)
    assert Path.cwd() == tmp_path


def test_what_stands_in_the_process_does_not_reach_a_trial() -> None:
    alone = run(config())
    before = process_state()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(9)
    try:
        with torch.no_grad():
            inside = run(config())
    finally:
        torch.set_default_dtype(before["dtype"])
    assert timeless(inside.metrics) == timeless(alone.metrics)


def test_a_trial_runs_with_the_threads_it_is_given() -> None:
    heard: list[int] = []

    def report(_: EpochReport) -> None:
        heard.append(torch.get_num_threads())
        raise RuntimeError  # the rest would be slow on one busy core

    run_trial(config(), runtime=Runtime(threads=2), folder=None, report=report)
    assert heard == [2]


# Neighbours


def numbers(changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Everything a trial ends with: its metrics and the hash of its networks."""
    outcome = run(config(**changes), folder)
    return {"metrics": timeless(outcome.metrics), "networks": trained_digest(folder)}


def numbers_alone(changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, json.dumps(changes), str(folder)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second"),
    [pytest.param(A, B, id="B after A"), pytest.param(B, A, id="A after B", marks=pytest.mark.slow)],
)
def test_a_trial_after_another_equals_itself_alone_bit_for_bit(
    first: dict[str, Any], second: dict[str, Any], tmp_path: Path
) -> None:
    numbers(first, tmp_path / "first")
    after = numbers(second, tmp_path / "after")
    assert after == numbers_alone(second, tmp_path / "alone")


def test_discarding_checkpoints_keeps_a_log_and_removes_an_empty_folder(tmp_path: Path) -> None:
    for name in ("logged", "silent"):
        checkpoint.save(tmp_path / name, {}, epoch=1)
    (tmp_path / "logged" / "log.txt").write_text("kept")
    for name in ("logged", "silent"):
        discard_checkpoints(tmp_path / name)
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["logged", "logged/log.txt"]


def test_threads_that_the_process_has_for_linear_algebra_change_no_number() -> None:
    values = torch.randn(360, 256, generator=torch.Generator().manual_seed(0))
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads), clean_process(threads=1):
            found.append(describe("feature", values)[0])
    assert found[0] == found[1]
