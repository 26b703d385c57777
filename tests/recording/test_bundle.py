"""A bundle gives back what went in, and nothing of a damaged or foreign one is believed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.answer import publish
from orchestrator.answer.report import page as report_page
from orchestrator.commands.look.ui import serve
from orchestrator.errors import SpecError, StoreAway, UsageError
from orchestrator.language.load import load, load_sweep
from orchestrator.language.yaml_text import parse
from orchestrator.planning.evaluations import place_in
from orchestrator.planning.expand import Aim, Expansion, expand
from orchestrator.recording.bundle import layout, writing
from orchestrator.recording.bundle.merging import (
    Merged,
    checked,
    lacking_encoders,
    lay_out,
    merge,
    merge_checkpoints,
    merge_encoders,
)
from orchestrator.recording.bundle.reading import Bundle, each
from orchestrator.recording.bundle.selecting import read_sweep
from orchestrator.recording.bundle.sources import whole_sources
from orchestrator.recording.bundle.store import BundleStore
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.store_port import Store
from orchestrator.recording.trial_files import ENCODER
from orchestrator.recording.workspace import workspace
from orchestrator.records import SweepInfo
from tests.builders import INFO, TINY, expansion, outcome, table_yaml, yaml
from tests.place import Place
from tests.planning.test_chains import AFTER
from trainers.attempt.folders import files
from trainers.attempt.report import EpochReport

HERE = INFO.provenance


def filled(
    whole: Expansion, *, trials: int = 8, value: float = 0.5, status: str = "completed"
) -> MemoryStore:
    """A store with a result of some of a sweep's trials, and a plot of each."""
    store = MemoryStore()
    for number, trial in enumerate(whole.trials[:trials]):
        store.begin(trial.facts, INFO, worker="node:1")
        for epoch in range(3):
            arrays = {"F": np.arange(4.0) / (epoch + number + 3)}
            metrics = {"train/loss": -1.0 / (epoch + 3)}
            store.report(trial.id, EpochReport(epoch=epoch, epochs=2, metrics=metrics, arrays=arrays))
        store.finish(trial.id, outcome(value + number / 7, status=status, details={"seconds": 3.5}), INFO)
        store.attach(trial.id, {"curves.png": b"drawn"})
    return store


def exported(
    path: Path, store: MemoryStore, whole: Expansion, text: str | None = None, **more: Any
) -> Bundle:
    """A bundle of the tiny sweep."""
    files = {"tiny.yaml": (text or table_yaml()).encode()}
    writing.write(
        path,
        [writing.Exported("tiny", whole, store, files, "tiny.yaml", more.pop("changes", {}), **more)],
        HERE,
        say=lambda line: None,
    )
    return Bundle(path)


def merged_into(bundle: Bundle, store: Store) -> Merged:
    return merge(bundle, store, checked(bundle))


@pytest.fixture
def whole() -> Expansion:
    return expansion()


@pytest.fixture
def bundle(tmp_path: Path, whole: Expansion) -> Bundle:
    return exported(tmp_path / "tiny.orch.zip", filled(whole), whole)


