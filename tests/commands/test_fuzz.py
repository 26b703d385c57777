"""Mutated calls: whatever flags and environment say, a command ends with 0 or 2, soon, and in words."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import typer
from typer.testing import CliRunner

from orchestrator.commands.app import app
from orchestrator.process.exit_codes import COMPLETE, OUTSIDE, USAGE
from tests.place import own_signals

THEORY = """
version: 1
name: t
base: {trainer: modes, x: {of: p0, low: -1, high: 2, points: 5}, y: {of: s0, low: 0, high: 2, points: 5}}
profiles: {laptop: {records: 5}, paper: {records: 6}}
axes: {m: {path: eta, values: [0.3, 0.1]}}
tables: [{name: t, rows: m, metric: modes/collapsed_share}]
figures: [{kind: curves, columns: [modes/s]}]
"""
READING = (
    "validate", "plan", "status", "table", "failures", "why", "logs", "diff", "schema", "compare", "cost",
)  # fmt: skip
TRAINING = (
    *READING, "figures", "report", "encoder", "export", "import", "sweep", "retry", "trial", "stop", "sync",
)  # fmt: skip
LEFT_OUT = {
    "--forecast", "--pack",  # rehearsals start Ray
    "--follow", "--watch", "--reap",  # these wait for others
    "--address", "--ship-code",  # these look for a cluster
    "--device", "--threads",  # these are for torch to judge
}  # fmt: skip
# None leads out of the test's folder: some calls write.
WORDS = [
    "", " ", "-", "--", "---", "0", "-1", "1", "3", "0-4", "4-0", "0,0", ",", "1e9", "99999999999999999999",
    "nan", "true", "None", "text", "json", "latex", "markdown", "docx", "auto", "laptop", "labtop", "paper",
    "serial", "rays", "0.3", "m=0.3", "m=3e-1", "m=", "=", "a=b=c", "t", "s" * 300, "é" * 200, "日本", "💥",
    "a\nb", "\x1b[31m", "\u202eb", "eta=0.2", "eta", "eta=", "eta=[1", "eta={a: 1}", "eta=!!x y", "x.of=eta",
    "trainer=ssl", "seed=3", ".=1", "a..b=1", ".".join("a" * 300) + "=1", "method.name=byol", "sweep.yaml",
    "other.yaml", "nowhere.yaml", ".", "/dev/null", "sweep.yaml/below", "folder", "folder/a b", "$HOME", "%s",
    "{}", "*", "'", '"', "\\", "|", ";", "#",
]  # fmt: skip
SETTINGS = (
    "ORCH_HOME", "ORCH_DATA", "ORCH_CHECKPOINTS", "ORCH_NOTIFY", "MLFLOW_TRACKING_URI", "RAY_ADDRESS", "HOME",
    "COLUMNS", "NO_COLOR", "LANG", "TERM",
)  # fmt: skip
MOST_SECONDS = 20.0  # of this process; a store that is made anew takes ten
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    for name in ("sweep.yaml", "other.yaml"):
        (tmp_path / name).write_text(THEORY, encoding="utf-8")
    with contextlib.chdir(tmp_path):
        yield tmp_path


def call(rng: random.Random, commands: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """A command with a few of its options, right and wrong, and a few variables."""
    name = rng.choice(commands)
    words = []
    if name not in ("schema", "sync"):
        words.append("sweep.yaml" if rng.random() < 0.9 else rng.choice(WORDS))
    if name in ("diff", "why", "logs", "trial", "encoder"):
        words.append("other.yaml" if name == "diff" else rng.choice(("0.3", "m=0.3", *WORDS)))
    options = [one for one in COMMANDS[name].params if one.param_type_name == "option" and one.name != "help"]
    options = [one for one in options if not LEFT_OUT & set(one.opts)]
    for option in rng.sample(options, min(len(options), rng.choice((0, 1, 1, 2, 3)))):
        words.append(rng.choice(option.opts))
        if not option.is_flag or rng.random() < 0.05:
            words.append(rng.choice(WORDS))
    if rng.random() < 0.2:
        words.insert(rng.randrange(len(words) + 1), rng.choice(WORDS))
    if name in ("sweep", "retry") and "--executor" not in words:
        words += ["--executor", "serial"]
    settings = rng.sample(SETTINGS, rng.choice((0, 0, 0, 0, 0, 1, 2)))
    return [name, *words], {one: rng.choice(WORDS) for one in settings}


def ended(words: list[str], settings: dict[str, str]) -> int:
    """The exit code of a call that ended as calls are to end."""
    with warnings.catch_warnings(), own_signals(), mock.patch.dict(os.environ, settings):
        warnings.simplefilter("default")
        done = CliRunner().invoke(app, words, prog_name="orch")
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    allowed = {COMPLETE, USAGE} | ({OUTSIDE} if "--check" in words else set())
    assert done.exit_code in allowed, done.output
    assert "Traceback" not in done.output
    if done.exit_code == USAGE:
        assert done.stderr.strip() and len(done.stderr) < 6000, done.stderr
        assert len(done.stderr.splitlines()) < 25 or "COLUMNS" in settings
    return done.exit_code


def fuzzed(number: int, seed: int, commands: tuple[str, ...]) -> Counter[int]:
    """How often which exit code came of `number` mutated calls."""
    rng, counts = random.Random(seed), Counter[int]()
    for index in range(number):
        words, settings = call(rng, commands)
        started = time.process_time()
        try:
            counts[ended(words, settings)] += 1
        except Exception as error:
            raise AssertionError(f"call {index} of seed {seed}: {settings} orch {words}: {error}") from error
        spent = time.process_time() - started
        assert spent < MOST_SECONDS, (
            f"call {index} of seed {seed} took {spent:.1f} s: {settings} orch {words}"
        )
    return counts


def test_mutated_calls_end_with_0_or_2_and_in_words(folder: Path) -> None:
    counts = fuzzed(30, 0, ("validate", "diff", "schema"))
    assert min(counts[COMPLETE], counts[USAGE]) >= 5


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("seed", range(1, 9))
def test_two_thousand_mutated_calls_end_with_0_or_2_and_in_words(
    seed: int, folder: Path, database: Path
) -> None:
    for home in ("runs", "folder"):
        (folder / home).mkdir()
        shutil.copy(database, folder / home)
    counts = fuzzed(250, seed, TRAINING if seed > 4 else READING)
    print(f"seed {seed}: {dict(counts)}")
    assert min(counts[COMPLETE], counts[USAGE]) >= 15


def test_a_store_that_mlflow_does_not_know_ends_a_stop_in_a_line(folder: Path) -> None:  # found by the calls
    assert ended(["stop", "sweep.yaml", "--tracking-uri", "t"], {}) == USAGE
