"""The sweep files that come with the product keep what their headers say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.language.load import load
from orchestrator.language.sweep_spec import SweepSpec
from orchestrator.planning.expand import expand
from trainers.attempt.isolation import run_trial
from trainers.config.base import Runtime

SWEEPS = Path(__file__).parents[2] / "sweeps"
FILES = sorted(path for path in SWEEPS.glob("*.yaml"))


def read(name: str, child: str | None) -> tuple[str, str]:
    path = (Path(child).parent if child else Path()) / name
    return str(path), path.read_text(encoding="utf-8")


def spec(path: Path) -> SweepSpec:
    return load(str(path), read)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_header_says_question_trials_and_time(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n# Question: ")
    made = re.search(r"^# Trials: (\d+) cells × (\d+) seeds = (\d+)", text, re.MULTILINE)
    assert made, "no line `# Trials: C cells × S seeds = N`"
    assert re.search(r"^# Mirrors", text, re.MULTILINE), "no line `# Mirrors ...`"
    assert re.search(r"^# Time: .*2 cores", text, re.MULTILINE), "no line `# Time: ... 2 cores`"
    for profile in (*spec(path).profiles, None)[:2]:
        plan = expand(spec(path), profile=profile)
        assert (len(plan.cells), len(plan.seeds), len(plan.trials)) == tuple(map(int, made.groups()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_sweep_is_named_after_its_file_and_asks_a_question(path: Path) -> None:
    assert spec(path).name == path.stem and (spec(path).question or "").endswith("?")


SHORT = {
    "data": {"name": "shapes", "size": 16, "train": 128, "test": 64},
    "epochs": 1,
    "probe.epochs": 1,
}
"""Laid over base and profile of a sweep of trained networks, so that a trial takes a second."""


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["laptop", "paper"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_cell_of_every_sweep_trains(path: Path, profile: str) -> None:
    sweep = spec(path)
    if sweep.base["trainer"] != "ssl" or profile not in sweep.profiles:
        pytest.skip("theory, or without this profile")
    width = {"encoder.width": 4} if profile == "paper" else {}
    for cell in expand(sweep, profile=profile, changes=SHORT | width).cells:
        outcome = run_trial(cell.config(), runtime=Runtime(), folder=None, report=lambda report: None)
        assert outcome.status in ("completed", "collapsed"), (cell.label, outcome.reason)


@pytest.mark.parametrize("profile", ["laptop", "paper"])
def test_a_level_of_alpha_p_is_the_predictors_rate_over_the_encoders(profile: str) -> None:
    for cell in expand(spec(SWEEPS / "alpha_p.yaml"), profile=profile).cells:
        optimizer = cell.config().optimizer  # type: ignore[attr-defined]
        rates = optimizer.predictor
        rate = optimizer.lr if rates is None else rates.rate(optimizer.lr)
        assert rate / optimizer.lr == pytest.approx(float(cell.label))


@pytest.mark.parametrize("profile", ["laptop", "paper"])
def test_the_deep_projector_has_one_block_more_and_nothing_else(profile: str) -> None:
    cells = expand(spec(SWEEPS / "table2.yaml"), profile=profile).cells
    reused, deep, standard = (cell.config().projector for cell in cells)  # type: ignore[attr-defined]
    assert reused.model_copy(update={"probed_blocks": None}) == deep
    assert deep.hidden == (standard.hidden[0], *standard.hidden)
    assert deep.model_copy(update={"hidden": standard.hidden}) == standard


def test_a_papers_profile_follows_the_code_that_it_mirrors() -> None:
    def setting(name: str) -> Any:
        return expand(spec(SWEEPS / f"{name}.yaml"), profile="paper").cells[0].config()

    report, theirs = setting("table1"), setting("direct_freq")
    crop, jitter = report.views.crop, report.views.jitter
    assert (crop.interpolation, crop.unfitting) == ("bicubic", "clipped")
    assert (jitter.contrast_about, jitter.saturation_in, jitter.clip) == ("channel", "hsv", False)
    assert report.probe.drop_last and report.probe.library is None and report.probe.epochs == 100
    assert theirs.encoder.stem_init == "torch"
    assert theirs.probe.library == "torch" and theirs.probe.standardise
    assert not theirs.probe.drop_last and theirs.views.jitter.saturation_in != "hsv"


def test_sweeps_of_one_setting_share_trials() -> None:
    def ids(name: str, profile: str = "laptop") -> set[str]:
        return {trial.id for trial in expand(spec(SWEEPS / f"{name}.yaml"), profile=profile).trials}

    assert ids("figure2") <= ids("table1")
    assert ids("figure3") <= ids("table1")
    assert ids("no_decay") <= ids("predictor_decay")
    assert len(ids("figure4") & ids("table1")) == 3
    assert len(ids("methods") & ids("table1")) == 3
    assert len(ids("collapse", "paper") & ids("table1", "paper")) == 4
