"""The laws of a store, over each that ships."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.errors import StoreAway, StoreError
from orchestrator.recording import stores
from orchestrator.recording.journal.finished import FinishedTrials
from orchestrator.recording.journal.store import JournaledStore
from orchestrator.recording.memory import MemoryStore
from orchestrator.recording.store_port import Store
from orchestrator.recording.stores.base import StoreAddress
from orchestrator.records import Provenance, SweepInfo
from tests.builders import INFO, outcome, report, trials
from trainers.attempt.folders import files
from trainers.attempt.report import EpochReport, Outcome

OTHER = SweepInfo(name="other", profile=None, provenance=Provenance(code_version="abc123"))
Open = Callable[[], Store]


ADDRESSES: dict[str, Callable[[Path], str]] = {
    "bundle": lambda folder: f"{folder}/results.orch.zip",
    "memory": lambda folder: f"memory:{folder}",
    "sqlite": lambda folder: f"sqlite:///{folder}/mlflow.db",
    "tracking": lambda folder: f"file://{folder}/mlruns",  # MLflow's own kind that needs no server
}
"""A store of each kind that ships, alone below a folder; a new kind needs one."""


def store_at(kind: str, folder: Path) -> StoreAddress:
    return stores.at(ADDRESSES[kind](folder), "--tracking-uri", home=folder)


WRITTEN = [kind for kind in stores.names() if store_at(kind, Path("/nowhere")).only_read is None]


@pytest.fixture(params=[*WRITTEN, "journaled", "away"])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Opens the store anew on the same data, as a second command would."""
    if request.param in ("journaled", "away"):
        monkeypatch.setattr("orchestrator.recording.journal.delivery.AWAY_S", 0.2)
        yield from journaled(tmp_path, away=request.param == "away")
        return
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    if (file := store_at(request.param, tmp_path).file) is not None:
        shutil.copy(request.getfixturevalue("database"), file)  # making one takes seconds
    yield store_at(request.param, tmp_path).to_write


def journaled(folder: Path, *, away: bool) -> Iterator[Open]:
    """A journal before a store in memory, or before one that never answers."""
    behind, made = MemoryStore(), []

    def connect() -> Store:
        if away:
            raise StoreAway("the tracker does not answer")
        return behind

    def opened() -> Store:
        known = FinishedTrials(folder, store="test") if away else None
        made.append(JournaledStore(connect, root=folder, name="test", known=known))
        return made[-1]

    yield opened
    for store in made:
        store.close()


pytestmark = pytest.mark.filterwarnings("default")  # MLflow and SQLAlchemy warn about themselves


def full_report(epoch: int) -> EpochReport:
    arrays = {"F": np.arange(4.0) + epoch, "Wp": np.ones(4), "alignment": np.zeros(4)}
    return EpochReport(epoch=epoch, epochs=2, metrics={"train/loss": -1.0 * epoch}, arrays=arrays)


def finish_one(store: Store, sweep: SweepInfo = INFO) -> str:
    trial = trials(1)[0]
    store.begin(trial.facts, sweep)
    for epoch in range(3):
        store.report(trial.id, full_report(epoch))
    store.finish(
        trial.id, outcome(0.75, details={"data_fingerprint": "d", "streams_fingerprint": "s"}), sweep
    )
    store.flush()
    return trial.id


def test_an_empty_store_knows_nothing(open_store: Open, request: pytest.FixtureRequest) -> None:
    assert open_store().records(["0" * 12]) == {}
    if "away" in request.node.name:  # what cannot be asked is not taken for nothing
        with pytest.raises(StoreAway):
            open_store().curves(["0" * 12])
    else:
        assert open_store().curves(["0" * 12]) == {}


def test_what_was_finished_is_read_back(open_store: Open) -> None:
    identity = finish_one(open_store())
    record = open_store().records([identity])[identity]
    assert (record.status, record.metrics["probe/top1"], record.is_done) == ("completed", 0.75, True)
    facts = (record.code_version, record.data_fingerprint, record.streams_fingerprint)
    assert facts == ("abc123", "d", "s")


