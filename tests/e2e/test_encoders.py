"""Encoders are kept, written, sent and found again; what cannot be is one line."""

from __future__ import annotations

import shlex
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator import Sweep, UsageError, load_encoder
from orchestrator.recording.bundle.reading import open_bundle
from tests.builders import TINY, yaml
from tests.place import Place
from tests.planning.test_chains import AFTER, CHAIN

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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_bundle_without_the_encoders_that_were_kept_says_so_where_it_is_taken_in(kept: Place) -> None:
    kept.orch("export", "sweep.yaml")
    told = kept.orch("import", "tiny.orch.zip", "--home", "elsewhere").stderr
    assert "1 trial kept an encoder, which the bundle is without: `orch export --with encoders`" in told
    assert "kept an encoder" not in kept.orch("import", "tiny.orch.zip").stderr  # this store has it
    told = kept.orch("encoder", "tiny.orch.zip", "base", code=2).stderr
    assert "`orch export --with encoders`" in told and "tiny.orch.zip` puts its results into" in told
    assert "`orch sweep tiny.orch.zip" not in told  # a bundle is only read


@pytest.mark.slow
def test_a_trial_alone_can_keep_its_encoder_in_its_bundle(ready: Place) -> None:
    ready.write(SMALL)
    assert "add --out" in ready.orch("trial", "sweep.yaml", "base", "--keep", "encoder", code=2).stderr
    ready.orch("trial", "sweep.yaml", "base", "--keep", "encoder", "--out", "one.orch.zip")
    ready.orch("sweep", "sweep.yaml", *SERIAL)  # the same result, without its encoder
    assert "1 encoder" in ready.orch("import", "one.orch.zip").stdout
    ready.orch("encoder", "sweep.yaml", "base")


@pytest.mark.slow
def test_a_trial_alone_keeps_the_encoder_that_the_evaluations_of_its_file_need(ready: Place) -> None:
    ready.write(SMALL + "evaluations: {few: linear}\n")
    ready.orch("trial", "sweep.yaml", "base", "--out", "one.orch.zip")
    assert "1 encoder" in ready.orch("import", "one.orch.zip").stdout


@pytest.fixture
def after(place: Place) -> Place:
    """A place with a sweep that starts from the encoders of another, which has no results."""
    place.write(SMALL, "tiny.yaml")
    place.write(yaml(AFTER), "after.yaml")
    return place


@pytest.mark.slow
def test_a_trial_alone_starts_from_the_encoder_in_a_bundle(after: Place) -> None:
    told = after.orch("trial", "after.yaml", "base", code=2).stderr
    assert "base · seed 0 starts from the encoder of base · seed 0 of tiny.yaml; name a bundle" in told
    after.orch(*shlex.split(told.split("`")[1])[1:])  # which trains the other one
    after.orch("trial", "after.yaml", "base", "--from", "parent.orch.zip", "--out", "child.orch.zip")
    parent, child = (open_bundle(after.folder / f"{name}.orch.zip") for name in ("parent", "child"))
    (one,), (other, *_) = parent.manifest.sweeps["tiny"].trials, child.manifest.sweeps["after"].trials
    known: Any = parent.trial(one)
    assert child.origin(other)[1]["started_from"] == {"trial": one, "sha256": known.record.encoder}
    told = after.orch("trial", "tiny.yaml", "base", "--from", "parent.orch.zip", code=2).stderr
    assert "base · seed 0 starts from no other trial; leave it out" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["base", "--out", "none.orch.zip"], "which was trained without keeping its encoder; `orch trial"),
        (
            ["base", "--seed", "1", "--keep", "encoder", "--out", "none.orch.zip"],
            "which is not in it (trial ",
        ),
    ],
)
def test_a_bundle_without_the_encoder_to_start_from_is_one_line(
    after: Place, words: list[str], says: str
) -> None:
    after.orch("trial", "tiny.yaml", *words)
    told = after.orch("trial", "after.yaml", "base", "--from", "none.orch.zip", code=2).stderr.splitlines()
    assert told[1].startswith("orch: --from none.orch.zip: base · seed 0 starts from the encoder of base · ")
    assert says in told[1] and len(told) == 2
    told = after.orch("trial", "after.yaml", "base", "--from", "e.safetensors", code=2).stderr.splitlines()
    assert "expected a bundle, whose name ends in .orch.zip; `orch trial tiny.yaml base" in told[-1]


def metrics(place: Place, file: str, home: str) -> list[tuple[str, dict[str, float]]]:
    records = Sweep.load(place.folder / file, home=place.folder / home).records()
    timeless = {i: {n: v for n, v in one.metrics.items() if "time" not in n} for i, one in records.items()}
    return sorted(timeless.items())


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_chains_of_one_sweep_and_of_two_are_on_ray_what_they_are_in_one_process(after: Place) -> None:
    after.write(yaml(TINY, CHAIN.replace("seeds: 2", "seeds: 1")), "chain.yaml")
    after.write(SMALL + "seeds: 2\n", "tiny.yaml")
    for home, how in (("ray", []), ("serial", ["--executor", "serial"])):
        for words in (["tiny.yaml", "--keep", "encoder"], ["after.yaml"], ["chain.yaml"]):
            told = after.process("sweep", *words, "--home", home, *how).stderr
        assert "turn 3 of 3: 1 trial, 1 from encoders of others" in told
        assert (
            "nothing to do: all 2 trials" in after.process("sweep", "after.yaml", "--home", home, *how).stderr
        )
    for file in ("tiny.yaml", "after.yaml", "chain.yaml"):
        there = metrics(after, file, "ray")
        assert there == metrics(after, file, "serial") and len(there) in (2, 3)
    assert not list((after.folder / "ray" / "trials").rglob("*.safetensors"))


@pytest.mark.slow
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


@pytest.mark.slow
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
