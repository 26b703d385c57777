"""Laws of what a command reports: which numbers count, from where they are read, and what must have come."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.marks import but_first_slow
from tests.scripted import REPORTING, Heard, heard
from trainers.attempt.checkpoint import clear

WORDS = ["python", "train.py", "0.5", "{seed}"]
METRICS = {"loss": "curve", "top1": "final"}


def lines(*texts: str) -> str:
    """A script that reports these lines."""
    return f'import os; open(os.environ["ORCH_REPORT"], "a").write({chr(10).join(texts)!r})'


def curve(found: Heard, name: str = "loss") -> list[tuple[int, float]]:
    return [(one.epoch, one.metrics[name]) for one in found.reports if name in one.metrics]


def test_lines_of_json_are_curves_and_final_numbers() -> None:
    found = heard(REPORTING, run=WORDS, metrics=METRICS, epochs=3)
    assert found.outcome.status == "completed"
    assert found.outcome.metrics == {"loss": pytest.approx(0.5 / 3), "top1": 85.0}
    assert curve(found) == [(1, 0.5), (2, 0.25), (3, pytest.approx(0.5 / 3))]
    assert {one.epochs for one in found.reports} == {3}


def test_numbers_of_one_epoch_in_several_lines_are_one_report() -> None:
    found = heard(lines('{"epoch": 1, "loss": 2}', '{"epoch": 1, "acc": 3, "lr": null}', ""))
    assert [one.metrics for one in found.reports] == [{"loss": 2, "acc": 3}]


def test_a_last_line_that_is_half_written_is_no_error_and_one_in_the_middle_is() -> None:
    assert heard(lines('{"epoch": 1, "loss": 2}', '{"epoch": 2, "lo')).outcome.status == "completed"
    outcome = heard(lines('{"epoch": 1, "loss": 2}', "loss 3", "")).outcome
    assert (outcome.status, outcome.error) == ("failed", "code")
    assert outcome.reason == 'report, line 2: no JSON: \'loss 3\'; expected such as {"epoch": 3, "loss": 0.1}'


@pytest.mark.parametrize(
    ("line", "words"),
    but_first_slow(
        [
            ("[1, 2]", "line 1: expected names and numbers, got '[1, 2]'"),
            ('{"epoch": -1}', "line 1: epoch -1 is no whole number from 0"),
            ('{"epoch": 1, "loss": "low"}', "line 1: 'loss' is no number: \"'low'\""),
        ]
    ),
)
def test_what_is_no_report_ends_the_trial_with_its_line(line: str, words: str) -> None:
    assert words in str(heard(lines(line, "")).outcome.reason)


def test_a_number_that_is_none_is_a_divergence_where_it_counts() -> None:
    outcome = heard(lines('{"epoch": 4, "loss": NaN}', "")).outcome
    assert (outcome.status, outcome.reason) == ("diverged", "loss nan at epoch 4")
    other = heard(lines('{"epoch": 4, "loss": 1, "extra": Infinity}', ""), metrics={"loss": "curve"}).outcome
    assert other.status == "completed"
    assert other.details["warnings"] == ["'extra' was inf at times, which is left out"]


@pytest.mark.slow
def test_a_metric_that_must_come_and_does_not_is_named() -> None:
    for text in ("", "print(1)"):
        assert heard(text).outcome.reason == (
            "it reported no number; have it write to the file ORCH_REPORT, or say what it `reads`"
        )
    one = '{"epoch": 1, "acc": 1}'
    cases = {
        (one, ""): "metrics loss, top1 never reported; reported: acc",
        (one, '{"top1": 1}', ""): "metric loss never reported; reported: acc, top1",
        (
            one,
            '{"top1": 1, "loss": 1}',
            "",
        ): "metric loss must have a curve, and was reported without an epoch",
        ('{"epoch": 1, "top1": 1}', '{"epoch": 3, "loss": 1}', ""): (
            "metric top1 must be there at the end, and was last reported at epoch 1 of 3"
        ),
    }
    for texts, reason in cases.items():
        outcome = heard(lines(*texts), metrics=METRICS).outcome
        assert (outcome.status, outcome.reason) == ("failed", reason)


# What it writes anyway


def test_numbers_are_found_in_what_it_prints() -> None:
    text = "for e in (1, 2):\n    print(f'Epoch: {e} loss: {1 / e}\\nAccuracy: {90 + e}%')\nprint(b'\\xff')"
    reads = {"stdout": [r"Epoch: (?P<epoch>\d+) loss: (?P<loss>\S+)", r"Accuracy: (?P<top1>[\d.]+)%"]}
    found = heard(text, reads=reads, metrics=METRICS)
    assert curve(found) == [(1, 1.0), (2, 0.5)]
    assert found.outcome.metrics == {"loss": 0.5, "top1": 92.0}
    wrong = heard("print('loss: low')", reads={"stdout": r"loss: (?P<loss>\S+)"})
    assert wrong.outcome.reason == "printed 'loss: low': 'loss' is no number: 'low'"


def test_numbers_are_read_from_a_csv_file() -> None:
    text = "open('m.csv', 'w').write('epoch,loss,note,top1\\n1,2.5,a,\\n2,1.5,b,70\\n')"
    found = heard(text, reads={"csv": "m.csv"}, metrics=METRICS)
    assert curve(found) == [(1, 2.5), (2, 1.5)]
    assert found.outcome.metrics == {"loss": 1.5, "top1": 70.0}


def record(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + b"\0" * 4 + content + b"\0" * 4


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def scalar(step: int, tag: str, value: float, *, as_tensor: bool = False) -> bytes:
    said = b"\x15" + struct.pack("<f", value)  # field 2, four bytes
    if as_tensor:
        said = field(8, b"\x08\x01" + field(4, struct.pack("<f", value)))
    return record(b"\x10" + bytes([step]) + field(5, field(1, field(1, tag.encode()) + said)))


def test_scalars_are_read_from_event_files() -> None:
    content = record(field(3, b"brain.Event:2"))
    for step in (10, 20):
        content += scalar(step, "epoch", step / 10) + scalar(step, "loss", 1 / step, as_tensor=step == 20)
    content += scalar(20, "top1", 70) + scalar(30, "top1", 0)[:-3]
    text = f"import os; os.makedirs('runs/a'); open('runs/a/events.out.tfevents.1', 'wb').write({content!r})"
    found = heard(text, reads={"tensorboard": "runs"}, metrics=METRICS)
    assert curve(found) == [(1, pytest.approx(0.1)), (2, pytest.approx(0.05))]
    assert found.outcome.metrics["top1"] == 70.0
    bad = heard(
        "import os; os.makedirs('runs'); open('runs/tfevents', 'wb').write(b'x' * 99)",
        reads={"tensorboard": "runs"},
    )
    assert bad.outcome.reason == "tfevents: no event file, from byte 0"


def test_numbers_are_read_from_mlflows_database() -> None:
    text = """
        import os, sqlite3
        base = sqlite3.connect(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
        base.execute("CREATE TABLE metrics (key, value, timestamp, run_uuid, step, is_nan)")
        base.executemany("INSERT INTO metrics VALUES (?, ?, 0, 'r', ?, 0)", [("loss", 2, 1), ("loss", 1, 2)])
        base.commit()
    """
    assert curve(heard(text, reads={"mlflow": True})) == [(1, 2.0), (2, 1.0)]


def test_arrays_of_an_epoch_go_with_its_report_and_what_is_none_is_left_out() -> None:
    text = """
        import numpy as np, os
        from orchestrator import report
        for epoch in (1, 2):
            report(epoch=epoch, loss=np.float32(1), arrays={"F": np.ones(3) * epoch})
        folder = os.environ["ORCH_FOLDER"] + "/arrays"
        np.savez(folder + "/more-2.npz", words=np.array(["a"]))
        open(folder + "/bad-2.npz", "w").write("no zip")
    """
    found = heard(text, metrics={"loss": "curve"})
    assert [one.arrays["F"].tolist() for one in found.reports] == [[1.0] * 3, [2.0] * 3]
    bad, more = found.outcome.details["warnings"]
    assert bad.startswith("arrays/bad-2.npz is left out: ")
    assert more == "arrays/more-2.npz is left out: 'words' has no real numbers"


def test_outside_orch_a_report_says_that_nothing_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    from orchestrator import report

    report(epoch=1, loss=2)
    report(epoch=2, loss=2)
    assert capsys.readouterr().err == "orchestrator.report: orch does not run this, so nothing is kept\n"


# Attempts

RESUMING = """
    import json, os, sys, time
    from pathlib import Path
    state = Path(os.environ["ORCH_CHECKPOINTS"]) / "epoch"
    done = int(state.read_text()) if state.exists() else 0
    for epoch in range(done + 1, 5):
        with open(os.environ["ORCH_REPORT"], "a") as report:
            report.write(json.dumps({"epoch": epoch, "loss": 1 / epoch}) + "\\n")
        state.write_text(str(epoch))
        Path(os.environ["ORCH_FOLDER"], f"seen-{os.environ['ORCH_ATTEMPT']}").touch()
        if os.environ["ORCH_ATTEMPT"] == "1" and epoch == 2:
            sys.exit("lost")
"""


@pytest.mark.slow
def test_a_later_attempt_goes_on_and_repeats_what_was_reported_before(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    first = heard(RESUMING, folder=folder)
    assert first.outcome.reason == "exit code 1: lost"
    second = heard(RESUMING, folder=folder)
    assert second.outcome.status == "completed"
    assert [one.epoch for one in second.reports] == [1, 2, 3, 4]
    assert [one.replayed for one in second.reports] == [True, True, False, False]
    assert second.outcome.details["attempt"] == 2
    third = heard(RESUMING, folder=folder)
    assert third.outcome.metrics == {"loss": 0.25}  # it found itself at its end
    assert {one.name for one in (folder / "out").iterdir()} == {"seen-1", "seen-2"}


@pytest.mark.parametrize("loss", but_first_slow(["1", "2", ""]))
def test_a_report_that_is_written_anew_instead_of_longer_is_told(loss: str) -> None:
    text = f"""
import os, time
for line in ('{{"epoch": 1, "loss": 1}}\\n', '{{"epoch": 2, "loss": 2}}\\n'[:{len(loss)} * 99]):
    open(os.environ["ORCH_REPORT"], "w").write(line)
    time.sleep(1)
"""
    reason = str(heard(text).outcome.reason)
    assert "report: was written anew after line 1" in reason and 'as open(..., "a") does' in reason


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"\xff"])
def test_a_damaged_count_of_attempts_costs_no_checkpoint(damage: bytes, tmp_path: Path) -> None:
    heard(RESUMING, folder=tmp_path)
    (tmp_path / "script" / "attempts").write_bytes(damage)
    second = heard(RESUMING, folder=tmp_path)
    assert second.outcome.details["attempt"] == 2
    assert [(one.epoch, one.replayed) for one in second.reports][:3] == [(1, True), (2, True), (3, False)]


def test_what_was_reported_and_not_taken_in_yet_is_not_lost_with_the_worker(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    heard(RESUMING, folder=folder)
    (folder / "script" / "history-1.jsonl").unlink()  # as if the worker had been killed before it looked
    second = heard(RESUMING, folder=folder)
    assert [(one.epoch, one.replayed) for one in second.reports] == [
        (1, True),
        (2, True),
        (3, False),
        (4, False),
    ]


def test_what_a_finished_trial_needed_to_go_on_is_cleared_and_its_output_stays(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    heard(RESUMING, folder=folder)
    clear(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["out", "output.log"]
    anew = heard(RESUMING, folder=folder)
    assert anew.outcome.details["attempt"] == 1
    assert [one.replayed for one in anew.reports] == [False, False]


def test_a_script_that_begins_anew_replaces_what_was_reported_before(tmp_path: Path) -> None:
    one, other = (lines(f'{{"epoch": 1, "loss": {n}}}', f'{{"epoch": 2, "loss": {n}}}', "") for n in (5, 7))
    heard(one + "; raise SystemExit(1)", folder=tmp_path)
    assert curve(heard(other, folder=tmp_path)) == [(1, 7), (2, 7)]