def test_digests_of_many_files_are_read_back_and_forgotten_with_the_end_that_told_them(
    open_store: Open,
) -> None:
    trial, store = trials(1)[0], open_store()
    source = {f"file {n} of many that the command needs.py": f"{n:08x}" for n in range(200)}
    for told in (source, {"trainers": "0" * 8}):
        store.begin(trial.facts, INFO)
        store.finish(trial.id, outcome(status="failed", details={"source": told}), INFO)
        store.flush()
        assert open_store().records([trial.id])[trial.id].source == told


def test_curves_and_spectra_are_read_back_to_the_last_bit(open_store: Open) -> None:
    identity = finish_one(open_store())
    curves = open_store().curves([identity])[identity]
    assert curves.metrics["train/loss"] == ((0, 0.0), (1, -1.0), (2, -2.0))
    assert curves.spectra_epochs == (0, 1, 2)
    np.testing.assert_array_equal(curves.spectra["F"], [np.arange(4.0) + e for e in range(3)])


def test_a_begun_trial_is_running_and_has_no_final_numbers(open_store: Open) -> None:
    store, trial = open_store(), trials(1)[0]
    store.begin(trial.facts, INFO)
    store.report(trial.id, report(0, **{"probe/top1": 0.9}))
    store.flush()
    record = open_store().records([trial.id])[trial.id]
    assert (record.status, record.metrics, record.is_done) == ("running", {}, False)


@pytest.mark.parametrize("status", ["collapsed", "diverged", "failed", "stopped", "pruned"])
def test_the_reason_of_an_end_is_kept(open_store: Open, status: str) -> None:
    store, trial = open_store(), trials(1)[0]
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(status=status, reason="because"), INFO)
    record = open_store().records([trial.id])[trial.id]
    assert (record.status, record.reason) == (status, "because")


def test_a_trial_taken_up_again_is_the_same_run(open_store: Open) -> None:
    trial = trials(1)[0]
    first, second = open_store(), None
    first.begin(trial.facts, INFO)
    first.flush()
    before = first.records([trial.id])[trial.id].run
    second = open_store()
    second.begin(trial.facts, INFO)
    second.finish(trial.id, outcome(0.6), INFO)
    second.flush()
    after = open_store().records([trial.id])[trial.id]
    assert (after.run, after.status, after.metrics["probe/top1"]) == (before, "completed", 0.6)


def test_an_attempt_that_was_stopped_before_it_told_an_epoch_takes_no_curve_away(open_store: Open) -> None:
    trial = trials(1)[0]
    for epochs in (2, 0):
        store = open_store()
        store.begin(trial.facts, INFO)
        for epoch in range(epochs):
            store.report(trial.id, full_report(epoch))
        store.finish(trial.id, outcome(status="stopped"), INFO)
        store.flush()
    curves = open_store().curves([trial.id])[trial.id]
    assert curves.metrics["train/loss"] == ((0, 0.0), (1, -1.0)) and curves.spectra_epochs == (0, 1)


def test_a_number_that_is_not_defined_at_the_end_is_of_the_curve_and_not_of_the_result(
    open_store: Open,
) -> None:
    store, trial = open_store(), trials(1)[0]
    store.begin(trial.facts, INFO)
    store.report(trial.id, report(0, **{"balance/residual": 0.1, "modes/alive": 3.0}))
    store.report(trial.id, report(1, **{"modes/alive": 0.0}))
    store.finish(trial.id, Outcome(status="completed", metrics={"modes/alive": 0.0}), INFO)
    store.flush()
    assert open_store().records([trial.id])[trial.id].metrics == {"modes/alive": 0.0}
    assert open_store().curves([trial.id])[trial.id].metrics["balance/residual"] == ((0, 0.1),)


def test_a_trial_of_one_sweep_is_found_by_another(open_store: Open) -> None:
    identity = finish_one(open_store())
    store = open_store()
    for _ in range(2):
        store.adopt({identity: trials(1)[0].label}, OTHER)
    assert set(open_store().asked_for("other")) == set(open_store().asked_for("tiny")) == {identity}
    assert store.records([identity])[identity].is_done


