"""Laws of what is read of a command: what a former attempt left, and what no store would take."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.marks import but_first_slow
from tests.scripted import Heard, command, heard, script
from tests.trainers.command.test_reports import curve, field, lines, record, scalar
from trainers.attempt.command.csv_file import Csv

TOP1 = {"metrics": {"top1": "final"}}


def csv_of(*rows: str, mode: str = "w") -> str:
    """A script that writes these rows below its names."""
    text = "\n".join((*(("epoch,top1",) if mode == "w" else ()), *rows, ""))
    return f"import os; open(os.environ['ORCH_FOLDER'] + '/m.csv', {mode!r}).write({text!r})\n"


def failing(text: str, folder: Path, **fields: Any) -> None:
    assert heard(text + "\nraise SystemExit(1)", folder=folder, **fields).outcome.status == "failed"


@pytest.mark.slow
def test_a_csv_file_of_a_former_attempt_counts_only_where_a_later_one_goes_on(tmp_path: Path) -> None:
    fields = {"reads": {"csv": "{folder}/m.csv"}, **TOP1}
    first = csv_of("1,1", "2,2", "5,55")
    for name, second, final, epochs in (
        ("anew", csv_of("1,21", "3,23"), 23, [1, 3]),
        ("added", csv_of("1,21", "3,23", mode="a"), 23, [1, 3]),
        ("goes on", csv_of("6,66", mode="a"), 66, [1, 2, 5, 6]),
    ):
        failing(first, tmp_path / name, **fields)
        found = heard(second, folder=tmp_path / name, **fields)
        assert (found.outcome.metrics["top1"], [e for e, _ in curve(found, "top1")]) == (final, epochs), name


def test_rows_that_were_not_taken_in_before_the_worker_was_lost_are_not_lost(tmp_path: Path) -> None:
    fields = {"reads": {"csv": "{folder}/m.csv"}, **TOP1}
    failing(csv_of("1,1", "2,2"), tmp_path, **fields)
    (tmp_path / "script" / "history-1.jsonl").unlink()
    found = heard(csv_of("3,3", mode="a"), folder=tmp_path, **fields)
    assert curve(found, "top1") == [(1, 1), (2, 2), (3, 3)]


def test_event_files_of_a_former_attempt_are_not_read_again(tmp_path: Path) -> None:
    def events(name: str, *steps: tuple[int, float]) -> str:
        content = b"".join(scalar(step, "top1", value) for step, value in steps)
        return f"import os; open(os.environ['ORCH_FOLDER'] + '/tfevents.{name}', 'wb').write({content!r})"

    fields = {"reads": {"tensorboard": "{folder}"}, **TOP1}
    failing(events("1", (1, 1), (5, 55)), tmp_path, **fields)
    found = heard(events("2", (1, 21), (3, 23)), folder=tmp_path, **fields)
    assert curve(found, "top1") == [(1, 21), (3, 23)]
    assert found.outcome.metrics == {"top1": 23}


def test_a_csv_file_is_read_on_where_it_grows_and_anew_where_it_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    reader = Csv(path)

    def new(*, is_over: bool = False) -> list[tuple[int | None, dict[str, float]]]:
        return list(reader.new(is_over=is_over))

    path.write_bytes(b"\xef\xbb\xbfepoch,a\n1,1\n2,")
    assert new() == [(1, {"a": 1})]
    with path.open("a") as file:
        file.write('2\n3,3,"x\n')
    assert new() == []  # it ends within a text
    with path.open("a") as file:
        file.write('y"\n4,4')
    assert new() == [(2, {"a": 2}), (3, {"a": 3})]
    assert new(is_over=True) == [(4, {"a": 4})]
    path.write_text("epoch,b,a\n1,1,2\n2,2,3\n3,3,4\n4,4,5\n5,5,6\n6,6,7\n7,7,8\n")
    assert new()[0] == (1, {"a": 2, "b": 1})


def test_a_number_told_before_the_first_epoch_does_not_stand_for_the_end() -> None:
    found = heard(lines('{"top1": 10}', '{"epoch": 1, "top1": 50}', '{"epoch": 2, "top1": 90}', ""), **TOP1)
    assert found.outcome.metrics == {"top1": 90}
    at_end = heard(lines('{"epoch": 1, "top1": 50}', '{"top1": 10}', ""), **TOP1)
    assert at_end.outcome.metrics == {"top1": 10}


def test_a_name_that_no_store_takes_is_left_out_and_said_and_a_declared_one_is_refused() -> None:
    found = heard(
        lines(
            '{"epoch": 1, "top1": 50, "acc@1": 3, "a\\nb": 1, "/x": 1, "..x": 1, "%s": 1}' % ("y" * 300), ""
        )
    )
    assert found.outcome.metrics == {"top1": 50}
    assert [one.metrics for one in found.reports] == [{"top1": 50}]
    assert len(found.outcome.details["warnings"]) == 5
    assert found.outcome.details["warnings"][0] == (
        "'acc@1' is left out, for it is no name of a metric: expected letters, digits, blanks and _ - . : "
        "and / between them"
    )
    with pytest.raises(ValidationError, match="'acc@1' is no name of a metric"):
        command(metrics={"acc@1": "final"})


@pytest.mark.parametrize(
    "epoch",
    [
        "9223372036854775808",
        "NaN",
        *(pytest.param(epoch, marks=pytest.mark.slow) for epoch in ("1e30", "1000000001", "Infinity", "1.5")),
    ],
)
def test_an_epoch_that_no_store_takes_is_no_report(epoch: str) -> None:
    reason = str(heard(lines(f'{{"epoch": {epoch}, "top1": 1}}', "")).outcome.reason)
    assert reason.startswith("report, line 1: epoch ")
    assert reason.endswith("is no whole number from 0 to 1000000000")
    printed = heard(f"print('e={epoch} ')", reads={"stdout": r"e=(?P<epoch>\S+) "})
    assert "is no whole number from 0" in str(printed.outcome.reason)


def test_a_step_below_0_and_one_out_of_range_are_told() -> None:
    step = b"\x10" + b"\xff" * 9 + b"\x01"
    said = field(1, field(1, b"top1") + b"\x15" + struct.pack("<f", 1))
    content = record(step + field(5, said))
    found = heard(f"open('tfevents', 'wb').write({content!r})", reads={"tensorboard": "."})
    assert found.outcome.reason == "event files, step -1: epoch -1 is no whole number from 0 to 1000000000"
    assert "epoch 9999999999999 is" in str(tracked("loss", 1.0, 9999999999999).outcome.reason)


def tracked(name: str, value: float, step: int) -> Heard:
    return heard(
        f"""
        import os, sqlite3
        base = sqlite3.connect(os.environ["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))
        base.execute("CREATE TABLE metrics (key, value, timestamp, run_uuid, step, is_nan)")
        base.execute("INSERT INTO metrics VALUES (?, ?, 0, 'r', ?, 0)", {(name, value, step)!r})
        base.commit()
        """,
        reads={"mlflow": True},
    )


def test_mlflows_largest_number_is_infinite() -> None:
    outcome = tracked("loss", -1.7976931348623157e308, 3).outcome
    assert (outcome.status, outcome.reason) == ("diverged", "loss -inf at epoch 3")


def test_arrays_alone_are_no_end_and_those_of_a_former_attempt_are_not_this_ones(tmp_path: Path) -> None:
    saving = """
        import numpy as np, os, sys
        from orchestrator import report
        first = os.environ["ORCH_ATTEMPT"] == "1"
        for epoch in (1, 2, 3) if first else (1, 2):
            report(epoch=epoch, top1=epoch, arrays={"F": np.ones(2) * epoch} if first or epoch == 1 else None)
        np.savez(os.environ["ORCH_FOLDER"] + "/arrays/9.npz", F=np.ones(2))
        sys.exit(first)
    """
    heard(saving, folder=tmp_path, **TOP1)
    found = heard(saving, folder=tmp_path, **TOP1)
    assert found.outcome.metrics == {"top1": 2}
    assert [(one.epoch, bool(one.arrays)) for one in found.reports] == [(1, True), (2, False), (9, True)]
    assert np.array_equal(found.reports[0].arrays["F"], np.ones(2))


def test_a_list_alone_in_a_variable_has_commas_and_null_leaves_the_variable_out() -> None:
    text = """
        import json, os
        print(json.dumps({name: os.environ.get(name) for name in ("W", "D", "E")}))
        open(os.environ["ORCH_REPORT"], "a").write('{"top1": 1}')
    """
    params = {"w": [8, 16], "d": None, "e": []}
    found = heard(text, params=params, env={"W": "{w}", "D": "{d}", "E": "{e}"})
    assert found.outcome.details["output"] == ['{"W": "8,16", "D": null, "E": ""}']


@pytest.mark.parametrize("line", ['{"loss": NaN}', "no report"])
def test_an_epoch_that_was_open_when_it_ended_badly_is_reported(line: str) -> None:
    found = heard(lines('{"epoch": 1, "loss": 2}', line, ""))
    assert found.outcome.status != "completed"
    assert curve(found) == [(1, 2)]


@pytest.mark.parametrize("make", ["mkdir", "mkfifo"])
@pytest.mark.parametrize("reads", but_first_slow(["report", "csv", "tensorboard", "mlflow", "arrays"]))
def test_what_is_no_file_where_a_file_should_be_is_one_line_and_holds_nothing_up(
    make: str, reads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, fields = {
        "report": ("os.environ['ORCH_REPORT']", {}),
        "csv": ("'m.csv'", {"reads": {"csv": "m.csv"}}),
        "tensorboard": ("'tfevents.1'", {"reads": {"tensorboard": "."}}),
        "mlflow": ("os.environ['MLFLOW_TRACKING_URI'][len('sqlite:///'):]", {"reads": {"mlflow": True}}),
        "arrays": ("os.environ['ORCH_FOLDER'] + '/arrays/1.npz'", {}),
    }[reads]
    found = heard(
        f"import os; os.mkdir(os.environ['ORCH_FOLDER'] + '/arrays'); os.{make}({place})", limit=0.1, **fields
    )
    assert found.outcome.status == "failed"
    is_passed_over = reads in ("mlflow", "arrays") or (reads, make) == ("tensorboard", "mkdir")
    reason = "it reported no number" if is_passed_over else "no regular file"
    assert reason in str(found.outcome.reason)


@pytest.mark.parametrize(
    ("unit", "value", "says"),
    but_first_slow(
        [
            ("share", 80, "is 80, and a share is from 0 to 1; report such, or declare unit: percent"),
            ("share", -0.5, "is -0.5, and a share is from 0 to 1; report such, or declare unit: plain"),
            ("percent", 120, "is 120, and a percent is from 0 to 100; report such, or declare unit: plain"),
            ("share", 1.0000001, None),
            ("percent", 100, None),
            ("plain", 1e9, None),
        ]
    ),
)
def test_a_number_out_of_the_range_of_its_unit_is_told_and_no_table_shows_it(
    unit: str, value: float, says: str | None
) -> None:
    found = heard(lines(f'{{"top1": {value}}}'), metrics={"top1": {"kind": "final", "unit": unit}}).outcome
    assert (found.status, found.reason) == (
        ("failed", f"metric top1 {says}") if says else ("completed", None)
    )


def test_the_name_of_a_pair_stays_in_the_working_folder() -> None:
    script("x = 1")
    for name in ("../over.py", "/over.py", "", "a/../b.py"):
        with pytest.raises(ValidationError, match="is no name in the working folder; expected such as"):
            command(files=[[name, "train.py"]])


def test_columns_are_named_where_a_number_is_missing() -> None:
    found = heard("open('m.csv', 'w').write('epoch;loss\\n1;2\\n')", reads={"csv": "m.csv"})
    assert str(found.outcome.reason).endswith("; columns of m.csv: 'epoch;loss'")


EPOCH, ACC = "epoch=(?P<epoch>[0-9]+)", "acc=(?P<acc>[0-9.]+)"


@pytest.mark.parametrize(
    "patterns",
    but_first_slow([[ACC, EPOCH], [EPOCH, ACC], [EPOCH, f".*{ACC}"], [f"^.*{ACC}", EPOCH]]),
)
def test_the_epoch_of_a_printed_number_is_the_one_before_it_whichever_pattern_comes_first(
    patterns: list[str],
) -> None:
    found = heard("for e in (1, 2): print(f'epoch={e} acc={e / 4}')", reads={"stdout": patterns})
    assert curve(found, "acc") == [(1, 0.25), (2, 0.5)]


@pytest.mark.parametrize("patterns", [[EPOCH, ACC], [ACC, EPOCH]])
def test_the_only_epoch_of_a_line_is_that_of_the_whole_line(patterns: list[str]) -> None:
    found = heard("for e in (1, 2, 3): print(f'acc={e / 4} epoch={e}')", reads={"stdout": patterns})
    assert curve(found, "acc") == [(1, 0.25), (2, 0.5), (3, 0.75)]


@pytest.mark.parametrize("patterns", [[EPOCH, ACC], [ACC, EPOCH]])
def test_of_several_epochs_of_a_line_each_is_that_of_the_numbers_after_it(patterns: list[str]) -> None:
    found = heard("print('epoch=1 acc=0.25 epoch=2 acc=0.5')", reads={"stdout": patterns})
    assert curve(found, "acc") == [(1, 0.25), (2, 0.5)]
