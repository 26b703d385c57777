"""The laws of checkpoints, over each kind of folder that they may lie in."""

from __future__ import annotations

import errno
import io
import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.marks import but_first_slow
from tests.proxy import LOOPBACK, Fault, Proxy
from tests.storage import Storage, settings
from tests.trainers.builders import (
    RUNTIME,
    Interrupted,
    config,
    fit,
    interrupt,
    newest,
    save,
    timeless,
    trained_digest,
)
from trainers.attempt import checkpoint, folders
from trainers.attempt.folders import Folder, S3Folder, StorageError, files, unusable
from trainers.attempt.isolation import discard_checkpoints, run_trial
from trainers.attempt.report import Outcome
from trainers.loops import ssl


@pytest.fixture(params=["disk", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A folder of checkpoints in which nothing is."""
    chosen: Folder = tmp_path / "trials" if request.param == "disk" else request.getfixturevalue("s3")
    return chosen / "6a6c09c1eb2e"


def names(folder: Folder) -> list[str]:
    return sorted(files(folder).names())


def put(folder: Folder, name: str, content: bytes) -> None:
    files(folder).write(name, io.BytesIO(content))


# Of both kinds


@pytest.mark.parametrize("epoch", but_first_slow([2, 0, 3]))
def test_an_interrupted_trial_equals_an_uninterrupted_one_bit_for_bit(
    folder: Folder, epoch: int, tmp_path: Path
) -> None:
    whole = fit(config(), tmp_path / "whole")
    interrupt(folder, epoch=epoch)
    resumed = fit(config(), folder)
    assert resumed.details.get("resumed_at_epoch") == (epoch or None)
    assert timeless(resumed.metrics) == timeless(whole.metrics)
    assert trained_digest(folder) == trained_digest(tmp_path / "whole")


def test_the_last_two_are_kept_and_nothing_else(folder: Folder) -> None:
    save(folder, 1, 2, 9, 10)
    assert names(folder) == ["epoch-000009.pt", "epoch-000010.pt"] and newest(folder) == 10


@pytest.mark.slow
def test_a_truncated_newest_checkpoint_is_passed_over_with_a_warning(folder: Folder) -> None:
    interrupt(folder, epoch=2)
    put(folder, "epoch-000002.pt", files(folder).read("epoch-000002.pt")[:1000])
    resumed = fit(config(), folder)
    assert resumed.details["resumed_at_epoch"] == 1
    assert [line.split(" (")[0] for line in resumed.details["warnings"]] == [
        "checkpoint epoch-000002.pt is unreadable"
    ]
    assert timeless(resumed.metrics) == timeless(fit(config()).metrics)


def test_a_checkpoint_of_an_older_version_has_no_checksum_and_is_used(folder: Folder) -> None:
    content = io.BytesIO()
    torch.save({"epoch": 4}, content)
    put(folder, "epoch-000004.pt", content.getvalue())
    assert newest(folder) == 4


def test_a_checkpoint_is_a_file_that_torch_itself_reads(folder: Folder) -> None:
    save(folder, 3)
    state = torch.load(io.BytesIO(files(folder).read("epoch-000003.pt")), weights_only=True)
    assert state["epoch"] == 3


def test_a_process_that_is_out_of_memory_does_not_take_a_checkpoint_for_a_bad_one(folder: Folder) -> None:
    save(folder, 1, 2)

    def full(state: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        checkpoint.load(folder, full)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_without_a_readable_checkpoint_a_trial_starts_anew(folder: Folder, content: bytes) -> None:
    for name in ("epoch-000001.pt", "epoch-000002.pt"):
        put(folder, name, content)
    state, warnings = checkpoint.load(folder, dict)
    assert state is None and len(warnings) == 2


def test_a_checkpoint_is_data_and_runs_no_code(folder: Folder) -> None:
    save(folder, 1)
    content = io.BytesIO()
    torch.save({"epoch": 2, "surprise": Interrupted}, content)
    put(folder, "epoch-000002.pt", content.getvalue())
    assert newest(folder) == 1


@pytest.mark.slow
def test_a_checkpoint_of_another_config_is_not_used_and_takes_no_place(folder: Folder) -> None:
    interrupt(folder, epoch=3, seed=1)
    outcome = fit(config(epochs=1), folder)
    assert "resumed_at_epoch" not in outcome.details
    assert names(folder) == ["epoch-000001.pt"]


def test_what_is_discarded_leaves_neither_its_neighbours_nor_other_files_touched(folder: Folder) -> None:
    beside = folder / "beside"
    save(folder, 1, 2)
    save(beside, 1)
    put(folder, "log.txt", b"kept")
    discard_checkpoints(folder)
    assert [name for name in names(folder) if name != "beside"] == ["log.txt"] and newest(beside) == 1


@pytest.mark.slow
def test_a_trial_that_begins_anew_forgets_what_its_node_kept_once_and_then_goes_on(folder: Folder) -> None:
    whole = fit(config())
    put(folder, checkpoint.GIVEN, b"an encoder")

    def begun(anew: str | None) -> Outcome:
        return run_trial(config(), runtime=RUNTIME, folder=folder, report=lambda _: None, anew=anew)

    interrupt(folder, epoch=2)
    first = begun("a")
    assert "resumed_at_epoch" not in first.details and timeless(first.metrics) == timeless(whole.metrics)
    assert begun("a").details["resumed_at_epoch"] == 3  # after its worker was lost
    assert "resumed_at_epoch" not in begun("b").details
    assert begun(None).details["resumed_at_epoch"] == 3
    assert checkpoint.GIVEN in names(folder)
    discard_checkpoints(folder)
    assert names(folder) == []


def test_a_folder_that_is_not_there_is_empty(folder: Folder) -> None:
    assert names(folder) == [] and newest(folder) is None
    discard_checkpoints(folder)


def test_a_folder_travels_to_other_processes(folder: Folder) -> None:
    save(folder, 1)
    assert newest(pickle.loads(pickle.dumps(folder))) == 1


def test_asking_whether_a_folder_can_be_used_leaves_nothing_in_it(folder: Folder) -> None:
    assert unusable(folder) is None and names(folder) == []


def test_another_folder_of_the_same_name_is_noticed(folder: Folder) -> None:
    with folders.marked(folder) as marker:
        assert unusable(folder, marker) is None
    assert "another storage than the driver's" in str(unusable(folder, marker))


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    assert unusable(tmp_path / "file" / "trials") == (
        f"{tmp_path}/file/trials: cannot be written (Not a directory); choose another folder"
    )


# Of a disk alone


def test_a_checkpoint_with_any_flipped_bit_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    whole = (tmp_path / "epoch-000002.pt").read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        (tmp_path / "epoch-000002.pt").write_bytes(flipped)
        state, warnings = checkpoint.load(tmp_path, dict)
        assert state is not None
        # A flip in the mark of the checksum leaves a state without one, which is whole.
        assert (state["epoch"] == 1 and len(warnings) == 1) or state["w"].tolist() == [2.0] * 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state of a trial after two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    interrupt(folder, epoch=2)
    state, _ = checkpoint.load(folder, dict)
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("misfit", "cause"),
    [
        ([1, 2], "TypeError"),
        ({}, "KeyError"),
        ({"networks": {}}, "RuntimeError: Error(s) in loading state_dict"),
        ({"correlation": torch.zeros(2, 2)}, "ValueError: F is [2, 2], expected [6, 6]"),
        ({"history": []}, "ValueError: reports are missing in it"),
        ({"config": "{}"}, "ValueError: it is another config's"),
    ],
)
def test_a_state_that_does_not_fit_is_passed_over_and_said(
    trained: dict[str, Any], misfit: Any, cause: str, tmp_path: Path
) -> None:
    checkpoint.save(tmp_path, trained, epoch=2)
    checkpoint.save(tmp_path, trained | misfit if isinstance(misfit, dict) and misfit else misfit, epoch=3)
    trial, warnings = checkpoint.load(
        tmp_path,
        lambda state: ssl.Trial(config(), ssl.load_images(config().data, RUNTIME), RUNTIME).restored(state),
    )
    assert trial is not None and len(trial.history) == 3
    assert warnings[0].startswith(f"checkpoint epoch-000003.pt does not fit this trial ({cause}")
    assert "\n" not in warnings[0] and warnings[0].endswith("; passed over")


def test_a_trial_of_which_no_checkpoint_fits_starts_as_if_there_were_none(
    trained: dict[str, Any], tmp_path: Path
) -> None:
    # The networks fit and are taken over before the optimizer turns out not to.
    checkpoint.save(tmp_path, trained | {"optimizer": {"state": {}, "param_groups": []}}, epoch=2)
    started = fit(config(), tmp_path)
    assert "resumed_at_epoch" not in started.details and len(started.details["warnings"]) == 1
    assert timeless(started.metrics) == timeless(fit(config()).metrics)


def test_a_folder_of_a_checkpoints_name_is_passed_over_and_moved_aside(tmp_path: Path) -> None:
    interrupt(tmp_path, epoch=1)
    (tmp_path / "epoch-000002.pt").mkdir()
    (tmp_path / "epoch-000002.pt" / "kept").write_text("another's")
    resumed = fit(config(), tmp_path)
    assert (resumed.status, resumed.details["resumed_at_epoch"]) == ("completed", 1)
    assert "epoch-000002.pt is unreadable (OSError: no regular file)" in resumed.details["warnings"][0]
    (aside,) = (name for name in names(tmp_path) if name.endswith(".aside"))
    assert (tmp_path / aside / "kept").read_text() == "another's"
    assert set(names(tmp_path)) == {aside, "epoch-000002.pt", "epoch-000003.pt"}


def refusing(code: int) -> Callable[..., Any]:
    def refused(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return refused


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_disk_that_does_not_give_a_file_says_nothing_of_what_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    save(tmp_path, 1, 2)
    monkeypatch.setattr(Path, "read_bytes", refusing(code))
    with pytest.raises(
        StorageError, match=rf"{tmp_path}/epoch-000002.pt: cannot be read \({os.strerror(code)}"
    ):
        newest(tmp_path)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_disk_that_does_not_say_what_is_in_a_folder_does_not_make_it_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    save(tmp_path, 1, 2)
    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refusing(code))
    with pytest.raises(StorageError, match=rf"{tmp_path}: cannot be read \({os.strerror(code)}"):
        newest(tmp_path)


def test_a_pipe_of_a_checkpoints_name_is_not_waited_for(tmp_path: Path) -> None:
    save(tmp_path, 1)
    os.mkfifo(tmp_path / "epoch-000002.pt")
    assert newest(tmp_path) == 1


def test_a_link_in_the_place_of_a_half_written_checkpoint_is_not_followed(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "trial"
    victim.write_text("precious")
    folder.mkdir()
    (folder / "epoch-000001.pt.part").symlink_to(victim)
    save(folder, 1)
    assert (victim.read_text(), newest(folder)) == ("precious", 1)


def test_a_link_planted_at_the_last_moment_fails_the_write_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "trial"
    victim.write_text("precious")
    folder.mkdir()
    monkeypatch.setattr(
        folders.DiskFolder, "remove", lambda self, name: (self.path / name).symlink_to(victim)
    )
    with pytest.raises(StorageError, match="no checkpoint written: File exists"):
        save(folder, 1)
    assert victim.read_text() == "precious"


# Of S3 alone


@pytest.fixture
def bad(s3: S3Folder, storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A network between this process and the server, on which every request is tried twice."""
    proxy = Proxy(storage.port)
    proxy.open()
    for name, value in settings(f"http://{LOOPBACK}:{proxy.port}").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    yield proxy
    proxy.close()


def test_s3_is_used_by_its_address() -> None:
    folder = S3Folder("bucket", "a/b") / "6a6c09c1eb2e"
    assert (str(folder), str(S3Folder("bucket", ""))) == ("s3://bucket/a/b/6a6c09c1eb2e", "s3://bucket")


def test_a_bucket_itself_can_be_the_folder(s3: S3Folder, storage: Storage) -> None:
    bucket = S3Folder(s3.bucket, "")
    save(bucket / "one", 1)
    assert storage.keys(s3.bucket) == ["one/epoch-000001.pt"] and unusable(bucket) is None


@pytest.mark.parametrize("fault", [Fault("answered", 503), Fault("dropped"), Fault("lost")])
def test_a_request_that_fails_once_costs_nothing(s3: S3Folder, bad: Proxy, fault: Fault) -> None:
    failed: set[str] = set()

    def first_time(number: int, line: str) -> Fault | None:
        new = line not in failed
        failed.add(line)
        return fault if new else None

    bad.rule = first_time
    save(s3, 1)
    assert newest(s3) == 1 and len(bad.faults) >= 3


def test_a_connection_that_breaks_while_a_checkpoint_is_read_costs_nothing(s3: S3Folder, bad: Proxy) -> None:
    save(s3, 1)
    before = len(bad.requests)

    def first_read(number: int, line: str) -> Fault | None:
        earlier = [one for one in bad.requests[before:] if one.startswith("GET") and "epoch-" in one]
        return Fault("cut", 900) if line.startswith("GET") and "epoch-" in line and not earlier else None

    bad.rule = first_read
    assert newest(s3) == 1 and len(bad.faults) == 1


def test_connections_that_break_whenever_a_checkpoint_is_read_take_it_for_no_damaged_one(
    s3: S3Folder, bad: Proxy
) -> None:
    save(s3, 1, 2)
    bad.rule = lambda number, line: Fault("cut", 900) if line.startswith("GET") and "epoch-" in line else None
    with pytest.raises(StorageError, match=r"does not answer \(.*\); check the network"):
        newest(s3)


def test_a_write_that_fails_leaves_earlier_checkpoints_whole(s3: S3Folder, bad: Proxy) -> None:
    save(s3, 1)
    bad.rule = lambda number, line: Fault("dropped") if line.startswith("PUT") else None
    with pytest.raises(StorageError, match="does not answer"):
        save(s3, 2)
    assert names(s3) == ["epoch-000001.pt"] and newest(s3) == 1


def test_an_old_checkpoint_that_cannot_be_removed_fails_nothing(s3: S3Folder, bad: Proxy) -> None:
    bad.rule = lambda number, line: Fault("dropped") if line.startswith("DELETE") else None
    save(s3, 1, 2, 3)
    assert names(s3)[-1] == "epoch-000003.pt"
    bad.rule = lambda number, line: None
    save(s3, 4)
    assert names(s3) == ["epoch-000003.pt", "epoch-000004.pt"]


def outcome(folder: Folder) -> Outcome:
    return run_trial(config(), runtime=RUNTIME, folder=folder, report=lambda _: None)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["PUT", "GET"])
def test_storage_that_stays_away_fails_the_trial_in_a_way_that_another_attempt_can_cure(
    s3: S3Folder, bad: Proxy, verb: str
) -> None:
    interrupt(s3, epoch=1)
    bad.rule = lambda number, line: Fault("answered", 503) if line.startswith(verb) else None
    failed = outcome(s3)
    assert (failed.status, failed.error) == ("failed", "storage")
    assert str(s3) in str(failed.reason) and "\n" not in str(failed.reason)
    bad.rule = lambda number, line: None
    cured = outcome(s3)
    assert cured.details["resumed_at_epoch"] == 1
    assert timeless(cured.metrics) == timeless(fit(config()).metrics)


def test_what_is_only_tidied_up_is_not_waited_for(s3: S3Folder, bad: Proxy) -> None:
    bad.close()
    begun = time.monotonic()
    discard_checkpoints(s3)
    assert time.monotonic() - begun < 20


def test_what_must_be_gone_before_a_trial_begins_is_removed_with_patience_or_not_at_all(
    s3: S3Folder, bad: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(times: int) -> None:
        refusals = iter([Fault("answered", 503)] * times)
        bad.rule = lambda number, line: next(refusals, None) if line.startswith("DELETE") else None

    save(s3, 1)
    throttled(99)
    with pytest.raises(StorageError):
        checkpoint.clear(s3)
    assert names(s3) == ["epoch-000001.pt"]
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    folders._client.cache_clear()
    throttled(3)
    checkpoint.clear(s3)
    assert names(s3) == []


def test_no_credentials_no_bucket_no_server_are_a_line_each(
    s3: S3Folder, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert unusable(S3Folder("nobucket", "")) == (
        "s3://nobucket: no bucket 'nobucket'; make it, or name another, and check AWS_ENDPOINT_URL"
    )
    with storage.forgotten():
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hidden@127.0.0.1:9")
        told = str(unusable(s3))
        assert "does not answer" in told and "AWS_ENDPOINT_URL" in told and "hidden" not in told
    with storage.forgotten():
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        assert "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in str(unusable(s3))


def test_credentials_that_are_refused_are_told_with_what_they_may_not_do(s3: S3Folder, bad: Proxy) -> None:
    bad.rule = lambda number, line: Fault("answered", 403) if line.startswith("DELETE") else None
    assert "refuses DeleteObject to these credentials (403)" in str(unusable(s3))