def test_many_ids_are_found_as_surely_as_few(open_store: Open) -> None:
    identity = finish_one(open_store())
    strangers = [f"{number:012x}" for number in range(400)]
    assert set(open_store().records([identity, *strangers])) == {identity}


def test_publishing_twice_keeps_the_newest_content(open_store: Open) -> None:
    store = open_store()
    assert store.published(INFO) is None
    store.publish(INFO, {"main.md": b"old"}, content="a")
    open_store().publish(INFO, {"main.md": b"new"}, content="b")
    assert open_store().published(INFO) == "b"


@pytest.mark.parametrize("profile", ["bob's", "a\\b", None])
def test_a_profile_of_any_name_has_a_summary_of_its_own(open_store: Open, profile: str | None) -> None:
    info = INFO.model_copy(update={"profile": profile})
    open_store().publish(info, {"main.md": b"x"}, content="theirs")
    assert open_store().published(info) == "theirs"
    assert open_store().published(INFO.model_copy(update={"profile": "other"})) is None


def test_what_an_earlier_end_said_is_forgotten_when_a_trial_goes_on(open_store: Open) -> None:
    store, trial = open_store(), trials(1)[0]
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(status="stopped", reason="the sweep was stopped"), INFO)
    store = open_store()
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(0.6), INFO)
    record = open_store().records([trial.id])[trial.id]
    assert (record.status, record.reason) == ("completed", None)


def test_a_result_that_comes_late_over_a_failure_has_nothing_of_it(open_store: Open) -> None:
    store, trial = open_store(), trials(1)[0]
    store.begin(trial.facts, INFO, attempt="2")
    store.finish(trial.id, Outcome(status="failed", reason="KeyError", error="code"), INFO)
    store.flush()
    store = open_store()
    store.begin(trial.facts, INFO, attempt="1")
    store.finish(trial.id, outcome(0.6), INFO)
    record = open_store().records([trial.id])[trial.id]
    assert (record.status, record.reason, record.error) == ("completed", None, None)


def test_an_attempt_that_came_further_leaves_no_number_in_the_result(open_store: Open) -> None:
    trial = trials(1)[0]
    died = open_store()
    died.begin(trial.facts, INFO, attempt="1")
    for epoch in range(4):
        died.report(trial.id, report(epoch, **{"probe/top1": 0.3, "theirs": 9.0}))
    died.flush()
    store = open_store()
    store.begin(trial.facts, INFO, attempt="2")
    store.report(trial.id, report(0, **{"probe/top1": 0.1}))
    store.finish(trial.id, outcome(0.8), INFO)
    store.flush()
    metrics = open_store().records([trial.id])[trial.id].metrics
    assert metrics["probe/top1"] == 0.8 and "theirs" not in metrics


@pytest.mark.parametrize("status", ["diverged", "failed"])
def test_a_trial_without_an_end_has_no_final_numbers_whatever_it_reported(
    open_store: Open, status: str
) -> None:
    store, trial = open_store(), trials(1)[0]
    store.begin(trial.facts, INFO)
    store.report(trial.id, report(0, **{"embedding/rankme": 7.0}))
    store.finish(trial.id, Outcome(status=status, reason="loss nan at step 3"), INFO)  # type: ignore[arg-type]
    assert open_store().records([trial.id])[trial.id].metrics == {}
    assert open_store().curves([trial.id])[trial.id].metrics["embedding/rankme"] == ((0, 7.0),)


def test_a_trial_is_not_done_before_its_files_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    from orchestrator.recording.mlflow.store import MlflowStore

    uri, trial = f"sqlite:///{tmp_path / 'mlflow.db'}", trials(1)[0]
    store = MlflowStore(uri, artifacts=tmp_path / "artifacts")
    store.begin(trial.facts, INFO)
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.store.artifact.local_artifact_repo.LocalArtifactRepository.log_artifacts", full)
        with pytest.raises(StoreError, match="the disk is full"):
            store.finish(trial.id, outcome(0.6), INFO)
    again = MlflowStore(uri, artifacts=tmp_path / "artifacts")
    assert not again.records([trial.id])[trial.id].is_done
    again.begin(trial.facts, INFO)
    again.finish(trial.id, outcome(0.6), INFO)
    assert again.records([trial.id])[trial.id].is_done


