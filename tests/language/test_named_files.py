"""Files of commands lie beside the sweep file that names them, however an axis writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.language.load import load_sweep
from orchestrator.planning.expand import expand
from orchestrator.recording.bundle.selecting import save
from orchestrator.recording.bundle.sources import sources
from tests.scripted import script

AXES = {
    "values": "s: {path: files, values: [[a.py], [a.py, b.py]], labels: [A, B]}",
    "unlabelled": "s: {path: files, values: [[a.py], [a.py, b.py]]}",
    "zip": "s: {zip: {files: [[a.py, b.py], [b.py, a.py]], params.x: [1, 2]}}",
    "choice": "s: {path: files, choice: [[a.py], [a.py, b.py], [a.py, c.py]], samples: 2}",
    "labelled": "s: {A: {files: [a.py]}, B: {files: [a.py, b.py]}}",
    "levels": "s: {levels: {A: {files: [a.py]}, B: {files: [a.py, b.py]}}}",
    "called zip": "s: {zip: {files: [a.py, b.py]}, values: {files: [a.py, c.py]}, other: {files: [a.py]}}",
}


def made(path: Path) -> list[tuple[str, str]]:
    return [(trial.label, trial.id) for trial in expand(load_sweep(path)).trials]


@pytest.fixture(params=AXES.values(), ids=AXES)
def file(request: pytest.FixtureRequest) -> Path:
    script("a = 1\n", "there/a.py")
    script("b = 1\n", "there/b.py")
    script("c = 1\n", "there/c.py")
    base = "{trainer: command, run: [python, a.py, '{x}', '{seed}'], params: {x: 1}, files: [b.py]}"
    script(f"version: 1\nname: t\nbase: {base}\naxes: {{{request.param}}}\n", "there/s.yaml")
    return Path("there/s.yaml")


def test_files_that_any_form_of_an_axis_names_lie_beside_the_sweep_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_above = made(file)
    monkeypatch.chdir("there")
    assert from_above == made(Path("s.yaml")) and len({id_ for _, id_ in from_above}) == len(from_above) > 1


def test_a_bundle_has_the_files_that_any_form_of_an_axis_names(file: Path) -> None:
    assert {"a.py", "b.py", "s.yaml"} <= sources(file, trust=False).contents.keys()


def test_a_sweep_whose_axis_names_files_is_written_elsewhere_with_the_same_trials(file: Path) -> None:
    Path("else").mkdir()
    save(load_sweep(file), Path("else/s.yaml"))
    assert made(Path("else/s.yaml")) == made(file)
