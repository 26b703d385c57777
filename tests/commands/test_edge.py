"""What leaves a command: for any encoding, any terminal, read or not, and never as a traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from orchestrator.commands.options import reported, sayer
from orchestrator.process import streams
from tests.builders import table_yaml
from tests.place import Place, own_signals, typed

RED = "\x1b[31m\x9b2J\u202e\u2028"
SHOWN = r"\x1b[31m\x9b2J\u202e\u2028"


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "1 ? 2"), ("latin-1", "1 ± 2"), ("utf-8", "1 ± 2")]
)
def test_words_survive_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding))
    with streams.plain_words():
        print("1 ± 2")
        typer.echo("1 ± 2")
        print("— and \udc80", flush=True)
    lines = out.getvalue().decode(encoding).splitlines()
    assert lines[:2] == [shown] * 2 and len(lines) == 3


def test_what_would_steer_a_terminal_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with own_signals(), reported():
        print(f"a\t{RED}")
        print(RED, file=sys.stderr)
    sayer(silent=False)(RED)
    said = capsys.readouterr()
    assert said.out == f"a\t{SHOWN}\n" and said.err == f"{SHOWN}\n" * 2


def test_a_bar_of_progress_is_drawn_over_itself_and_a_label_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with streams.plain_words():
        sys.stdout.write("\r 10 %")
        sys.stdout.write("cell\rnothing failed")
    assert capsys.readouterr().out == "\r 10 %cell\\rnothing failed"


def test_streams_that_were_closed_before_python_began_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with streams.plain_words():
        print("nowhere")
    assert sys.stdout is None


def test_labels_and_keys_that_steer_a_terminal_are_shown_by_every_command(place: Place) -> None:
    label = '"\\e[31mE\\nMA\\u202e"'
    place.write(
        table_yaml().replace("EMA: {method", f"{label}: {{method", 1).replace("ema: EMA", f"ema: {label}")
    )
    for command in ("plan", "status", "table", "validate"):
        said = place.orch(command, "sweep.yaml", code=2)
        assert not {"\x1b", "\u202e"} & set(said.stdout + said.stderr)
        assert r"level '\x1b[31mE\nMA\u202e': a label must be one line" in said.stderr
    place.write(table_yaml() + '"bad\\e[2J\\nkey": 1\n')
    said = place.orch("plan", "sweep.yaml", code=2)
    assert len(said.stderr.splitlines()) == 1 and r"bad\x1b[2J\nkey: no such field" in said.stderr


def test_an_error_that_nobody_foresaw_is_one_line_and_exit_code_4(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with own_signals(), pytest.raises(typer.Exit) as end, reported():
        raise OSError(13, "Permission denied", "http://me:secret@host/\nfile")
    assert end.value.exit_code == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "Permission denied" in line and "secret" not in line
    (log,) = tmp_path.glob("orch-error-*.log")
    assert str(log) in line and log.stat().st_mode & 0o77 == 0
    assert "Traceback" in log.read_text() and "secret" not in log.read_text()


def test_a_full_disk_is_one_line_without_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    with own_signals(), pytest.raises(typer.Exit) as end, reported():
        raise OSError(28, "No space left on device", "http://me:secret@host/\nfile")
    assert end.value.exit_code == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device; make room" in line and "secret" not in line


def test_where_no_traceback_can_be_written_the_error_is_told_all_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    with own_signals(), pytest.raises(typer.Exit), reported():
        raise RuntimeError("a library's own")
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError: a library's own; the details could not be written down" in line


def test_a_reader_that_has_gone_ends_a_command_well(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    with open(theirs, "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with own_signals(), pytest.raises(typer.Exit) as end, streams.help_for_nobody(), reported():
            typer.echo("a line")
        assert end.value.exit_code == 0
        with streams.help_for_nobody():
            print("help", flush=True)


@pytest.mark.parametrize("words", [("--help",), ("validate", "sweep.yaml")])
def test_nobody_reads_it(place: Place, words: tuple[str, ...]) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TERM"} | {"COLUMNS": "1"}
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        typed(*words), cwd=place.folder, stdout=theirs, stderr=subprocess.PIPE, env=environment, check=False
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("swep a.yaml", "no such command 'swep'; did you mean 'sweep'?"),
        ("sweep a.yaml --seedz 3", "no such option: --seedz; did you mean --seeds?"),
        ("sweep", "missing argument 'spec'; `orch sweep --help` tells what it takes"),
        (
            "ui --port x",
            "invalid value for '--port': got 'x', expected a valid integer; `orch ui --help` tells",
        ),
        (
            "plan a.yaml --limit 0",
            "invalid value for '--limit': got '0', expected greater than or equal to 1; ",
        ),
        ("--versio", "no such option: --versio; did you mean --version?"),
        ("plan a.yaml --home", "option '--home' requires an argument; `orch --help` tells"),
        ("sweep a.yaml http://u:pw@h/\x1b", "got unexpected extra argument(s) (http://h/\\x1b); "),
    ],
)
@pytest.mark.parametrize("columns", ["20", "200"])
def test_words_that_no_command_takes_are_one_line_as_every_other_error(
    place: Place, words: str, told: str, columns: str
) -> None:
    done = place.orch(*words.split(" "), code=2, COLUMNS=columns, FORCE_COLOR="1")
    assert done.stderr.startswith(f"orch: {told}") and done.stderr.count("\n") == 1 and done.stdout == ""
    assert "pw" not in done.stderr and "\x1b" not in done.stderr


def test_help_stays_what_it_is_and_is_what_no_words_ask_for(place: Place) -> None:
    assert "Usage: orch [OPTIONS] COMMAND" in place.orch("--help").stdout
    assert "Usage: orch sweep [OPTIONS]" in place.orch("sweep", "--help").stdout
    bare = place.orch(code=2)
    assert "Usage: orch [OPTIONS] COMMAND" in bare.stdout + bare.stderr