def test_an_interrupted_trial_can_report_its_epochs_again(open_store: Open) -> None:
    store, trial = open_store(), trials(1)[0]
    store.begin(trial.facts, INFO)
    store.report(trial.id, full_report(0))
    store.flush()
    identity = finish_one(open_store())
    assert identity == trial.id
    curves = open_store().curves([identity])[identity]
    assert [epoch for epoch, _ in curves.metrics["train/loss"]] == [0, 1, 2]


def test_attempts_are_counted_and_the_worker_is_the_last_ones(open_store: Open) -> None:
    store, trial = open_store(), trials(1)[0]
    for worker in ("node1:7", "node2:9"):
        store.begin(trial.facts, INFO, worker=worker)
    store.finish(trial.id, Outcome(status="failed", reason="ValueError: no"), INFO)
    found = open_store().records([trial.id])[trial.id]
    assert (found.attempts, found.worker, found.status) == (2, "node2:9", "failed")


def test_a_trial_that_was_set_aside_is_unknown_and_can_be_trained_anew(
    open_store: Open, request: pytest.FixtureRequest
) -> None:
    first = open_store()
    identity = finish_one(first)
    run = open_store().records([identity])[identity].run
    if "away" in request.node.name:  # it must be done before the trial begins again
        with pytest.raises(StoreAway):
            open_store().set_aside([identity])
        return
    open_store().set_aside([identity])
    for store in (first, open_store()):  # also one that knows the run's name
        assert store.records([identity]) == {} and store.asked_for(INFO.name) == {}
    assert finish_one(open_store()) == identity
    record = open_store().records([identity])[identity]
    assert record.is_done and (record.attempts, record.run != run or run == identity) == (1, True)


def test_a_trial_that_begins_instead_of_a_run_replaces_that_run_once_and_no_other(open_store: Open) -> None:
    store, trial = open_store(), trials(1)[0]
    finish_one(store)
    old = open_store().records([trial.id])[trial.id]
    for _ in range(2):  # told twice it counts once
        store.begin(trial.facts, INFO, attempt="9", instead_of=old.run or "")
        store.report(trial.id, full_report(0))
        store.flush()
        found = open_store().records([trial.id])[trial.id]
        assert (found.status, found.attempts, found.metrics) == ("running", 1, {})
    store.finish(trial.id, outcome(0.25), INFO)
    store.flush()
    if old.run is not None:  # as in a store that is away
        store.begin(trial.facts, INFO, attempt="99", instead_of=old.run)  # not its run any more
        store.flush()
    found = open_store().records([trial.id])[trial.id]
    assert (found.status, found.attempts, found.metrics) == ("completed", 1, {"probe/top1": 0.25})
    assert open_store().curves([trial.id])[trial.id].spectra_epochs == (0,)


def test_a_trial_that_begins_instead_of_whichever_run_replaces_one_of_earlier_attempts(
    open_store: Open,
) -> None:
    store, trial = open_store(), trials(1)[0]
    for attempt, value in (("3", 0.25), ("5", 0.75), ("4", 0.5)):  # the last is told late
        store.begin(trial.facts, INFO, attempt=attempt, instead_of="")
        store.finish(trial.id, outcome(value), INFO)
        store.flush()
    assert open_store().records([trial.id])[trial.id].metrics == {"probe/top1": 0.75}


def test_what_a_sweep_has_ever_asked_for_is_known_by_its_name(open_store: Open) -> None:
    store, (first, second) = open_store(), trials(2)
    store.begin(first.facts, INFO)
    store.begin(second.facts, OTHER)
    store.adopt({second.id: second.label}, INFO)
    store.flush()
    assert open_store().asked_for("tiny") == {first.id: first.label, second.id: second.label}
    assert open_store().asked_for("other") == {second.id: second.label}
    assert open_store().asked_for("nobody") == {}


