"""Encoders are kept, written, sent and found again; what cannot be is one line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from orchestrator import Sweep, UsageError, load_encoder
from tests.builders import TINY, yaml
from tests.place import Place

SMALL = yaml(TINY.replace("epochs: 2\n      probe", "epochs: 1\n      probe"))
SERIAL = ("--executor", "serial", "-q")


@pytest.fixture
def kept(ready: Place) -> Place:
    """A place with a finished trial whose encoder was kept."""
    ready.write(SMALL)
    ready.orch("sweep", "sweep.yaml", *SERIAL, "--keep", "encoder")
    return ready


def test_a_kept_encoder_is_written_loaded_and_sent(kept: Place) -> None:
    folder = kept.folder
    said = kept.orch("encoder", "sweep.yaml", "base", "-o", "e.safetensors").stdout.splitlines()
    assert said[-3:-1] == [
        "from orchestrator import load_encoder",
        "encoder = load_encoder('e.safetensors')  # in eval mode",
    ]
    images = torch.ones(2, 3, 8, 8)
    sweep = Sweep.load(folder / "sweep.yaml", home=folder / "runs")
    module = sweep.encoder("base")
    assert torch.equal(load_encoder(folder / "e.safetensors")(images), module(images)) and not module.training
    assert list((folder / "runs" / "trials").iterdir()) == []
    kept.orch("export", "sweep.yaml", "--with", "encoders")
    there = zipfile.ZipFile(folder / "tiny.orch.zip")
    (name,) = [one for one in there.namelist() if one.startswith("encoders/")]
    assert there.read(name) == (folder / "e.safetensors").read_bytes()
    kept.orch("encoder", "tiny.orch.zip", "base", "-o", "again.safetensors")
    assert (folder / "again.safetensors").read_bytes() == (folder / "e.safetensors").read_bytes()
    told = kept.orch("encoder", "sweep.yaml", "base", "--format", "torchvision", "-o", "t", code=2).stderr
    assert "torchvision has no encoder 'mlp', only resnet18 and resnet50; use --format plain" in told


def test_an_encoder_that_was_not_kept_comes_with_the_command_that_makes_it(ready: Place) -> None:
    ready.write(SMALL)
    missing = ready.orch("encoder", "sweep.yaml", "base", code=2).stderr
    assert "was not trained, so it has no encoder; `orch sweep sweep.yaml" in missing
    ready.orch("sweep", "sweep.yaml", *SERIAL)
    told = ready.orch("encoder", "sweep.yaml", "base", code=2).stderr.splitlines()[-1]
    assert "was trained without keeping its encoder; `orch sweep" in told and "which took" in told
    command = told.split("`")[1].split()[1:]
    ready.orch(*command, *SERIAL)
    ready.orch("encoder", "sweep.yaml", "base")
    assert "nothing to do" in ready.orch(*command, "--executor", "serial").stderr


def test_a_bundle_without_the_encoders_that_were_kept_says_so_where_it_is_taken_in(kept: Place) -> None:
    kept.orch("export", "sweep.yaml")
    told = kept.orch("import", "tiny.orch.zip", "--home", "elsewhere").stderr
    assert "1 trial kept an encoder, which the bundle is without: `orch export --with encoders`" in told
    assert "kept an encoder" not in kept.orch("import", "tiny.orch.zip").stderr  # this store has it


def test_a_trial_alone_can_keep_its_encoder_in_its_bundle(ready: Place) -> None:
    ready.write(SMALL)
    assert "add --out" in ready.orch("trial", "sweep.yaml", "base", "--keep", "encoder", code=2).stderr
    ready.orch("trial", "sweep.yaml", "base", "--keep", "encoder", "--out", "one.orch.zip")
    ready.orch("sweep", "sweep.yaml", *SERIAL)  # the same result, without its encoder
    assert "1 encoder" in ready.orch("import", "one.orch.zip").stdout
    ready.orch("encoder", "sweep.yaml", "base")


def test_a_trial_alone_keeps_the_encoder_that_the_evaluations_of_its_file_need(ready: Place) -> None:
    ready.write(SMALL + "evaluations: {few: linear}\n")
    ready.orch("trial", "sweep.yaml", "base", "--out", "one.orch.zip")
    assert "1 encoder" in ready.orch("import", "one.orch.zip").stdout


def test_a_damaged_encoder_is_one_line_and_a_bundle_brings_it_back(kept: Place) -> None:
    kept.orch("export", "sweep.yaml", "--with", "encoders")
    (file,) = (kept.folder / "runs" / "artifacts").rglob("encoder.safetensors")
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    told = kept.orch("encoder", "sweep.yaml", "base", code=2).stderr
    assert "its encoder is damaged: its digest is" in told
    with pytest.raises(UsageError, match="damaged"):
        Sweep.load(kept.folder / "sweep.yaml", home=kept.folder / "runs").encoder("base")
    told = kept.orch("export", "sweep.yaml", "--with", "encoders", "-o", "less.orch.zip").stderr
    assert "its encoder is damaged" in told and "the bundle is without it" in told
    assert "1 encoder" in kept.orch("import", "tiny.orch.zip").stdout and file.read_bytes() == whole


def test_a_lost_encoder_is_made_again_when_that_is_asked_for_and_not_before(kept: Place) -> None:
    (file,) = (kept.folder / "runs" / "artifacts").rglob("encoder.safetensors")
    before = file.read_bytes()
    file.unlink()
    told = kept.orch("sweep", "sweep.yaml", "--executor", "serial", "--keep", "encoder").stderr
    assert "nothing to do" in told and "the encoder of base · seed 0 (" in told
    assert ") is not in sqlite:///" in told and "--keep encoder --retrain-unkept" in told
    kept.write(SMALL + "keep: [encoder]\n")
    assert "the encoder of base · seed 0 (" in kept.orch("plan", "sweep.yaml").stdout
    told = kept.orch("encoder", "sweep.yaml", "base", code=2).stderr.splitlines()[-1]
    command = told.split("`")[1].split()[1:]
    again = kept.orch(*command, "--executor", "serial").stderr
    assert "1 of them anew" in again and "another result" not in again
    kept.orch("encoder", "sweep.yaml", "base", "-o", "again.safetensors")
    assert (kept.folder / "again.safetensors").read_bytes() == before
    assert "nothing to do" in kept.orch(*command, "--executor", "serial").stderr
    assert "the encoder of" not in kept.orch("plan", "sweep.yaml").stdout


def test_what_has_no_encoder_is_told_before_training(ready: Place, tmp_path: Path) -> None:
    ready.write("version: 1\nname: theory\nkeep: [encoder]\nbase: {trainer: linear_dynamics}\n")
    told = ready.orch("sweep", "sweep.yaml", *SERIAL, code=2).stderr
    assert "keep: encoder: trials of linear_dynamics have none; leave it out" in told
    told = ready.orch("sweep", "sweep.yaml", "--keep", "model", code=2).stderr
    assert "--keep model: expected encoder" in told


def test_keeping_changes_no_id() -> None:
    def ids(text: str) -> list[str]:
        from tests.builders import expansion

        return [trial.id for trial in expansion(text).trials]

    assert ids(SMALL) == ids(SMALL + "keep: [encoder]\n")
