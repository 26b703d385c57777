"""Laws of the process of a command before the command has words of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import warnings
from pathlib import Path

import pytest

from orchestrator.process.command import let_libraries_warn
from tests.place import typed

ROOT = Path(__file__).parents[2]


def test_a_warning_is_an_error_of_ours_and_none_of_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error,ignore::UserWarning,error::FutureWarning")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("error")
        let_libraries_warn()
        warnings.warn_explicit("old", DeprecationWarning, "a.py", 1, module="sqlalchemy.orm")
        assert [str(one.message) for one in heard] == ["old"]
        with pytest.raises(DeprecationWarning):
            warnings.warn_explicit("old", DeprecationWarning, "a.py", 1, module="orchestrator.records")
    assert os.environ["PYTHONWARNINGS"] == "default,ignore::UserWarning,default::FutureWarning"


def test_where_warnings_are_no_errors_libraries_say_no_more_than_before() -> None:
    with warnings.catch_warnings():
        warnings.resetwarnings()
        let_libraries_warn()
        assert warnings.filters == []


@pytest.mark.parametrize("ignored", [False, True])
def test_ctrl_c_while_a_command_is_imported_leaves_no_traceback(tmp_path: Path, ignored: bool) -> None:
    (tmp_path / "typer.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('on')\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'trap {repr("") if ignored else "-"} INT; exec "$@"', "sh", *typed("--help")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    if ignored:
        assert "on\n" in done.stdout
    else:
        assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