def test_a_trial_is_found_on_a_server_with_more_experiments_than_a_page_holds(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    from orchestrator.recording.mlflow.store import MlflowStore

    shutil.copy(database, tmp_path)
    uri, trial = f"sqlite:///{tmp_path / 'mlflow.db'}", trials(1)[0]
    store = MlflowStore(uri, artifacts=tmp_path)
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(), INFO)
    client = MlflowClient(tracking_uri=uri)
    for number in range(4):
        client.create_experiment(f"later {number}")
    whole = MlflowClient.search_experiments
    small = lambda self, **named: whole(self, **named | {"max_results": 2})  # noqa: E731
    monkeypatch.setattr(MlflowClient, "search_experiments", small)
    assert MlflowStore(uri).records([trial.id])[trial.id].is_done
    store.begin(trial.facts, INFO)
    monkeypatch.undo()
    every = [e.experiment_id for e in client.search_experiments()]
    assert len(client.search_runs(every, "tags.`orch.kind` = 'trial'")) == 1


@pytest.mark.parametrize("damage", ["status", "spectra"])
def test_a_run_that_cannot_be_read_is_named_in_one_line(database: Path, tmp_path: Path, damage: str) -> None:
    from mlflow import MlflowClient

    from orchestrator.recording.mlflow.store import MlflowStore

    shutil.copy(database, tmp_path)
    uri, trial = f"sqlite:///{tmp_path / 'mlflow.db'}", trials(1)[0]
    store = MlflowStore(uri, artifacts=tmp_path)
    store.begin(trial.facts, INFO)
    store.report(trial.id, report(1))
    store.finish(trial.id, outcome(), INFO)
    run = store.records([trial.id])[trial.id].run
    if damage == "status":
        MlflowClient(tracking_uri=uri).set_tag(str(run), "orch.status", "marvellous")
        read: Callable[[], Any] = lambda: store.records([trial.id])  # noqa: E731
    else:
        (path,) = tmp_path.rglob("spectra.npz")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        read = lambda: store.curves([trial.id])  # noqa: E731
    with pytest.raises(StoreError, match=f"run {run}.* cannot be read") as raised:
        read()
    assert "\n" not in str(raised.value)


def test_an_address_whose_driver_is_not_installed_is_one_line() -> None:
    from orchestrator.recording.mlflow.store import MlflowStore

    with pytest.raises(StoreError, match=r"No module named .*; install what this kind of address needs"):
        MlflowStore("mysql+cymysql://me:secret@127.0.0.1/x")


def test_an_encoder_that_was_left_is_read_back_and_no_other_file(open_store: Open, tmp_path: Path) -> None:
    store, content = open_store(), b"weights"
    identity = finish_one(store)
    folder, digest = tmp_path / "left", hashlib.sha256(content).hexdigest()
    files(folder).write("encoder.safetensors", io.BytesIO(content))
    store.keep_encoder(identity, folder, digest)
    store.flush()
    assert open_store().encoder(identity) == content
    assert open_store().records([identity])[identity].encoder in (digest, None)  # None: told, not arrived
    assert "encoder.safetensors" not in open_store().files([identity]).get(identity, {})


def test_an_encoder_of_another_result_than_the_store_has_takes_the_place_of_none(
    open_store: Open, tmp_path: Path
) -> None:
    trial, store, content = trials(1)[0], open_store(), b"weights"
    digests = [hashlib.sha256(one).hexdigest() for one in (content, b"others'")]
    store.begin(trial.facts, INFO)
    store.finish(trial.id, outcome(details={"encoder": {"sha256": digests[0]}}), INFO)
    for one, digest in zip((content, b"others'"), digests, strict=True):
        files(tmp_path / digest).write("encoder.safetensors", io.BytesIO(one))
        store.keep_encoder(trial.id, tmp_path / digest, digest)
    store.flush()
    assert open_store().encoder(trial.id) == content
    assert open_store().records([trial.id])[trial.id].encoder == digests[0]


def test_files_of_some_names_are_read_without_the_others(open_store: Open) -> None:
    identity = finish_one(open_store())
    every = open_store().files([identity])[identity]
    some = open_store().files([identity], ["provenance.json", "nowhere.txt"])
    assert some == {identity: {"provenance.json": every["provenance.json"]}} and len(every) > 1