def rewritten(bundle: Bundle, change: Callable[[dict[str, bytes]], None], *, sums: bool) -> Path:
    """A copy of a bundle in which something was changed; `sums`: and its digests made to fit."""
    with zipfile.ZipFile(bundle.path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    if sums:
        manifest = json.loads(members[layout.MANIFEST])
        for name, content in members.items():
            if name in manifest["files"]:
                digest = hashlib.sha256(content).hexdigest()
                manifest["files"][name] = {"sha256": digest, "size": len(content)}
        members[layout.MANIFEST] = json.dumps(manifest).encode()
    path = bundle.path.with_name("changed.orch.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def test_a_bundle_keeps_seeds_of_some_cells_trials_that_do_not_count_and_precision(tmp_path: Path) -> None:
    text = table_yaml() + "cell_seeds: [{where: {ema: EMA}, seeds: 4}]\n"
    text += "exclude: [{cell: {ema: EMA, predictor: regular}, seed: 1, reason: broken}]\n"
    asked = expansion(text)
    asked = asked._replace(aim=Aim(0.1234567, 5))
    there = exported(tmp_path / "own.orch.zip", filled(asked, trials=99), asked, text)
    spec, kept = read_sweep(there.path)
    assert "seeds" not in kept and (kept["precision"], kept["max_seeds"]) == (0.1234567, 5)
    again = expand(spec)
    assert (again.trials, again.excluded[0][0].id) == (asked.trials, asked.excluded[0][0].id)
    words = lay_out(there, tmp_path / "out")[0]
    assert "--seeds" not in words and words[-4:] == ["--precision", "0.1234567", "--max-seeds", "5"]


def test_a_bundle_gives_the_tables_of_its_store_byte_for_byte(bundle: Bundle, whole: Expansion) -> None:
    spec, kept = read_sweep(bundle.path)
    again = expand(spec, seeds=kept["seeds"])
    store = workspace(None, kept["tracking_uri"], None).open_store()
    tables = publish.tables(again, store.records([one.id for one in again.trials]), [])
    problems: list[str] = []
    before = publish.tables(whole, filled(whole).records([one.id for one in whole.trials]), problems)
    assert publish.table_files(tables, []) == publish.table_files(before, [])
    for name, content in publish.table_files(before, []).items():
        assert bundle.read(f"tables/tiny/{name}") == content


def test_a_bundle_whose_page_cannot_be_made_has_all_but_the_page(
    bundle: Bundle, tmp_path: Path, whole: Expansion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise AttributeError("a fault of ours")

    monkeypatch.setattr(report_page, "chapter", broken)
    said: list[str] = []
    asked = writing.Exported(
        "tiny", whole, filled(whole), {"tiny.yaml": table_yaml().encode()}, "tiny.yaml", {}
    )
    writing.write(tmp_path / "other.orch.zip", [asked], HERE, say=said.append)
    assert said == ["orch: the report could not be made: AttributeError: a fault of ours"]
    with zipfile.ZipFile(bundle.path) as one, zipfile.ZipFile(tmp_path / "other.orch.zip") as other:
        assert {*one.namelist()} - {*other.namelist()} == {"reports/tiny.html"}
        for name in {*other.namelist()} - {layout.MANIFEST}:
            assert one.read(name) == other.read(name)


def test_records_curves_and_files_are_those_of_the_store(bundle: Bundle, whole: Expansion) -> None:
    ids, store = [one.id for one in whole.trials], filled(whole)
    read = BundleStore(bundle)
    assert read.records(ids) == store.records(ids)
    assert read.files(ids) == store.files(ids)
    assert read.files(ids, ["config.json"]) == store.files(ids, ["config.json"])
    for one, curves in store.curves(ids).items():
        assert read.curves(ids)[one].metrics == curves.metrics
        np.testing.assert_array_equal(read.curves(ids)[one].spectra["F"], curves.spectra["F"])
    assert read.asked_for("tiny") == {one.id: one.label for one in whole.trials}


def test_the_same_results_are_the_same_bytes(tmp_path: Path, bundle: Bundle, whole: Expansion) -> None:
    again = exported(tmp_path / "again.orch.zip", filled(whole), whole)
    assert again.path.read_bytes() == bundle.path.read_bytes()


def test_what_was_selected_is_selected_again(tmp_path: Path) -> None:
    changes = {"epochs": 1, "optimizer.lr": 0.25}
    some = expansion(seeds=(3,), changes=changes)
    path = exported(tmp_path / "some.orch.zip", filled(some, trials=2), some, changes=changes).path
    spec, kept = read_sweep(path)
    again = expand(spec, seeds=kept["seeds"], changes=kept["changes"])
    assert [one.id for one in again.trials] == [one.id for one in some.trials]


def test_an_imported_trial_is_as_it_was_and_imported_again_it_changes_nothing(
    bundle: Bundle, whole: Expansion
) -> None:
    ids, store = [one.id for one in whole.trials], MemoryStore()
    first, second = merged_into(bundle, store), merged_into(bundle, store)
    assert (len(first.added), first.other, first.left) == (8, [], [])
    assert (second.added, len(second.there)) == ([], 8)
    before = filled(whole)
    for one, record in store.records(ids).items():
        assert record.model_copy(update={"attempts": 1}) == before.records(ids)[one]
        np.testing.assert_array_equal(
            store.curves(ids)[one].spectra["F"], before.curves(ids)[one].spectra["F"]
        )
    assert store.files(ids) == before.files(ids)
    assert store.asked_for("tiny") == before.asked_for("tiny")


def test_of_another_result_the_store_keeps_its_own_and_it_is_named(bundle: Bundle, whole: Expansion) -> None:
    store = filled(whole, trials=2, value=0.25)
    merged = merged_into(bundle, store)
    assert (len(merged.added), len(merged.other)) == (6, 2)
    assert merged.other[0].startswith(f"{whole.trials[0].id} ")
    assert "the store has probe/top1 0.25, here 0.5; kept" in merged.other[0]
    assert store.records([whole.trials[0].id])[whole.trials[0].id].metrics["probe/top1"] == 0.25


def test_a_result_takes_the_place_of_a_failure(bundle: Bundle, whole: Expansion) -> None:
    store = filled(whole, trials=1, status="failed")
    assert len(merged_into(bundle, store).added) == 8
    assert store.records([whole.trials[0].id])[whole.trials[0].id].status == "completed"


def test_a_failure_takes_the_place_of_no_result(tmp_path: Path, whole: Expansion) -> None:
    bad = exported(tmp_path / "bad.orch.zip", filled(whole, trials=1, status="failed"), whole)
    store = filled(whole)
    assert merged_into(bad, store).added == []
    assert store.records([whole.trials[0].id])[whole.trials[0].id].status == "completed"


def test_checkpoints_go_along_and_let_another_machine_go_on(tmp_path: Path, whole: Expansion) -> None:
    root, one = tmp_path / "trials", whole.trials[0].id
    (root / one).mkdir(parents=True)
    (root / one / "epoch-000001.pt").write_bytes(b"state")
    (root / one / "other.txt").write_bytes(b"none")
    store = filled(whole, trials=1, status="stopped")
    along = exported(tmp_path / "along.orch.zip", store, whole, checkpoints=root)
    there, other = MemoryStore(), tmp_path / "other"
    merged_into(along, there)
    assert merge_checkpoints(along, other, there) == 1
    assert [path.name for path in (other / one).iterdir()] == ["epoch-000001.pt"]
    assert there.records([one])[one].status == "stopped"
    assert merge_checkpoints(along, other, there) == 0


class Behind(MemoryStore):
    """A store that is away when it is told to be."""

    away = True

    def __getattribute__(self, name: str) -> Any:
        if name in ("records", "encoder", "begin", "keep_encoder") and self.away:
            raise StoreAway("the tracker does not answer")
        return super().__getattribute__(name)


@pytest.mark.parametrize("encoders", [True, False])
def test_encoders_that_are_imported_while_the_store_is_away_arrive_with_their_trials(
    tmp_path: Path, whole: Expansion, *, encoders: bool
) -> None:
    theirs, content, one = MemoryStore(), b"weights", whole.trials[0]
    files(tmp_path / one.id).write(ENCODER, io.BytesIO(content))
    sha256 = hashlib.sha256(content).hexdigest()
    theirs.begin(one.facts, INFO)
    theirs.finish(one.id, outcome(details={"encoder": {"sha256": sha256}}), INFO)
    theirs.keep_encoder(one.id, tmp_path / one.id, sha256)
    bundle = exported(tmp_path / "tiny.orch.zip", theirs, whole, encoders=encoders)
    behind = Behind()

    def opened() -> JournaledStore:
        known = FinishedTrials(tmp_path / "home", store="test")
        return JournaledStore(lambda: behind, root=tmp_path / "home" / "journal", name="test", known=known)

    ours = opened()
    trials = checked(bundle)
    assert merge(bundle, ours, trials).added == [one.id]
    assert merge_encoders(bundle, tmp_path / "home" / "trials", ours) == encoders
    assert merge_encoders(bundle, tmp_path / "home" / "trials", ours) == 0  # it waits already
    assert lacking_encoders(bundle, trials, ours) == (not encoders)
    ours.close()
    behind.away = False
    later = opened()
    later.flush()
    later.close()
    assert behind.records([one.id])[one.id].encoder == sha256
    assert behind.encoder(one.id) == (content if encoders else None)


def test_a_done_trial_gets_no_checkpoint(tmp_path: Path, whole: Expansion) -> None:
    root, one = tmp_path / "trials", whole.trials[0].id
    (root / one).mkdir(parents=True)
    (root / one / "epoch-000001.pt").write_bytes(b"state")
    along = exported(tmp_path / "a.orch.zip", filled(whole, trials=0), whole, checkpoints=root)
    assert merge_checkpoints(along, tmp_path / "other", filled(whole)) == 0


def test_the_sweep_file_is_laid_out_once_and_overwrites_nothing(tmp_path: Path, bundle: Bundle) -> None:
    root = tmp_path / "sweeps"
    assert lay_out(bundle, root) == lay_out(bundle, root)
    file = root / "tiny" / "tiny.yaml"
    assert file.read_text() == table_yaml()
    file.write_text("mine")
    orch, sweep, second, flag, seeds = lay_out(bundle, root)[0]
    assert (orch, sweep, flag, seeds) == ("orch", "sweep", "--seeds", "0,1")
    assert file.read_text() == "mine" and second == f"{root}/tiny-2/tiny.yaml"
    Path(second).write_text("mine, too")
    assert lay_out(bundle, root)[0][2] == f"{root}/tiny-3/tiny.yaml"
    assert Path(second).read_text() == "mine, too"


def test_sweep_files_that_cannot_be_laid_out_are_one_line(tmp_path: Path, bundle: Bundle) -> None:
    (tmp_path / "sweeps").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot be written: .*; choose another folder with --home"):
        lay_out(bundle, tmp_path / "sweeps")


def test_how_long_something_took_is_no_other_result(tmp_path: Path, whole: Expansion) -> None:
    here, there = MemoryStore(), MemoryStore()
    for store, seconds in ((here, 1.0), (there, 2.0)):
        store.begin(whole.trials[0].facts, INFO)
        metrics = {"probe/top1": 0.5, "time/epoch_s": seconds}
        store.finish(whole.trials[0].id, outcome(metrics=metrics), INFO)
    merged = merged_into(exported(tmp_path / "a.orch.zip", here, whole), there)
    assert (merged.there, merged.other) == ([whole.trials[0].id], [])


def test_what_a_record_knew_is_kept_where_its_files_are_gone_or_say_otherwise(
    tmp_path: Path, bundle: Bundle, whole: Expansion
) -> None:
    store, one = MemoryStore(), whole.trials[0]
    store.begin(one.facts, INFO)
    details = {
        "collapse": {"verdict": "dimensional", "evidence": "few"},
        "data_fingerprint": "d",
        "streams_fingerprint": "s",
        "source": {"trainers": "1234abcd"},
        "data_listing": "3 files",
    }
    store.finish(one.id, outcome(details=details), INFO)
    known = store.records([one.id])[one.id]
    assert known.collapse == "dimensional"
    whole_bundle = exported(tmp_path / "a.orch.zip", store, whole)

    def lose(members: dict[str, bytes]) -> None:
        for name in [name for name in members if name.endswith(("provenance.json", "spectra.npz"))]:
            del members[name]
            manifest = json.loads(members[layout.MANIFEST])
            del manifest["files"][name]
            members[layout.MANIFEST] = json.dumps(manifest).encode()

    def twist(members: dict[str, bytes]) -> None:
        name = next(name for name in members if name.endswith("provenance.json"))
        told = {"code_version": "other", "trial": {"collapse": {"verdict": "none"}, "source": {"x": "y"}}}
        members[name] = json.dumps(told).encode()

    for change in (lose, twist):
        again = MemoryStore()
        merged_into(Bundle(rewritten(whole_bundle, change, sums=True)), again)
        assert again.records([one.id])[one.id].model_copy(update={"worker": None}) == known


def test_of_two_stores_the_record_with_a_result_goes_into_a_bundle(tmp_path: Path, whole: Expansion) -> None:
    files = {"tiny.yaml": table_yaml().encode()}
    failed, done = filled(whole, status="failed"), filled(whole)
    both = [
        writing.Exported(key, whole, store, files, "tiny.yaml", {})
        for key, store in (("one", failed), ("two", done))
    ]
    writing.write(tmp_path / "both.orch.zip", both, HERE, say=lambda line: None)
    bundle, ids = Bundle(tmp_path / "both.orch.zip"), [one.id for one in whole.trials]
    assert BundleStore(bundle).records(ids) == done.records(ids)
    assert bundle.read("tables/one/main.md") == bundle.read("tables/two/main.md")
    other = [both[1], both[0]._replace(store=filled(whole, value=0.25))]
    with pytest.raises(UsageError, match="has another result in memory than in memory"):
        writing.write(tmp_path / "no.orch.zip", other, HERE, say=lambda line: None)
    assert not (tmp_path / "no.orch.zip").exists()


def test_a_bundle_with_flipped_bits_is_read_or_is_one_line(bundle: Bundle) -> None:
    content, path = bundle.path.read_bytes(), bundle.path.with_name("flipped.orch.zip")
    generator, refused = np.random.default_rng(0), 0
    for _ in range(150):
        flipped = bytearray(content)
        for place in generator.integers(0, len(content), 3):
            flipped[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(flipped)
        try:
            checked(Bundle(path))
        except UsageError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


def cut(members: dict[str, bytes]) -> None:
    del members[next(name for name in members if name.endswith("spectra.npz"))]


def swap(members: dict[str, bytes]) -> None:
    first, second, *_ = [name for name in members if name.endswith("trial.json")]
    members[first] = members[second]


def relabel(members: dict[str, bytes]) -> None:
    """Give a trial's result to other settings."""
    name = next(name for name in members if name.endswith("trial.json"))
    trial = json.loads(members[name])
    trial["facts"]["identity"]["epochs"] = 999
    members[name] = json.dumps(trial).encode()


def later(members: dict[str, bytes]) -> None:
    members[layout.MANIFEST] = json.dumps({"bundle": 2, "what": "nobody knows"}).encode()


def outside(members: dict[str, bytes]) -> None:
    manifest = json.loads(members[layout.MANIFEST])
    manifest["files"]["sweeps/../../evil"] = {"sha256": "0" * 64, "size": 4}
    members[layout.MANIFEST] = json.dumps(manifest).encode()


def edited(members: dict[str, bytes]) -> None:
    name = next(name for name in members if name.endswith("trial.json"))
    members[name] = members[name].replace(b"0.5", b"0.9")


def zeros(members: dict[str, bytes]) -> None:
    """Arrays of more than a gigabyte in a small file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file, file.open("F.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f8", "fortran_order": False, "shape": (2**27 + 2**20,)}
        )
        for _ in range(129):
            member.write(bytes(2**23))
    members[next(name for name in members if name.endswith("spectra.npz"))] = out.getvalue()


def sized(name: str, size: int) -> Callable[[dict[str, bytes]], None]:
    """Have the bundle say that files of such names are so large."""

    def change(members: dict[str, bytes]) -> None:
        manifest = json.loads(members[layout.MANIFEST])
        for one in [one for one in manifest["files"] if one.endswith(name)]:
            manifest["files"][one]["size"] = size
        members[layout.MANIFEST] = json.dumps(manifest).encode()

    return change


def many(members: dict[str, bytes]) -> None:
    """Give a trial five large files."""
    manifest = json.loads(members[layout.MANIFEST])
    trial = next(name for name in manifest["files"] if name.endswith("trial.json")).rpartition("/")[0]
    more = {f"{trial}/{n}.png": {"sha256": "0" * 64, "size": layout.OTHER_BYTES} for n in range(5)}
    manifest["files"] |= more
    members[layout.MANIFEST] = json.dumps(manifest).encode()


def swollen(members: dict[str, bytes]) -> None:
    """Far more zeros in a file than the bundle says."""
    members[next(name for name in members if name.endswith("main.csv"))] = bytes(2**26)


def pickled(members: dict[str, bytes]) -> None:
    out = io.BytesIO()
    np.savez(out, epochs=np.array([{"run": "this"}], dtype=object))
    members[next(name for name in members if name.endswith("spectra.npz"))] = out.getvalue()


def nested(members: dict[str, bytes]) -> None:
    members[next(name for name in members if name.endswith("trial.json"))] = b"[" * 200_000


def of_a_trial(name: str, **changes: Any) -> Callable[[dict[str, bytes]], None]:
    """Change a JSON file of one trial."""

    def change(members: dict[str, bytes]) -> None:
        path = next(one for one in members if one.endswith(name))
        members[path] = json.dumps(json.loads(members[path]) | changes).encode()

    return change


def arrays(**made: Any) -> Callable[[dict[str, bytes]], None]:
    """Give a trial these arrays."""

    def change(members: dict[str, bytes]) -> None:
        out = io.BytesIO()
        np.savez(out, **made)
        members[next(one for one in members if one.endswith("spectra.npz"))] = out.getvalue()

    return change


EPOCHS = np.array([0, 1])
FORGED = [
    of_a_trial("trial.json", spent_s=1e308),
    of_a_trial("trial.json", spent_s=-5),
    of_a_trial("provenance.json", code_version=[1]),
    of_a_trial("provenance.json", packages="all"),
    arrays(epochs=EPOCHS, F=np.ones((1, 3))),
    arrays(epochs=EPOCHS, F=np.array(1.0)),
    arrays(epochs=EPOCHS, F=np.array([["a"], ["b"]])),
    arrays(epochs=np.array([[0, 1]]), F=np.ones((2, 3))),
    arrays(epochs=np.array([np.inf, 1.0]), F=np.ones((2, 3))),
    arrays(epochs=EPOCHS, **{"metric/loss": np.array([1.0, 2.0])}),
    arrays(epochs=EPOCHS, **{"metric/loss": np.array([[0, np.nan]])}),
]


@pytest.mark.parametrize("change", FORGED, ids=range(len(FORGED)))
def test_files_of_a_trial_that_were_made_up_are_one_line(
    bundle: Bundle, change: Callable[[dict[str, bytes]], None]
) -> None:
    with pytest.raises(UsageError) as error:
        checked(Bundle(rewritten(bundle, change, sums=True)))
    assert "it was changed" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "sums", "told"),
    [
        (cut, False, "is damaged: its digest is another"),
        (swap, True, "is of another trial than its name says"),
        (relabel, True, "is of another trial than its name says"),
        (later, False, "is a bundle of version 2, this orch reads up to 1; upgrade it"),
        (outside, False, "orch-bundle.json: files"),
        (edited, False, "is damaged: its digest is another"),
        (zeros, True, "bytes of arrays, more than"),
        (
            sized("main.csv", 10 * 2**30),
            False,
            "main.csv has 10737418240 bytes, more than 268435456; no such",
        ),
        (
            sized("spectra.npz", 2**28 + 1),
            False,
            "spectra.npz has 268435457 bytes, more than 268435456; no such",
        ),
        (many, False, " bytes, more than 1073741824; no such bundle is read"),
        (swollen, False, "main.csv is damaged: its digest is another"),
        (pickled, True, "holds no curves"),
        (nested, True, "is no JSON"),
        (lambda members: members.clear(), False, "it is no bundle, or was cut off"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_of_a_damaged_or_forged_bundle_nothing_is_told_to_a_store(
    bundle: Bundle, change: Callable[[dict[str, bytes]], None], *, sums: bool, told: str
) -> None:
    path, store = rewritten(bundle, change, sums=sums), MemoryStore()
    with pytest.raises(UsageError) as error:
        merged_into(Bundle(path), store)
    assert told in str(error.value)
    assert "\n" not in str(error.value)
    assert store.sweeps == {}


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_bundle_that_was_cut_off_is_one_line(bundle: Bundle, part: float) -> None:
    content = bundle.path.read_bytes()
    path = bundle.path.with_name("cut.orch.zip")
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(UsageError, match=r"or was cut off; copy it again"):
        Bundle(path)


@pytest.mark.parametrize("version", [0, -5, 1.5, "1", None, True])
def test_a_bundle_that_tells_no_version_is_one_line(bundle: Bundle, version: object) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["orch-bundle.json"] = json.dumps(
            json.loads(members["orch-bundle.json"]) | {"bundle": version}
        ).encode()

    with pytest.raises(UsageError, match="tells no version of bundles in its orch-bundle") as error:
        Bundle(rewritten(bundle, change, sums=False))
    assert "\n" not in str(error.value)


def test_what_is_no_regular_file_is_no_bundle_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.orch.zip")
    with pytest.raises(UsageError, match="is no regular file; copy it into one"):
        Bundle(tmp_path / "pipe.orch.zip")


def test_a_bundle_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file; `orch export` makes one"):
        Bundle(tmp_path / "none.orch.zip")


def test_a_bundle_reads_no_other_file(tmp_path: Path, whole: Expansion) -> None:
    (tmp_path / "outside.yaml").write_text(table_yaml())
    text = "version: 1\nextends: ../../../../outside.yaml\nname: tiny\n"
    path = exported(tmp_path / "leaves.orch.zip", filled(whole), whole, text).path
    with pytest.raises(SpecError, match="a bundle's sweep extends no file"):
        read_sweep(path)


def test_a_sweep_goes_into_a_bundle_as_one_file_that_asks_for_the_same_trials(tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text(table_yaml())
    (tmp_path / "child.yaml").write_text("version: 1\nextends: parent.yaml\nname: child\nseeds: 3\n")
    for file in (tmp_path / "child.yaml", Path("orch:smoke")):
        spec = load_sweep(file)
        texts, name, _ = whole_sources(spec, file, trust=False)
        alone = load(name, lambda asked, child, texts=texts: (asked, texts[asked].decode()))
        assert b"extends" not in texts[name]
        assert [t.id for t in expand(alone).trials] == [t.id for t in expand(spec).trials]
        assert alone.tables == spec.tables and alone.figures == spec.figures
    built, name, _ = whole_sources(spec, None, trust=False)
    assert list(built) == [name] == ["smoke.orch.yaml"]


def test_a_sweep_that_is_written_down_says_what_its_tables_show_also_where_that_is_the_default() -> None:
    texts, name, _ = whole_sources(expansion().spec, None, trust=False)
    (table,) = parse(texts[name].decode(), name)["tables"]
    assert (table["metric"], table["digits"]) == ("probe/top1", 1)


def test_a_sweep_goes_into_a_bundle_with_those_from_whose_encoders_it_starts(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml(TINY))
    (tmp_path / "after.yaml").write_text(yaml(AFTER))
    spec = load_sweep(tmp_path / "after.yaml")
    texts, name, _ = whole_sources(spec, tmp_path / "after.yaml", trust=False)
    assert {"tiny.yaml", "after.yaml", name} <= set(texts)
    ids = [trial.id for trial in expand(spec).trials]
    alone = load(name, lambda asked, child: (asked, {name: texts[name]}[asked].decode()))
    assert [trial.id for trial in expand(alone).trials] == ids
    swept = writing.Exported("after", expand(spec), filled(expand(spec)), texts, name, {})
    writing.write(tmp_path / "one.orch.zip", [swept], HERE, say=lambda line: None)
    (tmp_path / "tiny.yaml").unlink()
    assert [trial.id for trial in expand(read_sweep(tmp_path / "one.orch.zip")[0]).trials] == ids


def test_what_would_not_be_read_is_not_written(
    tmp_path: Path, whole: Expansion, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(whole)
    for limit, most, says in (
        ("OTHER_BYTES", 1000, r"tables/tiny/main.csv has \d+ bytes, more than 1000"),
        ("ARRAYS_BYTES", 100, r"spectra.npz has \d+ bytes of arrays, more than 100"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(layout, limit, most)
            with pytest.raises(UsageError, match=says):
                exported(tmp_path / "tiny.orch.zip", store, whole)
        assert list(tmp_path.iterdir()) == []
    exported(tmp_path / "tiny.orch.zip", store, whole)


def test_code_of_a_sweep_that_is_started_from_does_not_run_either(tmp_path: Path, whole: Expansion) -> None:
    text = (
        yaml(AFTER)
        + "parents: {tiny.yaml: {version: 1, name: x, plugins: [./evil.py], base: {trainer: ssl}}}\n"
    )
    files = {"tiny.yaml": text.encode(), "evil.py": b"raise SystemExit"}
    swept = writing.Exported("tiny", whole, filled(whole), files, "tiny.yaml", {})
    writing.write(tmp_path / "code.orch.zip", [swept], HERE, say=lambda line: None)
    with pytest.raises(UsageError, match="has plug-ins, which are code"):
        read_sweep(tmp_path / "code.orch.zip")


def test_the_code_of_a_bundle_does_not_run(tmp_path: Path, whole: Expansion) -> None:
    text = table_yaml().replace("name: tiny", "name: tiny\nplugins: [./evil.py]", 1)
    swept = writing.Exported(
        "tiny",
        whole,
        filled(whole),
        {"tiny.yaml": text.encode(), "evil.py": b"raise SystemExit"},
        "tiny.yaml",
        {},
    )
    path = tmp_path / "code.orch.zip"
    writing.write(path, [swept], HERE, say=lambda line: None)
    with pytest.raises(UsageError, match="has plug-ins, which are code"):
        read_sweep(path)


def test_a_bundle_of_several_sweeps_asks_which(tmp_path: Path, whole: Expansion) -> None:
    path = tmp_path / "both.orch.zip"
    files = {"tiny.yaml": table_yaml().encode()}
    both = [writing.Exported(key, whole, filled(whole), files, "tiny.yaml", {}) for key in ("one", "two")]
    assert writing.write(path, both, HERE, say=lambda line: None) == (8, 8)
    with pytest.raises(UsageError, match=r"has 2 sweeps; name one of .*/one, .*/two"):
        read_sweep(path)
    assert read_sweep(path / "two")[0].name == "tiny"
    assert each([path, Path("a.yaml")]) == [path / "one", path / "two", Path("a.yaml")]
    with pytest.raises(UsageError, match="has no sweep 'three'"):
        read_sweep(path / "three")


@pytest.mark.parametrize("name", ["results.zip", "none/x.orch.zip", "there.orch.zip"])
def test_no_bundle_is_written_where_none_can_be(tmp_path: Path, whole: Expansion, name: str) -> None:
    (tmp_path / "there.orch.zip").write_bytes(b"mine")
    with pytest.raises(UsageError):
        exported(tmp_path / name, filled(whole), whole)
    assert (tmp_path / "there.orch.zip").read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["there.orch.zip"]


def test_what_a_bundle_says_of_its_sweeps_fits_a_sweep_file(bundle: Bundle) -> None:
    for field, value in (("profile", "../x\x1b[31m"), ("name", ""), ("seeds", [-1]), ("seeds", [])):

        def change(members: dict[str, bytes], field: str = field, value: object = value) -> None:
            manifest = json.loads(members[layout.MANIFEST])
            manifest["sweeps"]["tiny"][field] = value
            members[layout.MANIFEST] = json.dumps(manifest).encode()

        with pytest.raises(UsageError, match=f"sweeps.tiny.{field}"):
            Bundle(rewritten(bundle, change, sums=False))


def test_mlflow_shows_no_bundle(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="`orch report` makes a page of it"):
        serve(workspace(None, str(bundle.path), None), port=5999, say=lambda line: None)


def test_nobody_trains_into_a_bundle(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=r"a bundle is only read; `orch import"):
        workspace(None, str(bundle.path), None).open_journaled()
    with pytest.raises(UsageError, match="a bundle is only read"):
        BundleStore(bundle).adopt({}, SweepInfo(name="tiny", profile=None, provenance=HERE))


def test_a_bundle_that_has_every_result_is_swept_as_a_store_is_and_no_other_is(bundle: Bundle) -> None:
    place, name = Place(bundle.path.parent), bundle.path.name
    before = sorted(place.folder.iterdir())
    swept = place.orch("sweep", name)
    assert swept.stdout == place.orch("table", name).stdout
    assert "nothing to do: all 8 trials" in swept.stderr and "a bundle is only read" in swept.stderr
    refused = place.orch("sweep", name, "--seeds", "3", code=2).stderr
    assert refused.splitlines()[-1].startswith("orch: ") and "a bundle is only read; `orch import" in refused
    assert sorted(place.folder.iterdir()) == before


def test_a_bundle_is_whole_on_a_disk_that_knows_no_links(
    tmp_path: Path, bundle: Bundle, whole: Expansion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*args: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(writing.os, "link", no_links)
    again = exported(tmp_path / "again.orch.zip", filled(whole), whole)
    assert again.path.read_bytes() == bundle.path.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.orch.zip", "tiny.orch.zip"]


def test_a_bundle_is_validated_as_the_sweeps_in_it_and_is_not_submitted(bundle: Bundle) -> None:
    place = Place(bundle.path.parent)
    name = bundle.path.name
    assert place.orch("validate", name).stdout == f"{name}/tiny: ok, 4 cells × 2 seeds = 8 trials\n"
    told = place.orch("submit", name, "--address", "http://127.0.0.1:9", code=2).stderr
    assert f"{name}: a bundle is only read; `orch import {name}` puts its results into a store" in told


def test_a_bundle_without_a_sweep_is_one_line(bundle: Bundle) -> None:
    def empty(members: dict[str, bytes]) -> None:
        manifest = json.loads(members[layout.MANIFEST])
        members[layout.MANIFEST] = json.dumps(manifest | {"sweeps": {}}).encode()

    path = rewritten(bundle, empty, sums=False)
    for command in ("export", "report", "status"):
        told = Place(path.parent).orch(command, path.name, code=2).stderr
        assert told == f"orch: {path.name}: has 0 sweeps; name one of none\n"


def test_a_file_that_does_not_unpack_is_damaged_and_not_missing(bundle: Bundle) -> None:
    name = next(one for one in bundle.manifest.files if one.endswith("trial.json"))
    content = bytearray(bundle.path.read_bytes())
    with zipfile.ZipFile(bundle.path) as file:
        start = file.getinfo(name).header_offset + 30 + len(name) + len(file.getinfo(name).extra)
    content[start : start + 4] = b"\xff\xff\xff\xff"
    bundle.path.write_bytes(content)
    with pytest.raises(UsageError, match=r"trial\.json is damaged: it does not unpack"):
        Bundle(bundle.path).read(name)


def test_places_in_a_bundle_with_profiles_are_named_by_the_bundle(tmp_path: Path) -> None:
    text = table_yaml().replace("axes:", "profiles:\n  tiny: {epochs: 1}\naxes:", 1)
    asked = expansion(text, profile="tiny")
    made = exported(tmp_path / "tiny.orch.zip", filled(asked), asked, text)
    (key,) = made.manifest.sweeps
    places = {place_in(level.settings) for level in made.spec(key).axes["ema"].levels}
    assert {place.rpartition(":")[0] for place in places if place} == {f"{made.path}/{key}"}


@pytest.mark.parametrize("numbers_only", [False, True])
def test_curves_that_cannot_be_read_are_one_line_where_a_bundle_is_made(
    tmp_path: Path, whole: Expansion, numbers_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, damaged = filled(whole), {"spectra.npz": b"no zip"}
    whole_files = store.files
    monkeypatch.setattr(
        store, "files", lambda *asked: {one: files | damaged for one, files in whole_files(*asked).items()}
    )
    with pytest.raises(UsageError, match=r"spectra\.npz holds no curves"):
        exported(tmp_path / "tiny.orch.zip", store, whole, numbers_only=numbers_only)
    assert not [*tmp_path.iterdir()]
