"""What pip installs: the wheel and the sdist of this checkout, away from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import orchestrator

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def run(*words: str | Path, folder: Path) -> str:
    """What a process says that knows nothing of this one's packages."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ORCH"))
    }
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(what: str, source: Path, out: Path) -> Path:
    """A wheel or an sdist, by the build backend itself: no network, and nothing is left in `source`."""
    return out / run(sys.executable, "-c", BUILD, f"build_{what}", out, folder=source).splitlines()[-1]


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and an sdist of a copy of this checkout that has no git."""
    folder = tmp_path_factory.mktemp("made")
    (source := folder / "source").mkdir()
    names = ("pyproject.toml", "README.md", "LICENSE", "orchestrator", "trainers", "sweeps")
    run("cp", "-a", *(ROOT / name for name in names), source, folder=folder)
    return built("wheel", source, folder), built("sdist", source, folder)


@pytest.fixture(scope="module")
def python(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel, and all else from this one: torch takes minutes to install."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=True)
    there = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    Path(there, "others.pth").write_text("\n".join(packages) + "\n")
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", made[0], folder=folder)
    return python


def test_the_wheel_has_all_that_is_needed_and_no_tests(made: tuple[Path, Path]) -> None:
    names = set(contents(made[0]))
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"orchestrator", "trainers", f"orch_ssl-{orchestrator.__version__}.dist-info"}
    for path in (ROOT / "sweeps").rglob("*.*"):
        assert f"orchestrator/sweeps/{path.relative_to(ROOT / 'sweeps').as_posix()}" in names
    assert {"orchestrator/py.typed", "trainers/py.typed", "orchestrator/commands/starter/sweep.yaml"} <= names


def test_the_sdist_builds_the_same_wheel(made: tuple[Path, Path], tmp_path: Path) -> None:
    with tarfile.open(made[1]) as file:
        file.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    again = contents(built("wheel", source, tmp_path))
    first = contents(made[0])
    assert again.keys() == first.keys()
    assert [name for name in first if first[name] != again[name]] == []


def test_what_is_installed_gives_a_bundle_s_table_again_byte_for_byte_without_a_store(
    python: Path, tmp_path: Path
) -> None:
    bundle = shutil.copy(ROOT / "docs" / "reproduction" / "table1-short.orch.zip", tmp_path)
    with zipfile.ZipFile(bundle) as file:
        (kept,) = [name for name in file.namelist() if name.startswith("tables/") and name.endswith(".md")]
        expected = file.read(kept).decode()
    orch = python.parent / "orch"
    assert run(orch, "table", bundle, "--format", "markdown", folder=tmp_path) == expected
    assert list(tmp_path.iterdir()) == [Path(bundle)]


def test_what_is_installed_trains_from_an_empty_folder(python: Path, tmp_path: Path) -> None:
    orch = python.parent / "orch"
    where = run(python, "-c", "import orchestrator; print(orchestrator.__file__)", folder=tmp_path)
    assert Path(where).is_relative_to(python.parents[1])
    for words in ((orch,), (python, "-m", "orchestrator")):
        assert run(*words, "--version", folder=tmp_path) == f"orch {orchestrator.__version__}\n"
    table = run(orch, "sweep", "orch:smoke", "--seeds", "1", "--executor", "serial", folder=tmp_path)
    assert "SimSiam" in table and "two-layer" in table
    run(orch, "init", "mine", folder=tmp_path)
    table = run(
        orch, "sweep", "mine/mine.yaml", "--seeds", "1", "--set", "epochs=1", folder=tmp_path
    )  # by Ray
    assert "mine, longer" in table
